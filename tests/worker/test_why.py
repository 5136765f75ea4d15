"""Why a job is where it is: every situation is made for real, and said in words and as data."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import json
import re
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from headrace import (
    Breaker,
    Concurrency,
    Context,
    Headrace,
    JobFailed,
    JobNotFound,
    Order,
    RateLimit,
    Retry,
    Snooze,
    State,
    Workflow,
    group,
)
from headrace import why as why_module
from headrace._explaining import explain
from headrace.why import (
    BOUND,
    BreakerOpen,
    Expired,
    Finished,
    InLine,
    NoWorker,
    OrderHeld,
    OthersTurn,
    Paused,
    PlacesTaken,
    RateSpent,
    Reason,
    Running,
    RunsAlone,
    SlotsTaken,
    TaskUnknown,
    WaitsForEvent,
    WaitsForJobs,
    WaitsUntil,
    Why,
)
from tests.store.harness import Claimed, Store, ended
from tests.worker.helpers import until, working

if TYPE_CHECKING:
    from collections.abc import Iterator

    from headrace import Job
    from tests.worker.helpers import Tables

HOUR = timedelta(hours=1)


@pytest.fixture
def store(database: str) -> Iterator[Store]:
    """The same database, by plain statements."""
    with Store(database) as store:
        yield store


@pytest.fixture
async def quiet(app: Headrace, store: Store) -> Headrace:
    """An app whose task is known, and one live worker that takes what the test says and nothing else."""

    @app.task(name="send", queue="q", retry=Retry(attempts=3))
    async def send(user: int = 0) -> None:
        pass

    await app.drain()
    store.rows("register_worker", host="box", pid=7, version="1", queues='{"q": 2}')
    return app


def worker_id(store: Store) -> int:
    return int(store.one("select max(id) from headrace.worker"))


def kinds(why: Why) -> list[type[Reason]]:
    return [type(reason) for reason in why.reasons]


async def send(app: Headrace, user: int = 0, **options: object) -> Job[None]:
    job: Job[None] = await app.tasks["send"].options(**options).enqueue(user)  # type: ignore[arg-type]
    return job


# -- queued --


async def test_in_line(quiet: Headrace, store: Store) -> None:
    """With nothing in its way it is next in line; others are counted by priority and age, up to a bound."""
    first = await send(quiet)
    why = await first.why()
    assert kinds(why) == [InLine]
    assert (why.state, why.text) == (
        State.QUEUED, "it is the next in line: a worker takes it within a second\nnext: it starts at once",
    )  # fmt: skip
    second = await send(quiet)
    urgent = await send(quiet, priority=5)
    assert (await urgent.why()).reasons == (InLine(ahead=0, more=False, stopped=False),)
    assert (await second.why()).reasons == (InLine(ahead=2, more=False, stopped=False),)
    store.ask(
        f"insert into headrace.job (id, queue, task) select gen_random_uuid(), 'q', 'send' from generate_series(1, {BOUND + 5})"
    )
    last = await send(quiet)
    why = await last.why()
    assert why.reasons == (InLine(ahead=BOUND, more=True, stopped=False),)
    assert why.reasons[0].text == "1,000 or more jobs are before it in line"


async def test_pauses(quiet: Headrace) -> None:
    """Who paused what, why, and until when; both pauses are named, and a scheduled job hears of them, too."""
    until_then = datetime(2100, 1, 1, 12, tzinfo=UTC)
    await quiet.pause("q", reason="the provider is down", until=until_then, by="alice")
    await quiet.pause(by="bob")
    job, later = await send(quiet), await send(quiet, delay=HOUR)
    why = await job.why()
    everything, one = why.reasons[:2]
    assert isinstance(one, Paused)
    assert everything.text == "all queues are paused by bob"
    assert one.text == 'queue "q" is paused until 2100-01-01 12:00:00 UTC by alice: the provider is down'
    assert (one.by, one.reason, one.until, one.queue) == ("alice", "the provider is down", until_then, "q")
    assert why.next == "it starts when somebody ends the pause, and when the pause is over"
    assert kinds(await later.why()) == [WaitsUntil, Paused, Paused]
    await quiet.resume()
    await quiet.resume("q")
    assert kinds(await job.why()) == [InLine]


async def test_a_pause_that_is_over_is_no_reason(quiet: Headrace) -> None:
    """Its end counts by the database's clock."""
    await quiet.pause("q", until=datetime(2000, 1, 1, tzinfo=UTC))
    assert kinds(await (await send(quiet)).why()) == [InLine]


async def test_slots(quiet: Headrace, store: Store) -> None:
    """How many of how many slots are taken, and by which key; a slot that was given back and is not folded in is free."""
    await quiet.limits.set(Concurrency(1, key="user"), tasks=["send"], name="one each")
    runs, waits, other = await send(quiet, 7), await send(quiet, 7), await send(quiet, 8)
    (claimed, _), _ = store.claim_limited(worker_id(store), 2)
    assert UUID(claimed.id) in (runs.id, other.id)
    why = await waits.why()
    assert isinstance(why.reasons[0], SlotsTaken)
    assert why.reasons[0].text == 'limit "one each" for "7": 1 of 1 slots are taken'
    assert why.next == "it starts when a slot is free, and when a place is free"
    store.end_lease(worker_id(store))
    store.rescue()
    assert SlotsTaken not in kinds(await waits.why())
    await quiet.limits.set(Concurrency(0), queue="q", name="none")
    assert 'limit "none": 0 of 0 slots are taken' in (await waits.why()).text
    assert "when the limit is raised: it lets none start" in (await waits.why()).next


async def test_rate(quiet: Headrace, store: Store) -> None:
    """When the next start may be."""
    await quiet.limits.set(RateLimit(1, per=HOUR), queue="q", name="hourly")
    await send(quiet)
    waits = await send(quiet)
    store.claim_limited(worker_id(store), 1)
    why = await waits.why()
    (spent,) = [reason for reason in why.reasons if isinstance(reason, RateSpent)]
    assert timedelta(minutes=59) < spent.until - why.at <= HOUR
    assert spent.text.startswith('limit "hourly": no further start until ')
    assert "when the rate allows it" in why.next


async def test_order(quiet: Headrace, store: Store) -> None:
    """Which job of its key is before it, also while that waits for its retry; another tenant's is not named."""
    await quiet.limits.set(Order("user"), tasks=["send"], name="in order")
    first, second = await send(quiet, 1, tenant="a"), await send(quiet, 1, tenant="b")
    store.claim_limited(worker_id(store), 1)
    held = (await second.why()).reasons[0]
    assert isinstance(held, OrderHeld)
    assert (held.holder, held.text) == (first.id, f'order "in order" for "1": job {first.id} is before it (running)')
    seen = (await quiet.why(second.id, tenant="b")).reasons[0]
    assert seen.text == 'order "in order" for "1": another job is before it (running)'
    assert str(first.id) not in json.dumps((await quiet.why(second.id, tenant="b")).as_dict(), default=str)
    store.settle(worker_id(store), ended(Claimed(str(first.id), 1), "retried", wait_s=3600))
    assert "is before it (scheduled)" in (await second.why()).reasons[0].text


async def test_breaker(quiet: Headrace) -> None:
    """Held open by an operator, or open until it has cooled down."""
    await quiet.limits.set(Breaker("bank"), tasks=["send"])
    job = await send(quiet)
    assert kinds(await job.why()) == [InLine]
    await quiet.breakers.force("bank", "open")
    why = await job.why()
    assert isinstance(why.reasons[0], BreakerOpen)
    assert why.reasons[0].text == 'breaker "bank" is held open by an operator'
    assert why.next == "it starts when somebody resets the breaker"


async def test_a_breaker_that_opened_by_itself(app: Headrace) -> None:
    """Until when, by the cool-down."""

    @app.task(name="pay", queue="q", retry=Retry(attempts=1), limits=[Breaker("bank", minimum=1, cool_down=HOUR)])
    async def pay() -> None:
        raise ConnectionError("down")

    async with working(app):
        with pytest.raises(JobFailed):
            await (await pay.enqueue()).result(20)
        job = await pay.enqueue()

        async def opened() -> bool:
            return BreakerOpen in kinds(await job.why())

        await until(opened, "the claim has counted the failure")
        why = await job.why()
    (breaker,) = [reason for reason in why.reasons if isinstance(reason, BreakerOpen)]
    assert (breaker.state, breaker.forced) == ("open", False)
    assert breaker.until is not None
    assert breaker.text.startswith('breaker "bank" is open until ')


async def test_fair_share(quiet: Headrace, store: Store) -> None:
    """A key that has had its turn waits for that of others."""
    store.limit("turns", "fair", queue="q", key="user", weights={})
    for _ in range(3):
        await send(quiet, 1)
    await send(quiet, 2)
    store.claim_limited(worker_id(store), 3)
    busy = await send(quiet, 1)
    why = await busy.why()
    assert OthersTurn in kinds(why)
    assert 'fair share "turns" for "1": it is the turn of others' in why.text
    assert "when it is its key's turn" in why.next


async def test_no_worker(app: Headrace, store: Store) -> None:
    """No live worker serves the queue: neither one that drains, nor one that has not been heard of."""

    @app.task(name="send", queue="q")
    async def send(user: int = 0) -> None:
        pass

    job = await send.enqueue()
    why = await job.why()
    assert kinds(why) == [TaskUnknown, NoWorker, InLine]
    assert why.reasons[0].text == 'no worker has ever registered the task "send"'
    assert why.reasons[1].text == 'no live worker serves queue "q"'
    assert why.next == (
        "it starts when a worker that knows its task has started, and when a worker that serves its queue has started"
    )
    store.ask("insert into headrace.worker (host, pid, version, queues) values ('other', 1, '1', '{\"mail\": 5}')")
    store.ask(
        "insert into headrace.worker (host, pid, version, queues, draining) values ('a', 1, '1', '{\"q\": 5}', true)"
    )
    store.ask(
        "insert into headrace.worker (host, pid, version, queues, beaten_at) values ('b', 1, '1', '{\"q\": 5}', now() - interval '1 min')"
    )
    assert (await job.why()).reasons[1].text == 'no live worker serves queue "q" (1 about to stop, 1 silent)'


async def test_places(quiet: Headrace, store: Store) -> None:
    """All places of all live workers are taken; an operator's setting counts."""
    for _ in range(3):
        await send(quiet)
    store.claim(worker_id(store), 2)
    waits = await send(quiet)
    why = await waits.why()
    assert why.reasons == (PlacesTaken(queue="q", running=2, places=2), InLine(ahead=1, more=False, stopped=True))
    assert why.next == "it starts when a place is free, and after those before it"
    store.rows("set_queue", name="q", concurrency=0, max_queued=None, clear=[])
    assert (await waits.why()).reasons[0].text == 'queue "q" has no places in any worker: its concurrency is 0'


async def test_a_suspect_runs_alone(quiet: Headrace, store: Store) -> None:
    """After its worker was lost, it runs beside no other suspect."""
    jobs = [await send(quiet), await send(quiet)]
    lost = worker_id(store)
    store.claim(lost, 2)
    store.rows("register_worker", host="box", pid=8, version="1", queues='{"q": 2}')
    store.end_lease(lost)
    running = (await jobs[0].why()).reasons[0]
    assert isinstance(running, Running)
    assert running.lost
    assert (await jobs[0].why()).next == "it is taken back within seconds, and runs again alone"
    store.rescue()
    first, second = [await job.why() for job in jobs]
    assert first.reasons == (RunsAlone(losses=1, ahead=0),)
    assert second.reasons == (RunsAlone(losses=1, ahead=1),)
    assert second.reasons[0].text == (
        "a worker was lost while it ran, so it runs alone, not beside another such job; 1 such job is before it"
    )


async def test_an_expired_job(quiet: Headrace, store: Store) -> None:
    """It will not run, whatever else is said."""
    job = await send(quiet, expires=HOUR)
    assert kinds(await job.why()) == [InLine]
    store.ask("update headrace.job set expires_at = now() - interval '1 second'")
    why = await job.why()
    assert kinds(why) == [Expired, InLine]
    assert why.next == "it is cancelled when a worker takes it"


# -- scheduled, blocked, running, finished --


async def test_times(app: Headrace, tables: Tables) -> None:
    """Until when, and whether it was enqueued so, failed, snoozes or sleeps."""

    @app.task(name="later", queue="q")
    async def later() -> None:
        pass

    @app.task(name="fails", queue="q", retry=Retry(attempts=3, delay=HOUR, jitter=0))
    async def fails() -> None:
        raise ValueError("the bank is closed\nfor today")

    @app.task(name="snoozes", queue="q")
    async def snoozes() -> None:
        raise Snooze(HOUR)

    @app.task(name="sleeps", queue="q")
    async def sleeps(ctx: Context) -> None:
        await ctx.sleep(HOUR)

    jobs = {
        "delay": await later.options(delay=HOUR).enqueue(), "retry": await fails.enqueue(), "snooze": await snoozes.enqueue(),
        "sleep": await sleeps.enqueue(),
    }  # fmt: skip
    async with working(app):
        await until(lambda: tables.states() == {"scheduled": 4}, "all wait")
        told = {cause: await job.why() for cause, job in jobs.items()}
    for cause, why in told.items():
        (reason,) = why.reasons
        assert isinstance(reason, WaitsUntil)
        assert reason.cause == cause
        assert timedelta(minutes=50) < reason.until - why.at <= HOUR
        assert re.fullmatch(r'at \S+ \S+ UTC it joins the line of queue "q"', why.next)
    assert told["retry"].reasons[0].text.endswith(" UTC (it failed with: the bank is closed)")
    assert kinds(await jobs["delay"].why()) == [WaitsUntil, NoWorker]


async def test_a_job_that_waits_for_others(app: Headrace) -> None:
    """Which ones, by name, task and state, through barriers; other tenants' are only counted."""

    @app.task(name="part", queue="q")
    async def part(n: int) -> None:
        pass

    workflow = Workflow("nightly")
    workflow.add("left", part.options(tenant="a").job(1))
    workflow.add("right", part.options(tenant="b").job(2))
    last = part.options(tenant="a").job(3)
    workflow.add("end", last, after=["left", "right"])
    await app.start(workflow)
    why = await app.why(last.id)
    (waits,) = why.reasons
    assert isinstance(waits, WaitsForJobs)
    assert (waits.workflow, waits.count, [p.name for p in waits.jobs]) == ("nightly", 2, ["left", "right"])
    assert waits.text == 'it waits for 2 jobs of workflow "nightly": left (part, queued), right (part, queued)'
    assert "as its workflow says" in why.next
    (seen,) = (await app.why(last.id, tenant="a")).reasons
    assert seen.text == 'it waits for 2 jobs of workflow "nightly": left (part, queued) and 1 more'
    wide = group(part.job(n) for n in range(30)).then(group(part.job(n) for n in range(100, 130)))
    started = await app.start(wide)
    blocked = [node for node in await started.nodes() if node.state == "blocked" and node.kind == "job"]
    (through,) = (await app.why(blocked[0].id)).reasons
    assert isinstance(through, WaitsForJobs)
    assert (through.count, len(through.jobs)) == (30, 10)


async def test_a_job_that_waits_for_an_event(app: Headrace, tables: Tables) -> None:
    """Which one, and how long."""

    @app.task(name="order", queue="q")
    async def order(ctx: Context) -> None:
        await ctx.wait_for_event("paid:1", timeout=HOUR)

    job = await order.enqueue()
    async with working(app):
        await until(lambda: tables.states() == {"blocked": 1}, "it waits")
        why = await job.why()
    (waits,) = why.reasons
    assert isinstance(waits, WaitsForEvent)
    assert waits.event == "paid:1"
    assert waits.text.startswith('it waits for the event "paid:1", until ')
    assert "EventTimeout" in why.next


async def test_a_parked_job(app: Headrace, database: str, tables: Tables) -> None:
    """A worker that claimed it did not know its task."""

    @app.task(name="known", queue="q")
    async def known() -> None:
        pass

    async with Headrace(database) as other:

        @other.task(name="unknown", queue="q")
        async def unknown() -> None:
            pass

        job = await unknown.enqueue()
    async with working(app):
        await until(lambda: tables.states() == {"blocked": 1}, "it is parked")
    why = await app.why(job.id)
    assert why.reasons == (TaskUnknown(task="unknown", parked=True),)
    assert why.next == "it joins the line of its queue when a worker that knows its task has started"


async def test_running_and_finished(app: Headrace, tables: Tables) -> None:
    """Since when, where, how far, whether it is asked to stop; and then how it ended."""
    gate, begun = asyncio.Event(), asyncio.Event()

    @app.task(name="work", queue="q", retry=Retry(attempts=2, delay=HOUR))
    async def work(ctx: Context) -> None:
        ctx.progress(1, 4, "loading")
        begun.set()
        with contextlib.suppress(asyncio.CancelledError):
            await gate.wait()
        await gate.wait()

    @app.task(name="fail", queue="q", retry=Retry(attempts=1))
    async def fail() -> None:
        raise ValueError("no such account")

    async with working(app) as worker:
        job, failing = await work.enqueue(), await fail.enqueue()
        await asyncio.wait_for(begun.wait(), 20)
        await until(lambda: tables.value("select true from headrace.job_progress"), "its progress is written")
        why = await job.why()
        (running,) = why.reasons
        assert isinstance(running, Running)
        assert (running.worker_id, running.attempt, running.max_attempts, running.lost) == (worker.id, 1, 2, False)
        assert running.progress is not None
        assert running.progress["done"] == 1
        assert "; progress: 1 of 4 (loading)" in running.text
        assert why.next == "if this attempt fails, it is tried again, as attempt 2 of 2"
        await job.cancel("not needed")
        assert (await job.why()).next == "it is asked to stop (not needed), and ends as cancelled unless it succeeds"
        gate.set()
        await until(lambda: tables.unfinished() == 0, "both have ended")
    (failed,) = (await failing.why()).reasons
    assert isinstance(failed, Finished)
    assert (failed.state, failed.attempts, failed.error) == (State.FAILED, 1, "no such account")
    assert re.fullmatch(r"it failed at \S+ \S+ UTC in attempt 1, which took \S+ s: no such account", failed.text)
    assert (await failing.why()).next == "nothing, unless an operator retries it"
    never = await work.options(delay=HOUR).enqueue()
    await never.cancel("too late")
    (cancelled,) = (await never.why()).reasons
    assert isinstance(cancelled, Finished)
    assert (cancelled.took_s, cancelled.error) == (None, "too late")


# -- all of it --


async def test_tenants(quiet: Headrace) -> None:
    """A tenant's caller learns nothing of others' jobs, not even that they exist."""
    job = await send(quiet, tenant="a")
    assert (await quiet.why(job.id, tenant="a")).state is State.QUEUED
    for tenant in ("b", ""):
        with pytest.raises(JobNotFound):
            await quiet.why(job.id, tenant=tenant)
    with pytest.raises(JobNotFound):
        await quiet.why("01900000-0000-7000-8000-000000000000")


RECORD = {
    "id": "01900000-0000-7000-8000-000000000000", "task": "t", "queue": "q", "at": datetime(2026, 1, 1, tzinfo=UTC), "attempts": 1,
    "max_attempts": 2, "run": 1, "run_at": datetime(2026, 1, 1, tzinfo=UTC), "claimed_at": datetime(2026, 1, 1, tzinfo=UTC),
    "finished_at": datetime(2026, 1, 1, tzinfo=UTC), "worker_id": 1, "suspicion": 0, "blocked_by": None, "cancel_reason": None,
    "workflow_id": None, "error": None, "expires_at": None, "expired": False, "task_known": True, "pauses": None, "gates": None,
    "workers": {"live": 1, "draining": 0, "silent": 0, "places": 1}, "ahead": 0, "running": 0, "worker": None, "progress": None,
    "last_attempt": None, "wakes_at": None, "parents": {"name": None, "count": 0, "jobs": []},
}  # fmt: skip


@pytest.mark.parametrize("state", State)
def test_no_state_is_unexplained(state: State) -> None:
    """Of every state there is a reason with words, what is next, and a form for programs."""
    why = explain(RECORD | {"state": state, "blocked_by": "parents" if state is State.BLOCKED else None})
    assert why.reasons
    assert all(reason.text for reason in why.reasons)
    assert why.next
    assert json.loads(json.dumps(why.as_dict(), default=str))["reasons"][0]["kind"]


def written_blocked_by() -> set[str]:
    """Every value that the SQL gives to blocked_by, up to its colon."""
    found: set[str] = set()
    for folder in ("functions", "queries"):
        for entry in (files("headrace") / "_store" / folder).iterdir():
            text = entry.read_text(encoding="utf-8")
            if "blocked_by" in text:
                found |= set(re.findall(r"'(task|parents|[a-z]+:)'", text))
                found |= set(re.findall(r"blocked_by\s*(?:=|:=)\s*'([a-z]+:?)", text))
    return found


def test_no_blocked_by_is_unexplained() -> None:
    """Whatever the statements make a job wait for has a reason of its own."""
    written = written_blocked_by()
    assert written >= {"task", "parents", "event:"}
    for blocked_by in written:
        why = explain(RECORD | {"state": "blocked", "blocked_by": blocked_by + ("x" if ":" in blocked_by else "")})
        assert "of which this version of headrace knows nothing" not in why.text, blocked_by
    assert "knows nothing" in explain(RECORD | {"state": "blocked", "blocked_by": "moon"}).text


def test_every_limit_kind_is_explained() -> None:
    """Each kind of limit that can stop a job has a reason of its own; ageing stops nobody."""
    gate = {"name": "n", "key": None, "held": 1, "bound": 1, "opens_at": "2026-01-01T00:00:00+00:00", "state": "open", "forced": False,
            "holder": None, "holder_state": None}  # fmt: skip
    kinds = ("concurrency", "rate", "order", "breaker", "fair")
    classes = {
        type(explain(RECORD | {"state": "queued", "gates": [gate | {"kind": kind}]}).reasons[0]) for kind in kinds
    }
    assert len(classes) == len(kinds)
    check = re.search(
        r"kind in \(([^)]*)\)", (files("headrace") / "_store/migrations/0006_flow_control.sql").read_text()
    )
    assert check is not None
    assert set(re.findall(r"'(\w+)'", check[1])) == {*kinds, "ageing"}


def test_reasons_have_kinds_of_their_own() -> None:
    """Programs tell them apart."""
    classes = [
        one for _, one in inspect.getmembers(why_module, inspect.isclass)
        if issubclass(one, Reason) and one is not Reason and not one.__name__.startswith("_")
    ]  # fmt: skip
    assert len({one.kind for one in classes} - {""}) == len(classes)
