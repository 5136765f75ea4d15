"""Runs the statements of queries/ on a pool of our own connections, each call with a deadline that carries its name.

A deadlock or a serialisation failure is tried again here, since every statement is one transaction. A connection that
breaks is not: whether the statement took effect is then unknown, and only the caller knows how to find out.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, LiteralString
from uuid import UUID

import psycopg
from psycopg import AsyncConnection
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool, PoolClosed, PoolTimeout

from headrace._store.connect import check_url, connection_parameters, unavailable, without_password
from headrace._store.recording import ACTIONS, Recording, recording, took_effect
from headrace._store.sql import query
from headrace.errors import (
    AppClosed,
    ConfigurationError,
    DatabaseUnavailable,
    DuplicateJob,
    InvalidArguments,
    QueueFull,
    SchemaError,
    WorkflowOver,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

DEADLINE_S = 10.0
"""For any one statement, unless the caller knows better. Ours take milliseconds."""

MAX_CLOCK_AHEAD = timedelta(hours=12)
"""Half of what look-ups by id allow for."""

STATEMENTS_OWN = (
    psycopg.errors.DeadlockDetected,
    psycopg.errors.SerializationFailure,
    psycopg.errors.LockNotAvailable,
    psycopg.errors.ProgramLimitExceeded,
)
"""What psycopg counts as operational errors, but is the fault of a statement or its data, not of the connection."""

PREPARED = frozenset({"insert_job", "insert_due_job", "claim_jobs", "claim_limited_jobs", "settle_jobs"})
"""Worth preparing, and safe to: they plan nothing themselves, so that no plan made on an empty table can live on
(ENGINE 4). Parsing and planning was as long as all the rest of an enqueue."""

_TRIES = 3
_log = logging.getLogger("headrace.store")


class Database:
    """A pool of connections to one database, and our statements for one schema in it.

    Args:
        url: Where it is.
        schema: The schema that `migrate` made.
        max_connections: The pool's bound.
        application: What pg_stat_activity shows.
    """

    def __init__(self, url: str, schema: str, *, max_connections: int = 4, application: str = "headrace") -> None:
        self.url = check_url(url)
        self.schema = schema
        self._pool = AsyncConnectionPool(
            url,
            kwargs=connection_parameters(application),
            min_size=1,
            max_size=max_connections,
            timeout=DEADLINE_S,
            reconnect_timeout=0,
            configure=partial(_prepare_if_direct, schema=schema),
            open=False,
            name=application,
        )

    async def open(self) -> None:
        """Connect once, so that a wrong URL is refused here and in words.

        Raises:
            DatabaseUnavailable: The server does not answer, or refuses us.
            SchemaError: The schema is not what this code needs.
        """
        await self._first_connection()
        await self._pool.open()

    async def close(self) -> None:
        """Close every connection."""
        await self._pool.close(timeout=2.0)

    async def _first_connection(self) -> None:
        # The pool keeps trying for ever in the background and hides why: ask once, by hand.
        try:
            async with asyncio.timeout(DEADLINE_S):
                conn = await AsyncConnection.connect(self.url, **connection_parameters("headrace"))
                async with conn:
                    await _check_schema(conn, self.schema)
                    await _check_clock(conn, self.schema)
        except psycopg.OperationalError as error:
            raise unavailable(self.url, error) from error
        except TimeoutError as error:
            raise DatabaseUnavailable(
                f"opening got no answer from {without_password(self.url)} within {DEADLINE_S:g} seconds"
            ) from error

    async def rows(self, name: str, /, deadline_s: float = DEADLINE_S, **parameters: Any) -> list[tuple[Any, ...]]:
        """All rows of the statement queries/NAME.sql."""
        statement = query(name, self.schema)
        recorded = recording(name, parameters) if name in ACTIONS else None
        for tries_left in reversed(range(_TRIES)):
            try:
                async with self.connection(name, deadline_s) as conn:
                    if recorded is not None:
                        return await self._act(conn, recorded, statement)
                    try:
                        cursor = await conn.execute(statement, parameters, prepare=name in PREPARED)
                    except psycopg.errors.FeatureNotSupported:
                        await _forget_prepared(conn)  # a migration may have changed what it answers
                        raise
                    return await cursor.fetchall() if cursor.description else []
            except (
                psycopg.errors.DeadlockDetected,
                psycopg.errors.SerializationFailure,
                psycopg.errors.FeatureNotSupported,
            ):
                if not tries_left:
                    raise
        raise AssertionError("unreachable")

    async def _act(self, conn: AsyncConnection, recorded: Recording, statement: LiteralString) -> list[tuple[Any, ...]]:
        """Do what an operator wants, and record it, in one transaction."""
        async with conn.transaction():
            before = await recorded.look(conn, self.schema)
            cursor = await conn.execute(statement, recorded.parameters)
            rows = await cursor.fetchall() if cursor.description else None
            if took_effect(rows):
                await recorded.write(conn, self.schema, before, rows or [])
            return rows or []

    async def value(self, name: str, /, deadline_s: float = DEADLINE_S, **parameters: Any) -> Any:
        """The first column of the first row; None without rows."""
        rows = await self.rows(name, deadline_s, **parameters)
        return rows[0][0] if rows else None

    async def records(self, name: str, /, deadline_s: float = DEADLINE_S, **parameters: Any) -> list[dict[str, Any]]:
        """All rows, as dictionaries; of statements that read."""
        assert name not in ACTIONS, f"{name} is recorded: use rows"
        statement = query(name, self.schema)
        async with self.connection(name, deadline_s) as conn, conn.cursor(row_factory=dict_row) as cursor:
            await cursor.execute(statement, parameters)
            return await cursor.fetchall()

    @asynccontextmanager
    async def connection(self, name: str, deadline_s: float = DEADLINE_S) -> AsyncIterator[AsyncConnection]:
        """One of our connections, for at most `deadline_s` seconds; errors come out as our own where we have a word.

        Args:
            name: What it is for: it appears in the error if the time runs out.
            deadline_s: How long, waiting for a free connection included.
        """
        given = False
        try:
            async with asyncio.timeout(deadline_s):
                cancellations = _cancellations()
                conn = await self._live_connection()
                try:
                    if _cancellations() > cancellations:
                        # Python 3.11's wait_for, inside the pool, swallows one that comes together with a connection.
                        raise asyncio.CancelledError
                    given = True
                    yield conn
                finally:
                    await self._pool.putconn(conn)  # rolls back or closes what is not as it was
        except (TimeoutError, PoolTimeout) as error:
            message = f"{name} got no answer from {without_password(self.url)} within {deadline_s:g} seconds"
            raise _marked(DatabaseUnavailable(message), unanswered=given) from error
        except PoolClosed as error:
            raise AppClosed(f"{name} was called after the app was closed") from error
        except psycopg.Error as error:
            unanswered = given and not _is_answer(error)
            raise _marked(translate(error, self.url, self.schema), unanswered=unanswered) from error

    async def _live_connection(self) -> AsyncConnection:
        """One from the pool; those that broke while they were idle, as after a restart of the server, are dropped.

        A statement that is sent on such a connection fails like one whose answer is lost.
        """
        while True:
            conn: AsyncConnection = await self._pool.getconn()
            if not _has_broken(conn):
                return conn
            await self._pool.putconn(conn)


def _has_broken(conn: AsyncConnection) -> bool:
    """Whether the server has closed an idle connection; asks only what has arrived here, so it costs microseconds."""
    try:
        conn.pgconn.consume_input()  # the server's last words, if there are any
        conn.pgconn.consume_input()  # and the end
    except psycopg.OperationalError:
        return True
    return False


def _is_answer(error: psycopg.Error) -> bool:
    """Whether the server has refused the statement, instead of ending the session."""
    return error.sqlstate is not None and not error.sqlstate.startswith(("08", "57P"))


def _marked(error: Exception, *, unanswered: bool) -> Exception:
    if isinstance(error, DatabaseUnavailable):
        error.unanswered = unanswered
    return error


async def _prepare_if_direct(conn: AsyncConnection, *, schema: str) -> None:
    """Allow prepared statements where they stay with their connection: where no pooler is in between.

    A pooler makes up the process id that it tells its clients. It may support prepared statements all the same;
    those that do not answer with errors that name other clients' statements (ENGINE 9).
    """
    row = await (await conn.execute(query("read_backend_pid", schema), prepare=False)).fetchone()
    if row == (conn.info.backend_pid,):
        conn.prepare_threshold = 5  # any number: each call says whether it is to be prepared


async def _forget_prepared(conn: AsyncConnection) -> None:
    """Prepare everything anew. Not behind a pooler: the server's statements may be those of other clients."""
    if conn.prepare_threshold is not None:
        await conn.execute("deallocate all")


def _cancellations() -> int:
    """How many requests to cancel the running task has not answered yet."""
    task = asyncio.current_task()
    return task.cancelling() if task is not None else 0


async def _check_schema(conn: AsyncConnection, schema: str) -> None:
    from headrace._store.migrate import check_version  # noqa: PLC0415 - migrate is the synchronous part

    try:
        cursor = await conn.execute(query("read_version", schema))
    except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName):
        check_version(0, schema)
        return
    except psycopg.errors.InsufficientPrivilege:
        return  # an enqueuer may not look; its statements will tell
    row = await cursor.fetchone()
    check_version(row[0] if row else 0, schema)


async def _check_clock(conn: AsyncConnection, schema: str) -> None:
    """Refuse a clock that is far ahead: ids carry its time, and look-ups by id trust them to within a day."""
    row = await (await conn.execute(query("read_clock", schema))).fetchone()
    assert row is not None
    ahead = datetime.now(UTC) - row[0]
    if ahead > MAX_CLOCK_AHEAD:
        raise ConfigurationError(
            f"this machine's clock is {ahead} ahead of the database's; the ids of jobs carry its time. Set it right"
        )


def translate(  # noqa: PLR0911 - a table of errors
    error: psycopg.Error, url: str = "the database", schema: str = "headrace"
) -> Exception:
    """Our own error for a database error that has one; else the error itself."""
    message = error.diag.message_primary or str(error)
    match error.sqlstate:
        case "HR001":
            return QueueFull(f"{message}. {error.diag.message_hint}")
        case "HR002":
            return DuplicateJob(message, UUID(error.diag.message_detail))
        case "HR003":
            return InvalidArguments(message)
        case "HR004":
            return WorkflowOver(message)
        case "42P01" | "3F000" | "42883" if schema in message:
            return SchemaError(f'the schema "{schema}" is missing or too old ({message}): run `headrace migrate`')
    is_read_only = isinstance(error, psycopg.errors.ReadOnlySqlTransaction)  # a replica, before its promotion
    if is_read_only or (isinstance(error, psycopg.OperationalError) and not isinstance(error, STATEMENTS_OWN)):
        return unavailable(url, error) if url != "the database" else DatabaseUnavailable(message)
    return error
