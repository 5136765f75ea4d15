"""Queues, the workers that serve them, and what they run: as the app tells it."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from headrace import ConfigurationError, Context, Headrace, UnknownQueue
from tests.worker.helpers import Tables, until, working

if TYPE_CHECKING:
    from headrace import QueueInfo


async def queue_of(app: Headrace, name: str) -> QueueInfo:
    """One queue."""
    return next(queue for queue in await app.list_queues() if queue.name == name)


async def test_queues_are_told_with_their_jobs_and_pauses(app: Headrace) -> None:
    """Jobs by state, since when the oldest could run, settings, and the pause that counts: its own before that of all."""

    @app.task(name="t", queue="a")
    async def task() -> None: ...

    (first, *_) = await app.enqueue_many([task.job() for _ in range(3)])
    await app.enqueue_many([task.options(delay=timedelta(hours=1)).job() for _ in range(2)])
    queue = await queue_of(app, "a")
    assert (queue.queued, queue.running, queue.scheduled, queue.blocked, queue.complete) == (3, 0, 2, 0, True)
    assert queue.oldest_at == (await first.info()).run_at
    assert (queue.workers, queue.places, queue.pause) == (0, 0, None)
    await app.pause(reason="all")
    assert (await queue_of(app, "a")).pause == (await app.list_pauses())[0]
    await app.pause("a", reason="own")
    assert (pause := (await queue_of(app, "a")).pause) is not None
    assert pause.reason == "own"


async def test_settings_change_what_is_given(app: Headrace) -> None:
    """What is not given stays, None takes back; what makes no sense is refused, and an unknown queue named."""

    @app.task(name="t", queue="mail")
    async def task() -> None: ...

    await task.enqueue()
    await app.set_queue("mail", concurrency=2, max_queued=50)
    await app.set_queue("mail", concurrency=None)
    queue = await queue_of(app, "mail")
    assert (queue.concurrency, queue.max_queued) == (None, 50)
    with pytest.raises(UnknownQueue, match='Did you mean "mail"'):
        await app.set_queue("mial", concurrency=1)
    with pytest.raises(ConfigurationError, match="negative"):
        await app.set_queue("mail", concurrency=-1)
    with pytest.raises(ConfigurationError, match="no setting"):
        await app.set_queue("mail", places=1)


async def test_beyond_what_is_looked_at_the_last_sample_counts(
    app: Headrace, tables: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Numbers that are not exact say so; without a sample they are the least that there can be."""

    @app.task(name="t", queue="long")
    async def task() -> None: ...

    monkeypatch.setattr("headrace._app.asking.LOOKED_AT", 4)
    await app.enqueue_many([task.job() for _ in range(9)])
    queue = await queue_of(app, "long")
    assert (queue.queued, queue.complete) == (4, False)
    tables.rows(
        "insert into headrace.queue_sample (step, start_at, queue, samples, queued, running, scheduled, blocked, queued_max, "
        "running_max, scheduled_max, blocked_max, oldest_s_max) "
        "values ('minute', date_trunc('minute', now()), 'long', 1, 9, 0, 0, 0, 9, 0, 0, 0, 1)"
    )
    queue = await queue_of(app, "long")
    assert (queue.queued, queue.complete) == (9, False)


async def test_workers_and_what_they_run(app: Headrace) -> None:
    """Who holds a lease, how many places it has, and its jobs with their progress; then an operator drains it."""
    gate = asyncio.Event()

    @app.task(name="slow", queue="q")
    async def slow(ctx: Context) -> None:
        ctx.progress(3, 10, "of ten")
        await gate.wait()

    async with working(app, concurrency=5) as worker:
        job = await slow.options(tenant="acme").enqueue()

        async def with_progress() -> bool:
            return any(one.progress for one in await app.list_running())

        await until(with_progress, "it runs, and says how far it is")
        (running,) = await app.list_running()
        assert (running.id, running.task, running.worker_id, running.run) == (job.id, "slow", worker.id, 1)
        assert running.progress == {"done": 3, "total": 10, "message": "of ten"}
        assert await app.list_running(tenant="globex") == []
        (info,) = await app.list_workers()
        assert (info.id, info.queues, info.places, info.state) == (worker.id, {"q": 5}, 5, "running")
        queue = await queue_of(app, "q")
        assert (queue.running, queue.workers, queue.places) == (1, 1, 5)
        assert await app.drain_worker(worker.id)
        assert not await app.drain_worker(worker.id + 1000)
        await until(worker.stopping.is_set, "the worker notices")
        assert (await app.list_workers())[0].state == "draining"
        gate.set()
    assert (await job.info()).state == "succeeded"
