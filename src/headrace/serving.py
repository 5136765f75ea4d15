"""Queues and the workers that serve them, as the database has them at one moment."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal
from uuid import UUID

if TYPE_CHECKING:
    from headrace.limits import PauseInfo

LOOKED_AT = 1_000
"""So many jobs of each queue are counted at most, so that asking takes no longer with ten million of them."""

SILENT_S = 20.0
"""A worker whose last beat is older has, or soon will have, lost its lease."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueInfo:
    """A queue at one moment.

    Attributes:
        name: Its name.
        queued: Jobs that could run now.
        running: Jobs that run.
        scheduled: Jobs that wait for a time.
        blocked: Jobs that wait for other jobs, an event, or a worker that knows their task.
        complete: Whether the numbers are exact. Otherwise they are what a worker counted within the last minutes, or,
            if none did, the least that there can be: no more than 1,000 are looked at.
        oldest_at: Since when the oldest of the queued ones could run.
        workers: How many workers serve it, draining ones not counted.
        places: How many of its jobs they can run at once.
        concurrency: An operator's setting: places in each worker; None: as workers were started.
        max_queued: Enqueueing is refused beyond so many queued jobs; None: no bound.
        pause: The pause that keeps its jobs from starting, be it its own or that of all queues; None: there is none.
    """

    name: str
    queued: int
    running: int
    scheduled: int
    blocked: int
    complete: bool
    oldest_at: datetime | None
    workers: int
    places: int
    concurrency: int | None
    max_queued: int | None
    pause: PauseInfo | None


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerInfo:
    """A worker that holds a lease.

    Attributes:
        id: Of its lease.
        host: The machine it runs on.
        pid: Its process there.
        version: Of headrace.
        queues: How many jobs it runs at once, by queue.
        started_at: When it took the lease.
        beaten_at: When it last renewed it.
        draining: Whether it claims no more and ends when its jobs have.
        silent_s: Seconds since its last beat.
    """

    id: int
    host: str
    pid: int
    version: str
    queues: dict[str, int]
    started_at: datetime
    beaten_at: datetime
    draining: bool
    silent_s: float

    @property
    def places(self) -> int:
        """How many jobs it runs at once."""
        return sum(self.queues.values())

    @property
    def state(self) -> Literal["running", "draining", "silent"]:
        """In a word; "silent": it has not renewed its lease in time."""
        if self.silent_s > SILENT_S:
            return "silent"
        return "draining" if self.draining else "running"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningJob:
    """A job that runs.

    Attributes:
        id: Its id.
        task: Its task.
        queue: Its queue.
        worker_id: The lease under which it runs.
        run: The number of the attempt.
        claimed_at: When the attempt began.
        tenant: Whom it belongs to.
        progress: What its handler last said: "done", "total" and "message".
    """

    id: UUID
    task: str
    queue: str
    worker_id: int
    run: int
    claimed_at: datetime | None
    tenant: str | None
    progress: dict[str, Any] | None
