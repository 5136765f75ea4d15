from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from bench import probe
from bench.peers.base import Peer, chunks

MAX_WORKERS = 512


@dataclass
class Noop:
    n: int


class Queue(Peer):
    settings = (
        f"AsyncClient (Rust core) on uvloop, queue storage, max_workers={MAX_WORKERS}, defaults otherwise;"
        " sync: asyncio.to_thread inside the handler"
    )
    unfinished = "awa.jobs where state not in ('completed', 'failed', 'cancelled')"
    # Its view takes 0.2 s of the server's time, even when there is little in it.
    tail = (
        "(select (select count(*) from awa.ready_entries) as ready,"
        " (select coalesce(sum(completed_count), 0) from awa.receipt_completion_batches) as completed) c"
        " where ready > completed"
    )
    scale = 0.25

    def _client(self, max_connections: int) -> Any:
        import awa

        # Its driver wants a host in the URL, even where the host is the socket's directory.
        return awa.AsyncClient(self.url.replace("@/", "@localhost/"), max_connections=max_connections)

    def _handler(self) -> Any:
        return _noop if self.kind == "async" else _noop_sync

    def install(self) -> None:
        async def main() -> None:
            client = self._client(2)
            await client.migrate()
            await client.install_queue_storage(schema="awa")
            await client.close()

        asyncio.run(main())

    async def open(self) -> None:
        self.client = self._client(2)
        self.client.task(Noop, queue="noop")(self._handler())

    async def enqueue(self, n: int) -> None:
        await self.client.insert(Noop(n), queue="noop")

    async def enqueue_many(self, numbers: range) -> None:
        for part in chunks(numbers):
            await self.client.enqueue_many_copy([Noop(n) for n in part], queue="noop")

    async def close(self) -> None:
        await self.client.close()

    def work(self) -> None:
        import uvloop

        uvloop.run(self._run())

    async def _run(self) -> None:
        client = self._client(20)
        client.task(Noop, queue="noop")(self._handler())
        await client.start([("noop", MAX_WORKERS)])
        await asyncio.Event().wait()


async def _noop(job: Any) -> None:
    probe.hit(job.args.n)


async def _noop_sync(job: Any) -> None:
    await asyncio.to_thread(probe.hit, job.args.n)
