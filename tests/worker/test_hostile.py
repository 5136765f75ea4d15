"""What a hostile reviewer broke once: each was a job that stopped others, or never ended."""

from __future__ import annotations

import asyncio
import os
import signal
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from headrace import ConfigurationError, Context, Fail, Headrace, InvalidArguments, JobFailed, JobNotFound, Snooze
from headrace._worker.settles import MAX_BATCH_CHARS, Settles
from headrace.job import Unique
from tests.worker.helpers import PATIENCE_S, gone, until, working
from tests.worker.proxy import Proxy

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.worker.helpers import Tables, WorkerProcess

LONG = "x" * 9000


@pytest.mark.parametrize("options", [{"queue": LONG}, {"tenant": LONG}, {"unique": LONG}, {"unique": 7}])
async def test_names_that_no_index_holds_are_refused(app: Headrace, options: dict[str, Any]) -> None:
    """Before they reach the database: one in the line would stop the promotion of everybody's scheduled jobs."""

    @app.task
    async def nothing() -> None: ...

    with pytest.raises(ConfigurationError, match=r"9000 bytes|must be a string"):
        nothing.options(delay=timedelta(seconds=1), **options)
    with pytest.raises(ConfigurationError, match="9000 bytes"):
        Unique(LONG)
    with pytest.raises(ConfigurationError, match="9000 bytes"):
        app.task(name=LONG)(lambda: None)


async def test_sql_clients_are_refused_too(app: Headrace, tables: Tables) -> None:
    """Names of any kind, and times that no clock reaches."""
    for arguments in (
        f"'{LONG}'",
        f"'t', queue => '{LONG}'",
        f"'t', unique_key => '{LONG}'",
        f"'t', tenant => '{LONG}'",
    ):
        with pytest.raises(Exception, match="a name is too long"):
            tables.rows(f"select headrace.enqueue({arguments})")
    with pytest.raises(Exception, match="must be finite"):
        tables.rows("select headrace.enqueue('t', run_at => 'infinity')")


async def test_outcomes_whose_classes_raise_end_their_attempts(app: Headrace) -> None:
    """The job fails with the reason; its place is free again."""

    class Later(Snooze):
        def __init__(self) -> None:
            pass

    class Unreadable:
        def __str__(self) -> str:
            raise RuntimeError("no")

    @app.task
    async def snoozes() -> None:
        raise Later

    @app.task
    def fails() -> None:
        raise Fail(Unreadable())  # type: ignore[arg-type]

    async with working(app) as worker:
        for task in (snoozes, fails):
            with pytest.raises(JobFailed):
                await (await task.enqueue()).result(PATIENCE_S)
        assert not worker.runner.running


async def test_a_snooze_beyond_all_time_is_a_long_one(app: Headrace) -> None:
    """`timedelta.max` from now on is no timestamp."""

    @app.task
    async def snoozes() -> None:
        raise Snooze(timedelta.max)

    async with working(app):
        job = await snoozes.enqueue()
        await until(lambda: _is(job, "scheduled"), "it is scheduled")


async def _is(job: Any, state: str) -> bool:
    return bool((await job.info()).state == state)


async def test_an_outage_makes_no_suspects(
    app: Headrace, tables: Tables, start_worker: Callable[..., WorkerProcess], tmp_path: Path
) -> None:
    """A worker that is ended because the database was away hands its jobs back: outages do not count (ENGINE 28)."""

    @app.task(name="hold")
    async def hold(path: str) -> None: ...

    await hold.enqueue(str(tmp_path / "gate"))
    for number in range(1, 4):
        async with Proxy(app.url) as proxy:
            worker = start_worker(url=proxy.url)
            await until(lambda: [x for x in worker.lines if x.startswith("HOLDING")], "the job runs")  # noqa: B023
            guardian = worker.guardian()
            proxy.hold()
            await until(worker.process.poll, "the worker is ended")
            proxy.release()
            await until(lambda: tables.states() == {"queued": 1}, "the guardian returns the job")
            await until(lambda: gone(guardian.pid), "the guardian ends")  # noqa: B023
        assert tables.rows("select run, suspicion, attempts from headrace.job") == [(number, 0, 0)]


def test_a_forked_child_enqueues(database: str) -> None:
    """After its parent has: the parent's thread and connections are not there (gunicorn --preload)."""
    app = Headrace(database)

    @app.task
    def nothing() -> None: ...

    nothing.enqueue_sync()
    child = os.fork()
    if child == 0:
        signal.alarm(int(PATIENCE_S))
        try:
            nothing.enqueue_sync()
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    nothing.enqueue_sync()
    app.close_sync()


async def test_a_batch_is_bounded_in_size(app: Headrace) -> None:
    """1,000 large results are not one statement."""

    @app.task
    async def large(ctx: Context) -> str:
        return "x" * 200_000

    async with working(app, concurrency=200) as worker:
        taken: list[int] = []
        take = worker.settles.take

        def watched() -> list[Any]:
            batch = take()
            taken.append(sum(len(settle.result or "") for settle in batch))
            return batch

        worker.settles.take = watched  # type: ignore[method-assign]
        jobs = await app.enqueue_many(large.job() for _ in range(100))
        await asyncio.gather(*(job.result(PATIENCE_S) for job in jobs))
        assert isinstance(worker.settles, Settles)
        assert max(taken) <= MAX_BATCH_CHARS + 200_002


async def test_a_clock_that_is_ahead_is_refused(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ids would carry its time, and look-ups miss their jobs."""
    monkeypatch.setattr("headrace._store.database.MAX_CLOCK_AHEAD", timedelta(days=-1))
    with pytest.raises(ConfigurationError, match="ahead of the database's"):
        await Headrace(database).open()


async def test_what_is_no_job_is_refused_in_words(app: Headrace) -> None:
    """Ids, tasks and times of the wrong kind."""

    @app.task
    async def nothing() -> None: ...

    with pytest.raises(JobNotFound, match="zzz"):
        await app.find_job("zzz")
    with pytest.raises(ConfigurationError, match=r"task\.job"):
        await app.enqueue_many([nothing])  # type: ignore[list-item]
    with pytest.raises(ConfigurationError, match="delay must be"):
        nothing.options(delay="1h")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="timeout must be a timedelta"):
        app.task(name="late", timeout=5)(lambda: None)  # type: ignore[call-overload]
    with pytest.raises(ConfigurationError, match="generator"):

        @app.task
        def yields() -> Any:
            yield 1

    with pytest.raises(InvalidArguments):
        await nothing.enqueue(1)  # type: ignore[call-arg]


async def test_a_worker_whose_guardian_is_stuck_finds_its_lease_gone(
    app: Headrace, tables: Tables, start_worker: Callable[..., WorkerProcess]
) -> None:
    """It claims nothing without a lease, so it says so and ends, instead of idling for ever."""
    worker = start_worker(timings={"lease_s": 1.0}).ready()
    guardian = worker.guardian()
    guardian.suspend()
    tables.rows("delete from headrace.worker")
    assert worker.end() == 1
    guardian.kill()
    worker.wait_for("FAILED LeaseLost")


async def test_an_operators_open_transaction_holds_up_no_other_jobs(app: Headrace, tables: Tables) -> None:
    """A running job that somebody cancels and does not commit: the worker's other outcomes are recorded meanwhile (ENGINE 8)."""
    may_end, held = asyncio.Event(), asyncio.Event()

    @app.task
    async def long() -> None:
        held.set()
        await may_end.wait()

    @app.task
    async def short() -> None: ...

    async with working(app) as worker:
        job = await long.enqueue()
        await held.wait()
        with psycopg.connect(tables.url) as operator:
            operator.execute("select headrace.cancel_jobs(array[%s]::uuid[], 'not yet')", [job.id])
            may_end.set()
            await until(lambda: str(job.id) in worker.settles.unsettled_ids(), "the long job has ended")
            await (await short.enqueue()).result(timeout=PATIENCE_S)
            assert str(job.id) in worker.settles.unsettled_ids()
            operator.rollback()
        await job.result(timeout=PATIENCE_S)
