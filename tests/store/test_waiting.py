"""Letting jobs run that wait for events, from a mark on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from headrace._store.sql import query
from headrace._worker.promoter import CHUNK
from headrace._worker.waiting import FROM_START, FULL_SCAN_S, Waiting
from tests.store.turns import Clock, fewest, taking_turns

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from tests.store.harness import Store

PARK = """
    insert into headrace.job (id, state, position, queue, task, run_at, blocked_by, look_at)
    select gen_random_uuid(), 'blocked', null, 'q', 't', now() + %s::interval, 'event:' || %s || i, now() + %s::interval
    from generate_series(1, %s) i"""
EMITTED_AT = "now() - interval '1 minute'"
EMIT = f"""
    insert into headrace.event (name, emitted_at, expires_at)
    select %s || i, {EMITTED_AT}, now() + interval '1 day' from generate_series(1, %s) i"""
QUEUED = "select count(*) from headrace.job where state = 'queued'"


def releasing(store: Store) -> AbstractAsyncContextManager[tuple[Waiting, Clock]]:
    """One worker's turn."""
    return taking_turns(store, Waiting)


async def test_more_than_a_chunk_at_one_instant(store: Store) -> None:
    """Of events, and of jobs whose time is over: all are found, without a pause, whatever the mark."""
    store.ask(PARK, ["1 day", "a", "1 day", 2 * CHUNK + 7])
    store.ask(PARK, ["-1 minute", "b", "-1 minute", 2 * CHUNK + 7])
    store.ask(EMIT, ["a", 2 * CHUNK + 7])
    async with releasing(store) as (waiting, _):
        rounds = 1
        while await waiting.release() == 0.0:
            rounds += 1
    assert rounds <= 6
    assert store.ask(QUEUED) == [(4 * CHUNK + 14,)]


@pytest.mark.parametrize("what", ["event", "wait"])
async def test_what_is_committed_late_is_found_by_the_next_full_scan(store: Store, other: Store, what: str) -> None:
    """The mark only saves work: what appears before it waits for the loop's own round, and no longer."""
    if what == "event":
        store.ask(PARK, ["1 day", "a", "1 day", 1])
    async with releasing(store) as (waiting, clock):
        with other.conn.transaction():
            if what == "event":
                other.ask(EMIT, ["a", 1])
            else:
                other.ask(PARK, ["-1 minute", "a", "-1 minute", 1])
            await waiting.release()
        assert await waiting.release() is None
        assert store.ask(QUEUED) == [(0,)]
        clock.now_s += FULL_SCAN_S + 0.1
        await waiting.release()
        assert store.ask(QUEUED) == [(1,)]


async def test_those_who_emit_at_the_same_time_do_not_wait_for_the_full_scan(store: Store, other: Store) -> None:
    """One that is committed a little later than others is found by the next look."""
    store.ask(PARK, ["1 day", "a", "1 day", 1])
    async with releasing(store) as (waiting, _):
        with other.conn.transaction():
            assert other.emit("a1")
            store.emit("another")
            await waiting.release()
        await waiting.release()
        assert store.ask(QUEUED) == [(1,)]


async def test_an_error_forgets_the_mark(store: Store) -> None:
    """After a call that failed the next scan runs from the start."""
    async with releasing(store) as (waiting, _):
        await waiting.release()
        assert waiting._mark != FROM_START
        store.ask("alter table headrace.event rename to hidden")
        with pytest.raises(Exception, match="event"):
            await waiting.release()
        store.ask("alter table headrace.hidden rename to event")
        assert waiting._mark == FROM_START


@pytest.mark.direct
async def test_dead_entries_are_not_walked_over(store: Store, observer: Store) -> None:
    """While a transaction holds the horizon, a look behind the mark reads no entry of what was released (ENGINE 14)."""
    with observer.conn.transaction():
        observer.ask("set transaction isolation level repeatable read")
        observer.ask("select count(*) from headrace.job")
        store.ask(PARK, ["-1 minute", "a", "-1 minute", 3 * CHUNK])
        store.ask(PARK, ["1 day", "b", "1 day", 3 * CHUNK])
        store.ask(EMIT, ["b", 3 * CHUNK])
        async with releasing(store) as (waiting, _):
            while await waiting.release() == 0.0:
                pass
            mark = waiting._mark
        store.ask(PARK, ["0 seconds", "c", "0 seconds", 1])
        marked = fewest(lambda: buffers_of_look(store, mark))
        assert marked < fewest(lambda: buffers_of_look(store, FROM_START)) / 4


def buffers_of_look(store: Store, mark: tuple[str, str, str]) -> int:
    """Buffers that a look reads which begins there; it is undone."""
    parameters = {
        "now": None, "chunk": CHUNK, "events_after": mark[0], "looks_after": mark[1], "looks_after_id": mark[2],
    }  # fmt: skip
    with store.conn.transaction(force_rollback=True):
        statement = f"explain (analyze, buffers, format json) {query('release_waiting', 'headrace')}"
        (((plan,),),) = store.conn.execute(statement, parameters).fetchall()
        return int(plan["Plan"]["Shared Hit Blocks"])
