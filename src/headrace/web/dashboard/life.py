"""The life of a job, as one line of moments."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from headrace.job import AttemptInfo, JobInfo, State

if TYPE_CHECKING:
    from collections.abc import Sequence

_SAYS = {
    "retried": "failed, and is tried again",
    "snoozed": "asked to be run later",
    "waiting": "waits for an event or a time",
    "handed_back": "was handed back by its worker",
    "parked": "its worker does not know the task",
    "lost": "its worker was lost",
    "succeeded": "succeeded",
    "failed": "failed",
    "cancelled": "was cancelled",
    "running": "runs",
}


@dataclass(frozen=True)
class LifeMoment:
    """One moment of a job's life.

    Attributes:
        kind: A state or an outcome: it gives the colour.
        what: What happened.
        at: When it ended or happened; None: it is still to come.
        began: When the attempt began.
        took_s: How long it took.
        worker_id: Who ran it.
        error: What went wrong.
    """

    kind: str
    what: str
    at: datetime | None
    began: datetime | None = None
    took_s: float | None = None
    worker_id: int | None = None
    error: dict[str, Any] | None = None


def life_of(job: JobInfo, attempts: Sequence[AttemptInfo], now: datetime) -> list[LifeMoment]:
    """Everything that has happened to a job, and what comes next, the earliest first."""
    moments = [LifeMoment("scheduled", "enqueued", job.created_at)]
    moments += [_attempt(attempt.run, attempt.outcome, attempt, now) for attempt in attempts]
    if (
        job.run > 0
        and job.run not in {attempt.run for attempt in attempts}
        and (job.state.final or job.state is State.RUNNING)
    ):
        last = AttemptInfo(
            run=job.run, outcome=job.state.value, worker_id=job.worker_id or 0, started_at=job.claimed_at,
            finished_at=job.finished_at or now, error=job.error,
        )  # fmt: skip
        moments.append(_attempt(job.run, job.state.value, last, now))
    elif job.state.final:
        moments.append(
            LifeMoment(job.state.value, f"{_SAYS[job.state]} before it ran", job.finished_at, error=job.error)
        )
    if not job.state.final and job.state is not State.RUNNING:
        moments.append(_waiting(job))
    return moments


def _attempt(run: int, outcome: str, attempt: AttemptInfo, now: datetime) -> LifeMoment:
    running = outcome == State.RUNNING
    took = None if attempt.started_at is None else ((now if running else attempt.finished_at) - attempt.started_at)
    return LifeMoment(
        outcome, f"run {run} {_SAYS.get(outcome, outcome)}", attempt.started_at if running else attempt.finished_at,
        began=attempt.started_at, took_s=None if took is None else max(0.0, took.total_seconds()),
        worker_id=attempt.worker_id or None, error=attempt.error,
    )  # fmt: skip


def _waiting(job: JobInfo) -> LifeMoment:
    match job.state:
        case State.SCHEDULED:
            return LifeMoment("scheduled", "due", job.run_at)
        case State.BLOCKED:
            return LifeMoment("blocked", f"waits for {waits_for(job.blocked_by)}", None)
        case _:
            return LifeMoment("queued", "waits for a worker", job.run_at)


def waits_for(blocked_by: str | None) -> str:
    """What a blocked job waits for, in words."""
    match blocked_by:
        case "task":
            return "a worker that knows this task"
        case "parents":
            return "other jobs of its workflow"
        case str() if blocked_by.startswith("event:"):
            return f'the event "{blocked_by.removeprefix("event:")}"'
        case _:
            return blocked_by or "something"
