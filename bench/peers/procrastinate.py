from __future__ import annotations

import asyncio

from bench import probe
from bench.peers.base import Peer


class Queue(Peer):
    name = "procrastinate"
    requirements = ("procrastinate",)
    settings = "PsycopgConnector, concurrency 10"
    unfinished_sql = "select count(*) from procrastinate_jobs where status in ('todo', 'doing')"

    def __init__(self, url: str, kind: str) -> None:
        import procrastinate

        super().__init__(url, kind)
        self.app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=url))
        if kind == "async":

            @self.app.task(name="noop")
            async def noop(n: int) -> None:
                probe.hit(n)
        else:

            @self.app.task(name="noop")
            def noop(n: int) -> None:
                probe.hit(n)

        self.noop = noop

    def install(self) -> None:
        async def main() -> None:
            async with self.app.open_async():
                await self.app.schema_manager.apply_schema_async()

        asyncio.run(main())

    async def open(self) -> None:
        await self.app.open_async()

    async def enqueue(self, n: int) -> None:
        await self.noop.defer_async(n=n)

    async def enqueue_many(self, numbers: range) -> None:
        for start in range(numbers.start, numbers.stop, 1000):
            await self.noop.batch_defer_async(*({"n": n} for n in range(start, min(start + 1000, numbers.stop))))

    async def close(self) -> None:
        await self.app.close_async()

    def work(self) -> None:
        asyncio.run(self._run())

    async def _run(self) -> None:
        async with self.app.open_async():
            await self.app.run_worker_async(concurrency=10, delete_jobs="never")
