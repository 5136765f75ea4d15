"""`headrace operations`: what was started on many jobs at once, how far it is, and stopping it."""

from __future__ import annotations

import getpass
from typing import TYPE_CHECKING, Annotated

import typer

from headrace.cli.opening import with_app
from headrace.cli.options import AsJson, Schema, Url  # noqa: TC001 - typer reads them
from headrace.cli.output import print_error, print_json, print_table, say, show_json, show_relative, show_time

if TYPE_CHECKING:
    from datetime import datetime

    from headrace.app import Headrace
    from headrace.operations import Operation

COLUMNS = ("ID", "STATE", "ACTION", "DONE", "SKIPPED", "FAILED", "OF", "BY", "WHEN", "FILTER")
Number = Annotated[int, typer.Argument(metavar="ID", min=1, help="The operation's number.")]
group = typer.Typer(help="Look at operations on many jobs, and stop them.", no_args_is_help=True)


@group.command("list")
def list_operations(
    limit: Annotated[int, typer.Option("--limit", min=1, help="At most so many.")] = 20,
    url: Url = None,
    schema: Schema = "headrace",
    as_json: AsJson = False,
) -> None:
    """List operations, newest first."""

    async def read(app: Headrace) -> tuple[list[Operation], datetime]:
        return await app.operations.list(limit=limit), await (await app.database()).value("read_clock")

    operations, now = with_app(url, schema, read)
    if as_json:
        print_json(operations)
        return
    rows = [
        [
            str(each.id), each.state, each.action, f"{each.done:,}", f"{each.skipped:,}", f"{each.failed:,}",
            "" if each.estimate is None else f"{each.estimate:,}", each.started_by,
            show_relative(each.created_at, now), _of(each),
        ]
        for each in operations
    ]  # fmt: skip
    print_table(COLUMNS, rows, empty="there are no operations", cut_last=True)


@group.command("show")
def show_operation(number: Number, url: Url = None, schema: Schema = "headrace", as_json: AsJson = False) -> None:
    """Print what an operation does, who started it, and how far it is."""
    operation = with_app(url, schema, lambda app: app.operations.get(number))
    if as_json:
        print_json(operation)
        return
    say(f"operation {operation.id}  {operation.state}")
    for label, fact in (
        ("action", operation.action + (f" {show_json(operation.settings)}" if operation.settings else "")),
        ("jobs", _of(operation)),
        ("tenant", operation.tenant or ""),
        ("started by", f"{operation.started_by}, {show_time(operation.created_at)}"),
        ("begins", show_time(operation.starts_at)),
        (
            "done",
            f"{operation.done:,}" + (f" of about {operation.estimate:,}" if operation.estimate is not None else ""),
        ),
        ("skipped", f"{operation.skipped:,}"),
        ("failed", f"{operation.failed:,}"),
        ("ended", show_time(operation.finished_at)),
        ("stopped by", operation.cancelled_by or ""),
        ("problem", operation.problem or ""),
    ):
        if fact:
            say(f"  {label:10} {fact}")


@group.command("cancel")
def cancel_operation(number: Number, url: Url = None, schema: Schema = "headrace") -> None:
    """Stop an operation; if it has not begun, nothing is done. What is done stays done."""
    operation = with_app(url, schema, lambda app: app.operations.cancel(number, by=getpass.getuser()))
    if operation.state != "cancelled":
        print_error(f"operation {number} is {operation.state} already")
        raise typer.Exit(1)
    say(f"operation {number} is cancelled; {operation.done:,} job{'' if operation.done == 1 else 's'} had been done")


def _of(operation: Operation) -> str:
    return operation.filter if operation.filter is not None else f"{operation.listed:,} listed jobs"
