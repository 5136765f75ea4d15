"""Producers of headrace's own scenarios, in own processes: ``python -m bench.producers OPERATION URL FOLDER …``."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import psycopg

from bench import probe
from bench.peers.headrace import app, noop

LANES = 4
"""Enqueues at the same time, as many as the app has connections by default."""

REFILL_JOBS = 10_000
BACKLOG_JOBS = 50_000
LOOK_S = 0.05
GO_DEADLINE_S = 120.0


async def steady(folder: Path, jobs_per_s: int, seconds: float) -> dict[str, Any]:
    """Jobs at a fixed rate, whatever the server does: one a call, or all that are due where the calls fall behind."""
    returned: dict[int, int] = {}
    jobs = int(jobs_per_s * seconds)
    following = calls = 0
    began = time.monotonic()

    async def lane() -> None:
        nonlocal following, calls
        while (first := following) < jobs:
            due = int((time.monotonic() - began) * jobs_per_s)
            following = end = min(jobs, max(first + 1, due))
            await asyncio.sleep(max(0.0, began + first / jobs_per_s - time.monotonic()))
            await app.enqueue_many(noop.job(n) for n in range(first, end))
            returned.update(dict.fromkeys(range(first, end), time.monotonic_ns()))
            calls += 1

    async with asyncio.TaskGroup() as group:
        for _ in range(LANES):
            group.create_task(lane())
    probe.write_returned(folder, returned)
    return {"jobs_per_call": jobs / calls}


async def refill(folder: Path, jobs: int) -> dict[str, Any]:
    """Keeps a backlog before the workers until so many jobs have been enqueued."""
    enqueued = 0
    while enqueued < jobs:
        if enqueued - probe.read(folder)[1] > BACKLOG_JOBS - REFILL_JOBS:
            await asyncio.sleep(LOOK_S)
            continue
        count = min(REFILL_JOBS, jobs - enqueued)
        await app.enqueue_many(noop.job(n) for n in range(enqueued, enqueued + count))
        enqueued += count
    return {}


async def enqueuers(folder: Path, whose: str, connections: int, seconds: float) -> dict[str, Any]:
    """Many that enqueue one job after the other; counts from when the harness says go, all being connected by then."""
    count = 0

    async def loop(enqueue: Callable[[], Awaitable[Any]]) -> None:
        nonlocal count
        while True:
            await enqueue()
            count += 1

    async with asyncio.TaskGroup() as group:
        make = _own if whose == "own" else _in_transaction
        loops = [group.create_task(loop(await make())) for _ in range(connections)]
        await _until(lambda: count >= connections, "every connection has enqueued")
        (folder / f"ready.{os.getpid()}").touch()
        await _until((folder / "go").exists, "the harness says go")
        before, began = count, time.monotonic()
        await asyncio.sleep(seconds)
        commits_per_s = (count - before) / (time.monotonic() - began)
        for each in loops:
            each.cancel()
    return {"commits_per_s": commits_per_s}


async def _own() -> Callable[[], Awaitable[Any]]:
    return lambda: noop.enqueue(0)


async def _in_transaction() -> Callable[[], Awaitable[Any]]:
    conn = await psycopg.AsyncConnection.connect(os.environ["HEADRACE_URL"])
    task = noop.options(conn=conn)

    async def enqueue() -> None:
        async with conn.transaction():
            await conn.execute("insert into orders values (0)")
            await task.enqueue(0)

    return enqueue


async def _until(condition: Callable[[], bool], what: str) -> None:
    try:
        async with asyncio.timeout(GO_DEADLINE_S):
            while not condition():  # noqa: ASYNC110 - files tell no events
                await asyncio.sleep(0.01)
    except TimeoutError:
        raise TimeoutError(f"waited {GO_DEADLINE_S:g} s in vain until {what}") from None


async def produce(operation: str, folder: Path, words: list[str]) -> dict[str, Any]:
    """One of them, with an open app."""
    if operation == "enqueuers":
        app.max_connections = int(words[1])
    async with app:  # closed however it ends: psycopg's pool does not always let its loop end otherwise
        match operation:
            case "steady":
                return await steady(folder, int(words[0]), float(words[1]))
            case "refill":
                return await refill(folder, int(words[0]))
            case _:
                return await enqueuers(folder, words[0], int(words[1]), float(words[2]))


def main() -> None:
    operation, url, folder, *words = sys.argv[1:]
    os.environ["HEADRACE_URL"] = url
    print(json.dumps(asyncio.run(produce(operation, Path(folder), words))))


if __name__ == "__main__":
    main()
