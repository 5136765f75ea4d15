"""Where the league's database is: the one module that knows."""

from __future__ import annotations

from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING

import psycopg

from apps.league.errors import LeagueError
from headrace import Headrace, HeadraceError

if TYPE_CHECKING:
    from collections.abc import Iterator


def database_url() -> str:
    """Return `HEADRACE_URL`, else the URL of the embedded server, which is started if need be."""
    try:
        return _headrace().url
    except HeadraceError as error:
        raise LeagueError(str(error)) from error


@contextmanager
def connection() -> Iterator[psycopg.Connection]:
    """Connect to the league's database; without a transaction each statement is committed."""
    try:
        conn = psycopg.connect(database_url(), autocommit=True, application_name="league", connect_timeout=10)
    except psycopg.Error as error:
        raise LeagueError(
            f"cannot connect to the database that HEADRACE_URL names: {error};"
            " without HEADRACE_URL the league uses the embedded server"
        ) from error
    with conn:
        yield conn


@cache
def _headrace() -> Headrace:
    """The use of the embedded server that lasts as long as this process."""
    return Headrace()
