"""Whether headrace's speed depends on what else is in the database. Each drain under a burden is measured beside one
without, in the same run, in alternating order."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING

import psycopg

from bench.fill import add_finished, add_scheduled
from bench.scenarios.drain import fill_and_drain
from bench.server import Database

if TYPE_CHECKING:
    from bench.context import Context, Row

PEER = "headrace"
COUNTS = ("buffers_hit", "index_tuples", "statements", "commits", "drain_wal_bytes", "database_cpu_us")
Burden = Callable[[Database], AbstractContextManager[None]]


def finished(context: Context) -> Row:
    """Millions of finished jobs in history."""
    return _beside_filled(context, lambda database: add_finished(database, context.sizes.finished_jobs))


def scheduled(context: Context) -> Row:
    """A million jobs that are due later."""
    return _beside_filled(context, lambda database: add_scheduled(database, context.sizes.scheduled_jobs))


def both(context: Context) -> Row:
    """Both of them."""

    def fill(database: Database) -> None:
        add_finished(database, context.sizes.finished_jobs)
        add_scheduled(database, context.sizes.scheduled_jobs)

    return _beside_filled(context, fill)


def held(context: Context) -> Row:
    """Another session holds a snapshot from before the jobs: no row that they leave behind can be removed."""
    return _beside_burdened(context, _held_snapshot)


def open_write(context: Context) -> Row:
    """Another session has written to another table and not committed."""
    return _beside_burdened(context, _open_transaction)


def _beside_filled(context: Context, fill: Callable[[Database], None]) -> Row:
    # Filled once, for all of its drains: the jobs of a drain are few beside what is there.
    with context.installed(PEER, name="bench_filled") as database:
        fill(database)
        return _pairs(context, lambda: _drain(context, database))


def _beside_burdened(context: Context, burden: Burden) -> Row:
    def drain() -> Row:
        with context.installed(PEER, name="bench_burdened") as database, burden(database):
            return _drain(context, database)

    return _pairs(context, drain)


def _pairs(context: Context, burdened: Callable[[], Row]) -> Row:
    """Drains with and without, in turn, and how they compare; each list has one entry for each pair."""

    def free() -> Row:
        with context.installed(PEER, name="bench_free") as database:
            return _drain(context, database)

    pairs: list[tuple[Row, Row]] = []
    for number in range(context.sizes.flat_pairs):
        if number % 2 == 0:
            without = free()
            pairs.append((without, burdened()))
        else:
            under = burdened()
            pairs.append((free(), under))
    row: Row = {
        "free_jobs_per_s": [without["jobs_per_s"] for without, _ in pairs],
        "jobs_per_s": [under["jobs_per_s"] for _, under in pairs],
        "rate_ratio": statistics.median(under["jobs_per_s"] / without["jobs_per_s"] for without, under in pairs),
        "free_last_to_first_fifth": statistics.median(_last_to_first(without) for without, _ in pairs),
        "last_to_first_fifth": statistics.median(_last_to_first(under) for _, under in pairs),
    }
    for count in COUNTS:
        name = f"{count}_per_job"
        row[name] = [under[name] for _, under in pairs]
        row[f"{count}_ratio"] = statistics.median(under[name] / without[name] for without, under in pairs)
    return row


def _last_to_first(row: Row) -> float:
    return float(row["last_fifth_per_s"] / row["first_fifth_per_s"])


def _drain(context: Context, database: Database) -> Row:
    return fill_and_drain(context, database, PEER, "async", context.sizes.flat_jobs)


@contextmanager
def _held_snapshot(database: Database) -> Iterator[None]:
    with psycopg.connect(database.admin_url) as conn:
        conn.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        conn.execute("select count(*) from pg_class")  # takes the snapshot
        yield


@contextmanager
def _open_transaction(database: Database) -> Iterator[None]:
    database.execute("create table bench.bystander (n integer)")
    with psycopg.connect(database.admin_url) as conn:
        conn.execute("insert into bench.bystander values (1)")
        yield
