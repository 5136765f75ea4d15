"""Why a job is where it is, and what happens to it next: in words, and as data.

One statement (explain_job.sql) reads what there is to know at one moment; _explaining.py makes reasons of it. Each kind
of reason is a class whose text says it in words.
"""

# ruff: noqa: D102 - `text` and `over` are what Reason says they are

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, ClassVar, Literal
from uuid import UUID

from headrace.job import State

BOUND = 1000
"""Jobs ahead in line are counted up to so many."""

LEASE_S = 20.0
"""A worker that has not beaten for this long, the length of a lease, counts as silent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason(ABC):
    """One thing that keeps a job where it is.

    Attributes:
        kind: Which of the classes of this module.
    """

    kind: ClassVar[str] = ""

    @property
    @abstractmethod
    def text(self) -> str:
        """In words."""

    @property
    def over(self) -> str:
        """When this does not stop the job any more: the end of a sentence that begins with "it starts"."""
        return ""

    def as_dict(self) -> dict[str, Any]:
        """For programs: the kind, the text and all fields."""
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {"kind": self.kind, "text": self.text, **fields}


@dataclass(frozen=True, slots=True, kw_only=True)
class Paused(Reason):
    """Its queue is paused, or all are (queue is None)."""

    kind: ClassVar[str] = "paused"
    queue: str | None
    by: str | None
    reason: str | None
    since: datetime
    until: datetime | None

    @property
    def text(self) -> str:
        what = "all queues are paused" if self.queue is None else f'queue "{self.queue}" is paused'
        until = f" until {show(self.until)}" if self.until is not None else ""
        by = f" by {self.by}" if self.by else ""
        return what + until + by + (f": {self.reason}" if self.reason else "")

    @property
    def over(self) -> str:
        return "when the pause is over" if self.until is not None else "when somebody ends the pause"


@dataclass(frozen=True, slots=True, kw_only=True)
class NoWorker(Reason):
    """No live worker serves its queue; so many do that are about to stop, or have not been heard of."""

    kind: ClassVar[str] = "no_worker"
    queue: str
    draining: int
    silent: int

    @property
    def text(self) -> str:
        others = [
            f"{count} {word}" for count, word in ((self.draining, "about to stop"), (self.silent, "silent")) if count
        ]
        return f'no live worker serves queue "{self.queue}"' + (f" ({', '.join(others)})" if others else "")

    @property
    def over(self) -> str:
        return "when a worker that serves its queue has started"


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskUnknown(Reason):
    """No worker that was ever started knows its task; or (parked) one that claimed it did not."""

    kind: ClassVar[str] = "task_unknown"
    task: str
    parked: bool

    @property
    def text(self) -> str:
        if self.parked:
            return f'a worker that claimed it did not know the task "{self.task}"'
        return f'no worker has ever registered the task "{self.task}"'

    @property
    def over(self) -> str:
        return "when a worker that knows its task has started"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Limited(Reason):
    """The limit by name, and the key of it that this job has."""

    name: str
    key: str | None

    @property
    def _of(self) -> str:
        return f'"{self.name}"' + (f' for "{self.key}"' if self.key is not None else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotsTaken(_Limited):
    """A concurrency limit has no free slot."""

    kind: ClassVar[str] = "slots_taken"
    held: int
    bound: int

    @property
    def text(self) -> str:
        return f"limit {self._of}: {self.held} of {self.bound} slots are taken"

    @property
    def over(self) -> str:
        return "when a slot is free" if self.bound else "when the limit is raised: it lets none start"


@dataclass(frozen=True, slots=True, kw_only=True)
class RateSpent(_Limited):
    """A rate lets no job start before this."""

    kind: ClassVar[str] = "rate_spent"
    until: datetime

    @property
    def text(self) -> str:
        return f"limit {self._of}: no further start until {show(self.until)}"

    @property
    def over(self) -> str:
        return "when the rate allows it"


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderHeld(_Limited):
    """Jobs of its key run one after the other, and another one (None: not yours to see) is first."""

    kind: ClassVar[str] = "order_held"
    holder: UUID | None
    holder_state: str | None

    @property
    def text(self) -> str:
        who = f"job {self.holder}" if self.holder is not None else "another job"
        return f"order {self._of}: {who} is before it" + (f" ({self.holder_state})" if self.holder_state else "")

    @property
    def over(self) -> str:
        return "when the job before it has finished"


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerOpen(_Limited):
    """The breaker of a service that it needs lets nothing through, or (half open) has let its probes through."""

    kind: ClassVar[str] = "breaker_open"
    state: Literal["open", "half_open"]
    forced: bool
    until: datetime | None

    @property
    def text(self) -> str:
        state = "held open by an operator" if self.forced else self.state.replace("_", " ")
        return f"breaker {self._of} is {state}" + (f" until {show(self.until)}" if self.until is not None else "")

    @property
    def over(self) -> str:
        if self.forced:
            return "when somebody resets the breaker"
        return "when the breaker has closed, or as one of its probes"


@dataclass(frozen=True, slots=True, kw_only=True)
class OthersTurn(_Limited):
    """Keys take turns, and its key has had more than its share."""

    kind: ClassVar[str] = "others_turn"

    @property
    def text(self) -> str:
        return f"fair share {self._of}: it is the turn of others"

    @property
    def over(self) -> str:
        return "when it is its key's turn"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunsAlone(Reason):
    """It was running when workers were lost, so it runs one at a time in a worker, beside no other such job."""

    kind: ClassVar[str] = "runs_alone"
    losses: int
    ahead: int

    @property
    def text(self) -> str:
        said = "a worker was" if self.losses == 1 else f"{self.losses} workers were"
        others = f"; {self.ahead} such {'jobs are' if self.ahead > 1 else 'job is'} before it" if self.ahead else ""
        return f"{said} lost while it ran, so it runs alone, not beside another such job{others}"

    @property
    def over(self) -> str:
        return "when a worker runs no other such job"


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacesTaken(Reason):
    """Every place that live workers have for its queue is taken."""

    kind: ClassVar[str] = "places_taken"
    queue: str
    running: int
    places: int

    @property
    def text(self) -> str:
        if not self.places:
            return f'queue "{self.queue}" has no places in any worker: its concurrency is 0'
        return f'queue "{self.queue}": {self.running} jobs run in the {self.places} places of its workers'

    @property
    def over(self) -> str:
        return "when a place is free" if self.places else "when the queue's concurrency is raised"


@dataclass(frozen=True, slots=True, kw_only=True)
class InLine(Reason):
    """So many jobs of its line, or (more) at least so many, start before it; stopped: something else is in its way."""

    kind: ClassVar[str] = "in_line"
    ahead: int
    more: bool
    stopped: bool

    @property
    def text(self) -> str:
        if not self.ahead:
            return "it is the next in line" + ("" if self.stopped else ": a worker takes it within a second")
        count = f"{self.ahead:,} or more" if self.more else f"{self.ahead:,}"
        return f"{count} {'job is' if self.ahead == 1 else 'jobs are'} before it in line"

    @property
    def over(self) -> str:
        return "after those before it" if self.ahead else "at once"


@dataclass(frozen=True, slots=True, kw_only=True)
class Expired(Reason):
    """It was not to be started after this."""

    kind: ClassVar[str] = "expired"
    expires_at: datetime

    @property
    def text(self) -> str:
        return f"it expired at {show(self.expires_at)}, so it will not run"


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitsUntil(Reason):
    """It waits for a time.

    Attributes:
        until: For which.
        cause: Because it was enqueued for later ("delay"), is to be tried again ("retry"), said so itself ("snooze"),
            or sleeps between two steps ("sleep").
        error: Of a retry: what went wrong last.
    """

    kind: ClassVar[str] = "waits_until"
    until: datetime
    cause: Literal["delay", "retry", "snooze", "sleep"]
    error: str | None

    @property
    def text(self) -> str:
        what = {
            "delay": "it is scheduled for", "retry": "its last attempt failed, and it is tried again at",
            "snooze": "it asked to run again at", "sleep": "it sleeps between two steps until",
        }[self.cause]  # fmt: skip
        return f"{what} {show(self.until)}" + (f" (it failed with: {self.error})" if self.error else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Parent:
    """A job that another one waits for.

    Attributes:
        id: Its id.
        name: Its node's name in the workflow, or None.
        task: Its task.
        state: Its state.
    """

    id: UUID
    name: str | None
    task: str
    state: State


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitsForJobs(Reason):
    """It waits for other jobs of its workflow.

    Attributes:
        workflow_id: The workflow.
        workflow: Its name, or None.
        count: For how many; 0: all have finished, and the workflow is about to go on.
        jobs: The first ten of them, without those of other tenants.
    """

    kind: ClassVar[str] = "waits_for_jobs"
    workflow_id: UUID | None
    workflow: str | None
    count: int
    jobs: tuple[Parent, ...]

    @property
    def text(self) -> str:
        of = f'workflow "{self.workflow}"' if self.workflow else "its workflow"
        if not self.count:
            return f"the jobs that it waited for have finished; {of} is about to go on"
        named = ", ".join(f"{f'{p.name} ' if p.name else ''}({p.task}, {p.state})" for p in self.jobs)
        more = f" and {self.count - len(self.jobs)} more" if 0 < len(self.jobs) < self.count else ""
        return (
            f"it waits for {self.count} {'job' if self.count == 1 else 'jobs'} of {of}"
            + (f": {named}" if named else "")
            + more
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitsForEvent(Reason):
    """It waits for an event, no longer than until."""

    kind: ClassVar[str] = "waits_for_event"
    event: str
    until: datetime

    @property
    def text(self) -> str:
        return f'it waits for the event "{self.event}", until {show(self.until)} at the latest'


@dataclass(frozen=True, slots=True, kw_only=True)
class Blocked(Reason):
    """It waits for something that this version does not know: the database is newer."""

    kind: ClassVar[str] = "blocked"
    blocked_by: str | None

    @property
    def text(self) -> str:
        return f'it is blocked by "{self.blocked_by}", of which this version of headrace knows nothing'


@dataclass(frozen=True, slots=True, kw_only=True)
class Running(Reason):
    """It runs.

    Attributes:
        since: The time of the claim.
        attempt: The how-manieth of its `max_attempts` this is.
        worker_id: The lease under which it runs.
        host: The worker's machine; None with `pid` if it has lost its lease.
        silent_s: Seconds since the worker's last heartbeat.
        draining: Whether the worker is about to stop.
        progress: What the handler reported: "done", "total", "message", "at"; or None.
        cancel_reason: Somebody has asked it to stop, with this reason; or None.
    """

    kind: ClassVar[str] = "running"
    since: datetime
    attempt: int
    max_attempts: int
    worker_id: int
    host: str | None
    pid: int | None
    silent_s: float | None
    draining: bool
    progress: dict[str, Any] | None
    cancel_reason: str | None

    @property
    def lost(self) -> bool:
        """Whether its worker has lost its lease."""
        return self.silent_s is None

    @property
    def text(self) -> str:
        begun = f"attempt {self.attempt} of {self.max_attempts} runs since {show(self.since)}"
        if self.silent_s is None:
            return f"{begun}, but its worker {self.worker_id} has lost its lease"
        heard = f"its last heartbeat was {max(0.0, self.silent_s):.0f} s ago" + (
            "; it is about to stop" if self.draining else ""
        )
        words = f"{begun} in worker {self.worker_id} (process {self.pid} on {self.host}; {heard})"
        return words + (f"; progress: {_progress(self.progress)}" if self.progress else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished(Reason):
    """It has finished.

    Attributes:
        state: How.
        finished_at: When.
        attempts: How many attempts it used.
        took_s: How long the last one took; None if it never ran.
        error: What went wrong, or why it was cancelled; None if it succeeded.
    """

    kind: ClassVar[str] = "finished"
    state: State
    finished_at: datetime
    attempts: int
    took_s: float | None
    error: str | None

    @property
    def text(self) -> str:
        times = "" if self.took_s is None else f" in attempt {max(1, self.attempts)}, which took {self.took_s:.3g} s"
        return f"it {_HOW[self.state]} at {show(self.finished_at)}{times}" + (f": {self.error}" if self.error else "")


_HOW = {State.SUCCEEDED: "succeeded", State.FAILED: "failed", State.CANCELLED: "was cancelled"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Why:
    """Why a job is where it is, at one moment.

    Attributes:
        job_id: The job.
        state: Where it is.
        task: Its task.
        queue: Its queue.
        at: The moment, by the database's clock.
        reasons: Every one, the weightiest first. Of a job that runs or has finished: one, which says how.
        next: What will become of it, in words.
    """

    job_id: UUID
    state: State
    task: str
    queue: str
    at: datetime
    reasons: tuple[Reason, ...]
    next: str

    @property
    def text(self) -> str:
        """All of it in words, a line for each reason and one for what is next."""
        return "\n".join([*(reason.text for reason in self.reasons), f"next: {self.next}"])

    def as_dict(self) -> dict[str, Any]:
        """For programs."""
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return fields | {"reasons": [reason.as_dict() for reason in self.reasons]}


# -- words --


def show(moment: datetime) -> str:
    """A moment as reasons name it."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def _progress(progress: dict[str, Any]) -> str:
    done, total, message = progress["done"], progress["total"], progress["message"]
    return (f"{done:g} of {total:g}" if total else f"{done:g}") + (f" ({message})" if message else "")
