"""Workers that are killed while they do an operation."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from headrace import Retry
from tests.worker.helpers import until, working

if TYPE_CHECKING:
    from collections.abc import Callable

    from headrace import Headrace, Operation
    from tests.worker.helpers import Tables, WorkerProcess

JOBS = 6000
FAILED = """
    insert into headrace.job_history (id, state, retention, bounded, finished_at, claimed_at, created_at, worker_id, run, priority,
                                      attempts, max_attempts, queue, task, args)
    select headrace.uuid7(), 'failed', 'long', false, now() - make_interval(secs => n / 100.0), now() - interval '2 hours',
           now() - interval '2 hours', 1, 1, 0, 1, 1, 'nobody', 'nothing', '{}'
    from generate_series(1, %s) n"""


@pytest.mark.process
async def test_a_killed_worker_s_operation_is_gone_on_with(
    app: Headrace, tables: Tables, start_worker: Callable[..., WorkerProcess]
) -> None:
    """Killed with SIGKILL between or in chunks, three times over: each job is done once, none is left out, the count is right."""
    tables.rows(FAILED, JOBS)
    operation = await app.operations.start("state:failed", "retry", by="a", undo=timedelta(0))

    async def done() -> int:
        return (await app.operations.get(operation.id)).done

    for kill in range(1, 4):
        worker = start_worker()
        seen = await until(partial(reached, done, 500 * kill), "some chunks are done")
        worker.kill()
        assert seen < JOBS, "it was over before the worker was killed"
        tables.rows("update headrace.operation set taken_until = now()")  # ten seconds later
    worker = start_worker()
    over = await until(lambda: finished(app, operation.id), "it is done")
    assert (over.state, over.done, over.skipped, over.failed) == ("finished", JOBS, 0, 0)
    counts = (
        "select count(*), count(distinct job_id), min(run), max(run) from headrace.attempt where outcome = 'failed'"
    )
    assert tables.rows(counts) == [(JOBS, JOBS, 1, 1)]
    assert tables.rows("select count(*) from headrace.job where queue = 'nobody' and state = 'queued'") == [(JOBS,)]


async def finished(app: Headrace, number: int) -> Operation | None:
    """The operation, if it is over."""
    operation = await app.operations.get(number)
    return operation if operation.over else None


async def reached(done: Callable[[], Any], least: int) -> int:
    """How many are done, if it is as many as this."""
    count = await done()
    return int(count) if count >= least else 0


async def test_a_worker_does_operations_beside_its_jobs(app: Headrace, tables: Tables) -> None:
    """What is retried in bulk runs."""
    attempts = []

    @app.task(name="fragile", queue="q", retry=Retry(attempts=1))
    async def fragile(n: int) -> None:
        attempts.append(n)
        if len(attempts) <= 10:
            raise ValueError(n)

    await app.enqueue_many(fragile.job(n) for n in range(10))
    async with working(app):
        await until(lambda: count(tables, "failed") == 10, "all have failed")
        operation = await app.operations.start("state:failed task:fragile", "retry", by="a", undo=timedelta(0))
        await until(lambda: count(tables, "succeeded") == 10, "all have succeeded")
        over = await until(lambda: finished(app, operation.id), "it is done")
    assert over.done == 10
    assert sorted(attempts[10:]) == list(range(10))


def count(tables: Tables, state: str) -> int:
    """How many jobs have finished like this."""
    ((found,),) = tables.rows(
        "select count(*) from headrace.job_history where state = %s::text::headrace.job_state", state
    )
    return int(found)
