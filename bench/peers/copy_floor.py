"""COPY alone: the rows are text before the clock starts."""

from __future__ import annotations

from typing import Any

from bench.peers.base import chunks
from bench.peers.floor import Floor, columns, row

NULL = r"\N"


class Queue(Floor):
    settings = "psycopg; one COPY in text format of rows that are text already"
    scenarios = frozenset({"enqueue_many"})

    def prepare(self, numbers: range) -> None:
        names = columns("copy_jobs")
        self.statement = f"copy headrace.job ({', '.join(names)}) from stdin".encode()
        self.blocks = [
            "".join(_line(row(n, wake=n == 0), names) for n in part).encode() for part in chunks(numbers, size=500)
        ]

    async def enqueue_many(self, numbers: range) -> None:
        async with self.conn.cursor() as cursor, cursor.copy(self.statement) as copy:
            for block in self.blocks:
                await copy.write(block)


def _line(values: dict[str, Any], names: list[str]) -> str:
    """One line of COPY's text format; nothing in our rows needs escaping."""
    return "\t".join(NULL if values[name] is None else str(values[name]) for name in names) + "\n"
