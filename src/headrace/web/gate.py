"""What every request passes before a route sees it: who is it from, is it theirs, and not too much?

    headers -> size -> who -> how often -> whose page sent it -> the route, which acts under that name

It refuses what it does not know: a route is closed unless it is in `PUBLIC`. Who somebody is, is said by exactly one of

* ``Authorization: Bearer KEY``. If there is one, it counts or the request is refused; a cookie beside it is not looked
  at.
* the session's cookie.
* being on this machine, where `Gate(local=True)`, which `headrace serve` says if it was started without authentication.
  Then the connection must come from a loopback address; nothing may say that it was forwarded, since a proxy on this
  machine connects from here, too; and Host must be this machine's, since a stranger's page can have its own name
  resolved to 127.0.0.1 (DNS rebinding).

A browser sends cookies, and comes from this machine, whatever page made it do so. So a request that changes something
must come from a page of ours: Sec-Fetch-Site says so, or, from browsers that have none, Origin. Without either it is no
browser, which may not use a session.
"""

from __future__ import annotations

import ipaddress
import time
from collections import OrderedDict
from collections.abc import Callable
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import cookie_parser
from starlette.responses import JSONResponse, RedirectResponse, Response

from headrace.access import Role
from headrace.audit import acting
from headrace.errors import DatabaseError
from headrace.web.access import CALLER, Caller

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from headrace.app import Headrace

COOKIE = "headrace_session"
PUBLIC = frozenset({"/login", "/login/first", "/api/v1/health/live", "/api/v1/health/ready"})
PUBLIC_FOLDERS = ("/static/",)
"""What anybody may ask for: the way in, what its pages look like, and whether the process lives."""

MOST_BODY_BYTES = 1 << 20
REQUESTS_PER_S = 100.0
BURST = 300
_MOST_RATES = 10_000
_SAFE = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
_FORWARDED = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip", "via")
_LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})

HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "form-action 'self'; frame-ancestors 'self'; base-uri 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "SAMEORIGIN",
    # Not "no-referrer": with that, browsers say "Origin: null" even to us.
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}
"""Of every answer that does not say otherwise."""


class Refused(Exception):
    """A request that no route gets to see."""

    def __init__(self, status: HTTPStatus, detail: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = headers or {}

    def response(self) -> Response:
        """As RFC 9457 wants it."""
        kind = self.status.phrase.lower().replace(" ", "-")
        said = {
            "type": f"urn:headrace:problem:{kind}",
            "title": self.status.phrase.capitalize(),
            "status": self.status,
            "detail": self.detail,
        }
        return JSONResponse(said, self.status, self.headers, "application/problem+json")


class Gate:
    """The ASGI middleware.

    Args:
        app: What is behind it.
        headrace: Whose users, keys and sessions count.
        local: Whether whoever is on this machine may do everything.
        requests_per_s: How many requests a caller may send in the long run. 100: a page with a few panels, live, sends
        some. burst: How many at once. most_body_bytes: The longest body. 1 MiB: what arguments may have.
    """

    def __init__(
        self,
        app: ASGIApp,
        headrace: Headrace,
        *,
        local: bool = False,
        requests_per_s: float = REQUESTS_PER_S,
        burst: int = BURST,
        most_body_bytes: int = MOST_BODY_BYTES,
    ) -> None:
        self._app = app
        self._access = headrace.access
        self._local = local
        self._rates = Rates(requests_per_s, burst)
        self._most_body_bytes = most_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request pass, or answer it."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            await self._http(scope, receive, _with_headers(send, path_of(scope)))
        else:  # there are no web sockets here
            await send({"type": "websocket.close", "code": 1008, "reason": "there is nothing here"})

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        try:
            receive = bounded(receive, headers, self._most_body_bytes)
            who = await self._admit(scope, headers)
        except Refused as refused:
            await self._answer(refused, scope, headers)(scope, receive, send)
            return
        scope.setdefault("state", {})[CALLER] = who
        if who is None:
            await self._app(scope, receive, send)
            return
        with acting(who.name, source=who.source, address=who.address):
            await self._app(scope, receive, send)

    async def _admit(self, scope: Scope, headers: Headers) -> Caller | None:
        """Who it is from; None: nobody whom a public route needs to know.

        Raises:
            Refused: It may not pass.
        """
        path = path_of(scope)
        is_public = path in PUBLIC or path.startswith(PUBLIC_FOLDERS)
        address = address_of(scope)
        who = None if is_public else await self._identify(scope, headers, address)
        if not is_public and who is None:
            raise Refused(HTTPStatus.UNAUTHORIZED, "sign in, or send an API key", {"WWW-Authenticate": "Bearer"})
        wait_s = self._rates.wait_s(f"{who.source} {who.name}" if who else f"address {address}")
        if wait_s > 0:
            raise Refused(HTTPStatus.TOO_MANY_REQUESTS, "too many requests", {"Retry-After": str(int(wait_s) + 1)})
        if not headers.get("authorization") and is_forged(scope["method"], headers):
            raise Refused(HTTPStatus.FORBIDDEN, "this request comes from a page of another origin")
        return who

    async def _identify(self, scope: Scope, headers: Headers, address: str) -> Caller | None:
        try:
            if (authorization := headers.get("authorization")) is not None:
                scheme, _, key = authorization.partition(" ")
                found = await self._access.check_key(key.strip()) if scheme.lower() == "bearer" else None
                return Caller(found.name, found.role, found.tenant, address, "api") if found else None
            if token := session_token(headers):
                found = await self._access.check_session(token)
                if found:
                    return Caller(found.name, found.role, found.tenant, address, "dashboard")
        except DatabaseError as error:
            raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, "the database does not answer") from error
        if self._local and is_local(scope, headers):
            return Caller("local", Role.ADMIN, None, address, "dashboard")
        return None

    def _answer(self, refused: Refused, scope: Scope, headers: Headers) -> Response:
        """The refusal; a person who is not signed in is shown where to."""
        wants_page = scope["method"] == "GET" and "text/html" in headers.get("accept", "")
        if refused.status is not HTTPStatus.UNAUTHORIZED or not wants_page or "authorization" in headers:
            return refused.response()
        wanted = path_of(scope) + (f"?{scope['query_string'].decode('latin-1')}" if scope["query_string"] else "")
        return RedirectResponse(f"{scope.get('root_path', '')}/login?next={quote(wanted, safe='')}", 303)


def path_of(scope: Scope) -> str:
    """The path below where the application is mounted, as the router sees it."""
    path, root = str(scope["path"]), str(scope.get("root_path", ""))
    if root and path.startswith(root) and path[len(root) :][:1] in ("/", ""):
        return path[len(root) :] or "/"
    return path


def address_of(scope: Scope) -> str:
    """Where a request came from."""
    return str(scope["client"][0]) if scope.get("client") else ""


def session_token(headers: Headers) -> str | None:
    """The session's cookie."""
    return cookie_parser(headers["cookie"]).get(COOKIE) if "cookie" in headers else None


def is_local(scope: Scope, headers: Headers) -> bool:
    """Whether a request is from this machine, and from nobody who only passes it on."""
    try:
        is_loopback = ipaddress.ip_address(address_of(scope)).is_loopback
    except ValueError:
        return False
    if not is_loopback or any(name in headers for name in _FORWARDED):
        return False
    try:
        host = urlsplit(f"//{headers.get('host', '')}").hostname
    except ValueError:
        return False
    return host in _LOCAL_NAMES


def is_forged(method: str, headers: Headers) -> bool:
    """Whether a request that changes something may come from a stranger's page, in the name of whose browser it is."""
    if method in _SAFE:
        return False
    if (site := headers.get("sec-fetch-site")) is not None:
        return site not in ("same-origin", "none")
    if (origin := headers.get("origin")) is not None:
        return not headers.get("host") or urlsplit(origin).netloc.lower() != headers["host"].lower()
    return session_token(headers) is not None


def bounded(receive: Receive, headers: Headers, most_bytes: int) -> Receive:
    """The same body, refused when it is too long: before it is read if it says so, else while it is.

    Raises:
        Refused: It says so.
    """
    detail = f"the body is longer than {most_bytes} bytes"
    said = headers.get("content-length", "0")
    if not said.isdecimal() or int(said) > most_bytes:
        raise Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, detail)
    read = 0

    async def receive_some() -> Message:
        nonlocal read
        message = await receive()
        read += len(message.get("body", b""))
        if read > most_bytes:
            raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, detail)
        return message

    return receive_some


def _with_headers(send: Send, path: str) -> Send:
    # Nothing of what the pages show belongs into a cache.
    wanted = HEADERS if path.startswith(PUBLIC_FOLDERS) else HEADERS | {"cache-control": "no-store"}

    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in wanted.items():
                headers.setdefault(name, value)
        await send(message)

    return send_with_headers


class Rates:
    """How often each caller asks (GCRA), in this process.

    Args:
        per_s: In the long run.
        burst: At once.
        clock: Monotonic; tests step it.
    """

    def __init__(self, per_s: float, burst: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._step_s = 1 / per_s
        self._ahead_s = burst * self._step_s
        self._clock = clock
        self._next: OrderedDict[str, float] = OrderedDict()

    def wait_s(self, who: str) -> float:
        """0: now; else after how long."""
        now = self._clock()
        due = max(self._next.get(who, 0.0), now)
        if due + self._step_s - now > self._ahead_s + 1e-9:
            return due + self._step_s - now - self._ahead_s
        self._next[who] = due + self._step_s
        self._next.move_to_end(who)
        if len(self._next) > _MOST_RATES:  # strangers choose addresses
            self._next.popitem(last=False)
        return 0.0


def protect(web: Any, headrace: Headrace, *, local: bool = False, **bounds: Any) -> None:
    """Put the gate before a FastAPI or Starlette application: add it last, so that it is passed first.

    Args:
        web: The application.
        headrace: Whose users, keys and sessions count.
        local: Whether whoever is on this machine may do everything; see `Gate`.
        bounds: Those of `Gate`.
    """
    web.add_middleware(Gate, headrace=headrace, local=local, **bounds)
