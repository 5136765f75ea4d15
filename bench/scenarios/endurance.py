"""Millions of jobs in a row through one worker: nothing may grow."""

from __future__ import annotations

import statistics
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import psutil

from bench.processes import Workers, running_operation, workers

if TYPE_CHECKING:
    from bench.context import Context, Row
    from bench.server import Database

PEER = "headrace"
LOOKS = 200
SLOWEST_PER_S = 500
"""A run that falls below is given up."""

MEASURED = ("resident_mib", "open_files", "connections")


def endurance(context: Context) -> Row:
    """A producer keeps tens of thousands of jobs before the worker; its last tenth beside its second."""
    jobs = context.sizes.endurance_jobs
    looks: list[dict[str, float]] = []
    with (
        context.installed(PEER) as database,
        workers(PEER, database.url, "async") as running,
        running_operation("bench.producers", "refill", database.url, running.folder, jobs) as producer,
    ):
        began = time.monotonic()
        running.first_start_ns()
        for step in range(1, LOOKS + 1):
            due = jobs * step // LOOKS
            running.wait_for(
                f"{due:,} jobs have started",
                lambda due=due: running.started() >= due,  # type: ignore[misc]
                60 + jobs / LOOKS / SLOWEST_PER_S,
                0.05,
            )
            looks.append({"after_s": time.monotonic() - began, "started": running.started()} | _look(running, database))
        producer.answer()
        running.wait_for("no job is unfinished", lambda: not database.has("headrace.job"), 60)
        seconds = time.monotonic() - began
    row: Row = {"jobs": jobs, "seconds": seconds, "jobs_per_s": jobs / seconds}
    second, last = looks[LOOKS // 10 - 1 : LOOKS // 5], looks[-LOOKS // 10 - 1 :]
    for name in MEASURED:
        earlier, later = (statistics.mean(look[name] for look in tenth) for tenth in (second, last))
        row |= {f"second_tenth_{name}": earlier, f"last_tenth_{name}": later, f"{name}_ratio": later / earlier}
    row |= {"second_tenth_per_s": _rate(second), "last_tenth_per_s": _rate(last)}
    return row | {"looks": looks}


def _rate(looks: list[dict[str, float]]) -> float:
    return (looks[-1]["started"] - looks[0]["started"]) / (looks[-1]["after_s"] - looks[0]["after_s"])


def _look(running: Workers, database: Database) -> dict[str, float]:
    resident_bytes = files = 0
    for member in running.family():
        with suppress(psutil.NoSuchProcess):
            resident_bytes += member.memory_info().rss
            files += member.num_fds()
    connections = database.value("select count(*) from pg_stat_activity where usename = 'headrace'")
    return {"resident_mib": resident_bytes / 2**20, "open_files": files, "connections": connections}
