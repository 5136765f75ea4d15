"""What the harness asks of a queue. Each call runs in a process of its own."""

from __future__ import annotations

from typing import Literal

EVERYTHING = frozenset({"enqueue_one", "enqueue_many", "drain", "drain_two", "drain_sync", "latency"})


class Peer:
    """Subclass as `Queue` in a module of this package.

    Attributes:
        role: "peer" for a product, "reference" for what no product can pass, "ours" for headrace.
        settings: How its worker is configured, in words.
        unfinished: The FROM clause of the rows that are not finished.
        tail: The same of those that were enqueued last, where the harness would disturb the server by looking at all.
        scale: How many jobs a drain has, as a share of headrace's: so that all take seconds, not minutes.
        scenarios: Those it takes part in.
    """

    role: Literal["ours", "peer", "reference"] = "peer"
    settings = ""
    unfinished = ""
    tail = ""
    scale = 1.0
    scenarios = EVERYTHING

    def __init__(self, url: str, kind: str) -> None:
        self.url = url
        self.kind = kind  # "async" or "sync" handlers

    def install(self) -> None:
        """Create the schema in an empty database."""
        raise NotImplementedError

    def prepare(self, numbers: range) -> None:
        """Make, before the clock starts, what a floor is not to be charged for."""

    async def open(self) -> None:
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


def chunks(numbers: range, size: int = 1_000) -> list[range]:
    """The numbers, in parts."""
    return [numbers[start : start + size] for start in range(0, len(numbers), size)]
