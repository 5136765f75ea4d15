"""Jobs: found with a filter, state by state, page by page; and acted upon, those that are chosen or all that match."""

from __future__ import annotations

import asyncio
import dataclasses
import re
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlencode
from uuid import UUID

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import JSONResponse

from headrace.errors import ConfigurationError, FilterError
from headrace.job import State
from headrace.web.dashboard.rendering import page
from headrace.web.dashboard.requests import App, Operator, PageRoute, Viewer, back

if TYPE_CHECKING:
    from headrace.search import JobPage

router = APIRouter(route_class=PageRoute)
PAGE, MOST_PAGE = 50, 200
TABS = (State.QUEUED, State.RUNNING, State.SCHEDULED, State.BLOCKED, State.FAILED, State.CANCELLED, State.SUCCEEDED)
VIEWS = (
    ("Failed in the last hour", "state:failed finished>-1h"),
    ("Failed in the last day", "state:failed finished>-24h"),
    ("Running", "state:running"), ("Waiting for more than 5 minutes", "state:queued age>5m"),
)  # fmt: skip
"""What people look for most; everything else is a link to keep."""
_STATE = re.compile(r"(?:^|\s)state:(\S+)(?=\s|$)")


@router.get("/jobs")
async def list_jobs(
    request: Request,
    who: Viewer,
    app: App,
    filter: str = "",  # noqa: A002 - the word
    after: str | None = None,
    limit: int = PAGE,
) -> Response:
    """Jobs that match."""
    found, problem = None, None
    try:
        found = await app.search.jobs(filter, tenant=who.tenant, after=after, limit=min(limit, MOST_PAGE))
    except FilterError as error:
        problem = error
    redactor = await app.redactor()
    return page(
        request, who, "jobs.html", title="Jobs", active="jobs", now=await app.now(), filter=filter, found=found,
        problem=problem, jobs=[redactor.job(job) for job in found.jobs] if found else [], after=after,
        tabs=_tabs(filter), next=_link(filter, found), views=VIEWS, limit=limit,
    )  # fmt: skip


@router.get("/jobs/complete")
async def complete(who: Viewer, app: App, text: str = "", position: int | None = None) -> Response:
    """What may stand at a place of the filter."""
    found = await app.search.complete(text, position, tenant=who.tenant)
    return JSONResponse([dataclasses.asdict(each) for each in found])


@router.get("/jobs/tabs")
async def count_tabs(request: Request, who: Viewer, app: App, filter: str = "") -> Response:  # noqa: A002
    """The tabs with their counts: they come after the page, which does not wait for them."""
    tabs = _tabs(filter)
    counts = await asyncio.gather(*(app.search.count(text, tenant=who.tenant) for _, text, _ in tabs))
    return page(
        request, who, "job_tabs.html", title="", active="jobs", tabs=tabs,
        counts=dict(zip([label for label, _, _ in tabs], counts, strict=True)),
    )  # fmt: skip


@router.post("/jobs/selected")
async def act_on_selected(
    request: Request, who: Operator, app: App, action: Annotated[str, Form()],
    job: Annotated[list[UUID] | None, Form()] = None, reason: Annotated[str, Form()] = "",
) -> Response:  # fmt: skip
    """Acts on the jobs that are chosen on a page: few enough to do it at once."""
    ids = [each.id for each in await app.find_jobs(job or []) if who.tenant in (None, each.tenant)]
    if not ids:
        return back(request, "No job is chosen.", failed=True)
    match action:
        case "retry":
            done, said = len(await app.retry_jobs(ids)), "will run again"
        case "cancel":
            outcomes = await app.cancel_jobs(ids, reason or "cancelled")
            done = sum(outcome in ("cancelled", "requested") for outcome in outcomes.values())
            said = "are cancelled; those that run are asked to stop"
        case "delete":
            done, said = len(await app.delete_jobs(ids)), "are deleted"
        case _:
            raise ConfigurationError(f'there is no action "{action}" on jobs: retry, cancel or delete')
    left = f" {len(ids) - done} others cannot be." if done < len(ids) else ""
    return back(request, f"{done} jobs {said}.{left}", failed=not done)


def _tabs(filter_text: str) -> list[tuple[str, str, bool]]:
    """Label, filter, and whether it is the one that is shown."""
    states = _STATE.findall(filter_text)
    rest = _STATE.sub("", filter_text).strip()
    return [
        ("All", rest, not states),
        *((str(state).title(), f"state:{state} {rest}".strip(), states == [state]) for state in TABS),
    ]


def _link(filter_text: str, found: JobPage | None) -> str | None:
    """Where the next page is."""
    if found is None or found.after is None:
        return None
    query: dict[str, Any] = {"filter": filter_text, "after": found.after}
    return "/jobs?" + urlencode({key: value for key, value in query.items() if value})
