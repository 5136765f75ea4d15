"""Calling the statistics functions without the queue."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psycopg
from psycopg import sql

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from apps.league.stats import StatsFunction


@dataclass(frozen=True)
class FunctionRun:
    """What came of one call of a statistics function."""

    function: StatsFunction
    seconds: float
    rows: int | None
    """How many rows it wrote; None if it failed."""
    error: str | None


def call(conn: psycopg.Connection, function: StatsFunction) -> int:
    """Run one statistics function in a transaction and return the number of rows that it wrote."""
    statement = sql.SQL("select league.{}()").format(sql.Identifier(function.rpc_name))
    with conn.transaction():
        row = conn.execute(statement).fetchone()
    assert row is not None
    return int(row[0])


def run_direct(conn: psycopg.Connection, functions: Iterable[StatsFunction]) -> Iterator[FunctionRun]:
    """Run functions one after the other; one that fails does not stop the others."""
    for function in functions:
        start = time.perf_counter()
        rows, error = None, None
        try:
            rows = call(conn, function)
        except psycopg.Error as failure:
            error = failure.diag.message_primary or str(failure)
        yield FunctionRun(function, time.perf_counter() - start, rows, error)
