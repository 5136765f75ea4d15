"""One job per tick (promise 4), whatever workers, clocks, time zones and operators do."""

from __future__ import annotations

import asyncio
import json
import random
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from headrace._schedule.rules import make_rule, moments
from headrace._store.migrate import migrate
from headrace._worker.ticker import CHUNK, Ticker
from headrace._worker.timings import Timings
from tests.store.harness import Store, ended, wait_until
from tests.store.schedules import (
    DAY,
    HOUR,
    MINUTE,
    NOON,
    Clock,
    check,
    due_rows,
    outcomes,
    plans,
    scheduling,
    send,
    ticks,
    write,
)
from tests.store.turns import fewest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.store.schedules import Scheduling

RUNNING: dict[str, Any] = {"overlap": "allow"}


@pytest.fixture(autouse=True)
def _no_history(store: Store) -> Iterator[None]:
    """Finished jobs of schedules are counted here, and tests of one process share a database."""
    yield
    store.ask("delete from headrace.job_history where metadata ? 'schedule'")


JOBS = "select count(*) from headrace.jobs where metadata ? 'schedule'"


async def test_each_moment_has_one_job(store: Store) -> None:
    """A ticker that is on time: a job for each moment, at its moment, with what the schedule says."""
    async with scheduling(store) as it:
        it.write(args={"n": 1}, tags=["x"], priority=3, cron="*/10 * * * *", timezone="Asia/Kolkata", **RUNNING)
        await it.tick()
        assert outcomes(store) == []
        for _ in range(60):
            it.clock.step(MINUTE)
            await it.tick()
        assert [nominal.strftime("%H:%M") for nominal, _ in ticks(store)] == [
            "17:40",
            "17:50",
            "18:00",
            "18:10",
            "18:20",
            "18:30",
        ]
        check(store)
        (job,) = store.ask("select job_id from headrace.tick order by due_at limit 1")[0]
        found = store.find(str(job))
        assert (found["task"], found["queue"], found["args"], found["tags"], found["priority"]) == (
            "t",
            "q",
            {"n": 1},
            ["x"],
            3,
        )
        assert found["metadata"] == {"schedule": {
            "name": "s", "nominal": "2026-03-01T17:40:00", "fold": 0, "due_at": "2026-03-01T12:10:00+00:00",
            "timezone": "Asia/Kolkata"}}  # fmt: skip


async def test_the_next_due_moment_is_slept_until(store: Store) -> None:
    """With a moment that is near the wait is until then; else it is the longest."""
    async with scheduling(store) as it:
        it.write(every=HOUR)
        assert await it.tick() == Timings().schedule_s
        assert 0.3 < await it.at(NOON + HOUR - timedelta(seconds=0.4)) < 0.5


# -- many workers --


async def test_many_tickers_at_once_tick_once(store: Store) -> None:
    """Six workers that look at the same time, two hours long: each minute of each schedule and tenant has one job."""
    clock = Clock()
    async with AsyncExitStack() as stack:
        several = [await stack.enter_async_context(scheduling(store, clock)) for _ in range(6)]
        several[0].write("a", **RUNNING)
        several[0].write("b", cron="*/2 * * * *", per_tenant=True, **RUNNING)
        several[0].tenants("b", *({"tenant": f"t{n}"} for n in range(5)))
        for _ in range(60):
            await asyncio.gather(*(it.tick() for it in several))
            clock.step(MINUTE)
        await asyncio.gather(*(it.tick() for it in several))
    assert len(ticks(store, "a")) == 60
    assert len(ticks(store, "b")) == 30 * 5
    assert store.one(JOBS) == 60 + 150
    check(store)


@pytest.mark.parametrize("end", ["commit", "rollback", "kill"])
def test_a_second_worker_does_not_wait_and_ticks_only_if_the_first_did_not(
    store: Store, other: Store, observer: Store, end: str
) -> None:
    """Between its compare-and-set and its commit, the first holds the row: the second passes by. A killed one leaves nothing."""
    write(store, NOON)
    send(store, plans(store, NOON), NOON)
    now = NOON + MINUTE
    planned = plans(store, now)
    first = store.another()
    try:
        pid = first.one("select pg_backend_pid()")
        first.ask("begin")
        assert send(first, planned, now) == 1
        assert send(other, planned, now) == 0
        if end == "kill":
            observer.ask("select pg_terminate_backend(%s)", [pid])
            wait_until(lambda: not observer.ask("select from pg_stat_activity where pid = %s", [pid]), "it is gone")
        else:
            first.ask(end)
    finally:
        first.conn.close()
    assert send(other, planned, now) == (0 if end == "commit" else 1)
    assert send(other, planned, now) == 0
    assert outcomes(store) == ["enqueued"]
    assert store.one(JOBS) == 1
    check(store)


def test_workers_whose_tzdata_differs_do_not_tick_a_moment_twice(store: Store) -> None:
    """For one worker nine o'clock is at 03:30, for the other an hour later: it was ticked, so it gets no second job (ENGINE 32)."""
    write(store, NOON, cron="0 9 * * *", timezone="Asia/Kolkata", **RUNNING)
    nine = datetime(2026, 3, 2, 9, 0)  # noqa: DTZ001 - what a clock shows
    at = datetime(2026, 3, 2, 3, 30, tzinfo=UTC)

    def next_is(when: datetime) -> dict[str, Any]:
        return {
            "next_due": when.isoformat(),
            "next_at": when.isoformat(),
            "next_nominal": nine.isoformat(),
            "next_fold": 0,
        }

    def tick(when: datetime, following: dict[str, Any]) -> int:
        (row,) = due_rows(store, when)
        moment = {"nominal": nine.isoformat(), "fold": 0, "due_at": when.isoformat(), "runs": True, "through": None}
        plan = {"schedule": "s", "tenant": "", "revision": row["revision"], "moments": [moment]}
        return send(store, json.dumps([plan | following]), when)

    (row,) = due_rows(store, NOON)
    assert (
        send(
            store,
            json.dumps([{"schedule": "s", "tenant": "", "revision": row["revision"], "moments": []} | next_is(at)]),
            NOON,
        )
        == 1
    )
    assert tick(at, next_is(at + HOUR)) == 1
    assert tick(at + HOUR, next_is(at + DAY)) == 1
    assert ticks(store) == [(nine, "enqueued")]
    assert store.one(JOBS) == 1


def test_a_plan_is_not_believed_before_its_time(store: Store) -> None:
    """A worker whose clock is an hour ahead sends its plan: this database's clock decides, and it has not come (ENGINE 32)."""
    write(store, NOON)
    send(store, plans(store, NOON), NOON)
    early = plans(store, NOON + HOUR)
    assert send(store, early, NOON + timedelta(seconds=59)) == 0
    assert outcomes(store) == []


def test_a_plan_made_before_an_edit_does_not_count(store: Store) -> None:
    """What was planned by the old rule is not stored over the new one's."""
    write(store, NOON)
    send(store, plans(store, NOON), NOON)
    old = plans(store, NOON + MINUTE)
    write(store, NOON + MINUTE, every=HOUR)
    assert send(store, old, NOON + MINUTE) == 0
    assert send(store, plans(store, NOON + MINUTE), NOON + MINUTE) == 1
    assert store.one("select next_at from headrace.schedule_due") == NOON + HOUR


# -- clocks --


async def test_a_clock_that_is_set_back_and_forth_by_an_hour(store: Store) -> None:
    """Set back, nothing happens until it has caught up; set forward, the moments between are caught up with; none has two jobs."""
    async with scheduling(store) as it:
        it.write(catch_up="all", **RUNNING)
        await it.tick()
        for _ in range(10):
            it.clock.step(MINUTE)
            await it.tick()
        await it.at(it.clock.now - HOUR)
        for _ in range(60):
            it.clock.step(MINUTE)
            await it.tick()
        assert outcomes(store) == ["enqueued"] * 10
        await it.at(it.clock.now + HOUR)
        assert outcomes(store) == ["enqueued"] * 70
        await it.at(it.clock.now - HOUR)
        await it.at(it.clock.now + HOUR)
        assert store.one(JOBS) == 70
        check(store)


async def walk(it: Scheduling, steps: int, seed: int) -> None:
    """A clock that jumps about, and operators who change and pause things; checked after each step."""
    chance = random.Random(seed)
    zones = ["Europe/Berlin", "Australia/Lord_Howe", "America/Havana"]
    crons = ["* * * * *", "*/7 * * * *", "0 * * * *", "30 2 * * *"]
    for step in range(steps):
        it.clock.step(timedelta(seconds=chance.choice([20, 60, 60, 600, 3600, -3600, -60])))
        if chance.random() < 0.1:
            it.write(
                cron=chance.choice(crons),
                timezone=chance.choice(zones),
                catch_up=chance.choice(["skip", "latest", "all"]),
                **RUNNING,
            )
        if chance.random() < 0.1:
            it.store.rows("skip_next_tick", name="s", tenant=None, skip=True)
        if chance.random() < 0.1:
            pause = chance.choice(["pause_schedule", "resume_schedule"])
            it.store.rows(pause, name="s", tenant=None, reason="r", by="b")
        await it.tick()
        check(it.store)
        assert (
            it.store.one("select count(*) from headrace.tick where due_at > %s", [it.clock.now + HOUR * 2 * (step + 1)])
            == 0
        )


@pytest.mark.parametrize("seed", range(3))
async def test_a_random_walk(store: Store, seed: int) -> None:
    """Whatever clocks and operators do, each tick has one job and each job one tick."""
    async with scheduling(store, Clock(datetime(2026, 3, 28, tzinfo=UTC))) as it:
        it.write(cron="* * * * *", timezone="Europe/Berlin", **RUNNING)
        await walk(it, 60, seed)
        assert len(ticks(store)) > 20


@pytest.mark.soak
@pytest.mark.timeout(1200)
async def test_a_random_walk_long(store: Store) -> None:
    """The same for longer."""
    for seed in range(20):
        async with scheduling(store, Clock(datetime(2026, 3, 28, tzinfo=UTC))) as it:
            it.write(cron="* * * * *", timezone="Europe/Berlin", **RUNNING)
            await walk(it, 500, 100 + seed)
        store.empty()


# -- time without workers --


@pytest.mark.parametrize(
    ("options", "enqueued", "missed"),
    [({"catch_up": "skip"}, 0, 48), ({"catch_up": "latest"}, 1, 47), ({"catch_up": "all"}, 48, 0),
     ({"catch_up": "all", "catch_up_limit": 10}, 10, 38)],
)  # fmt: skip
async def test_two_days_without_workers(store: Store, options: dict[str, Any], enqueued: int, missed: int) -> None:
    """Of 48 missed hours the policy says how many run: the latest of them; the others are recorded as missed."""
    async with scheduling(store) as it:
        it.write(every=HOUR, **options, **RUNNING)
        await it.tick()
        await it.at(NOON + 2 * DAY + 10 * MINUTE)
        assert outcomes(store) == ["missed"] * missed + ["enqueued"] * enqueued
        assert store.one(JOBS) == enqueued
        await it.at(NOON + 2 * DAY + HOUR)
        assert outcomes(store)[-1] == "enqueued"
        check(store)


async def test_a_minute_late_is_on_time(store: Store) -> None:
    """With "skip", too, a moment whose worker restarts for less than a minute runs."""
    async with scheduling(store) as it:
        it.write(every=HOUR, catch_up="skip")
        await it.tick()
        await it.at(NOON + HOUR + timedelta(seconds=59))
        await it.at(NOON + 2 * HOUR + timedelta(seconds=61))
        assert outcomes(store) == ["enqueued", "missed"]


async def test_a_year_without_workers_is_told_in_a_thousand_rows(store: Store) -> None:
    """Half a million missed minutes: the last thousand are told singly, one row stands for the rest, and it takes no time."""
    async with scheduling(store) as it:
        it.write(cron="* * * * *", timezone="Europe/Berlin")
        await it.tick()
        await it.at(NOON + 365 * DAY)
        assert len(ticks(store)) == 1001
        ((due_at, through),) = store.ask("select due_at, through from headrace.tick where through is not null")
        assert (due_at, through) == (NOON + MINUTE, NOON + 365 * DAY - 1000 * MINUTE)
        assert outcomes(store)[-2:] == ["missed", "enqueued"]


async def test_a_single_moment_and_an_end(store: Store) -> None:
    """What has no further moment is never due again."""
    async with scheduling(store) as it:
        it.write("once", at=NOON + HOUR)
        it.write("ends", every=HOUR, end_at=NOON + 3 * HOUR)
        await it.tick()
        for _ in range(5):
            it.clock.step(HOUR)
            await it.tick()
        assert len(ticks(store, "once")) == 1
        assert len(ticks(store, "ends")) == 2
        assert store.ask("select distinct next_due from headrace.schedule_due") == [(None,)]


async def test_jitter_is_the_same_for_everybody(store: Store) -> None:
    """Each moment is put off by its own part, the same in each worker, and the nominal times stay as they are."""
    async with scheduling(store) as it:
        it.write(every=HOUR, jitter=10 * MINUTE, per_tenant=True, **RUNNING)
        it.tenants("s", *({"tenant": f"t{n}"} for n in range(20)))
        await it.tick()
        planned = store.ask("select tenant, next_due, next_at from headrace.schedule_due order by 1")
        assert {at for _, _, at in planned} == {NOON + HOUR}
        assert len({due for _, due, _ in planned}) == 20
        assert all(NOON + HOUR <= due < NOON + HOUR + 10 * MINUTE for _, due, _ in planned)
        for _ in range(20):
            it.clock.step(5 * MINUTE)
            await it.tick()
        assert store.ask("select tenant, due_at from headrace.tick order by 1") == [(t, due) for t, due, _ in planned]


# -- overlap --


def claim(store: Store) -> tuple[int, Any]:
    worker = store.worker()
    (attempt,) = store.claim(worker)
    return worker, attempt


@pytest.mark.parametrize("unfinished", ["queued", "running"])
async def test_skip_gives_a_moment_no_job_while_an_earlier_one_is_unfinished(store: Store, unfinished: str) -> None:
    """Be it queued or running; once it has finished, the next moment has a job again."""
    async with scheduling(store) as it:
        it.write()
        await it.tick()
        await it.at(NOON + MINUTE)
        if unfinished == "running":
            worker, attempt = claim(store)
        await it.at(NOON + 2 * MINUTE)
        if unfinished == "queued":
            worker, attempt = claim(store)
        store.settle(worker, ended(attempt))
        await it.at(NOON + 3 * MINUTE)
        assert outcomes(store) == ["enqueued", "overlapped", "enqueued"]
        check(store)


async def test_queue_lets_jobs_wait_for_each_other(store: Store) -> None:
    """Three moments come while one job runs: one after the other, in their order, and never two at once."""
    async with scheduling(store) as it:
        it.write(overlap="queue")
        await it.tick()
        for _ in range(4):
            it.clock.step(MINUTE)
            await it.tick()
        assert outcomes(store) == ["enqueued", "waiting", "waiting", "waiting"]
        done = 0
        while store.one("select count(*) from headrace.job") == 1:
            worker, attempt = claim(store)
            await it.tick()
            assert store.one("select count(*) from headrace.job") == 1
            store.settle(worker, ended(attempt))
            done += 1
            await it.tick()
        assert done == 4
        assert outcomes(store) == ["enqueued"] * 4
        nominals = store.ask(
            "select metadata #>> '{schedule,nominal}' from headrace.job_history where metadata ? 'schedule' order by id"
        )
        assert nominals == sorted(nominals)
        check(store)


async def test_a_pause_holds_what_waits(store: Store) -> None:
    """Nothing of a paused schedule starts, not even what was due before."""
    async with scheduling(store) as it:
        it.write(overlap="queue")
        await it.tick()
        await it.at(NOON + MINUTE)
        await it.at(NOON + 2 * MINUTE)
        store.rows("pause_schedule", name="s", tenant=None, reason="r", by="b")
        worker, attempt = claim(store)
        store.settle(worker, ended(attempt))
        await it.tick()
        assert outcomes(store) == ["enqueued", "waiting"]
        store.rows("resume_schedule", name="s", tenant=None)
        await it.tick()
        assert outcomes(store) == ["enqueued", "enqueued"]


async def test_cancel_ends_the_earlier_job_and_then_starts(store: Store) -> None:
    """A queued job is cancelled at once, a running one is asked; the new one waits until it has ended. Older waiting ones go."""
    async with scheduling(store) as it:
        it.write(overlap="cancel")
        await it.tick()
        await it.at(NOON + MINUTE)
        await it.at(NOON + 2 * MINUTE)
        assert store.ask("select state::text from headrace.jobs where metadata ? 'schedule' order by id") == [
            ("cancelled",),
            ("queued",),
        ]
        worker, attempt = claim(store)
        await it.at(NOON + 3 * MINUTE)
        await it.at(NOON + 4 * MINUTE)
        assert outcomes(store) == ["enqueued", "enqueued", "overlapped", "waiting"]
        assert store.find(attempt.id)["cancel_reason"] == 'schedule "s" is due again'
        store.settle(worker, ended(attempt, "cancelled"))
        await it.tick()
        assert outcomes(store) == ["enqueued", "enqueued", "overlapped", "enqueued"]
        check(store)


async def test_cancel_leaves_a_backfill_waiting(store: Store) -> None:
    """A moment that comes ends the earlier job, and not what somebody has asked for."""
    async with scheduling(store) as it:
        it.write(every=HOUR, overlap="cancel")
        await it.tick()
        await it.at(NOON + HOUR)
        assert backfill(store, NOON - 2 * HOUR, NOON) == 2
        await it.at(NOON + 2 * HOUR)
        assert outcomes(store) == ["waiting", "waiting", "enqueued", "enqueued"]
        for _ in range(3):
            worker, attempt = claim(store)
            store.settle(worker, ended(attempt))
            await it.tick()
        assert outcomes(store) == ["enqueued"] * 4
        check(store)


async def test_what_waited_for_a_tenant_that_is_gone(store: Store) -> None:
    """A schedule that is no longer per tenant leaves nothing waiting for ever."""
    async with scheduling(store) as it:
        it.write(overlap="queue", per_tenant=True)
        it.tenants("s", {"tenant": "a"}, {"tenant": "b"})
        await it.tick()
        await it.at(NOON + MINUTE)
        await it.at(NOON + 2 * MINUTE)
        assert store.rows("delete_schedule_tenants", name="s", tenants=["a"]) == [("a",)]
        it.write(overlap="queue")
        assert outcomes(store) == ["enqueued", "enqueued", "skipped", "skipped"]


async def test_a_job_that_somebody_holds_does_not_hold_up_anybody(store: Store, other: Store) -> None:
    """To cancel it is put off for a second at a time, without waiting; the other schedules are ticked meanwhile (ENGINE 8)."""
    async with scheduling(store) as it:
        it.write(overlap="cancel")
        it.write("other", overlap="allow")
        await it.tick()
        await it.at(NOON + MINUTE)
        (job,) = store.ask("select job_id from headrace.tick where schedule = 's'")[0]
        with other.conn.transaction():
            other.ask("select from headrace.job where id = %s for update", [job])
            it.clock.now = NOON + 2 * MINUTE
            assert send(store, plans(store, it.clock.now), it.clock.now) == 1
            assert (outcomes(store), outcomes(store, "other")) == (["enqueued"], ["enqueued"] * 2)
            assert "held by an open" in store.one("select problem from headrace.schedule_due where schedule = 's'")
            assert await it.tick() > 0.5
        await it.at(NOON + 2 * MINUTE + timedelta(seconds=1))
        assert outcomes(store) == ["enqueued"] * 2
        assert store.one("select problem from headrace.schedule_due where schedule = 's'") is None
        check(store)


# -- operators --


async def test_a_schedule_that_an_operator_holds_is_late_and_nothing_else_is(store: Store, other: Store) -> None:
    """An open transaction on a schedule's row makes nobody wait; the tick happens when it has ended."""
    async with scheduling(store) as it:
        it.write()
        it.write("other")
        await it.tick()
        with other.conn.transaction():
            other.rows("skip_next_tick", name="s", tenant=None, skip=False)
            it.clock.step(MINUTE)
            assert await it.ticker.tick() == 0.0
            assert await it.ticker.tick() > 0.0
            assert (outcomes(store), outcomes(store, "other")) == ([], ["enqueued"])
        await it.tick()
        assert outcomes(store) == ["enqueued"]


async def test_pause_and_skip_next(store: Store) -> None:
    """Moments that pass are recorded with what made them pass, and only the next one is skipped."""
    async with scheduling(store) as it:
        it.write(**RUNNING)
        await it.tick()
        store.rows("pause_schedule", name="s", tenant=None, reason="audit", by="me")
        await it.at(NOON + MINUTE)
        store.rows("resume_schedule", name="s", tenant=None)
        store.rows("skip_next_tick", name="s", tenant=None, skip=True)
        await it.at(NOON + 2 * MINUTE)
        await it.at(NOON + 3 * MINUTE)
        assert outcomes(store) == ["paused", "skipped", "enqueued"]
        assert store.one("select detail from headrace.tick where outcome = 'paused'") == "audit"
        check(store)


async def test_a_full_queue_refuses_its_own_ticks_only(store: Store) -> None:
    """The tick says so, the others of the chunk have their jobs, and the next moment is tried again."""
    store.ask("insert into headrace.queue (name, max_queued) values ('full', 0)")
    async with scheduling(store) as it:
        it.write(queue="full")
        it.write("other")
        await it.tick()
        await it.at(NOON + MINUTE)
        assert (outcomes(store), outcomes(store, "other")) == (["refused"], ["enqueued"])
        assert "is full" in store.one("select detail from headrace.tick where outcome = 'refused'")
        store.ask("delete from headrace.queue")
        await it.at(NOON + 2 * MINUTE)
        assert outcomes(store) == ["refused", "enqueued"]
        check(store)


async def test_a_zone_that_this_worker_does_not_know(store: Store) -> None:
    """A newer worker made it: it is put off and says why, and the others go on; a worker that knows it takes it up."""
    async with scheduling(store) as it:
        it.write(cron="* * * * *", timezone="Europe/Berlin")
        it.write("other")
        store.ask("update headrace.schedule set timezone = 'Mars/Olympus' where name = 's'")
        await it.tick()
        await it.at(NOON + MINUTE)
        assert (outcomes(store), outcomes(store, "other")) == ([], ["enqueued"])
        assert "Mars/Olympus" in store.one("select problem from headrace.schedule_due where schedule = 's'")
        store.ask("update headrace.schedule set timezone = 'Europe/Berlin' where name = 's'")
        await it.at(NOON + 3 * MINUTE)
        assert outcomes(store)[-1] == "enqueued"
        assert store.one("select problem from headrace.schedule_due where schedule = 's'") is None


def backfill(store: Store, start: datetime, end: datetime) -> int:
    rule = make_rule(cron=None, every=HOUR, at=None, timezone="UTC")
    told = [
        {"nominal": m.nominal.isoformat(), "fold": m.fold, "due_at": m.at.isoformat()}
        for m in moments(rule, start, end)
    ]
    return int(store.value("backfill_schedule", name="s", tenant="", moments=json.dumps(told)))


@pytest.mark.parametrize("overlap", ["allow", "skip"])
async def test_a_backfill_runs_what_has_no_job_once(store: Store, overlap: str) -> None:
    """Moments that were missed run, those that have a job do not run again, and asking twice does no harm."""
    async with scheduling(store) as it:
        it.write(every=HOUR, overlap=overlap)
        await it.tick()
        await it.at(NOON + 5 * HOUR)
        assert outcomes(store) == ["missed"] * 4 + ["enqueued"]
        assert backfill(store, NOON - 2 * HOUR, NOON + 5 * HOUR) == 6
        assert backfill(store, NOON - 2 * HOUR, NOON + 5 * HOUR) == 0
        most = 0
        for _ in range(8):
            await it.tick()
            worker = store.worker()
            held = store.claim(worker, 100)
            most = max(most, len(held))
            if held:
                store.settle(worker, *(ended(attempt) for attempt in held))
        assert outcomes(store) == ["enqueued"] * 7
        assert store.one(JOBS) == 7
        assert most == (7 if overlap == "allow" else 1)
        check(store)


async def test_run_now_is_a_tick_too(store: Store) -> None:
    """It is recorded with its job, and the next moment sees that it has not finished."""
    async with scheduling(store) as it:
        it.write()
        await it.tick()
        job = store.value("run_schedule", name="s", tenant="", nominal=NOON.replace(tzinfo=None))
        assert store.state(job) == "queued"
        await it.at(NOON + MINUTE)
        assert store.ask("select cause, outcome from headrace.tick order by nominal") == [
            ("run_now", "enqueued"),
            ("due", "overlapped"),
        ]
        assert store.value("run_schedule", name="s", tenant="nobody", nominal=NOON.replace(tzinfo=None)) is None
        check(store)


# -- size --


async def test_five_thousand_tenants_due_at_one_minute(store: Store) -> None:
    """They are ticked in chunks, each tenant once, with its own zone and arguments; another schedule is ticked with them."""
    async with scheduling(store) as it:
        it.write("many", cron="0 9 * * *", per_tenant=True, args={"n": 1}, **RUNNING)
        zones = ["Asia/Kolkata", "Asia/Colombo"]  # one offset, so that all are due at once
        it.tenants("many", *({"tenant": f"t{n:04}", "timezone": zones[n % 2], "args": {"n": n}} for n in range(5000)))
        it.write("other", every=30 * MINUTE, **RUNNING)
        await it.tick()
        due = datetime(2026, 3, 2, 3, 30, tzinfo=UTC)
        await it.at(due - MINUTE)
        before = len(outcomes(store, "other"))
        assert store.one("select count(*) from headrace.schedule_due where next_due = %s", [due]) == 5001
        it.clock.now = due
        rounds, waits = 0, 0.0
        clock = asyncio.get_running_loop().time
        start = clock()
        while (waits := await it.ticker.tick()) == 0.0:
            rounds += 1
        print(f"5,000 tenants: {clock() - start:.2f} s, {rounds} rounds")
        assert waits > 0
        assert rounds == 5000 // CHUNK + 1
        assert clock() - start < 20
        assert outcomes(store, "other")[before:] == ["enqueued"]
        assert (
            store.one(
                "select count(distinct tenant) from headrace.job where task = 't' and (args ->> 'n')::int = substr(tenant, 2)::int"
            )
            == 5000
        )
        check(store)


def buffers_of_look(store: Store, now: datetime, behind_s: float | None) -> int:
    """What a look for due schedules reads."""
    parameters = {"now": now, "ahead_s": 1.0, "behind_s": behind_s, "chunk": CHUNK}
    plan = store.explained("list_due_schedules", "analyze, buffers, format json", parameters)
    return int(plan[0]["Plan"]["Shared Hit Blocks"])


@pytest.mark.direct
async def test_dead_entries_are_not_looked_at(store: Store, observer: Store) -> None:
    """While a snapshot keeps what 4,000 ticks left, a look that follows an empty one reads none of it (ENGINE 14)."""
    with observer.conn.transaction():
        observer.ask("set transaction isolation level repeatable read")
        observer.ask("select count(*) from headrace.schedule_due")
        async with scheduling(store) as it:
            it.write(per_tenant=True, **RUNNING)
            it.tenants("s", *({"tenant": f"t{n}"} for n in range(200)))
            await it.tick()
            for _ in range(20):
                it.clock.step(MINUTE)
                await it.tick()
            fresh = fewest(lambda: buffers_of_look(store, it.clock.now, 6.0))
            full = fewest(lambda: buffers_of_look(store, it.clock.now, None))
    print(f"{fresh} buffers, of everything {full}")
    assert fresh < full / 4


async def test_what_comes_late_is_found_by_a_look_at_everything(store: Store) -> None:
    """A schedule whose transaction took longer than looks reach back is ticked a few seconds later."""
    async with scheduling(store) as it:
        seconds = iter([100.0, 101.0, 102.0, 110.0])
        ticker = Ticker(it.database, Timings(), it.clock, lambda: next(seconds))
        await ticker.tick()
        write(store, NOON - MINUTE, every=MINUTE)
        looks = []
        for _ in range(3):
            await ticker.tick()
            looks.append(store.one("select next_nominal is not null from headrace.schedule_due"))
        assert looks == [False, False, True]


async def simulate(it: Scheduling, days: int) -> None:
    """Ticks through days, jumping from one due moment to the next."""
    it.write("daily", cron="30 2 * * *", timezone="Europe/Berlin", **RUNNING)
    it.write("hourly", cron="15 */3 * * *", timezone="Australia/Lord_Howe", **RUNNING)
    it.write("weekly", cron="0 9 * * MON", timezone="America/New_York", **RUNNING)
    await it.tick()
    end, start = it.clock.now + days * DAY, it.clock.now
    while (due := it.store.one("select min(next_due) from headrace.schedule_due")) <= end:
        await it.at(due)
    for name, cron, zone in (("daily", "30 2 * * *", "Europe/Berlin"), ("hourly", "15 */3 * * *", "Australia/Lord_Howe"),
                             ("weekly", "0 9 * * MON", "America/New_York")):  # fmt: skip
        rule = make_rule(cron=cron, every=None, at=None, timezone=zone)
        assert [n for n, _ in ticks(it.store, name)] == [m.nominal.replace(fold=0) for m in moments(rule, start, end)]
        assert set(outcomes(it.store, name)) == {"enqueued"}
    assert it.store.one("select max(fired_at - due_at) from headrace.tick") == timedelta(0)
    assert it.store.one(JOBS) == it.store.one("select count(*) from headrace.tick")
    check(it.store)


async def test_five_weeks_simulated(store: Store) -> None:
    """Every moment of weeks in which clocks change, in seconds: each has its job, at its time."""
    async with scheduling(store, Clock(datetime(2026, 3, 15, tzinfo=UTC))) as it:
        await simulate(it, 35)


@pytest.mark.soak
@pytest.mark.timeout(600)
async def test_a_year_simulated(store: Store) -> None:
    """The same for a year."""
    async with scheduling(store, Clock(datetime(2026, 1, 1, tzinfo=UTC))) as it:
        await simulate(it, 365)
        assert len(ticks(store, "daily")) == 365


async def test_ticks_go_when_they_are_out_of_retention(store: Store) -> None:
    """After 30 days, but not those that still wait."""
    async with scheduling(store) as it:
        it.write(overlap="queue")
        await it.tick()
        await it.at(NOON + MINUTE)
        await it.at(NOON + 2 * MINUTE)
        store.rows("prune_ticks", now=NOON + 30 * DAY, chunk=10)
        assert len(ticks(store)) == 2
        store.rows("prune_ticks", now=NOON + 31 * DAY, chunk=10)
        assert outcomes(store) == ["waiting"]


async def test_an_outage_is_an_error_and_no_tick(store: Store) -> None:
    """What breaks on the way is tried again by the loop; nothing is put off for it."""
    async with scheduling(store) as it:
        it.write()
        await it.tick()
        await it.database.close()
        it.clock.step(MINUTE)
        with pytest.raises(Exception, match="closed"):
            await it.ticker.tick()
        assert outcomes(store) == []


async def test_another_schema_has_schedules_of_its_own(empty_database: str) -> None:
    """No statement of them has the default schema's name left in it (ENGINE 38)."""
    migrate(empty_database, "other")
    with Store(empty_database, "other") as store:
        write(store, NOON, overlap="queue")
        for now in (NOON, NOON + MINUTE, NOON + 2 * MINUTE):
            assert send(store, plans(store, now), now) == 1
        store.rows("release_waiting_ticks", after_schedule="", after_tenant="", chunk=1, now=None)
        assert store.ask("select outcome from other.tick order by due_at") == [("enqueued",), ("waiting",)]
        assert store.one("select count(*) from other.job") == 1
        assert store.rows("declare_schedules", worker_id=store.worker(), declarations="[]", tasks=["t"]) == []
        assert store.value("run_schedule", name="s", tenant="", nominal="2026-01-01")
        assert store.value("backfill_schedule", name="s", tenant="", moments="[]") == 0
