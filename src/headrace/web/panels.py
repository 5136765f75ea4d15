"""Panels for an application's own admin pages: a table of jobs, a button that runs a task, the strip of a schedule.

::

    from headrace.web import panels

    table = await panels.job_table(app, "task:reports.*", columns=("state", "args.month", "when"))
    button = await panels.run_button(app, "reports.monthly", action="/admin/reports/run", label="Rebuild")
    strip = await panels.schedule_strip(app, "digest.daily")

Each is a piece of HTML (a `Markup`, which templates do not escape again) without script or inline style. The page
serves `stylesheet` itself, or links to the dashboard's ``/static/panels.css``. What is secret is hidden, as everywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, tzinfo
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from headrace.errors import ConfigurationError, did_you_mean
from headrace.web.assets import assets
from headrace.web.dashboard import showing
from headrace.web.dashboard.rendering import environment

if TYPE_CHECKING:
    from headrace import Headrace
    from headrace.job import JobInfo

COLUMNS = {
    "state": "State", "task": "Task", "id": "Id", "queue": "Queue", "tenant": "Tenant", "attempts": "Attempts",
    "when": "When", "took": "Took", "error": "Error", "progress": "Progress", "result": "Result", "tags": "Tags",
}  # fmt: skip
"""What a table can show, and its headings; and "args.NAME", an argument."""

DEFAULT_COLUMNS = ("state", "task", "when", "took", "error")


def stylesheet() -> str:
    """The looks of all panels, as CSS. Colours follow the page's `color-scheme`; each is a property to set anew."""
    return assets()["panels.css"].content.decode()


async def job_table(
    app: Headrace,
    filter: str = "",  # noqa: A002 - the word
    *,
    columns: Sequence[str] = DEFAULT_COLUMNS,
    labels: Mapping[str, str] | None = None,
    states: Mapping[str, str] | None = None,
    link: Callable[[JobInfo], str] | None = None,
    tenant: str | None = None,
    limit: int = 20,
    empty: str = "No jobs",
    zone: tzinfo = UTC,
) -> Markup:
    """A table of the latest jobs that match.

    Args:
        app: Whose jobs.
        filter: Which; see docs/filters.md.
        columns: Names of `COLUMNS`, and "args.NAME" for an argument.
        labels: Other headings, by column.
        states: Other words for states, such as ``{"queued": "pending"}``.
        link: The address of a job's page; None: rows are no links.
        tenant: Only this tenant's jobs, whatever the filter says.
        limit: How many rows. 20: a panel is a glance.
        empty: What to say if there are none.
        zone: Of the times that appear on hover.

    Raises:
        ConfigurationError: There is no such column.
        FilterError: The filter cannot be read.
    """
    headings = {column: (labels or {}).get(column) or _heading(column) for column in columns}
    found = await app.search.jobs(filter, tenant=tenant, limit=limit)
    redactor = await app.redactor()
    return _render(
        "job_table", jobs=[redactor.job(job) for job in found.jobs], headings=headings, states=states or {}, link=link,
        cell=_cell, empty=empty, now=await app.now(), zone=zone,
    )  # fmt: skip


async def run_button(
    app: Headrace,
    task: str,
    *,
    action: str,
    label: str = "Run",
    fields: Mapping[str, str] | None = None,
    states: Mapping[str, str] | None = None,
    filter: str = "",  # noqa: A002 - the word
    tenant: str | None = None,
    zone: tzinfo = UTC,
) -> Markup:
    """A button that runs a task, and how its latest job stands. While a job waits or runs, it cannot be pressed.

    Args:
        app: Whose jobs.
        task: The task's name.
        action: Where the page's own route is that enqueues it: the form is posted there.
        label: On the button.
        fields: Hidden fields of the form: the page's CSRF token, arguments.
        states: Other words for states.
        filter: Which of the task's jobs count as this button's.
        tenant: Only this tenant's.
        zone: Of the time that appears on hover.

    Raises:
        FilterError: The filter cannot be read.
    """
    found = await app.search.jobs(f'task:"{task}" {filter}'.strip(), tenant=tenant, limit=1)
    redactor = await app.redactor()
    job = redactor.job(found.jobs[0]) if found.jobs else None
    return _render(
        "run_button", job=job, action=action, label=label, fields=fields or {}, states=states or {},
        now=await app.now(), zone=zone,
    )  # fmt: skip


async def schedule_strip(
    app: Headrace,
    name: str,
    *,
    limit: int = 30,
    labels: Mapping[str, str] | None = None,
    link: Callable[[str], str] | None = None,
    zone: tzinfo = UTC,
) -> Markup:
    """A schedule: what became of its last moments, and when the next one is.

    Args:
        app: Whose schedule.
        name: Its name.
        limit: How many moments.
        labels: Other words for states and outcomes.
        link: The address of the page of a job's id; None: moments are no links.
        zone: Of the times that appear on hover.

    Raises:
        UnknownSchedule: There is none of this name.
    """
    schedule = await app.schedules.get(name)
    outcomes = (await app.schedules.outcomes(name, limit=limit)).get(name, [])
    return _render(
        "schedule_strip", schedule=schedule, outcomes=outcomes, labels=labels or {}, link=link, now=await app.now(),
        zone=zone, full=lambda moment: showing.absolute(moment, zone),
    )  # fmt: skip


def _heading(column: str) -> str:
    if column.startswith("args."):
        return column.removeprefix("args.").replace("_", " ").capitalize()
    if column not in COLUMNS:
        raise ConfigurationError(f'there is no column "{column}". {did_you_mean(column, [*COLUMNS, "args.NAME"])}')
    return COLUMNS[column]


def _cell(job: JobInfo, column: str, now: datetime, zone: tzinfo) -> Any:  # noqa: PLR0911 - a table of columns
    """What a column shows of a job; states are the template's."""
    if column.startswith("args."):
        value = job.args.get(column.removeprefix("args."))
        return value if isinstance(value, str) else "" if value is None else showing.json_line(value)
    match column:
        case "attempts":
            return f"{job.attempts}/{job.max_attempts}"
        case "when":
            return showing.time_element(job.finished_at or job.claimed_at or job.run_at, now, zone, relative=True)
        case "took":
            began, ended = job.claimed_at, job.finished_at
            return showing.span(ended - began) if began and ended else ""
        case "error":
            return str((job.error or {}).get("message") or "").partition("\n")[0]
        case "progress":
            progress = job.progress or {}
            return f"{progress['done'] / progress['total']:.0%}" if progress.get("total") else ""
        case "result":
            return "" if job.result is None else showing.json_line(job.result)
        case "tags":
            return ", ".join(job.tags or [])
        case _:
            return getattr(job, column) or ""


def _render(panel: str, **context: Any) -> Markup:
    return Markup(environment().get_template(f"panels/{panel}.html").render(**context))  # noqa: S704 - it escapes
