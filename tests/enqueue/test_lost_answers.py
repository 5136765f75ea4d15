"""The connection breaks after the statement: nothing is lost, and nothing is enqueued twice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from headrace import DatabaseUnavailable, Headrace, Job, Task, Unique
from headrace._store.database import Database

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from contextlib import AbstractAsyncContextManager

    from psycopg import AsyncConnection

    Greet = Task[..., ..., str]
    Ask = Callable[..., list[tuple[Any, ...]]]

ENQUEUES = {"insert_job", "copy_jobs", "enqueue_jobs"}


@pytest.fixture(params=["before", "after"])
def cut(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The first enqueue's connection breaks, before the statement ran or after it committed."""
    from contextlib import asynccontextmanager

    connection: Callable[..., AbstractAsyncContextManager[AsyncConnection]] = Database.connection
    broken: list[str] = []

    @asynccontextmanager
    async def breaking(self: Database, name: str, deadline_s: float = 10) -> AsyncIterator[AsyncConnection]:
        breaks = name in ENQUEUES and not broken
        if breaks:
            broken.append(name)
            if request.param == "before":
                raise DatabaseUnavailable("cut")
        async with connection(self, name, deadline_s) as conn:
            yield conn
        if breaks:
            raise DatabaseUnavailable("cut")

    monkeypatch.setattr(Database, "connection", breaking)
    yield broken
    assert broken


async def names(jobs: list[Job[Any]]) -> list[str]:
    """What the jobs were enqueued with."""
    return [(await job.info()).args["name"] for job in jobs]


@pytest.mark.parametrize("name", ["x", "x" * 5_000], ids=["insert", "function"])
async def test_one_job(greet: Greet, cut: list[str], name: str, count: Callable[[], int]) -> None:
    """One enqueue, one job, and the caller holds it."""
    job = await greet.enqueue(name)
    assert (await names([job]), job.existed, count()) == ([name], False, 1)


async def test_many_jobs(app: Headrace, greet: Greet, cut: list[str], count: Callable[[], int]) -> None:
    """All of them once, in order."""
    jobs = await app.enqueue_many(greet.job(str(n)) for n in range(100))
    assert await names(jobs) == [str(n) for n in range(100)]
    assert count() == 100


async def test_jobs_with_keys(app: Headrace, greet: Greet, rows: Ask, cut: list[str], count: Callable[[], int]) -> None:
    """What found its key held answers the holder; what made its own is no duplicate of itself."""
    rows("""select headrace.enqueue('greet', '{"name": "holder"}', unique_key => 'held')""")
    jobs = await app.enqueue_many(
        [
            greet.job("plain"),
            greet.options(unique="held").job("second"),
            greet.options(unique=Unique("own", on_conflict="reject")).job("own"),
        ]
    )
    assert await names(jobs) == ["plain", "holder", "own"]
    assert [job.existed for job in jobs] == [False, True, False]
    assert count() == 3
