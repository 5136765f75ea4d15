from __future__ import annotations

import asyncio
import logging
from contextlib import AsyncExitStack
from typing import Any

from bench import probe
from bench.peers.base import Peer, chunks

CONCURRENCY = 100
THREADS = 20


async def noop(n: int) -> None:
    probe.hit(n)


def noop_sync(n: int) -> None:
    probe.hit(n)


class Queue(Peer):
    settings = (
        f"uvloop, AsyncExecutor of {CONCURRENCY}, eager_polling, polling_interval=1;"
        f" sync: ThreadedExecutor of {THREADS}"
    )
    unfinished = "chancy_jobs where state not in ('succeeded', 'failed')"
    scale = 0.15

    def _app(self) -> Any:
        from chancy import Chancy

        log = logging.getLogger("chancy")
        log.setLevel(logging.WARNING)
        return Chancy(self.url, log=log)

    def install(self) -> None:
        from chancy import Chancy, Queue

        is_async = self.kind == "async"

        async def main() -> None:
            async with self._app() as chancy:
                await chancy.migrate()
                queue = Queue(
                    name="default",
                    concurrency=CONCURRENCY if is_async else THREADS,
                    polling_interval=1,
                    eager_polling=True,
                    executor=Chancy.Executor.Async if is_async else Chancy.Executor.Threaded,
                )
                await chancy.declare(queue, upsert=True)

        asyncio.run(main())

    def _job(self, n: int) -> Any:
        from chancy import Job

        name = "noop" if self.kind == "async" else "noop_sync"
        return Job(func=f"{__name__}.{name}", kwargs={"n": n}, queue="default")

    async def open(self) -> None:
        self.stack = AsyncExitStack()
        self.chancy = await self.stack.enter_async_context(self._app())

    async def enqueue(self, n: int) -> None:
        await self.chancy.push(self._job(n))

    async def enqueue_many(self, numbers: range) -> None:
        for part in chunks(numbers):
            async for _ in self.chancy.push_many([self._job(n) for n in part]):
                pass

    async def close(self) -> None:
        await self.stack.aclose()

    def work(self) -> None:
        import uvloop

        uvloop.run(self._run())

    async def _run(self) -> None:
        from chancy import Worker

        async with self._app() as chancy, Worker(chancy) as worker:
            await worker.wait_for_shutdown()
