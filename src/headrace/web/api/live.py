"""Live events: what changes, as it changes."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Header, Query, Request
from sse_starlette import EventSourceResponse

from headrace.web.api.dependencies import Viewer
from headrace.web.api.problems import answers
from headrace.web.live import MOST_WATCHED, Hub, as_seen

HEARTBEAT_S = 15
"""A comment, so that whatever is in between keeps the connection."""

SEND_TIMEOUT_S = 20
"""A client that takes nothing for so long is let go."""

SHUTDOWN_S = 2.0
"""A stream has so long to end by itself when the server stops."""

router = APIRouter(tags=["live"])


@router.get(
    "/live",
    operation_id="live",
    response_class=EventSourceResponse,
    responses=answers()
    | {200: {"description": "Server-sent events, until the client goes.", "content": {"text/event-stream": {}}}},
)
async def live(
    who: Viewer, request: Request,
    job: Annotated[
        list[UUID] | None, Query(max_length=MOST_WATCHED, description="Also tell every change of these jobs.")
    ] = None,
    last_event_id: Annotated[
        str | None, Header(max_length=100, description="The last event that the client has seen.")
    ] = None,
) -> EventSourceResponse:  # fmt: skip
    """Stream what changes, at most twice a second.

    `event: hello`: everything from now on is told. `event: change`, with `{"jobs": [{"id", "state", "task",
    "queue"}], "more": false, "queues": {name: {"queued", "running", "scheduled", "blocked"}}}`: jobs that came or
    finished, and those that `job` names, whatever becomes of them; `more`: there were too many to name.
    `event: reset`: what was missed is not known any more, so load everything again. Each has an id: a browser's
    EventSource sends it when it reconnects, and gets what it missed.
    """
    hub: Hub = request.app.state.live
    return EventSourceResponse(
        _events(hub, who.tenant, job or [], last_event_id),
        ping=HEARTBEAT_S,
        send_timeout=SEND_TIMEOUT_S,
        shutdown_grace_period=SHUTDOWN_S,
        headers={"X-Accel-Buffering": "no"},
    )


async def _events(
    hub: Hub, tenant: str | None, watched: list[UUID], last_id: str | None
) -> AsyncIterator[dict[str, Any]]:
    async for kind, event_id, change in hub.listen(watched, last_id):
        seen = {} if change is None else as_seen(change, tenant)
        if seen is not None:
            yield {"event": kind, "id": event_id, "data": json.dumps(seen)}
