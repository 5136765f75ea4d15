"""Events: something named that has happened, and that jobs wait for."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Path, Response
from pydantic import Field

from headrace.event import KEEP_EVENTS
from headrace.web.api.dependencies import App, Operator, Viewer, all_tenants
from headrace.web.api.fields import NO_NUL, Answer, Json, MoreThanNothing, Name
from headrace.web.api.fields import Request as Body
from headrace.web.api.problems import ProblemError, answers

router = APIRouter(tags=["events"], dependencies=[all_tenants("events")])


class EventBody(Body):
    """Something that has happened."""

    name: Name = Field(description="For all tenants and tasks: put in what tells them apart.", examples=["paid:4711"])
    payload: Json = Field(default=None, description="What there is to say of it: 256 KiB at most.")
    keep_s: MoreThanNothing = Field(
        default=KEEP_EVENTS.total_seconds(),
        description="For how long jobs find it that ask later, and a second emit is ignored. 30 days by default.",
    )


class Emitted(Answer):
    """What emitting did."""

    first: bool = Field(description="Whether this was the first emit of this name. A second one changes nothing.")


class EventAnswer(Answer):
    """An event that was emitted."""

    name: str
    payload: Any
    emitted_at: datetime
    expires_at: datetime = Field(description="It is forgotten after this, and may be emitted anew.")


@router.post(
    "/events",
    operation_id="emit_event",
    status_code=201,
    responses=answers(413) | {200: {"model": Emitted, "description": "It was emitted before: nothing is changed."}},
)
async def emit_event(body: EventBody, app: App, who: Operator, response: Response) -> Emitted:
    """Say that something has happened; jobs that wait for it get the payload and go on."""
    first = await app.emit(body.name, body.payload, keep=timedelta(seconds=body.keep_s))
    response.status_code = 201 if first else 200
    return Emitted(first=first)


@router.get("/events/{name:path}", operation_id="get_event", responses=answers(404))
async def get_event(
    name: Annotated[str, Path(min_length=1, max_length=300, pattern=NO_NUL, description="The event's name.")],
    app: App, who: Viewer,
) -> EventAnswer:  # fmt: skip
    """Look at an event that was emitted."""
    found = await app.find_event(name)
    if found is None:
        raise ProblemError(404, "event-not-found", f'event "{name}" was not emitted, or is forgotten')
    return EventAnswer.model_validate(replace(found, payload=(await app.redactor()).named(found.payload)))
