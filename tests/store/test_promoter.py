"""Promoting what is due, from a mark on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from headrace._store.sql import query
from headrace._worker.promoter import CHUNK, FULL_SCAN_S, START, Promoter
from headrace._worker.timings import Timings
from tests.store.turns import Clock, fewest, taking_turns

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from tests.store.harness import Store

SCHEDULE = """
    insert into headrace.job (id, state, position, queue, task, run_at)
    select gen_random_uuid(), 'scheduled', null, 'q', 't', now() + %s::interval from generate_series(1, %s)"""
QUEUED = "select count(*) from headrace.job where state = 'queued'"


def promoting(store: Store) -> AbstractAsyncContextManager[tuple[Promoter, Clock]]:
    """One worker's turn."""
    return taking_turns(store, lambda database, clock: Promoter(database, Timings(), clock))


async def test_more_jobs_than_a_chunk_at_one_instant_are_all_promoted(store: Store) -> None:
    """The mark is a place between jobs of one time, too: none is passed over."""
    store.ask(SCHEDULE, ["-1 minute", 2 * CHUNK + 7])
    async with promoting(store) as (promoter, _):
        assert [await promoter.promote() for _ in range(2)] == [0.0, 0.0]
        assert await promoter.promote() is None
    assert store.ask(QUEUED) == [(2 * CHUNK + 7,)]


async def test_a_job_that_is_committed_late_is_found_by_the_next_full_scan(store: Store, other: Store) -> None:
    """The mark only saves work: what appears before it waits for the next scan from the start, and no longer."""
    async with promoting(store) as (promoter, clock):
        with other.conn.transaction():
            other.ask(SCHEDULE, ["-1 minute", 1])
            await promoter.promote()
        assert await promoter.promote() is None
        assert store.ask(QUEUED) == [(0,)]
        clock.now_s += FULL_SCAN_S + 0.1
        await promoter.promote()
        assert store.ask(QUEUED) == [(1,)]


async def test_the_next_due_time_is_slept_until(store: Store) -> None:
    """With a job that is due soon the wait is that long, with one that is not it is the longest."""
    async with promoting(store) as (promoter, _):
        store.ask(SCHEDULE, ["1 hour", 1])
        assert await promoter.promote() == Timings().promote_s
        store.ask(SCHEDULE, ["500 milliseconds", 1])
        assert 0 < (await promoter.promote() or 0) <= 0.5


async def test_an_error_forgets_the_mark(store: Store) -> None:
    """After a call that failed the next scan runs from the start: a restore may have set the clock back."""
    async with promoting(store) as (promoter, _):
        await promoter.promote()
        assert promoter._mark != START
        store.ask("alter table headrace.job rename to hidden")
        with pytest.raises(Exception, match="job"):
            await promoter.promote()
        store.ask("alter table headrace.hidden rename to job")
        assert promoter._mark == START


@pytest.mark.direct
async def test_dead_entries_are_not_walked_over(store: Store, observer: Store) -> None:
    """While a transaction holds the horizon, a look behind the mark reads no entry of what was promoted (ENGINE 14)."""
    with observer.conn.transaction():
        observer.ask("set transaction isolation level repeatable read")
        observer.ask("select count(*) from headrace.job")
        store.ask(SCHEDULE, ["-1 minute", 3 * CHUNK])
        async with promoting(store) as (promoter, _):
            while await promoter.promote() == 0.0:
                pass
            mark = promoter._mark
        store.ask(SCHEDULE, ["0 seconds", 1])
        marked = fewest(lambda: buffers_of_look(store, mark))
        assert marked < fewest(lambda: buffers_of_look(store, START)) / 4


def buffers_of_look(store: Store, mark: tuple[str, str]) -> int:
    """Buffers that a promotion reads which begins there; it is undone."""
    parameters = {"now": None, "chunk": CHUNK, "after": mark[0], "after_id": mark[1]}
    with store.conn.transaction(force_rollback=True):
        statement = f"explain (analyze, buffers, format json) {query('promote_jobs', 'headrace')}"
        (((plan,),),) = store.conn.execute(statement, parameters).fetchall()
        return int(plan["Plan"]["Shared Hit Blocks"])
