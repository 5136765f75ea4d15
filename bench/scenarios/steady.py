"""A steady load beside long readers, which is where many queues fall behind: what they delete cannot be removed."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import psycopg

from bench import probe
from bench.processes import operate, running_operation, workers
from bench.scenarios.latency import quantile

if TYPE_CHECKING:
    from bench.context import Context, Row
    from bench.server import Database

PEER = "headrace"
READERS = 3
LOOKS = 60
DRAIN_DEADLINE_S = 120.0


def steady(context: Context) -> Row:
    """A fixed rate of enqueues, and three readers that always overlap."""
    sizes = context.sizes
    looks: list[dict[str, float]] = []
    with (
        context.installed(PEER) as database,
        workers(PEER, database.url, "async", latency=True) as running,
        _readers(database, sizes.steady_reader_s),
    ):
        operate(PEER, database.url, "async", "warm_up")
        running.first_start_ns()
        words = ("steady", database.url, running.folder, sizes.steady_jobs_per_s, sizes.steady_s)
        with running_operation("bench.producers", *words) as producer:
            began = time.monotonic()
            while producer.is_running():
                looks.append({"after_s": time.monotonic() - began} | _look(database))
                time.sleep(sizes.steady_s / LOOKS)
            answer = producer.answer()
        returned = probe.read_returned(running.folder)
        jobs = len(returned) + 1  # with the first, which was to show that the worker is up
        running.wait_for("all jobs have started", lambda: running.started() >= jobs, DRAIN_DEADLINE_S)
        started = probe.read_log(running.folder)
    return answer | _summary(looks, returned, started, sizes.steady_minute_s)


def _summary(looks: list[dict[str, float]], returned: dict[int, int], started: dict[int, int], minute_s: float) -> Row:
    first, last = min(returned.values()), max(returned.values())
    waits = [(at, (started[n] - at) / 1e6) for n, at in returned.items()]
    first_minute = [wait for at, wait in waits if at < first + minute_s * 1e9]
    last_minute = [wait for at, wait in waits if at > last - minute_s * 1e9]
    return {
        "jobs": len(returned),
        "enqueued_per_s": (len(returned) - 1) / (last - first) * 1e9,
        "first_minute_p50_ms": quantile(first_minute, 0.5),
        "last_minute_p50_ms": quantile(last_minute, 0.5),
        "first_minute_p99_ms": quantile(first_minute, 0.99),
        "last_minute_p99_ms": quantile(last_minute, 0.99),
        "most_ms": max(wait for _, wait in waits),
        "backlog_median": statistics.median(look["backlog"] for look in looks),
        "backlog_most": max(look["backlog"] for look in looks),
        "backlog_last": looks[-1]["backlog"],
        "dead_rows_most": max(look["dead_rows"] for look in looks),
        "looks": looks,
    }


def _look(database: Database) -> dict[str, float]:
    return {
        "backlog": database.value("select count(*) from headrace.job"),
        "dead_rows": database.value(
            "select n_dead_tup from pg_stat_user_tables where schemaname = 'headrace' and relname = 'job'"
        ),
    }


@contextmanager
def _readers(database: Database, reader_s: float) -> Iterator[None]:
    """Sessions that read in one snapshot for so long, and again; each begins a third of that after the one before."""
    over = threading.Event()
    errors: list[BaseException] = []

    def read(number: int) -> None:
        try:
            over.wait(number * reader_s / READERS)
            with psycopg.connect(database.admin_url) as conn:
                conn.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
                while not over.is_set():
                    with conn.transaction():
                        conn.execute("select count(*), max(finished_at) from headrace.job_history")
                        over.wait(reader_s)
        except psycopg.Error as error:
            errors.append(error)

    threads = [threading.Thread(target=read, args=[number]) for number in range(READERS)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join()
    if errors:
        raise errors[0]
