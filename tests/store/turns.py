"""A loop of workers' maintenance, given its turns by a test: on a database of its own, with a clock to step."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TypeVar

from headrace._store.database import Database

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from tests.store.harness import Store

T = TypeVar("T")


class Clock:
    """A clock to step."""

    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def fewest(buffers: Callable[[], int]) -> int:
    """What a look reads of the tables: the first of a session, and one after a vacuum, read the catalogue, too."""
    return min(buffers() for _ in range(3))


@asynccontextmanager
async def taking_turns(store: Store, make: Callable[[Database, Clock], T]) -> AsyncIterator[tuple[T, Clock]]:
    """What a worker would call again and again, and its clock."""
    database, clock = Database(store.url, "headrace", max_connections=1), Clock()
    await database.open()
    try:
        yield make(database, clock), clock
    finally:
        await database.close()
