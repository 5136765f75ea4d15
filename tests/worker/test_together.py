"""Features that each have tests of their own, in one job: what one of them does must not undo another's promise."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING

from headrace import Concurrency, Context, Headrace, Retry, Snooze, State, chain, group, previous
from tests.worker.helpers import until, working

if TYPE_CHECKING:
    from tests.worker.helpers import Tables

ORDERS = 12


async def test_a_workflow_of_limited_jobs_with_steps_that_wait_for_events(app: Headrace, tables: Tables) -> None:
    """Slots are given back while a job waits, sleeps, snoozes or is retried; steps run once; results reach the last node."""
    running: Counter[str] = Counter()
    most: Counter[str] = Counter()
    charged: Counter[int] = Counter()
    failed: set[int] = set()
    snoozed: set[int] = set()

    async def charge(order: int) -> int:
        charged[order] += 1
        return order * 10

    @app.task(
        name="order",
        limits=[Concurrency(2, key="shop"), Concurrency(3, name="all")],
        retry=Retry(attempts=3, delay=timedelta(0), jitter=0),
    )
    async def order(ctx: Context, number: int, shop: str) -> int:
        running.update((shop, "all"))
        for name in (shop, "all"):
            most[name] = max(most[name], running[name])
        try:
            paid = await ctx.step("charge", charge, number)
            if number % 3 == 0 and number not in snoozed:
                snoozed.add(number)
                raise Snooze(timedelta(0))
            await ctx.sleep(timedelta(milliseconds=1))
            if number % 4 == 0 and number not in failed:
                failed.add(number)
                raise ZeroDivisionError
            sent: int = await ctx.wait_for_event(f"sent:{number}")
            await asyncio.sleep(0)
            return paid + sent
        finally:
            running.subtract((shop, "all"))

    @app.task(name="total", limits=[Concurrency(1, name="all-totals")])
    def total(numbers: list[int]) -> int:
        return sum(numbers)

    async with working(app, concurrency=20):
        flow = chain(group(order.job(n, f"shop {n % 2}") for n in range(ORDERS)), total.job(previous()))
        started = await app.start(flow)
        await until(
            lambda: tables.value("select count(*) from headrace.job where blocked_by like 'event:%%'") == ORDERS,
            "all wait for their events, and hold no slot",
        )
        for number in range(ORDERS):
            await app.emit(f"sent:{number}", 1)
        assert await started.result(timeout=30) == sum(range(ORDERS)) * 10 + ORDERS
        assert (await started.info()).state == State.SUCCEEDED
    assert set(charged.values()) == {1}
    assert most["all"] <= 3
    assert max(most["shop 0"], most["shop 1"]) <= 2
    # One more limited job folds in what the last ones gave back.
    async with working(app):
        await (await order.enqueue(0, "shop 0")).cancel()
        await (await total.enqueue([1])).result(timeout=30)
    held = "select coalesce(sum(held), 0) from headrace.flow_gate g join headrace.flow_limit l on l.id = g.limit_id where l.name <> 'all-totals'"
    assert tables.value(held) == 0
