from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import Any

from bench import probe
from bench.peers.base import Peer, chunks

LIMIT = 100


class Queue(Peer):
    settings = (
        f"open-source edition on uvloop, queue limit {LIMIT}, pool of 1 to 10; sync: asyncio.to_thread inside process"
    )
    unfinished = "oban_jobs where state in ('available', 'scheduled', 'executing', 'retryable')"
    scale = 0.15

    def _pool(self) -> Any:
        from psycopg_pool import AsyncConnectionPool

        return AsyncConnectionPool(self.url, min_size=1, max_size=10, open=False)

    def _worker(self) -> Any:
        from oban import worker

        is_async = self.kind == "async"

        @worker(queue="default")
        class Noop:
            async def process(self, job: Any) -> None:
                if is_async:
                    probe.hit(job.args["n"])
                else:
                    await asyncio.to_thread(probe.hit, job.args["n"])

        return Noop

    def install(self) -> None:
        from oban.schema import install

        async def main() -> None:
            async with self._pool() as pool:
                await install(pool)

        asyncio.run(main())

    async def open(self) -> None:
        from oban import Oban

        self.noop = self._worker()
        self.stack = AsyncExitStack()
        pool = await self.stack.enter_async_context(self._pool())
        self.oban = await self.stack.enter_async_context(Oban(pool=pool))

    async def enqueue(self, n: int) -> None:
        await self.oban.enqueue(self.noop.new({"n": n}))

    async def enqueue_many(self, numbers: range) -> None:
        for part in chunks(numbers):
            await self.oban.enqueue_many([self.noop.new({"n": n}) for n in part])

    async def close(self) -> None:
        await self.stack.aclose()

    def work(self) -> None:
        import uvloop

        uvloop.run(self._run())

    async def _run(self) -> None:
        from oban import Oban

        self._worker()
        async with self._pool() as pool, Oban(pool=pool, queues={"default": LIMIT}):
            await asyncio.Event().wait()
