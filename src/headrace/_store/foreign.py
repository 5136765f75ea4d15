"""Connections that belong to the caller: run one of our statements inside their transaction, and nothing else.

Nothing is set, committed, cancelled or retried on them (ENGINE 34). Statements are written for psycopg (`%(name)s`) and
take text parameters with casts in the SQL, so that every driver can carry them.

What headrace itself says in an error (SQLSTATE HR...) comes out as our own exception, whatever driver and library it
came through. All other errors are the caller's: its connection, its driver's words.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, LiteralString, NamedTuple, Protocol, cast
from uuid import UUID

import psycopg
from psycopg.rows import tuple_row

from headrace.errors import (
    ConfigurationError,
    DuplicateJob,
    HeadraceError,
    InvalidArguments,
    QueueFull,
    SchemaError,
    WorkflowOver,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

_PARAMETER = re.compile(r"%\((\w+)\)s")
Rows = list[tuple[Any, ...]]


class SyncForeign(Protocol):
    """A connection of synchronous code."""

    def rows(self, statement: LiteralString, parameters: dict[str, Any]) -> Rows:
        """Run a statement in the caller's transaction."""

    def commit(self) -> None:
        """Commit the caller's transaction."""

    def rollback(self) -> None:
        """Roll it back."""


class AsyncForeign(Protocol):
    """A connection of asynchronous code."""

    async def rows(self, statement: LiteralString, parameters: dict[str, Any]) -> Rows:
        """Run a statement in the caller's transaction."""

    async def commit(self) -> None:
        """Commit the caller's transaction."""

    async def rollback(self) -> None:
        """Roll it back."""


def adapt(conn: Any) -> SyncForeign | AsyncForeign:
    """Find out what kind of connection this is, without importing a library that the caller does not use.

    Raises:
        ConfigurationError: It is none that we know.
    """
    if isinstance(conn, psycopg.Connection):
        return _Psycopg(conn)
    if isinstance(conn, psycopg.AsyncConnection):
        return _AsyncPsycopg(conn)
    kinds = {f"{kind.__module__}.{kind.__qualname__}" for kind in type(conn).__mro__}
    for name, adapter in _ADAPTERS.items():
        if name in kinds:
            return cast("SyncForeign | AsyncForeign", adapter(conn))
    raise ConfigurationError(
        f"a {type(conn).__module__}.{type(conn).__qualname__} is no connection that headrace can use: "
        "give a psycopg, asyncpg, SQLAlchemy or Django connection"
    )


def is_async(foreign: SyncForeign | AsyncForeign) -> bool:
    """Whether its methods must be awaited."""
    return isinstance(foreign, _AsyncPsycopg | _Asyncpg | _AsyncSqlAlchemy)


class _DbApi:
    """psycopg2, and what Django wraps: named parameters as we write them."""

    def __init__(self, conn: Any) -> None:
        self._conn = conn

    def rows(self, statement: LiteralString, parameters: dict[str, Any]) -> Rows:
        with _in_our_words(), self._conn.cursor() as cursor:
            cursor.execute(statement, parameters)
            return [tuple(row.values()) if isinstance(row, dict) else tuple(row) for row in cursor.fetchall()]

    def commit(self) -> None:
        self._conn.commit()

    def rollback(self) -> None:
        self._conn.rollback()


class _Psycopg(_DbApi):
    """A cursor of our own: the connection's factories may make others, with other parameters and rows."""

    def rows(self, statement: LiteralString, parameters: dict[str, Any]) -> Rows:
        with _in_our_words(), psycopg.Cursor(self._conn, row_factory=tuple_row) as cursor:
            return cursor.execute(statement, parameters).fetchall()


class _AsyncPsycopg:
    def __init__(self, conn: psycopg.AsyncConnection[Any]) -> None:
        self._conn = conn

    async def rows(self, statement: LiteralString, parameters: dict[str, Any]) -> Rows:
        with _in_our_words():
            async with psycopg.AsyncCursor(self._conn, row_factory=tuple_row) as cursor:
                await cursor.execute(statement, parameters)
                return await cursor.fetchall()

    async def commit(self) -> None:
        await self._conn.commit()

    async def rollback(self) -> None:
        await self._conn.rollback()


class _Asyncpg:
    def __init__(self, conn: Any) -> None:
        self._conn = conn

    async def rows(self, statement: LiteralString, parameters: dict[str, Any]) -> Rows:
        numbers: dict[str, int] = {}
        numbered = _PARAMETER.sub(lambda m: f"${numbers.setdefault(m[1], len(numbers) + 1)}", statement)
        with _in_our_words():
            return [tuple(row) for row in await self._conn.fetch(numbered, *(parameters[name] for name in numbers))]

    async def commit(self) -> None:
        raise ConfigurationError("commit an asyncpg connection with its own transaction block")

    rollback = commit


class _SqlAlchemy:
    def __init__(self, session: Any) -> None:
        self._session = session

    def rows(self, statement: LiteralString, parameters: dict[str, Any]) -> Rows:
        with _in_our_words():
            return [tuple(row) for row in self._session.execute(_text(statement), parameters)]

    def commit(self) -> None:
        self._session.commit()

    def rollback(self) -> None:
        self._session.rollback()


class _AsyncSqlAlchemy:
    def __init__(self, session: Any) -> None:
        self._session = session

    async def rows(self, statement: LiteralString, parameters: dict[str, Any]) -> Rows:
        with _in_our_words():
            return [tuple(row) for row in await self._session.execute(_text(statement), parameters)]

    async def commit(self) -> None:
        await self._session.commit()

    async def rollback(self) -> None:
        await self._session.rollback()


def _text(statement: str) -> Any:
    from sqlalchemy import text  # noqa: PLC0415 - only its users have it

    return text(_PARAMETER.sub(r":\1", statement.replace(":", r"\:")))


@contextmanager
def _in_our_words() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        said = _said_by_server(error)
        ours = said and _our_error(said)
        if ours is None:
            raise
        raise ours from error


class _Said(NamedTuple):
    """What the server said in an error."""

    sqlstate: str | None
    message: str
    detail: str | None
    hint: str | None


def _said_by_server(error: BaseException | None) -> _Said | None:
    """Find the driver's own error below those of the libraries around it, and read it."""
    while error is not None:
        if (diag := getattr(error, "diag", None)) is not None:  # psycopg and psycopg2
            return _Said(diag.sqlstate, diag.message_primary or str(error), diag.message_detail, diag.message_hint)
        if type(error).__module__.startswith("asyncpg."):
            fields = (getattr(error, name, None) for name in ("sqlstate", "message", "detail", "hint"))
            return _Said(*cast("tuple[Any, Any, Any, Any]", tuple(fields)))
        error = getattr(error, "orig", None) or error.__cause__  # SQLAlchemy, Django
    return None


def _our_error(said: _Said) -> HeadraceError | None:
    match said.sqlstate:
        case "HR001":
            return QueueFull(f"{said.message}. {said.hint}")
        case "HR002":
            return DuplicateJob(said.message, UUID(said.detail))
        case "HR003":
            return InvalidArguments(said.message)
        case "HR004":
            return WorkflowOver(said.message)
        case "42P01" | "3F000" | "42883":
            return SchemaError(
                f"headrace's schema is missing or too old in this connection's database ({said.message}): run "
                "`headrace migrate` there"
            )
    return None


_ADAPTERS: dict[str, Any] = {
    "asyncpg.connection.Connection": _Asyncpg,
    "asyncpg.pool.PoolConnectionProxy": _Asyncpg,
    "sqlalchemy.orm.session.Session": _SqlAlchemy,
    "sqlalchemy.orm.scoping.scoped_session": _SqlAlchemy,
    "sqlalchemy.engine.base.Connection": _SqlAlchemy,
    "sqlalchemy.ext.asyncio.session.AsyncSession": _AsyncSqlAlchemy,
    "sqlalchemy.ext.asyncio.scoping.async_scoped_session": _AsyncSqlAlchemy,
    "sqlalchemy.ext.asyncio.engine.AsyncConnection": _AsyncSqlAlchemy,
    "django.db.backends.base.base.BaseDatabaseWrapper": _DbApi,
    "django.utils.connection.ConnectionProxy": _DbApi,
    "psycopg2.extensions.connection": _DbApi,
}
