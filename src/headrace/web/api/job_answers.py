"""Jobs, as the API shows them."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import Field

from headrace._redact import Redactor
from headrace.job import JobInfo, State
from headrace.web.api.fields import Answer


class JobAnswer(Answer):
    """A job as it is at one moment."""

    id: UUID = Field(description="UUID version 7.")
    state: State
    task: str = Field(description="The task's name.", examples=["send_invoice"])
    queue: str
    priority: int = Field(description="Larger first, within its queue.")
    attempts: int = Field(description="How many attempts are used.")
    max_attempts: int = Field(description="The retry budget.")
    run: int = Field(description="Numbers its claims; grows with every start, also where no attempt is spent.")
    args: dict[str, Any] = Field(description="The arguments.", examples=[{"customer": 42}])
    result: Any = Field(description="What its handler returned; null before it has succeeded.")
    error: dict[str, Any] | None = Field(description='What went wrong last: "kind", "message", "type", "traceback".')
    created_at: datetime = Field(description="When it was enqueued.")
    run_at: datetime = Field(description="Not started before.")
    expires_at: datetime | None = Field(description="Not started after.")
    claimed_at: datetime | None = Field(description="When its last attempt was claimed.")
    finished_at: datetime | None = Field(description="When it succeeded, failed for good, or was cancelled.")
    worker_id: int | None = Field(description="The worker that runs it, or ran it last.")
    unique_key: str | None
    blocked_by: str | None = Field(description='What it waits for, if it is blocked: "parents", "task", "event:NAME".')
    cancel_reason: str | None = Field(description="Not null: somebody has asked to cancel it.")
    tenant: str | None
    correlation_id: str | None
    tags: list[str] | None
    metadata: dict[str, Any] | None
    progress: dict[str, Any] | None = Field(description='How far it says it is: "done", "total", "message".')
    workflow_id: UUID | None


class JobSummary(Answer):
    """A job in a list: without its arguments and result, which may be large."""

    id: UUID
    state: State
    task: str
    queue: str
    priority: int
    attempts: int
    max_attempts: int
    created_at: datetime
    run_at: datetime
    claimed_at: datetime | None
    finished_at: datetime | None
    error: str | None = Field(description="The first line of what went wrong last.")
    tenant: str | None


class AttemptAnswer(Answer):
    """An attempt that was not the job's last; the last one is in the job itself."""

    run: int = Field(description="Its number among the job's claims.")
    outcome: str = Field(
        description="retried, snoozed, waiting, handed_back, parked, lost; or the job's final state before it was "
        "retried by hand."
    )
    worker_id: int
    started_at: datetime | None
    finished_at: datetime
    error: dict[str, Any] | None


class StepAnswer(Answer):
    """A recorded step of a job."""

    ordinal: int = Field(description="The how-manieth step of the handler it is, from 1.")
    kind: Literal["call", "sleep", "event"]
    name: str
    run: int = Field(description="Of the attempt that recorded it.")
    outcome: Literal["done", "waiting", "timed_out"]
    recorded_at: datetime
    finished_at: datetime | None
    wakes_at: datetime | None = Field(description="When the sleep is over, or the wait for the event is given up.")
    took_s: float | None
    result: Any = Field(description="What the call returned; the event's payload.")


class LogAnswer(Answer):
    """A line that a handler logged with its job."""

    run: int
    logged_at: datetime
    level: str
    message: str


class EnqueuedAnswer(Answer):
    """A job that was asked for."""

    id: UUID
    existed: bool = Field(description="Whether a job held the unique or idempotency key already, and this is that one.")


class ResultAnswer(Answer):
    """What has become of a job so far."""

    id: UUID
    state: State
    finished: bool = Field(description="Whether it is final. If not, ask again.")
    result: Any = Field(description="What its handler returned.")
    error: dict[str, Any] | None


def job_answer(job: JobInfo, redactor: Redactor) -> JobAnswer:
    """A job, whole, but for its secrets."""
    return JobAnswer.model_validate(redactor.job(job))


def result_answer(job: JobInfo, redactor: Redactor) -> ResultAnswer:
    """What has become of it."""
    job = redactor.job(job)
    return ResultAnswer(id=job.id, state=job.state, finished=job.state.final, result=job.result, error=job.error)


def summary(job: JobInfo, redactor: Redactor) -> JobSummary:
    """A job in a list."""
    job = redactor.job(job)
    line = None if job.error is None else str(job.error.get("message", "")).strip().partition("\n")[0]
    fields = {name: getattr(job, name) for name in JobSummary.model_fields}
    return JobSummary.model_validate(fields | {"error": line})
