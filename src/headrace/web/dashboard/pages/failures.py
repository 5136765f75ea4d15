"""Failures: failed jobs, grouped by what went wrong and where."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from headrace.errors import FilterError
from headrace.web.dashboard.rendering import page
from headrace.web.dashboard.requests import App, PageRoute, Viewer

router = APIRouter(route_class=PageRoute)


@router.get("/failures")
async def list_failures(request: Request, who: Viewer, app: App, filter: str = "") -> Response:  # noqa: A002
    """The groups, the largest first."""
    groups, problem = None, None
    try:
        groups = await app.search.failures(filter, tenant=who.tenant)
    except FilterError as error:
        problem = error
    return page(
        request, who, "failures.html", title="Failures", active="failures", now=await app.now(), filter=filter,
        groups=groups or [], searched=groups.searched if groups is not None else None, problem=problem,
        most=max((group.count for group in groups or []), default=1),
        partial=groups.partial if groups is not None else False,
    )  # fmt: skip
