"""The life of a claimed job, in one place: `Runner.live`.

A coroutine handler runs inside the attempt's own asyncio Task, which starts eagerly where Python can (3.12+): a handler
that never waits costs no trip through the event loop, and one that does is an ordinary Task, so that time-outs and
cancellation work as everywhere. The attempt's context variables are its Task's.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from headrace._worker.attempt import TIMED_OUT
from headrace._worker.fenced import Fenced, HandlerConnections
from headrace._worker.running import call_through, complete_arguments, read_arguments, unwrap_outcome
from headrace._worker.steps import Steps
from headrace.context import Context, _current
from headrace.errors import DatabaseUnavailable, InvalidArguments
from headrace.middleware import overriding

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from headrace._store.database import Database
    from headrace._worker.advances import Advances
    from headrace._worker.attempt import Attempt, Settle
    from headrace._worker.heart import Heart
    from headrace._worker.processes import Processes
    from headrace._worker.reports import Reports
    from headrace._worker.settles import Settles
    from headrace._worker.step_store import StepStore
    from headrace._worker.threads import Threads
    from headrace._worker.timings import Timings
    from headrace.app import Headrace
    from headrace.task import Task, TaskSettings

_log = logging.getLogger("headrace.attempt")
_EAGER = sys.version_info >= (3, 12)


def of(attempt: Attempt) -> dict[str, object]:
    """What a log record carries of the attempt that it is about, for formatters."""
    return {"headrace_job": attempt.describe}


class AttemptReporter:
    """Carries what a context says to the worker."""

    __slots__ = ("_attempt", "_runner")

    def __init__(self, runner: Runner, attempt: Attempt) -> None:
        self._runner = runner
        self._attempt = attempt

    def progress(self, done: float, total: float | None, message: str | None) -> None:
        self._runner.reports.progress(self._attempt, done, total, message)

    def log(self, level: str, message: str) -> None:
        self._runner.reports.log(self._attempt, level, message)

    def transaction(self, session: Any) -> Fenced:
        runner = self._runner
        return Fenced(
            self._attempt,
            runner.worker_id,
            runner.connections,
            session,
            runner.reports.write,
            runner.reports.write_from_thread,
        )

    def set_result(self, value: Any) -> None:
        self._attempt.result = self._attempt.succeeded(value).result

    def hide(self, text: str) -> str:
        return self._attempt.hide(text)

    def steps(self) -> Steps:
        return Steps(self._attempt, self._runner.worker_id, self._runner.step_store, self._runner.connections)


class Runner:
    """Runs attempts, and keeps those that run.

    Attributes:
        running: Attempts that are not over, by job id.
        buried: Jobs whose threads run on, to be recorded after this process's end.
        abandoned: How many coroutines went on after their cancellation and were given up.
        stuck: Called when a thread runs on past its hard time-out: this process must be replaced.
        advances: Hears which workflows' jobs have ended.
    """

    def __init__(
        self,
        app: Headrace,
        database: Database,
        worker_id: int,
        settles: Settles,
        reports: Reports,
        connections: HandlerConnections,
        step_store: StepStore,
        threads: Threads,
        processes: Processes,
        heart: Heart,
        timings: Timings,
        provided: dict[type, Any],
        ended: Callable[[Attempt], None],
        advances: Advances,
    ) -> None:
        self.app = app
        self.advances = advances
        self.worker_id = worker_id
        self.reports = reports
        self.connections = connections
        self.step_store = step_store
        self.running: dict[str, Attempt] = {}
        self.buried: list[str] = []
        self.abandoned = 0
        self.stuck: Callable[[Attempt], None] = lambda _: None
        self._database = database
        self._settles = settles
        self._threads = threads
        self._processes = processes
        self._heart = heart
        self._timings = timings
        self._provided = provided
        self._ended = ended
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._around = overriding(app.middlewares, "run")
        self._told = overriding(app.middlewares, "on_end")

    def start(self, attempt: Attempt) -> None:
        """Let an attempt live; returns when it waits for the first time, or is over."""
        self.running[attempt.id] = attempt
        task = self._spawn(self.live(attempt))
        if not task.done():
            attempt.asyncio_task = task
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        if _EAGER:
            return asyncio.Task(coroutine, loop=self._loop, eager_start=True)  # type: ignore[call-arg]
        return self._loop.create_task(coroutine)

    async def live(self, attempt: Attempt) -> None:
        """The life of a claimed job: resolve, read, run, decide, settle."""
        settle: Settle | None
        try:
            if attempt.expired:
                settle = attempt.cancelled("expired", "it was not started before its `expires`")
            else:
                task = attempt.job_task = self.app.find_task(attempt.task_name)
                settle = await self._run(task, attempt)
        except BaseException as error:  # noqa: BLE001 - whatever ends an attempt is an outcome
            settle = attempt.ended_by(error)
        if settle is not None and settle.error is not None:
            self._log_ending(attempt, settle)
        self._end(attempt, settle)

    async def _run(self, task: Task[..., ..., Any], attempt: Attempt) -> Settle | None:
        if attempt.packed is None:
            try:
                attempt.packed = await self._read_payload(attempt)
            except DatabaseUnavailable:
                return attempt.handed_back()  # not the handler's fault
        if attempt.extras is not None and attempt.has_inputs:
            try:
                attempt.packed = await self._read_inputs(attempt)
            except DatabaseUnavailable:
                return attempt.handed_back()
        if task.settings.executor == "process":
            attempt.on_cancel = partial(self._cancel, attempt)  # while it waits for a process
            return await self._processes.run(attempt)
        context = attempt.context = Context(attempt.describe, AttemptReporter(self, attempt))
        values = read_arguments(task, attempt.packed)
        args, kwargs = complete_arguments(task, values, context, self._provided)
        if task.settings.executor == "thread":
            attempt.on_cancel = partial(self._cancel, attempt)  # while it waits for a thread
            async with self._threads.places:
                attempt.on_cancel = None
                return await self._execute(task, attempt, context, args, kwargs)
        return await self._execute(task, attempt, context, args, kwargs)

    async def _execute(
        self, task: Task[..., ..., Any], attempt: Attempt, context: Context, args: list[Any], kwargs: dict[str, Any]
    ) -> Settle:
        settings = task.settings
        if settings.executor == "async":
            attempt.on_cancel = partial(self._cancel, attempt)
        timers = self._set_timers(settings, attempt) if settings.timeout_s or settings.soft_timeout_s else ()
        attempt.started = True
        if self._told:
            attempt.began_s = time.perf_counter()
        _current.set(context)  # for middlewares, and what is logged of the attempt's end
        try:
            if self._around:
                returned = await call_through(self._around, context, lambda: self._call(task, context, args, kwargs))
            elif settings.executor == "async":  # as in _call, without its coroutine
                returned = unwrap_outcome(await task.handler(*args, **kwargs))
            else:
                returned = await self._call(task, context, args, kwargs)
            return attempt.succeeded(returned)
        finally:
            for timer in timers:
                timer.cancel()

    async def _read_payload(self, attempt: Attempt) -> str:
        packed: str | None = await self._database.value("read_payload", id=attempt.id)
        if packed is None:
            raise InvalidArguments("the arguments of this job are gone: their payload was deleted")
        return packed

    async def _read_inputs(self, attempt: Attempt) -> str:
        """All arguments, with those that are results of other jobs."""
        rows = await self._database.rows("read_inputs", id=attempt.id)
        known = json.loads(attempt.packed or "{}")
        return json.dumps(known | {name: json.loads(value) for name, value in rows}, ensure_ascii=False)

    async def _call(self, task: Task[..., ..., Any], context: Context, args: list[Any], kwargs: dict[str, Any]) -> Any:
        if task.settings.executor == "thread":
            return await self._threads.run(context, task.handler, args, kwargs)
        return unwrap_outcome(await task.handler(*args, **kwargs))

    def _end(self, attempt: Attempt, settle: Settle | None) -> None:
        if self.running.get(attempt.id) is not attempt:
            return  # abandoned or buried: settled elsewhere, and perhaps running again
        del self.running[attempt.id]
        self.reports.forget(attempt)
        if self._told:
            self._tell_end(attempt, settle)
        if attempt.settled:
            if settle is not None and settle.outcome != "succeeded":
                _log.error(
                    "job %s had succeeded in its transaction; what came after it is only logged",
                    attempt.id,
                    extra=of(attempt),
                )
            if (workflow_id := attempt.workflow_id) is not None:
                self.advances.ended(workflow_id)
        elif settle is not None:
            if attempt.extras is not None:
                self.advances.expect(attempt.id, attempt.workflow_id)
            self._settles.add(settle)
        self._ended(attempt)

    def _tell_end(self, attempt: Attempt, settle: Settle | None) -> None:
        ending = attempt.ending(settle)
        for middleware in self._told:
            try:
                middleware.on_end(ending)
            except Exception:  # noqa: BLE001 - whatever it was, the attempt ends
                _log.exception("%r: on_end of job %s failed", middleware, attempt.id, extra=of(attempt))

    def _log_ending(self, attempt: Attempt, settle: Settle) -> None:
        # What is stored, not the exception: that is bounded and clean, and its own methods may raise.
        if settle.outcome in ("retried", "failed", "parked"):
            level = logging.INFO if settle.outcome == "retried" else logging.WARNING
            _log.log(
                level, "job %s of task %s, attempt %d: %s: %s",
                attempt.id, attempt.task_name, attempt.attempts + 1, settle.outcome,
                _summary(json.loads(settle.error)) if settle.error else "", extra=of(attempt),
            )  # fmt: skip

    # -- ending what does not end by itself --

    def _set_timers(self, settings: TaskSettings, attempt: Attempt) -> list[asyncio.TimerHandle]:
        timers = []
        if settings.soft_timeout_s is not None:
            reason = f"soft time-out of {settings.soft_timeout_s:g} s"
            timers.append(self._loop.call_later(settings.soft_timeout_s, self._ask_to_stop, attempt, reason))
        if settings.timeout_s is not None:
            timers.append(self._loop.call_later(settings.timeout_s, self._time_out, attempt, settings.timeout_s))
        return timers

    def _ask_to_stop(self, attempt: Attempt, reason: str) -> None:
        if attempt.context is not None and attempt.context.cancel_reason is None:
            attempt.context.cancel_reason = reason

    def _time_out(self, attempt: Attempt, timeout_s: float) -> None:
        attempt.timed_out = f"{TIMED_OUT} of {timeout_s:g} s"
        if attempt.context is not None:
            attempt.context.cancel_reason = attempt.timed_out  # it weighs more than the soft one
        if attempt.on_cancel is not None:
            attempt.on_cancel()
            return
        if not self._heart.outlives:
            return  # what it returns counts
        # A thread cannot be stopped. Its outcome is recorded when this process, and so the thread, is gone.
        _log.error(
            "job %s of task %s runs in a thread and is past its time-out of %g s: this worker drains and is replaced",
            attempt.id, attempt.task_name, timeout_s, extra=of(attempt),
        )  # fmt: skip
        self._bury(attempt, attempt.ended_by(TimeoutError()))
        self.stuck(attempt)

    def _cancel(self, attempt: Attempt) -> None:
        assert attempt.asyncio_task is not None  # it waits for something
        attempt.asyncio_task.cancel()
        self._loop.call_later(self._timings.abandon_s, self._abandon, attempt, attempt.asyncio_task)

    def _abandon(self, attempt: Attempt, task: asyncio.Task[Any]) -> None:
        if task.done() or self.running.get(attempt.id) is not attempt:
            return
        self.abandoned += 1
        _log.error(
            "job %s of task %s goes on %g s after it was cancelled and is given up: let CancelledError pass in it",
            attempt.id, attempt.task_name, self._timings.abandon_s, extra=of(attempt),
        )  # fmt: skip
        self._end(attempt, attempt.ended_by(asyncio.CancelledError()))

    def hand_back(self, attempt: Attempt) -> None:
        """Give a running job back at a drain's deadline."""
        attempt.handing_back = True
        self._ask_to_stop(attempt, "the worker shuts down")
        if attempt.on_cancel is not None:
            attempt.on_cancel()
        elif self._heart.outlives:
            self._bury(attempt, attempt.handed_back())

    def _bury(self, attempt: Attempt, settle: Settle) -> None:
        self.running.pop(attempt.id, None)
        self.buried.append(attempt.id)
        if self._told:
            self._tell_end(attempt, settle)
        self._heart.bury(settle)


def _summary(error: dict[str, str]) -> str:
    return ": ".join(error[name] for name in ("type", "message") if error.get(name))
