"""The history that workers write, as users read it."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from headrace import ConfigurationError, Headrace, Retry
from headrace._worker.worker import DEPLOY
from headrace.history import COUNTS, METRICS, QUANTILE_ERROR, TIMES
from tests.worker.helpers import until, working

if TYPE_CHECKING:
    from collections.abc import Callable

    from headrace.history import Metric
    from tests.worker.helpers import Tables, WorkerProcess

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
NOW = datetime.now(UTC).replace(second=0, microsecond=0) + 30 * timedelta(seconds=1)
AT_ONCE = Retry(attempts=2, delay=timedelta(0), jitter=0)


async def total(app: Headrace, metric: Metric, **options: str) -> float:
    return (await app.history.series(metric, since=HOUR, **options)).total  # type: ignore[arg-type]


async def test_what_workers_count(app: Headrace, tables: Tables) -> None:
    """Every metric of jobs that workers ran, by queue, by task and in all; depths are sampled as well."""

    @app.task(name="works", queue="q")
    async def works() -> None:
        await asyncio.sleep(0.02)

    @app.task(name="fails", queue="other", retry=AT_ONCE)
    async def fails() -> None:
        raise ValueError("no")

    async with working(app) as worker:
        await app.enqueue_many([*(works.job() for _ in range(5)), *(fails.job() for _ in range(3))])
        later = await works.options(delay=HOUR).enqueue()
        await until(lambda: tables.unfinished() == 1, "all have run")
        await later.cancel()
        await worker.maintenance.history.round_done()
        tables.rows("update headrace.rollup_look set looked_ats[1] = '-infinity'")
        await worker.maintenance.history.round_done()
    expected = {"started": 11, "succeeded": 5, "failed": 3, "cancelled": 1, "finished": 9, "retried": 3, "rescued": 0}
    assert {metric: await total(app, metric) for metric in COUNTS} == expected
    assert await total(app, "finished", queue="q") == 6
    assert await total(app, "failed", task="fails") == 3
    assert await total(app, "failed", task="works") == 0
    assert await total(app, "failed", queue="other", task="fails") == 3
    assert await total(app, "failed", queue="q", task="fails") == 0
    for metric in TIMES:
        series = await app.history.series(metric, task="works")
        assert series.unit == "s"
        assert sum(point.value is not None for point in series.points) in (1, 2)
    run = max(point.value or 0 for point in (await app.history.series("run_p50", task="works")).points)
    assert run >= 0.02 / (1 + QUANTILE_ERROR)
    depths = await app.history.series("queued", queue="q")
    assert [point.value for point in depths.points if point.value is not None]
    assert (await app.history.series("finished")).counted_until is not None


@pytest.mark.process
async def test_counts_while_workers_are_killed(
    app: Headrace, tables: Tables, start_worker: Callable[..., WorkerProcess]
) -> None:
    """Workers that count all the time, one of them killed again and again: each job is counted once."""
    from tests.worker.sample_app import make_app

    async with make_app(tables.url) as sample:
        start_worker(concurrency=5, timings={"history_s": 0.2, "lease_s": 8}).ready()
        task = sample.tasks["exactly_once"]
        for _ in range(4):
            doomed = start_worker(concurrency=5, timings={"history_s": 0.2, "lease_s": 8}).ready()
            await sample.enqueue_many(task.job(n) for n in range(60))
            left = tables.unfinished() // 2
            await until(lambda left=left: tables.unfinished() <= left, "half of them have run")  # type: ignore[misc]
            doomed.kill()
        await until(lambda: tables.unfinished() == 0, "all have run", 60)

    async def all_counted() -> bool:
        return await total(app, "succeeded") >= 240

    await until(all_counted, "they are counted")
    assert (
        await total(app, "succeeded")
        == tables.value("select count(*) from headrace.job_history where state = 'succeeded'")
        == 240
    )
    assert await total(app, "rescued") == tables.value("select count(*) from headrace.attempt where outcome = 'lost'")


async def fill(tables: Tables, step: str, span: timedelta, each: timedelta) -> None:
    """A count and a histogram for each of so many spans before NOW."""
    tables.rows("update headrace.rollup_look set began_at = %s", NOW - 90 * DAY)
    begin = {"minute": NOW.replace(second=0), "hour": NOW.replace(minute=0, second=0)}.get(
        step, NOW.replace(hour=0, minute=0, second=0)
    )
    tables.rows(
        """insert into headrace.rollup
           select %s, 2, t, '', '', 1, 1, 0, 0, 0, 0, headrace.tally('{21}', '{1}'), headrace.tally('{}', '{}')
           from generate_series(%s::timestamptz - %s, %s::timestamptz, %s) t""",
        step, begin, span, begin, each,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("since", "source", "each", "step"),
    [
        (5 * MINUTE, "minute", MINUTE, MINUTE), (6 * HOUR, "minute", MINUTE, 5 * MINUTE), (DAY, "minute", MINUTE, 15 * MINUTE),
        (4 * DAY, "hour", HOUR, HOUR), (14 * DAY, "hour", HOUR, 2 * HOUR), (90 * DAY, "day", DAY, DAY),
    ],
)  # fmt: skip
async def test_from_five_minutes_to_ninety_days(
    app: Headrace, tables: Tables, since: timedelta, source: str, each: timedelta, step: timedelta
) -> None:
    """The step fits the span, every step is there, and counts and quantiles are those of what lies in it."""
    await fill(tables, source, since, each)
    end = NOW if source == "minute" else NOW.replace(minute=0, second=0)
    counts = await app.history.series("succeeded", since=since, until=end)
    assert counts.step == step
    assert 5 <= len(counts.points) <= 200
    assert counts.points[0].at <= end - since < counts.points[0].at + step
    assert counts.points[-1].at < end <= counts.points[-1].at + step
    middle = counts.points[len(counts.points) // 2].value
    assert middle == step / each
    waits = await app.history.series("wait_p95", since=since, until=end)
    known = [point.value for point in waits.points if point.value is not None]
    assert known == [pytest.approx(1.218, rel=0.01)] * len(known)


async def test_what_is_not_known(app: Headrace, tables: Tables) -> None:
    """Before anybody counted there is no number, not a zero; nor a quantile of no jobs."""
    tables.rows("update headrace.rollup_look set began_at = %s", NOW - 30 * MINUTE)
    counts = await app.history.series("failed", since=HOUR, until=NOW)
    assert {point.value for point in counts.points[:29]} == {None}
    assert {point.value for point in counts.points[-29:]} == {0}
    assert {point.value for point in (await app.history.series("run_p99", since=HOUR, until=NOW)).points} == {None}


async def test_questions_that_make_no_sense(app: Headrace) -> None:
    """Are refused in words."""
    with pytest.raises(ConfigurationError, match=r'no metric "suceeded".* Did you mean "succeeded"'):
        await app.history.series("suceeded")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="by queue, not by task"):
        await app.history.series("queued", task="t")
    for options in ({"step": timedelta(seconds=90)}, {"since": NOW, "until": NOW - HOUR}, {"since": datetime(2026, 1, 1)},  # noqa: DTZ001
                    {"since": 90 * DAY, "step": MINUTE}):  # fmt: skip
        with pytest.raises(ConfigurationError):
            await app.history.series("failed", **options)
    assert len(METRICS) == len(set(METRICS)) == 18


async def test_deploys(app: Headrace, monkeypatch: pytest.MonkeyPatch) -> None:
    """People mark them; of the workers that start with a label the first one does."""

    @app.task(name="t")
    async def t() -> None:
        pass

    await app.history.mark("v0", by="alice", at=NOW - 100 * DAY)
    await app.history.mark("v1", by="alice")
    monkeypatch.setenv(DEPLOY, "v2")
    for _ in range(2):
        await app.drain()
    assert [(one.label, one.automatic) for one in await app.history.deploys()] == [("v1", False), ("v2", True)]
    assert [one.label for one in await app.history.deploys(since=NOW - 101 * DAY, until=NOW - 99 * DAY)] == ["v0"]
    with pytest.raises(ConfigurationError):
        await app.history.mark("")
