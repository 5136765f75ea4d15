"""Connections to the database: one place for their parameters, deadlines, and the words of what can go wrong.

Nothing here depends on session state, so that everything works through PgBouncer in transaction mode: no SET, no
session locks, and no prepared statements (`prepare_threshold=None`) but where a connection is known to be direct
(database.py).
"""

from __future__ import annotations

import re
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import AsyncConnection, Connection
from psycopg.conninfo import conninfo_to_dict

from headrace.errors import ConfigurationError, DatabaseUnavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

CONNECT_TIMEOUT_S = 10
NETWORK_TIMEOUT_MS = 20_000
"""A peer that has not confirmed what we sent for this long is gone (TCP_USER_TIMEOUT)."""


def connection_parameters(application: str = "headrace") -> dict[str, Any]:
    """What every connection of ours has in common."""
    return {
        "autocommit": True,
        "prepare_threshold": None,
        "connect_timeout": CONNECT_TIMEOUT_S,
        "application_name": application,
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "tcp_user_timeout": NETWORK_TIMEOUT_MS,
    }


_KEYWORD = re.compile(r"\s*[a-z_]+\s*=")
_PASSWORD_IN_URL = re.compile(r"(://[^:/@]*):.*@", re.DOTALL)  # to the last @: the password may hold one by mistake
_PASSWORD_OPTION = re.compile(r"(password\s*=\s*)('(?:[^'\\]|\\.)*'?|[^&\s]+)")


@contextmanager
def connect_sync(url: str) -> Iterator[Connection]:
    """A connection for a short piece of work, closed at its end.

    Raises:
        DatabaseUnavailable: The server does not answer, or refuses us.
    """
    check_url(url)
    try:
        conn = Connection.connect(url, **connection_parameters())
    except psycopg.OperationalError as error:
        raise unavailable(url, error) from error
    with conn:
        yield conn


@asynccontextmanager
async def connect(url: str, application: str = "headrace") -> AsyncIterator[AsyncConnection]:
    """The same for asynchronous code."""
    check_url(url)
    try:
        conn = await AsyncConnection.connect(url, **connection_parameters(application))
    except psycopg.OperationalError as error:
        raise unavailable(url, error) from error
    async with conn:
        yield conn


def check_url(url: str) -> str:
    """Refuse what is not a PostgreSQL URL (or a libpq connection string), in words."""
    if url.partition("://")[0] not in ("postgresql", "postgres") and not _KEYWORD.match(url):
        raise ConfigurationError(
            f'"{without_password(url)}" is not a PostgreSQL URL: write postgresql://user:password@host:5432/database '
            "(without a driver's name such as +psycopg)"
        )
    try:
        read = conninfo_to_dict(url)
    except psycopg.ProgrammingError as error:
        reason = without_password(" ".join(str(error).split()))
        raise ConfigurationError(
            f'"{without_password(url)}" is not a PostgreSQL URL that can be read: {reason}'
        ) from None
    if "@" in str(read.get("host")):
        raise ConfigurationError(f'"{without_password(url)}" has two "@": write the one in the password as %40')
    return url


def without_password(url: str) -> str:
    """The URL as it may be shown."""
    return _PASSWORD_OPTION.sub(r"\1***", _PASSWORD_IN_URL.sub(r"\1:***@", url))


def unavailable(url: str, error: Exception) -> DatabaseUnavailable:
    """Say which database did not answer, and why."""
    reason = without_password(" ".join(str(error).split()))
    return DatabaseUnavailable(
        f"cannot connect to {without_password(url)}: {reason}. "
        "Check that the server runs and that HEADRACE_URL (or the URL given to Headrace) is right."
    )
