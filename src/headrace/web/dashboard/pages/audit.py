"""Audit: who did what, to what, from where, and what it was like before and after."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from headrace.web.dashboard.rendering import page
from headrace.web.dashboard.requests import App, Keeper, PageRoute, RowId

router = APIRouter(route_class=PageRoute)
PAGE = 50


@router.get("/audit")
async def list_actions(
    request: Request, who: Keeper, app: App, by: str = "", kind: str = "", target: str = "", before: RowId | None = None
) -> Response:
    """The actions, the latest first."""
    entries = await app.audit.list(
        by=by.strip() or None, kind=kind.strip() or None, target=target.strip() or None, before=before, limit=PAGE + 1
    )
    return page(
        request, who, "audit.html", title="Audit", active="audit", now=await app.now(), entries=entries[:PAGE],
        next=entries[PAGE - 1].id if len(entries) > PAGE else None, by=by, kind=kind, target=target, before=before,
    )  # fmt: skip
