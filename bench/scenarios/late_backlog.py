"""A backlog that comes late: the worker and its connections have looked at an empty queue for a while, and whatever was
planned then is what the first claims use."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from bench.fill import add_queued
from bench.processes import Workers, operate, workers

if TYPE_CHECKING:
    from bench.context import Context, Row
    from bench.server import Database

PEER = "headrace"
FIRST_JOBS = 5_000
DEADLINE_S = 600.0
CLAIM = "claim_jobs("


def late_backlog(context: Context) -> Row:
    """How long the first 5,000 jobs take to start, beside how long 5,000 take later."""
    jobs = context.sizes.late_backlog_jobs
    with context.installed(PEER) as database, workers(PEER, database.url, "async") as running:
        operate(PEER, database.url, "async", "warm_up")
        running.first_start_ns()
        running.wait_for("the first job is finished", lambda: not database.has("headrace.job"), DEADLINE_S)
        database.execute("vacuum (analyze)")  # the worst that a planner can have been told
        time.sleep(context.sizes.late_backlog_idle_s)
        database.forget_statement_times()
        add_queued(database, jobs)
        committed = time.monotonic()
        first_jobs = min(FIRST_JOBS, jobs // 4)
        first_s, first = _started(running, database, first_jobs, committed)
        all_s, every = _started(running, database, jobs, committed)
        _, _, longest_ms = database.statement_times(CLAIM)
    steady_s = (all_s - first_s) / (jobs - first_jobs) * first_jobs
    later = (every[0] - first[0], every[1] - first[1])
    return {
        "jobs": jobs,
        "first_jobs": first_jobs,
        "first_s": first_s,
        "steady_s": steady_s,
        "first_to_steady": first_s / steady_s,
        "jobs_per_s": jobs / all_s,
        "first_claim_ms": first[1] / max(1, first[0]),
        "later_claim_ms": later[1] / max(1, later[0]),
        "longest_claim_ms": longest_ms,
    }


def _started(running: Workers, database: Database, jobs: int, committed: float) -> tuple[float, tuple[int, float]]:
    """When so many have started (beside the very first), in s after the commit; the claims for it, and their ms."""
    running.wait_for(f"{jobs:,} jobs have started", lambda: running.started() > jobs, DEADLINE_S, 0.002)
    after_s = time.monotonic() - committed
    calls, total_ms, _ = database.statement_times(CLAIM)
    return after_s, (calls, total_ms)
