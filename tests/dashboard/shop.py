"""A shop's background jobs: the app whose dashboard is tested and photographed."""

from __future__ import annotations

import asyncio
import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any

from headrace import Breaker, Concurrency, Context, Headrace, RateLimit, Retry, Workflow, current_context, group

CUSTOMERS = ("acme", "globex", "initech", "umbrella", "hooli", "stark", "wayne", "wonka")
QUICK = Retry(attempts=3, delay=timedelta(milliseconds=20), jitter=0)
ONCE = Retry(attempts=1)


class CardDeclined(Exception):
    """The bank says no."""


class MailboxFull(Exception):
    """The other side says no."""


def luck(*words: Any) -> float:
    """The same number from 0 to 1 for the same words."""
    return int(hashlib.sha256(repr(words).encode()).hexdigest()[:8], 16) / 0xFFFFFFFF


def make_app(url: str | None = None, gate: asyncio.Event | None = None, currencies: set[str] | None = None) -> Headrace:
    """The app.

    Args:
        url: Its database.
        gate: Videos are not done before it is set.
        currencies: What can be charged.
    """
    known = {"EUR", "USD", "GBP"} if currencies is None else currencies
    app = Headrace(url)
    app.queue("billing", max_queued=50_000)
    app.queue("mail", limits=[RateLimit(200, timedelta(seconds=1), burst=400)], fair_by="tenant")

    @app.task(
        name="billing.charge", queue="billing", retry=QUICK,
        limits=[Breaker("stripe", minimum=500), Concurrency(6, key="tenant")],
    )  # fmt: skip
    async def charge(ctx: Context, customer: str, amount: float, currency: str = "EUR") -> dict[str, Any]:
        ctx.log(f"charging {customer} {amount:.2f} {currency}")
        await asyncio.sleep(luck("took", ctx.job.id) / 40)
        if currency not in known:
            ctx.log(f"stripe does not know {currency}", level="error")
            raise ValueError(f"unknown currency {currency!r} for customer {customer}")
        if amount > 900 and luck("declined", customer, amount) < 0.5:
            ctx.log("declined: insufficient_funds", level="warning")
            raise CardDeclined(f"card of {customer} was declined: insufficient_funds")
        return {"charge": f"ch_{str(ctx.job.id)[-12:]}", "amount": amount, "currency": currency}

    @app.task(name="mail.receipt", queue="mail", retry=QUICK)
    async def receipt(customer: str, template: str = "receipt") -> str:
        await asyncio.sleep(0.002)
        if luck("mail", customer, template) < 0.03:
            raise MailboxFull(f"552 mailbox of {customer} is full")
        return f"sent {template} to {customer}"

    @app.task(name="mail.digest", queue="mail", retry=ONCE)
    async def digest(edition: str = "daily") -> int:
        if luck("digest", edition, str(current_context().job.id)) < 0.1:
            raise TimeoutError("smtp.example.com did not answer within 10 s")
        return 128

    @app.task(name="media.transcode", queue="media", retry=ONCE)
    async def transcode(ctx: Context, video: str, height: int = 1080) -> str:
        frames = 2400
        ctx.progress(round(frames * (0.2 + 0.7 * luck(video))), frames, f"frame of {video}")
        if gate is not None:
            await gate.wait()
        return f"{video}-{height}p.mp4"

    @app.task(name="reports.monthly", queue="reports", retry=QUICK)
    async def monthly(month: str = "2026-10") -> dict[str, Any]:
        await asyncio.sleep(0.01)
        return {"month": month, "rows": 18_204}

    @app.task(name="search.reindex", queue="default", retry=QUICK)
    async def reindex(shard: int) -> int:
        await asyncio.sleep(luck("reindex", shard) / 10)
        if shard == 5:
            raise ConnectionError("search-5.internal refused the connection")
        return shard * 1000

    @app.task(name="search.merge", queue="default", retry=QUICK)
    async def merge(counts: list[int]) -> int:
        return sum(counts)

    @app.task(name="imports.csv", queue="imports", retry=ONCE)
    async def import_csv(ctx: Context, path: str) -> int:
        async def count(n: int) -> int:
            await asyncio.sleep(0.01)
            return n

        await ctx.step("download", count, 48_211)
        rows = await ctx.step("parse", count, 1204)
        ctx.log(f"{rows} rows in {path}")
        approved = await ctx.wait_for_event(f"approved:{path}", timeout=timedelta(days=2))
        await ctx.step("insert", count, rows)
        return rows if approved else 0

    app.schedule(name="billing.sweep", every=timedelta(minutes=15), args={"month": "current"})(monthly)
    app.schedule("0 6 1 * *", name="report.monthly", timezone="Europe/London")(monthly)
    app.schedule("30 2 * * *", name="digest.daily", timezone="America/New_York", args={"edition": "daily"})(digest)
    app.schedule("5 * * * *", name="digest.hourly", args={"edition": "hourly"})(digest)
    app.schedule("0 9 * * MON", name="digest.weekly", timezone="Europe/Berlin", args={"edition": "weekly"})(digest)
    return app


def reindex_workflow(app: Headrace, shards: int, name: str = "search.rebuild") -> Workflow:
    """Prepare, index all shards, merge what they count, and mail."""
    task = app.tasks
    flow = Workflow(name)
    flow.add("prepare", task["reports.monthly"].job())
    names = [f"shard-{shard}" for shard in range(shards)]
    for shard, shard_name in enumerate(names):
        flow.add(shard_name, task["search.reindex"].job(shard=shard), after="prepare")
    flow.add("merge", task["search.merge"].job(counts=[1, 2, 3]), after=names)
    flow.add("tell people", task["mail.digest"].job(edition="index"), after="merge")
    flow.add("sitemap", task["mail.receipt"].job("stark", "sitemap"), after="prepare")
    return flow


async def seed(app: Headrace, jobs: int = 600) -> None:
    """Give the app a past: works through most of what it enqueues."""
    task = app.tasks
    new = []
    for number in range(jobs):
        customer = CUSTOMERS[int(luck("customer", number) ** 2 * len(CUSTOMERS))]
        amount = round(luck("amount", number) * 1000, 2)
        currency = "EUX" if customer == "initech" and number % 5 == 0 else "EUR"
        tags = ["vip"] if customer == "stark" else None
        new.append(task["billing.charge"].options(tenant=customer, tags=tags).job(customer, amount, currency))
        new.append(task["mail.receipt"].options(tenant=customer).job(customer, f"receipt-{number}"))
    await app.enqueue_many(new)
    await app.start(reindex_workflow(app, 8))
    await app.start(reindex_workflow(app, 4, "search.rebuild (small)"))
    await app.start(group(*[task["mail.receipt"].job("wonka", f"letter-{n}") for n in range(40)]))
    await app.enqueue_many([task["imports.csv"].job(f"orders-{n}.csv") for n in range(3)])
    await app.drain(concurrency=20)
    now = await app.now()
    for name, hours in (("digest.hourly", 26), ("billing.sweep", 9)):
        await app.schedules.backfill(name, now - timedelta(hours=hours), now - timedelta(minutes=1))
    await app.schedules.backfill("digest.daily", now - timedelta(days=24), now - timedelta(minutes=1))
    await app.schedules.backfill("digest.weekly", now - timedelta(days=120), now - timedelta(minutes=1))
    await app.drain(concurrency=20)
    await app.schedules.pause("digest.weekly", "the template is being redone (SHOP-412)", by="mia")
    await app.schedules.create(
        "reindex.shard-2", "search.reindex", cron="0 3 * * SUN#1", timezone="Asia/Kolkata", args={"shard": 2}
    )


async def fill(app: Headrace) -> None:
    """Give the app a present: jobs that wait, for a time, a worker or others."""
    task = app.tasks
    await app.enqueue_many([task["media.transcode"].job(f"clip-{n:03}", 2160 if n % 3 else 1080) for n in range(26)])
    await app.enqueue_many(
        [task["mail.receipt"].options(delay=timedelta(minutes=3 * n + 2)).job("hooli", f"later-{n}") for n in range(60)]
    )
    await app.pause(
        "reports", reason="replica lag on db-2, see incident 77", until=datetime.now(UTC) + timedelta(hours=3)
    )
    await app.enqueue_many([task["reports.monthly"].job(f"2026-{n:02}") for n in range(1, 11)])
    await app.set_queue("media", concurrency=8)


__all__ = ["CUSTOMERS", "fill", "make_app", "reindex_workflow", "seed"]
