"""The connection breaks after the statement: nothing is lost, and nothing is enqueued twice."""

from __future__ import annotations

import asyncio
import pickle
from typing import TYPE_CHECKING, Any

import pytest

from headrace import AnswerLost, DatabaseUnavailable, Headrace, Job, Task, Unique
from headrace._store.database import Database
from tests.worker.proxy import Proxy

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from contextlib import AbstractAsyncContextManager

    from psycopg import AsyncConnection

    Greet = Task[..., ..., str]
    Ask = Callable[..., list[tuple[Any, ...]]]

ENQUEUES = {"insert_job", "insert_due_job", "copy_jobs", "enqueue_jobs"}


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


# -- and the look-up after it fails, too --


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """No statement waits for long."""
    monkeypatch.setattr(Database.rows, "__defaults__", (0.3,))


async def lose_an_answer(proxy: Proxy, job: Any, *, forward: bool) -> AnswerLost:
    """What an enqueue of the name "Ada" raises whose connection is cut at it, and no other can be opened."""

    async def stop_at_the_cut() -> None:
        await proxy.cut.wait()
        proxy.stop()

    proxy.cut_at(b'"Ada"', forward=forward)  # not the statement's text, which is sent when it is prepared
    stopping = asyncio.create_task(stop_at_the_cut())
    with pytest.raises(AnswerLost) as lost:
        await job
    await stopping
    return lost.value


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("forward", [True, False], ids=["there", "not there"])
async def test_nobody_knows(database: str, count: Callable[[], int], forward: bool) -> None:
    """The error says so, whether the job is there or not, and enqueues it at most once when it is given back."""
    async with Proxy(database) as proxy, Headrace(proxy.url) as app, Headrace(database) as later:
        greet = app.task(name="greet")(lambda name: None)
        await app.open()
        lost = await lose_an_answer(proxy, greet.enqueue("Ada"), forward=forward)
        assert count() == forward
        assert f"the enqueue of job {lost.jobs[0].id} was lost" in str(lost)
        assert (lost.unanswered, pickle.loads(pickle.dumps(lost)).jobs) == (True, lost.jobs)
        for _ in range(2):
            assert [str(job.id) for job in await later.enqueue_many(lost.jobs)] == [lost.jobs[0].id]
        assert count() == 1


@pytest.mark.usefixtures("impatient")
async def test_nothing_was_sent(database: str, count: Callable[[], int]) -> None:
    """Connections that broke while they were idle carry no statement: it is known that nothing was enqueued."""
    async with Proxy(database) as proxy, Headrace(proxy.url) as app:
        greet = app.task(name="greet")(lambda: None)
        await asyncio.gather(*(greet.enqueue() for _ in range(20)))
        proxy.stop()
        await asyncio.sleep(0)
        with pytest.raises(DatabaseUnavailable) as refused:
            await greet.enqueue()
        assert not isinstance(refused.value, AnswerLost)
        assert (refused.value.unanswered, count()) == (False, 20)


async def test_after_a_restart_no_statement_is_lost(
    app: Headrace, greet: Greet, rows: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many idle connections it broke, the first try finds a live one."""
    await asyncio.gather(*(greet.enqueue() for _ in range(20)))
    tried: list[str] = []
    connection = Database.connection

    def noted(self: Database, name: str, *deadline: float) -> Any:
        tried.append(name)
        return connection(self, name, *deadline)

    monkeypatch.setattr(Database, "connection", noted)
    rows("""select pg_terminate_backend(pid, 5000) from pg_stat_activity
            where datname = current_database() and pid <> pg_backend_pid() and application_name = 'headrace'""")
    await greet.enqueue()
    assert tried == ["insert_due_job"]
