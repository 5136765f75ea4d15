"""A worker: claims jobs, runs them, settles them, and keeps the queue in shape meanwhile.

Start: connect, register tasks, take a lease, start its heart, then the loops, then claim.
Stop: claim no more; running jobs finish, or are handed back at the deadline; settle; end the lease.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
import time
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, Literal

import psycopg

import headrace
from headrace._store.database import Database
from headrace._worker.advances import Advances
from headrace._worker.claims import Claims
from headrace._worker.declarer import Declarer
from headrace._worker.fenced import HandlerConnections
from headrace._worker.heart import GuardianHeart, Heart, LoopHeart
from headrace._worker.listener import Listener
from headrace._worker.loops import Loop
from headrace._worker.maintenance import Maintenance
from headrace._worker.processes import Processes
from headrace._worker.reports import Reports
from headrace._worker.runner import Runner
from headrace._worker.services import service_loops
from headrace._worker.settles import Settles
from headrace._worker.step_store import StepStore
from headrace._worker.threads import Threads
from headrace._worker.timings import Timings
from headrace._worker.watchdog import Watchdog
from headrace.errors import DatabaseUnavailable, LeaseLost, WorkerError

if TYPE_CHECKING:
    from collections.abc import Coroutine, Sequence

    from headrace._worker.attempt import Attempt, Settle
    from headrace.app import Headrace

DEFAULT_CONCURRENCY = 100
DEPLOY = "HEADRACE_DEPLOY"
"""What was deployed, in the environment: a version, a commit. Charts show when workers first started with it."""
ENGINE_CONNECTIONS = 5
"""Claim, settle, reports, maintenance, and one to spare. Handlers and the listener have their own."""
_IDLE_LOOK_S = 0.005
_log = logging.getLogger("headrace.worker")


class Worker:
    """One worker process's worth of work.

    Args:
        app: Whose tasks.
        queues: The queues to serve; None: all that its tasks use.
        concurrency: How many jobs of each queue may run here at the same time. 100: enough to hide a wait of 10 ms
            behind 10,000 jobs/s.
        threads: How many handlers may run in threads; None: as many as `concurrency`, at most 40.
        processes: How many process tasks may run; None: one for each core.
        timings: Intervals and bounds.
        heartbeat: Who keeps the lease; see heart.py.
        owns_group: Whether the process group is this worker's own.
        listen: Whether to LISTEN. Without it, jobs are found by polling.
        listen_url: Where to LISTEN, if the app's URL leads through a pooler.
        time_waits: Whether middlewares hear how long each job had waited (`Ending.wait_s`); one look-up for each job.
    """

    def __init__(
        self,
        app: Headrace,
        *,
        queues: list[str] | None = None,
        concurrency: int = DEFAULT_CONCURRENCY,
        threads: int | None = None,
        processes: int | None = None,
        timings: Timings | None = None,
        heartbeat: Literal["guardian", "loop"] = "guardian",
        owns_group: bool = False,
        listen: bool = True,
        listen_url: str | None = None,
        time_waits: bool = False,
    ) -> None:
        if not app.tasks:
            raise WorkerError("this app has no tasks: a worker must import the modules that register them")
        self.app = app
        self.timings = timings or Timings()
        self.queues = {app.check_queue(name): concurrency for name in (queues or app.queue_names())}
        self._concurrency = concurrency
        self._thread_count = threads or min(concurrency, 40)
        self._process_count = processes or os.cpu_count() or 1
        self._heartbeat = heartbeat
        self._owns_group = owns_group
        self._listen = listen
        self._listen_url = listen_url
        self._time_waits = time_waits
        self.stopping = asyncio.Event()
        self._failure: Exception | None = None
        self.started = asyncio.Event()
        self._lease_seen_at = time.monotonic()
        self.id = 0
        self.version = headrace.__version__

    # -- from outside --

    async def run(self) -> None:
        """Work until `stop` is called.

        Raises:
            LeaseLost: The lease is gone; nothing that still ran was recorded.
            WorkerError: The process must be replaced: a thread runs on past its hard time-out.
        """
        async with AsyncExitStack() as stack:
            await self._start(stack)
            try:
                self.started.set()
                await self.stopping.wait()
            finally:
                await self._drain()
        if self._failure is not None:
            raise self._failure

    def stop(self) -> None:
        """Begin to drain; `run` returns when it is done. Safe to call more than once."""
        self.stopping.set()

    async def run_until_idle(self) -> None:
        """Work until no job is queued or running here, then stop: for tests and one-off commands."""
        running = asyncio.create_task(self.run())
        await self._wait_for_start(running)
        await self._look_around(running)
        while not running.done() and not await self._nothing_left():  # noqa: ASYNC110 - asks the database, too
            await asyncio.sleep(_IDLE_LOOK_S)
        self.stop()
        await running

    async def _wait_for_start(self, running: asyncio.Task[None]) -> None:
        starting = asyncio.create_task(self.started.wait())
        await asyncio.wait({running, starting}, return_when=asyncio.FIRST_COMPLETED)
        starting.cancel()

    async def _look_around(self, running: asyncio.Task[None]) -> None:
        """Wait until what is due, and what has waited for its event, is queued: the first rounds of those who do it."""
        loops = (self.maintenance.promote, self.maintenance.waiting) if self.started.is_set() else ()
        looks = [asyncio.create_task(loop.first_round()) for loop in loops]
        while looks and not running.done() and not all(look.done() for look in looks):
            await asyncio.wait({running, *looks}, return_when=asyncio.FIRST_COMPLETED)
        for look in looks:
            look.cancel()

    async def _nothing_left(self) -> bool:
        if not self.claims.idle or self.settles.unsettled_ids():
            return False
        return not await self.database.value("has_work", queues=list(self.queues))

    # -- starting --

    async def _start(self, stack: AsyncExitStack) -> None:
        url = await asyncio.to_thread(lambda: self.app.url)
        self.database = Database(
            url, self.app.schema, max_connections=ENGINE_CONNECTIONS, application="headrace worker"
        )
        await self.database.open()
        stack.push_async_callback(self.database.close)
        self.connections = HandlerConnections(url, self.app.schema, self.app.handler_connections)
        stack.push_async_callback(self.connections.close)
        provided = await stack.enter_async_context(self.app.provide())
        await self._register()
        self.heart = self._make_heart(url)
        await self.heart.start(self.id)
        stack.push_async_callback(self._leave)
        self._assemble(url, provided)
        stack.push_async_callback(self.step_store.close)
        stack.callback(self.threads.close)
        stack.push_async_callback(self.processes.close)
        self.watchdog.start()
        stack.callback(self.watchdog.stop)
        self._tasks = [self._spawn(loop.run(), loop.name) for loop in self._loops()]
        if self._listen:
            self._tasks.append(self._spawn(self.listener.run(), "listening"))
        self._settling = self._spawn(self.settles.run(), "settling")
        self._claiming = self._spawn(self.claims.run(), "claiming")
        self._suspecting = self._spawn(self.suspects.run(), self.suspects.name)
        stack.push_async_callback(self._cancel_tasks)

    async def _register(self) -> None:
        await self.database.rows(
            "register_tasks", tasks=json.dumps([_registration(t) for t in self.app.tasks.values()])
        )
        declared = [{"name": name, "max_queued": bound} for name, bound in self.app.queues.items()]
        await self.database.rows("register_queues", queues=json.dumps(declared))
        if limits := self.app.declared_limits():
            await self.database.rows("register_limits", limits=json.dumps(limits))
        if label := os.environ.get(DEPLOY):
            await self.database.rows("mark_deploy", label=label, by=socket.gethostname(), by_worker=True, at=None)
        self.id = await self.database.value(
            "register_worker",
            host=socket.gethostname(), pid=os.getpid(), version=headrace.__version__, queues=json.dumps(self.queues),
        )  # fmt: skip

    def _make_heart(self, url: str) -> Heart:
        if self._heartbeat == "loop":
            return LoopHeart(self.database, self.timings, self._lose_lease)
        return GuardianHeart(url, self.app.schema, self.timings, owns_group=self._owns_group)

    def _assemble(self, url: str, provided: dict[type, Any]) -> None:
        self.reports = Reports(self.database, self.id)
        self.advances = Advances(self.database, self.timings)
        self.settles = Settles(self.database, self.id, self.reports.write, self._settled)
        self.step_store = StepStore(url, self.app.schema)
        self.threads = Threads(self._thread_count)
        self.processes = Processes(self.app, self._process_count, self.reports, self.heart, self.id)
        self.runner = Runner(
            self.app, self.database, self.id, self.settles, self.reports, self.connections, self.step_store,
            self.threads, self.processes, self.heart, self.timings, provided, ended=self._release_place,
            advances=self.advances,
        )  # fmt: skip
        self.runner.stuck = self._replace_process
        self.claims = Claims(
            self.database, self.runner, self.settles, self.timings, self.queues, time_waits=self._time_waits
        )
        self.advances.released = self.claims.wake
        self.maintenance = Maintenance(self.database, self.timings, self.app.task_names())
        declarer = Declarer(self.app, self.database, self.id)
        self.declaring = Loop("declaring schedules", self.timings.declare_s, declarer.declare)
        self.watchdog = Watchdog(self.database, self.settles, self.id, self.timings)
        self.cancelling = Loop("looking for cancel requests", self.timings.watch_s, self._cancel_requested)
        self.settings = Loop("reading queue settings", self.timings.watch_s, self._read_settings)
        self.reporting = Loop("writing reports", self.timings.report_s, self.reports.write)
        self.suspects = Loop("looking for suspects", self.timings.watch_s, self.claims.run_suspect)
        self.listener = Listener(
            self._listen_url or url,
            self.app.schema,
            self.claims.wake,
            self.cancelling.hurry,
            self.maintenance.waiting.hurry,
        )

    def _release_place(self, attempt: Attempt) -> None:
        self.claims.release(attempt)  # the claims are made after the runner

    def _settled(self, batch: Sequence[Settle]) -> None:
        self.advances.settled(batch)
        self.claims.slots_freed()

    def _loops(self) -> list[Loop]:
        return [
            *self.maintenance.loops,
            self.declaring,
            self.advances.loop,
            self.cancelling,
            self.settings,
            self.reporting,
            *service_loops(self.app, self.database),
        ]

    def _spawn(self, coroutine: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        task = asyncio.create_task(coroutine, name=f"headrace {name}")
        task.add_done_callback(self._notice_end)
        return task

    def _notice_end(self, task: asyncio.Task[None]) -> None:
        # None of these ends by itself: nothing stops silently.
        if not task.cancelled() and (error := task.exception()) is not None:
            self._fail(WorkerError(f"{task.get_name()} ended: {error!r}"), error)

    def _fail(self, failure: Exception, cause: BaseException | None = None) -> None:
        if self._failure is None:
            failure.__cause__ = cause
            self._failure = failure
        self.stop()

    # -- working --

    async def _cancel_requested(self) -> None:
        if not self.runner.running:
            return
        for job_id, reason in await self.database.rows("list_cancel_requests", ids=list(self.runner.running)):
            if attempt := self.runner.running.get(job_id):
                attempt.request_cancel(reason)

    async def _read_settings(self) -> None:
        await self._check_lease()
        rows = await self.database.rows("list_queue_settings")
        self.claims.set_limited(name for name, _, _, limited in rows if limited)
        stored = {name: places for name, places, _, _ in rows}
        self.claims.set_places(self.queues | {n: p for n, p in stored.items() if n in self.queues and p is not None})

    async def _check_lease(self) -> None:
        """Drain if an operator says so.

        And notice a lost lease when the guardian, which should have ended this process by then, is stuck itself.
        """
        now = time.monotonic()
        draining = await self.database.value("has_lease", worker_id=self.id)
        if draining is not None:
            self._lease_seen_at = now
            if draining and not self.stopping.is_set():
                _log.info("asked to drain: this worker claims no more, and ends when its jobs have")
                self.stop()
        elif now - self._lease_seen_at > self.timings.lease_s:
            self._lose_lease(LeaseLost("the lease was ended by another worker"))

    def _replace_process(self, attempt: Attempt) -> None:
        self._fail(
            WorkerError(f"job {attempt.id} runs on in a thread past its time-out: this process must be replaced")
        )

    def _lose_lease(self, error: Exception) -> None:
        for attempt in list(self.runner.running.values()):
            attempt.request_cancel("the worker lost its lease")
        self._fail(error)

    # -- stopping --

    async def _drain(self) -> None:
        await self._cancel(self._claiming)
        await self._cancel(self._suspecting)
        if isinstance(self._failure, LeaseLost):
            return
        try:
            await self.database.rows("drain_worker", worker_id=self.id)
            await self.claims.hand_back_unheld()
        except (DatabaseUnavailable, psycopg.Error) as error:
            _log.warning("draining without the database: %s", error)
        await self._wait_until_idle(self.timings.drain_s)
        if self.runner.running:
            _log.warning("handing back %d jobs that did not finish in time", len(self.runner.running))
            for attempt in list(self.runner.running.values()):
                self.runner.hand_back(attempt)
            await self._wait_until_idle(self.timings.abandon_s * 2)
        try:
            async with asyncio.timeout(self.timings.drain_s):
                await self.settles.flush()
        except TimeoutError:
            _log.error("%d outcomes could not be recorded before the end", len(self.settles.unsettled_ids()))

    async def _wait_until_idle(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                while not self.claims.idle:
                    await self.claims.place_freed()
        except TimeoutError:
            pass

    async def _cancel_tasks(self) -> None:
        for task in (*self._tasks, self._settling, self._claiming, self._suspecting):
            await self._cancel(task)

    async def _cancel(self, task: asyncio.Task[None]) -> None:
        while not task.done():  # again: Python 3.11's wait_for may swallow one
            task.cancel()
            await asyncio.wait({task}, timeout=1.0)

    async def _leave(self) -> None:
        """End the lease, unless something must be recorded by the guardian after this process's end."""
        if isinstance(self._failure, LeaseLost) or self.heart.buried:
            return
        await self.heart.stop()  # first: a beat that found no lease would mean that it was lost
        try:
            await self.database.rows("end_lease", worker_id=self.id, beat=None)
        except (DatabaseUnavailable, psycopg.Error) as error:
            _log.warning("the lease of worker %d is left to lapse: %s", self.id, error)


def _registration(task: Any) -> dict[str, Any]:
    settings = task.settings
    retention = settings.retention
    row = {
        "name": task.name,
        "queue": settings.queue,
        "priority": settings.priority,
        "max_attempts": settings.retry.attempts,
    }
    for state in ("succeeded", "failed", "cancelled"):
        keep = getattr(retention, state)
        row |= {f"{state}_age_s": keep.age.total_seconds(), f"{state}_count": keep.count}
    return row | {"aliases": settings.aliases, "secrets": task.secrets.as_json()}
