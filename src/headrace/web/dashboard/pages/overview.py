"""Overview: how it goes, over time; and what needs somebody's attention."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeAlias

from fastapi import APIRouter, Request, Response

from headrace.web.dashboard.attention import attention
from headrace.web.dashboard.drawing import polyline
from headrace.web.dashboard.rendering import page
from headrace.web.dashboard.requests import App, Overseer, PageRoute

if TYPE_CHECKING:
    from headrace.history import Deploy, Metric, Series

Line: TypeAlias = "tuple[Metric, str, str, bool]"
"""A metric, its label and colour, and whether what is below it is filled."""

router = APIRouter(route_class=PageRoute)
RANGES = {
    "5m": timedelta(minutes=5), "1h": timedelta(hours=1), "6h": timedelta(hours=6), "24h": timedelta(days=1),
    "7d": timedelta(days=7), "30d": timedelta(days=30), "90d": timedelta(days=90),
}  # fmt: skip
DEFAULT_RANGE = "1h"
_CHARTS: tuple[tuple[str, str, tuple[Line, ...]], ...] = (
    ("Throughput", "jobs", (("succeeded", "succeeded", "--succeeded", True), ("failed", "failed", "--failed", True))),
    ("Wait", "s", (("wait_p50", "p50", "--accent", False), ("wait_p95", "p95", "--running", False),
                   ("wait_p99", "p99", "--failed", False))),
    ("Run time", "s", (("run_p50", "p50", "--accent", False), ("run_p95", "p95", "--running", False),
                       ("run_p99", "p99", "--failed", False))),
    ("In line", "jobs", (("queued", "queued", "--queued", True), ("running", "running", "--running", False),
                         ("scheduled", "scheduled", "--scheduled", False))),
)  # fmt: skip


@dataclass(frozen=True)
class Chart:
    """A chart, for the script that draws it, and as a path for those without."""

    title: str
    plan: str
    paths: list[tuple[str, str]]
    empty: bool


@router.get("/")
async def overview(
    request: Request,
    who: Overseer,
    app: App,
    range: str = DEFAULT_RANGE,  # noqa: A002 - the word
    queue: str = "",
    task: str = "",
) -> Response:
    """The first page."""
    span = RANGES.get(range, RANGES[DEFAULT_RANGE])
    now = await app.now()
    only: dict[str, Any] = {"queue": queue or None, "task": task or None}
    metrics = [metric for _, _, lines in _CHARTS for metric, *_ in lines if not (task and metric in _OF_QUEUES)]
    series, queues, workers, deploys, before = await asyncio.gather(
        asyncio.gather(*(app.history.series(metric, since=span, until=now, **only) for metric in metrics)),
        app.list_queues(),
        app.list_workers(),
        app.history.deploys(since=now - span),
        _totals(app, now - span, span, only),
    )
    by_metric = {each.metric: each for each in series}
    return page(
        request, who, "overview.html", title="Overview", active="overview", now=now, ranges=RANGES, range=range,
        charts=[_chart(title, unit, lines, by_metric, deploys) for title, unit, lines in _CHARTS],
        queued=sum(each.queued for each in queues), running=sum(each.running for each in queues),
        all_counted=all(each.complete for each in queues), workers=workers,
        places=sum(worker.places for worker in workers if worker.state == "running"),
        oldest=min((each.oldest_at for each in queues if each.oldest_at), default=None),
        notes=await attention(app, queues, workers), before=before,
        totals={name: by_metric[name].total for name in ("succeeded", "failed")}, queues=queues, queue=queue, task=task,
        tasks=app.task_names(), deploys=deploys, counted_until=series[0].counted_until,
    )  # fmt: skip


_OF_QUEUES = ("queued", "running", "scheduled")


async def _totals(app: App, until: datetime, span: timedelta, only: dict[str, Any]) -> dict[str, float]:
    """What the same span before had."""
    found = await asyncio.gather(
        app.history.series("succeeded", since=span, until=until, **only),
        app.history.series("failed", since=span, until=until, **only),
    )
    return {each.metric: each.total for each in found}


def _chart(
    title: str,
    unit: str,
    lines: tuple[Line, ...],
    found: dict[Any, Series],
    deploys: list[Deploy],
) -> Chart:
    shown = [(found[metric], label, colour, fill) for metric, label, colour, fill in lines if metric in found]
    data: list[list[float | None]] = [[point.at.timestamp() for point in shown[0][0].points]] if shown else [[]]
    data += [known_values(series) for series, *_ in shown]
    plan = {
        "unit": unit,
        "data": data,
        "series": [{"label": label, "colour": colour, "fill": fill} for _, label, colour, fill in shown],
        "marks": [{"at": deploy.deployed_at.timestamp(), "label": deploy.label} for deploy in deploys],
    }
    paths = [(colour.removeprefix("--"), polyline(known_values(s), 600, 150)) for s, _, colour, _ in shown]
    return Chart(title, json.dumps(plan), paths, not any(value for line in data[1:] for value in line))


def known_values(series: Series) -> list[float | None]:
    """The values, without those of the last span as long as not all of it is counted."""
    until = series.counted_until
    return [
        point.value if until is None or series.metric in _OF_QUEUES or point.at + series.step <= until else None
        for point in series.points
    ]
