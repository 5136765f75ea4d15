"""Live events: one look for all, each change once, what was missed on return."""

from __future__ import annotations

import asyncio
import json
from contextlib import aclosing, asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
import uuid_utils

from headrace.web.live import BACKLOG, KEPT, Change, Changed, Hub, as_seen

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from headrace import Headrace

NOTHING: tuple[Any, ...] = ()


class Following:
    """Somebody who listens and has been greeted."""

    def __init__(self, told: Any) -> None:
        self._told = told
        self.last_id = ""

    async def next(self) -> Any:
        """What comes next: a change, or the word for something else."""
        async with asyncio.timeout(20):
            kind, self.last_id, change = await anext(self._told)
        return change or kind

    async def until(self, holds: Callable[[Change], bool]) -> Change:
        """The first change of which it holds."""
        while not holds(change := await self.next()):
            pass
        return change  # type: ignore[no-any-return]


@asynccontextmanager
async def listening(hub: Hub, *args: Any) -> AsyncIterator[Following]:
    """Listen, once everything that happens is told."""
    async with aclosing(hub.listen(*args)) as told:  # type: ignore[type-var]
        following = Following(told)
        assert await following.next() == "hello"
        yield following


@pytest.fixture
async def hub(app: Headrace) -> AsyncIterator[Hub]:
    """A hub that looks often."""
    hub = Hub(app, look_s=0.02)
    yield hub
    await hub.close()


def states(change: Change) -> dict[str, str]:
    return {job.id: job.state for job in change.jobs}


async def test_jobs_that_come_and_finish_are_told_once(hub: Hub, app: Headrace) -> None:
    """Whoever listens hears of a job when it comes and when it has finished, with the queues' numbers, and once."""
    async with listening(hub) as following:
        job_id = str((await app.find_task("add").enqueue(a=1)).id)
        heard = [await following.until(lambda change: job_id in states(change))]
        await app.drain()
        while states(heard[-1]).get(job_id) != "succeeded":
            heard.append(await following.next())
        other_id = str((await app.find_task("add").enqueue(a=1)).id)
        heard.append(await following.until(lambda change: other_id in states(change)))
    told = [state for change in heard for i, state in states(change).items() if i == job_id]
    assert [state for state in told if state != "running"] == ["queued", "succeeded"]
    assert any("default" in change.queues for change in heard)
    assert [change.number for change in heard] == sorted({change.number for change in heard})


async def test_watched_jobs_are_told_whatever_becomes_of_them(hub: Hub, app: Headrace) -> None:
    """Of a job that is watched every change is told, also those that neither bring nor finish it."""
    job = await app.find_task("add").options(delay=timedelta(hours=1)).enqueue(a=1)
    async with listening(hub, [job.id]) as following:
        await job.retry()
        change = await following.until(lambda change: str(job.id) in states(change))
        assert states(change)[str(job.id)] == "queued"


async def test_what_was_missed_is_told_on_return(hub: Hub, app: Headrace) -> None:
    """A client that comes back with the id of what it saw last gets what came after it; with a strange one, a reset."""
    add = app.find_task("add")
    async with listening(hub) as stays:
        await add.enqueue(a=1)
        await stays.next()
        seen = stays.last_id
        job_id = str((await add.enqueue(a=2)).id)
        missed = await stays.until(lambda change: job_id in states(change))
        async with listening(hub, NOTHING, seen) as returns:
            assert await returns.until(lambda change: job_id in states(change)) == missed
        for strange in ("other-1", "nonsense", f"{seen}-", f"{seen}x"):
            async with listening(hub, NOTHING, strange) as reset:
                assert await reset.next() == "reset"
                assert reset.last_id.startswith(hub._name)


def test_what_is_too_old_is_reset(app: Headrace) -> None:
    """Changes are kept in a bounded number; an id from before them cannot be continued, one among them can."""
    hub = Hub(app)
    for _ in range(KEPT + 10):
        hub._tell([], more=False, queues={})
    kept = [hub._since(f"{hub._name}-{number}") for number in (9, 10, KEPT + 9, KEPT + 10)]
    assert [None if it is None else len(it) for it in kept] == [None, KEPT, 1, 0]


async def test_a_slow_client_is_let_go(app: Headrace) -> None:
    """Who does not read is let go after a bounded number of changes, and nobody else notices."""
    hub = Hub(app, look_s=3600)
    async with aclosing(hub.listen()) as slow, listening(hub) as quick:  # type: ignore[type-var]
        assert (await anext(slow))[0] == "hello"
        for _ in range(BACKLOG + 10):
            hub._tell([], more=False, queues={})
            assert (await quick.next()).number == hub._number
        assert len([change async for change in slow]) == BACKLOG
        assert len(hub._listeners) == 1
    await hub.close()


async def test_all_are_let_go_when_the_hub_closes(hub: Hub) -> None:
    """A server that stops is not held up by those who listen."""
    async with aclosing(hub.listen()) as told:  # type: ignore[type-var]
        assert (await anext(told))[0] == "hello"
        await hub.close()
        assert [change async for change in told] == []


def test_a_tenant_s_caller_sees_its_own_jobs() -> None:
    """Other tenants' jobs, and the numbers of all, are kept from a tenant's caller."""
    tenants = {"1": "acme", "2": "other", "3": None}
    jobs = tuple(Changed(i, "queued", 0, "t", "q", tenant) for i, tenant in tenants.items())
    change = Change(number=1, jobs=jobs, more=False, queues={"q": {"queued": 3}})
    everything = as_seen(change, None)
    assert everything is not None
    assert [job["id"] for job in everything["jobs"]] == ["1", "2", "3"]
    seen = as_seen(change, "acme")
    assert seen is not None
    assert ([job["id"] for job in seen["jobs"]], seen["queues"]) == (["1"], {})
    assert as_seen(change, "nobody") is None
    assert "other" not in json.dumps(seen)


async def test_nothing_is_looked_at_when_nobody_listens(hub: Hub) -> None:
    """The loop ends some time after the last listener has left; whoever returns later is told to start over."""
    clock = [0.0]
    hub._clock = lambda: clock[0]
    async with listening(hub) as following:
        last_id = following.last_id
    clock[0] = 1000.0
    assert hub._looking is not None
    await asyncio.wait_for(hub._looking, 20)
    async with listening(hub, NOTHING, last_id) as returns:
        assert await returns.next() == "reset"


async def test_counting_takes_a_small_share_of_the_time(app: Headrace) -> None:
    """However long a count of the queues takes, it is repeated only after twenty times as long."""
    hub = Hub(app)
    clock = iter([0.0, 0.0, 0.4, 0.4, 8.39, 8.41, 8.41, 8.42, 8.42])
    hub._clock = lambda: next(clock)
    await app.find_task("add").enqueue(a=1)
    assert (await hub._count())["default"]["queued"] == 1
    await app.find_task("add").enqueue(a=1)
    assert await hub._count() == {}
    assert (await hub._count())["default"]["queued"] == 2


def test_the_first_id_of_a_moment(url: str) -> None:
    """It is larger than every id that was made before the moment, and not larger than any that is made then."""
    made = uuid_utils.uuid7()
    milliseconds = made.timestamp
    with psycopg.connect(url) as conn:
        statement = "select headrace.uuid7_from('epoch'::timestamptz + %s * interval '1 millisecond')"
        same, later = (conn.execute(statement, [milliseconds + more]).fetchone() for more in (0, 1))
    assert same is not None
    assert later is not None
    assert str(same[0]) <= str(made) < str(later[0])
