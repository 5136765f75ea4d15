"""Errors as RFC 9457 problem details: what went wrong, with which status, and where in the request."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import psycopg
from fastapi import FastAPI, HTTPException, Request
from fastapi.exception_handlers import http_exception_handler, request_validation_exception_handler
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException as StarletteHTTPException

from headrace import errors
from headrace._store.database import translate
from headrace.web.paths import is_api, own_path

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_S = 5
"""What clients are told to wait when the database is away: a restart takes about as long."""
_log = logging.getLogger("headrace.web")


class WrongField(BaseModel):
    """One part of a request that is not as it should be."""

    pointer: str = Field(
        description="Where it is: a JSON pointer into the body, or `query/NAME`, `path/NAME`, `header/NAME`.",
        examples=["/args/customer"],
    )
    detail: str = Field(description="What is wrong with it.", examples=["Input should be a valid integer"])


class Problem(BaseModel):
    """What went wrong, as RFC 9457 has it."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(description="The kind of problem: for programs.", examples=["urn:headrace:problem:job-not-found"])
    title: str = Field(description="The kind of problem: for people.", examples=["Job not found"])
    status: int = Field(description="The HTTP status.", examples=[404])
    detail: str = Field(description="What happened, to which thing, and what to do.")
    errors: list[WrongField] | None = Field(
        default=None, description="The parts of the request that are wrong, if it was."
    )


# The first that fits: those that are more derived come first.
_STATUSES: tuple[tuple[type[errors.HeadraceError], HTTPStatus], ...] = (
    (errors.UnknownTask, HTTPStatus.NOT_FOUND),
    (errors.UnknownQueue, HTTPStatus.NOT_FOUND),
    (errors.UnknownSchedule, HTTPStatus.NOT_FOUND),
    (errors.UnknownLimit, HTTPStatus.NOT_FOUND),
    (errors.UnknownWebhook, HTTPStatus.NOT_FOUND),
    (errors.UnknownOperation, HTTPStatus.NOT_FOUND),
    (errors.UnknownUser, HTTPStatus.NOT_FOUND),
    (errors.UnknownKey, HTTPStatus.NOT_FOUND),
    (errors.JobNotFound, HTTPStatus.NOT_FOUND),
    (errors.WorkflowNotFound, HTTPStatus.NOT_FOUND),
    (errors.DuplicateJob, HTTPStatus.CONFLICT),
    (errors.WorkflowOver, HTTPStatus.CONFLICT),
    (errors.QueueFull, HTTPStatus.TOO_MANY_REQUESTS),
    (errors.InvalidArguments, HTTPStatus.UNPROCESSABLE_ENTITY),
    (errors.FilterError, HTTPStatus.UNPROCESSABLE_ENTITY),
    (errors.ConfigurationError, HTTPStatus.UNPROCESSABLE_ENTITY),
    (errors.DatabaseError, HTTPStatus.SERVICE_UNAVAILABLE),
    (errors.AppClosed, HTTPStatus.SERVICE_UNAVAILABLE),
)

_SAID = {
    400: "The request cannot be read.",
    401: "Nobody is signed in: an API key or a session is missing, unknown or expired.",
    403: "The caller's role or tenant does not allow it.",
    404: "There is no such thing, or the caller may not know of it.",
    409: "The thing is in a state in which this cannot be done.",
    413: "The body is too large.",
    415: "The body is not JSON.",
    422: "The request does not make sense; `errors` names the fields.",
    429: "Too much: a queue is full, or the caller asks too often.",
    503: "The database does not answer, or its schema does not fit.",
}
_ALWAYS = (400, 401, 403, 422, 503)


def answers(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The error responses of a route, for its documentation: these, and those that every route has."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    named: dict[int | str, dict[str, Any]] = {
        status: {"description": _SAID[status], "content": content} for status in sorted({*_ALWAYS, *statuses})
    }
    return named | {"default": {"description": "Any other problem.", "content": content}}


class ProblemError(HTTPException):
    """A problem that the API itself finds.

    Args:
        status: The HTTP status.
        kind: The last part of the problem's type, in words with hyphens.
        detail: What happened, and what to do.
        wrong: The parts of the request that are wrong: pointers, and what is wrong with them.
        headers: Added to the response.
    """

    def __init__(
        self,
        status: int,
        kind: str,
        detail: str,
        *,
        wrong: Iterable[tuple[str, str]] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(status, detail, headers=headers)
        self.kind = kind
        self.wrong = tuple(wrong)


def install(web: FastAPI) -> None:
    """Let every error below /api be answered as a problem; elsewhere, as whoever was there first answers it."""
    others = dict(web.exception_handlers)
    _add(web, StarletteHTTPException, _answer_http, others.get(StarletteHTTPException, http_exception_handler))
    _add(
        web,
        RequestValidationError,
        _answer_invalid,
        others.get(RequestValidationError, request_validation_exception_handler),
    )
    for kind, answer in (
        (errors.HeadraceError, _answer_ours),
        (psycopg.Error, _answer_database),
        (UnicodeError, _answer_unicode),
    ):
        _add(web, kind, answer, others.get(kind))


def _add(web: FastAPI, kind: type[Exception], answer: Callable[[Any], Response], other: Any) -> None:
    async def handle(request: Request, error: Exception) -> Response:
        if is_api(request.scope):
            if isinstance(error, StarletteHTTPException) and error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
                error.headers = {"Allow": ", ".join(allowed_methods(web, own_path(request.scope)))}
            return answer(error)
        if other is None:
            raise error
        done: Response | Awaitable[Response] = other(request, error)
        return done if isinstance(done, Response) else await done

    web.add_exception_handler(kind, handle)


def allowed_methods(web: FastAPI, path: str) -> list[str]:
    """What can be done with the thing at a path, over all routes: the router knows only the first."""
    described = web.openapi()["paths"]
    if path in described:
        return sorted(name.upper() for name in described[path])
    methods: set[str] = set()
    for template, operations in described.items():
        if re.fullmatch(re.sub(r"\\{\w+\\}", "[^/]+", re.escape(template)), path):
            methods |= {name.upper() for name in operations}
    return sorted(methods)


def respond(
    status: int,
    kind: str,
    detail: str,
    *,
    wrong: Iterable[tuple[str, str]] = (),
    headers: Mapping[str, str] | None = None,
    **more: Any,
) -> JSONResponse:
    """The response that says so."""
    told: dict[str, Any] = {
        "type": f"urn:headrace:problem:{kind}",
        "title": kind.replace("-", " ").capitalize(),
        "status": status,
        "detail": detail,
    }
    listed = [{"pointer": pointer, "detail": what} for pointer, what in wrong]
    content = told | ({"errors": listed} if listed else {}) | more
    return JSONResponse(_storable(content), status, headers=dict(headers or {}), media_type=MEDIA_TYPE)


def _storable(value: Any) -> Any:
    """What was sent may come back in words, and it need not be text that can be sent."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {name: _storable(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_storable(item) for item in value]
    return value


def _answer_http(error: StarletteHTTPException) -> Response:
    kind = getattr(error, "kind", None) or HTTPStatus(error.status_code).phrase.lower().replace(" ", "-")
    return respond(error.status_code, kind, str(error.detail), wrong=getattr(error, "wrong", ()), headers=error.headers)


def _answer_invalid(error: RequestValidationError) -> Response:
    wrong = [(_pointer(problem["loc"]), str(problem["msg"])) for problem in error.errors()]
    if any(problem["type"] == "json_invalid" for problem in error.errors()):
        return respond(400, "bad-request", "the body is not JSON", wrong=wrong)
    said = "; ".join(f"{pointer}: {what}" for pointer, what in wrong[:3])
    return respond(422, "invalid-request", f"the request does not make sense: {said}", wrong=wrong)


def pointer(base: str, path: Iterable[int | str]) -> str:
    """A JSON pointer: to what is at a path below the thing that another one points to."""
    return base + "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in path)


def _pointer(location: Iterable[int | str]) -> str:
    where, *path = location
    return (pointer("", path) or "/") if where == "body" else "/".join(str(part) for part in (where, *path))


def _answer_ours(error: errors.HeadraceError) -> Response:
    status = next((status for kind, status in _STATUSES if isinstance(error, kind)), HTTPStatus.INTERNAL_SERVER_ERROR)
    kind = _kind(error)
    more: dict[str, Any] = {}
    headers: dict[str, str] = {}
    wrong: list[tuple[str, str]] = []
    if isinstance(error, errors.FilterError):
        wrong = [("query/q", error.problem)]
        more = {"position": error.position}
    elif isinstance(error, errors.InvalidArguments):
        wrong = [(pointer("/args", path), why) for path, why in error.problems]
    elif isinstance(error, errors.DuplicateJob):
        more = {"holder": str(error.holder)}
    elif isinstance(error, errors.AnswerLost):
        more = {"jobs": [job.id for job in error.jobs]}
    if status in (HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.TOO_MANY_REQUESTS):
        headers = {"Retry-After": str(RETRY_AFTER_S)}
    return respond(status, kind, str(error), wrong=wrong, headers=headers, **more)


def _kind(error: Exception) -> str:
    """JobNotFound: job-not-found."""
    return "".join(f"-{c.lower()}" if c.isupper() else c for c in type(error).__name__).lstrip("-")


def _answer_database(error: psycopg.Error) -> Response:
    ours = translate(error)
    if isinstance(ours, errors.HeadraceError):
        return _answer_ours(ours)
    if isinstance(error, psycopg.DataError):  # a number, time or text that PostgreSQL has no room for
        return respond(422, "unstorable", f"a value cannot be stored: {error.diag.message_primary or error}")
    _log.error("the database refused a statement", exc_info=error)
    return respond(500, "database-error", "the database refused a statement: the log of this process says why")


def _answer_unicode(_: UnicodeError) -> Response:
    return respond(422, "unstorable", "a text holds half of a surrogate pair, which is not a character")
