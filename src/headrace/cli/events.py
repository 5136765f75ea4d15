"""`headrace events`: emit one, and look at one."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from headrace.cli.opening import with_app
from headrace.cli.options import AsJson, Schema, Url, read_duration, read_json
from headrace.cli.output import print_error, print_json, say, show_json, show_relative, show_time
from headrace.event import KEEP_EVENTS

if TYPE_CHECKING:
    from datetime import datetime

    from headrace.app import Headrace

Name = Annotated[str, typer.Argument(metavar="NAME", help="The event.")]
group = typer.Typer(help="Emit events that jobs wait for, and look at them.", no_args_is_help=True)


@group.command("emit")
def emit(
    name: Name,
    payload: Annotated[str, typer.Argument(metavar="JSON", help="What there is to say of it.")] = "null",
    keep: Annotated[
        timedelta,
        typer.Option(
            "--keep", metavar="DURATION", parser=read_duration, help="How long it is remembered.", show_default="30d"
        ),
    ] = KEEP_EVENTS,
    url: Url = None,
    schema: Schema = "headrace",
) -> None:
    """Say that something has happened: jobs that wait for it go on. Only the first emit counts; others exit with 1."""
    value = read_json(payload, "the payload is")
    if not with_app(url, schema, lambda app: app.emit(name, value, keep=keep)):
        print_error(f'event "{name}" was emitted before: nothing is changed. See `headrace events show {name}`')
        raise typer.Exit(1)
    say(f'event "{name}" is emitted')


@group.command("show")
def show(name: Name, url: Url = None, schema: Schema = "headrace", as_json: AsJson = False) -> None:
    """Print when an event was emitted, with which payload, and how many jobs wait for it."""

    async def read(app: Headrace) -> tuple[list[dict[str, Any]], int, datetime]:
        database, redactor = await app.database(), await app.redactor()
        found = await database.records("find_event", event=name)
        for record in found:
            record["payload"] = redactor.named(record["payload"])
        waiting = await database.value("count_waiting", event=name)
        return found, waiting, await database.value("read_clock")

    found, waiting, now = with_app(url, schema, read)
    if as_json:
        print_json({"name": name, "waiting": waiting, **(found[0] if found else {"emitted_at": None})})
        return
    jobs = f"{waiting} job{'' if waiting == 1 else 's'} wait{'s' if waiting == 1 else ''} for it"
    if not found:
        print_error(f'event "{name}" was not emitted, or is forgotten; {jobs}')
        raise typer.Exit(1)
    event = found[0]
    say(f'event "{name}"')
    for label, fact in (
        ("emitted", f"{show_time(event['emitted_at'])} ({show_relative(event['emitted_at'], now)})"),
        ("forgotten", f"{show_time(event['expires_at'])} ({show_relative(event['expires_at'], now)})"),
        ("payload", show_json(event["payload"])),
        ("waiting", jobs),
    ):
        say(f"  {label:10} {fact}")
