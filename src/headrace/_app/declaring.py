"""What an app declares, and how that is looked up."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Protocol, TypeVar, cast, overload

from headrace._app.opening import Opening
from headrace.errors import (
    ConfigurationError,
    UnknownQueue,
    UnknownTask,
    did_you_mean,
)
from headrace.limits import Ageing, FairShare, Limit, describe, merge
from headrace.retention import Retention
from headrace.retry import Retry
from headrace.schedule import declare
from headrace.schedules import Schedules
from headrace.task import ExecutorName, Task, TaskSettings, choose_executor, default_name

if TYPE_CHECKING:
    from headrace._schedule.catching_up import CatchUp
    from headrace._schedule.declaration import Declaration, Overlap
    from headrace.app import Headrace
    from headrace.context import Context
    from headrace.middleware import Middleware
    from headrace.rollout import Rollout
    from headrace.service import Service

P = ParamSpec("P")
T = TypeVar("T")
R = TypeVar("R")
TaskT = TypeVar("TaskT", bound="Task[..., ..., Any]")
Lifespan = Callable[["Headrace"], AbstractAsyncContextManager[Any]]

OWN_TASKS = "headrace."
"""How the names of headrace's own tasks begin."""


class Declaring(Opening):
    """What the program says of its tasks, queues, limits and schedules; and what it has said."""

    def __init__(self, url: str | None, *, secret_names: Sequence[str] = (), **options: Any) -> None:
        super().__init__(url, **options)
        self.secret_names = check_secret_names(secret_names)
        self.tasks: dict[str, Task[..., ..., Any]] = {}
        self.queues: dict[str, int | None] = {}
        self.declared_schedules: dict[str, Declaration] = {}
        self.queue_limits: dict[str, tuple[Limit, ...]] = {}
        self.middlewares: list[Middleware] = []
        self.rollouts: list[Rollout] = []
        self.services: list[Service] = []
        self._aliases: dict[str, str] = {}
        self._limited_tasks: set[str] = set()
        self._lifespan: Lifespan | None = None

    @overload
    def task(
        self, handler: Callable[Concatenate[Context, P], Coroutine[Any, Any, R]], /
    ) -> Task[P, Concatenate[Context, P], R]: ...
    @overload
    def task(self, handler: Callable[P, Coroutine[Any, Any, R]], /) -> Task[P, P, R]: ...
    @overload
    def task(self, handler: Callable[Concatenate[Context, P], R], /) -> Task[P, Concatenate[Context, P], R]: ...
    @overload
    def task(self, handler: Callable[P, R], /) -> Task[P, P, R]: ...
    @overload
    def task(
        self,
        *,
        name: str | None = None,
        queue: str = "default",
        priority: int = 0,
        retry: Retry | None = None,
        retention: Retention | None = None,
        timeout: timedelta | None = None,
        soft_timeout: timedelta | None = None,
        executor: ExecutorName | None = None,
        memory_limit_bytes: int | None = None,
        aliases: Sequence[str] = (),
        upcast: Callable[[dict[str, Any]], dict[str, Any]] | None = None,
        limits: Sequence[Limit] = (),
    ) -> _TaskDecorator: ...

    # mypy does not see that the overload with options gives no handler
    def task(  # type: ignore[misc]
        self,
        handler: Any = None,
        /,
        *,
        name: str | None = None,
        queue: str = "default",
        priority: int = 0,
        retry: Retry | None = None,
        retention: Retention | None = None,
        timeout: timedelta | None = None,
        soft_timeout: timedelta | None = None,
        executor: ExecutorName | None = None,
        memory_limit_bytes: int | None = None,
        aliases: Sequence[str] = (),
        upcast: Callable[[dict[str, Any]], dict[str, Any]] | None = None,
        limits: Sequence[Limit] = (),
    ) -> Any:
        """Register a function as a task; a decorator, with or without options.

        Args:
            handler: The function.
            name: The stable name that is stored with its jobs. Default: its module and qualified name.
            queue: Where its jobs go, unless the enqueuer says otherwise.
            priority: Larger first, within the queue. 0 by default.
            retry: When failed attempts run again. `Retry()` by default: five attempts in about half a minute.
            retention: How long finished jobs are kept. `Retention()` by default: a week, failed ones 90 days.
            timeout: The hard time-out of an attempt. A coroutine is cancelled, a process killed; a thread cannot be:
                its worker process drains and is replaced, and the attempt is recorded once it is gone. Default: none.
            soft_timeout: After this, `Context.cancelled` is true, for handlers that can stop by themselves.
            executor: "async" for coroutine functions (the default for them), "thread" for functions (the default for
                them), "process" for work that must be killable, measured, or free of the GIL.
            memory_limit_bytes: For process tasks: the attempt is killed and fails when its process and what it started
                use more.
            aliases: Earlier names of this task: jobs that were enqueued under them run.
            upcast: Turns stored arguments that no longer fit into ones that do.
            limits: What bounds when its jobs start, in whatever queue and over all workers: `Concurrency`, `RateLimit`,
                `Order`, `Breaker`. An operator's later setting wins.

        Raises:
            ConfigurationError: The declaration makes no sense, or the name is taken.
        """

        def register(function: Callable[..., Any]) -> Task[..., ..., Any]:
            task_name = name or default_name(function)
            settings = TaskSettings(
                queue=queue,
                priority=priority,
                retry=retry or Retry(),
                retention=retention or Retention(),
                timeout_s=_seconds(task_name, "timeout", timeout),
                soft_timeout_s=_seconds(task_name, "soft_timeout", soft_timeout),
                executor=choose_executor(task_name, function, executor),
                memory_limit_bytes=memory_limit_bytes,
                aliases=tuple(aliases),
                upcast=upcast,
                limits=tuple(limits),
            )
            return self._register(Task(cast("Headrace", self), task_name, function, settings))

        return register if handler is None else register(handler)

    def _register(self, task: Task[..., ..., Any]) -> Task[..., ..., Any]:
        for name in (task.name, *task.settings.aliases):
            if name in self.tasks or name in self._aliases:
                raise ConfigurationError(f'a task named "{name}" is registered already: give it another name=')
        self.tasks[task.name] = task
        self._aliases |= dict.fromkeys(task.settings.aliases, task.name)
        if task.settings.limits:
            self._limited_tasks |= {task.name, *task.settings.aliases}
        return task

    def lifespan(self, lifespan: Callable[[Headrace], AsyncIterator[Any]]) -> Lifespan:
        """Register what a worker opens before its first job and closes after its last; a decorator.

        The function is an asynchronous generator that yields once: the object, or the tuple of objects, that handlers
        receive by type (``http: Client = inject()``).
        """
        self._lifespan = asynccontextmanager(lifespan)
        return self._lifespan

    def middleware(self, middleware: type[Middleware]) -> type[Middleware]:
        """Register a `Middleware` class; a decorator. Instances with arguments: append to `middlewares`."""
        self.middlewares.append(middleware())
        return middleware

    def queue(
        self,
        name: str,
        *,
        max_queued: int | None = None,
        limits: Sequence[Limit] = (),
        fair_by: str | None = None,
        weights: Mapping[str, float] | None = None,
        ageing: timedelta | None = None,
    ) -> None:
        """Declare a queue's bounds; queues without any need no declaration. An operator's later settings win.

        Args:
            name: The queue.
            max_queued: Enqueueing is refused beyond so many queued jobs.
            limits: What bounds when its jobs start, over all workers: `Concurrency`, `RateLimit`, `Order`, `Breaker`.
            fair_by: "tenant" or the name of an argument: its values take turns, so that one's million jobs do not delay
                another's one.
            weights: How many turns a value of `fair_by` gets where others get one.
            ageing: A job that waits counts as of one priority more after each such time, so that none waits for ever.

        Raises:
            ConfigurationError: The declaration makes no sense.
        """
        if weights and fair_by is None:
            raise ConfigurationError(f'queue "{name}": weights need fair_by')
        declared = [*limits]
        if fair_by is not None:
            declared.append(FairShare(fair_by, weights or {}))
        if ageing is not None:
            declared.append(Ageing(ageing))
        for limit in declared:
            describe(limit, queue=name)
        self.queues[name] = max_queued
        self.queue_limits[name] = tuple(declared)

    def schedule(
        self,
        cron: str | None = None,
        /,
        *,
        every: timedelta | None = None,
        at: datetime | None = None,
        timezone: str = "UTC",
        args: dict[str, Any] | None = None,
        name: str | None = None,
        catch_up: CatchUp = "latest",
        catch_up_limit: int = 100,
        overlap: Overlap = "skip",
        jitter: timedelta = timedelta(0),
        start_at: datetime | None = None,
        end_at: datetime | None = None,
        queue: str | None = None,
        priority: int | None = None,
        tenant: str | None = None,
        tags: Sequence[str] | None = None,
        per_tenant: bool = False,
    ) -> Callable[[TaskT], TaskT]:
        """Declare a schedule of a task; a decorator, put on top of `@app.task`. A task may have several.

        Workers store it when they start. What an operator changes stays until the declaration itself changes; what is
        no longer declared is disabled. docs/schedules.md has the rules.

        Args:
            cron: Five fields, as in Debian's cron: "0 9 * * MON-FRI"; or @hourly, @daily, @weekly, @monthly, @yearly.
            every: Instead of cron: an interval, counted from `start_at`, by default from 1970, so that every 5 minutes
                is at :00, :05 and so on, after every deploy.
            at: Instead of cron: once, at this (aware) time.
            timezone: Of cron: an IANA name, such as "Asia/Kolkata".
            args: The task's arguments, by name.
            name: Default: the task's name. Needed for a task's second schedule.
            catch_up: What happens to moments for which there was no worker: "latest" (one job, for the last of them),
                "all" (a job for each of the last `catch_up_limit`) or "skip" (none). Up to a minute late is on time.
            catch_up_limit: See `catch_up`.
            overlap: What happens when a moment comes and an earlier job has not finished: "skip" (the moment gets no
                job), "queue" (its job waits), "cancel" (the earlier one is cancelled, and its job waits until that has
                ended) or "allow" (they run side by side).
            jitter: Each moment is put off by its own part of this time, the same in every worker.
            start_at: No moments before this (aware) time.
            end_at: None from this (aware) time on.
            queue: Another queue than the task's.
            priority: Another priority than the task's.
            tenant: Whom its jobs belong to.
            tags: Labels of its jobs.
            per_tenant: It is due for each tenant that `schedules.tenants(name)` has, with the tenant's own time zone,
                cron and arguments where it has some, and for nobody else.

        Raises:
            ConfigurationError: It makes no sense, or the name is taken.
            InvalidArguments: The arguments do not fit the task.
        """
        options = {
            "cron": cron, "every": every, "at": at, "timezone": timezone, "catch_up": catch_up, "overlap": overlap,
            "catch_up_limit": catch_up_limit, "jitter": jitter, "start_at": start_at, "end_at": end_at, "queue": queue,
            "priority": priority, "tenant": tenant, "tags": tags, "per_tenant": per_tenant,
        }  # fmt: skip

        def register(task: TaskT) -> TaskT:
            if not isinstance(task, Task):
                raise ConfigurationError(f"app.schedule goes on top of @app.task: {task!r} is no task")
            packed = json.loads(task.arguments.pack((), args or {}))
            declaration = declare(name or task.name, task.name, options | {"args": packed})
            if declaration.name in self.declared_schedules:
                raise ConfigurationError(f'a schedule "{declaration.name}" is declared already: give this one a name=')
            self.declared_schedules[declaration.name] = declaration
            return task

        return register

    @property
    def schedules(self) -> Schedules:
        """The database's schedules, declared ones and those that were made at run time."""
        return Schedules(cast("Headrace", self))

    # -- looking up what is declared --

    def find_task(self, name: str) -> Task[..., ..., Any]:
        """The task of this name or alias.

        Raises:
            UnknownTask: There is none.
        """
        task = self.tasks.get(name) or self.tasks.get(self._aliases.get(name, ""))
        if task is None:
            raise UnknownTask(f'no task is named "{name}". {did_you_mean(name, self.tasks)}')
        return task

    def offered_task(self, name: str) -> Task[..., ..., Any]:
        """The task of this name or alias, for somebody who asks from outside the program.

        Raises:
            UnknownTask: There is none, or it is one of headrace's own, whose jobs nobody else makes.
        """
        if name.startswith(OWN_TASKS):
            raise UnknownTask(f'"{name}" is a task of headrace\'s own: nobody else gives it arguments')
        return self.find_task(name)

    def task_names(self) -> list[str]:
        """All names under which jobs of this app may be stored, aliases included."""
        return [*self.tasks, *self._aliases]

    def queue_names(self) -> list[str]:
        """The queues that registered tasks use, and declared ones."""
        return sorted({task.settings.queue for task in self.tasks.values()} | set(self.queues))

    def declared_limits(self) -> list[dict[str, Any]]:
        """The limits that code declares, as rows for the database.

        Raises:
            ConfigurationError: Two that differ have the same name.
        """
        rows = [describe(limit, queue=name) for name, limits in self.queue_limits.items() for limit in limits]
        rows += [
            describe(limit, tasks=[task.name, *task.settings.aliases])
            for task in self.tasks.values()
            for limit in task.settings.limits
        ]
        return merge(rows)

    def check_queue(self, name: str) -> str:
        """Return the name if a task uses the queue.

        Raises:
            UnknownQueue: None does.
        """
        if name not in self.queue_names():
            raise UnknownQueue(f'no task uses the queue "{name}". {did_you_mean(name, self.queue_names())}')
        return name

    @asynccontextmanager
    async def provide(self) -> AsyncIterator[dict[type, Any]]:
        """Run the lifespan and give what it yields, by type."""
        if self._lifespan is None:
            yield {}
            return
        async with self._lifespan(cast("Headrace", self)) as provided:
            objects = provided if isinstance(provided, tuple) else () if provided is None else (provided,)
            yield {type(item): item for item in objects}


class _TaskDecorator(Protocol):
    """What ``app.task(...)`` with options returns."""

    @overload
    def __call__(
        self, handler: Callable[Concatenate[Context, P], Coroutine[Any, Any, R]], /
    ) -> Task[P, Concatenate[Context, P], R]: ...
    @overload
    def __call__(self, handler: Callable[P, Coroutine[Any, Any, R]], /) -> Task[P, P, R]: ...
    @overload
    def __call__(self, handler: Callable[Concatenate[Context, P], R], /) -> Task[P, Concatenate[Context, P], R]: ...
    @overload
    def __call__(self, handler: Callable[P, R], /) -> Task[P, P, R]: ...


def check_secret_names(names: Sequence[str]) -> tuple[str, ...]:
    """The names, if they are some.

    Raises:
        ConfigurationError: One has no letter or digit: it would be found in every name; or they are one string.
    """
    if isinstance(names, str):
        raise ConfigurationError(f'secret_names must be a list: write ["{names}"]')
    for name in names:
        if not any(c.isascii() and c.isalnum() for c in name):
            raise ConfigurationError(f'secret_names: "{name}" has no letter or digit by which a name could be found')
    return tuple(names)


def _seconds(task_name: str, what: str, given: timedelta | None) -> float | None:
    if given is None:
        return None
    if not isinstance(given, timedelta):
        raise ConfigurationError(f'task "{task_name}": {what} must be a timedelta, not {given!r}')
    return given.total_seconds()
