"""Acting on all jobs that match: what would be done is shown and confirmed, then workers do it."""

from __future__ import annotations

import getpass
import sys
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer

from headrace.cli.job_table import COLUMNS, job_rows
from headrace.cli.opening import with_app
from headrace.cli.output import note, print_table, say, show_duration

if TYPE_CHECKING:
    from datetime import datetime

    from headrace.app import Headrace
    from headrace.operations import Action, Operation, Preview

Matching = Annotated[
    str | None,
    typer.Option("--matching", metavar="FILTER", help="All jobs that match, instead of IDs; workers do it."),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


def named(ids: list[UUID] | None) -> list[UUID]:
    """The ids that were given, where there is no filter."""
    if not ids:
        raise typer.BadParameter("give IDs of jobs, or --matching FILTER")
    return ids


def start_on_all(
    action: Action, matching: str, ids: list[UUID] | None, yes: bool, url: str | None, schema: str, **settings: Any
) -> None:
    """Show what matches, ask, and start the operation."""
    if ids:
        raise typer.BadParameter("give either IDs or --matching FILTER")

    async def look(app: Headrace) -> tuple[Preview, datetime]:
        preview = await app.operations.preview(matching, action)
        return preview, await (await app.database()).value("read_clock")

    async def start(app: Headrace) -> Operation:
        return await app.operations.start(matching, action, by=getpass.getuser(), **settings)

    preview, now = with_app(url, schema, look)
    if preview.estimate.exact and preview.estimate.jobs == 0:
        note("no such job")
        return
    jobs = f"{preview.estimate} job{'' if preview.estimate.jobs == 1 else 's'}"
    if not yes:
        print_table(COLUMNS, job_rows(preview.samples, now), empty="", cut_last=True)
        confirm(f"{action.capitalize()} {jobs} like these?")
    operation = with_app(url, schema, start)
    wait_s = (operation.starts_at - operation.created_at).total_seconds()
    say(
        f"operation {operation.id} will {action} {jobs} in {show_duration(wait_s)}: "
        f"`headrace operations show {operation.id}` tells how far it is, "
        f"`headrace operations cancel {operation.id}` stops it"
    )


def confirm(question: str) -> None:
    """Ask; without a terminal, refuse."""
    if not sys.stdin.isatty():
        raise typer.BadParameter("nobody is here to confirm: add --yes")
    typer.confirm(question, abort=True)
