"""How soon a job starts when a worker has nothing else to do."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

from bench import probe
from bench.processes import operate, workers

if TYPE_CHECKING:
    from bench.context import Context, Row

QUIET_S = 1.0
"""After the first job, a worker gets this long to fall idle again."""

DEADLINE_S = 30.0


def latency(context: Context, peer: str) -> Row:
    """From the enqueue's return in the producer to the handler's start in the worker."""
    jobs = context.sizes.latency_jobs
    with (
        context.installed(peer) as database,
        workers(peer, database.url, "async", latency=True) as running,
    ):
        operate(peer, database.url, "async", "warm_up")
        running.first_start_ns()
        time.sleep(QUIET_S)
        returned = operate(peer, database.url, "async", "latency", jobs)["returned"]
        running.wait_for("all jobs have started", lambda: len(probe.read_log(running.folder)) == jobs, DEADLINE_S)
        started = probe.read_log(running.folder)
    waits_ms = [(started[int(n)] - at) / 1e6 for n, at in returned.items()]
    return {"p50_ms": quantile(waits_ms, 0.5), "p99_ms": quantile(waits_ms, 0.99), "most_ms": max(waits_ms)}


def quantile(values: Iterable[float], share: float) -> float:
    """The value that this share of them does not pass."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
