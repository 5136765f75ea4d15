"""Tasks: registered functions, and how to enqueue a call of one."""

from __future__ import annotations

import copy
import dataclasses
import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Generic, Literal, ParamSpec, TypeVar

import uuid_utils

from headrace._arguments import Arguments
from headrace._pending import PendingArguments
from headrace._redact import Secrets
from headrace.errors import ConfigurationError
from headrace.job import DEFAULT_OPTIONS, DependentJob, Job, NewJob, Unique, check_name
from headrace.limits import Ageing, FairShare, Limit, describe
from headrace.middleware import enqueueing
from headrace.retention import Retention
from headrace.retry import Retry

if TYPE_CHECKING:
    from headrace.app import Headrace

P = ParamSpec("P")
C = ParamSpec("C")
R = TypeVar("R")

ExecutorName = Literal["async", "thread", "process"]


@dataclass(frozen=True, kw_only=True)
class TaskSettings:
    """How the jobs of a task are run. `Headrace.task` documents each."""

    queue: str = "default"
    priority: int = 0
    retry: Retry = field(default_factory=Retry)
    retention: Retention = field(default_factory=Retention)
    timeout_s: float | None = None
    soft_timeout_s: float | None = None
    executor: ExecutorName = "thread"
    memory_limit_bytes: int | None = None
    aliases: tuple[str, ...] = ()
    upcast: Callable[[dict[str, Any]], dict[str, Any]] | None = None
    limits: tuple[Limit, ...] = ()

    def check(self, task_name: str) -> TaskSettings:
        """Return the settings if they make sense.

        Raises:
            ConfigurationError: They do not.
        """
        check_name("task", task_name)
        check_name("queue", self.queue)
        if not -32_768 <= self.priority <= 32_767:
            raise ConfigurationError(f'task "{task_name}": priority {self.priority} is outside -32768 to 32767')
        for name in ("timeout_s", "soft_timeout_s", "memory_limit_bytes"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                word = name.removesuffix("_s")
                raise ConfigurationError(f'task "{task_name}": {word} must be more than nothing, not {value:g}')
        if self.memory_limit_bytes is not None and self.executor != "process":
            raise ConfigurationError(f'task "{task_name}": memory_limit_bytes needs executor="process"')
        for limit in self.limits:
            if isinstance(limit, FairShare | Ageing):
                raise ConfigurationError(f'task "{task_name}": {limit} belongs to a queue')
            describe(limit, tasks=[task_name])
        return self


class Task(Generic[P, C, R]):
    """A registered function. Calling it calls the function; `enqueue` runs it in the background.

    P are the arguments that callers give, C those of the function itself (which may start with the `Context`), and R is
    what a job's `result()` gives.

    Attributes:
        name: The stable name that is stored with its jobs.
        handler: The function.
        settings: How its jobs are run.
        secrets: What of its arguments and result must not be shown.
    """

    def __init__(self, app: Headrace, name: str, handler: Callable[..., Any], settings: TaskSettings) -> None:
        self.app = app
        self.name = name
        self.handler = handler
        self.settings = settings.check(name)
        self.arguments = Arguments(name, handler)
        self.secrets = Secrets.of(self.arguments.kinds, self.arguments.returns, app.secret_names)
        self._options = DEFAULT_OPTIONS
        self._conn: Any = None
        self.__doc__ = handler.__doc__
        self.__wrapped__ = handler

    def __call__(self, *args: C.args, **kwargs: C.kwargs) -> Any:
        """Call the function itself, here and now."""
        return self.handler(*args, **kwargs)

    def options(  # noqa: D417 - they are those of JobOptions
        self,
        *,
        conn: Any = None,
        delay: timedelta | None = None,
        run_at: datetime | None = None,
        expires: datetime | timedelta | None = None,
        priority: int | None = None,
        queue: str | None = None,
        max_attempts: int | None = None,
        unique: str | Unique | None = None,
        tenant: str | None = None,
        correlation_id: str | None = None,
        tags: tuple[str, ...] | list[str] | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> Task[P, C, R]:
        """The same task with other options for what is enqueued through it; `JobOptions` describes them.

        Args:
            conn: Enqueue inside this connection's transaction: rolled back means never existed. A psycopg, psycopg2,
                asyncpg, SQLAlchemy (Session, AsyncSession, Connection, AsyncConnection) or Django connection. Nothing
                is committed, set or retried on it, and what breaks on it comes out as its own driver's error.
        """
        given = {
            name: value
            for name, value in {
                "delay": delay, "run_at": run_at, "expires": expires, "priority": priority, "queue": queue,
                "max_attempts": max_attempts, "unique": unique, "tenant": tenant, "correlation_id": correlation_id,
                "tags": tags, "metadata": metadata,
            }.items()
            if value is not None
        }  # fmt: skip
        other = copy.copy(self)
        other._options = dataclasses.replace(self._options, **given)  # type: ignore[arg-type]  # noqa: SLF001
        other._conn = conn if conn is not None else self._conn  # noqa: SLF001
        return other

    def job(self, *args: P.args, **kwargs: P.kwargs) -> NewJob:
        """A job of this task, validated and ready for `app.enqueue_many`, or for a workflow.

        In a workflow, an argument may be the result of another job: `previous()`, or `Workflow.result`.

        Raises:
            InvalidArguments: The arguments do not fit.
        """
        settings, options = self.settings, self._options
        inputs = None
        try:
            packed = self.arguments.pack(args, kwargs)
        except PendingArguments as arguments:
            packed, inputs = self.arguments.pack_known(arguments), arguments.pending
        new = NewJob(
            str(uuid_utils.uuid7()),
            self.name,
            packed,
            options.queue or settings.queue,
            settings.priority if options.priority is None else options.priority,
            options.max_attempts or settings.retry.attempts,
            options,
        )
        if inputs is not None:
            new = DependentJob(**{f.name: getattr(new, f.name) for f in dataclasses.fields(new)}, inputs=inputs)
        for middleware in self.app.middlewares:
            new = middleware.on_enqueue(new)
        return new

    async def enqueue(self, *args: P.args, **kwargs: P.kwargs) -> Job[R]:
        """Enqueue one call.

        Raises:
            EnqueueError: It was refused: `InvalidArguments`, `DuplicateJob` or `QueueFull`.
            DatabaseError: The database cannot be used.
            AppClosed: The app is closed.
        """
        with enqueueing(self.app.middlewares, self.name):
            (job,) = await self.app.enqueue_many([self.job(*args, **kwargs)], conn=self._conn)
        return job

    def enqueue_sync(self, *args: P.args, **kwargs: P.kwargs) -> Job[R]:
        """`enqueue` for code that is not asynchronous: through the given connection, or the app's own thread."""
        with enqueueing(self.app.middlewares, self.name):
            (job,) = self.app.enqueue_many_sync([self.job(*args, **kwargs)], conn=self._conn)
        return job

    def __repr__(self) -> str:
        return f"<Task {self.name}>"


def default_name(handler: Callable[..., Any]) -> str:
    """`module.qualname`, without the parts that change when a program is run instead of imported."""
    module = handler.__module__
    if module in ("__main__", "__headrace_main__"):
        main = inspect.getmodule(handler)
        spec = getattr(main, "__spec__", None)
        module = spec.name.removesuffix(".__main__") if spec else "main"
    return f"{module}.{handler.__qualname__}".replace("<locals>.", "")


def choose_executor(name: str, handler: Callable[..., Any], given: ExecutorName | None) -> ExecutorName:
    """Where a handler runs: coroutines on the loop, functions in threads, unless "process" is asked for."""
    if inspect.isgeneratorfunction(handler) or inspect.isasyncgenfunction(handler):
        raise ConfigurationError(f'task "{name}" is a generator: a handler returns once; let it return a list')
    is_async = inspect.iscoroutinefunction(handler)
    if given == "process":
        return "process"
    if given is None:
        return "async" if is_async else "thread"
    if (given == "async") != is_async:
        kind = "a coroutine function" if is_async else "not a coroutine function"
        raise ConfigurationError(f'task "{name}" is {kind}: executor="{given}" does not fit')
    return given
