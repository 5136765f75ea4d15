"""One operation of one peer in a process of its own: ``python -m bench.operation PEER URL KIND OPERATION …``."""

from __future__ import annotations

import asyncio
import importlib
import json
import sys
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bench.peers.base import Peer


def load(name: str, url: str, kind: str) -> Peer:
    peer: Peer = importlib.import_module(f"bench.peers.{name}").Queue(url, kind)
    return peer


async def enqueue_one(peer: Peer, count: int) -> dict[str, Any]:
    await peer.open()
    await peer.enqueue(0)
    started = time.perf_counter()
    for n in range(1, count):
        await peer.enqueue(n)
    seconds = time.perf_counter() - started
    await peer.close()
    return {"us": seconds / (count - 1) * 1e6}


async def enqueue_many(peer: Peer, count: int) -> dict[str, Any]:
    await peer.open()
    started = time.perf_counter()
    await peer.enqueue_many(range(count))
    seconds = time.perf_counter() - started
    await peer.close()
    return {"jobs_per_s": count / seconds}


async def latency(peer: Peer, count: int) -> dict[str, Any]:
    await peer.open()
    returned: dict[int, int] = {}
    following = time.monotonic()
    for n in range(count):
        following += 0.015
        await asyncio.sleep(max(0.0, following - time.monotonic()))
        await peer.enqueue(n)
        returned[n] = time.monotonic_ns()
    await peer.close()
    return {"returned": returned}


def main() -> None:
    name, url, kind, operation, *numbers = sys.argv[1:]
    peer = load(name, url, kind)
    if operation == "install":
        peer.install()
        result: dict[str, Any] = {}
    elif operation == "work":
        peer.work()
        return
    else:
        result = asyncio.run(globals()[operation](peer, int(numbers[0])))
    print(json.dumps(result))


if __name__ == "__main__":
    main()
