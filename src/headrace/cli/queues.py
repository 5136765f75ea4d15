"""`headrace queues`: how long the lines are, and what an operator has set."""

from __future__ import annotations

import getpass
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from headrace import Headrace
from headrace.cli.opening import with_app, with_database
from headrace.cli.options import AsJson, Schema, Url, read_bound, read_duration
from headrace.cli.output import note, print_json, print_table, say, show_duration, show_time
from headrace.errors import did_you_mean

if TYPE_CHECKING:
    from headrace._store.database import Database

COLUMNS = ("QUEUE", "QUEUED", "RUNNING", "SCHEDULED", "BLOCKED", "OLDEST", "CONCURRENCY", "MAX QUEUED", "PAUSED")
group = typer.Typer(help="List the queues, and change their settings.")


@dataclass(frozen=True)
class _Where:
    url: str | None
    schema: str


OtherSchema = Annotated[str | None, typer.Option("--schema", metavar="NAME")]


@group.callback(invoke_without_command=True)
def list_queues(context: typer.Context, url: Url = None, schema: Schema = "headrace", as_json: AsJson = False) -> None:
    """List the queues: unfinished jobs by state, how long the oldest one has waited, and their settings."""
    context.obj = _Where(url, schema)
    if context.invoked_subcommand is None:
        _print_queues(url, schema, as_json=as_json)


@group.command("list")
def list_again(context: typer.Context, url: Url = None, schema: OtherSchema = None, as_json: AsJson = False) -> None:
    """The same: list the queues."""
    _print_queues(url or context.obj.url, schema or context.obj.schema, as_json=as_json)


def _print_queues(url: str | None, schema: str, *, as_json: bool) -> None:
    records, pauses = with_database(url, schema, _read)
    by_queue = {pause["queue"]: pause for pause in pauses}
    for record in records:
        record["paused"] = by_queue.get(record["queue"])
    if as_json:
        print_json(records)
        return
    print_table(COLUMNS, [_row(record) for record in records], empty="there are no queues yet: a worker makes them")
    if "" in by_queue:
        say(f"all queues are paused: {_show_pause(by_queue[''])}")


async def _read(database: Database) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    return await database.records("count_queues"), await database.records("list_pauses")


def _show_pause(pause: dict[str, Any]) -> str:
    until = f"until {show_time(pause['until'])}" if pause["until"] is not None else "until resumed"
    return f"{until}, {pause['reason']}" if pause["reason"] else until


def _row(record: dict[str, Any]) -> list[str]:
    oldest_s, concurrency, max_queued = record["oldest_s"], record["concurrency"], record["max_queued"]
    return [
        record["queue"],
        *(str(record[state]) for state in ("queued", "running", "scheduled", "blocked")),
        "" if oldest_s is None else show_duration(max(0.0, oldest_s)),
        "as started" if concurrency is None else str(concurrency),
        "no bound" if max_queued is None else str(max_queued),
        "" if record["paused"] is None else _show_pause(record["paused"]),
    ]


@group.command("set")
def set_queue(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="The queue.")],
    concurrency: Annotated[
        str | None,
        typer.Option(
            metavar="N|none", help="Places in each worker; none: as the worker was started. 0 stops the queue."
        ),
    ] = None,
    max_queued: Annotated[
        str | None, typer.Option(metavar="N|none", help="Enqueueing beyond so many queued jobs is refused.")
    ] = None,
    url: Url = None,
    schema: Annotated[str | None, typer.Option("--schema", metavar="NAME")] = None,
) -> None:
    """Change a queue's settings; workers follow within seconds."""
    given = {"concurrency": concurrency, "max_queued": max_queued}
    settings = {setting: read_bound(text) for setting, text in given.items() if text is not None}
    if not settings:
        raise typer.BadParameter("nothing to set: give --concurrency or --max-queued")
    with_app(url or context.obj.url, schema or context.obj.schema, lambda app: app.set_queue(name, **settings))
    said = ", ".join(f"{setting} {'none' if bound is None else bound}" for setting, bound in settings.items())
    say(f'queue "{name}": {said}')


PausedQueue = Annotated[str | None, typer.Argument(metavar="[QUEUE]", help="The queue; without one, all of them.")]


@group.command("pause")
def pause_queue(
    context: typer.Context,
    name: PausedQueue = None,
    reason: Annotated[str | None, typer.Option("--reason", metavar="TEXT", help="Kept with the pause.")] = None,
    lasts: Annotated[
        timedelta | None,
        typer.Option("--for", metavar="DURATION", parser=read_duration, help="Ends by itself: 30s, 5m, 1h30m, 2d."),
    ] = None,
    url: Url = None,
    schema: OtherSchema = None,
) -> None:
    """Let no worker claim jobs of a queue, or of any, from its next claim on; running jobs go on."""
    with_app(
        url or context.obj.url,
        schema or context.obj.schema,
        lambda app: app.pause(name, reason=reason, until=lasts, by=getpass.getuser()),
    )
    say(f'queue "{name}" is paused' if name else "all queues are paused")
    known = [
        queue.name for queue in with_app(url or context.obj.url, schema or context.obj.schema, Headrace.list_queues)
    ]
    if name and name not in known:
        note(f'no worker serves "{name}" yet, and no job is in it. {did_you_mean(name, known)}')


@group.command("resume")
def resume_queue(context: typer.Context, name: PausedQueue = None, url: Url = None, schema: OtherSchema = None) -> None:
    """End a pause. Ending that of all queues leaves the pauses of single ones."""
    lasted = with_app(url or context.obj.url, schema or context.obj.schema, lambda app: app.resume(name))
    what = f'queue "{name}"' if name else "all queues"
    say(f"{what}: resumed" if lasted else f"{what}: was not paused")
