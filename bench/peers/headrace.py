from __future__ import annotations

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
    name = "headrace"
    settings = "uvloop; concurrency 500; guardian, LISTEN, history and every index on"
    unfinished_sql = "select count(*) from headrace.job"

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
        import uvloop

        app.use_database(self.url)
        uvloop.run(self._run())

    async def _run(self) -> None:
        await app.worker(concurrency=500).run()
