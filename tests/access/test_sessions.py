"""Attacks on signing in: guessing, stolen and planted cookies, links that are used twice, and where one is led afterwards."""

from __future__ import annotations

import asyncio
import hmac
import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from headrace import Headrace, InvalidPassword, Role, SignInRefused, TooManyTries, UnknownUser
from headrace._access import passwords, tokens
from headrace.access import (
    ABSOLUTE,
    IDLE,
    TRIES_OF_ADDRESS,
    TRIES_OF_NAME,
    TRIES_OF_NAME_AND_ADDRESS,
    Identity,
    _network,
)
from headrace.errors import ConfigurationError
from headrace.web import web_app
from headrace.web.gate import COOKIE
from headrace.web.sessions import safe_path
from tests.access.web import ADDRESS, OURS, client

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from fastapi import FastAPI

    from headrace import AuditEntry

    Entries = Callable[..., Awaitable[Sequence[AuditEntry]]]

PASSWORD = "correct horse battery"
WRONG = "correct horse batterz"
FORM = {"name": "alice", "password": PASSWORD}


@pytest.fixture(autouse=True)
def _cheap_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    """Argon2 with the least that it takes: what is tested here is not how long it takes."""
    from pwdlib import PasswordHash
    from pwdlib.hashers.argon2 import Argon2Hasher

    cheap = PasswordHash((Argon2Hasher(time_cost=1, memory_cost=8, parallelism=1),))
    monkeypatch.setattr(passwords, "_hasher", lambda: cheap)
    passwords._nobodys.cache_clear()


@pytest.fixture
async def alice(app: Headrace) -> None:
    """A user."""
    await app.access.create_user("alice", role=Role.OPERATOR, password=PASSWORD)


@pytest.fixture
def web(app: Headrace) -> FastAPI:
    """The web application."""
    return web_app(app)


async def sign_in(browser: Any, **fields: str) -> Any:
    return await browser.post("/login", data=FORM | fields, headers=OURS)


# -- coming and going --


async def test_somebody_signs_in_and_out(web: FastAPI, app: Headrace, alice: None, entries: Entries) -> None:
    """The form, the cookie, and its end; all of it is recorded."""
    async with client(web) as browser:
        assert 'name="password"' in (await browser.get("/login")).text
        answer = await sign_in(browser, next="/jobs?q=1")
        assert (answer.status_code, answer.headers["location"]) == (303, "/jobs?q=1")
        assert (await browser.get("/api/v1/openapi.json")).status_code == 200
        token = browser.cookies[COOKIE]
        assert (await browser.post("/logout", headers=OURS)).headers["location"] == "/login"
        assert COOKIE not in browser.cookies
        browser.cookies[COOKIE] = token
        assert (await browser.get("/api/v1/openapi.json")).status_code == 401
    recorded = [(entry.by, entry.source, entry.address, entry.action) for entry in await entries(kind="user")]
    assert [each for each in recorded if each[3] != "user.create"] == [
        ("alice", "dashboard", ADDRESS, "session.sign_in"), ("alice", "dashboard", ADDRESS, "session.sign_out"),
    ]  # fmt: skip


async def test_signing_out_everywhere_ends_every_session_of_that_user(web: FastAPI, app: Headrace, alice: None) -> None:
    """And of nobody else."""
    await app.access.create_user("bob", role=Role.VIEWER, password=PASSWORD)
    async with client(web) as here, client(web) as there, client(web) as bob:
        for browser, name in ((here, "alice"), (there, "ALICE"), (bob, "bob")):
            assert (await sign_in(browser, name=name)).status_code == 303
        assert (await here.post("/logout/everywhere", headers=OURS)).status_code == 303
        assert [(await browser.get("/api/v1/openapi.json")).status_code for browser in (here, there, bob)] == [
            401,
            401,
            200,
        ]


@pytest.mark.parametrize(
    "act", [lambda access: access.set_password("Alice", "another good one"), lambda access: access.remove_user("alice")]
)
async def test_another_password_and_removal_end_sessions(app: Headrace, alice: None, act: Callable[..., Any]) -> None:
    """From the next request on."""
    token = await app.access.sign_in("alice", PASSWORD, ADDRESS)
    assert await app.access.check_session(token) == Identity("alice", Role.OPERATOR, None)
    await act(app.access)
    assert await app.access.check_session(token) is None
    with pytest.raises(SignInRefused):
        await app.access.sign_in("alice", PASSWORD, ADDRESS)


async def test_sessions_end_by_themselves(app: Headrace, alice: None, url: str) -> None:
    """When nobody uses them, and when they are too old, used or not; what has ended is deleted."""
    token = await app.access.sign_in("alice", PASSWORD, ADDRESS)
    now, second = datetime.now(UTC), timedelta(seconds=60)
    assert await app.access.check_session(token, now=now + IDLE - second) is not None
    assert await app.access.check_session(token, now=now + IDLE + second) is None
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute("update headrace.access_session set seen_at = now() + interval '7 days'")
        assert await app.access.check_session(token, now=now + ABSOLUTE - second) is not None
        assert await app.access.check_session(token, now=now + ABSOLUTE + second) is None
        conn.execute("update headrace.access_session set created_at = now() - interval '7 days 1 second'")
        conn.execute("select headrace.prune_access(%s, %s)", [IDLE.total_seconds(), ABSOLUTE.total_seconds()])
        assert conn.execute("select count(*) from headrace.access_session").fetchone() == (0,)


async def test_being_seen_is_written_once_a_minute(app: Headrace, alice: None, url: str) -> None:
    """A page that asks ten times a second does not write ten times a second; the same for keys."""
    token, key = (
        await app.access.sign_in("alice", PASSWORD, ADDRESS),
        await app.access.create_key("k", role=Role.VIEWER),
    )
    with psycopg.connect(url, autocommit=True) as conn:

        def versions() -> Any:
            return conn.execute(
                "select s.xmin::text, k.xmin::text from headrace.access_session s, headrace.access_key k"
            ).fetchone()

        await app.access.check_key(key)
        before = versions()
        for _ in range(3):
            assert await app.access.check_session(token)
            assert await app.access.check_key(key)
        assert versions() == before
        conn.execute("update headrace.access_session set seen_at = now() - interval '2 minutes'")
        conn.execute("update headrace.access_key set used_at = now() - interval '2 minutes'")
        await app.access.check_session(token)
        await app.access.check_key(key)
        assert conn.execute("select now() - seen_at < '1 minute' from headrace.access_session").fetchone() == (True,)
        assert conn.execute("select now() - used_at < '1 minute' from headrace.access_key").fetchone() == (True,)


# -- cookies --


@pytest.mark.parametrize(
    ("scheme", "headers", "is_secure"),
    [("http", {}, False), ("https", {}, True), ("http", {"x-forwarded-proto": "https"}, True)],
)
async def test_the_cookie_is_out_of_reach(
    web: FastAPI, alice: None, scheme: str, headers: dict[str, str], is_secure: bool
) -> None:
    """Of scripts, of other sites' forms, and of plain http if there is https."""
    async with client(web, scheme=scheme) as browser:
        answer = await browser.post("/login", data=FORM, headers=OURS | headers)
        said = answer.headers["set-cookie"]
        assert "HttpOnly" in said
        assert "SameSite=lax" in said
        assert "Path=/;" in said
        assert ("Secure" in said) is is_secure
        assert "Domain" not in said


async def test_a_planted_cookie_is_no_session(web: FastAPI, app: Headrace, alice: None) -> None:
    """Whoever signs in gets a new one; the one that the browser came with, even if it was somebody's, counts no more."""
    async with client(web) as attacker, client(web) as victim:
        await app.access.create_user("mallory", role=Role.VIEWER, password=PASSWORD)
        await sign_in(attacker, name="mallory")
        planted = attacker.cookies[COOKIE]
        victim.cookies[COOKIE] = planted
        assert (await sign_in(victim)).cookies[COOKIE] != planted
        assert (await attacker.get("/api/v1/openapi.json")).status_code == 401
        assert await app.access.check_session(planted) is None


@pytest.mark.parametrize("token", ["", "x", "\x00", "é" * 10, "A" * 43])
async def test_what_is_no_session_matches_nothing(app: Headrace, alice: None, token: str) -> None:
    """Empty or made up."""
    await app.access.sign_in("alice", PASSWORD, ADDRESS)
    assert await app.access.check_session(token) is None
    assert await app.access.find_invited(token) is None
    await app.access.sign_out(token)


async def test_what_is_kept_lets_nobody_in(app: Headrace, alice: None, url: str) -> None:
    """Whoever reads the database has no key, no cookie and no link: what is there is one way."""
    token, key = await app.access.sign_in("alice", PASSWORD, ADDRESS), await app.access.create_key("k", role=Role.ADMIN)
    link = await app.access.invite("alice")
    with psycopg.connect(url) as conn:
        kept = str([
            conn.execute(f"select * from headrace.{table}").fetchall()
            for table in ("access_user", "access_key", "access_session", "access_link", "access_try", "audit")
        ])  # fmt: skip
    for secret in (token, key, key.rpartition("_")[2], link, PASSWORD):
        assert secret not in kept
    assert "$argon2id$" in kept


# -- guessing --


async def test_guessing_is_limited(web: FastAPI, app: Headrace, alice: None, entries: Entries) -> None:
    """After five tries from one address the password is not even looked at; it is recorded once that they go on."""
    async with client(web) as browser:
        answers = [await sign_in(browser, password=WRONG) for _ in range(TRIES_OF_NAME_AND_ADDRESS + 3)]
        assert [answer.status_code for answer in answers] == [401] * TRIES_OF_NAME_AND_ADDRESS + [429] * 3
        assert 0 < int(answers[-1].headers["retry-after"]) <= 901
        assert (await sign_in(browser)).status_code == 429  # the right one, too
    async with client(web, address="198.51.100.1") as elsewhere:
        assert (await sign_in(elsewhere)).status_code == 303  # nobody is kept out by strangers
    refused = [entry for entry in await entries(action="session.refused") if "tries" in str(entry.after)]
    assert [(entry.by, entry.targets) for entry in refused] == [("(not signed in)", ["alice"])]


async def test_guessing_at_the_same_time_is_limited_too(app: Headrace, alice: None, url: str) -> None:
    """From two processes, in one moment: tries are counted before they are looked at, in the database."""
    async with Headrace(url) as other:
        tries = [each.access.sign_in("alice", WRONG, ADDRESS) for each in (app, other) for _ in range(20)]
        answers = await asyncio.gather(*tries, return_exceptions=True)
    looked_at = [answer for answer in answers if type(answer) is SignInRefused]
    assert len(looked_at) == TRIES_OF_NAME_AND_ADDRESS
    assert all(isinstance(answer, SignInRefused | TooManyTries) for answer in answers)


async def test_one_address_tries_only_so_many_names(app: Headrace, alice: None) -> None:
    """A list of names with one password; of IPv6, all addresses of a /64 are one."""
    outcomes = []
    for n in range(TRIES_OF_ADDRESS + 2):
        try:
            await app.access.sign_in(f"user{n}", WRONG, f"2001:db8::{n:x}")
        except SignInRefused as error:
            outcomes.append(type(error))
    assert outcomes == [SignInRefused] * TRIES_OF_ADDRESS + [TooManyTries] * 2
    assert await app.access.sign_in("alice", PASSWORD, "2001:db8:0:1::1")


async def test_one_name_is_tried_only_so_often_from_many_addresses(app: Headrace, alice: None) -> None:
    """A botnet."""
    outcomes = []
    for n in range(TRIES_OF_NAME + 2):
        try:
            await app.access.sign_in("Alice" if n % 2 else "alice", WRONG, f"198.51.{n}.1")
        except SignInRefused as error:
            outcomes.append(type(error))
    assert outcomes == [SignInRefused] * TRIES_OF_NAME + [TooManyTries] * 2


async def test_tries_are_forgiven(app: Headrace, alice: None, url: str) -> None:
    """To whoever signs in at last, and after a quarter of an hour."""
    for _ in range(2):
        for _ in range(TRIES_OF_NAME_AND_ADDRESS - 1):
            with pytest.raises(SignInRefused):
                await app.access.sign_in("alice", WRONG, ADDRESS)
        await app.access.sign_in("alice", PASSWORD, ADDRESS)
    for _ in range(TRIES_OF_NAME_AND_ADDRESS + 1):
        with pytest.raises(SignInRefused):
            await app.access.sign_in("alice", WRONG, ADDRESS)
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute("update headrace.access_try set since = since - interval '15 minutes'")
    assert await app.access.sign_in("alice", PASSWORD, ADDRESS)


async def test_whether_a_name_exists_does_not_show(
    web: FastAPI, app: Headrace, alice: None, monkeypatch: pytest.MonkeyPatch, entries: Entries
) -> None:
    """The same answer after the same work, for users, for those without a password, and for nobody."""
    await app.access.create_user("new", role=Role.VIEWER)
    verified: list[str] = []
    hasher = passwords._hasher()
    verify = hasher.verify_and_update

    def count(given: str, kept: str) -> Any:
        verified.append(kept)
        return verify(given, kept)

    monkeypatch.setattr(hasher, "verify_and_update", count)
    texts = set()
    async with client(web) as browser:
        for name in ("alice", "new", "nobody", "x" * 500, ""):
            answer = await sign_in(browser, name=name, password=WRONG)
            texts.add((answer.status_code, answer.text.replace(f'value="{name}"', "")))
    assert len(texts) == 1
    assert len(verified) == 5
    assert "x" * 101 not in repr(await entries())  # what nobody is called may be a password in the wrong field
    assert {entry.by for entry in await entries(action="session.refused")} == {"(not signed in)"}


@pytest.mark.parametrize("password", ["", " ", "None", "nobody has this password", "x" * 2000])
async def test_who_has_no_password_is_let_in_by_none(app: Headrace, password: str) -> None:
    """An unset secret matches nothing, nor does the hash that stands in for it."""
    await app.access.create_user("new", role=Role.ADMIN)
    for name in ("new", "nobody", ""):
        with pytest.raises(SignInRefused):
            await app.access.sign_in(name, password, ADDRESS)


def test_comparisons_take_the_same_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the function that is made for it, also where there is nothing to compare with; and empty matches nothing."""
    compared: list[tuple[bytes, bytes]] = []
    original = hmac.compare_digest

    def count(one: bytes, other: bytes) -> bool:
        compared.append((one, other))
        return original(one, other)

    monkeypatch.setattr("headrace._access.tokens.hmac.compare_digest", count)
    key, _ = tokens.new_key()
    assert tokens.matches(key, tokens.digest(key))
    assert not tokens.matches(key, tokens.digest("other"))
    assert not tokens.matches(key, None)
    assert not tokens.matches("", tokens.digest(""))
    assert not tokens.matches("", b"")
    assert len(compared) == 5
    assert all(len(a) == len(b) == 32 for a, b in compared)


@pytest.mark.parametrize(("address", "network"), [
    ("192.0.2.1", "192.0.2.1"), ("::ffff:192.0.2.1", "192.0.2.1"), ("2001:db8::1", "2001:db8::/64"), ("unix", "unix"), ("", ""),
])  # fmt: skip
def test_what_counts_as_one_address(address: str, network: str) -> None:
    """Of IPv4 each, however it is written; of IPv6 what one customer has."""
    assert _network(address) == network


async def test_passwords_are_long_enough(app: Headrace) -> None:
    """Twelve characters, and no more than argon2 should have to read."""
    for password in ("", "short", "x" * 11, "x" * 1025):
        with pytest.raises(InvalidPassword):
            await app.access.create_user("alice", role=Role.VIEWER, password=password)
    assert await app.access.list_users() == []
    with pytest.raises(UnknownUser):
        await app.access.set_password("alice", PASSWORD)


async def test_a_password_is_kept_with_todays_parameters(
    app: Headrace, alice: None, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever signs in after they were made stronger."""
    from pwdlib import PasswordHash
    from pwdlib.hashers.argon2 import Argon2Hasher

    stronger = PasswordHash((Argon2Hasher(time_cost=2, memory_cost=16, parallelism=1),))
    monkeypatch.setattr(passwords, "_hasher", lambda: stronger)
    await app.access.sign_in("alice", PASSWORD, ADDRESS)
    with psycopg.connect(url) as conn:
        ((kept,),) = conn.execute("select password from headrace.access_user").fetchall()
    assert "m=16,t=2" in kept
    assert await app.access.sign_in("alice", PASSWORD, ADDRESS)


# -- links --


async def test_a_link_lets_one_choose_a_password_once(web: FastAPI, app: Headrace, entries: Entries) -> None:
    """Looking at it uses nothing up, and a password that is too short does not, either."""
    await app.access.create_user("bob", role=Role.VIEWER, tenant="acme")
    token = await app.access.invite("BOB")
    async with client(web) as browser:
        for _ in range(2):  # a chat looks at the link before its reader does
            assert 'value="bob"' in (await browser.get("/login/first", params={"token": token})).text
        fields = {"token": token, "name": "somebody-else", "password": "short"}
        assert (await browser.post("/login/first", data=fields, headers=OURS)).status_code == 422
        fields["password"] = PASSWORD
        assert (await browser.post("/login/first", data=fields, headers=OURS)).status_code == 303
        who = await app.access.check_session(browser.cookies[COOKIE])
        assert who == Identity("bob", Role.VIEWER, "acme")
        assert (await browser.post("/login/first", data=fields, headers=OURS)).status_code == 422
        assert (await browser.get("/login/first", params={"token": token})).status_code == 404
    assert token not in repr(await entries())


async def test_of_two_who_use_a_link_one_does(app: Headrace) -> None:
    """At the same moment."""
    token = await app.access.invite()
    answers = await asyncio.gather(
        *(app.access.accept_invitation(token, f"admin{n}", PASSWORD, ADDRESS) for n in range(5)), return_exceptions=True
    )
    assert sum(isinstance(answer, str) for answer in answers) == 1
    assert len(await app.access.list_users()) == 1


async def test_a_link_counts_for_an_hour(app: Headrace, url: str) -> None:
    """By the database's clock."""
    token = await app.access.invite()
    now = datetime.now(UTC)
    assert await app.access.find_invited(token, now=now + timedelta(minutes=59)) == ""
    assert await app.access.find_invited(token, now=now + timedelta(minutes=61)) is None
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute("update headrace.access_link set expires_at = now()")
    with pytest.raises(SignInRefused):
        await app.access.accept_invitation(token, "admin", PASSWORD, ADDRESS)
    assert not await app.access.has_users()


async def test_the_first_administrators_link_is_for_the_first(app: Headrace) -> None:
    """One that was printed before, and never used, makes no second administrator."""
    forgotten, used = await app.access.invite(), await app.access.invite()
    assert await app.access.accept_invitation(used, "admin", PASSWORD, ADDRESS)
    assert await app.access.find_invited(forgotten) is None
    with pytest.raises(SignInRefused):
        await app.access.accept_invitation(forgotten, "mallory", PASSWORD, ADDRESS)
    with pytest.raises(ConfigurationError, match="users already"):
        await app.access.invite()
    (admin,) = await app.access.list_users()
    assert (admin.name, admin.role, admin.has_password) == ("admin", Role.ADMIN, True)


# -- where to --


@pytest.mark.parametrize(
    "wanted",
    ["https://evil.example", "//evil.example", "/\\evil.example", "\\\\evil.example", "javascript:alert(1)", "evil", "",
     "/\t/evil.example", "/\n/evil.example", "///evil.example", "http:evil.example"],
)  # fmt: skip
async def test_nobody_is_led_elsewhere(web: FastAPI, alice: None, wanted: str) -> None:
    """What was to be shown after signing in is a path of ours, or the first page."""
    assert safe_path(wanted) == "/"
    async with client(web) as browser:
        assert (await sign_in(browser, next=wanted)).headers["location"] == "/"


async def test_under_a_prefix_the_cookie_is_that_path_s(web: FastAPI, alice: None) -> None:
    """Other applications on the same host do not get it, and one is led back into this one."""
    from starlette.applications import Starlette
    from starlette.routing import Mount

    async with client(Starlette(routes=[Mount("/jobs", web)])) as browser:
        answer = await browser.post("/jobs/login", data=FORM | {"next": "/queues"}, headers=OURS)
        assert answer.headers["location"] == "/jobs/queues"
        assert "Path=/jobs;" in answer.headers["set-cookie"]
        assert (await browser.get("/jobs/api/v1/openapi.json")).status_code == 200


async def test_what_was_typed_is_text(web: FastAPI, alice: None) -> None:
    """Names and paths come back in the form, and are nothing but text there."""
    evil = "\"><script>alert(1)</script>'"
    async with client(web) as browser:
        for text in (
            (await sign_in(browser, name=evil, next=evil, password=WRONG)).text,
            (await browser.get("/login", params={"next": evil})).text,
            (await browser.get("/login/first", params={"token": evil})).text,
        ):
            assert "<script" not in text
            assert not re.search(r'="[^"]*"><s', text)
        assert "&lt;script&gt;" in (await browser.get("/login", params={"next": evil})).text
