"""Who asks, for what app, and what every answer carries."""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine
from typing import Annotated, Any
from urllib.parse import quote, unquote, urlsplit

from fastapi import Depends, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import RedirectResponse
from fastapi.routing import APIRoute

from headrace import Headrace
from headrace.errors import ConfigurationError, DatabaseError, HeadraceError, JobNotFound, WorkflowNotFound
from headrace.web.access import Caller, Role, require

SECURITY_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'self'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}
SAID = "headrace_said"
"""The cookie that carries a message over a redirection."""

_SAID_LASTS_S = 20
_MOST_SAID = 600


def app_of(request: Request) -> Headrace:
    """The app whose jobs are shown."""
    app: Headrace = request.app.state.headrace
    return app


def _everywhere(role: Role) -> Callable[..., Caller]:
    """For what concerns all tenants: those who are bound to one are refused."""
    allowed = Depends(require(role))

    def check(who: Caller = allowed) -> Caller:
        if who.tenant is not None:
            raise HTTPException(403, f'{who.name} sees only the jobs of tenant "{who.tenant}"')
        return who

    return check


App = Annotated[Headrace, Depends(app_of)]
Viewer = Annotated[Caller, Depends(require(Role.VIEWER))]
Operator = Annotated[Caller, Depends(require(Role.OPERATOR))]
Overseer = Annotated[Caller, Depends(_everywhere(Role.VIEWER))]
"""Sees what concerns all tenants."""
Controller = Annotated[Caller, Depends(_everywhere(Role.OPERATOR))]
"""Changes what concerns all tenants."""


def base_of(request: Request) -> str:
    """The path under which the dashboard is mounted, without a slash at its end."""
    base: str = request.scope.get("root_path", "").rstrip("/")
    return base


def back(request: Request, said: str, *, to: str | None = None, failed: bool = False) -> RedirectResponse:
    """Go back to the page that the form was on (or to another one of ours), and say what was done there."""
    answer = RedirectResponse(base_of(request) + to if to is not None else _origin(request), status_code=303)
    message = json.dumps({"text": said[:_MOST_SAID], "failed": failed})
    answer.set_cookie(
        SAID, quote(message), max_age=_SAID_LASTS_S, path=base_of(request) or "/", httponly=True, samesite="strict"
    )
    return answer


def _origin(request: Request) -> str:
    """The page that a form was on: only its path, which stays on this server, counts."""
    came_from = urlsplit(request.headers.get("referer", ""))
    if came_from.netloc != request.headers.get("host") or not came_from.path.startswith(base_of(request) + "/"):
        return base_of(request) + "/"
    path = "/" + came_from.path.lstrip("/")
    return path + (f"?{came_from.query}" if came_from.query else "")


def said_before(request: Request) -> dict[str, Any] | None:
    """What the last form's answer has to say."""
    try:
        said: dict[str, Any] = json.loads(unquote(request.cookies[SAID]))
    except (KeyError, ValueError):
        return None
    return said


def _refuse_foreign(request: Request) -> None:
    """Refuse a form that another site's page sends: browsers say where it comes from."""
    site = request.headers.get("sec-fetch-site")
    if site is None:  # an old browser, or none
        origin = request.headers.get("origin")
        own = origin is None or urlsplit(origin).netloc == request.headers.get("host")
    else:
        own = site in ("same-origin", "none")
    if not own:
        raise HTTPException(403, "this form was not sent from the dashboard")


class PageRoute(APIRoute):
    """A route of the dashboard: errors are pages, or messages on the page that the form was on; nothing is framed or cached."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """FastAPI's handler, inside what holds for every page."""
        handle = super().get_route_handler()

        async def guarded(request: Request) -> Response:
            answer = await _answer(handle, request)
            for name, value in SECURITY_HEADERS.items():
                answer.headers.setdefault(name, value)
            return answer

        return guarded


async def _answer(handle: Callable[[Request], Coroutine[Any, Any, Response]], request: Request) -> Response:
    from headrace.web.dashboard.rendering import error_page  # noqa: PLC0415 - rendering needs this module

    try:
        if request.method == "POST":
            _refuse_foreign(request)
        return await handle(request)
    except (JobNotFound, WorkflowNotFound) as error:
        return error_page(request, 404, "Not found", str(error))
    except DatabaseError as error:
        return error_page(request, 503, "The database cannot be used", str(error))
    except HeadraceError as error:
        if request.method == "POST":
            return back(request, str(error), failed=True)
        return error_page(
            request, 404 if isinstance(error, ConfigurationError) else 409, "This cannot be shown", str(error)
        )
    except RequestValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, one['loc'][1:]))}: {one['msg']}" for one in error.errors())
        if request.method == "POST":
            return back(request, wrong, failed=True)
        return error_page(request, 422, "This address makes no sense", wrong)
    except HTTPException as error:
        if error.status_code in (403, 404):
            title = "Not allowed" if error.status_code == 403 else "Not found"
            return error_page(request, error.status_code, title, str(error.detail))
        raise
