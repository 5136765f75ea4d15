"""headrace, with jobs to which a limit applies: of each of a thousand keys, a few at a time."""

from __future__ import annotations

import asyncio
import os
import sys

from bench import probe
from bench.peers import headrace as plain
from headrace import Concurrency, Headrace

KEYS = 1000
SLOTS = int(os.environ.get("BENCH_SLOTS", "5"))

app = Headrace()


@app.task(name="noop", limits=[Concurrency(SLOTS, key="key")])
async def noop(n: int, key: int) -> None:
    probe.hit(n)


async def _deploy() -> None:
    """What the first worker's start does: from then on, jobs are put in their lanes as they are enqueued."""
    await app.drain()
    await app.close()


class Queue(plain.Queue):
    settings = f"as headrace; at most {SLOTS} jobs of each of {KEYS:,} keys at a time, over all workers"
    tail = "headrace.job where queue = 'default' and position is not null and suspicion = 0 and lane is not null"

    def install(self) -> None:
        super().install()
        app.use_database(self.url)
        asyncio.run(_deploy())

    async def open(self) -> None:
        app.use_database(self.url)
        await app.open()

    async def enqueue(self, n: int) -> None:
        await noop.enqueue(n, n % KEYS)

    async def enqueue_many(self, numbers: range) -> None:
        await app.enqueue_many(noop.job(n, n % KEYS) for n in numbers)

    async def close(self) -> None:
        await app.close()

    def work(self) -> None:
        os.environ["HEADRACE_URL"] = self.url
        command = [
            sys.executable,
            "-m",
            "headrace",
            "worker",
            "bench.peers.headrace_limited:app",
            "--concurrency",
            "500",
        ]
        os.execv(sys.executable, command)
