"""Running jobs for the length of a request."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

from headrace import Headrace, Retry, State

if TYPE_CHECKING:
    import httpx


async def test_it_runs_what_is_queued(client: httpx.AsyncClient, app: Headrace) -> None:
    """All that is queued runs, and nothing is left."""
    jobs = await app.enqueue_many(app.find_task("add").job(a=n) for n in range(25))
    answer = (await client.post("run-once")).json()
    assert answer == {"claimed": 25, "outcomes": {"succeeded": 25}, "more": False}
    assert [await job.result(1) for job in jobs] == [n + 1 for n in range(25)]


async def test_it_claims_no_more_than_it_may(client: httpx.AsyncClient, app: Headrace) -> None:
    """However many queues there are, and however often it is called, no more jobs are claimed than asked for."""
    await app.enqueue_many(app.find_task("add").job(a=n) for n in range(25))
    await app.enqueue_many(app.find_task("add").options(queue="brittle").job(a=n) for n in range(5))
    answers = [(await client.post("run-once", json={"max_jobs": 7, "concurrency": 4})).json() for _ in range(5)]
    assert [answer.get("claimed", answer) for answer in answers] == [7, 7, 7, 7, 2]
    assert [answer["more"] for answer in answers] == [True] * 4 + [False]


async def test_what_is_unfinished_is_handed_back(client: httpx.AsyncClient, app: Headrace) -> None:
    """At the end of the budget a job is queued again, and has spent no attempt."""
    started = asyncio.Event()

    @app.task(name="endless", retry=Retry(attempts=1))
    async def endless() -> None:
        started.set()
        await asyncio.Event().wait()

    job = await endless.enqueue()
    answer = (await client.post("run-once", json={"budget_s": 5})).json()
    assert started.is_set()
    assert answer == {"claimed": 1, "outcomes": {"handed_back": 1}, "more": True}
    info = await job.info()
    assert (info.state, info.attempts, info.run) == (State.QUEUED, 0, 1)


async def test_a_thread_is_waited_for(client: httpx.AsyncClient, app: Headrace) -> None:
    """A function in a thread goes on past the budget, under its lease, and its outcome is recorded: it runs once."""
    started, gate, calls = threading.Event(), threading.Event(), []

    @app.task(name="blocking", retry=Retry(attempts=1))
    def blocking() -> str:
        calls.append(1)
        started.set()
        gate.wait(30)
        return "done"

    job = await blocking.enqueue()
    request = asyncio.create_task(client.post("run-once", json={"budget_s": 3}))
    assert await asyncio.to_thread(started.wait, 30)
    other = await client.post("run-once")
    assert other.status_code == 409
    done, _ = await asyncio.wait({request}, timeout=3 + 2.5)  # past the budget, and past what coroutines are given
    assert not done
    assert (await job.info()).state == State.RUNNING
    gate.set()
    assert (await request).json() == {"claimed": 1, "outcomes": {"succeeded": 1}, "more": False}
    assert await job.result(1) == "done"
    assert calls == [1]
