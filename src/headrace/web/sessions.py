"""Signing in and out: plain forms, which work without JavaScript.

Whoever signs in gets a new session, whatever cookie the browser came with (session fixation). The cookie holds 256
random bits and nothing else: a signature would prove nothing that finding them in the database does not, and would need
a secret that all processes share. It is HttpOnly and SameSite=Lax, Secure behind https, and sent to this application's
path only.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Form, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from jinja2 import Environment, PackageLoader

from headrace._access.passwords import LEAST_CHARS
from headrace.access import ABSOLUTE, Access, Role
from headrace.errors import AccessError, ConfigurationError, TooManyTries
from headrace.web.access import Caller, require
from headrace.web.assets import asset_path
from headrace.web.gate import COOKIE

router = APIRouter(include_in_schema=False)
_pages = Environment(loader=PackageLoader("headrace.web"), autoescape=True)
_pages.globals["asset"] = asset_path
SignedIn = Annotated[Caller, Depends(require(Role.VIEWER))]
Field = Annotated[str, Form()]


@router.get("/login")
async def show_sign_in(request: Request, next: str = "/") -> Response:  # noqa: A002 - the field's name
    """The form."""
    return _page("sign_in.html", request, title="Sign in", next=next, name="")


@router.post("/login")
async def sign_in(
    request: Request,
    name: Field = "",
    password: Field = "",
    next: Field = "/",  # noqa: A002
) -> Response:
    """Check name and password, and begin a session."""
    try:
        token = await _access(request).sign_in(name, password, _address(request))
    except AccessError as error:
        page = _page("sign_in.html", request, title="Sign in", next=next, name=name, problem=str(error), status=401)
        if isinstance(error, TooManyTries):
            page.status_code = 429
            page.headers["retry-after"] = str(int(error.wait_s) + 1)
        return page
    return await _signed_in(request, token, next)


@router.get("/login/first")
async def show_first_login(request: Request, token: str = "") -> Response:
    """The form to which a link leads. Looking at it uses nothing up: mail programs and chats look at links, too."""
    invited = await _access(request).find_invited(token)
    if invited is None:
        return _first_login(request, "", problem="This link was used, or is too old. Ask for a new one.", status=404)
    return _first_login(request, token, name=invited, is_named=bool(invited))


@router.post("/login/first")
async def accept_invitation(request: Request, token: Field = "", name: Field = "", password: Field = "") -> Response:
    """Choose a password by a link, and begin a session."""
    try:
        session = await _access(request).accept_invitation(token, name, password, _address(request))
    except (AccessError, ConfigurationError) as error:
        return _first_login(request, token, name=name, problem=str(error), status=422)
    return await _signed_in(request, session, "/")


@router.post("/logout")
async def sign_out(request: Request, who: SignedIn) -> Response:
    """End this session."""
    await _access(request).sign_out(request.cookies.get(COOKIE, ""))
    return _signed_out(request)


@router.post("/logout/everywhere")
async def sign_out_everywhere(request: Request, who: SignedIn) -> Response:
    """End all sessions of whoever is signed in here; a key has none, and ends nobody's."""
    if COOKIE in request.cookies and who.source == "dashboard":
        await _access(request).sign_out_everywhere(who.name)
    return _signed_out(request)


def _access(request: Request) -> Access:
    return request.app.state.headrace.access  # type: ignore[no-any-return]


def _address(request: Request) -> str:
    return request.client.host if request.client else ""


def _root(request: Request) -> str:
    return str(request.scope.get("root_path", ""))


def _page(template: str, request: Request, *, status: int = 200, problem: str = "", **values: object) -> HTMLResponse:
    text = _pages.get_template(template).render(root=_root(request), problem=problem, **values)
    return HTMLResponse(text, status)


def _first_login(
    request: Request, token: str, *, name: str = "", is_named: bool = False, problem: str = "", status: int = 200
) -> HTMLResponse:
    return _page(
        "first_login.html", request, title="Welcome", token=token, name=name, is_named=is_named, problem=problem,
        status=status, least_chars=LEAST_CHARS,
    )  # fmt: skip


async def _signed_in(request: Request, token: str, wanted: str) -> Response:
    await _access(request).sign_out(request.cookies.get(COOKIE, ""))  # what the browser came with counts no more
    answer = RedirectResponse(_root(request) + safe_path(wanted), 303)
    answer.set_cookie(COOKIE, token, max_age=int(ABSOLUTE.total_seconds()), **_cookie(request))
    return answer


def _signed_out(request: Request) -> Response:
    answer = RedirectResponse(f"{_root(request)}/login", 303)
    answer.delete_cookie(COOKIE, **_cookie(request))
    return answer


def _cookie(request: Request) -> dict[str, Any]:
    return {
        "path": _root(request) or "/",
        "httponly": True,
        "samesite": "lax",
        # What a proxy says of the browser's side is believed here: a lie only keeps the liar's cookie from being sent.
        "secure": "https" in (request.url.scheme, request.headers.get("x-forwarded-proto")),
    }


def safe_path(wanted: str) -> str:
    """A path of this application, or its first page: what is asked for must not lead anywhere else.

    Browsers read a backslash as a slash, leave out tabs and line ends, and take //host for another server.
    """
    if not wanted.startswith("/") or wanted.startswith("//") or "\\" in wanted or not wanted.isprintable():
        return "/"
    return wanted
