"""Synchronous code, and several event loops."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import pytest

from headrace import Headrace, Task

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Greet = Task[..., ..., str]


@pytest.fixture
def sync_app(database: str) -> Iterator[Headrace]:
    """An app that no event loop has seen."""
    app = Headrace(database)

    @app.task(name="greet")
    def greet(name: str = "you") -> str:
        return f"hello {name}"

    yield app
    app.close_sync()


def test_without_an_event_loop(sync_app: Headrace) -> None:
    """Enqueue, run, ask: all of it from plain functions."""
    greet = sync_app.find_task("greet")
    job = greet.enqueue_sync("Ada")
    jobs = sync_app.enqueue_many_sync(greet.job(str(n)) for n in range(10))
    sync_app.run_sync(sync_app.drain())
    assert sync_app.run_sync(job.result(5)) == "hello Ada"
    found = sync_app.run_sync(sync_app.find_jobs([job.id for job in jobs]))
    assert {info.result for info in found} == {f"hello {n}" for n in range(10)}


async def test_inside_an_event_loop(app: Headrace, greet: Greet) -> None:
    """Synchronous code that a coroutine calls (a signal, a property) can enqueue too."""
    job = greet.enqueue_sync("Ada")
    await app.drain()
    assert await job.result(5) == "hello Ada"


def test_many_threads(sync_app: Headrace, count: Callable[[], int]) -> None:
    """A web server's threads share the app."""
    greet = sync_app.find_task("greet")
    threads = [threading.Thread(target=greet.enqueue_sync) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert count() == 20


def test_closing_ends_the_app_s_own_thread(sync_app: Headrace) -> None:
    """No thread is left, and an app that is closed does not start one."""
    before = set(threading.enumerate())
    sync_app.find_task("greet").enqueue_sync()
    (own,) = [thread for thread in set(threading.enumerate()) - before if thread.name == "headrace"]
    sync_app.close_sync()
    own.join(20)
    assert not own.is_alive()


def test_one_event_loop_after_the_other(sync_app: Headrace) -> None:
    """An app that a test suite, or a script, uses in several `asyncio.run`s."""
    greet = sync_app.find_task("greet")

    async def enqueue_and_close() -> Any:
        job = await greet.enqueue()
        resources = sync_app._resources[asyncio.get_running_loop()]
        await resources.database.close()  # a loop that ends must not leave connections behind
        return job.id

    assert len({asyncio.run(enqueue_and_close()) for _ in range(3)}) == 3


def test_two_event_loops_at_once(sync_app: Headrace, count: Callable[[], int]) -> None:
    """Each has connections of its own."""
    greet = sync_app.find_task("greet")
    both = threading.Barrier(2)

    async def enqueue() -> None:
        await greet.enqueue()
        await asyncio.to_thread(both.wait, 20)
        await asyncio.gather(*(greet.enqueue() for _ in range(20)))
        await sync_app._resources[asyncio.get_running_loop()].database.close()

    threads = [threading.Thread(target=lambda: asyncio.run(enqueue())) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert count() == 42
