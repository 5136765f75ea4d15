"""The practical limit: no framework, set-based SQL on two connections.

Each connection claims a batch, awaits its handlers, and moves it to history, while the other does the same. No retries,
priorities, schedules, leases or indexes on history: a limit, not a product.
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from bench import probe
from bench.peers.base import EVERYTHING, Peer

if TYPE_CHECKING:
    import psycopg

BATCH = 500
LOOPS = 2

SCHEMA = b"""
create table job (
    id bigint generated always as identity primary key,
    claimed_at timestamptz,
    args jsonb not null
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02);
create table history (
    id bigint not null,
    claimed_at timestamptz not null,
    finished_at timestamptz not null default now(),
    args jsonb not null
)
"""
INSERT = b"with j as (insert into job (args) values (%s)) select pg_notify('job', '')"
CLAIM = b"""
update job set claimed_at = now()
where id = any(array(select id from job where claimed_at is null order by id limit %s for update skip locked))
returning id, args::text
"""
FINISH = b"""
with gone as (delete from job where id = any(%s) returning id, claimed_at, args)
insert into history (id, claimed_at, args) select id, claimed_at, args from gone
"""


async def noop(n: int) -> None:
    probe.hit(n)


class Queue(Peer):
    role = "reference"
    settings = f"psycopg on uvloop; {LOOPS} connections, each claims {BATCH}, runs them, and moves them to history"
    unfinished = "job"
    scale = 4.0
    scenarios = EVERYTHING - {"drain_sync"}

    def install(self) -> None:
        import psycopg

        with psycopg.connect(self.url, autocommit=True) as conn:
            conn.execute(SCHEMA)

    async def _connect(self) -> psycopg.AsyncConnection[Any]:
        import psycopg

        return await psycopg.AsyncConnection.connect(self.url, autocommit=True)

    async def open(self) -> None:
        self.conn = await self._connect()

    async def enqueue(self, n: int) -> None:
        await self.conn.execute(INSERT, [f'{{"n": {n}}}'])

    async def enqueue_many(self, numbers: range) -> None:
        async with self.conn.cursor() as cursor, cursor.copy(b"copy job (args) from stdin") as copy:
            await copy.write("".join(f'{{"n": {n}}}\n' for n in numbers))
        await self.conn.execute(b"notify job")

    async def close(self) -> None:
        await self.conn.close()

    def work(self) -> None:
        import uvloop

        uvloop.run(self._run())

    async def _run(self) -> None:
        wake = asyncio.Event()
        listener = await self._connect()
        await listener.execute(b"listen job")
        async with asyncio.TaskGroup() as group:
            for _ in range(LOOPS):
                group.create_task(self._loop(await self._connect(), wake))
            async for _ in listener.notifies():
                wake.set()

    async def _loop(self, conn: psycopg.AsyncConnection[Any], wake: asyncio.Event) -> None:
        while True:
            wake.clear()
            rows = await (await conn.execute(CLAIM, [BATCH], prepare=True)).fetchall()
            if not rows:
                await wake.wait()
                continue
            for _, args in rows:
                await noop(**json.loads(args))
            await conn.execute(FINISH, [[job_id for job_id, _ in rows]], prepare=True)
