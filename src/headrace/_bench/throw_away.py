"""A schema of the bench's own, which is gone afterwards, however the bench ends.

Only SIGKILL, or a database that is away at the end, leaves it behind; the next bench then names it. It does not drop
it, since it may belong to a bench that runs.
"""

from __future__ import annotations

import secrets
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from headrace._bench.statements import statement
from headrace._store.connect import connect_sync
from headrace._store.migrate import migrate
from headrace.errors import DatabaseError, HeadraceError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LOCK_TIMEOUT_MS = 5_000
"""A worker process that was killed leaves statements behind, which end within moments."""

_TRIES = 4
_CTRL_C = (signal.SIGINT,)
_ENDING = (signal.SIGTERM, signal.SIGHUP)


def new_name() -> str:
    """A schema name that nobody uses."""
    return f"headrace_bench_{secrets.token_hex(4)}"


@contextmanager
def throw_away_schema(url: str, schema: str, note: Callable[[str], None]) -> Iterator[None]:
    """Make the schema, and drop it at the end.

    Args:
        url: The database.
        schema: Its name.
        note: Told what the user should know.

    Raises:
        DatabaseError: It cannot be made here, or not be dropped.
    """
    for leftover in _check(url):
        note(
            f'schema "{leftover}" belongs to another bench; if none runs, it was killed: drop schema {leftover} cascade'
        )
    try:
        migrate(url, schema)
        yield
    finally:
        with _uninterrupted():
            _drop(url, schema)


def _check(url: str) -> list[str]:
    """Refuse a database in which we cannot make a schema; the names of others' schemas."""
    with connect_sync(url) as conn, conn.cursor(row_factory=dict_row) as cursor:
        found = cursor.execute(statement("find_obstacles")).fetchone()
    assert found is not None
    if found["only_reads"]:
        raise DatabaseError(
            f'database "{found["database"]}" may only be read here: it is a standby, or default_transaction_read_only '
            "is on. Give the bench the URL of its primary"
        )
    if not found["may_create"]:
        raise DatabaseError(
            f'role "{found["role"]}" may not create a schema in database "{found["database"]}", and the bench works in '
            f'one of its own. Let it (grant create on database "{found["database"]}" to "{found["role"]}"), or give '
            "the --url of another role, or of another database of the same server"
        )
    leftovers: list[str] = found["leftovers"]
    return leftovers


def _drop(url: str, schema: str) -> None:
    drop = sql.SQL("drop schema if exists {} cascade").format(sql.Identifier(schema))
    for tries_left in reversed(range(_TRIES)):
        try:
            with connect_sync(url) as conn, conn.transaction():
                conn.execute(sql.SQL("set local lock_timeout = {}").format(LOCK_TIMEOUT_MS))
                conn.execute(drop)
            return
        except (psycopg.Error, HeadraceError) as error:
            if isinstance(error, psycopg.errors.LockNotAvailable) and tries_left:
                continue
            raise DatabaseError(
                f'schema "{schema}" could not be dropped ({str(error).strip()}): drop schema {schema} cascade'
            ) from error


@contextmanager
def interrupted_by_any_signal() -> Iterator[None]:
    """Let everything that asks a program to end do what Ctrl-C does: whoever is at work then clears up.

    Under asyncio.run, Ctrl-C cancels the main task first; so what comes here becomes SIGINT, whoever handles that.
    """
    with (
        _handling(lambda *_: signal.raise_signal(signal.SIGINT), _ENDING),
        _handling(signal.default_int_handler, _CTRL_C),
    ):
        yield


@contextmanager
def _uninterrupted() -> Iterator[None]:
    with _handling(signal.SIG_IGN, _CTRL_C + _ENDING):
        yield


@contextmanager
def _handling(handler: signal.Handlers | Callable[..., Any], numbers: tuple[signal.Signals, ...]) -> Iterator[None]:
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)
