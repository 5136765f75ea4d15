"""`headrace history`: one metric over time."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from headrace.cli.opening import with_app
from headrace.cli.options import AsJson, Schema, Url, read_duration
from headrace.cli.output import print_json, print_table, show_duration, show_time
from headrace.history import METRICS

if TYPE_CHECKING:
    from headrace.history import Metric, Series

BAR_CHARS = 40


def history(
    metric: Annotated[str, typer.Argument(help=f"One of {', '.join(METRICS)}.")],
    queue: Annotated[str | None, typer.Option("--queue", metavar="QUEUE", help="Only this queue.")] = None,
    task: Annotated[str | None, typer.Option("--task", metavar="TASK", help="Only this task.")] = None,
    since: Annotated[
        timedelta, typer.Option("--since", metavar="DURATION", parser=read_duration, help="So far back: 2h, 7d.")
    ] = timedelta(hours=1),
    step: Annotated[
        timedelta | None, typer.Option("--step", metavar="DURATION", parser=read_duration, help="Length of each span.")
    ] = None,
    url: Url = None,
    schema: Schema = "headrace",
    as_json: AsJson = False,
) -> None:
    """Print one metric over time: throughput, failures, waits and runs, depths of queues."""
    wanted: Metric = metric  # type: ignore[assignment]  # series() refuses what is none, in words
    series = with_app(
        url, schema, lambda app: app.history.series(wanted, queue=queue, task=task, since=since, step=step)
    )
    if as_json:
        print_json(series)
    else:
        print_table(("FROM", metric.upper(), ""), _rows(series), empty="nothing is known")


def _rows(series: Series) -> list[list[str]]:
    largest = max((point.value or 0 for point in series.points), default=0) or 1
    return [
        [
            show_time(point.at),
            "" if point.value is None else show_duration(point.value) if series.unit == "s" else f"{point.value:,.0f}",
            "█" * round(BAR_CHARS * (point.value or 0) / largest),
        ]
        for point in series.points
    ]
