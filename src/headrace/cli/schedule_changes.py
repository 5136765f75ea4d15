"""`headrace schedules`: what makes, changes and runs them."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from headrace._schedule.zones import read_zone
from headrace._store.acting import process_owner
from headrace._worker.importing import import_app
from headrace.cli.enqueue import read_arguments
from headrace.cli.opening import with_app
from headrace.cli.options import Schema, Target, Url, read_arguments_object, read_duration
from headrace.cli.output import note, say
from headrace.cli.schedules import Name, Tenant, group, when_due

if TYPE_CHECKING:
    from headrace.app import Headrace
    from headrace.schedule import Schedule

__all__ = ["group"]

NONE = "none"
Cron = Annotated[str | None, typer.Option("--cron", metavar="CRON", help='Five fields, such as "0 9 * * MON-FRI".')]
Every = Annotated[
    timedelta | None, typer.Option("--every", parser=read_duration, metavar="DURATION", help="An interval: 5m, 1h.")
]
At = Annotated[str | None, typer.Option("--at", metavar="TIME", help="Once: 2026-11-01T09:00+05:30.")]
TimeZone = Annotated[str | None, typer.Option("--timezone", metavar="ZONE", help="Of --cron, such as Asia/Kolkata.")]
CatchUp = Annotated[
    str | None, typer.Option("--catch-up", metavar="skip|latest|all", help="What runs of moments without a worker.")
]
CatchUpLimit = Annotated[int | None, typer.Option("--catch-up-limit", min=1, help="With all: at most so many.")]
Overlap = Annotated[
    str | None,
    typer.Option(
        "--overlap", metavar="skip|queue|cancel|allow", help="What happens while an earlier job is unfinished."
    ),
]
JitterOption = Annotated[
    timedelta | None,
    typer.Option("--jitter", parser=read_duration, metavar="DURATION", help="Put each moment off by a part of this."),
]
StartAt = Annotated[str | None, typer.Option("--start-at", metavar="TIME", help="No moments before it.")]
EndAt = Annotated[str | None, typer.Option("--end-at", metavar="TIME", help="No moments from it on.")]
Queue = Annotated[str | None, typer.Option("--queue", metavar="QUEUE", help="Another queue than the task's.")]
Priority = Annotated[int | None, typer.Option("--priority", help="Another priority than the task's.")]
Tag = Annotated[list[str] | None, typer.Option("--tag", metavar="TAG", help="A label of its jobs; may be repeated.")]


def _options(**given: Any) -> dict[str, Any]:
    """What was given, as `Schedules` takes it."""
    options = {name: value for name, value in given.items() if value is not None}
    for name in ("at", "start_at", "end_at"):
        if name in options:
            options[name] = None if options[name] == NONE else _with_zone(read_time(options[name]), f"--{name}")
    return options


@group.command("create")
def create_schedule(
    target: Target,
    name: Name,
    task: Annotated[str, typer.Argument(help="The task that it enqueues.")],
    arguments: Annotated[
        list[str] | None,
        typer.Argument(metavar="[ARGUMENTS]...", help="name=value pairs or one JSON object, as of `headrace enqueue`."),
    ] = None,
    cron: Cron = None,
    every: Every = None,
    at: At = None,
    timezone: TimeZone = None,
    catch_up: CatchUp = None,
    catch_up_limit: CatchUpLimit = None,
    overlap: Overlap = None,
    jitter: JitterOption = None,
    start_at: StartAt = None,
    end_at: EndAt = None,
    queue: Queue = None,
    priority: Priority = None,
    tenant: Annotated[str | None, typer.Option("--tenant", help="Whom its jobs belong to.")] = None,
    tag: Tag = None,
    per_tenant: Annotated[bool, typer.Option("--per-tenant", help="Due for each tenant that is added to it.")] = False,
) -> None:
    """Make a schedule."""
    positional, args = read_arguments(arguments or [])
    if positional:
        raise typer.BadParameter("a schedule's arguments have names: write name=value, or one JSON object")
    options = _options(
        cron=cron, every=every, at=at, timezone=timezone, catch_up=catch_up, catch_up_limit=catch_up_limit,
        overlap=overlap, jitter=jitter, start_at=start_at, end_at=end_at, queue=queue, priority=priority,
        tenant=tenant, tags=tag,
    )  # fmt: skip

    async def create(app: Headrace) -> Schedule:
        async with app:
            return await app.schedules.create(name, task, args=args, per_tenant=per_tenant, **options)

    made = asyncio.run(create(import_app(target)))
    say(f'schedule "{name}" is made: {when_due(made)}')


@group.command("edit")
def edit_schedule(
    name: Name,
    cron: Cron = None,
    every: Every = None,
    at: At = None,
    timezone: TimeZone = None,
    catch_up: CatchUp = None,
    catch_up_limit: CatchUpLimit = None,
    overlap: Overlap = None,
    jitter: JitterOption = None,
    start_at: Annotated[str | None, typer.Option("--start-at", metavar="TIME|none")] = None,
    end_at: Annotated[str | None, typer.Option("--end-at", metavar="TIME|none")] = None,
    queue: Queue = None,
    priority: Priority = None,
    tag: Tag = None,
    args: Annotated[str | None, typer.Option("--args", metavar="JSON", help="All its arguments; needs --app.")] = None,
    app: Annotated[
        str | None, typer.Option("--app", metavar="MODULE:APP", help="The app, which knows what arguments are right.")
    ] = None,
    url: Url = None,
    schema: Schema = "headrace",
) -> None:
    """Change a schedule. What code declares stays changed until the code itself changes."""
    options = _options(
        cron=cron, every=every, at=at, timezone=timezone, catch_up=catch_up, catch_up_limit=catch_up_limit,
        overlap=overlap, jitter=jitter, start_at=start_at, end_at=end_at, queue=queue, priority=priority, tags=tag,
    )  # fmt: skip
    if args is not None:
        if app is None:
            raise typer.BadParameter("--args needs --app MODULE:APP: only the app knows what arguments are right")
        options["args"] = read_arguments_object(args)
    if not options:
        raise typer.BadParameter("nothing to change: give at least one option")

    async def edit(opened: Headrace) -> Schedule:
        return await opened.schedules.edit(name, by=process_owner(), **options)

    async def edit_with(imported: Headrace) -> Schedule:
        async with imported:
            return await edit(imported)

    changed = with_app(url, schema, edit) if app is None else asyncio.run(edit_with(import_app(app)))
    say(f'schedule "{name}" is changed: {when_due(changed)}')
    if changed.declared:
        note("code declares it: the change stays until the declaration changes")


@group.command("delete")
def delete_schedule(name: Name, url: Url = None, schema: Schema = "headrace") -> None:
    """Delete a schedule that was made at run time, or that no code declares any more."""
    with_app(url, schema, lambda app: app.schedules.delete(name))
    say(f'schedule "{name}" is deleted')


@group.command("pause")
def pause_schedule(
    name: Name,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why: kept with it.")],
    tenant: Tenant = None,
    url: Url = None,
    schema: Schema = "headrace",
) -> None:
    """Let moments pass without a job, until it is resumed; they are recorded."""
    with_app(url, schema, lambda app: app.schedules.pause(name, reason, by=process_owner(), tenant=tenant))
    say(f'schedule "{name}"{_of(tenant)} is paused')


@group.command("resume")
def resume_schedule(name: Name, tenant: Tenant = None, url: Url = None, schema: Schema = "headrace") -> None:
    """End a pause."""
    with_app(url, schema, lambda app: app.schedules.resume(name, tenant=tenant))
    say(f'schedule "{name}"{_of(tenant)} goes on')


@group.command("run")
def run_schedule(name: Name, tenant: Tenant = None, url: Url = None, schema: Schema = "headrace") -> None:
    """Enqueue a job of it now, and print the job's id."""
    job = with_app(url, schema, lambda app: app.schedules.run_now(name, tenant=tenant or ""))
    say(str(job.id))


@group.command("skip")
def skip_next(
    name: Name,
    tenant: Tenant = None,
    undo: Annotated[bool, typer.Option("--undo", help="Give the next moment its job after all.")] = False,
    url: Url = None,
    schema: Schema = "headrace",
) -> None:
    """Give the next moment no job."""
    with_app(url, schema, lambda app: app.schedules.skip_next(name, tenant=tenant, skip=not undo))
    say(f'the next moment of schedule "{name}"{_of(tenant)} gets {"its" if undo else "no"} job')


@group.command("backfill")
def backfill_schedule(
    name: Name,
    start: Annotated[str, typer.Argument(metavar="START", help="From this time on: 2026-11-01 or 2026-11-01T09:00.")],
    end: Annotated[str, typer.Argument(metavar="END", help="Before this time.")],
    tenant: Tenant = None,
    url: Url = None,
    schema: Schema = "headrace",
) -> None:
    """Run the moments of a past time that got no job. Times without an offset are in the schedule's time zone."""
    bounds = read_time(start), read_time(end)

    async def backfill(app: Headrace) -> int:
        zone = read_zone((await app.schedules.get(name)).timezone)
        first, last = (time if time.tzinfo else time.replace(tzinfo=zone) for time in bounds)
        return await app.schedules.backfill(name, first, last, tenant=tenant or "")

    filled = with_app(url, schema, backfill)
    say(f'{filled} moment{"" if filled == 1 else "s"} of schedule "{name}"{_of(tenant)} will run')


def _of(tenant: str | None) -> str:
    return f' of tenant "{tenant}"' if tenant else ""


def read_time(text: str) -> datetime:
    """2026-11-01, 2026-11-01T09:00 or 2026-11-01T09:00+05:30."""
    try:
        return datetime.fromisoformat(text)
    except ValueError as error:
        raise typer.BadParameter(
            f'"{text}" is not a time ({error}): write 2026-11-01, 2026-11-01T09:00 or 2026-11-01T09:00+05:30'
        ) from None


def _with_zone(time: datetime, what: str) -> datetime:
    if time.tzinfo is None:
        raise typer.BadParameter(f"{what.replace('_', '-')} needs an offset: {time.isoformat()}+00:00 is in UTC")
    return time
