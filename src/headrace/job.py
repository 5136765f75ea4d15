"""Jobs: to be enqueued, enqueued, and looked at."""

from __future__ import annotations

import enum
import json
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar
from uuid import UUID

from headrace._arguments import find_unstorable
from headrace.errors import ConfigurationError

if TYPE_CHECKING:
    from headrace._pending import PendingResult
    from headrace.app import Headrace
    from headrace.why import Why

R = TypeVar("R")
_SCOPES = ("unfinished", "queued")
MAX_NAME_BYTES = {
    "task": 300, "schedule": 200, "queue": 200, "tenant": 200, "unique key": 1000, "step": 300, "event": 300,
    "webhook": 200,
    "by": 200,
    "label": 200,
}  # fmt: skip
_ON_CONFLICT = ("keep", "replace", "reschedule", "reject")


class State(enum.StrEnum):
    """The states of a job; the last three are final. `docs/states.md` has the transitions."""

    BLOCKED = "blocked"
    SCHEDULED = "scheduled"
    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def final(self) -> bool:
        """Whether only an operator's retry makes the job run again."""
        return self in (State.SUCCEEDED, State.FAILED, State.CANCELLED)


@dataclass(frozen=True, slots=True)
class Unique:
    """At most one job of a task (and tenant) with this key.

    Attributes:
        key: Any string.
        scope: How long the key is held: "unfinished" (until the job has finished), "queued" (until it starts), or a
            `timedelta` from its enqueueing on, whatever becomes of it.
        on_conflict: What happens to a second job: "keep" (the first one stays and is returned), "replace" (the first
            one gets the new arguments and time if it has not started), "reschedule" (the first one gets the new time:
            debounce) or "reject" (`DuplicateJob` is raised).
    """

    key: str
    scope: Literal["unfinished", "queued"] | timedelta = "unfinished"
    on_conflict: Literal["keep", "replace", "reschedule", "reject"] = "keep"

    def __post_init__(self) -> None:
        check_name("unique key", self.key)
        _check_storable("unique key", self.key)
        if isinstance(self.scope, timedelta):
            if self.scope <= timedelta(0):
                raise ConfigurationError(f"Unique(scope={self.scope}): a period must be longer than nothing")
        elif self.scope not in _SCOPES:
            raise ConfigurationError(
                f'Unique(scope="{self.scope}"): must be a timedelta or one of {", ".join(_SCOPES)}'
            )
        if self.on_conflict not in _ON_CONFLICT:
            raise ConfigurationError(
                f'Unique(on_conflict="{self.on_conflict}"): must be one of {", ".join(_ON_CONFLICT)}'
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class JobOptions:
    """What an enqueuer may say about a job beside its arguments; None: what the task says.

    Attributes:
        delay: Run it so much later, by the database's clock.
        run_at: Run it at this (aware) time.
        expires: Do not start it after this time, or later than this after enqueueing; it is cancelled then.
        priority: Larger first, within its queue.
        queue: Another queue than the task's.
        max_attempts: Another retry budget than the task's.
        unique: At most one such job; a string is `Unique(string)`.
        tenant: Whom it belongs to.
        correlation_id: Ties it to the request that caused it.
        tags: Labels to find it by.
        metadata: Any JSON object.
    """

    delay: timedelta | None = None
    run_at: datetime | None = None
    expires: datetime | timedelta | None = None
    priority: int | None = None
    queue: str | None = None
    max_attempts: int | None = None
    unique: str | Unique | None = None
    tenant: str | None = None
    correlation_id: str | None = None
    tags: tuple[str, ...] | list[str] | None = None
    metadata: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        self._check_types_and_lengths()
        if self.delay is not None and self.run_at is not None:
            raise ConfigurationError("give either delay or run_at, not both")
        for name in ("run_at", "expires"):
            value = getattr(self, name)
            if isinstance(value, datetime) and value.tzinfo is None:
                raise ConfigurationError(f"{name} must be an aware datetime: add a time zone, such as datetime.UTC")
        if self.priority is not None and not -32_768 <= self.priority <= 32_767:
            raise ConfigurationError(f"priority {self.priority} is outside -32768 to 32767")
        if self.max_attempts is not None and not 1 <= self.max_attempts <= 32_000:
            raise ConfigurationError(f"max_attempts {self.max_attempts} is outside 1 to 32000")
        if isinstance(self.tags, str):
            raise ConfigurationError(f'tags must be a list: write ["{self.tags}"]')
        for name in ("queue", "unique", "tenant", "correlation_id", "tags", "metadata"):
            value = getattr(self, name)
            if value is not None:
                _check_storable(name, value)
        _check_json("metadata", self.metadata)

    def _check_types_and_lengths(self) -> None:
        for name, kinds in (("delay", timedelta), ("run_at", datetime), ("expires", (datetime, timedelta))):
            value = getattr(self, name)
            if value is not None and not isinstance(value, kinds):
                raise ConfigurationError(
                    f"{name} must be a timedelta or an aware datetime, as documented, not {value!r}"
                )
        for name, given in (("queue", self.queue), ("tenant", self.tenant)):
            if given is not None:
                check_name(name, given)
        if self.unique is not None and not isinstance(self.unique, Unique):
            check_name("unique key", self.unique)


def check_name(what: str, name: str) -> None:
    """Refuse names that an index or a notification cannot hold.

    Raises:
        ConfigurationError: It is longer than `MAX_NAME_BYTES` says.
    """
    if not isinstance(name, str):
        raise ConfigurationError(f"{what} must be a string, not {name!r}")
    size_bytes = len(name.encode("utf-8", "surrogatepass"))
    if size_bytes > MAX_NAME_BYTES[what]:
        raise ConfigurationError(
            f'{what} "{name[:40]}…" is {size_bytes} bytes long, at most {MAX_NAME_BYTES[what]} are allowed'
        )


def check_words(what: str, name: str) -> str:
    """Return a name that people choose freely, if it can be stored.

    Raises:
        ConfigurationError: It cannot, or is empty.
    """
    check_name(what, name)
    if not name:
        raise ConfigurationError(f"{what} must have a name")
    _check_storable(what, name)
    return name


def _check_storable(name: str, value: Any) -> None:
    for path, why in find_unstorable(value):
        where = ".".join(str(part) for part in (name, *path)).encode("utf-8", "backslashreplace").decode()
        raise ConfigurationError(f"{where} {why}")


def _check_json(name: str, value: Any) -> None:
    try:
        json.dumps(value)
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"{name} must be a JSON object: {error}") from None


DEFAULT_OPTIONS = JobOptions()


@dataclass(slots=True)
class NewJob:
    """One request to run a task, ready to be enqueued: what `task.job(...)` makes and `app.enqueue_many` takes.

    Attributes:
        id: UUID version 7, made here, so that an enqueue whose answer was lost can be looked up.
        task: The task's name.
        args: The validated arguments, as JSON.
        queue: Where it goes.
        priority: Larger first.
        max_attempts: The retry budget.
        options: The rest of what the enqueuer said.
    """

    id: str
    task: str
    args: str
    queue: str
    priority: int
    max_attempts: int
    options: JobOptions = DEFAULT_OPTIONS


@dataclass(slots=True)
class DependentJob(NewJob):
    """A job some of whose arguments are results of others: only a workflow can start it.

    Attributes:
        inputs: Those arguments.
    """

    inputs: dict[str, PendingResult] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobInfo:
    """A job as the database has it at one moment."""

    id: UUID
    state: State
    task: str
    queue: str
    priority: int
    attempts: int
    max_attempts: int
    run: int
    args: dict[str, Any]
    result: Any
    error: dict[str, Any] | None
    created_at: datetime
    run_at: datetime
    expires_at: datetime | None
    claimed_at: datetime | None
    finished_at: datetime | None
    worker_id: int | None
    unique_key: str | None
    blocked_by: str | None
    cancel_reason: str | None
    tenant: str | None
    correlation_id: str | None
    tags: list[str] | None
    metadata: dict[str, Any] | None
    progress: dict[str, Any] | None
    workflow_id: UUID | None


def job_info(record: dict[str, Any]) -> JobInfo:
    """A job as statements answer it."""
    return JobInfo(
        **(record | {"id": UUID(record["id"]), "state": State(record["state"]), "args": record["args"] or {}})
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptInfo:
    """One attempt that was not a job's last.

    Attributes:
        run: Its number among the job's claims.
        outcome: retried, snoozed, waiting, handed_back, parked, lost; or the job's final state before it was retried by
            hand.
        worker_id: The lease under which it ran.
        started_at: When it was claimed.
        finished_at: When its outcome was recorded.
        error: What went wrong, if anything.
    """

    run: int
    outcome: str
    worker_id: int
    started_at: datetime | None
    finished_at: datetime
    error: dict[str, Any] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StepInfo:
    """One recorded step of a job.

    Attributes:
        ordinal: The how-manieth step of the handler it is, from 1.
        kind: call, sleep or event.
        name: What the handler calls it; of an event its name.
        run: Of the attempt that recorded it.
        outcome: done, waiting (the sleep or the wait is not over), or timed_out (the event did not come in time).
        recorded_at: When it was recorded: a call when it was done, others when they began to wait.
        finished_at: When it was over; None while it waits.
        wakes_at: When the sleep is over, or the wait for the event is given up.
        took_s: How long the call took.
        result: What the call returned; the event's payload.
    """

    ordinal: int
    kind: Literal["call", "sleep", "event"]
    name: str
    run: int
    outcome: Literal["done", "waiting", "timed_out"]
    recorded_at: datetime
    finished_at: datetime | None
    wakes_at: datetime | None
    took_s: float | None
    result: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLine:
    """One line that a handler logged with its job."""

    run: int
    logged_at: datetime
    level: str
    message: str


class Job(Generic[R]):
    """A job that was enqueued; R is what its handler returns.

    Attributes:
        existed: Whether the enqueue found a job that holds the unique key, and this is that one.
    """

    __slots__ = ("_app", "_id", "existed")

    def __init__(self, app: Headrace, job_id: UUID | str, *, existed: bool = False) -> None:
        self._app = app
        self._id = job_id
        self.existed = existed

    @property
    def id(self) -> UUID:
        """Its id."""
        if not isinstance(self._id, UUID):  # most of those that were enqueued in bulk are never asked
            self._id = UUID(self._id)
        return self._id

    async def result(self, timeout: timedelta | float | None = None) -> R:
        """Wait for the job and return what its handler returned, as JSON gives it back.

        Args:
            timeout: How long to wait at most; None: as long as it takes.

        Raises:
            JobFailed: It failed for good.
            JobCancelled: It was cancelled.
            ResultTimeout: It had not finished in time.
            JobNotFound: It does not exist (any more).
        """
        seconds = timeout.total_seconds() if isinstance(timeout, timedelta) else timeout
        return await self._app._wait_for_result(self.id, seconds)  # type: ignore[no-any-return]  # noqa: SLF001

    def result_sync(self, timeout: timedelta | float | None = None) -> R:
        """`result` for code that is not asynchronous."""
        return self._app.run_sync(self.result(timeout))

    async def info(self) -> JobInfo:
        """The job as it is now.

        Raises:
            JobNotFound: It does not exist (any more).
        """
        return await self._app.find_job(self.id)

    async def why(self) -> Why:
        """Why the job is where it is, and what happens next.

        Raises:
            JobNotFound: It does not exist (any more).
        """
        return await self._app.why(self.id)

    async def cancel(self, reason: str = "cancelled") -> str:
        """Cancel the job: at once if it waits; a running one is asked to stop.

        Returns:
            "cancelled", "requested", "finished" or "unknown".
        """
        return (await self._app.cancel_jobs([self.id], reason))[self.id]

    async def retry(self, *, from_start: bool = False) -> bool:
        """Run the finished job again, or a waiting one now; whether there was anything to do.

        Args:
            from_start: Forget its recorded steps; see `Headrace.retry_jobs`.
        """
        return bool(await self._app.retry_jobs([self.id], from_start=from_start))

    async def delete(self) -> bool:
        """Delete the job and what was kept with it, unless it runs; whether it was there."""
        return bool(await self._app.delete_jobs([self.id]))

    async def attempts(self) -> list[AttemptInfo]:
        """Its attempts before the last one, oldest first."""
        return await self._app.list_attempts(self.id)

    async def steps(self) -> list[StepInfo]:
        """What its attempts recorded of its steps, in the handler's order."""
        return await self._app.list_steps(self.id)

    async def logs(self, limit: int = 1000) -> list[LogLine]:
        """What its handler logged, oldest first."""
        return await self._app.list_logs(self.id, limit)

    def __repr__(self) -> str:
        return f"<Job {self.id}>"
