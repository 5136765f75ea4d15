"""What a running handler knows of its job, and can say about it."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol
from uuid import UUID

if TYPE_CHECKING:
    from types import TracebackType

_current: ContextVar[Context] = ContextVar("headrace_context")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningJob:
    """The job of a running attempt.

    Attributes:
        id: The job's id (UUID version 7).
        task: The task's registered name.
        queue: The queue it was claimed from.
        run: Numbers every claim of this job, from 1; never goes back.
        attempt: Which attempt of the retry budget this is, from 1. Snoozes and lost workers do not count.
        max_attempts: The retry budget.
        tenant: Whom the job belongs to, if the enqueuer said so.
        correlation_id: Ties the job to the request that caused it, if the enqueuer said so.
        tags: The enqueuer's labels.
        metadata: The enqueuer's own JSON.
        workflow_id: The workflow that it belongs to; `Headrace.workflow` takes it.
    """

    id: UUID
    task: str
    queue: str
    run: int
    attempt: int
    max_attempts: int
    tenant: str | None = None
    correlation_id: str | None = None
    tags: tuple[str, ...] = ()
    metadata: dict[str, Any] = field(default_factory=dict)
    workflow_id: UUID | None = None


class Reporter(Protocol):
    """Where a context's words go: the worker, in its own process or across a pipe."""

    def progress(self, done: float, total: float | None, message: str | None) -> None:
        """Keep the latest progress."""

    def log(self, level: str, message: str) -> None:
        """Keep a line with the job."""

    def transaction(self, session: Any) -> FencedTransaction:
        """Open the transaction that records the job's success."""

    def set_result(self, value: Any) -> None:
        """Set what the fenced transaction records as the result."""


class FencedTransaction(Protocol):
    """`async with` in coroutines, `with` in threads and process tasks; gives the connection."""

    async def __aenter__(self) -> Any: ...
    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
    def __enter__(self) -> Any: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class Context:
    """One attempt, as its handler sees it. All methods are cheap, and safe in any thread.

    Attributes:
        cancel_reason: Why the handler should stop; None while it need not.
    """

    __slots__ = ("_describe", "_job", "_reporter", "cancel_reason")

    def __init__(self, describe: Callable[[], RunningJob], reporter: Reporter) -> None:
        self.cancel_reason: str | None = None
        self._describe = describe
        self._job: RunningJob | None = None
        self._reporter = reporter

    @property
    def job(self) -> RunningJob:
        """The job that runs."""
        if self._job is None:  # most handlers never ask
            self._job = self._describe()
        return self._job

    @property
    def cancelled(self) -> bool:
        """Whether the handler should stop: asked by somebody, out of its soft time-out, or the worker shuts down.

        Coroutines are cancelled as well when somebody asks; handlers in threads have to look here now and then.
        """
        return self.cancel_reason is not None

    def progress(self, done: float, total: float | None = None, message: str | None = None) -> None:
        """Say how far the work is; the latest is shown with the job a moment later.

        Args:
            done: How much is done, in any unit.
            total: How much there is in all, in the same unit, if known.
            message: What is going on, in a few words; the first 500 characters are kept.
        """
        self._reporter.progress(done, total, message)

    def log(self, message: str, level: str = "info") -> None:
        """Keep a line with the job: at most 1,000 lines of 4,000 characters for each attempt."""
        self._reporter.log(level, message)

    def transaction(self, session: Any = None) -> FencedTransaction:
        """Commit the handler's writes and the job's success together, exactly once.

        ``async with ctx.transaction() as conn:`` (in a thread or process task: ``with``) gives a psycopg connection to
        the job's database, in a transaction. At the end of the block the success of this attempt is recorded and
        everything commits; if the attempt is no longer this worker's, `LeaseLost` is raised and nothing does. After the
        block the job has succeeded: what the handler returns or raises then is only logged.

        Args:
            session: Instead of a connection of ours: a SQLAlchemy Session, AsyncSession, Connection or AsyncConnection,
                a Django connection, or a psycopg connection, which the block commits.

        Raises:
            LeaseLost: The attempt is somebody else's by now.
            WrongDatabase: The session leads to another database than the job's.
        """
        return self._reporter.transaction(session)

    def set_result(self, value: Any) -> None:
        """Set the result that the block of `transaction` records; the handler's return value comes too late for it."""
        self._reporter.set_result(value)

    def __repr__(self) -> str:
        return f"<Context of job {self.job.id}, task {self.job.task}, attempt {self.job.attempt}>"


def current_context() -> Context:
    """The context of the attempt that runs here: for code deep below a handler.

    Raises:
        LookupError: No job is running here.
    """
    try:
        return _current.get()
    except LookupError:
        raise LookupError("no job is running here: current_context() works inside a task's handler") from None


def is_running_here() -> bool:
    """Whether this code runs inside a handler."""
    return _current.get(None) is not None


class Injected:
    """Marks a handler's parameter that the app's lifespan provides."""


_INJECTED = Injected()


def inject() -> Any:
    """Mark a parameter as one that the app's lifespan provides, by type.

    Write ``http: Client = inject()``. As a default it keeps call sites typed: `task.enqueue()` does not ask for it.
    """
    return _INJECTED
