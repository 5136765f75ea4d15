"""`headrace alerts`: what is wrong now, and whether people would hear of it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import typer

from headrace._worker.importing import import_app
from headrace.cli.opening import with_database
from headrace.cli.options import AsJson, Schema, Target, Url  # noqa: TC001 - typer reads annotations
from headrace.cli.output import print_json, print_table, show_time
from headrace.errors import ConfigurationError

if TYPE_CHECKING:
    from headrace._store.database import Database

COLUMNS = ("RULE", "SUBJECT", "SINCE", "RAISED", "UNSENT", "DETAIL")
group = typer.Typer(no_args_is_help=True, help="See what alert rules have found, and test where messages go.")


@group.command("list")
def list_alerts(url: Url = None, schema: Schema = "headrace", as_json: AsJson = False) -> None:
    """What rules have found and not found gone."""

    async def read(database: Database) -> list[dict[str, Any]]:
        return await database.records("list_alerts")

    alerts = with_database(url, schema, read)
    if as_json:
        print_json(alerts)
        return
    rows = [
        [a["rule"], a["subject"], show_time(a["since"]), show_time(a["raised_at"]), str(a["unsent"]), a["detail"]]
        for a in alerts
    ]
    print_table(COLUMNS, rows, empty="nothing is wrong that a rule has found")


@group.command("test")
def test_alerts(target: Target) -> None:
    """Send a message to every destination of an app's alerts, and say which took it."""
    app = import_app(target)
    try:
        from headrace.observe.alerts import Alerts  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise ConfigurationError(f"alerts need Apprise: pip install 'headrace[observe]' ({error})") from error
    declared = [service for service in app.services if isinstance(service, Alerts)]
    if not declared:
        raise ConfigurationError(f"{target} declares no alerts: see docs/observability.md")
    taken = {name: took for alerts in declared for name, took in asyncio.run(alerts.test()).items()}
    rows = [[name, "yes" if took else "no"] for name, took in taken.items()]
    print_table(("DESTINATION", "TOOK IT"), rows, empty="there is no destination")
    if not all(taken.values()):
        raise typer.Exit(1)
