"""`headrace deploys`: the moments at which new versions came, for charts."""

from __future__ import annotations

import getpass
from datetime import timedelta
from typing import Annotated

import typer

from headrace.cli.opening import with_app
from headrace.cli.options import AsJson, Schema, Url, read_duration
from headrace.cli.output import print_json, print_table, say, show_time

COLUMNS = ("WHEN", "LABEL", "BY")
group = typer.Typer(help="Mark deploys, for charts.", no_args_is_help=True)


@group.command("mark")
def mark_deploy(
    label: Annotated[str, typer.Argument(help="What was deployed: a version, a commit.")],
    url: Url = None,
    schema: Schema = "headrace",
) -> None:
    """Mark a deploy now. Workers that start with HEADRACE_DEPLOY in their environment do it, once for each label."""
    with_app(url, schema, lambda app: app.history.mark(label, by=getpass.getuser()))
    say(f"deploy {label} is marked")


@group.command("list")
def list_deploys(
    since: Annotated[
        timedelta, typer.Option("--since", metavar="DURATION", parser=read_duration, help="So far back: 2h, 7d.")
    ] = timedelta(days=90),
    url: Url = None,
    schema: Schema = "headrace",
    as_json: AsJson = False,
) -> None:
    """List deploys, oldest first."""
    deploys = with_app(url, schema, lambda app: app.history.deploys(since=since))
    if as_json:
        print_json(deploys)
    else:
        rows = [[show_time(one.deployed_at), one.label, one.deployed_by or ""] for one in deploys]
        print_table(COLUMNS, rows, empty="no deploy is marked")
