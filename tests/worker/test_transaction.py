"""`ctx.transaction()`: the handler's writes and the job's success happen together, exactly once (promise 6.

ENGINE 29).
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from headrace import Context, Headrace, JobFailed, LeaseLost, Retry, State
from tests.worker import sample_app
from tests.worker.helpers import PATIENCE_S, timings, until, working
from tests.worker.proxy import Proxy

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from headrace.task import Task
    from tests.worker.helpers import Tables

ONCE = Retry(attempts=1)
COMMIT = b"COMMIT\x00"  # as the protocol has it: the comments of our statements mention it too
INSERT = "insert into effect values (%s, %s, %s)"


@pytest.fixture
def writing(app: Headrace, tables: Tables) -> dict[str, Task[..., ..., Any]]:
    """One task for each executor of this process: writes inside the block, and misbehaves as told."""

    async def coroutine(ctx: Context, how: str = "") -> str:
        ctx.set_result("set")
        ctx.log("in the handler")
        async with ctx.transaction() as conn:
            await conn.execute(INSERT, [ctx.job.id, ctx.job.run, "async"])
            if how == "raise":
                raise ValueError("inside")
        if how == "raise after":
            raise ValueError("after")
        return "too late"

    def function(ctx: Context, how: str = "") -> str:
        ctx.set_result("set")
        ctx.log("in the handler")
        with ctx.transaction() as conn:
            conn.execute(INSERT, [ctx.job.id, ctx.job.run, "thread"])
            if how == "raise":
                raise ValueError("inside")
        if how == "raise after":
            raise ValueError("after")
        return "too late"

    return {
        "async": app.task(name="coroutine", retry=ONCE)(coroutine),
        "thread": app.task(name="function", retry=ONCE)(function),
    }


async def drain(app: Headrace) -> None:
    """Work everything off. Nothing is reported now and then: what a block does not write itself is not written."""
    await asyncio.wait_for(app.drain(timings=timings(report_s=60.0)), PATIENCE_S)


def effects(tables: Tables) -> list[str]:
    return [row[0] for row in tables.rows("select what from effect")]


@pytest.mark.parametrize("executor", ["async", "thread"])
async def test_effects_and_success_commit_together(
    app: Headrace, tables: Tables, writing: dict[str, Task[..., ..., Any]], executor: str
) -> None:
    """The block records the success with the result that was set; the return value comes too late, logs do not."""
    job = await writing[executor].enqueue()
    await drain(app)
    assert await job.result(timeout=5) == "set"
    assert effects(tables) == [executor]
    assert [line.message for line in await job.logs()] == ["in the handler"]


@pytest.mark.parametrize("executor", ["async", "thread"])
async def test_an_exception_in_the_block_rolls_back(
    app: Headrace, tables: Tables, writing: dict[str, Task[..., ..., Any]], executor: str
) -> None:
    """Nothing that was written remains, and the attempt fails with the exception."""
    job = await writing[executor].enqueue("raise")
    await drain(app)
    with pytest.raises(JobFailed, match="inside"):
        await job.result(timeout=5)
    assert effects(tables) == []


@pytest.mark.parametrize("executor", ["async", "thread"])
async def test_an_exception_after_the_block_is_only_logged(
    app: Headrace,
    tables: Tables,
    writing: dict[str, Task[..., ..., Any]],
    executor: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The job has succeeded in its transaction; what follows cannot change that, and is not silent either."""
    job = await writing[executor].enqueue("raise after")
    await drain(app)
    assert await job.result(timeout=5) == "set"
    assert effects(tables) == [executor]
    assert any(str(job.id) in r.getMessage() and r.levelname == "ERROR" for r in caplog.records)


@pytest.mark.parametrize("executor", ["async", "thread"])
async def test_nothing_commits_without_the_lease(app: Headrace, tables: Tables, executor: str) -> None:
    """An attempt that is somebody else's by the end of its block raises LeaseLost, and its writes are gone."""
    inside, go_on, raised = asyncio.Event(), asyncio.Event(), []
    loop = asyncio.get_running_loop()

    async def coroutine(ctx: Context) -> None:
        try:
            async with ctx.transaction() as conn:
                await conn.execute(INSERT, [ctx.job.id, ctx.job.run, f"run {ctx.job.run}"])
                if ctx.job.run == 1:
                    inside.set()
                    await go_on.wait()
        except LeaseLost as error:
            raised.append(str(error))
            raise

    def function(ctx: Context) -> None:
        try:
            with ctx.transaction() as conn:
                conn.execute(INSERT, [ctx.job.id, ctx.job.run, f"run {ctx.job.run}"])
                if ctx.job.run == 1:
                    loop.call_soon_threadsafe(inside.set)
                    asyncio.run_coroutine_threadsafe(go_on.wait(), loop).result(PATIENCE_S)
        except LeaseLost as error:
            raised.append(str(error))
            raise

    task = app.task(name="contested")(coroutine if executor == "async" else function)
    job = await task.enqueue()
    async with working(app):
        await asyncio.wait_for(inside.wait(), PATIENCE_S)
        # As a rescue does it: the job is in the line again, and the next claim is run 2.
        tables.rows("update headrace.job set state = 'queued', worker_id = 0, position = position")
        async with Headrace(app.url) as other_app:
            other_app.task(name="contested")(task.handler)
            await drain(other_app)
        go_on.set()
        await until(lambda: raised, "LeaseLost is raised")
    assert effects(tables) == ["run 2"]
    assert "run 1 was taken back" in raised[0]
    assert (await job.info()).run == 2


async def test_a_cancelled_attempt_commits_nothing(app: Headrace, tables: Tables) -> None:
    """Cancelled while its block ends, but before the fence: the writes roll back with it, and the job is not a success.

    The block's end waits for log lines to be written; that is where the cancellation strikes.
    """
    tables.rows("""
        create function slow() returns trigger language plpgsql as
        $$ begin perform pg_advisory_xact_lock_shared(42); return new; end $$;
        create trigger slow before insert on headrace.job_log for each statement execute function slow()
    """)
    tables.rows("select pg_advisory_lock(42)")

    @app.task(retry=ONCE)
    async def writes(ctx: Context) -> None:
        async with ctx.transaction() as conn:
            await conn.execute(INSERT, [ctx.job.id, ctx.job.run, "unfenced"])
            ctx.log("about to commit")

    job = await writes.enqueue()
    async with working(app):
        await until(
            lambda: tables.value("select count(*) from pg_stat_activity where wait_event = 'advisory'"),
            "the block's end waits for its reports",
        )
        await job.cancel("not needed")
        await until(
            lambda: tables.value("select count(*) from headrace.job where state = 'running'") == 0 or effects(tables),
            "the attempt ends",
        )
        tables.rows("select pg_advisory_unlock(42)")
        await until(lambda: tables.unfinished() == 0, "the job is settled")
    info = await job.info()
    assert (info.state, effects(tables)) == (State.CANCELLED, [])


async def test_used_twice_is_refused(app: Headrace, tables: Tables) -> None:
    """A second block of the same attempt is refused: the job has succeeded already."""
    refused = []

    @app.task
    async def twice(ctx: Context) -> None:
        async with ctx.transaction():
            pass
        try:
            ctx.transaction()
        except Exception as error:  # noqa: BLE001
            refused.append(str(error))

    job = await twice.enqueue()
    await drain(app)
    await job.result(timeout=5)
    assert "can be used once" in refused[0]


@pytest.mark.parametrize("executor", ["async", "thread"])
@pytest.mark.parametrize("committed", [True, False])
async def test_a_lost_answer_to_commit_is_resolved_by_asking(
    database: str, tables: Tables, executor: str, committed: bool
) -> None:
    """The connection breaks at COMMIT, before or after it took effect: the effect is there exactly once in the end."""
    async with Proxy(database) as proxy, Headrace(proxy.url) as app:

        async def coroutine(ctx: Context) -> None:
            async with ctx.transaction() as conn:
                await conn.execute(INSERT, [ctx.job.id, ctx.job.run, "once"])
                if ctx.job.run == 1:
                    proxy.cut_at(COMMIT, forward=committed)

        def function(ctx: Context) -> None:
            with ctx.transaction() as conn:
                conn.execute(INSERT, [ctx.job.id, ctx.job.run, "once"])
                if ctx.job.run == 1:
                    proxy.cut_at(COMMIT, forward=committed)

        task = app.task(name="writes", retry=sample_app.AT_ONCE)(coroutine if executor == "async" else function)
        job = await task.enqueue()
        await drain(app)
        assert proxy.cut.is_set()
        await job.result(timeout=5)
        assert effects(tables) == ["once"]
        info = await job.info()
        assert (info.run, info.attempts) == ((1, 1) if committed else (2, 2))


@pytest.fixture
async def processes(database: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Headrace]:
    """The sample app in this process, importable by children."""
    async with sample_app.make_app(database) as app:
        monkeypatch.setattr(sample_app, "app", app)
        yield app


@pytest.mark.process
async def test_in_process_tasks(processes: Headrace, tables: Tables, caplog: pytest.LogCaptureFixture) -> None:
    """The same in a child process: success together, roll-back inside, only logged after the block; logs are kept."""
    task = processes.tasks["process_transaction"].options(max_attempts=1)
    fine, inside, after = [await task.enqueue(how) for how in ("", "raise", "raise after")]
    async with working(processes, processes=1):
        assert await fine.result(timeout=20) is None
        with pytest.raises(JobFailed, match="inside"):
            await inside.result(timeout=20)
        assert await after.result(timeout=20) is None
    done = {str(row[0]) for row in tables.rows("select job_id from effect")}
    assert done == {str(fine.id), str(after.id)}
    assert len(effects(tables)) == 2
    for job in (fine, after):
        assert [line.message for line in await job.logs()] == ["in the process"]
    assert any(str(after.id) in r.getMessage() and r.levelname == "ERROR" for r in caplog.records)


async def test_progress_of_a_fenced_success_is_kept(app: Headrace, tables: Tables) -> None:
    """What was reported before the block ended is in the history, and no progress row is left behind."""

    @app.task
    async def works(ctx: Context) -> None:
        ctx.progress(1, 2)
        async with ctx.transaction():
            ctx.progress(2, 2, "done")

    job = await works.enqueue()
    await drain(app)
    assert (await job.info()).progress == {"done": 2, "total": 2, "message": "done"}
    assert tables.value("select count(*) from headrace.job_progress") == 0
