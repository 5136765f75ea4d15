"""The application: its tasks, its database, and everything that can be asked of it."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Protocol, Self, TypeVar, cast, overload
from uuid import UUID
from weakref import WeakKeyDictionary, WeakSet

from headrace._results import ResultWaiter
from headrace._store import enqueue as enqueue_store
from headrace._store import workflows as workflow_store
from headrace._store.database import Database
from headrace._store.foreign import SyncForeign, adapt, is_async
from headrace._store.sql import check_schema_name, query
from headrace._store.stream import Stream, check_new
from headrace.context import is_running_here
from headrace.errors import (
    AppClosed,
    ConfigurationError,
    JobCancelled,
    JobFailed,
    JobNotFound,
    ResultTimeout,
    UnknownQueue,
    UnknownTask,
    did_you_mean,
)
from headrace.event import KEEP_EVENTS, EventInfo, emit_parameters
from headrace.job import AttemptInfo, Job, JobInfo, LogLine, NewJob, State, StepInfo, check_words
from headrace.limits import Ageing, Breakers, FairShare, Limit, Limits, PauseInfo, describe, explain, merge
from headrace.retention import Retention
from headrace.retry import Retry
from headrace.schedule import Schedules, declare
from headrace.started import StartedWorkflow, WorkflowInfo, not_found, workflow_info
from headrace.task import ExecutorName, Task, TaskSettings, choose_executor, default_name
from headrace.workflow import as_workflow

if TYPE_CHECKING:
    from headrace._schedule.catching_up import CatchUp
    from headrace._schedule.declaration import Declaration, Overlap
    from headrace._store.embedded import EmbeddedServer
    from headrace._worker.worker import Worker
    from headrace.context import Context
    from headrace.middleware import Middleware
    from headrace.rollout import Rollout
    from headrace.workflow import Flow, Workflow

P = ParamSpec("P")
T = TypeVar("T")
R = TypeVar("R")
TaskT = TypeVar("TaskT", bound="Task[..., ..., Any]")
IMPORTING = "HEADRACE_IMPORTING"
"""Set in a process for process tasks while it imports the app."""

_apps: WeakSet[Headrace] = WeakSet()
_CLOSED = "the app is closed: make a new Headrace, or close it later"
Lifespan = Callable[["Headrace"], AbstractAsyncContextManager[Any]]


@dataclasses.dataclass
class _LoopResources:
    """What is bound to one event loop."""

    database: Database
    results: ResultWaiter


class Headrace:
    """An application's background jobs.

    Args:
        url: The PostgreSQL database, as postgresql://user:password@host:port/database. Without one: the environment's
            HEADRACE_URL, else an embedded PostgreSQL that starts by itself (``pip install headrace[embedded]``).
        schema: The schema that holds headrace's tables. Change it to have several in one database.
        max_connections: How many connections enqueueing and asking may use in each process. 4: enqueueing takes one for
            a fraction of a millisecond.
        handler_connections: How many connections `ctx.transaction()` may use in each worker process. 10: handlers that
            want more wait for each other.

    Nothing is opened before it is needed. `close` (or ``async with app``) closes everything.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        schema: str = "headrace",
        max_connections: int = 4,
        handler_connections: int = 10,
    ) -> None:
        self._url = url
        self.schema = check_schema_name(schema)
        self.max_connections = max_connections
        self.handler_connections = handler_connections
        self.tasks: dict[str, Task[..., ..., Any]] = {}
        self.queues: dict[str, int | None] = {}
        self.declared_schedules: dict[str, Declaration] = {}
        self.queue_limits: dict[str, tuple[Limit, ...]] = {}
        self.limits = Limits(self.database)
        self.breakers = Breakers(self.database)
        self.middlewares: list[Middleware] = []
        self.rollouts: list[Rollout] = []
        self._aliases: dict[str, str] = {}
        self._limited_tasks: set[str] = set()
        self._lifespan: Lifespan | None = None
        self._server: EmbeddedServer | None = None
        self._resources: WeakKeyDictionary[asyncio.AbstractEventLoop, _LoopResources] = WeakKeyDictionary()
        self._opening: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = WeakKeyDictionary()
        self._own_loop: asyncio.AbstractEventLoop | None = None
        self._start_lock = threading.Lock()
        self._closed = False
        _apps.add(self)

    # -- declaring --

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
            return self._register(Task(self, task_name, function, settings))

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
        return Schedules(self)

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
        async with self._lifespan(self) as provided:
            objects = provided if isinstance(provided, tuple) else () if provided is None else (provided,)
            yield {type(item): item for item in objects}

    # -- opening and closing --

    @property
    def url(self) -> str:
        """The database's URL; starts the embedded server if there is no other."""
        if self._closed:
            raise AppClosed(_CLOSED)
        if url := self._url or os.environ.get("HEADRACE_URL"):
            return url
        with self._start_lock:
            if self._server is None:
                self._server = _start_embedded()
            return self._server.url

    def use_database(self, url: str) -> None:
        """Use this database instead of the one that was given when the app was made; before anything is opened.

        For programs that learn the URL late: command lines, tests, process tasks.
        """
        if self._resources or self._server is not None:
            raise ConfigurationError("the app is open: choose its database before it is used")
        self._url = url

    async def open(self) -> Self:
        """Connect; with the embedded server, bring its schema up to date too. Everything else calls it when needed."""
        await self._here()
        return self

    async def close(self) -> None:
        """Close all connections; stop the embedded server if nobody else uses it. Calls after it raise `AppClosed`."""
        self._closed = True
        resources = self._resources.pop(asyncio.get_running_loop(), None)
        if resources:
            await resources.results.close()
            await resources.database.close()
        await asyncio.to_thread(self._close_outside)

    def close_sync(self) -> None:
        """`close` for code that is not asynchronous."""
        self._closed = True
        self._close_outside()

    def _close_outside(self) -> None:
        loop, self._own_loop = self._own_loop, None
        if loop is not None:
            resources = self._resources.pop(loop, None)
            if resources:
                asyncio.run_coroutine_threadsafe(resources.results.close(), loop).result()
                asyncio.run_coroutine_threadsafe(resources.database.close(), loop).result()
            loop.call_soon_threadsafe(loop.stop)
        if self._server is not None:
            self._server.stop()
            self._server = None

    async def __aenter__(self) -> Self:
        return await self.open()

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _here(self) -> _LoopResources:
        """What is opened for the running event loop."""
        if self._closed:
            raise AppClosed(_CLOSED)
        loop = asyncio.get_running_loop()
        if resources := self._resources.get(loop):
            return resources
        async with self._opening.setdefault(loop, asyncio.Lock()):
            if resources := self._resources.get(loop):
                return resources
            url = await asyncio.to_thread(lambda: self.url)
            if self._server is not None:
                await asyncio.to_thread(self.migrate)
            database = Database(url, self.schema, max_connections=self.max_connections)
            await database.open()
            self._resources[loop] = _LoopResources(database, ResultWaiter(database))
            return self._resources[loop]

    def _forget_after_fork(self) -> None:
        """In a forked child: connections and the thread of the own loop are the parent's."""
        self._resources = WeakKeyDictionary()
        self._opening = WeakKeyDictionary()
        self._own_loop = None
        self._start_lock = threading.Lock()

    def migrate(self) -> None:
        """Bring the database's schema to this version; does nothing if it is there."""
        from headrace._store.migrate import migrate  # noqa: PLC0415 - only those who migrate load it

        migrate(self.url, self.schema)

    def run_sync(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine of this app (`job.result()`, `app.find_job(...)`) from code that is not asynchronous."""
        if self._closed:
            coroutine.close()
            raise AppClosed(_CLOSED)
        with self._start_lock:
            if self._own_loop is None:
                self._own_loop = asyncio.new_event_loop()
                threading.Thread(target=_run_and_close, args=[self._own_loop], name="headrace", daemon=True).start()
            loop = self._own_loop
        return asyncio.run_coroutine_threadsafe(coroutine, loop).result()

    # -- working --

    def worker(self, **options: Any) -> Worker:
        """A worker for this process; ``await worker.run()`` works until ``worker.stop()``. For options see `Worker`."""
        from headrace._worker.worker import Worker  # noqa: PLC0415 - enqueuers do without

        if IMPORTING in os.environ:
            raise ConfigurationError(
                "this program starts a worker while a process for process tasks imports it: put what it runs under "
                '`if __name__ == "__main__":`'
            )
        return Worker(self, **options)

    async def drain(self, **options: Any) -> None:
        """Work off everything that is queued, here and now, and return: for tests and one-off commands."""
        await self._here()
        await self.worker(**({"heartbeat": "loop"} | options)).run_until_idle()

    # -- enqueueing --

    async def enqueue_many(self, jobs: Iterable[NewJob], *, conn: Any = None) -> list[Job[Any]]:
        """Enqueue jobs made by `task.job(...)`, all or none, in one transaction.

        Args:
            jobs: Any number. While the server stores some, a generator makes the next; a slow one makes all of them
                first, so that it holds no transaction open.
            conn: Enqueue inside this connection's transaction; see `Task.options`.
        """
        if conn is None:
            stream = Stream(jobs)
            limited = self._wants_lanes(stream.first)
            placed = await enqueue_store.enqueue((await self._here()).database, stream, lanes=limited)
        else:
            new = _new_jobs(jobs)
            if not new:
                return []
            foreign = adapt(conn)
            answer = foreign.rows(query("enqueue_jobs", self.schema), {"jobs": enqueue_store.as_json(new)})
            rows = await cast("Awaitable[Any]", answer) if is_async(foreign) else cast("list[Any]", answer)
            placed = [(str(job_id), existed) for _, job_id, existed in rows]
        return [Job(self, job_id, existed=existed) for job_id, existed in placed]

    def _wants_lanes(self, jobs: Sequence[NewJob]) -> bool:
        """Whether declared limits apply to some of these jobs: then they are put in their lanes as they come."""
        if not self.queue_limits and not self._limited_tasks:
            return False
        return any(job.task in self._limited_tasks or self.queue_limits.get(job.queue) for job in jobs)

    def enqueue_many_sync(self, jobs: Iterable[NewJob], *, conn: Any = None) -> list[Job[Any]]:
        """`enqueue_many` for code that is not asynchronous."""
        if conn is not None and is_async(adapt(conn)):
            raise ConfigurationError(
                f"a {type(conn).__name__} is asynchronous: await enqueue(...) instead of calling enqueue_sync(...)"
            )
        if conn is None:
            return self.run_sync(self.enqueue_many(jobs))
        new = _new_jobs(jobs)
        foreign = cast("SyncForeign", adapt(conn))
        rows = foreign.rows(query("enqueue_jobs", self.schema), {"jobs": enqueue_store.as_json(new)}) if new else []
        return [Job(self, str(job_id), existed=existed) for _, job_id, existed in rows]

    # -- workflows --

    async def start(self, workflow: Workflow | Flow, *, conn: Any = None) -> StartedWorkflow:
        """Start a workflow: all its jobs, or none, in one transaction. Starting the same object again changes nothing.

        Args:
            workflow: A `Workflow` or `Batch`, or what `chain` or `group` makes.
            conn: Start it inside this connection's transaction; see `Task.options`.

        Raises:
            ConfigurationError: It makes no sense: a job is in it twice, or takes the result of one that is not there.
            EnqueueError: A job was refused.
            DatabaseError: The database cannot be used.
        """
        workflow = as_workflow(workflow)
        plan = workflow.plan()
        await workflow_store.start(self, workflow, plan, conn)
        return StartedWorkflow(self, workflow.id, plan)

    def start_sync(self, workflow: Workflow | Flow, *, conn: Any = None) -> StartedWorkflow:
        """`start` for code that is not asynchronous: through the given connection, or the app's own thread."""
        if conn is None:
            return self.run_sync(self.start(workflow))
        workflow = as_workflow(workflow)
        plan = workflow.plan()
        workflow_store.start_sync(self, workflow, plan, conn)
        return StartedWorkflow(self, workflow.id, plan)

    def workflow(self, workflow_id: UUID | str) -> StartedWorkflow:
        """A workflow that was started, to act on; whether it exists is found out when something is asked of it.

        Raises:
            WorkflowNotFound: That is no id.
        """
        try:
            return StartedWorkflow(self, UUID(str(workflow_id)))
        except ValueError:
            raise not_found(workflow_id) from None

    async def find_workflow(self, workflow_id: UUID | str) -> WorkflowInfo:
        """A workflow and how far it is; reads one row.

        Raises:
            WorkflowNotFound: No workflow has this id (any more).
        """
        records = await (await self._here()).database.records("find_workflow", id=self.workflow(workflow_id).id)
        if not records:
            raise not_found(workflow_id)
        return workflow_info(records[0])

    # -- events --

    async def emit(self, name: str, payload: Any = None, *, keep: timedelta = KEEP_EVENTS, conn: Any = None) -> bool:
        """Say that something has happened; jobs that wait for it (`Context.wait_for_event`) get the payload and go on.

        Args:
            name: Of the event, up to 300 bytes; for all tenants and tasks, so put in what tells them apart.
            payload: What there is to say of it: anything that JSON holds, 256 KiB at most.
            keep: For how long jobs find it that ask later, and a second emit is ignored. 30 days: more than most waits.
            conn: Emit inside this connection's transaction; see `Task.options`.

        Returns:
            Whether this was the first emit of this name. The first payload stays, a second emit changes nothing.

        Raises:
            InvalidArguments: The payload cannot be stored.
        """
        parameters = emit_parameters(name, payload, keep)
        if conn is None:
            return bool(await (await self._here()).database.value("emit_event", **parameters))
        foreign = adapt(conn)
        answer = foreign.rows(query("emit_event", self.schema), parameters)
        ((first,),) = await cast("Awaitable[Any]", answer) if is_async(foreign) else cast("list[Any]", answer)
        return bool(first)

    def emit_sync(self, name: str, payload: Any = None, *, keep: timedelta = KEEP_EVENTS, conn: Any = None) -> bool:
        """`emit` for code that is not asynchronous."""
        if conn is None:
            return self.run_sync(self.emit(name, payload, keep=keep))
        foreign = adapt(conn)
        if is_async(foreign):
            raise ConfigurationError(
                f"a {type(conn).__name__} is asynchronous: await emit(...) instead of emit_sync(...)"
            )
        parameters = emit_parameters(name, payload, keep)
        ((first,),) = cast("SyncForeign", foreign).rows(query("emit_event", self.schema), parameters)
        return bool(first)

    async def find_event(self, name: str) -> EventInfo | None:
        """An event that was emitted and is not forgotten; None if there is none of this name."""
        records = await (await self._here()).database.records("find_event", event=check_words("event", name))
        return EventInfo(**records[0]) if records else None

    # -- asking and acting --

    async def database(self) -> Database:
        """Our own statements, for the command line and other parts of headrace."""
        return (await self._here()).database

    async def find_job(self, job_id: UUID | str) -> JobInfo:
        """A job, finished or not.

        Raises:
            JobNotFound: No job has this id.
        """
        found = await self.find_jobs([job_id])
        if not found:
            raise JobNotFound(f"no job has the id {job_id}: it never existed, was deleted, or is out of retention")
        return found[0]

    async def find_jobs(self, job_ids: Sequence[UUID | str]) -> list[JobInfo]:
        """Those of these jobs that exist."""
        records = await (await self._here()).database.records("find_jobs", ids=_job_ids(job_ids))
        return [_job_info(record) for record in records]

    async def cancel_jobs(self, job_ids: Sequence[UUID | str], reason: str = "cancelled") -> dict[UUID, str]:
        """Cancel jobs; for each, "cancelled", "requested" (it runs), "finished" or "unknown"."""
        rows = await (await self._here()).database.rows("cancel_jobs", ids=_job_ids(job_ids), reason=reason)
        return {UUID(job_id): outcome for job_id, outcome in rows}

    async def retry_jobs(
        self, job_ids: Sequence[UUID | str], args: dict[str, Any] | None = None, *, from_start: bool = False
    ) -> list[UUID]:
        """Run finished jobs again, and those that wait for a time or an event now; the ids that will run.

        Args:
            job_ids: Which.
            args: Other arguments, all of them.
            from_start: Forget their recorded steps. Otherwise jobs that failed or were cancelled go on after the last
                step that is recorded, with other arguments too; a job that succeeded always starts anew.
        """
        packed = json.dumps(args) if args is not None else None
        rows = await (await self._here()).database.rows(
            "retry_jobs", ids=_job_ids(job_ids), args=packed, from_start=from_start
        )
        return [UUID(row[0]) for row in rows]

    async def delete_jobs(self, job_ids: Sequence[UUID | str]) -> list[UUID]:
        """Delete jobs that do not run; the ids that are gone."""
        rows = await (await self._here()).database.rows("delete_jobs", ids=_job_ids(job_ids))
        return [UUID(row[0]) for row in rows]

    async def explain_wait(self, job_id: UUID | str) -> list[str]:
        """What stops a queued job from starting, in words: pauses, and limits without a place for it; or nothing."""
        records = await (await self._here()).database.records("explain_wait", id=_job_ids([job_id])[0])
        return [explain(**record) for record in records]

    # -- pausing --

    async def pause(
        self, queue: str | None = None, *, reason: str | None = None, until: datetime | timedelta | None = None
    ) -> None:
        """Let no worker claim jobs of a queue, from its next claim on; running jobs go on.

        Args:
            queue: Which; None: all of them.
            reason: Kept with the pause.
            until: When it ends by itself; None: when somebody resumes it.
        """
        await (await self._here()).database.rows(
            "pause_queue",
            queue=queue or "",
            reason=reason,
            until=until if isinstance(until, datetime) else None,
            for_s=until.total_seconds() if isinstance(until, timedelta) else None,
        )

    async def resume(self, queue: str | None = None) -> bool:
        """End the pause of a queue; None: that of all, which leaves pauses of single ones. Whether there was one."""
        rows = await (await self._here()).database.rows("resume_queue", queue=queue or "")
        return bool(rows and rows[0][0])

    async def list_pauses(self) -> list[PauseInfo]:
        """The pauses that last."""
        return [PauseInfo(**record) for record in await (await self._here()).database.records("list_pauses")]

    async def list_attempts(self, job_id: UUID | str) -> list[AttemptInfo]:
        """A job's attempts before its last, oldest first."""
        records = await (await self._here()).database.records("list_attempts", id=_job_ids([job_id])[0])
        return [AttemptInfo(**record) for record in records]

    async def list_steps(self, job_id: UUID | str) -> list[StepInfo]:
        """What a job's attempts recorded of its steps, in the handler's order."""
        records = await (await self._here()).database.records("list_steps", id=_job_ids([job_id])[0])
        return [StepInfo(**record) for record in records]

    async def list_logs(self, job_id: UUID | str, limit: int = 1000) -> list[LogLine]:
        """What a job's handler logged, oldest first."""
        records = await (await self._here()).database.records("list_logs", id=_job_ids([job_id])[0], limit=limit)
        return [LogLine(**record) for record in records]

    async def _wait_for_result(self, job_id: UUID, timeout_s: float | None) -> Any:
        if is_running_here():
            raise ConfigurationError(
                f"a handler waits for job {job_id}: it would keep its own place while it waits, and when all places "
                "are taken by such handlers none of the jobs they wait for can start. Let the job enqueue what is next"
            )
        resources = await self._here()
        try:
            async with asyncio.timeout(timeout_s):
                state, result, error = await resources.results.wait(job_id)
        except TimeoutError:
            raise ResultTimeout(f"job {job_id} had not finished within {timeout_s:g} seconds; it goes on") from None
        match state:
            case State.SUCCEEDED:
                return None if result is None else json.loads(result)
            case State.FAILED:
                raise JobFailed(f"job {job_id} failed: {(error or {}).get('message', 'unknown error')}", error or {})
            case _:
                raise JobCancelled(f"job {job_id} was cancelled: {(error or {}).get('message', 'no reason given')}")


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


def _new_jobs(jobs: Iterable[NewJob]) -> list[NewJob]:
    new = list(jobs)
    for job in new:
        check_new(job)
    return new


def _seconds(task_name: str, what: str, given: timedelta | None) -> float | None:
    if given is None:
        return None
    if not isinstance(given, timedelta):
        raise ConfigurationError(f'task "{task_name}": {what} must be a timedelta, not {given!r}')
    return given.total_seconds()


def _job_ids(given: Sequence[UUID | str]) -> list[str]:
    """Ids as the database reads them.

    Raises:
        JobNotFound: One is no job's id.
    """
    try:
        return [str(UUID(str(job_id))) for job_id in given]
    except ValueError:
        raise JobNotFound(
            f"not all of these are ids of jobs, which are UUIDs: {', '.join(map(str, given))[:200]}"
        ) from None


def _job_info(record: dict[str, Any]) -> JobInfo:
    return JobInfo(
        **(record | {"id": UUID(record["id"]), "state": State(record["state"]), "args": record["args"] or {}})
    )


def _forget_all_after_fork() -> None:
    for app in list(_apps):
        app._forget_after_fork()  # noqa: SLF001


os.register_at_fork(after_in_child=_forget_all_after_fork)


def _run_and_close(loop: asyncio.AbstractEventLoop) -> None:
    loop.run_forever()
    loop.close()


def _start_embedded() -> EmbeddedServer:
    from headrace._store.embedded import EmbeddedServer  # noqa: PLC0415 - an extra

    return EmbeddedServer.start()
