"""Threads take calls one after the other, and as many at once as there are threads when calls take their time."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest

from headrace._worker.threads import Places, Threads
from headrace.context import Context

SIZE = 12


@pytest.fixture
async def threads() -> AsyncIterator[Threads]:
    pool = Threads(SIZE)
    yield pool
    pool.close()


def call(threads: Threads, function: Any, *args: Any) -> asyncio.Task[Any]:
    async def in_place() -> Any:
        async with threads.places:
            return await threads.run(Context(lambda: None, None), function, list(args), {})  # type: ignore[arg-type, return-value]

    return asyncio.create_task(in_place())


async def test_as_many_calls_run_at_once_as_there_are_threads(threads: Threads) -> None:
    """Calls that wait for each other all run: nothing waits behind a call that takes its time."""
    together = threading.Barrier(SIZE, timeout=30)
    await asyncio.gather(*(call(threads, together.wait) for _ in range(SIZE)))


async def test_what_has_finished_is_told_while_a_long_call_follows(threads: Threads) -> None:
    """A short call's end is told though its thread has gone on to a long one."""
    end = threading.Event()
    short = [call(threads, int) for _ in range(3)]
    long = [call(threads, end.wait, 30) for _ in range(3)]
    assert await asyncio.wait_for(asyncio.gather(*short), 20) == [0, 0, 0]
    assert not any(task.done() for task in long)
    end.set()
    assert await asyncio.gather(*long) == [True] * 3


async def test_calls_after_a_rest_run(threads: Threads) -> None:
    """Threads that fell asleep are woken again, whenever that is."""
    for round_ in range(300):
        wait = asyncio.gather(*(call(threads, lambda n=n: n) for n in range(round_ % 4 + 1)))
        assert await asyncio.wait_for(wait, 20) == list(range(round_ % 4 + 1))


async def test_errors_come_out_where_the_call_is_awaited(threads: Threads) -> None:
    """Whatever a function raises is its caller's, and other calls go on."""

    def fail(error: type[BaseException]) -> None:
        raise error("so")

    with pytest.raises(ZeroDivisionError):
        await call(threads, fail, ZeroDivisionError)
    with pytest.raises(RuntimeError, match="StopIteration"):
        await call(threads, fail, StopIteration)
    assert await call(threads, int) == 0


async def test_closed_threads_end(threads: Threads) -> None:
    """All threads end when the pool is closed, those that sleep too."""
    together = threading.Barrier(SIZE, timeout=30)
    await asyncio.gather(*(call(threads, together.wait) for _ in range(SIZE)))
    mine = [thread for thread in threading.enumerate() if thread.name.startswith("headrace-task")]
    threads.close()
    for thread in mine:
        await asyncio.to_thread(thread.join, 20)
        assert not thread.is_alive()


async def test_places_are_given_in_order_and_not_lost_by_cancelling() -> None:
    """Who waits longest comes next; a place given to a caller that is cancelled at that moment goes to the next."""
    places = Places(1)
    order: list[int] = []

    async def take(number: int) -> None:
        async with places:
            order.append(number)

    async with places:
        waiting = [asyncio.create_task(take(number)) for number in range(4)]
        await asyncio.sleep(0)
        waiting[1].cancel()
    waiting[0].cancel()  # its place is given, and it has not come to know
    await asyncio.gather(*waiting, return_exceptions=True)
    assert order == [2, 3]
    async with places:
        pass
