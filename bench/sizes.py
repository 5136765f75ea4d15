"""How much each scenario does."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """The full sizes are the defaults. A drain's size is headrace's: slower peers drain fewer jobs (`Peer.scale`)."""

    enqueue_one_jobs: int = 3_000
    enqueue_many_jobs: int = 100_000
    drain_jobs: int = 100_000
    drain_sync_jobs: int = 40_000
    latency_jobs: int = 1_000

    flat_jobs: int = 300_000
    flat_pairs: int = 3
    finished_jobs: int = 5_000_000
    scheduled_jobs: int = 1_000_000

    steady_jobs_per_s: int = 800
    steady_s: float = 600
    steady_reader_s: float = 120
    steady_minute_s: float = 60

    enqueuer_connections: int = 200
    enqueuers_s: float = 10
    enqueuers_pairs: int = 3

    late_backlog_jobs: int = 400_000
    late_backlog_idle_s: float = 60

    endurance_jobs: int = 10_000_000


FULL = Sizes()
SMOKE = Sizes(
    enqueue_one_jobs=300,
    enqueue_many_jobs=10_000,
    drain_jobs=10_000,
    drain_sync_jobs=4_000,
    latency_jobs=100,
    flat_jobs=10_000,
    flat_pairs=1,
    finished_jobs=50_000,
    scheduled_jobs=10_000,
    steady_s=20,
    steady_reader_s=4,
    steady_minute_s=2,
    enqueuers_s=2,
    enqueuers_pairs=1,
    late_backlog_jobs=20_000,
    late_backlog_idle_s=3,
    endurance_jobs=50_000,
)
"""Whether everything works, in minutes; its figures mean little."""
