from __future__ import annotations

import asyncio
from typing import Any

from bench import probe
from bench.peers.base import Peer, chunks

CONCURRENCY = 20


class Queue(Peer):
    settings = f"PsycopgConnector, concurrency={CONCURRENCY}, delete_jobs=never; its loop is asyncio's own"
    unfinished = "procrastinate_jobs where status in ('todo', 'doing')"
    scale = 0.04

    def _app(self) -> Any:
        import procrastinate

        app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=self.url))

        async def noop(n: int) -> None:
            probe.hit(n)

        def noop_sync(n: int) -> None:
            probe.hit(n)

        self.task = app.task(name="noop")(noop if self.kind == "async" else noop_sync)
        return app

    def install(self) -> None:
        async def main() -> None:
            app = self._app()
            async with app.open_async():
                await app.schema_manager.apply_schema_async()

        asyncio.run(main())

    async def open(self) -> None:
        self.app = self._app()
        await self.app.open_async()

    async def enqueue(self, n: int) -> None:
        await self.task.defer_async(n=n)

    async def enqueue_many(self, numbers: range) -> None:
        for part in chunks(numbers):
            await self.task.batch_defer_async(*({"n": n} for n in part))

    async def close(self) -> None:
        await self.app.close_async()

    def work(self) -> None:
        asyncio.run(self._run())

    async def _run(self) -> None:
        app = self._app()
        async with app.open_async():
            await app.run_worker_async(concurrency=CONCURRENCY, delete_jobs="never")
