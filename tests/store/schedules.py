"""Schedules without workers: the ticker with a clock that the test steps, and looks at what it did."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import TYPE_CHECKING, Any

from headrace._schedule.declaration import Declaration
from headrace._store.database import Database
from headrace._worker.ticker import Ticker, plan_row
from headrace._worker.timings import Timings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.store.harness import Store

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
ONE_JOB_EACH = """
    select count(*) from headrace.tick t
    where (t.outcome = 'enqueued') is distinct from (t.job_id is not null)
       or (t.job_id is not null and not exists (select from headrace.jobs j where j.id = t.job_id))"""
JOBS_WITHOUT_TICK = """
    select count(*) from headrace.jobs j
    where j.metadata ? 'schedule' and not exists (select from headrace.tick t where t.job_id = j.id)"""


class Clock:
    """The time that the ticker tells the database."""

    def __init__(self, now: datetime = NOON) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def step(self, by: timedelta) -> None:
        self.now += by


class Scheduling:
    """One ticker, and its clock."""

    def __init__(self, store: Store, database: Database, clock: Clock) -> None:
        self.store = store
        self.database = database
        self.clock = clock
        self.ticker = Ticker(database, Timings(), clock, count(step=60).__next__)  # every look is at everything

    def write(self, name: str = "s", **options: Any) -> None:
        """Make or change a schedule, now by the clock."""
        write(self.store, self.clock.now, name, **options)

    def tenants(self, name: str, *tenants: dict[str, Any]) -> None:
        self.store.rows("write_schedule_tenants", name=name, tenants=json.dumps(tenants), now=self.clock.now)

    async def tick(self) -> float:
        """Tick until nothing is due; how long to wait then."""
        wait_s = 0.0
        while wait_s == 0.0:
            wait_s = await self.ticker.tick()
        return wait_s

    async def at(self, moment: datetime) -> float:
        """The same at another time."""
        self.clock.now = moment
        return await self.tick()


def write(store: Store, now: datetime, name: str = "s", **options: Any) -> None:
    """Make or change a schedule; every minute if not said otherwise."""
    when = {} if {"cron", "every", "at"} & options.keys() else {"every": MINUTE}
    declaration = Declaration(name=name, **({"task": "t", "queue": "q"} | when | options))
    fields = json.dumps(declaration.fields())
    assert store.value("write_schedule", fields=fields, digest=None, editor=None, only_new=False, now=now)


@asynccontextmanager
async def scheduling(store: Store, clock: Clock | None = None) -> AsyncIterator[Scheduling]:
    database = Database(store.url, "headrace", max_connections=1)
    await database.open()
    try:
        yield Scheduling(store, database, clock or Clock())
    finally:
        await database.close()


def due_rows(store: Store, now: datetime) -> list[dict[str, Any]]:
    """What a ticker reads at this time."""
    names = ["schedule", "tenant", "revision", "next_at", "next_due", "next_nominal", "next_fold", "due_in_s", "now", "cron",
             "every", "at", "timezone", "start_at", "end_at", "jitter", "catch_up", "catch_up_limit"]  # fmt: skip
    rows = store.rows("list_due_schedules", now=now, ahead_s=0, behind_s=None, chunk=1000)
    return [dict(zip(names, row, strict=True)) for row in rows]


def plans(store: Store, now: datetime) -> str:
    """What a ticker would send at this time."""
    return json.dumps([plan_row(row) for row in due_rows(store, now)])


def send(store: Store, planned: str, now: datetime) -> int:
    """How many plans counted."""
    return len(store.rows("tick_schedules", plans=planned, now=now))


def ticks(store: Store, name: str = "s") -> list[tuple[Any, ...]]:
    """(nominal, outcome) of each tick, oldest first."""
    return store.ask("select nominal, outcome from headrace.tick where schedule = %s order by due_at, tenant", [name])


def outcomes(store: Store, name: str = "s") -> list[str]:
    return [outcome for _, outcome in ticks(store, name)]


def check(store: Store) -> None:
    """What must hold at every moment: each tick that says so has one job, and no job of a schedule is without a tick."""
    assert store.one(ONE_JOB_EACH) == 0
    assert store.one(JOBS_WITHOUT_TICK) == 0
    assert (
        store.one(
            "select count(*) from (select job_id from headrace.tick where job_id is not null group by 1 having count(*) > 1) d"
        )
        == 0
    )
