from __future__ import annotations

import asyncio
import json
from typing import Any

from bench import probe
from bench.peers.base import Peer, chunks

BATCH = 500


class Queue(Peer):
    settings = f"asyncpg on uvloop, batch_size={BATCH}; sync: asyncio.to_thread inside the entrypoint"
    unfinished = "pgqueuer"

    def install(self) -> None:
        async def main() -> None:
            import asyncpg
            from pgqueuer.db import AsyncpgDriver
            from pgqueuer.queries import Queries

            conn = await asyncpg.connect(self.url)
            await Queries(AsyncpgDriver(conn)).install()
            await conn.close()

        asyncio.run(main())

    async def open(self) -> None:
        import asyncpg
        from pgqueuer.db import AsyncpgPoolDriver
        from pgqueuer.queries import Queries

        self.pool = await asyncpg.create_pool(self.url, min_size=1, max_size=1)
        self.queries = Queries(AsyncpgPoolDriver(self.pool))

    async def enqueue(self, n: int) -> None:
        await self.queries.enqueue("noop", b'{"n": %d}' % n)

    async def enqueue_many(self, numbers: range) -> None:
        for part in chunks(numbers):
            await self.queries.enqueue(["noop"] * len(part), [b'{"n": %d}' % n for n in part], [0] * len(part))

    async def close(self) -> None:
        await self.pool.close()

    def work(self) -> None:
        import uvloop

        uvloop.run(self._run())

    async def _run(self) -> None:
        import asyncpg
        from pgqueuer import PgQueuer
        from pgqueuer.db import AsyncpgDriver

        queue = PgQueuer(AsyncpgDriver(await asyncpg.connect(self.url)))

        @queue.entrypoint("noop")
        async def noop(job: Any) -> None:
            n = json.loads(job.payload)["n"]
            if self.kind == "async":
                probe.hit(n)
            else:
                await asyncio.to_thread(probe.hit, n)

        await queue.run(batch_size=BATCH)
