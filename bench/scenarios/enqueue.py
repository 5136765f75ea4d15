"""How fast jobs come in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.processes import operate

if TYPE_CHECKING:
    from bench.context import Context, Row


def enqueue_one(context: Context, peer: str) -> Row:
    """Single enqueues one after the other."""
    with context.installed(peer) as database:
        database.execute("checkpoint")
        return operate(peer, database.url, "async", "enqueue_one", context.sizes.enqueue_one_jobs)


def enqueue_many(context: Context, peer: str) -> Row:
    """The bulk API."""
    with context.installed(peer) as database:
        database.execute("checkpoint")
        return operate(peer, database.url, "async", "enqueue_many", context.sizes.enqueue_many_jobs)
