"""What became of jobs over time: counts, times and queue depths for charts, and the deploys to mark in them.

Workers count what has ended every few seconds and keep the counts by minute for 2 days, by hour for 14, by day for 400:
``app.history`` reads these, and no job. See docs/operating.md.
"""

from __future__ import annotations

import builtins
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, get_args

from headrace._store.acting import acting_name
from headrace.errors import ConfigurationError, did_you_mean
from headrace.job import check_words

if TYPE_CHECKING:
    from headrace._store.database import Database

CountMetric = Literal["started", "succeeded", "failed", "cancelled", "finished", "retried", "rescued"]
TimeMetric = Literal["wait_p50", "wait_p95", "wait_p99", "run_p50", "run_p95", "run_p99"]
DepthMetric = Literal["queued", "running", "scheduled", "blocked", "oldest_wait"]
Metric = CountMetric | TimeMetric | DepthMetric

COUNTS: tuple[CountMetric, ...] = get_args(CountMetric)
TIMES: tuple[TimeMetric, ...] = get_args(TimeMetric)
DEPTHS: tuple[DepthMetric, ...] = get_args(DepthMetric)
METRICS: tuple[Metric, ...] = (*COUNTS, *TIMES, *DEPTHS)

BUCKETS = 64
QUANTILE_ERROR = 2**0.25 - 1
"""A quantile of a millisecond or more is off by no more than this share of itself: 19 %."""

MAX_POINTS = 20_000
"""A chart of more says nothing."""

_MINUTE, _HOUR, _DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_STEPS = (
    (timedelta(hours=3), _MINUTE), (timedelta(hours=12), 5 * _MINUTE), (timedelta(days=1), 15 * _MINUTE),
    (timedelta(days=4), _HOUR), (timedelta(days=14), 2 * _HOUR), (timedelta.max, _DAY),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Point:
    """One span of a series.

    Attributes:
        at: When it begins.
        value: What was counted or measured in it; None where nothing is known: no job ended whose time could be
            taken, or nobody counted then.
    """

    at: datetime
    value: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One metric over time.

    Attributes:
        metric: Which.
        queue: Of which queue; None: of all.
        task: Of which task; None: of all.
        unit: Of the values: "jobs" (or attempts), or "s".
        step: How long each span is.
        points: Every span in order, without gaps.
        counted_until: What ended before this is counted, but for what commits late; None: nothing is.
    """

    metric: Metric
    queue: str | None
    task: str | None
    unit: Literal["jobs", "s"]
    step: timedelta
    points: tuple[Point, ...]
    counted_until: datetime | None

    @property
    def total(self) -> float:
        """The sum of all values: of counts, how many there were."""
        return sum(point.value or 0 for point in self.points)


@dataclass(frozen=True, slots=True, kw_only=True)
class Deploy:
    """A moment at which a new version of the program began to run.

    Attributes:
        deployed_at: When.
        label: What: a version, a commit.
        deployed_by: Who said so, or the machine of the worker that did; or None.
        automatic: Whether a worker said so, which was started with HEADRACE_DEPLOY.
    """

    deployed_at: datetime
    label: str
    deployed_by: str | None
    automatic: bool


class History:
    """The history of an app's database: ``app.history``."""

    def __init__(self, database: Callable[[], Awaitable[Database]]) -> None:
        self._database = database

    async def series(
        self,
        metric: Metric,
        *,
        queue: str | None = None,
        task: str | None = None,
        since: datetime | timedelta = timedelta(hours=1),
        until: datetime | None = None,
        step: timedelta | None = None,
    ) -> Series:
        """One metric over time, for a chart.

        Args:
            metric: Counts of what happened in each span: "succeeded", "failed", "cancelled", "finished" (these three)
                of jobs, "started", "retried", "rescued" of attempts. Quantiles in seconds, such as "wait_p95": "wait"
                of jobs that finished, from when they were due to the start of their last attempt, and "run" of
                attempts that succeeded or failed, from start to end. Depths: "queued", "running", "scheduled",
                "blocked" and "oldest_wait" (seconds), sampled once a minute, the largest sample of each span.
            queue: Only of this queue.
            task: Only of this task; there are no depths by task.
            since: From when; a `timedelta`: so long before `until`. An hour by default.
            until: To when; None: now.
            step: Length of the spans, a multiple of a minute. None: what makes about 50 to 200 of them. Steps of whole
                hours reach back 14 days, of whole days 400 days, and others 2 days.

        Raises:
            ConfigurationError: There is no such metric, or not by task; or the times make no sense.
        """
        if metric not in METRICS:
            raise ConfigurationError(f'there is no metric "{metric}". {did_you_mean(metric, METRICS)}')
        if metric in DEPTHS and task is not None:
            raise ConfigurationError(f'"{metric}" is known by queue, not by task')
        database = await self._database()
        look = (await database.records("read_look"))[0]
        begin, end, bin_ = _span(since, until or look["now"], step)
        parameters: dict[str, Any] = {
            "step": _source(bin_), "bin_s": bin_.total_seconds(), "since": begin, "until": end, "queue": queue,
        }  # fmt: skip
        known = await _read(database, metric, parameters, task)
        began = look["began_at"]

        def value(at: datetime) -> float | None:
            if metric in COUNTS and began is not None and at + bin_ > began:
                return known.get(at, 0)
            return known.get(at)

        count = -(-(end - begin) // bin_)
        points = tuple(Point(at, value(at)) for at in (begin + bin_ * n for n in range(count)))
        return Series(
            metric=metric, queue=queue, task=task, unit="s" if metric in TIMES or metric == "oldest_wait" else "jobs",
            step=bin_, points=points, counted_until=look["counted_until"],
        )  # fmt: skip

    async def deploys(
        self, *, since: datetime | timedelta = timedelta(days=90), until: datetime | None = None
    ) -> builtins.list[Deploy]:
        """The deploys in a span of time, oldest first.

        Args:
            since: From when; a `timedelta`: so long before `until`, or now.
            until: To when; None: now.
        """
        database = await self._database()
        if isinstance(since, timedelta):
            since = (until or await database.value("read_clock")) - since
        return [Deploy(**record) for record in await database.records("list_deploys", since=since, until=until)]

    async def mark(self, label: str, *, by: str | None = None, at: datetime | None = None) -> None:
        """Mark a deploy. Workers that start with HEADRACE_DEPLOY in their environment do it too, once a label.

        Args:
            label: What was deployed: a version, a commit.
            by: Who did it; None: who is `acting`.
            at: When; None: now.
        """
        check_words("label", label)
        await (await self._database()).rows("mark_deploy", label=label, by=by or acting_name(), by_worker=False, at=at)


async def _read(
    database: Database, metric: Metric, parameters: dict[str, Any], task: str | None
) -> dict[datetime, float]:
    if metric in DEPTHS:
        records = await database.records("read_samples", **parameters)
        return {record["at"]: record[metric] for record in records}
    queue = parameters["queue"]
    if task is not None:
        parameters |= {"scope": 0, "task": task}
    else:  # what is added up has no name there
        parameters |= {"scope": 1 if queue is not None else 2, "task": "", "queue": queue or ""}
    if metric in COUNTS:
        records = await database.records("read_counts", **parameters)
        return {record["at"]: _count(record, metric) for record in records}
    measure, _, percent = metric.partition("_p")
    records = await database.records("read_times", **parameters, measure=measure)
    found = {record["at"]: quantile(record["counts"], int(percent) / 100) for record in records}
    return {at: seconds for at, seconds in found.items() if seconds is not None}


def _count(record: dict[str, Any], metric: str) -> float:
    if metric == "finished":
        return float(record["succeeded"] + record["failed"] + record["cancelled"])
    return float(record[metric])


def quantile(counts: Sequence[int], share: float) -> float | None:
    """The value in seconds below which this share of a histogram lies; None if it is empty.

    It is the geometric middle of the bucket in which that value was: within `QUANTILE_ERROR` of it.
    """
    rank, seen = share * sum(counts), 0
    for bucket, count in enumerate(counts):
        seen += count
        if count and seen >= rank:
            return middle_s(bucket)
    return None


def middle_s(bucket: int) -> float:
    """The middle, in seconds, of a bucket of `bucket_of`: half a millisecond for the first one."""
    return 0.0005 if bucket == 0 else 2 ** ((bucket - 0.5) / 2) / 1000


def _span(since: datetime | timedelta, until: datetime, step: timedelta | None) -> tuple[datetime, datetime, timedelta]:
    """Begin and end of a series, on whole steps, and its step."""
    begin = until - since if isinstance(since, timedelta) else since
    if begin.tzinfo is None or until.tzinfo is None:
        raise ConfigurationError("since and until must be aware: add a time zone, such as datetime.UTC")
    if begin >= until:
        raise ConfigurationError(f"since ({begin}) must be before until ({until})")
    if step is None:
        step = next(step for longest, step in _STEPS if until - begin <= longest)
    if step < _MINUTE or step % _MINUTE:
        raise ConfigurationError(f"step is {step}: it must be a multiple of a minute")
    if (until - begin) / step > MAX_POINTS:
        raise ConfigurationError(
            f"from {begin} to {until} are more than {MAX_POINTS:,} steps of {step}: choose longer ones"
        )
    return begin - (begin - _EPOCH) % step, until, step


def _source(step: timedelta) -> str:
    return "day" if not step % _DAY else "hour" if not step % _HOUR else "minute"
