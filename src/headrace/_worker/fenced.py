"""`ctx.transaction()`: the handler's writes and the job's success in one commit.

The fence is the last statement before COMMIT: it settles the attempt, and if the attempt is somebody else's by now,
everything rolls back. When the answer to the COMMIT is lost, the database is asked by (job, run, lease). After the
block the job has succeeded, whatever the handler does then.
"""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager, AbstractContextManager, suppress
from typing import TYPE_CHECKING, Any, LiteralString, cast

from psycopg_pool import AsyncConnectionPool, ConnectionPool

from headrace._store.connect import connect, connect_sync, connection_parameters
from headrace._store.foreign import AsyncForeign, SyncForeign, adapt, is_async
from headrace._store.sql import query
from headrace.errors import ConfigurationError, LeaseLost, WrongDatabase

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from types import TracebackType

    import psycopg

    from headrace._worker.attempt import Attempt

_WAIT_S = 30.0


class HandlerConnections:
    """Connections that handlers may hold as long as they like: never the engine's own (ENGINE 39)."""

    def __init__(self, url: str, schema: str, limit: int) -> None:
        self.url = url
        self.schema = schema
        self._limit = limit
        self._async_pool: AsyncConnectionPool | None = None
        self._pool: ConnectionPool | None = None

    async def take(self) -> AbstractAsyncContextManager[psycopg.AsyncConnection]:
        """A connection for a coroutine."""
        if self._async_pool is None:
            parameters = connection_parameters("headrace handler") | {"autocommit": False}
            self._async_pool = AsyncConnectionPool(
                self.url, kwargs=parameters, min_size=0, max_size=self._limit, timeout=_WAIT_S, open=False
            )
            await self._async_pool.open()
        return self._async_pool.connection()

    def take_sync(self) -> AbstractContextManager[psycopg.Connection]:
        """A connection for a thread."""
        if self._pool is None:
            parameters = connection_parameters("headrace handler") | {"autocommit": False}
            self._pool = ConnectionPool(
                self.url, kwargs=parameters, min_size=0, max_size=self._limit, timeout=_WAIT_S, open=True
            )
        return self._pool.connection()

    async def close(self) -> None:
        """Close them all."""
        if self._async_pool is not None:
            await self._async_pool.close(timeout=1.0)
        if self._pool is not None:
            await asyncio.to_thread(self._pool.close, timeout=1.0)


class Fenced:
    """One use of `ctx.transaction()`.

    Args:
        attempt: Whose success it records.
        worker_id: Under which lease.
        connections: Where to take a connection from if no session is given.
        session: The handler's own session or connection.
        write_reports: Writes what the handler reported, while its job is still there.
        write_reports_sync: The same from a thread.
    """

    def __init__(
        self,
        attempt: Attempt,
        worker_id: int,
        connections: HandlerConnections,
        session: Any,
        write_reports: Callable[[], Awaitable[None]],
        write_reports_sync: Callable[[], None],
    ) -> None:
        self._attempt = attempt
        self._worker_id = worker_id
        self._connections = connections
        self._session = session
        self._write_reports = write_reports
        self._write_reports_sync = write_reports_sync
        self._taken: Any = None
        self._foreign: AsyncForeign | SyncForeign | None = None
        if attempt.settled:
            raise ConfigurationError("this attempt has succeeded already: ctx.transaction() can be used once")

    # -- in coroutines --

    async def __aenter__(self) -> Any:
        if self._session is not None:
            self._foreign = adapt(self._session)
            await self._check_database()
            return self._session
        self._taken = await self._connections.take()
        conn = await self._taken.__aenter__()
        self._foreign = adapt(conn)
        return conn

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                await self._write_reports()
                await self._commit()
            else:
                await self._roll_back()
        except BaseException:
            # Whoever holds the connection next may commit: nothing of a block that did not pass the fence may be left.
            await self._roll_back()
            raise
        finally:
            if self._taken is not None:
                await self._taken.__aexit__(kind, error, trace)

    async def _roll_back(self) -> None:
        with suppress(Exception):  # a connection that is broken has nothing to roll back
            await self._await(cast("Any", self._foreign).rollback())

    async def _commit(self) -> None:
        foreign = self._foreign
        assert foreign is not None
        lost = await self._await(foreign.rows(self._query("settle_attempt"), self._parameters()))
        if lost:
            raise self._lease_lost()
        try:
            await self._await(foreign.commit())
        except Exception:
            async with connect(self._connections.url) as conn:
                cursor = await conn.execute(self._query("was_settled"), self._parameters())
                row = await cursor.fetchone()
            if row != (True,):
                raise
        self._attempt.settled = True

    async def _check_database(self) -> None:
        assert self._foreign is not None
        async with connect(self._connections.url) as conn:
            ours = await (await conn.execute(self._query("read_instance"))).fetchone()
        try:
            theirs = await self._await(self._foreign.rows(self._query("read_instance"), {}))
        except Exception as error:
            raise self._wrong_database() from error
        if theirs != [ours]:
            raise self._wrong_database()

    async def _await(self, answer: Any) -> Any:
        return await answer if is_async(cast("Any", self._foreign)) else answer

    # -- in threads and process tasks --

    def __enter__(self) -> Any:
        if self._session is not None:
            self._foreign = adapt(self._session)
            if is_async(self._foreign):
                raise ConfigurationError("an asynchronous session needs `async with ctx.transaction(session)`")
            self._check_database_sync()
            return self._session
        self._taken = self._connections.take_sync()
        conn = self._taken.__enter__()
        self._foreign = adapt(conn)
        return conn

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self._write_reports_sync()
                self._commit_sync(cast("SyncForeign", self._foreign))
            else:
                self._roll_back_sync()
        except BaseException:
            self._roll_back_sync()  # as in __aexit__
            raise
        finally:
            if self._taken is not None:
                self._taken.__exit__(kind, error, trace)

    def _roll_back_sync(self) -> None:
        with suppress(Exception):
            cast("SyncForeign", self._foreign).rollback()

    def _commit_sync(self, foreign: SyncForeign) -> None:
        if foreign.rows(self._query("settle_attempt"), self._parameters()):
            raise self._lease_lost()
        try:
            foreign.commit()
        except Exception:
            with connect_sync(self._connections.url) as conn:
                row = conn.execute(self._query("was_settled"), self._parameters()).fetchone()
            if row != (True,):
                raise
        self._attempt.settled = True

    def _check_database_sync(self) -> None:
        with connect_sync(self._connections.url) as conn:
            ours = conn.execute(self._query("read_instance")).fetchone()
        try:
            theirs = cast("SyncForeign", self._foreign).rows(self._query("read_instance"), {})
        except Exception as error:
            raise self._wrong_database() from error
        if theirs != [ours]:
            raise self._wrong_database()

    # -- both --

    def _query(self, name: str) -> LiteralString:
        return query(name, self._connections.schema)

    def _parameters(self) -> dict[str, Any]:
        settle = self._attempt.succeeded(None)
        return {
            "worker_id": self._worker_id,
            "id": self._attempt.id,
            "run": self._attempt.run,
            "result": self._attempt.result,
            "progress": settle.progress,
        }

    def _lease_lost(self) -> LeaseLost:
        return LeaseLost(
            f"job {self._attempt.id} is no longer this worker's (run {self._attempt.run} was taken back): "
            "the transaction was rolled back"
        )

    def _wrong_database(self) -> WrongDatabase:
        return WrongDatabase(
            f"the session given to ctx.transaction() does not lead to the database of job {self._attempt.id}: "
            "its writes and the job's success cannot commit together. Give a session on the same database, or none"
        )
