"""Attempts that do not end by themselves: time-outs and cancelling, in coroutines, threads and processes."""

from __future__ import annotations

import asyncio
import threading
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from headrace import Context, Headrace, JobCancelled, JobFailed, Retry, State, WorkerError
from tests.worker import sample_app
from tests.worker.helpers import PATIENCE_S, gone, start_of, timings, until, working

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from headrace import Job
    from tests.worker.helpers import Tables

ONCE = Retry(attempts=1)
SHORT = timedelta(seconds=0.1)


async def failure(job: Job[Any]) -> dict[str, Any]:
    with pytest.raises(JobFailed) as failed:
        await job.result(timeout=PATIENCE_S)
    return failed.value.error


# -- coroutines --


async def test_a_coroutine_past_its_time_out_is_cancelled(app: Headrace) -> None:
    """Its finally blocks run, and the attempt fails as a time-out, which is retried like any failure."""
    cleaned = []

    @app.task(timeout=SHORT, retry=Retry(attempts=2, delay=timedelta(0)))
    async def hangs(ctx: Context) -> None:
        try:
            await asyncio.sleep(600)
        finally:
            cleaned.append(ctx.cancel_reason)

    job = await hangs.enqueue()
    async with working(app):
        error = await failure(job)
    assert (error["kind"], error["type"]) == ("timeout", "TimeoutError")
    assert [(a.outcome, (a.error or {})["kind"]) for a in await job.attempts()] == [("retried", "timeout")]
    assert len(cleaned) == 2
    assert "time-out" in str(cleaned[0])


async def test_a_coroutine_that_swallows_its_cancellation_is_abandoned(app: Headrace) -> None:
    """It is given up after a moment.

    Its place is free, its outcome recorded, and what it does later changes nothing.
    """
    released = asyncio.Event()
    ended = asyncio.Event()

    @app.task(timeout=SHORT, retry=ONCE)
    async def stubborn() -> str:
        while not released.is_set():
            try:
                await released.wait()
            except asyncio.CancelledError:
                continue
        ended.set()
        return "too late"

    @app.task
    async def next_one() -> int:
        return 1

    job = await stubborn.enqueue()
    async with working(app, concurrency=1) as worker:
        error = await failure(job)
        assert error["kind"] == "timeout"
        assert worker.runner.abandoned == 1
        assert await (await next_one.enqueue()).result(timeout=5) == 1
        released.set()
        await asyncio.wait_for(ended.wait(), 5)
    assert (await job.info()).state is State.FAILED


async def test_an_abandoned_coroutine_does_not_end_its_successor(app: Headrace) -> None:
    """Abandoned, it ends while the same job runs again in the same worker.

    The second run is settled as if nothing were.
    """
    first_may_end, second_may_end = asyncio.Event(), asyncio.Event()
    ended: list[int] = []

    @app.task(timeout=SHORT, retry=Retry(attempts=2, delay=timedelta(0)))
    async def stubborn(ctx: Context) -> int:
        gate = first_may_end if ctx.job.run == 1 else second_may_end
        while not gate.is_set():
            try:
                await gate.wait()
            except asyncio.CancelledError:
                if ctx.job.run == 2:
                    raise
        ended.append(ctx.job.run)
        return ctx.job.run

    @app.task
    async def next_one() -> int:
        return 1

    job = await stubborn.options(max_attempts=2).enqueue()
    async with working(app, concurrency=1, timings=timings(abandon_s=0.1)) as worker:
        await until(lambda: worker.runner.abandoned, "the first run is abandoned")
        stubborn_attempt = await until(lambda: list(worker.runner.running.values()), "the second run has begun")
        stubborn_attempt[0].timed_out = None
        second_may_end_soon = asyncio.get_running_loop().call_soon
        first_may_end.set()
        await until(lambda: 1 in ended, "the first run has ended")
        second_may_end_soon(second_may_end.set)
        await until(lambda: str(job.id) not in worker.runner.running, "the second run is over")
        error = None
        try:
            assert await job.result(timeout=5) == 2
        except JobFailed as failed:
            error = failed.error
        assert error is None or error["kind"] == "timeout"
        assert await (await next_one.enqueue()).result(timeout=5) == 1
    assert (await job.info()).run == 2


async def test_a_time_out_counts_from_the_start_of_the_handler(app: Headrace) -> None:
    """A job that waits for a thread is not running: it cannot time out there, and end its worker."""

    @app.task(timeout=timedelta(seconds=0.4), retry=ONCE)
    def takes_a_while(seconds: float) -> str:
        time.sleep(seconds)
        return "done"

    jobs = await app.enqueue_many(takes_a_while.job(0.25) for _ in range(4))
    async with working(app, threads=1):
        assert [await job.result(timeout=5) for job in jobs] == ["done"] * 4


async def test_a_soft_time_out_is_a_flag(app: Headrace) -> None:
    """After it `ctx.cancelled` is true with the reason; the handler decides, and may still succeed."""

    @app.task(soft_timeout=SHORT)
    async def coroutine(ctx: Context) -> str:
        await until(lambda: ctx.cancelled, "the flag")
        return str(ctx.cancel_reason)

    @app.task(soft_timeout=SHORT)
    def function(ctx: Context) -> str:
        while not ctx.cancelled:
            time.sleep(0.001)
        return str(ctx.cancel_reason)

    jobs = [await coroutine.enqueue(), await function.enqueue()]
    async with working(app):
        for job in jobs:
            assert "soft time-out of 0.1 s" in await job.result(timeout=5)


async def test_a_running_coroutine_is_cancelled_on_request(app: Headrace) -> None:
    """Somebody cancels the job: the coroutine gets CancelledError, and the job ends cancelled with the reason."""
    started = asyncio.Event()

    @app.task
    async def hangs() -> None:
        started.set()
        await asyncio.sleep(600)

    job = await hangs.enqueue()
    async with working(app):
        await asyncio.wait_for(started.wait(), 5)
        assert await job.cancel("changed my mind") == "requested"
        with pytest.raises(JobCancelled, match="changed my mind"):
            await job.result(timeout=5)
    assert (await job.info()).attempts == 0


async def test_a_running_thread_is_asked_to_stop(app: Headrace) -> None:
    """A thread sees its flag.

    If it stops with an exception it is cancelled; if it returns after all, it has succeeded.
    """
    started = [threading.Event(), threading.Event()]

    @app.task
    def looks(ctx: Context, n: int) -> str:
        started[n].set()
        while not ctx.cancelled:
            time.sleep(0.001)
        if n:
            raise RuntimeError("stopping")
        return "finished anyway"

    returns, raises = [await looks.enqueue(n) for n in range(2)]
    async with working(app):
        await until(lambda: all(event.is_set() for event in started), "both run")
        for job in (returns, raises):
            assert await job.cancel("enough") == "requested"
        assert await returns.result(timeout=5) == "finished anyway"
        with pytest.raises(JobCancelled, match="enough"):
            await raises.result(timeout=5)


async def test_a_thread_that_still_waits_is_not_started_after_its_cancellation(app: Headrace) -> None:
    """Cancelled while it waits for a free thread, a job ends cancelled and its handler is never called."""
    release = threading.Event()
    called: list[int] = []

    @app.task
    def function(n: int) -> None:
        called.append(n)
        release.wait(PATIENCE_S)

    first, second = await function.enqueue(1), await function.enqueue(2)
    async with working(app, threads=1):
        await until(lambda: called and (str(second.id)), "the first runs")
        await until(lambda: _state(app, second, State.RUNNING), "the second is claimed")
        await second.cancel("no")
        try:
            with pytest.raises(JobCancelled):
                await second.result(timeout=3)
        finally:
            release.set()
        await first.result(timeout=5)
    assert called == [1]


async def _state(app: Headrace, job: Job[Any], state: State) -> bool:
    return (await app.find_job(job.id)).state is state


async def test_a_thread_past_its_time_out_costs_the_worker(app: Headrace, tables: Tables) -> None:
    """A thread cannot be ended: the worker drains, finishing the others, and fails in words so that it is replaced."""
    release = threading.Event()
    slow_may_end = asyncio.Event()

    @app.task(timeout=SHORT, retry=ONCE)
    def stuck() -> None:
        release.wait(PATIENCE_S)

    @app.task
    async def slow() -> int:
        await slow_may_end.wait()
        return 5

    job, other = await stuck.enqueue(), await slow.enqueue()
    worker = app.worker(heartbeat="loop", timings=timings())
    run = asyncio.create_task(worker.run())
    try:
        await start_of(worker, run)
        await until(lambda: tables.value("select draining from headrace.worker"), "the worker drains")
        later = await slow.enqueue()
        slow_may_end.set()
        with pytest.raises(WorkerError, match=str(job.id)):
            await asyncio.wait_for(run, PATIENCE_S)
        assert await other.result(timeout=5) == 5
        assert (await later.info()).state is State.QUEUED
    finally:
        release.set()


async def test_a_thread_that_runs_on_is_not_handed_back_as_unheld(app: Headrace, tables: Tables) -> None:
    """A worker in doubt about its last claim hands back what it does not hold: never a job whose thread still runs."""
    release = threading.Event()

    @app.task(timeout=SHORT, retry=ONCE)
    def stuck() -> None:
        release.wait(PATIENCE_S)

    rarely = timings(first_poll_s=60.0, longest_poll_s=60.0, watch_s=60.0)
    job = await stuck.enqueue()
    worker = app.worker(heartbeat="loop", timings=rarely, listen=False)
    run = asyncio.create_task(worker.run())
    try:
        await start_of(worker, run)
        await until(lambda: _state(app, job, State.RUNNING), "it runs")
        worker.claims._doubt = True  # as if the claim after it had been cut off
        with pytest.raises(WorkerError):
            await asyncio.wait_for(run, PATIENCE_S)
        assert tables.outcomes(job.id) == []
    finally:
        release.set()


# -- processes --

pytest_process = pytest.mark.process


@pytest.fixture
async def processes(database: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Headrace]:
    """The sample app in this process, importable by children."""
    async with sample_app.make_app(database) as app:
        monkeypatch.setattr(sample_app, "app", app)
        yield app


async def grandchild_of(job: Job[Any]) -> int:
    """The pid that with_grandchild reported."""
    progress = await until(lambda: _progress(job), "the grandchild runs")
    return int(progress["done"])


async def _progress(job: Job[Any]) -> dict[str, Any] | None:
    return (await job.info()).progress


@pytest_process
async def test_a_process_past_its_time_out_is_killed_with_all_it_started(processes: Headrace) -> None:
    """Hard time-out: the handler's process group is gone, and the attempt fails as a time-out."""
    job = await processes.tasks["late_grandchild"].enqueue()
    async with working(processes):
        pid = await grandchild_of(job)
        error = await failure(job)
        assert error["kind"] == "timeout"
        await until(lambda: gone(pid), "the grandchild is gone")


@pytest_process
async def test_a_cancelled_process_is_killed_with_all_it_started(processes: Headrace) -> None:
    """Cancel: the group is gone, and the job ends cancelled with the reason; the next job gets a new process."""
    job = await processes.tasks["with_grandchild"].enqueue()
    async with working(processes, processes=1):
        pid = await grandchild_of(job)
        await job.cancel("stop it")
        with pytest.raises(JobCancelled, match="stop it"):
            await job.result(timeout=PATIENCE_S)
        await until(lambda: gone(pid), "the grandchild is gone")
        assert (await (await processes.tasks["compute"].enqueue(4)).result(timeout=PATIENCE_S))["number"] == 4


@pytest_process
async def test_a_process_above_its_memory_limit_is_killed(processes: Headrace) -> None:
    """The attempt fails with the reason."""
    job = await processes.tasks["hoard"].enqueue(400)
    async with working(processes):
        error = await failure(job)
    assert error["kind"] == "memory"
    assert "200 MiB" in error["message"]


@pytest_process
async def test_what_a_process_reports_is_bounded_and_clean(processes: Headrace) -> None:
    """Numbers that JSON lacks, NUL, half a surrogate pair, a line of megabytes: the attempt succeeds all the same."""
    job = await processes.tasks["report_oddly"].enqueue()
    async with working(processes, processes=1):
        assert await job.result(timeout=PATIENCE_S) == "done"
    assert (await job.info()).progress == {"done": 0.0, "total": None, "message": "half\ufffdway"}
    (line,) = await job.logs()
    assert len(line.message) <= 4000


@pytest_process
async def test_a_process_that_ends_fails_its_attempt_with_the_reason(processes: Headrace) -> None:
    """os._exit, a signal, sys.exit and an exception are told apart, and the next attempt gets a new process."""
    crash = processes.tasks["crash"].options(max_attempts=1)
    jobs = {how: await crash.enqueue(how) for how in ("exit", "kill", "leave another", "sys.exit", "raise")}
    again = await processes.tasks["die_once"].enqueue()
    async with working(processes, processes=1):
        errors = {how: await failure(job) for how, job in jobs.items()}
        assert await again.result(timeout=PATIENCE_S) == 2
    assert (errors["exit"]["kind"], errors["kill"]["kind"]) == ("process", "process")
    assert "exited with status 3" in errors["exit"]["message"]
    assert "SIGKILL" in errors["kill"]["message"]
    assert "SIGKILL" in errors["leave another"]["message"]
    assert errors["sys.exit"]["type"] == "SystemExit"
    assert errors["raise"]["type"] == "ValueError"
    assert [(a.outcome, (a.error or {})["kind"]) for a in await again.attempts()] == [("retried", "process")]


@pytest_process
async def test_an_idle_process_that_was_killed_harms_nobody(processes: Headrace) -> None:
    """A child that died while it waited for work (the system was out of memory, say) costs the next job nothing."""
    compute = processes.tasks["compute"]
    async with working(processes, processes=1):
        first = await (await compute.enqueue(1)).result(timeout=PATIENCE_S)
        psutil.Process(first["pid"]).kill()
        await until(lambda: not psutil.pid_exists(first["pid"]), "it is gone")
        second = await compute.enqueue(2)
        assert (await second.result(timeout=PATIENCE_S))["number"] == 2
        assert await second.attempts() == []


@pytest_process
async def test_a_soft_time_out_reaches_the_process(processes: Headrace) -> None:
    """The flag crosses the pipe while the handler computes."""
    job = await processes.tasks["soft"].enqueue()
    async with working(processes):
        assert "soft time-out" in await job.result(timeout=PATIENCE_S)


@pytest_process
async def test_process_jobs_that_wait_are_handed_back_unstarted(processes: Headrace, tables: Tables) -> None:
    """At a drain's deadline jobs that wait for a process go back at once, and none is started in its place."""
    task = processes.tasks["with_grandchild"]
    jobs = [await task.enqueue() for _ in range(3)]
    before = {p.pid for p in psutil.Process().children(recursive=True)}
    async with working(processes, processes=1, timings=timings(drain_s=0.1)):
        pid = await grandchild_of(jobs[0])
    assert gone(pid)
    states = [(await job.info()).state for job in jobs]
    assert states == [State.QUEUED] * 3
    assert [tables.outcomes(job.id) for job in jobs] == [["handed_back"]] * 3
    assert tables.value("select count(*) from headrace.job_progress where run = 1") <= 1
    left = {p.pid for p in psutil.Process().children(recursive=True) if p.name() == "sleep"} - before
    assert not left
