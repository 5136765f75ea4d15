"""A bare INSERT and its commit: no framework, no NOTIFY; prepared, as psycopg does by itself after five of them."""

from __future__ import annotations

from bench.peers.floor import Floor, columns, row


class Queue(Floor):
    settings = "psycopg, autocommit; INSERT of the same columns into headrace's table, prepared; wakes nobody"
    scenarios = frozenset({"enqueue_one"})
    wake = False

    def prepare(self, numbers: range) -> None:
        names = columns("insert_due_job")
        values = ", ".join(f"%({name})s" for name in names)
        self.statement = f"insert into headrace.job ({', '.join(names)}) values ({values})".encode()
        self.rows = [row(n, wake=self.wake) for n in numbers]

    async def enqueue(self, n: int) -> None:
        await self.conn.execute(self.statement, self.rows[n])
