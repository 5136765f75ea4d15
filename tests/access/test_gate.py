"""Attacks on the way in: without a key, with another's, with a smaller role, from a stranger's page, under another name."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from fastapi import Body, Depends, FastAPI
from starlette.applications import Starlette
from starlette.routing import Mount

from headrace import Headrace, Role
from headrace.web import web_app
from headrace.web.access import Caller, require
from headrace.web.gate import COOKIE, HEADERS, PUBLIC, Rates, is_forged, protect
from tests.access.web import ADDRESS, HOST, NOBODY_S, OURS, UNSAFE, Operation, client, operations

if TYPE_CHECKING:
    from collections.abc import Callable

PASSWORD = "correct horse battery"
CHANGE_NOTHING = {"/api/v1/operations/preview"}
"""What has a body for its question."""

OWN_BUSINESS = {"/logout", "/logout/everywhere", "/settings/looks"}
"""What changes something that is the caller's own, such as a cookie: every role may do it."""

add_routes_for = {role: f"/test/{role.name.lower()}" for role in Role}


@pytest.fixture
def web(app: Headrace) -> FastAPI:
    """The web application, with a route for each role."""
    web = web_app(app)
    add_test_routes(web)
    return web


def add_test_routes(web: FastAPI) -> None:
    """Say who asked; act as them."""
    for role, path in add_routes_for.items():

        async def answer(who: Caller = Depends(require(role)), body: Any = Body(None)) -> Any:  # noqa: B008
            return {"name": who.name, "role": who.role.name, "tenant": who.tenant, "address": who.address}

        web.add_api_route(path, answer, methods=["GET", "POST", "DELETE"])

    async def pause(who: Caller = Depends(require(Role.OPERATOR, all_tenants=True))) -> None:  # noqa: B008
        await web.state.headrace.pause("q")

    web.add_api_route("/test/pause", pause, methods=["POST"])


@pytest.fixture
async def keys(app: Headrace) -> dict[Role, dict[str, str]]:
    """The headers of a key of each role."""
    return {role: {"authorization": f"Bearer {await app.access.create_key(role.name, role=role)}"} for role in Role}


@pytest.fixture
async def session(app: Headrace) -> dict[str, str]:
    """The cookie of somebody who is signed in."""
    await app.access.create_user("alice", role=Role.ADMIN, password=PASSWORD)
    return {"cookie": f"{COOKIE}={await app.access.sign_in('alice', PASSWORD, ADDRESS)}"}


# -- every route x every role --


async def test_no_route_answers_somebody_unknown(web: FastAPI) -> None:
    """But for the way in, what its pages look like, and whether the process lives; not even that a route is not there."""
    async with client(web) as stranger:
        for each in [*operations(web), Operation("GET", "/nothing/here", None), Operation("POST", "//login", None)]:
            answer = await stranger.request(each.method, each.path, headers=OURS)
            is_public = each.path in PUBLIC or each.path.startswith("/static/")
            is_refused = answer.status_code == 401 and answer.headers["content-type"] == "application/problem+json"
            assert is_refused is not is_public, each


async def test_every_route_says_which_role_it_takes(app: Headrace) -> None:
    """A route without `require` would let every key in; those that change something want more than a viewer."""
    for each in operations(web_app(app)):
        if each.path in PUBLIC or each.path.endswith("/openapi.json") or each.path.startswith("/static/"):
            continue
        assert each.role is not None, each
        if each.method in UNSAFE and each.path not in OWN_BUSINESS | CHANGE_NOTHING:
            assert each.role >= Role.OPERATOR, each


@pytest.mark.parametrize("role", Role)
async def test_a_smaller_role_is_refused(web: FastAPI, keys: dict[Role, dict[str, str]], role: Role) -> None:
    """By every route that wants a larger one, before it looks at what was sent."""
    async with client(web, headers=keys[role]) as caller:
        refused = [each for each in operations(web) if each.role is not None and each.role > role]
        assert refused or role is Role.ADMIN
        for each in refused:
            answer = await caller.request(each.method, each.path)
            # Where the thing is looked for first, a viewer may know that there is none.
            assert answer.status_code == 403 or (answer.status_code == 404 and NOBODY_S in each.path), each
        for allowed in (r for r in Role if r <= role):
            answer = await caller.post(add_routes_for[allowed])
            assert answer.json() == {"name": role.name, "role": role.name, "tenant": None, "address": ADDRESS}


async def test_a_caller_of_one_tenant_is_kept_from_what_is_for_all(web: FastAPI, app: Headrace) -> None:
    """Whatever the role; the route hears whose jobs the caller may see."""
    key = await app.access.create_key("acme", role=Role.ADMIN, tenant="acme")
    async with client(web, headers={"authorization": f"Bearer {key}"}) as caller:
        assert (await caller.get("/test/viewer")).json()["tenant"] == "acme"
        assert (await caller.post("/test/pause")).status_code == 403
    assert await app.list_pauses() == []


# -- keys --


@pytest.mark.parametrize(
    "authorization",
    ["", "Bearer", "Bearer ", "Bearer x", "Basic YWxpY2U6eA==", "Bearer hr__", "Bearer hr_000000000000_", "Bearer hr_000000000000_x",
     "bearer \x01", "Bearer " + "x" * 5000, "hr_000000000000_x"],
)  # fmt: skip
async def test_what_is_no_key_matches_nothing(
    web: FastAPI, app: Headrace, session: dict[str, str], authorization: str
) -> None:
    """An empty, cut or made-up key lets nobody in; and a cookie beside a wrong key does not make up for it."""
    async with client(web) as caller:
        for headers in ({"authorization": authorization}, {"authorization": authorization} | session):
            assert (await caller.get("/test/viewer", headers=headers)).status_code == 401


async def test_a_key_is_all_of_it(web: FastAPI, app: Headrace) -> None:
    """Nothing of it can be left out, changed or added; case matters."""
    key = await app.access.create_key("ci", role=Role.VIEWER)
    other = await app.access.create_key("other", role=Role.VIEWER)
    async with client(web) as caller:
        assert (await caller.get("/test/viewer", headers={"authorization": f"bearer {key}"})).status_code == 200
        mixed = key.rpartition("_")[0] if "_" in key else key
        forged = [key[:-1], key + "x", key.swapcase(), key[:16] + other[16:], other[:16] + key[16:], mixed, key[3:]]
        for each in forged:
            assert (await caller.get("/test/viewer", headers={"authorization": f"Bearer {each}"})).status_code == 401


async def test_an_expired_or_revoked_key_lets_nobody_in(web: FastAPI, app: Headrace) -> None:
    """From the next request on; in the audit log is that it was, and never the key."""
    key = await app.access.create_key("ci", role=Role.VIEWER, expires=timedelta(days=90))
    now = datetime.now(UTC)
    assert await app.access.check_key(key, now=now + timedelta(days=89)) is not None
    assert await app.access.check_key(key, now=now + timedelta(days=91)) is None
    headers = {"authorization": f"Bearer {key}"}
    async with client(web, headers=headers) as caller:
        assert (await caller.get("/test/viewer")).status_code == 200
        await app.access.revoke_key("ci")
        assert (await caller.get("/test/viewer")).status_code == 401
    assert key.rpartition("_")[2] not in repr(await app.audit.list(limit=1000))


# -- from this machine --


@pytest.fixture
def local_web(app: Headrace) -> FastAPI:
    """The application as it is served on a loopback address without authentication."""
    web = web_app(app, local=True)
    add_test_routes(web)
    return web


@pytest.mark.parametrize("host", ["localhost", "localhost:8000", "127.0.0.1:8000", "[::1]:8000"])
@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.9.1", "::1"])
async def test_whoever_is_on_this_machine_may_do_everything(local_web: FastAPI, host: str, address: str) -> None:
    """If it was started for that."""
    async with client(local_web, address=address, host=host) as me:
        assert (await me.post("/test/admin")).json()["name"] == "local"
        assert (await me.post("/test/admin", headers={"origin": f"http://{host}"})).status_code == 200


@pytest.mark.parametrize(
    ("address", "headers"),
    [
        ("192.0.2.1", {}),
        ("::ffff:192.0.2.1", {}),
        ("unix", {}),
        ("127.0.0.1", {"x-forwarded-for": "127.0.0.1"}),
        ("127.0.0.1", {"forwarded": "for=127.0.0.1"}),
        ("127.0.0.1", {"x-real-ip": "127.0.0.1"}),
        ("127.0.0.1", {"via": "1.1 proxy"}),
        ("127.0.0.1", {"host": "evil.example"}),
        ("127.0.0.1", {"host": "localhost.evil.example"}),
        ("127.0.0.1", {"host": "127.0.0.1.evil.example:8000"}),
        ("127.0.0.1", {"host": "evil.example@localhost.evil.example"}),
        ("127.0.0.1", {"host": "[::1"}),
        ("127.0.0.1", {"host": ""}),
    ],
)
async def test_who_only_seems_to_be_here_is_refused(local_web: FastAPI, address: str, headers: dict[str, str]) -> None:
    """Other machines, whatever a proxy passes on, and pages whose own name was made to lead here (DNS rebinding)."""
    async with client(local_web, address=address, host="localhost:8000") as stranger:
        assert (await stranger.get("/test/viewer", headers=headers)).status_code == 401


async def test_being_here_counts_only_if_it_was_asked_for(web: FastAPI) -> None:
    """A proxy on the same machine comes from here, too."""
    async with client(web, address="127.0.0.1", host="localhost") as me:
        assert (await me.get("/test/viewer")).status_code == 401


# -- from a stranger's page --


@pytest.mark.parametrize(
    "headers",
    [
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": ""},
        {"sec-fetch-site": "cross-site", "origin": f"http://{HOST}"},
        {"origin": "http://evil.example"},
        {"origin": f"http://{HOST}.evil.example"},
        {"origin": f"http://{HOST}:81"},
        {"origin": "null"},
        {"origin": ""},
        {},
    ],
)
async def test_a_strangers_page_changes_nothing(web: FastAPI, session: dict[str, str], headers: dict[str, str]) -> None:
    """It comes with the cookie of whoever looks at it; without a word of where it comes from, a session is not believed."""
    async with client(web, headers=session) as browser:
        for method in sorted(UNSAFE - {"PUT", "PATCH"}):
            assert (await browser.request(method, "/test/admin", headers=headers)).status_code == 403


@pytest.mark.parametrize(
    "headers", [{"sec-fetch-site": "cross-site"}, {"origin": "http://evil.example"}, {"origin": "null"}]
)
@pytest.mark.parametrize("path", ["/test/admin", "/login", "/login/first", "/logout"])
async def test_nor_does_it_where_nobody_signs_in(local_web: FastAPI, headers: dict[str, str], path: str) -> None:
    """A browser on this machine reaches this machine, whatever page asks it to; nor may a page sign somebody in as another."""
    async with client(local_web, address="127.0.0.1", host="localhost") as browser:
        assert (await browser.post(path, headers=headers)).status_code == 403


@pytest.mark.parametrize(
    "headers", [OURS, {"sec-fetch-site": "none"}, {"origin": f"http://{HOST}"}, {"origin": f"https://{HOST.upper()}"}]
)
async def test_our_own_pages_do(web: FastAPI, session: dict[str, str], headers: dict[str, str]) -> None:
    """Browsers with Sec-Fetch-Site, and those before it; also where a proxy ends TLS."""
    async with client(web, headers=session) as browser:
        assert (await browser.post("/test/admin", headers=headers)).json()["name"] == "alice"


async def test_a_key_is_nobody_s_browser(web: FastAPI, keys: dict[Role, dict[str, str]]) -> None:
    """Browsers do not send keys by themselves: programs need not say where they come from."""
    async with client(web, headers=keys[Role.ADMIN]) as program:
        assert (await program.post("/test/admin")).status_code == 200


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_reading_is_never_forged(method: str) -> None:
    """A link to us is no attack."""
    assert not is_forged(method, {"sec-fetch-site": "cross-site", "cookie": f"{COOKIE}=x"})  # type: ignore[arg-type]


# -- too much --


async def test_bodies_have_a_bound(app: Headrace, keys: dict[Role, dict[str, str]]) -> None:
    """Those that say how long they are are not read; others no further than that; what is no length is no request."""
    web = web_app(app, max_body_bytes=1 << 20)
    add_test_routes(web)
    read = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal read
        for _ in itertools.repeat(None):
            read += 1
            yield b" " * 65_536

    async with client(web, headers=keys[Role.ADMIN]) as caller:
        assert (await caller.post("/test/admin", content=b"1" * (1 << 20))).status_code != 413
        assert (await caller.post("/test/admin", content=b"1" * ((1 << 20) + 1))).status_code == 413
        assert (await caller.post("/test/admin", content=b"1", headers={"content-length": "-1"})).status_code == 413
        json = {"content-type": "application/json"}
        assert (await caller.post("/test/admin", content=endless(), headers=json)).status_code == 413
    assert read <= 18


async def test_a_caller_asks_only_so_often(app: Headrace) -> None:
    """One caller's haste is not another's; whoever is too fast hears for how long."""
    web = web_app(app)
    web.user_middleware.clear()
    protect(web, app, requests_per_s=0.001, burst=3)
    add_test_routes(web)
    first, second = [
        {"authorization": f"Bearer {await app.access.create_key(name, role=Role.VIEWER)}"} for name in ("a", "b")
    ]
    async with client(web) as caller:
        answers = [await caller.get("/test/viewer", headers=first) for _ in range(5)]
        assert [answer.status_code for answer in answers] == [200, 200, 200, 429, 429]
        assert 900 < int(answers[-1].headers["retry-after"]) <= 1001
        assert (await caller.get("/test/viewer", headers=second)).status_code == 200


def test_rates_are_those_that_were_asked_for() -> None:
    """A burst at once, then so many in a second, and never more; idle time is not saved up beyond the burst."""
    now = 100.0
    rates = Rates(10, 5, lambda: now)
    assert [rates.wait_s("a") > 0 for _ in range(6)] == [False] * 5 + [True]
    passed = 0
    for _ in range(1000):
        now += 0.01
        passed += rates.wait_s("a") == 0
    assert 99 <= passed <= 101
    now += 1000
    assert sum(rates.wait_s("a") == 0 for _ in range(20)) == 5


# -- what every answer says --


async def test_every_answer_has_the_headers(web: FastAPI, keys: dict[Role, dict[str, str]]) -> None:
    """Pages, problems, refusals and what is not there: no scripts from elsewhere, no frames, no guessing, no caches."""
    async with client(web, headers={}) as caller:
        answers = [
            await caller.get("/login"), await caller.get("/test/viewer"), await caller.post("/test/viewer"),
            await caller.get("/test/viewer", headers=keys[Role.VIEWER]), await caller.get("/nothing", headers=keys[Role.VIEWER]),
        ]  # fmt: skip
    for answer in answers:
        assert {name: answer.headers.get(name) for name in HEADERS} == HEADERS
        assert answer.headers["cache-control"] == "no-store"
        assert "access-control-allow-origin" not in answer.headers
    assert "'unsafe" not in HEADERS["content-security-policy"]


async def test_a_person_is_shown_the_way_in(web: FastAPI) -> None:
    """A browser that asks for a page; programs get 401."""
    async with client(web) as browser:
        answer = await browser.get("/jobs?q=a&b", headers={"accept": "text/html,*/*"})
        assert (answer.status_code, answer.headers["location"]) == (303, "/login?next=%2Fjobs%3Fq%3Da%26b")
        program = await browser.get("/jobs", headers={"accept": "application/json"})
        assert (program.status_code, program.headers["www-authenticate"]) == (401, "Bearer")
        assert program.headers["content-type"] == "application/problem+json"


async def test_under_a_prefix_everything_is_the_same(web: FastAPI, keys: dict[Role, dict[str, str]]) -> None:
    """Mounted: the way in is public there and not elsewhere, and links lead to it."""
    outer = Starlette(routes=[Mount("/admin/jobs", web)])
    async with client(outer) as caller:
        assert (await caller.get("/admin/jobs/login")).status_code == 200
        assert 'action="/admin/jobs/login"' in (await caller.get("/admin/jobs/login")).text
        answer = await caller.get("/admin/jobs/jobs", headers={"accept": "text/html"})
        assert answer.headers["location"] == "/admin/jobs/login?next=%2Fjobs"
        for path in (
            "/admin/jobs/test/viewer",
            "/admin/jobs/admin/jobs/login",
            "/admin/jobs/x/login",
            "/admin/jobs//login",
        ):
            assert (await caller.get(path)).status_code == 401
        assert (await caller.get("/admin/jobs/test/viewer", headers=keys[Role.VIEWER])).status_code == 200


@pytest.mark.parametrize(
    "path",
    ["/static/../test/viewer", "/static/..%2ftest/viewer", "/login/../test/viewer", "/login/", "/LOGIN", "/login;x"],
)
async def test_a_public_path_does_not_lead_to_another(web: FastAPI, path: str) -> None:
    """The gate and the router read the same path."""
    async with client(web) as stranger:
        request = stranger.build_request("GET", "http://x/")
        request.url = request.url.copy_with(raw_path=path.encode())
        answer = await stranger.send(request)
        assert answer.status_code in (401, 404)
        assert "ADMIN" not in answer.text
        assert "role" not in answer.text


async def test_a_web_socket_is_closed(web: FastAPI) -> None:
    """There are none."""
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    await web({"type": "websocket", "path": "/test/viewer", "headers": [], "query_string": b""}, receive, send)
    assert [message["type"] for message in sent] == ["websocket.close"]


async def test_a_database_that_is_away_lets_nobody_in() -> None:
    """Whether a key counts is not known: 503, and not whatever the route says."""
    async with client(web_app(Headrace("postgresql://x:y@127.0.0.1:1/none"))) as caller:
        answer = await caller.get("/test/viewer", headers={"authorization": "Bearer hr_000000000000_x"})
        assert answer.status_code == 503


# -- who acts --


async def test_what_a_request_does_is_recorded_as_its_sender_s(
    web: FastAPI, keys: dict[Role, dict[str, str]], session: dict[str, str], entries: Callable[..., Any]
) -> None:
    """With the name, the way in and the address; requests at the same time are not mixed up."""
    async with client(web, address="192.0.2.9") as caller:
        await asyncio.gather(
            *(caller.post("/test/pause", headers=keys[Role.OPERATOR]) for _ in range(5)),
            *(caller.post("/test/pause", headers=session | OURS) for _ in range(5)),
        )
    found = await entries(action="queue.pause")
    assert sorted((entry.by, entry.source, entry.address) for entry in found) == [
        *[("OPERATOR", "api", "192.0.2.9")] * 5, *[("alice", "dashboard", "192.0.2.9")] * 5,
    ]  # fmt: skip
