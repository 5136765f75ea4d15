"""Workflows with real workers: killed between a settle and what follows it, many at once, and large ones."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from headrace import Batch, Context, Headrace, State, Workflow, chain, group, previous
from headrace._worker.advances import EVER_S, Advances
from tests.worker import sample_app
from tests.worker.helpers import WorkerProcess, timings, until, working

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.worker.helpers import Tables

    StartWorker = Callable[..., WorkerProcess]


def declare(app: Headrace) -> dict[str, Any]:
    """Tasks of each kind of executor."""

    @app.task(name="number")
    async def number(n: int) -> int:
        return n

    @app.task(name="total")
    def total(numbers: list[int]) -> int:
        return sum(numbers)

    @app.task(name="fenced")
    async def fenced(ctx: Context, n: int) -> None:
        ctx.set_result(n + 1)
        async with ctx.transaction():
            pass

    return {"number": number, "total": total, "fenced": fenced}


async def test_a_workflow_runs_within_milliseconds_of_its_parts(app: Headrace) -> None:
    """Each step follows the one before it without waiting for the sweep, which here would come after an hour."""
    tasks = declare(app)
    async with working(app, timings=timings(sweep_s=3600)):
        flow = chain(
            group(tasks["number"].job(n) for n in range(20)),
            tasks["total"].job(previous()),
            tasks["fenced"].job(previous()),
            tasks["number"].job(previous()),
        )
        assert await (await app.start(flow)).result(20) == sum(range(20)) + 1


async def test_two_workers_share_many_workflows(app: Headrace, tables: Tables) -> None:
    """A hundred diamonds run on two workers at once: all succeed, each job ran once, nothing is left to reckon."""
    tasks = declare(app)
    number, total = tasks["number"], tasks["total"]
    async with working(app), working(app):
        started = [
            await app.start(chain(number.job(n), group(number.job(previous()), number.job(1)), total.job(previous())))
            for n in range(100)
        ]
        assert [await it.result(60) for it in started] == [n + 1 for n in range(100)]
    assert tables.value("select count(*) from headrace.job_history where run = 1") == 400
    assert tables.value("select count(*) from headrace.workflow_change") == 0


async def test_large_results_travel(app: Headrace) -> None:
    """A result as large as results may be is an argument like any other."""

    @app.task(name="blob")
    async def blob(size: int) -> str:
        return "ü" * size

    @app.task(name="measure")
    async def measure(blobs: list[str]) -> list[int]:
        return [len(it) for it in blobs]

    flow = group(blob.job(100_000) for _ in range(20)).then(measure.job(previous()))
    started = await app.start(flow)
    await app.drain()
    assert await started.result(20) == [100_000] * 20


@pytest.mark.process
async def test_results_reach_process_tasks(database: str, start_worker: StartWorker) -> None:
    """The child process gets its arguments whole."""
    async with sample_app.make_app(database) as app:
        start_worker().ready()
        compute = app.tasks["compute_async"]
        assert await (await app.start(chain(compute.job(7), compute.job(previous())))).result(30) == 7


@pytest.mark.process
async def test_a_worker_that_is_killed_leaves_its_workflows_to_others(
    database: str, tables: Tables, start_worker: StartWorker
) -> None:
    """Workers are killed again and again while batches and chains run: everything ends, and each callback ran once."""
    async with sample_app.make_app(database) as app:
        effect, instant = app.tasks["at_least_once"], app.tasks["instant"]
        options: dict[str, Any] = {"timings": {"poison_limit": 100, "sweep_s": 0.2}, "concurrency": 20}
        workers = [start_worker(**options).ready() for _ in range(2)]
        started = []
        for n in range(10):
            flow = chain(
                instant.job(), group(effect.job(i) for i in range(50)), group(effect.job(i) for i in range(20))
            )
            callback = effect.options(metadata={"callback": n}).job(n)
            started.append(await app.start(Workflow(f"w{n}", flow, on_success=callback)))
        for kill in range(4):
            await until(lambda: tables.unfinished() <= 710 - (kill + 1) * 120, "work goes on", 60)  # noqa: B023
            workers[kill % 2].kill()
            workers[kill % 2] = start_worker(**options)
        infos = [await it.wait(90) for it in started]
        assert {(info.state, info.succeeded, info.total) for info in infos} == {(State.SUCCEEDED, 71, 71)}
        await until(lambda: tables.unfinished() == 0, "callbacks have run")
        called = tables.rows(
            "select metadata, count(*) from headrace.job_history where metadata is not null group by 1"
        )
        assert sorted((it["callback"], n) for it, n in called) == [(n, 1) for n in range(10)]
        early = tables.value("""
            select count(*) from headrace.dependency d
            join headrace.job_history p on p.id = d.parent join headrace.job_history c on c.id = d.child
            where c.claimed_at < p.finished_at""")
        assert early == 0


async def test_the_sweep_finishes_what_a_dead_worker_began(app: Headrace, tables: Tables) -> None:
    """A worker recorded an end and died before anything else: another one, which never saw the job, goes on with it."""
    number = declare(app)["number"]
    started = await app.start(chain(number.job(1), number.job(2)))
    tables.rows("""
        with gone as (delete from headrace.job where state = 'queued' returning id)
        insert into headrace.workflow_change (workflow_id, job_id, state, at)
        select workflow_id, job_id, 'succeeded', now() - interval '1 hour' from headrace.workflow_node join gone on id = job_id""")
    async with working(app):
        info = await started.wait(20)
    assert (info.state, info.succeeded) == (State.SUCCEEDED, 2)


async def test_a_workflow_that_cannot_be_advanced_stops_no_other(
    app: Headrace, tables: Tables, caplog: pytest.LogCaptureFixture
) -> None:
    """One whose callback the database refuses is logged, once, and tried again; its neighbours go on."""
    number = declare(app)["number"]
    bad = await app.start(Batch([number.job(1)], on_finished=number.job(1)))
    tables.rows("""update headrace.workflow set callbacks = '{"on_finished": {"task": ""}}'""")
    async with working(app):
        good = [await app.start(chain(number.job(n), number.job(n))) for n in range(5)]
        assert [await it.result(20) for it in good] == list(range(5))
        assert (await bad.info()).state is State.RUNNING
        said = await until(lambda: [r for r in caplog.records if "cannot be advanced" in r.message], "it is said")
        assert [str(bad.id) in record.message for record in said] == [True]
        tables.rows("update headrace.workflow set callbacks = null where callbacks is not null")
        assert (await bad.wait(20)).state is State.SUCCEEDED


async def test_busy_workflows_are_tried_again_soon(app: Headrace, tables: Tables) -> None:
    """A workflow that somebody holds is tried again after milliseconds, not after the sweep's second."""
    number = declare(app)["number"]
    started = await app.start(chain(number.job(1), number.job(2)))
    clock = [0.0]
    advances = Advances(await app.database(), timings(sweep_s=1.0), clock=lambda: clock[0])
    assert await advances.advance() == pytest.approx(1.0)
    advances.ended(str(started.id))
    with tables.conn.transaction():
        tables.rows("select from headrace.workflow for no key update")
        waits = [await advances.advance() for _ in range(4)]
    assert waits == [0.005, 0.01, 0.02, 0.04]
    assert await advances.advance() == pytest.approx(1.0)
    assert EVER_S > 86_400 * 365


@pytest.mark.process
async def test_ten_thousand_out_and_in(database: str, tables: Tables, start_worker: StartWorker) -> None:
    """A job, ten thousand after it, and one after all of them: with two workers, and counts that are right all the time."""
    async with sample_app.make_app(database) as app:
        instant = app.tasks["instant"]
        for _ in range(2):
            start_worker().ready()
        flow = chain(instant.job(), group(instant.job() for _ in range(10_000)), instant.job())
        started = await app.start(flow)
        running = asyncio.create_task(started.wait(120))
        while not running.done():
            info = await started.info()
            assert info.total == 10_002
            await asyncio.wait({running}, timeout=0.05)
        info = running.result()
        assert (info.state, info.succeeded) == (State.SUCCEEDED, 10_002)
        assert tables.unfinished() == 0
        took = tables.value("select extract(epoch from finished_at - created_at) from headrace.workflow")
        print(f"10,002 jobs in {took:.2f} s")
