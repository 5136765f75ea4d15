"""Settings: how the reader sees the dashboard, and what this is."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, Request, Response

from headrace._schedule.zones import zone_names
from headrace.web.dashboard.rendering import THEME, THEMES, ZONE, page
from headrace.web.dashboard.requests import App, PageRoute, Viewer, back, base_of

router = APIRouter(route_class=PageRoute)
YEAR_S = 31_536_000


@router.get("/settings")
async def show_settings(request: Request, who: Viewer, app: App) -> Response:
    """What can be chosen."""
    return page(
        request, who, "settings.html", title="Settings", active="settings", zones=sorted(zone_names()), themes=THEMES,
        tasks=len(app.tasks), schema=app.schema, now=await app.now(),
    )  # fmt: skip


@router.post("/settings/looks")
async def set_looks(
    request: Request, who: Viewer, theme: Annotated[str, Form()] = "system", zone: Annotated[str, Form()] = "UTC"
) -> Response:
    """Remembers theme and time zone in this browser."""
    if zone not in zone_names():
        return back(request, f'There is no time zone "{zone}".', failed=True)
    answer = back(request, f"Times are shown in {zone}.")
    path = base_of(request) or "/"
    answer.set_cookie(THEME, theme if theme in THEMES else "system", max_age=YEAR_S, path=path, samesite="strict")
    answer.set_cookie(ZONE, zone, max_age=YEAR_S, path=path, samesite="strict")
    return answer
