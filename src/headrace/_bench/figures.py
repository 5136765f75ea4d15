"""What the bench found out: figures of each step, as medians, and where the time went."""

from __future__ import annotations

from dataclasses import dataclass, field
from statistics import median
from typing import Any


@dataclass(frozen=True)
class Server:
    """What is known of the database and of the way to it.

    Attributes:
        settings: By name; None where the server does not say.
        has_pooler: Whether something between us and the server hands out its connections.
        hears: Whether a NOTIFY arrives at a connection that listens.
    """

    settings: dict[str, str | None]
    has_pooler: bool
    hears: bool


@dataclass(frozen=True)
class Times:
    """How long the same thing took, again and again, in seconds."""

    samples: list[float]

    @property
    def median(self) -> float:
        """Half of them took longer."""
        return median(self.samples)

    @property
    def p95(self) -> float:
        """One in twenty took longer."""
        return sorted(self.samples)[min(len(self.samples) - 1, int(len(self.samples) * 0.95))]

    def as_json(self) -> dict[str, Any]:
        """In milliseconds."""
        return {
            "median_ms": round(self.median * 1000, 3),
            "p95_ms": round(self.p95 * 1000, 3),
            "samples": len(self.samples),
        }


@dataclass(frozen=True)
class Round:
    """One drain of a backlog.

    Attributes:
        jobs: How many.
        seconds: From the first claim to the last settle.
        cpu_s: What all worker processes together used of the processors.
        core_wait_s: How long they were ready to run and had no core; None where the system does not say.
        wal_bytes: What the server logged meanwhile, from before the enqueue; None where it does not say.
    """

    jobs: int
    seconds: float
    cpu_s: float
    core_wait_s: float | None
    wal_bytes: float | None


@dataclass(frozen=True)
class Drain:
    """Rounds by the same worker processes."""

    processes: int
    rounds: list[Round]

    @property
    def jobs_per_s(self) -> float:
        """The median of the rounds."""
        return median(one.jobs / one.seconds for one in self.rounds)

    @property
    def cpu_us_per_job(self) -> float:
        """What a job costs a worker process."""
        return median(one.cpu_s / one.jobs for one in self.rounds) * 1e6

    @property
    def busy(self) -> float:
        """The share of the drain for which a worker process computed."""
        return median(self._share(one.cpu_s, one) for one in self.rounds)

    @property
    def without_core(self) -> float | None:
        """The share for which it could have, and had no core."""
        known = [self._share(one.core_wait_s, one) for one in self.rounds if one.core_wait_s is not None]
        return median(known) if known else None

    @property
    def waiting(self) -> float:
        """The rest: it waited for the database, since its jobs wait for nothing."""
        return max(0.0, 1 - self.busy - (self.without_core or 0.0))

    @property
    def wal_bytes_per_job(self) -> float | None:
        """From enqueue to history, full-page images and what others wrote included."""
        known = [one.wal_bytes / one.jobs for one in self.rounds if one.wal_bytes is not None]
        return median(known) if known else None

    def _share(self, seconds: float, one: Round) -> float:
        return min(1.0, seconds / self.processes / one.seconds)

    def as_json(self) -> dict[str, Any]:
        """Rates and shares."""
        wal, without_core = self.wal_bytes_per_job, self.without_core
        return {
            "jobs_per_s": round(self.jobs_per_s),
            "rounds": len(self.rounds),
            "worker_cpu_us_per_job": round(self.cpu_us_per_job, 1),
            "share_computing": round(self.busy, 3),
            "share_without_a_core": None if without_core is None else round(without_core, 3),
            "share_waiting_for_the_database": round(self.waiting, 3),
            "wal_bytes_per_job": None if wal is None else round(wal),
        }


@dataclass
class Figures:
    """Everything that was measured, in the order in which it is."""

    server: Server
    cores: int
    concurrency: int
    round_trip: Times = field(init=False)
    commit: Times = field(init=False)
    enqueue_one: Times = field(init=False)
    enqueue_many: Times = field(init=False)
    drain_one: Drain = field(init=False)
    drain_two: Drain = field(init=False)
    latency: Times = field(init=False)

    @property
    def flush_s(self) -> float:
        """What a commit takes beyond the way to the server and back."""
        return max(0.0, self.commit.median - self.round_trip.median)
