"""Enqueueing inside the caller's transaction, on every kind of connection."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from headrace import (
    ConfigurationError,
    DuplicateJob,
    Headrace,
    HeadraceError,
    InvalidArguments,
    QueueFull,
    SchemaError,
    Task,
    Unique,
)
from headrace._store.foreign import adapt
from tests.enqueue.connections import ASYNC, SYNC

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from tests.enqueue.connections import AsyncCaller

    Greet = Task[..., ..., str]
    Ask = Callable[..., list[tuple[Any, ...]]]

SESSION = """
    select current_setting('search_path'), current_setting('statement_timeout'), current_setting('lock_timeout'),
           current_setting('plan_cache_mode'), current_setting('transaction_isolation'), current_setting('role')
"""
REJECT = Unique("held", on_conflict="reject")


def declare(app: Headrace) -> Greet:
    """The task that is enqueued here."""

    @app.task(name="greet")
    async def greet(name: str = "you") -> str:
        return name

    return greet


@pytest.fixture(autouse=True)
def held(rows: Ask) -> str:
    """A job that holds a unique key, a queue that is full, and its id."""
    rows("insert into headrace.queue (name, max_queued) values ('small', 0)")
    return str(rows("select headrace.enqueue('greet', unique_key => 'held')")[0][0])


class TestSync:
    @pytest.fixture
    def sync_greet(self, database: str) -> Iterator[Greet]:
        """The task of an app that synchronous code uses."""
        app = Headrace(database)
        yield declare(app)
        app.close_sync()

    @pytest.fixture(params=SYNC)
    def conn(self, request: pytest.FixtureRequest, database: str) -> Iterator[Any]:
        """A connection in a transaction."""
        with SYNC[request.param](database) as conn:
            yield conn

    def test_it_commits_with_the_caller_s_transaction(
        self, sync_greet: Greet, conn: Any, count: Callable[[], int], rows: Ask
    ) -> None:
        """Nobody sees the job before the caller commits; afterwards everybody does, as it was given."""
        job = sync_greet.options(conn=conn, tags=["%(x)s :y ::z"]).enqueue_sync("ü %s :name '")
        assert count() == 1
        conn.commit()
        assert rows("select id, args, tags from headrace.jobs where unique_key is null") == [
            (job.id, {"name": "ü %s :name '"}, ["%(x)s :y ::z"])
        ]

    def test_rolled_back_it_never_existed(self, sync_greet: Greet, conn: Any, count: Callable[[], int]) -> None:
        """Large arguments and many jobs included."""
        sync_greet.app.enqueue_many_sync([sync_greet.job("x" * 5_000), sync_greet.job()], conn=conn)
        conn.rollback()
        assert count() == 1

    def test_nothing_is_set_or_ended_on_the_connection(self, sync_greet: Greet, conn: Any) -> None:
        """Settings are as they were, and the transaction is still the caller's."""
        caller: Any = adapt(conn)
        before = caller.rows(SESSION, {})
        sync_greet.options(conn=conn, unique="k").enqueue_sync()
        assert caller.rows(SESSION, {}) == before
        assert caller.rows("select pg_current_xact_id_if_assigned() is not null", {}) == [(True,)]

    def test_refusals_come_out_as_ours(self, sync_greet: Greet, conn: Any, held: str) -> None:
        """Whatever driver and library they came through."""
        with pytest.raises(DuplicateJob, match='unique key "held" of task "greet" is held by job') as duplicate:
            sync_greet.options(conn=conn, unique=REJECT).enqueue_sync()
        assert str(duplicate.value.holder) == held
        conn.rollback()
        with pytest.raises(QueueFull, match='queue "small" is full: it may hold 0 queued jobs'):
            sync_greet.options(conn=conn, queue="small").enqueue_sync()
        conn.rollback()
        wrong = sync_greet.job()
        wrong.args = "[]"
        with pytest.raises(InvalidArguments, match='args of task "greet" must be a JSON object'):
            sync_greet.app.enqueue_many_sync([wrong], conn=conn)

    def test_a_missing_schema_is_named(self, database: str, conn: Any) -> None:
        """The connection leads to a database (or schema) that nobody has migrated."""
        greet = declare(Headrace(database, schema="elsewhere"))
        with pytest.raises(SchemaError, match=r"elsewhere.*run `headrace migrate`"):
            greet.options(conn=conn).enqueue_sync()

    def test_other_errors_are_the_driver_s(self, sync_greet: Greet, conn: Any) -> None:
        """A transaction that has failed already is the caller's to handle, with the words it knows."""
        with pytest.raises(DuplicateJob):
            sync_greet.options(conn=conn, unique=REJECT).enqueue_sync()
        with pytest.raises(Exception, match=r"(?i)transaction is aborted|inactive") as raised:
            sync_greet.options(conn=conn).enqueue_sync()
        assert not isinstance(raised.value, HeadraceError)


class TestAsync:
    @pytest.fixture
    def async_greet(self, app: Headrace) -> Greet:
        return declare(app)

    @pytest.fixture(params=ASYNC)
    async def caller(self, request: pytest.FixtureRequest, database: str) -> AsyncIterator[AsyncCaller]:
        """A connection in a transaction."""
        async with ASYNC[request.param](database) as caller:
            yield caller

    async def test_it_commits_with_the_caller_s_transaction(
        self, async_greet: Greet, caller: AsyncCaller, count: Callable[[], int], rows: Ask
    ) -> None:
        """Nobody sees the job before the caller commits; afterwards everybody does, as it was given."""
        job = await async_greet.options(conn=caller.conn, tags=["%(x)s :y ::z"]).enqueue("ü %s :name '")
        assert count() == 1
        await caller.commit()
        assert rows("select id, args, tags from headrace.jobs where unique_key is null") == [
            (job.id, {"name": "ü %s :name '"}, ["%(x)s :y ::z"])
        ]

    async def test_rolled_back_it_never_existed(
        self, async_greet: Greet, caller: AsyncCaller, count: Callable[[], int]
    ) -> None:
        """Large arguments and many jobs included."""
        await async_greet.app.enqueue_many([async_greet.job("x" * 5_000), async_greet.job()], conn=caller.conn)
        await caller.rollback()
        assert count() == 1

    async def test_nothing_is_set_or_ended_on_the_connection(self, async_greet: Greet, caller: AsyncCaller) -> None:
        """Settings are as they were, and the transaction is still the caller's."""
        theirs: Any = adapt(caller.conn)
        before = await theirs.rows(SESSION, {})
        await async_greet.options(conn=caller.conn, unique="k").enqueue()
        assert await theirs.rows(SESSION, {}) == before
        assert await theirs.rows("select pg_current_xact_id_if_assigned() is not null", {}) == [(True,)]

    @pytest.mark.parametrize("refusal", ["duplicate", "full", "arguments", "schema"])
    async def test_refusals_come_out_as_ours(
        self, database: str, async_greet: Greet, caller: AsyncCaller, refusal: str, held: str
    ) -> None:
        """Whatever driver and library they came through."""
        if refusal == "duplicate":
            with pytest.raises(DuplicateJob, match='unique key "held" of task "greet" is held by job') as duplicate:
                await async_greet.options(conn=caller.conn, unique=REJECT).enqueue()
            assert str(duplicate.value.holder) == held
        elif refusal == "full":
            with pytest.raises(QueueFull, match='queue "small" is full: it may hold 0 queued jobs'):
                await async_greet.options(conn=caller.conn, queue="small").enqueue()
        elif refusal == "arguments":
            wrong = async_greet.job()
            wrong.args = "[]"
            with pytest.raises(InvalidArguments, match='args of task "greet" must be a JSON object'):
                await async_greet.app.enqueue_many([wrong], conn=caller.conn)
        else:
            elsewhere = declare(Headrace(database, schema="elsewhere"))
            with pytest.raises(SchemaError, match=r"elsewhere.*run `headrace migrate`"):
                await elsewhere.options(conn=caller.conn).enqueue()

    async def test_synchronous_code_is_told_to_await(self, async_greet: Greet, caller: AsyncCaller) -> None:
        """An asynchronous connection cannot be used by enqueue_sync, and the message says what to write."""
        with pytest.raises(ConfigurationError, match=r"is asynchronous: await enqueue\(...\) instead"):
            await asyncio.to_thread(async_greet.options(conn=caller.conn).enqueue_sync)


async def test_something_else_is_no_connection(app: Headrace) -> None:
    """The type is named, and what would do."""
    with pytest.raises(ConfigurationError, match=r"a builtins\.object is no connection .*: give a psycopg, asyncpg"):
        await declare(app).options(conn=object()).enqueue()


async def test_autocommit_connections_enqueue_at_once(app: Headrace, database: str, count: Callable[[], int]) -> None:
    """A connection without a transaction is one for each statement."""
    import psycopg

    with psycopg.connect(database, autocommit=True) as conn:
        await declare(app).options(conn=conn).enqueue()
        assert count() == 2
        assert conn.autocommit
