"""Limits, rates and pauses with real workers."""

from __future__ import annotations

import asyncio
import signal
from datetime import timedelta
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from headrace import Breaker, Concurrency, ConfigurationError, Context, Headrace, Order, RateLimit, Retry, UnknownLimit
from tests.worker.helpers import until, working
from tests.worker.sample_app import make_app

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.worker.helpers import Tables, WorkerProcess

AT_ONCE = Retry(attempts=3, delay=timedelta(0), jitter=0)


@pytest.mark.process
async def test_a_limit_holds_while_workers_are_killed(
    database: str, tables: Tables, start_worker: Callable[..., WorkerProcess]
) -> None:
    """Two worker processes, one of them killed again and again: never more than three run, all end, and no slot is lost."""
    async with make_app(database) as app:
        await app.limits.set(Concurrency(3, name="three"), tasks=["sleep_short"])
        task = app.tasks["sleep_short"]
        start_worker(concurrency=20).ready()
        doomed = start_worker(concurrency=20).ready()
        await app.enqueue_many(task.job(0.05) for _ in range(120))
        most = 0
        for kill in range(3):
            done = 120 * (kill + 1) // 4

            def enough(done: int = done) -> bool:
                nonlocal most
                most = max(most, tables.value("select count(*) from headrace.job where state = 'running'"))
                return bool(tables.value("select count(*) >= %s from headrace.job_history", done))

            await until(enough, f"{done} jobs have ended")
            doomed.signal(signal.SIGKILL)
            doomed = start_worker(concurrency=20).ready()
        await until(lambda: tables.unfinished() == 0, "all jobs have ended")
        assert 1 <= most <= 3
        assert tables.states() == {"succeeded": 120}
        starts = tables.rows(
            "select claimed_at, 1 from headrace.job_history union all select finished_at, -1 from headrace.job_history"
        )
        running = peak = 0
        for _, step in sorted(starts, key=lambda row: (row[0], row[1])):
            running += step
            peak = max(peak, running)
        assert peak <= 3
        await app.enqueue_many(task.job(0) for _ in range(4))
        await until(lambda: tables.unfinished() == 0, "the slots are there again")


async def test_a_rate_by_recorded_starts(database: str, tables: Tables) -> None:
    """The starts that are on record are as far apart as the rate says, and in the order of the line."""
    app = Headrace(database)

    @app.task(name="call", limits=[RateLimit(40, name="calls")])
    async def call(number: int) -> None:
        pass

    async with app, working(app):
        await app.enqueue_many(call.job(i) for i in range(12))
        await until(lambda: tables.unfinished() == 0, "all have run")
    rows = tables.rows("select (args ->> 'number')::integer, claimed_at from headrace.job_history order by claimed_at")
    assert [number for number, _ in rows] == list(range(12))
    gaps = [(later - earlier).total_seconds() for (_, earlier), (_, later) in pairwise(rows)]
    assert min(gaps) >= 0.025


async def test_a_pause_stops_a_worker_and_a_resume_starts_it(app: Headrace, tables: Tables) -> None:
    """While everything is paused jobs wait; what runs goes on; resumed, they run."""
    begun, gate = asyncio.Event(), asyncio.Event()

    @app.task(name="wait")
    async def wait() -> None:
        begun.set()
        await gate.wait()

    async with working(app) as worker:
        await wait.enqueue()
        await asyncio.wait_for(begun.wait(), 20)
        await app.pause(reason="deploy", until=timedelta(hours=1))
        later = await wait.enqueue()
        for _ in range(2):
            await worker.settings.round_done()
        assert (await app.why(later.id)).reasons[0].kind == "paused"
        gate.set()
        await until(lambda: tables.states() == {"queued": 1, "succeeded": 1}, "the running one has ended")
        assert await app.resume()
        await until(lambda: tables.states() == {"succeeded": 2}, "the other one has run")
        assert not await app.resume()


async def test_order_with_a_retry_between(app: Headrace, tables: Tables) -> None:
    """A job that fails and is retried runs again before the next of its key."""
    ran: list[tuple[int, int]] = []

    @app.task(name="entry", retry=Retry(attempts=3, delay=timedelta(seconds=0.1), jitter=0), limits=[Order("account")])
    async def entry(ctx: Context, account: int, number: int) -> None:
        ran.append((account, number))
        if number == 1 and ctx.job.attempt == 1:
            raise ValueError("once")

    async with working(app):
        await app.enqueue_many(entry.job(account, number) for number in range(4) for account in (1, 2))
        await until(lambda: tables.unfinished() == 0, "all have run")
    for account in (1, 2):
        assert [number for who, number in ran if who == account] == [0, 1, 1, 2, 3]


async def test_a_breaker_opens_for_a_service_that_fails(app: Headrace, tables: Tables) -> None:
    """Jobs stop to start when the service fails, spend no attempt meanwhile, and all succeed once it works."""
    works = False

    @app.task(
        name="pay", retry=AT_ONCE,
        limits=[Concurrency(1), Breaker("payments", minimum=2, cool_down=timedelta(seconds=0.05), probes=1)],
    )  # fmt: skip
    async def pay(ctx: Context) -> None:
        if not works:
            raise ConnectionError("down")

    async with working(app):
        await app.enqueue_many(pay.job() for _ in range(20))

        async def opened() -> bool:
            return (await app.breakers.list())[0].state != "closed"

        await until(opened, "the breaker has opened")
        await app.breakers.force("payments", "open")
        works = True
        untouched = tables.value("select count(*) from headrace.job where attempts = 0")
        assert untouched > 10
        await app.breakers.force("payments", None)
        await until(lambda: tables.unfinished() == 0, "all have run")
    assert tables.value("select count(*) from headrace.job_history where state = 'succeeded'") >= untouched


async def test_what_an_operator_has_set_stays(database: str) -> None:
    """A worker that starts writes down what code declares, but not over what an operator has changed or removed."""

    def declared() -> Headrace:
        made = Headrace(database)

        @made.task(name="a", limits=[Concurrency(5, name="shared"), Concurrency(9, name="other")])
        async def a() -> None:
            pass

        @made.task(name="b", limits=[Concurrency(5, name="shared")])
        async def b() -> None:
            pass

        return made

    async with declared() as app:
        async with working(app):
            shared = next(one for one in await app.limits.list() if one.name == "shared")
            assert (shared.bound, shared.tasks, shared.declared, shared.edited) == (5, ["a", "b"], True, False)
        await app.limits.set(Concurrency(2), tasks=["a", "b"], name="shared")
        await app.limits.remove("other")
        with pytest.raises(UnknownLimit, match="shared"):
            await app.limits.remove("sharde")
    async with declared() as app, working(app):
        limits = {one.name: (one.bound, one.enabled) for one in await app.limits.list()}
        assert limits == {"shared": (2, True), "other": (9, False)}


def test_declarations_that_make_no_sense() -> None:
    """They are refused where they are written."""
    app = Headrace("postgresql://nowhere")
    with pytest.raises(ConfigurationError, match="weights need fair_by"):
        app.queue("q", weights={"a": 2})
    for build in (
        lambda: Concurrency(-1), lambda: RateLimit(0), lambda: RateLimit(1, per=timedelta(0)), lambda: RateLimit(1, burst=0),
        lambda: Breaker("b", failure_ratio=0), lambda: app.queue("q", fair_by="tenant", weights={"a": 0}),
    ):  # fmt: skip
        with pytest.raises(ConfigurationError):
            build()

    @app.task(name="one", limits=[Concurrency(1, name="same")])
    async def one() -> None:
        pass

    @app.task(name="two", limits=[Concurrency(2, name="same")])
    async def two() -> None:
        pass

    with pytest.raises(ConfigurationError, match='the name "same"'):
        app.declared_limits()
