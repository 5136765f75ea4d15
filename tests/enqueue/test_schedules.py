"""`app.schedules`: making, changing and looking at schedules, without a worker."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from headrace import ConfigurationError, Headrace, InvalidArguments, ScheduleTenant, Task, UnknownSchedule, UnknownTask
from headrace._worker.ticker import Ticker
from headrace._worker.timings import Timings

if TYPE_CHECKING:
    from collections.abc import Callable

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
if TYPE_CHECKING:
    Rows = Callable[..., list[tuple[Any, ...]]]


@pytest.fixture
async def ticker(app: Headrace) -> Ticker:
    """Plans what was made, as a worker would."""
    return Ticker(await app.database(), Timings())


async def test_what_is_made_is_found(app: Headrace, greet: Task[..., ..., str]) -> None:
    """With everything that was said, and defaults for the rest."""
    made = await app.schedules.create(
        "morning", greet, cron="0 9 * * MON-FRI", timezone="Asia/Kolkata", args={"name": "Ada"}, overlap="queue",
        catch_up="all", catch_up_limit=5, jitter=HOUR, queue="mail", priority=7, tenant="acme", tags=["x"],
    )  # fmt: skip
    assert made == await app.schedules.get("morning") == (await app.schedules.list())[0]
    assert (made.cron, made.timezone, made.args, made.overlap, made.catch_up, made.catch_up_limit) == (
        "0 9 * * MON-FRI", "Asia/Kolkata", {"name": "Ada"}, "queue", "all", 5)  # fmt: skip
    assert (made.jitter, made.queue, made.priority, made.tenant, made.tags) == (HOUR, "mail", 7, "acme", ["x"])
    assert (made.declared, made.enabled, made.paused_at, made.next_due, made.last) == (False, True, None, None, None)


async def test_what_cannot_be_made(app: Headrace, greet: Task[..., ..., str]) -> None:
    """Nothing is stored of it."""
    create = app.schedules.create
    with pytest.raises(ConfigurationError, match="the minute"):
        await create("s", greet, cron="61 * * * *")
    with pytest.raises(InvalidArguments, match="nome"):
        await create("s", greet, every=HOUR, args={"nome": "x"})
    with pytest.raises(UnknownTask, match='Did you mean "greet"'):
        await create("s", "great", every=HOUR)
    with pytest.raises(ConfigurationError, match="has passed already"):
        await create("s", greet, at=datetime(2020, 1, 1, tzinfo=UTC))
    with pytest.raises(ConfigurationError, match=r'no option "crom"\. Did you mean "cron"'):
        await create("s", greet, crom="0 9 * * *")  # type: ignore[call-arg]
    assert await app.schedules.list() == []
    await create("s", greet, every=HOUR)
    with pytest.raises(ConfigurationError, match='a schedule "s" already'):
        await create("s", greet, every=DAY)
    assert (await app.schedules.get("s")).every == HOUR


async def test_a_name_that_is_not_there(app: Headrace, greet: Task[..., ..., str]) -> None:
    """Every call says so, with what is close to it; a tenant that is not there, too."""
    await app.schedules.create("morning", greet, every=HOUR)
    some = app.schedules
    start = datetime(2026, 1, 1, tzinfo=UTC)
    for call in (some.get, some.delete, some.resume, some.skip_next, some.run_now, some.next, some.edit,
                 lambda name: some.pause(name, "r"), lambda name: some.backfill(name, start, start + HOUR)):  # fmt: skip
        with pytest.raises(UnknownSchedule, match=r'no schedule "mornin"\. Did you mean "morning"'):
            await call("mornin")
    with pytest.raises(UnknownSchedule, match='has no tenant "acme"'):
        await some.run_now("morning", tenant="acme")
    with pytest.raises(UnknownSchedule, match='has no tenant "acme"'):
        await some.pause("morning", "r", tenant="acme")
    with pytest.raises(UnknownSchedule, match='has no tenant "acme"'):
        await some.next("morning", tenant="acme")


async def test_an_edit(app: Headrace, greet: Task[..., ..., str], ticker: Ticker) -> None:
    """Changes what is said and nothing else, says who, and replaces one way of being due by another."""
    await app.schedules.create("s", greet, cron="0 9 * * *", timezone="Asia/Kolkata", args={"name": "Ada"})
    await ticker.tick()
    first = (await app.schedules.get("s")).next_due
    changed = await app.schedules.edit("s", args={"name": "Bob"}, by="me")
    assert (changed.args, changed.cron, changed.edited_by, changed.next_due) == (
        {"name": "Bob"},
        "0 9 * * *",
        "me",
        first,
    )
    changed = await app.schedules.edit("s", every=2 * HOUR)
    assert (changed.cron, changed.every, changed.timezone, changed.args) == (None, 2 * HOUR, "UTC", {"name": "Bob"})
    with pytest.raises(ConfigurationError, match="shortest"):
        await app.schedules.edit("s", every=timedelta(0))
    with pytest.raises(InvalidArguments):
        await app.schedules.edit("s", args={"n": 1})
    assert (await app.schedules.get("s")).every == 2 * HOUR


async def test_what_code_declares_is_there_before_a_worker_is(app: Headrace, greet: Task[..., ..., str]) -> None:
    """It can be paused before it has ever run; it cannot be made again, and is deleted in the code only."""
    app.schedule("0 9 * * *", per_tenant=True)(greet)
    await app.schedules.tenants("greet").set("acme")
    await app.schedules.pause("greet", "not yet", by="me")
    found = await app.schedules.get("greet")
    assert (found.declared, found.paused_reason, found.paused_by, found.tenants) == (True, "not yet", "me", 1)
    with pytest.raises(ConfigurationError, match="already"):
        await app.schedules.create("greet", greet, every=HOUR)
    with pytest.raises(ConfigurationError, match="remove it there"):
        await app.schedules.delete("greet")


async def test_delete(app: Headrace, greet: Task[..., ..., str], rows: Rows) -> None:
    """It is gone with its tenants; what has happened stays."""
    await app.schedules.create("s", greet, every=HOUR, per_tenant=True)
    await app.schedules.tenants("s").set("acme")
    await app.schedules.run_now("s", tenant="acme")
    await app.schedules.delete("s")
    assert await app.schedules.list() == []
    assert rows("select count(*) from headrace.schedule_due") == [(0,)]
    assert len(await app.schedules.ticks("s")) == 1


async def test_next(app: Headrace, greet: Task[..., ..., str], ticker: Ticker, rows: Rows) -> None:
    """What will be due, in order, of all tenants; and why it will get no job."""
    await app.schedules.create("s", greet, cron="0 9 * * *", per_tenant=True)
    await app.schedules.tenants("s").set_many(
        [ScheduleTenant(tenant="in", timezone="Asia/Kolkata"), ScheduleTenant(tenant="us", timezone="America/New_York", cron="30 9 * * *")]
    )  # fmt: skip
    unplanned = await app.schedules.next("s", 4)
    await ticker.tick()
    coming = await app.schedules.next("s", 4)
    assert coming == unplanned
    assert [each.due_at for each in coming] == sorted(each.due_at for each in coming)
    assert {(each.tenant, each.nominal.strftime("%H:%M")) for each in coming} == {("in", "09:00"), ("us", "09:30")}
    assert {each.held for each in coming} == {None}
    await app.schedules.pause("s", "r", tenant="us")
    await app.schedules.skip_next("s", tenant="in")
    assert [each.held for each in await app.schedules.next("s", 2, tenant="in")] == ["skipped", None]
    assert [each.held for each in await app.schedules.next("s", 2, tenant="us")] == ["paused", "paused"]
    ((now,),) = rows("select now()")
    week = await app.schedules.next("s", 1000, until=now + 7 * DAY)
    assert len(week) == 14


async def test_tenants(app: Headrace, greet: Task[..., ..., str]) -> None:
    """They are listed by page, replaced as a whole, checked, and removed."""
    await app.schedules.create("s", greet, cron="0 9 * * *", per_tenant=True, args={"name": "Ada"})
    tenants = app.schedules.tenants("s")
    await tenants.set_many([ScheduleTenant(tenant=f"t{n}") for n in range(5)])
    assert [each.tenant for each in await tenants.list(limit=2)] == ["t0", "t1"]
    assert [each.tenant for each in await tenants.list(after="t1", limit=2)] == ["t2", "t3"]
    await tenants.set("t0", timezone="Asia/Kolkata", args={"name": "Bob"})
    await tenants.set("t0", cron="0 8 * * *")
    (found,) = await tenants.list(limit=1)
    assert (found.cron, found.timezone, found.args) == ("0 8 * * *", None, None)
    for options, error in (
        ({"cron": "x"}, ConfigurationError),
        ({"timezone": "Mars"}, ConfigurationError),
        ({"args": {"x": 1}}, InvalidArguments),
    ):
        with pytest.raises(error):
            await tenants.set("t1", **options)
    assert await tenants.remove("t1", "t9") == ["t1"]
    await app.schedules.create("plain", greet, every=HOUR)
    with pytest.raises(ConfigurationError, match="has no tenants: give it per_tenant=True"):
        await app.schedules.tenants("plain").set("t0")
    with pytest.raises(UnknownSchedule, match="is per tenant: say which one"):
        await app.schedules.run_now("s")


async def test_run_now(app: Headrace, greet: Task[..., ..., str]) -> None:
    """A job at once, with the schedule's arguments and the tenant's over them."""
    await app.schedules.create("s", greet, every=HOUR, per_tenant=True, args={"name": "Ada"})
    await app.schedules.tenants("s").set("acme", args={"name": "Bob"})
    await app.schedules.pause("s", "even so")
    job = await app.schedules.run_now("s", tenant="acme")
    info = await job.info()
    assert (info.args, info.tenant, info.queue, info.task) == ({"name": "Bob"}, "acme", "default", "greet")
    (tick,) = await app.schedules.ticks("s", tenant="acme")
    assert (tick.cause, tick.outcome, tick.job_id, tick.lateness) == ("run_now", "enqueued", job.id, timedelta(0))


async def test_backfill(app: Headrace, greet: Task[..., ..., str], rows: Rows) -> None:
    """The moments of a past range, from its start on and before its end; once, however often one asks."""
    await app.schedules.create("s", greet, cron="0 9 * * *", timezone="Asia/Kolkata", overlap="allow")
    start = datetime(2026, 1, 1, 3, 30, tzinfo=UTC)
    assert await app.schedules.backfill("s", start, start + 3 * DAY) == 3
    assert await app.schedules.backfill("s", start, start + 4 * DAY) == 1
    ticks = await app.schedules.ticks("s")
    assert [(t.nominal.day, t.cause, t.outcome) for t in ticks] == [(d, "backfill", "enqueued") for d in (4, 3, 2, 1)]
    assert [t.nominal.day for t in await app.schedules.ticks("s", before=ticks[1].due_at, limit=1)] == [2]
    ((now,),) = rows("select now()")
    for wrong in ((start, start), (start, now + HOUR), (start + DAY, start)):
        with pytest.raises(ConfigurationError, match="a time that has passed"):
            await app.schedules.backfill("s", *wrong)
    with pytest.raises(ConfigurationError, match="more than 10000 moments"):
        await app.schedules.backfill("s", now - timedelta(days=365 * 40), now)
    with pytest.raises(ConfigurationError, match="no time zone"):
        await app.schedules.backfill("s", datetime(2026, 1, 1), now)  # noqa: DTZ001
