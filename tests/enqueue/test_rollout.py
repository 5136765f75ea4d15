"""Triggers with a real database: jobs, percentages, and a database that goes away."""

from __future__ import annotations

import asyncio
import logging
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from headrace import (
    AnswerLost,
    AppClosed,
    DuplicateJob,
    Headrace,
    Middleware,
    NewJob,
    QueueFull,
    Rollout,
    SchemaError,
    Task,
    Unique,
)
from headrace._store.database import Database
from headrace._store.embedded import EmbeddedServer
from headrace._store.migrate import migrate
from headrace.rollout import place_of
from tests.enqueue.connections import ASYNC, SYNC
from tests.worker.proxy import Proxy

if TYPE_CHECKING:
    from collections.abc import Callable

    from headrace import Trigger

    Ask = Callable[..., list[tuple[Any, ...]]]
    Greet = Task[..., ..., str]

PLACE_IN_SQL = """
    select mod(('x' || left(encode(sha256(convert_to('match:' || key, 'UTF8')), 'hex'), 8))::bit(32)::bigint, 10000)
    from unnest(%s::text[]) with ordinality as t (key, n) order by n
"""


def hello(name: str) -> str:
    """A task."""
    return f"hello {name}"


def directly(name: str) -> str:
    """Its direct path."""
    return f"direct {name}"


@pytest.fixture(autouse=True)
def switches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything is on."""
    monkeypatch.setenv("USE_BG_JOBS_GLOBAL", "on")
    monkeypatch.setenv("USE_BG_JOBS_MATCH", "on")


@pytest.fixture
def match(app: Headrace, greet: Greet) -> Trigger[[str], str, str]:
    """The trigger that most tests use."""
    return Rollout(app).trigger("match", greet, direct=directly, key="name")


def counts(trigger: Trigger[..., Any, Any]) -> dict[str, int]:
    """How its calls went."""
    return {mode: n for (_, mode), n in trigger._rollout.counts().items()}


# -- in the background --


async def test_in_the_background(
    app: Headrace, match: Trigger[[str], str, str], caplog: pytest.LogCaptureFixture
) -> None:
    """A job is enqueued, and the result and the log name it."""
    caplog.set_level(logging.INFO, "headrace.rollout")
    went = await match.run("Ada")
    assert (went.mode, went.value, went.reason) == ("background", None, "USE_BG_JOBS_MATCH is on")
    assert went.job is not None
    assert f'trigger "match", background: USE_BG_JOBS_MATCH is on (job {went.job.id})' in caplog.messages
    await app.drain()
    assert await went.job.result(5) == "hello Ada"
    assert counts(match) == {"background": 1}


def test_from_synchronous_code(database: str, count: Callable[[], int], monkeypatch: pytest.MonkeyPatch) -> None:
    """The same, both ways."""
    app = Headrace(database)
    trigger = Rollout(app).trigger("match", app.task(name="greet")(hello))
    went = trigger.run_sync("Ada")
    assert went.job is not None
    app.run_sync(app.drain())
    assert went.job.result_sync(5) == "hello Ada"
    monkeypatch.setenv("USE_BG_JOBS_MATCH", "off")
    assert trigger.run_sync("Ada").value == "hello Ada"
    assert count() == 1
    app.close_sync()


async def test_a_percentage_of_the_matches(
    match: Trigger[[str], str, str], rows: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those whose place is below it, as SQL finds them, too; more at a larger one, the same ones among them."""
    names = [str(n) for n in range(100)]
    places = [place for (place,) in rows(PLACE_IN_SQL, names)]
    assert places == [place_of("match", name) for name in names]
    ins: list[set[str]] = []
    for percent in (10, 20):
        monkeypatch.setenv("USE_BG_JOBS_MATCH", f"{percent}%")
        for name in names:
            await match.run(name)
        ins.append({name for (name,) in rows("select args ->> 'name' from headrace.jobs")})
        assert ins[-1] == {name for name, place in zip(names, places, strict=True) if place < percent * 100}
    assert ins[0] < ins[1]


async def test_options(match: Trigger[[str], str, str], greet: Greet) -> None:
    """What a single call says about its job."""
    went = await match.using(greet.options(priority=2, correlation_id="r-1")).run("Ada")
    assert went.job is not None
    info = await went.job.info()
    assert (info.priority, info.correlation_id) == (2, "r-1")


# -- the database goes away --


async def test_the_server_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls go on directly, soon, with whatever connections were open; and in the background when it is back."""
    directory = tmp_path / "server"
    with EmbeddedServer.start(directory) as server:
        migrate(server.url)
    app = Headrace(server.url)
    async with AsyncExitStack() as closing:
        closing.push_async_callback(app.close)
        trigger = Rollout(app).trigger("match", app.task(name="greet")(hello))
        with EmbeddedServer.start(directory):
            await asyncio.gather(*(trigger.run(str(n)) for n in range(20)))
        monkeypatch.setattr("headrace.trigger.REACH_S", 0.5)
        for n in range(3):
            went = await trigger.run(str(n))
            assert (went.mode, went.value) == ("fallback", f"hello {n}")
        monkeypatch.setattr("headrace.trigger.REACH_S", 10)
        with EmbeddedServer.start(directory):
            assert (await trigger.run("back")).mode == "background"
            with psycopg.connect(server.url) as conn:
                assert conn.execute("select count(*) from headrace.jobs").fetchall() == [(21,)]


async def test_no_connection_can_be_had(
    database: str, count: Callable[[], int], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Idle connections broke and new ones are refused: nothing was sent, so the work is done directly, once."""
    monkeypatch.setattr("headrace.trigger.REACH_S", 0.2)
    async with Proxy(database) as proxy, Headrace(proxy.url) as app:
        done: list[str] = []
        trigger = Rollout(app).trigger("match", app.task(name="greet")(hello), direct=done.append)
        await trigger.run("before")
        proxy.stop()
        await asyncio.sleep(0)
        assert (await trigger.run("during")).mode == "fallback"
        assert (done, count()) == (["during"], 1)
        assert counts(trigger) == {"background": 1, "fallback": 1}
    assert "enqueueing failed: DatabaseUnavailable: no connection to the database was to be had" in caplog.text


@pytest.mark.parametrize("forward", [True, False], ids=["there", "not there"])
async def test_a_lost_answer_that_can_be_looked_up(database: str, count: Callable[[], int], forward: bool) -> None:
    """One job, and nothing is done directly."""
    async with Proxy(database) as proxy, Headrace(proxy.url) as app:
        done: list[str] = []
        trigger = Rollout(app).trigger("match", app.task(name="greet")(hello), direct=done.append)
        await app.open()
        proxy.cut_at(b'"Ada"', forward=forward)
        assert (await trigger.run("Ada")).mode == "background"
        assert proxy.cut.is_set()
        assert (done, count()) == ([], 1)


@pytest.mark.parametrize("forward", [True, False], ids=["there", "not there"])
async def test_a_lost_answer_that_cannot_be_looked_up(
    database: str, count: Callable[[], int], monkeypatch: pytest.MonkeyPatch, forward: bool
) -> None:
    """Never twice: it is raised and counted, and the caller can settle it when the database is back."""
    monkeypatch.setattr(Database.rows, "__defaults__", (0.3,))
    async with Proxy(database) as proxy, Headrace(proxy.url) as app, Headrace(database) as later:
        done: list[str] = []
        trigger = Rollout(app).trigger("match", app.task(name="greet")(hello), direct=done.append)
        await app.open()
        proxy.cut_at(b'"Ada"', forward=forward)
        stopping = asyncio.create_task(_stop_at_the_cut(proxy))
        with pytest.raises(AnswerLost) as lost:
            await trigger.run("Ada")
        await stopping
        assert (done, count()) == ([], int(forward))
        assert counts(trigger) == {"error": 1}
        await later.enqueue_many(lost.value.jobs)
        assert count() == 1


async def _stop_at_the_cut(proxy: Proxy) -> None:
    await proxy.cut.wait()
    proxy.stop()


# -- the database refuses --


async def test_a_schema_that_is_missing(empty_database: str) -> None:
    """A deploy that forgot to migrate: the work is done directly."""
    app = Headrace(empty_database)
    trigger = Rollout(app).trigger("match", app.task(name="greet")(hello))
    went = await trigger.run("Ada")
    await app.close()
    assert (went.mode, went.value) == ("fallback", "hello Ada")
    assert "SchemaError" in went.reason
    assert "headrace migrate" in went.reason


async def test_no_right_to_enqueue(match: Trigger[[str], str, str], rows: Ask) -> None:
    """What the server refuses for reasons of its own was not enqueued either."""
    rows("revoke insert on headrace.job from current_user")
    try:
        went = await match.run("Ada")
    finally:
        rows("grant insert on headrace.job to current_user")
    assert (went.mode, went.value) == ("fallback", "direct Ada")
    assert "InsufficientPrivilege: permission denied" in went.reason


async def test_a_server_that_only_reads(match: Trigger[[str], str, str], rows: Ask, count: Callable[[], int]) -> None:
    """A replica before its promotion answers, and says no: that is no lost answer."""
    set_default = "do $$ begin execute format('alter database %I set default_transaction_read_only = {}', current_database()); end $$"
    rows(set_default.format("on"))
    try:
        went = await match.run("Ada")
    finally:
        rows(set_default.format("off"))
    assert (went.mode, went.value, count()) == ("fallback", "direct Ada", 0)
    assert "read-only" in went.reason


async def test_a_full_queue(match: Trigger[[str], str, str], greet: Greet, rows: Ask) -> None:
    """Whoever fills it slows down: the work is done directly."""
    rows("insert into headrace.queue (name, max_queued) values ('small', 0)")
    went = await match.using(greet.options(queue="small")).run("Ada")
    assert (went.mode, went.value) == ("fallback", "direct Ada")
    assert "QueueFull" in went.reason


async def test_a_duplicate_is_no_failure(match: Trigger[[str], str, str], greet: Greet) -> None:
    """The work waits in the background already: doing it directly would be twice."""
    once = match.using(greet.options(unique=Unique("k", on_conflict="reject")))
    await once.run("Ada")
    with pytest.raises(DuplicateJob):
        await once.run("Ada")
    with pytest.raises(DuplicateJob):
        await asyncio.to_thread(once.run_sync, "Ada")
    assert counts(match) == {"background": 1, "error": 2}


async def test_the_program_s_own_errors_are_raised(
    app: Headrace, match: Trigger[[str], str, str], greet: Greet, database: str
) -> None:
    """A middleware that refuses, and an app that is closed."""

    class Refuses(Middleware):
        def on_enqueue(self, job: NewJob) -> NewJob:
            raise PermissionError("not you")

    app.middlewares.append(Refuses())
    with pytest.raises(PermissionError, match="not you"):
        await match.run("Ada")
    app.middlewares.clear()
    await app.close()
    with pytest.raises(AppClosed):
        await match.run("Ada")
    assert counts(match) == {"error": 2}


# -- inside the caller's transaction --


@pytest.mark.parametrize("kind", ["psycopg", "Session on psycopg2", "Django"])
def test_in_a_caller_s_transaction(database: str, count: Callable[[], int], rows: Ask, kind: str) -> None:
    """The job commits with it; an error has broken it, so it is raised and nothing is done directly."""
    rows("insert into headrace.queue (name, max_queued) values ('small', 0)")
    app, done = Headrace(database), list[str]()
    greet = app.task(name="greet")(hello)
    trigger = Rollout(app).trigger("match", greet, direct=done.append)
    with SYNC[kind](database) as conn:
        went = trigger.using(greet.options(conn=conn)).run_sync("Ada")
        assert (went.mode, count()) == ("background", 0)
        conn.rollback()
        with pytest.raises(QueueFull):
            trigger.using(greet.options(conn=conn, queue="small")).run_sync("Ada")
        with pytest.raises(Exception, match=r"(?i)transaction is aborted|inactive"):
            trigger.using(greet.options(conn=conn)).run_sync("Ada")
        conn.rollback()
        trigger.using(greet.options(conn=conn)).run_sync("Ada")
        conn.commit()
    assert (done, count()) == ([], 1)
    assert counts(trigger) == {"background": 2, "error": 2}
    app.close_sync()


@pytest.mark.parametrize("kind", ["psycopg", "asyncpg", "AsyncSession on asyncpg"])
async def test_in_an_asynchronous_caller_s_transaction(
    match: Trigger[[str], str, str], greet: Greet, database: str, count: Callable[[], int], kind: str
) -> None:
    """The same; and a connection that breaks is the caller's, in its driver's words."""
    async with ASYNC[kind](database) as caller:
        went = await match.using(greet.options(conn=caller.conn)).run("Ada")
        assert (went.mode, count()) == ("background", 0)
        await caller.rollback()
    assert count() == 0
    async with Proxy(database) as proxy, await psycopg.AsyncConnection.connect(proxy.url) as conn:
        proxy.stop()
        with pytest.raises(psycopg.OperationalError):
            await match.using(greet.options(conn=conn)).run("Ada")
    assert counts(match) == {"background": 1, "error": 1}


async def test_a_caller_s_connection_to_a_database_without_the_schema(
    match: Trigger[[str], str, str], greet: Greet, empty_database: str
) -> None:
    """What would be a fallback elsewhere is an error here: the transaction is broken."""
    async with await psycopg.AsyncConnection.connect(empty_database) as conn:
        with pytest.raises(SchemaError):
            await match.using(greet.options(conn=conn)).run("Ada")
