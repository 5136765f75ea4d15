"""`headrace migrate`: bring the database's schema to this version."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from headrace import Headrace
from headrace._store import migrate as store
from headrace.cli.options import AsJson, Schema, Url
from headrace.cli.output import print_error, print_json, say

if TYPE_CHECKING:
    from headrace._store.migrate import Plan


def migrate(
    plan: Annotated[bool, typer.Option("--plan", help="Only say what would be done.")] = False,
    verify: Annotated[
        bool, typer.Option("--verify", help="List what differs from this version; exit 1 if any.")
    ] = False,
    repair: Annotated[bool, typer.Option("--repair", help="Create the schema's functions again.")] = False,
    url: Url = None,
    schema: Schema = "headrace",
    as_json: AsJson = False,
) -> None:
    """Bring the database's schema to this version of headrace. Safe to run at any time, and by many at once."""
    if plan + verify + repair > 1:
        raise typer.BadParameter("give one of --plan, --verify and --repair")
    app = Headrace(url, schema=schema)
    try:
        if verify:
            _verify(app.url, schema, as_json)
        elif repair:
            store.repair(app.url, schema)
            _report(store.plan(app.url, schema), schema, "repaired", as_json)
        elif plan:
            _report(store.plan(app.url, schema), schema, "planned", as_json)
        else:
            _report(store.migrate(app.url, schema), schema, "applied", as_json)
    finally:
        app.close_sync()


def _verify(url: str, schema: str, as_json: bool) -> None:
    problems = store.verify(url, schema)
    if as_json:
        print_json({"schema": schema, "problems": problems})
    elif not problems:
        say(f'schema "{schema}" is as this version wants it')
    for problem in () if as_json else problems:
        print_error(problem)
    if problems:
        raise typer.Exit(1)


def _report(done: "Plan", schema: str, what: str, as_json: bool) -> None:
    if as_json:
        print_json({"schema": schema, "done": what, **asdict(done), "up_to_date": done.up_to_date})
    elif what == "repaired":
        say(f'schema "{schema}": all functions created again')
    elif done.up_to_date:
        say(f'schema "{schema}" is up to date (version {done.current})')
    else:
        will = "would be " if what == "planned" else ""
        say(f'schema "{schema}": version {done.current} → {done.target}')
        for name in done.pending:
            say(f"  migration {name} {will}applied")
        if done.functions_differ:
            say(f"  functions {will}replaced")
