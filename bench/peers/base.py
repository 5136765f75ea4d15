"""What the harness asks of a queue. Each call runs in a process of its own."""

from __future__ import annotations

from typing import Any


class Peer:
    """Subclass as `Queue` in a module of this package."""

    name = ""
    requirements: tuple[str, ...] = ()
    settings = ""
    unfinished_sql = ""

    def __init__(self, url: str, kind: str) -> None:
        self.url = url
        self.kind = kind  # "async" or "sync" handlers

    def install(self) -> None:
        """Create the schema in an empty database."""
        raise NotImplementedError

    async def open(self) -> Any:
        """Open a producer."""

    async def enqueue(self, n: int) -> None:
        """Enqueue one job."""
        raise NotImplementedError

    async def enqueue_many(self, numbers: range) -> None:
        """Enqueue many, by the best API there is."""
        raise NotImplementedError

    async def close(self) -> None:
        """Close the producer."""

    def work(self) -> None:
        """Run a worker until it is terminated."""
        raise NotImplementedError
