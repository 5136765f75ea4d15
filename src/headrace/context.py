"""What a running handler knows of its job, and can say about it."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Protocol, TypeVar, overload
from uuid import UUID

from headrace.errors import ConfigurationError

if TYPE_CHECKING:
    from types import TracebackType

    import psycopg

P = ParamSpec("P")
R = TypeVar("R")
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

    def steps(self) -> StepKeeper:
        """The attempt's durable steps."""

    def hide(self, text: str) -> str:
        """A text without the secrets among the job's arguments."""


class StepKeeper(Protocol):
    """Does what was not done before, and records it; each method for coroutines, and for threads."""

    async def call(self, name: str, function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        """Call the function, or give what it returned to an earlier attempt."""

    def call_sync(self, name: str, function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        """The same."""

    async def call_in_transaction(self, name: str, function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        """The same, with a connection, in whose transaction the step is recorded."""

    def call_in_transaction_sync(self, name: str, function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        """The same."""

    async def sleep(self, seconds: float) -> None:
        """End the attempt, unless the sleep is over."""

    def sleep_sync(self, seconds: float) -> None:
        """The same."""

    async def wait_for_event(self, name: str, timeout_s: float | None) -> Any:
        """Give the event's payload, or end the attempt until it is there."""

    def wait_for_event_sync(self, name: str, timeout_s: float | None) -> Any:
        """The same."""


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

    __slots__ = ("_describe", "_job", "_reporter", "_steps", "cancel_reason")

    def __init__(self, describe: Callable[[], RunningJob], reporter: Reporter) -> None:
        self.cancel_reason: str | None = None
        self._describe = describe
        self._job: RunningJob | None = None
        self._reporter = reporter
        self._steps: StepKeeper | None = None

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

    def redact(self, text: str) -> str:
        """A text without the secrets among the job's arguments: for what is said elsewhere than in logs and errors."""
        return self._reporter.hide(text)

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

    # -- durable steps --

    def _keeper(self) -> StepKeeper:
        if self._steps is None:
            self._steps = self._reporter.steps()
        return self._steps

    @overload
    async def step(self, name: str, function: Callable[P, Awaitable[R]], /, *args: P.args, **kwargs: P.kwargs) -> R: ...
    @overload
    async def step(self, name: str, function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R: ...

    async def step(self, name: str, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Call a function once in the life of this job: a later attempt gets what it returned, and does not call it.

        The result is stored as JSON, 256 KiB at most, and comes back as what the function's return annotation says
        (pydantic models, dataclasses, dates), in the first attempt too. What the function raises is not stored: the
        attempt ends with it, or goes on if the handler catches it. A step that was called and not recorded, because
        the worker died in between, is called again.

        Every attempt has to ask for the same steps in the same order; new ones go to the end. See docs/steps.md.

        Args:
            name: What to call it, where steps are shown; of a loop's steps best with what each is about.
            function: A coroutine function; or a function, which is called right here, so it must not take long (in a
                task that is a plain function, use `step_sync`).
            args: Its positional arguments.
            kwargs: Its keyword arguments.

        Raises:
            StepsChanged: An earlier attempt recorded another step here.
            StepError: The result cannot be stored, or does not fit the annotation.
            LeaseLost: The attempt is somebody else's by now; the result is not recorded.
        """
        return await self._keeper().call(name, function, args, kwargs)

    def step_sync(self, name: str, function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """`step` for handlers that are not asynchronous."""
        return self._keeper().call_sync(name, function, args, kwargs)  # type: ignore[no-any-return]

    async def step_in_transaction(
        self,
        name: str,
        function: Callable[Concatenate[psycopg.AsyncConnection[Any], P], Awaitable[R]],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R:
        """A `step` whose writes to the job's database happen exactly once.

        The function gets a psycopg connection before its other arguments, in a transaction that also records the step:
        both commit, or neither.
        """
        return await self._keeper().call_in_transaction(name, function, args, kwargs)  # type: ignore[no-any-return]

    def step_in_transaction_sync(
        self,
        name: str,
        function: Callable[Concatenate[psycopg.Connection[Any], P], R],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R:
        """`step_in_transaction` for handlers that are not asynchronous."""
        return self._keeper().call_in_transaction_sync(name, function, args, kwargs)  # type: ignore[no-any-return]

    async def sleep(self, duration: timedelta | float) -> None:
        """Wait, for hours or months, without keeping a place in a worker.

        The attempt ends here (it is not spent), and once the time is over the next one skips the finished steps and
        goes on. The end is fixed when the sleep is first asked for, by the database's clock.

        Args:
            duration: How long, as a `timedelta` or in seconds.
        """
        await self._keeper().sleep(_seconds("duration", duration))

    def sleep_sync(self, duration: timedelta | float) -> None:
        """`sleep` for handlers that are not asynchronous."""
        self._keeper().sleep_sync(_seconds("duration", duration))

    async def wait_for_event(self, name: str, timeout: timedelta | float | None = None) -> Any:
        """The payload of an event that somebody emits (`Headrace.emit`), before or after, without keeping a place.

        While there is none the job is blocked, without a worker. Payload or time-out, what comes first is recorded.

        Args:
            name: The event's name, the same for whoever emits it.
            timeout: How long to wait, from the first time on; None: ten years.

        Raises:
            EventTimeout: It was not emitted in time.
        """
        return await self._keeper().wait_for_event(name, None if timeout is None else _seconds("timeout", timeout))

    def wait_for_event_sync(self, name: str, timeout: timedelta | float | None = None) -> Any:
        """`wait_for_event` for handlers that are not asynchronous."""
        return self._keeper().wait_for_event_sync(name, None if timeout is None else _seconds("timeout", timeout))

    def __repr__(self) -> str:
        return f"<Context of job {self.job.id}, task {self.job.task}, attempt {self.job.attempt}>"


def _seconds(what: str, given: timedelta | float) -> float:
    seconds = given.total_seconds() if isinstance(given, timedelta) else float(given)
    if not math.isfinite(seconds):
        raise ConfigurationError(f"{what} must be a finite time, not {given!r}")
    return seconds


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


def hide_secrets(text: str) -> str:
    """A text without the secrets among the arguments of the job that runs here, if one does: for log lines."""
    context = _current.get(None)
    return text if context is None else context.redact(text)


class Injected:
    """Marks a handler's parameter that the app's lifespan provides."""


_INJECTED = Injected()


def inject() -> Any:
    """Mark a parameter as one that the app's lifespan provides, by type.

    Write ``http: Client = inject()``. As a default it keeps call sites typed: `task.enqueue()` does not ask for it.
    """
    return _INJECTED
