"""COPY through psycopg's write_row: the rows are tuples before the clock starts, and become text within it."""

from __future__ import annotations

from bench.peers.floor import Floor, columns, row


class Queue(Floor):
    settings = "psycopg; one COPY, write_row of tuples that are there already"
    scenarios = frozenset({"enqueue_many"})

    def prepare(self, numbers: range) -> None:
        names = columns("copy_jobs")
        self.statement = f"copy headrace.job ({', '.join(names)}) from stdin".encode()
        rows = (row(n, wake=n == 0) for n in numbers)
        self.rows = [tuple(values[name] for name in names) for values in rows]

    async def enqueue_many(self, numbers: range) -> None:
        async with self.conn.cursor() as cursor, cursor.copy(self.statement) as copy:
            for values in self.rows:
                await copy.write_row(values)
