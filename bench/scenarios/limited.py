"""What limits cost: a drain of jobs of a thousand keys, each with a concurrency limit, beside the plain drain."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

from bench.scenarios.drain import fill_and_drain

if TYPE_CHECKING:
    from bench.context import Context, Row

PLAIN, LIMITED = "headrace", "headrace_limited"


def drain_limited(context: Context) -> Row:
    """Pairs of drains, in alternating order; each list has one entry for each pair."""

    def drain(peer: str) -> Row:
        with context.installed(peer) as database:
            return fill_and_drain(context, database, peer, "async", context.sizes.drain_jobs)

    pairs: list[tuple[Row, Row]] = []
    for number in range(context.sizes.flat_pairs):
        if number % 2 == 0:
            free = drain(PLAIN)
            pairs.append((free, drain(LIMITED)))
        else:
            limited = drain(LIMITED)
            pairs.append((drain(PLAIN), limited))
    return {
        "free_jobs_per_s": [free["jobs_per_s"] for free, _ in pairs],
        "jobs_per_s": [limited["jobs_per_s"] for _, limited in pairs],
        "rate_ratio": statistics.median(limited["jobs_per_s"] / free["jobs_per_s"] for free, limited in pairs),
    } | {
        f"{name}_ratio": statistics.median(limited[name] / free[name] for free, limited in pairs)
        for name in (
            "drain_wal_bytes_per_job",
            "database_cpu_us_per_job",
            "worker_cpu_us_per_job",
            "statements_per_job",
        )
    }
