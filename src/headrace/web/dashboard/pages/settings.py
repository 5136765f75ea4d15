"""Settings: how the reader sees the dashboard, and who may do what."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, Request, Response

from headrace._schedule.zones import zone_names
from headrace.access import Role
from headrace.web.access import Caller
from headrace.web.dashboard.reading import read_duration
from headrace.web.dashboard.rendering import THEME, THEMES, ZONE, page
from headrace.web.dashboard.requests import App, Keeper, PageRoute, Viewer, back, base_of

router = APIRouter(route_class=PageRoute)
Text = Annotated[str, Form()]
YEAR_S = 31_536_000


@router.get("/settings")
async def show_settings(request: Request, who: Viewer, app: App) -> Response:
    """What can be chosen."""
    return await _page(request, who, app)


async def _page(request: Request, who: Caller, app: App, **made: str) -> Response:
    """With what was made just now: a key or a link, which is shown once."""
    keeps = who.role >= Role.ADMIN and who.tenant is None
    return page(
        request, who, "settings.html", title="Settings", active="settings", zones=sorted(zone_names()),
        tasks=len(app.tasks), schema=app.schema, now=await app.now(),
        roles=[(role.name.lower(), role.name.lower()) for role in Role],
        keys=await app.access.list_keys() if keeps else [], users=await app.access.list_users() if keeps else [],
        keeps=keeps, made=made,
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


@router.post("/settings/keys")
async def create_key(
    request: Request, who: Keeper, app: App, name: Text, role: Text = "viewer", tenant: Text = "", lasts: Text = ""
) -> Response:
    """Makes an API key, and shows it: it cannot be shown again."""
    key = await app.access.create_key(
        name.strip(), role=Role.named(role), tenant=tenant.strip() or None,
        expires=read_duration(lasts) if lasts.strip() else None,
    )  # fmt: skip
    return await _page(request, who, app, key=key, name=name.strip())


@router.post("/settings/keys/revoke")
async def revoke_key(request: Request, who: Keeper, app: App, name: Text) -> Response:
    """Lets a key count no more."""
    await app.access.revoke_key(name)
    return back(request, f'The key "{name}" counts no more.')


@router.post("/settings/users")
async def create_user(
    request: Request, who: Keeper, app: App, name: Text, role: Text = "viewer", tenant: Text = ""
) -> Response:
    """Adds a user, and shows the link by which they choose a password."""
    await app.access.create_user(name.strip(), role=Role.named(role), tenant=tenant.strip() or None)
    return await _page(request, who, app, link=await _link(request, app, name.strip()), name=name.strip())


@router.post("/settings/users/invite")
async def invite_user(request: Request, who: Keeper, app: App, name: Text) -> Response:
    """Makes a new link for a user."""
    return await _page(request, who, app, link=await _link(request, app, name), name=name)


@router.post("/settings/users/remove")
async def remove_user(request: Request, who: Keeper, app: App, name: Text) -> Response:
    """Removes a user, and ends their sessions."""
    await app.access.remove_user(name)
    return back(request, f'The user "{name}" is removed, and signed out everywhere.')


async def _link(request: Request, app: App, name: str) -> str:
    return f"{str(request.base_url).rstrip('/')}/login/first?token={await app.access.invite(name)}"
