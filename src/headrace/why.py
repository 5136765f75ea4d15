"""Why a job is where it is, and what happens to it next: in words, and as data.

One statement (explain_job.sql) reads what there is to know at one moment; this makes reasons of it. Each kind of reason
is a class whose text says it in words.
"""

# ruff: noqa: D102 - `text` and `over` are what Reason says they are

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Iterator
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


def explain(record: dict[str, Any]) -> Why:
    """A row of explain_job.sql, in words."""
    state = State(record["state"])
    match state:
        case State.QUEUED:
            reasons = tuple(_queued(record))
            following = _next_of_queued(reasons)
        case State.SCHEDULED:
            reasons = tuple(_scheduled(record))
            following = _next_of_scheduled(record, reasons)
        case State.BLOCKED:
            reasons = (_blocked(record),)
            following = _next_of_blocked(reasons[0])
        case State.RUNNING:
            reasons = (_running(record),)
            following = _next_of_running(reasons[0])
        case _:
            reasons = (_finished(record, state),)
            following = "nothing more" if state is State.SUCCEEDED else "nothing, unless an operator retries it"
    return Why(
        job_id=UUID(record["id"]), state=state, task=record["task"], queue=record["queue"], at=record["at"],
        reasons=reasons, next=following,
    )  # fmt: skip


# -- queued --


def _queued(record: dict[str, Any]) -> Iterator[Reason]:
    stops = [*_stops(record)]
    yield from stops
    if not record["suspicion"]:
        yield InLine(ahead=min(record["ahead"], BOUND), more=record["ahead"] >= BOUND, stopped=bool(stops))


def _stops(record: dict[str, Any]) -> Iterator[Reason]:
    if record["expired"]:
        yield Expired(expires_at=record["expires_at"])
    yield from _pauses(record)
    yield from _workers(record)
    for gate in record["gates"] or ():
        yield _gate(gate)
    if record["suspicion"]:
        yield RunsAlone(losses=record["suspicion"], ahead=min(record["ahead"], BOUND))
    elif record["workers"]["live"] and record["running"] >= record["workers"]["places"]:
        yield PlacesTaken(queue=record["queue"], running=record["running"], places=record["workers"]["places"])


def _pauses(record: dict[str, Any]) -> Iterator[Reason]:
    for pause in record["pauses"] or ():
        since = _moment(pause["since"])
        assert since is not None
        yield Paused(
            queue=pause["queue"], by=pause["by"], reason=pause["reason"], since=since, until=_moment(pause["until"])
        )


def _workers(record: dict[str, Any]) -> Iterator[Reason]:
    workers = record["workers"]
    if not record["task_known"]:
        yield TaskUnknown(task=record["task"], parked=False)
    if not workers["live"]:
        yield NoWorker(queue=record["queue"], draining=workers["draining"], silent=workers["silent"])


def _gate(gate: dict[str, Any]) -> Reason:
    of = {"name": gate["name"], "key": gate["key"]}
    until = _moment(gate["opens_at"])
    match gate["kind"]:
        case "concurrency":
            return SlotsTaken(**of, held=gate["held"], bound=gate["bound"])
        case "rate":
            assert until is not None
            return RateSpent(**of, until=until)
        case "order":
            holder = gate["holder"]
            return OrderHeld(**of, holder=UUID(holder) if holder else None, holder_state=gate["holder_state"])
        case "breaker":
            return BreakerOpen(**of, state=gate["state"], forced=gate["forced"], until=until)
        case _:
            return OthersTurn(**of)


def _next_of_queued(reasons: tuple[Reason, ...]) -> str:
    if isinstance(reasons[0], Expired):
        return "it is cancelled when a worker takes it"
    conditions = [reason.over for reason in reasons]
    if len(conditions) > 1 and isinstance(reasons[-1], InLine) and not reasons[-1].ahead:
        conditions.pop()  # that it is the next in line is no condition beside others
    return "it starts " + ", and ".join(dict.fromkeys(conditions))


# -- the other states --


def _scheduled(record: dict[str, Any]) -> Iterator[Reason]:
    last = record["last_attempt"] or {}
    causes: dict[str | None, Literal["retry", "snooze"]] = {"retried": "retry", "snoozed": "snooze"}
    cause: Literal["delay", "retry", "snooze", "sleep"] = causes.get(last.get("outcome"), "delay")
    if cause == "snooze" and record["wakes_at"] is not None:
        cause = "sleep"
    yield WaitsUntil(
        until=record["run_at"], cause=cause, error=_message(last.get("error")) if cause == "retry" else None
    )
    yield from _pauses(record)
    yield from _workers(record)


def _next_of_scheduled(record: dict[str, Any], reasons: tuple[Reason, ...]) -> str:
    words = f'at {show(record["run_at"])} it joins the line of queue "{record["queue"]}"'
    conditions = [reason.over for reason in reasons[1:]]
    return words + (f", and starts {', and '.join(dict.fromkeys(conditions))}" if conditions else "")


def _blocked(record: dict[str, Any]) -> Reason:
    blocked_by = record["blocked_by"]
    match (blocked_by or "").partition(":"):
        case ("task", "", _):
            return TaskUnknown(task=record["task"], parked=True)
        case ("parents", "", _):
            parents = record["parents"]
            workflow_id = record["workflow_id"]
            jobs = tuple(
                Parent(id=UUID(one["id"]), name=one["name"], task=one["task"], state=State(one["state"]))
                for one in parents["jobs"]
            )
            return WaitsForJobs(
                workflow_id=UUID(workflow_id) if workflow_id else None, workflow=parents["name"],
                count=parents["count"], jobs=jobs,
            )  # fmt: skip
        case ("event", ":", event):
            return WaitsForEvent(event=event, until=record["run_at"])
        case _:
            return Blocked(blocked_by=blocked_by)


def _next_of_blocked(reason: Reason) -> str:
    match reason:
        case TaskUnknown():
            return f"it joins the line of its queue {reason.over}"
        case WaitsForJobs():
            return (
                "when all of them have finished it joins the line of its queue, or is cancelled, as its workflow says"
            )
        case WaitsForEvent():
            return "it goes on when the event is emitted; if it is not in time, it goes on with EventTimeout"
        case _:
            return "that version knows"


def _running(record: dict[str, Any]) -> Running:
    worker = record["worker"] or {}
    return Running(
        since=record["claimed_at"], attempt=record["attempts"] + 1, max_attempts=record["max_attempts"],
        worker_id=record["worker_id"], host=worker.get("host"), pid=worker.get("pid"), silent_s=worker.get("silent_s"),
        draining=worker.get("draining", False), progress=record["progress"], cancel_reason=record["cancel_reason"],
    )  # fmt: skip


def _next_of_running(running: Running) -> str:
    if running.cancel_reason is not None:
        return f"it is asked to stop ({running.cancel_reason}), and ends as cancelled unless it succeeds"
    if running.lost:
        return "it is taken back within seconds, and runs again alone"
    if running.attempt >= running.max_attempts:
        return "this attempt decides: it is the last one"
    return f"if this attempt fails, it is tried again, as attempt {running.attempt + 1} of {running.max_attempts}"


def _finished(record: dict[str, Any], state: State) -> Finished:
    began = record["claimed_at"] if record["worker_id"] else None
    took_s = None if began is None else max(0.0, (record["finished_at"] - began).total_seconds())
    return Finished(
        state=state, finished_at=record["finished_at"], attempts=record["attempts"], took_s=took_s,
        error=_message(record["error"]),
    )  # fmt: skip


# -- words --


def show(moment: datetime) -> str:
    """A moment as reasons name it."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _message(error: dict[str, Any] | None) -> str | None:
    """The first line of an error; None if there is none."""
    return str(error.get("message", "")).strip().partition("\n")[0] or None if error else None


def _progress(progress: dict[str, Any]) -> str:
    done, total, message = progress["done"], progress["total"], progress["message"]
    return (f"{done:g} of {total:g}" if total else f"{done:g}") + (f" ({message})" if message else "")
