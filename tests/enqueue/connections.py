"""Every kind of connection that callers may give, opened in a transaction of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, AbstractContextManager, asynccontextmanager, contextmanager
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

import asyncpg
import django
import psycopg
import psycopg2
import psycopg2.extras
import sqlalchemy
from django.conf import settings
from django.db.utils import ConnectionHandler
from django.utils.connection import ConnectionProxy
from psycopg.rows import dict_row, scalar_row
from sqlalchemy.ext.asyncio import (
    AsyncConnection,
    AsyncEngine,
    AsyncSession,
    async_scoped_session,
    async_sessionmaker,
    create_async_engine,
)
from sqlalchemy.orm import Session, scoped_session, sessionmaker


class AsyncCaller(NamedTuple):
    """An asynchronous connection, and how its caller ends the transaction."""

    conn: Any
    commit: Callable[[], Awaitable[None]]
    rollback: Callable[[], Awaitable[None]]


def with_driver(url: str, driver: str) -> str:
    """The URL as SQLAlchemy wants it."""
    return url.replace("postgresql://", f"postgresql+{driver}://", 1)


# -- synchronous: the connection itself has commit() and rollback() --


@contextmanager
def _psycopg(url: str, **options: Any) -> Iterator[Any]:
    with psycopg.connect(url, **options) as conn:
        yield conn


@contextmanager
def _psycopg2(url: str, **options: Any) -> Iterator[Any]:
    conn = psycopg2.connect(url, **options)
    try:
        yield conn
    finally:
        conn.close()


@contextmanager
def _sqlalchemy(url: str, driver: str, open_on: Callable[[sqlalchemy.Engine], Any]) -> Iterator[Any]:
    engine = sqlalchemy.create_engine(with_driver(url, driver))
    conn = open_on(engine)
    try:
        yield conn
    finally:
        conn.close()
        engine.dispose()


@contextmanager
def _django(url: str, wrap: Callable[[ConnectionHandler], Any]) -> Iterator[Any]:
    if not settings.configured:
        settings.configure()
        django.setup()
    parts = urlsplit(url)
    options = dict(parse_qsl(parts.query))
    handler = ConnectionHandler({
        "default": {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": parts.path.lstrip("/"),
            "USER": unquote(parts.username or ""),
            "PASSWORD": unquote(parts.password or ""),
            "HOST": options.get("host") or parts.hostname or "",
            "PORT": options.get("port") or parts.port or "",
        }
    })  # fmt: skip
    conn = wrap(handler)
    conn.set_autocommit(False)
    try:
        yield conn
    finally:
        conn.rollback()
        conn.close()


SYNC: dict[str, Callable[[str], AbstractContextManager[Any]]] = {
    "psycopg": _psycopg,
    "psycopg with other rows": lambda url: _psycopg(url, row_factory=dict_row),
    "psycopg with one value a row": lambda url: _psycopg(url, row_factory=scalar_row),
    "psycopg with other parameters": lambda url: _psycopg(url, cursor_factory=psycopg.RawCursor),
    "psycopg2": _psycopg2,
    "psycopg2 with other rows": lambda url: _psycopg2(url, cursor_factory=psycopg2.extras.RealDictCursor),
    "Session on psycopg": lambda url: _sqlalchemy(url, "psycopg", Session),
    "Session on psycopg2": lambda url: _sqlalchemy(url, "psycopg2", Session),
    "scoped_session": lambda url: _sqlalchemy(url, "psycopg", lambda engine: scoped_session(sessionmaker(engine))),
    "Connection on psycopg": lambda url: _sqlalchemy(url, "psycopg", lambda engine: engine.connect()),
    "Connection on psycopg2": lambda url: _sqlalchemy(url, "psycopg2", lambda engine: engine.connect()),
    "Django": lambda url: _django(url, lambda handler: handler["default"]),
    "Django's proxy": lambda url: _django(url, lambda handler: ConnectionProxy(handler, "default")),
}


# -- asynchronous --


@asynccontextmanager
async def _async_psycopg(url: str, **options: Any) -> AsyncIterator[AsyncCaller]:
    async with await psycopg.AsyncConnection.connect(url, **options) as conn:
        yield AsyncCaller(conn, conn.commit, conn.rollback)


@asynccontextmanager
async def _asyncpg(url: str) -> AsyncIterator[AsyncCaller]:
    conn = await asyncpg.connect(url)
    try:
        transaction = conn.transaction()
        await transaction.start()
        yield AsyncCaller(conn, transaction.commit, transaction.rollback)
    finally:
        await conn.close()


@asynccontextmanager
async def _asyncpg_pool(url: str) -> AsyncIterator[AsyncCaller]:
    async with asyncpg.create_pool(url, min_size=1, max_size=1) as pool:
        conn = await pool.acquire()
        transaction = conn.transaction()
        await transaction.start()
        yield AsyncCaller(conn, transaction.commit, transaction.rollback)
        await pool.release(conn)


@asynccontextmanager
async def _async_sqlalchemy(url: str, driver: str, open_on: Callable[[AsyncEngine], Any]) -> AsyncIterator[AsyncCaller]:
    engine = create_async_engine(with_driver(url, driver))
    conn = open_on(engine)
    if isinstance(conn, AsyncConnection):
        await conn.start()
    try:
        yield AsyncCaller(conn, conn.commit, conn.rollback)
    finally:
        await conn.close()
        await engine.dispose()


def _scoped(engine: AsyncEngine) -> Any:
    return async_scoped_session(async_sessionmaker(engine), scopefunc=lambda: 0)


ASYNC: dict[str, Callable[[str], AbstractAsyncContextManager[AsyncCaller]]] = {
    "psycopg": _async_psycopg,
    "psycopg with other rows": lambda url: _async_psycopg(url, row_factory=dict_row),
    "psycopg with other parameters": lambda url: _async_psycopg(url, cursor_factory=psycopg.AsyncRawCursor),
    "asyncpg": _asyncpg,
    "asyncpg's pool": _asyncpg_pool,
    "AsyncSession on psycopg": lambda url: _async_sqlalchemy(url, "psycopg", AsyncSession),
    "AsyncSession on asyncpg": lambda url: _async_sqlalchemy(url, "asyncpg", AsyncSession),
    "async_scoped_session": lambda url: _async_sqlalchemy(url, "asyncpg", _scoped),
    "AsyncConnection on psycopg": lambda url: _async_sqlalchemy(url, "psycopg", lambda engine: engine.connect()),
    "AsyncConnection on asyncpg": lambda url: _async_sqlalchemy(url, "asyncpg", lambda engine: engine.connect()),
}
