"""Code around every enqueue and every run."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from headrace.context import Context, RunningJob
    from headrace.job import NewJob

AttemptOutcome = Literal[
    "succeeded", "retried", "failed", "cancelled", "snoozed", "waiting", "handed_back", "parked", "lost"
]


class Ending:
    """How an attempt ended, as its worker records it.

    Attributes:
        task: The task's registered name.
        queue: The queue it was claimed from.
        outcome: What is recorded: succeeded, failed and cancelled are final; retried, snoozed, waiting, handed_back and
            parked jobs run again.
        error: What went wrong, as it is stored with the job: kind, message, and of exceptions type and traceback.
        started: Whether the handler was called, or handed to the process that calls it.
        run_s: How long the handler ran, in seconds; None if it was not called.
        wait_s: How long the job had been due when it was claimed, in seconds of the database's clock; None unless the
            worker was asked to find out (`Worker(time_waits=True)`).
    """

    __slots__ = ("_describe", "_job", "error", "outcome", "queue", "run_s", "started", "task", "wait_s")

    def __init__(
        self,
        describe: Callable[[], RunningJob],
        *,
        task: str,
        queue: str,
        outcome: AttemptOutcome,
        error: dict[str, Any] | None,
        run_s: float | None,
        wait_s: float | None,
    ) -> None:
        self._describe = describe
        self._job: RunningJob | None = None
        self.task = task
        self.queue = queue
        self.outcome = outcome
        self.error = error
        self.started = run_s is not None
        self.run_s = run_s
        self.wait_s = wait_s

    @property
    def job(self) -> RunningJob:
        """The job."""
        if self._job is None:
            self._job = self._describe()
        return self._job


class Middleware:
    """Subclass, override what you need, and register with `Headrace.middleware`. Earlier ones are further out.

    What is not overridden costs nothing. A worker reads the app's middlewares when it starts.
    """

    def enqueueing(self, task: str | None) -> AbstractContextManager[Any]:
        """Entered around every call that enqueues, in the caller's thread and context; left when the jobs are stored.

        Args:
            task: The task of the one job that `Task.enqueue` makes, within the block; None around `enqueue_many` and
                `start`, whose jobs may have been made before.
        """
        return nullcontext()

    def on_enqueue(self, job: NewJob) -> NewJob:
        """Change a job that is about to be enqueued, or raise to refuse it. Must be quick, and not block."""
        return job

    async def run(self, context: Context, call_next: Callable[[], Awaitable[Any]]) -> Any:
        """Run around an attempt: `await call_next()` runs the handler, and gives what it returns.

        For process tasks it runs in the child process.
        """
        return await call_next()

    def on_end(self, ending: Ending) -> None:
        """Hear how an attempt ended, in the worker: also of those that never came to `run`, or not to its end.

        Called in the event loop, before the outcome is recorded. Must be quick, and not block; what it raises is
        logged.
        """


def overriding(middlewares: list[Middleware], method: str) -> list[Middleware]:
    """Those that override a method."""
    return [one for one in middlewares if getattr(type(one), method) is not getattr(Middleware, method)]


def enqueueing(middlewares: list[Middleware], task: str | None) -> AbstractContextManager[Any]:
    """All `Middleware.enqueueing`, the first one outermost."""
    return _all_entered(middlewares, task) if middlewares else nullcontext()


@contextmanager
def _all_entered(middlewares: list[Middleware], task: str | None) -> Iterator[None]:
    with ExitStack() as stack:
        for middleware in middlewares:
            stack.enter_context(middleware.enqueueing(task))
        yield
