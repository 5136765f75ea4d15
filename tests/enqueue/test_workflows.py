"""Starting workflows and adding to them, on our own connection and on every kind that callers have."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from headrace import (
    Batch,
    Headrace,
    QueueFull,
    ResultTimeout,
    State,
    Task,
    Workflow,
    WorkflowFailed,
    WorkflowNotFound,
    WorkflowOver,
    chain,
    group,
    previous,
)
from tests.enqueue.connections import ASYNC, SYNC

if TYPE_CHECKING:
    from collections.abc import Callable

    Greet = Task[..., ..., str]
    Ask = Callable[..., list[tuple[Any, ...]]]


async def test_a_workflow_is_started_whole(app: Headrace, greet: Greet, rows: Ask) -> None:
    """All jobs, or none: one that is refused leaves nothing behind."""
    rows("insert into headrace.queue (name, max_queued) values ('small', 0)")
    with pytest.raises(QueueFull):
        await app.start(group(greet.job(), greet.options(queue="small").job()))
    assert rows("select count(*) from headrace.workflow") == rows("select count(*) from headrace.job") == [(0,)]
    started = await app.start(chain(greet.job(), greet.job(previous())))
    info = await started.info()
    assert (info.state, info.queued, info.blocked, info.total, info.done) == (State.RUNNING, 1, 1, 2, 0)
    assert [(node.state, node.task) for node in await started.nodes()] == [("queued", "greet"), ("blocked", "greet")]
    (job,) = [await app.find_job(node.id) for node in await started.nodes() if node.parents]
    assert (job.workflow_id, job.blocked_by) == (started.id, "parents")


async def test_the_same_workflow_is_started_once(app: Headrace, greet: Greet, rows: Ask) -> None:
    """So a start whose answer was lost can be repeated."""
    flow = chain(greet.job(), greet.job())
    assert (await app.start(flow)).id == (await app.start(flow)).id
    assert rows("select count(*) from headrace.job") == [(2,)]


@pytest.mark.parametrize("kind", SYNC)
def test_in_a_synchronous_caller_s_transaction(database: str, rows: Ask, kind: str) -> None:
    """Nobody sees it before the caller commits; a rollback leaves nothing."""
    app = Headrace(database)

    @app.task(name="greet")
    def greet(name: str = "you") -> str:
        return name

    wf = Workflow("ü %s :x", on_finished=greet.job("%(y)s :z"))
    wf.add("a 'quoted' %", greet.job()).add("b", greet.job(previous()), after="a 'quoted' %")
    with SYNC[kind](database) as conn:
        app.start_sync(wf, conn=conn)
        assert rows("select count(*) from headrace.workflow") == [(0,)]
        conn.commit()
    assert rows("select count(*) from headrace.job") == [(2,)]
    assert rows("select name from headrace.workflow") == [("ü %s :x",)]
    with SYNC[kind](database) as conn:
        app.start_sync(group(greet.job()), conn=conn)
        conn.rollback()
    assert rows("select count(*) from headrace.job") == [(2,)]
    app.close_sync()


@pytest.mark.parametrize("kind", ASYNC)
async def test_in_an_asynchronous_caller_s_transaction(
    app: Headrace, greet: Greet, database: str, rows: Ask, kind: str
) -> None:
    """The start and an addition are the caller's to commit; refusals come in our words, whatever the driver."""
    over = await app.start(group(greet.job()))
    await over.cancel()
    async with ASYNC[kind](database) as caller:
        started = await app.start(group(greet.job()), conn=caller.conn)
        await started.add(greet.job("later"), chain(greet.job(), greet.job()), conn=caller.conn)
        assert rows("select count(*) from headrace.workflow") == [(1,)]
        await caller.commit()
    assert (await started.info()).queued == 1
    await app.drain()
    info = await started.wait(10)
    assert (info.state, info.succeeded) == (State.SUCCEEDED, 4)
    async with ASYNC[kind](database) as caller:
        with pytest.raises(WorkflowOver, match=r"is finished|is cancelled"):
            await over.add(greet.job(), conn=caller.conn)


async def test_results_travel_from_job_to_job(app: Headrace, greet: Greet) -> None:
    """Of a job, of a group as a list, of named nodes; they are validated where they arrive."""

    @app.task(name="join")
    async def join(words: list[str], sep: str = " ") -> str:
        return sep.join(words)

    flow = group(greet.job("a"), chain(greet.job("b"), greet.job(previous()))).then(join.job(previous(), "+"))
    by_name = Workflow("named").add("a", greet.job("x")).add("pair", group(greet.job("y"), greet.job("z")))
    by_name.add("both", join.job(by_name.result("pair"), sep=by_name.result("a")))
    by_name.add("alone", greet.job())
    wrong = chain(greet.job(), join.job(previous()))
    started = [await app.start(it) for it in (flow, by_name, group(greet.job("1"), greet.job("2")), wrong)]
    await app.drain()
    assert await started[0].result(5) == "hello a+hello hello b"
    assert await started[1].result(5) == {"both": "hello yhello xhello z", "alone": "hello you"}
    assert await started[2].result(5) == ["hello 1", "hello 2"]
    with pytest.raises(WorkflowFailed, match="of 2 jobs 1 succeeded, 1 failed and 0 were cancelled") as failed:
        await started[3].result(5)
    assert failed.value.info.failed == 1
    (error,) = [node.error for node in await started[3].nodes() if node.error]
    assert 'argument "words": input should be a valid array' in error


async def test_a_failed_parent_s_result_is_none(app: Headrace, greet: Greet) -> None:
    """Under `continue`, jobs after one that failed run, and find None in its place."""

    @app.task(name="fail", retry=None)
    async def fail() -> str:
        from headrace import Fail

        raise Fail("no")

    @app.task(name="show")
    async def show(words: list[str | None]) -> list[str | None]:
        return words

    after = show.job(previous())
    started = await app.start(Workflow("w", group(greet.job(), fail.job()).then(after), policy="continue"))
    await app.drain()
    info = await started.wait(5)
    assert (info.state, info.failed, info.succeeded) == (State.FAILED, 1, 2)
    assert (await app.find_job(after.id)).result == ["hello you", None]


async def test_a_batch_grows_from_inside(app: Headrace, rows: Ask) -> None:
    """A job adds others to its own batch, which does not finish before they have; the callback runs once, at the end."""
    done: list[str] = []

    @app.task(name="count_down")
    async def count_down(n: int) -> int:
        from headrace import current_context

        workflow_id = current_context().job.workflow_id
        assert workflow_id is not None
        if n:
            await app.workflow(workflow_id).add(count_down.job(n - 1), count_down.job(n - 1))
        done.append("counted")
        return n

    @app.task(name="report")
    async def report() -> None:
        from headrace import current_context

        workflow_id = current_context().job.workflow_id
        assert workflow_id is not None
        info = await app.find_workflow(workflow_id)
        done.append(f"{info.state} {info.succeeded}")

    started = await app.start(Batch([count_down.job(4)], name="b", on_success=report.job(), on_failure=report.job()))
    await app.drain()
    assert done == ["counted"] * 31 + ["succeeded 31"]
    assert rows("select count(*) from headrace.workflow_change") == [(0,)]
    with pytest.raises(WorkflowOver, match="is finished"):
        await started.add(count_down.job(1))


async def test_cancel_and_retry(app: Headrace, greet: Greet) -> None:
    """All of it is cancelled at once, and what was cancelled runs when it is retried."""
    started = await app.start(chain(greet.job("a"), greet.job(previous())))
    assert await started.cancel("not now") == "cancelled"
    assert [node.error for node in await started.nodes()] == ["not now"] * 2
    with pytest.raises(WorkflowFailed, match="was cancelled"):
        await started.result(5)
    assert len(await started.retry()) == 2
    with pytest.raises(ResultTimeout):
        await started.wait(0.01)
    await app.drain()
    assert await started.result(5) == "hello hello a"
    assert await started.cancel() == "finished"
    assert await started.retry() == []


async def test_a_workflow_that_is_not_there(app: Headrace, greet: Greet) -> None:
    """Is said so, in words."""
    nobody = app.workflow("01a20612-2238-7290-adfa-8326ac4bc2c4")
    for ask in (nobody.info, nobody.nodes, nobody.wait):
        with pytest.raises(WorkflowNotFound, match="it never existed, or finished too long ago"):
            await ask()
    with pytest.raises(WorkflowNotFound):
        app.workflow("x")
    with pytest.raises(WorkflowOver, match="there is no workflow"):
        await nobody.add(greet.job())
    assert await nobody.cancel() == "unknown"


async def test_ten_thousand_nodes_in_one_call(app: Headrace, greet: Greet, rows: Ask) -> None:
    """Well within the seconds that a caller may wait; and its progress is one row."""
    started = await asyncio.wait_for(app.start(group(greet.job() for _ in range(9_999)).then(greet.job())), 20)
    assert rows("select queued, blocked from headrace.workflow") == [(9_999, 1)]
    assert len(await started.nodes()) == 10_000
    await started.cancel()
