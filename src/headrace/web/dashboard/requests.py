"""Who asks, for what app, and what every answer carries."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Coroutine
from http import HTTPStatus
from typing import Annotated, Any
from urllib.parse import quote, unquote, urlsplit

import psycopg
from fastapi import Depends, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import RedirectResponse
from fastapi.routing import APIRoute
from pydantic import Field

from headrace import Headrace
from headrace.errors import (
    ConfigurationError,
    DatabaseError,
    HeadraceError,
    JobNotFound,
    UnknownOperation,
    WorkflowNotFound,
)
from headrace.web.access import Caller, Role, require
from headrace.web.sessions import safe_path

SAID = "headrace_said"
"""The cookie that carries a message over a redirection."""

_SAID_LASTS_S = 20
_log = logging.getLogger("headrace.web")
_MOST_SAID = 600


def app_of(request: Request) -> Headrace:
    """The app whose jobs are shown."""
    app: Headrace = request.app.state.headrace
    return app


RowId = Annotated[int, Field(ge=0, le=2**63 - 1)]
App = Annotated[Headrace, Depends(app_of)]
Viewer = Annotated[Caller, Depends(require(Role.VIEWER))]
Operator = Annotated[Caller, Depends(require(Role.OPERATOR))]
Overseer = Annotated[Caller, Depends(require(Role.VIEWER, all_tenants=True))]
"""Sees what concerns all tenants."""
Controller = Annotated[Caller, Depends(require(Role.OPERATOR, all_tenants=True))]
"""Changes what concerns all tenants."""
Keeper = Annotated[Caller, Depends(require(Role.ADMIN, all_tenants=True))]
"""Says who may do what."""


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
    return safe_path(path + (f"?{came_from.query}" if came_from.query else ""))


def said_before(request: Request) -> dict[str, Any] | None:
    """What the last form's answer has to say."""
    try:
        said: dict[str, Any] = json.loads(unquote(request.cookies[SAID]))
    except (KeyError, ValueError):
        return None
    return said


class PageRoute(APIRoute):
    """A route of the dashboard: errors are pages, or messages on the page that the form was on; nothing is kept."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """FastAPI's handler, inside what holds for every page."""
        handle = super().get_route_handler()

        async def guarded(request: Request) -> Response:
            answer = await _answer(handle, request)
            answer.headers.setdefault("Cache-Control", "no-store")
            return answer

        return guarded


async def _answer(handle: Callable[[Request], Coroutine[Any, Any, Response]], request: Request) -> Response:
    try:
        return await handle(request)
    except (HeadraceError, RequestValidationError) as error:
        what = _words_of(error)
        if request.method == "POST" and not isinstance(error, JobNotFound | WorkflowNotFound | DatabaseError):
            return back(request, what, failed=True)
        status, title = _status_of(error)
    except psycopg.Error as error:
        _log.exception("%s %s", request.method, request.url.path)
        what, status, title = str(error), HTTPStatus.INTERNAL_SERVER_ERROR, "The database refused this"
    except HTTPException as error:
        if error.status_code not in (HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND):
            raise
        what, status = str(error.detail), error.status_code
        title = "Not allowed" if status == HTTPStatus.FORBIDDEN else "Not found"
    from headrace.web.dashboard.rendering import error_page  # noqa: PLC0415 - rendering needs this module

    return error_page(request, status, title, what)


def _words_of(error: HeadraceError | RequestValidationError) -> str:
    if isinstance(error, RequestValidationError):
        return "; ".join(f"{'.'.join(map(str, one['loc'][1:]))}: {one['msg']}" for one in error.errors())
    return str(error)


def _status_of(error: Exception) -> tuple[int, str]:
    match error:
        case JobNotFound() | WorkflowNotFound() | ConfigurationError() | UnknownOperation():
            return HTTPStatus.NOT_FOUND, "Not found"
        case DatabaseError():
            return HTTPStatus.SERVICE_UNAVAILABLE, "The database cannot be used"
        case RequestValidationError():
            return HTTPStatus.UNPROCESSABLE_ENTITY, "This address makes no sense"
        case _:
            return HTTPStatus.CONFLICT, "This cannot be shown"
