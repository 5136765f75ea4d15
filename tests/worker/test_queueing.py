"""The order and the number of running jobs, waking up, and starting and stopping."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import psycopg
import pytest

from headrace import Headrace
from tests.worker.helpers import PATIENCE_S, timings, until, working

if TYPE_CHECKING:
    from tests.worker.helpers import Tables


async def test_larger_priority_first_then_oldest(app: Headrace) -> None:
    """With one place, jobs start by priority and, within one, in the order of their enqueueing."""
    order: list[int] = []

    @app.task
    async def notes(number: int) -> None:
        order.append(number)
        await asyncio.sleep(0)

    numbers = [(n, (n * 7) % 3) for n in range(60)]
    await app.enqueue_many(notes.options(priority=priority).job(n) for n, priority in numbers)
    await asyncio.wait_for(app.drain(timings=timings(), concurrency=1), PATIENCE_S)
    assert order == [n for n, _ in sorted(numbers, key=lambda pair: (-pair[1], pair[0]))]


async def test_one_place_means_one_at_a_time(app: Headrace) -> None:
    """Concurrency 1: no two overlap, in coroutines and threads, while another queue goes on beside it."""
    running: list[str] = []
    most = {"narrow": 0, "wide": 0}

    def enter(queue: str) -> None:
        running.append(queue)
        most[queue] = max(most[queue], running.count(queue))

    @app.task(queue="narrow")
    async def coroutine() -> None:
        enter("narrow")
        await asyncio.sleep(0.002)
        running.remove("narrow")

    @app.task(queue="narrow")
    def function() -> None:
        enter("narrow")
        time.sleep(0.002)
        running.remove("narrow")

    @app.task(queue="wide")
    async def wide() -> None:
        enter("wide")
        await asyncio.sleep(0.01)
        running.remove("wide")

    async with Headrace(app.url) as other:
        other.task(name=wide.name, queue="wide")(wide.handler)
        await app.enqueue_many(task.job() for _ in range(20) for task in (coroutine, function, wide))
        async with working(app, queues=["narrow"], concurrency=1), working(other, concurrency=50):
            await until(lambda: _empty(app), "all are done")
    assert most["narrow"] == 1
    assert most["wide"] > 1


async def _empty(app: Headrace) -> bool:
    return not await (await app.database()).value("has_work", queues=app.queue_names())


async def test_an_operator_changes_a_queues_places(app: Headrace, tables: Tables) -> None:
    """set_queue takes effect at run time: up, down (holders finish), to zero (a pause), and back to as started."""
    go_on = asyncio.Event()
    running = 0

    @app.task(queue="q")
    async def holds() -> None:
        nonlocal running
        running += 1
        try:
            await go_on.wait()
        finally:
            running -= 1

    async def set_places(places: int | None) -> None:
        database = await app.database()
        clear = ["concurrency"] if places is None else []
        await database.rows("set_queue", name="q", concurrency=places, max_queued=None, clear=clear)

    async with working(app, concurrency=2) as worker:
        await app.enqueue_many(holds.job() for _ in range(20))
        await until(lambda: running == 2, "as started")
        await set_places(5)
        await until(lambda: running == 5, "more")
        await set_places(0)
        await until(lambda: worker.claims.places == {"q": 0}, "the pause is known")
        go_on.set()
        await until(lambda: running == 0, "holders finish")
        assert tables.states() == {"succeeded": 5, "queued": 15}
        await worker.settings.round_done()
        assert tables.states() == {"succeeded": 5, "queued": 15}
        await set_places(None)
        await until(lambda: tables.unfinished() == 0, "all are done")
        assert worker.claims.places == {"q": 2}


async def test_a_pause_holds_for_suspects_too(app: Headrace) -> None:
    """A job that was running when a worker was lost is not started in a queue without places either."""
    started = []

    @app.task(queue="q")
    async def notes() -> None:
        started.append(1)

    async with working(app) as worker:
        database = await app.database()
        await database.rows("set_queue", name="q", concurrency=0, max_queued=None, clear=[])
        await until(lambda: worker.claims.places == {"q": 0}, "the pause is known")
        await worker.suspects.round_done()  # no claim from before the pause is on its way
        with psycopg.connect(app.url) as conn:
            notes.options(conn=conn).enqueue_sync()
            conn.execute("update headrace.job set suspicion = 1")
        await worker.suspects.round_done()
        assert started == []
        await database.rows("set_queue", name="q", concurrency=1, max_queued=None, clear=[])
        await until(lambda: started, "it runs after the pause")


async def test_a_notification_wakes_the_worker(app: Headrace) -> None:
    """An idle worker that would look only every 30 s starts an enqueued job, and cancels a running one, at once."""
    started = asyncio.Event()

    @app.task
    async def quick() -> int:
        return 1

    @app.task
    async def hangs() -> None:
        started.set()
        await asyncio.sleep(600)

    slow = timings(longest_poll_s=30.0, watch_s=30.0, promote_s=30.0, first_poll_s=30.0)
    async with working(app, timings=slow) as worker:
        await asyncio.wait_for(worker.listener.hearing.wait(), PATIENCE_S)
        for _ in range(5):
            began = time.monotonic()
            assert await (await quick.enqueue()).result(timeout=10) == 1
            assert time.monotonic() - began < 5
        job = await hangs.enqueue()
        await asyncio.wait_for(started.wait(), 10)
        await job.cancel()
        await until(lambda: _finished(app, job.id), "it is cancelled", 10)


async def _finished(app: Headrace, job_id: Any) -> bool:
    return (await app.find_job(job_id)).state.final


async def test_a_full_worker_claims_when_a_place_is_free(app: Headrace) -> None:
    """A place that becomes free is filled at once, not at the next look."""

    @app.task
    async def quick(n: int) -> int:
        return n

    jobs = await app.enqueue_many(quick.job(n) for n in range(50))
    async with working(app, concurrency=1, timings=timings(longest_poll_s=30.0, first_poll_s=30.0)):
        assert [await job.result(timeout=15) for job in jobs] == list(range(50))


async def test_two_workers_share_a_queue(app: Headrace, tables: Tables) -> None:
    """Each job is run by one of them, once."""
    runs: list[int] = []

    @app.task
    async def notes(n: int) -> None:
        runs.append(n)
        await asyncio.sleep(0.001)

    await app.enqueue_many(notes.job(n) for n in range(500))
    async with working(app, concurrency=10), working(app, concurrency=10):
        await until(lambda: tables.unfinished() == 0, "all are done")
    assert sorted(runs) == list(range(500))
    assert tables.value("select count(distinct worker_id) from headrace.job_history") == 2


def _own_state(others_threads: set[threading.Thread]) -> dict[str, Any]:
    gc.collect()
    me = psutil.Process()
    threads = set(threading.enumerate()) - others_threads
    return {
        "threads": sorted(t.name for t in threads if "headrace" in t.name or "pool" in t.name),
        "descriptors": len(list(Path("/proc/self/fd").iterdir())),
        "children": [c.pid for c in me.children(recursive=True) if c.status() != psutil.STATUS_ZOMBIE],
    }


@pytest.mark.parametrize("heartbeat", ["loop", "guardian"])
async def test_starting_and_stopping_leaks_nothing(app: Headrace, tables: Tables, heartbeat: str) -> None:
    """The same app's worker, started and stopped again and again.

    No task, thread, connection, child or file remains.
    """

    @app.task
    async def coroutine(n: int) -> int:
        return n

    @app.task
    def function(n: int) -> int:
        return n

    async def once() -> None:
        async with working(app, heartbeat=heartbeat):
            jobs = [await coroutine.enqueue(1), await function.enqueue(2)]
            assert [await job.result(timeout=PATIENCE_S) for job in jobs] == [1, 2]

    others_threads = set(threading.enumerate())
    await once()
    others = """select count(*) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()
                and backend_type = 'client backend'"""
    tasks = len(asyncio.all_tasks())
    before = await until(lambda: _settled_state(others_threads, tables.value(others)), "the first one is gone")
    for _ in range(20 if heartbeat == "loop" else 5):
        await once()
    await until(lambda: len(asyncio.all_tasks()) <= tasks, f"as many tasks as before: {asyncio.all_tasks()}")
    await until(
        lambda: _own_state(others_threads)["threads"] == before["threads"],
        f"no threads are left: {threading.enumerate()}",
    )
    await until(lambda: _own_state(others_threads)["children"] == before["children"], "no children are left")
    await until(lambda: tables.value(others) <= before["connections"], "no connections are left")
    assert _own_state(others_threads)["descriptors"] <= before["descriptors"] + 2
    assert tables.value("select count(*) from headrace.worker") == 0


def _settled_state(others_threads: set[threading.Thread], connections: int) -> dict[str, Any] | None:
    state = _own_state(others_threads)
    return state | {"connections": connections} if not state["threads"] else None
