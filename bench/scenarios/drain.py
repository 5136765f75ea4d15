"""How fast queued jobs are worked off, and what it costs."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from bench import peers
from bench.processes import Workers, operate, workers

if TYPE_CHECKING:
    from bench.context import Context, Row
    from bench.server import Database

DEADLINE_S = 600.0
LOOK_S = 0.02
"""How often the probe is read: small beside a drain, and the two cores are the worker's and the server's."""

FIFTH = 0.2


def drain(context: Context, peer: str) -> Row:
    """No-op `async` jobs, one worker process."""
    return _fresh(context, peer, "async", context.sizes.drain_jobs, processes=1)


def drain_two(context: Context, peer: str) -> Row:
    """The same with two."""
    return _fresh(context, peer, "async", context.sizes.drain_jobs, processes=2)


def drain_sync(context: Context, peer: str) -> Row:
    """Plain functions."""
    return _fresh(context, peer, "sync", context.sizes.drain_sync_jobs, processes=1)


def _fresh(context: Context, peer: str, kind: str, jobs: int, processes: int) -> Row:
    with context.installed(peer, kind) as database:
        return fill_and_drain(context, database, peer, kind, int(jobs * peers.find(peer).scale), processes)


def fill_and_drain(
    context: Context, database: Database, peer: str, kind: str, jobs: int, processes: int = 1
) -> dict[str, Any]:
    """Enqueue, then work off: from the first handler's start until the store has no unfinished job.

    Both begin after a checkpoint, so that none of the WAL and the waiting of what was before is theirs.
    """
    database.execute("checkpoint")
    position = database.wal_position()
    operate(peer, database.url, kind, "enqueue_many", jobs)
    row: Row = {"jobs": jobs} | _named("enqueue", database.wal_since(position, jobs))

    database.execute("analyze")  # nobody suffers from a planner without statistics
    database.execute("checkpoint")
    database.wait_until_alone()
    before = database.counts()
    position = database.wal_position()
    with workers(peer, database.url, kind, processes) as running:
        first = running.first_start_ns()
        worker_cpu_s, database_cpu_s = running.cpu_s(), context.server.cpu_s()
        progress = _watch(running, jobs)
        tail = peers.find(peer).tail or peers.find(peer).unfinished
        running.wait_for("no job is unfinished", lambda: not database.has(tail), DEADLINE_S)
        ended = time.monotonic_ns()
        row |= {
            "seconds": (ended - first) / 1e9,
            "jobs_per_s": jobs / (ended - first) * 1e9,
            "worker_cpu_us_per_job": (running.cpu_s() - worker_cpu_s) / jobs * 1e6,
            "database_cpu_us_per_job": (context.server.cpu_s() - database_cpu_s) / jobs * 1e6,
        }
        wal = database.wal_since(position, jobs)
        extra_starts = running.started() - jobs
    database.wait_until_alone()
    assert not database.has(peers.find(peer).unfinished), f"{peer} left jobs unfinished"
    row |= _named("drain", wal) | database.counts().per_job_since(before, jobs)
    row |= {"extra_starts": extra_starts} | _fifths([(first, 0), *progress], jobs)
    return row


def _named(stage: str, wal: dict[str, float]) -> dict[str, float]:
    return {f"{stage}_{name}": value for name, value in wal.items()}


def _watch(running: Workers, jobs: int) -> list[tuple[int, int]]:
    """How many handlers had started at which time, until all have."""
    progress: list[tuple[int, int]] = []

    def look() -> bool:
        started = running.started()
        progress.append((time.monotonic_ns(), started))
        return started >= jobs

    running.wait_for("all jobs have started", look, DEADLINE_S, LOOK_S)
    return progress


def _fifths(progress: list[tuple[int, int]], jobs: int) -> dict[str, float]:
    """The rates at which the first and the last fifth of the jobs started."""
    return {
        "first_fifth_per_s": _rate(progress, 0, FIFTH * jobs),
        "last_fifth_per_s": _rate(progress, (1 - FIFTH) * jobs, jobs),
    }


def _rate(progress: list[tuple[int, int]], begin: float, end: float) -> float:
    since, until = _time_of(progress, begin), _time_of(progress, end)
    return (end - begin) / (until - since) * 1e9


def _time_of(progress: list[tuple[int, int]], started: float) -> float:
    """When so many had started, between two looks."""
    earlier_at, earlier = progress[0]
    for at, count in progress[1:]:
        if count >= started:
            share = (started - earlier) / (count - earlier) if count > earlier else 1.0
            return earlier_at + share * (at - earlier_at)
        earlier_at, earlier = at, count
    return earlier_at
