"""Schedules with real workers: several at once, killed, deployed."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from headrace import Context, Headrace
from tests.worker.helpers import Tables, until, working

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.worker.helpers import WorkerProcess

SECOND = timedelta(seconds=1)
ENQUEUED = "select count(*) from headrace.tick where outcome = 'enqueued'"


@pytest.mark.process
async def test_one_job_a_second_while_workers_are_killed(
    app: Headrace, tables: Tables, start_worker: Callable[..., WorkerProcess]
) -> None:
    """Three worker processes, killed in turn: every second from the first to the last has one tick, and each one job."""
    app.task(name="instant")(instant)
    await app.schedules.create("each_second", "instant", every=SECOND, catch_up="all", overlap="allow")
    workers = [start_worker().ready() for _ in range(3)]
    for n, worker in enumerate(workers[:2]):
        await until(lambda n=n: tables.value(ENQUEUED) >= 3 * n + 2, "ticks go on")  # type: ignore[misc]
        worker.kill()
    await until(lambda: tables.value(ENQUEUED) >= 8, "ticks go on")
    ((count, first, last, jobs),) = tables.rows(
        "select count(*), min(nominal), max(nominal), count(distinct job_id) from headrace.tick"
    )
    assert (last - first) / SECOND + 1 == count == jobs
    assert tables.value("select count(*) from headrace.jobs where metadata ? 'schedule'") == count
    await until(lambda: tables.value("select count(*) from headrace.jobs where state = 'succeeded'") >= 5, "they run")


async def instant() -> None:
    """As in sample_app."""


async def test_what_code_declares_runs(app: Headrace, tables: Tables) -> None:
    """From the start of the first worker on, on time, with its moment in the metadata; two workers make no difference."""
    ran: list[str] = []

    @app.schedule(every=SECOND, args={"word": "tick"})
    @app.task(name="note")
    async def note(word: str, ctx: Context) -> None:
        ran.append(f"{word} {ctx.job.metadata['schedule']['nominal']}")

    async with working(app), working(app):
        await until(lambda: len(ran) >= 3, "it runs")
    assert len(set(ran)) == len(ran)
    (schedule,) = await app.schedules.list()
    assert (schedule.name, schedule.declared, schedule.edited_at) == ("note", True, None)
    assert (
        tables.value("select max(extract(epoch from fired_at - due_at)) from headrace.tick where outcome = 'enqueued'")
        < 5
    )


async def test_a_deploy_without_it_disables_it(database: str, tables: Tables) -> None:
    """The next worker's code does not declare it any more: it is disabled, and says so."""
    async with Headrace(database) as before, working(declaring(before, declares=True)):
        await until(lambda: tables.value("select count(*) from headrace.schedule where enabled") == 1, "it is declared")
    async with Headrace(database) as after, working(declaring(after, declares=False)):
        await until(lambda: tables.value("select count(*) from headrace.schedule where enabled") == 0, "it is disabled")
        (schedule,) = await after.schedules.list()
        assert (schedule.enabled, schedule.declared) == (False, True)
        (coming, *_) = await after.schedules.next("note")
        assert coming.held == "disabled"


def declaring(app: Headrace, *, declares: bool) -> Headrace:
    """The same task, with or without its schedule."""
    task = app.task(name="note")(note_nothing)
    if declares:
        app.schedule("@hourly")(task)
    return app


async def note_nothing() -> None:
    await asyncio.sleep(0)


async def test_jobs_that_queue_follow_each_other_at_once(app: Headrace, tables: Tables) -> None:
    """The sweep looks often while something waits: ten moments run one after the other within seconds."""
    most = running = 0

    @app.task(name="alone")
    async def alone() -> None:
        nonlocal most, running
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.01)
        running -= 1

    await app.schedules.create("alone", alone, every=timedelta(hours=1), overlap="queue")
    now = await (await app.database()).value("read_clock")
    assert await app.schedules.backfill("alone", now - timedelta(hours=10), now) == 10
    async with working(app):
        await until(
            lambda: tables.value("select count(*) from headrace.jobs where state = 'succeeded'") == 10, "all ran"
        )
    assert most == 1
