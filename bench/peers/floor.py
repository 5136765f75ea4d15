"""The floors: what PostgreSQL itself asks for the rows that headrace writes, into headrace's own table with its indexes
and triggers, through the same driver. They only enqueue."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import uuid_utils

from bench.peers.base import Peer

if TYPE_CHECKING:
    import psycopg

_MAX_ATTEMPTS = 5


class Floor(Peer):
    role = "reference"
    conn: psycopg.AsyncConnection[Any]

    def install(self) -> None:
        from headrace._store.migrate import migrate

        migrate(self.url)

    async def open(self) -> None:
        import psycopg

        self.conn = await psycopg.AsyncConnection.connect(self.url, autocommit=True)

    async def close(self) -> None:
        await self.conn.close()


def row(n: int, *, wake: bool) -> dict[str, Any]:
    """What headrace stores of `noop(n)`, by column. Those that it computes are written as it writes them by default."""
    return {
        "id": str(uuid_utils.uuid7()),
        "state": "queued",
        "queue": "default",
        "task": "noop",
        "args": f'{{"n": {n}}}',
        "priority": 0,
        "max_attempts": _MAX_ATTEMPTS,
        "wake": wake,
        "expires_at": None,
        "tenant": None,
        "correlation_id": None,
        "tags": None,
        "metadata": None,
    }


def columns(query: str) -> list[str]:
    """The columns that one of headrace's own statements writes: the floors follow when they change."""
    from headrace._store.sql import query as text

    found = re.search(r"headrace\.job\s*\(([^)]+)\)", text(query, "headrace"))
    assert found, f"queries/{query}.sql names no columns of headrace.job"
    return [name.strip() for name in found[1].split(",")]
