"""`headrace schedules`: what is due when, and what became of it. What changes them is in schedule_changes.py."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from headrace.cli.opening import with_app
from headrace.cli.options import AsJson, Schema, Url  # noqa: TC001 - typer reads them
from headrace.cli.output import print_json, print_table, say, show_duration, show_json, show_relative, show_time

if TYPE_CHECKING:
    from headrace.app import Headrace
    from headrace.schedule import Schedule, ScheduleTenant, Tick, Upcoming

Name = Annotated[str, typer.Argument(metavar="NAME", help="The schedule's name.")]
Tenant = Annotated[str | None, typer.Option("--tenant", metavar="TENANT", help="Only for this tenant of it.")]
COLUMNS = ("SCHEDULE", "WHEN", "TASK", "NEXT", "LAST", "FROM", "STATE")
_COMING, _SHOWN_TICKS, _SHOWN_TENANTS = 5, 10, 20
group = typer.Typer(help="Look at schedules, and act on them.", no_args_is_help=True)


@group.command("list")
def list_schedules(url: Url = None, schema: Schema = "headrace", as_json: AsJson = False) -> None:
    """List the schedules: when they are due, what is next, and how the last moment went."""

    async def read(app: Headrace) -> tuple[list[Schedule], datetime]:
        redactor = await app.redactor()
        found = [redactor.schedule(each) for each in await app.schedules.list()]
        return found, await (await app.database()).value("read_clock")

    schedules, now = with_app(url, schema, read)
    if as_json:
        print_json(schedules)
    else:
        print_table(COLUMNS, [_row(each, now) for each in schedules], empty="there are no schedules yet")


def _row(schedule: Schedule, now: datetime) -> list[str]:
    last = schedule.last or {}
    came = show_relative(datetime.fromisoformat(last["due_at"]), now) if last else ""
    return [
        schedule.name,
        when_due(schedule),
        schedule.task,
        show_relative(schedule.next_due, now) if schedule.next_due is not None else "",
        f"{last['outcome']} {came}" if last else "",
        "code" if schedule.declared else "run time",
        state_of(schedule),
    ]


def when_due(schedule: Schedule) -> str:
    """Its rule in a few words."""
    if schedule.cron is not None:
        return f"{schedule.cron} {schedule.timezone}"
    if schedule.every is not None:
        return f"every {show_duration(schedule.every.total_seconds())}"
    return f"once, {show_time(schedule.at)}"


def state_of(schedule: Schedule) -> str:
    """What an operator should know."""
    words = [
        "disabled: no code declares it" if not schedule.enabled else "",
        f"paused: {schedule.paused_reason}" if schedule.paused_at is not None else "",
        "skips the next" if schedule.skip_next else "",
        "edited" if schedule.edited_at is not None else "",
        f"{schedule.tenants} tenants" if schedule.per_tenant else "",
        f"problem: {schedule.problem}" if schedule.problem is not None else "",
    ]
    return ", ".join(word for word in words if word)


@group.command("show")
def show_schedule(name: Name, url: Url = None, schema: Schema = "headrace", as_json: AsJson = False) -> None:
    """Print all of one schedule: its settings, what is next, its last moments, and the first of its tenants."""

    async def read(app: Headrace) -> dict[str, Any]:
        found, redactor = await app.schedules.get(name), await app.redactor()
        tenants = await app.schedules.tenants(name).list(limit=_SHOWN_TENANTS) if found.per_tenant else []
        return {
            "schedule": redactor.schedule(found),
            "next": await app.schedules.next(name, _COMING),
            "ticks": await app.schedules.ticks(name, limit=_SHOWN_TICKS),
            "tenants": [replace(each, args=redactor.args(found.task, each.args)) for each in tenants],
        }

    page = with_app(url, schema, read)
    if as_json:
        print_json(page)
        return
    _print_settings(page["schedule"])
    say("\nNext:")
    print_upcoming(page["next"])
    say("\nLast:")
    _print_ticks(page["ticks"])
    if page["tenants"]:
        say("\nTenants:")
        _print_tenants(page["tenants"], page["schedule"].tenants)


def _print_settings(schedule: Schedule) -> None:
    edited = f"{show_time(schedule.edited_at)} by {schedule.edited_by}" if schedule.edited_at else ""
    paused = f"{show_time(schedule.paused_at)} by {schedule.paused_by}: {schedule.paused_reason}"
    at_most = f", at most {schedule.catch_up_limit}" if schedule.catch_up == "all" else ""
    settings = {
        "when": when_due(schedule),
        "from": show_time(schedule.start_at),
        "until": show_time(schedule.end_at),
        "jitter": show_duration(schedule.jitter.total_seconds()) if schedule.jitter else "",
        "task": schedule.task,
        "arguments": show_json(schedule.args) if schedule.args else "",
        "queue": schedule.queue or "",
        "priority": "" if schedule.priority is None else str(schedule.priority),
        "tenant": schedule.tenant or "",
        "tags": ", ".join(schedule.tags or []),
        "catch up": f"{schedule.catch_up}{at_most}",
        "overlap": schedule.overlap,
        "made by": "code" if schedule.declared else "run time",
        "edited": edited,
        "paused": paused if schedule.paused_at else "",
        "state": state_of(schedule),
    }
    say(schedule.name)
    for setting, value in settings.items():
        if value:
            say(f"  {setting:<10} {value}")


def _print_ticks(ticks: list[Tick]) -> None:
    rows = [
        [show_time(t.due_at), t.tenant, show_duration(t.lateness.total_seconds()), t.cause, t.outcome,
         str(t.job_id or ""), _detail(t)]
        for t in ticks
    ]  # fmt: skip
    print_table(
        ("DUE", "TENANT", "LATE", "CAUSE", "OUTCOME", "JOB", "DETAIL"), rows, empty="nothing yet", cut_last=True
    )


def _detail(tick: Tick) -> str:
    if tick.through is not None:
        return f"and all moments through {show_time(tick.through)}"
    return tick.detail or ""


def _print_tenants(tenants: list[ScheduleTenant], count: int) -> None:
    rows = [
        [t.tenant, t.cron or "", t.timezone or "", show_json(t.args) if t.args else "", show_time(t.next_due),
         f"paused: {t.paused_reason}" if t.paused_at else t.problem or ""]
        for t in tenants
    ]  # fmt: skip
    print_table(("TENANT", "CRON", "TIME ZONE", "ARGUMENTS", "NEXT", "STATE"), rows, empty="none", cut_last=True)
    if count > len(tenants):
        say(f"and {count - len(tenants)} more")


@group.command("next")
def show_next(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="Only this schedule.")] = None,
    days: Annotated[float, typer.Option("--days", min=0, help="How far to look.")] = 1,
    tenant: Tenant = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="At most so many.")] = 100,
    url: Url = None,
    schema: Schema = "headrace",
    as_json: AsJson = False,
) -> None:
    """Print what will run, in order, in the time zone of each schedule and in yours."""

    async def read(app: Headrace) -> list[Upcoming]:
        until = await (await app.database()).value("read_clock") + timedelta(days=days)
        names = [name] if name is not None else [each.name for each in await app.schedules.list()]
        coming = [each for n in names for each in await app.schedules.next(n, limit, tenant=tenant, until=until)]
        return sorted(coming, key=lambda each: (each.due_at, each.schedule, each.tenant))[:limit]

    coming = with_app(url, schema, read)
    if as_json:
        print_json(coming)
    else:
        print_upcoming(coming)


def print_upcoming(coming: list[Upcoming]) -> None:
    """Moments to come, as a table."""
    rows = [
        [show_time(u.due_at), u.schedule, u.tenant, u.nominal.strftime("%a %Y-%m-%d %H:%M:%S"),
         "second time" if u.fold else "", f"{u.held}: no job" if u.held else ""]
        for u in coming
    ]  # fmt: skip
    print_table(("DUE", "SCHEDULE", "TENANT", "ITS CLOCK SHOWS", "", "HELD"), rows, empty="nothing in that time")
