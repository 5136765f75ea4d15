"""One operation of one peer in a process of its own: ``python -m bench.operation PEER URL KIND OPERATION [NUMBER]``."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from bench import peers, probe

if TYPE_CHECKING:
    from bench.peers.base import Peer

LATENCY_INTERVAL_S = 0.015


async def warm_up(peer: Peer) -> dict[str, Any]:
    await peer.enqueue(probe.WARM_UP)
    return {}


async def enqueue_one(peer: Peer, count: int) -> dict[str, Any]:
    peer.prepare(range(count))
    await peer.enqueue(0)
    started = time.perf_counter()
    for n in range(1, count):
        await peer.enqueue(n)
    seconds = time.perf_counter() - started
    return {"us_per_job": seconds / (count - 1) * 1e6}


async def enqueue_many(peer: Peer, count: int) -> dict[str, Any]:
    peer.prepare(range(count))
    started = time.perf_counter()
    await peer.enqueue_many(range(count))
    seconds = time.perf_counter() - started
    return {"jobs_per_s": count / seconds}


async def latency(peer: Peer, count: int) -> dict[str, Any]:
    """When each enqueue returned, on the clock that the workers' probe reads too."""
    returned: dict[int, int] = {}
    following = time.monotonic()
    for n in range(count):
        following += LATENCY_INTERVAL_S
        await asyncio.sleep(max(0.0, following - time.monotonic()))
        await peer.enqueue(n)
        returned[n] = time.monotonic_ns()
    return {"returned": returned}


ENQUEUES: dict[str, Callable[..., Coroutine[Any, Any, dict[str, Any]]]] = {
    "warm_up": warm_up,
    "enqueue_one": enqueue_one,
    "enqueue_many": enqueue_many,
    "latency": latency,
}


async def enqueue(peer: Peer, operation: str, *numbers: int) -> dict[str, Any]:
    """One of them, with an open producer."""
    await peer.open()
    try:
        return await ENQUEUES[operation](peer, *numbers)
    finally:
        await peer.close()


def main() -> None:
    name, url, kind, operation, *numbers = sys.argv[1:]
    peer = peers.find(name)(url, kind)
    if operation == "work":
        peer.work()
        return
    result: dict[str, Any] = {}
    if operation == "install":
        peer.install()
    else:
        result = asyncio.run(enqueue(peer, operation, *map(int, numbers)))
    print(json.dumps(result))


if __name__ == "__main__":
    main()
