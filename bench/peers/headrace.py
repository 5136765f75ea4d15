"""headrace as its users run it: `headrace worker bench.peers.headrace:app --concurrency 500`."""

from __future__ import annotations

import os
import sys

from bench import probe
from bench.peers.base import Peer
from headrace import Headrace
from headrace._store.migrate import migrate

app = Headrace()


@app.task(name="noop")
async def noop(n: int) -> None:
    probe.hit(n)


@app.task(name="noop_sync")
def noop_sync(n: int) -> None:
    probe.hit(n)


class Queue(Peer):
    role = "ours"
    settings = "headrace worker --concurrency 500, on uvloop; guardian, supervisor, LISTEN, history and every index on"
    unfinished = "headrace.job where state in ('queued', 'running')"
    # In the claim index from near its end: under a held snapshot the index is full of what is finished.
    tail = (
        "headrace.job where queue = 'default' and priority = 0 and position is not null and suspicion = 0"
        " and lane is null"
        " and position > (select last_value - 1000 from headrace.job_position)"
    )

    def install(self) -> None:
        migrate(self.url)

    async def open(self) -> None:
        app.use_database(self.url)
        await app.open()
        self.task = noop if self.kind == "async" else noop_sync

    async def enqueue(self, n: int) -> None:
        await self.task.enqueue(n)

    async def enqueue_many(self, numbers: range) -> None:
        await app.enqueue_many(self.task.job(n) for n in numbers)

    async def close(self) -> None:
        await app.close()

    def work(self) -> None:
        os.environ["HEADRACE_URL"] = self.url
        command = [sys.executable, "-m", "headrace", "worker", "bench.peers.headrace:app", "--concurrency", "500"]
        os.execv(sys.executable, command)
