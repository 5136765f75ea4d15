"""`headrace workers`: who holds a lease."""

from typing import TYPE_CHECKING, Any

from rich.text import Text

from headrace._worker.timings import Timings
from headrace.cli.opening import with_database
from headrace.cli.options import AsJson, Schema, Url
from headrace.cli.output import print_json, print_table, show_duration, show_time

if TYPE_CHECKING:
    from headrace._store.database import Database

COLUMNS = ("ID", "STATE", "HOST", "PID", "VERSION", "QUEUES (PLACES)", "STARTED", "LAST BEAT")


def workers(url: Url = None, schema: Schema = "headrace", as_json: AsJson = False) -> None:
    """List the workers: every process that holds a lease."""
    records = with_database(url, schema, _read)
    if as_json:
        print_json(records)
    else:
        print_table(COLUMNS, [_row(record) for record in records], empty="no worker is running")


async def _read(database: "Database") -> list[dict[str, Any]]:
    records = await database.records("list_workers")
    return [record | {"state": _state(record)} for record in records]


def _state(record: dict[str, Any]) -> str:
    if record["silent_s"] > Timings.lease_s:
        return "silent"
    return "draining" if record["draining"] else "running"


def _row(record: dict[str, Any]) -> list[str | Text]:
    state = record["state"]
    queues = ", ".join(f"{name} ({places})" for name, places in sorted(record["queues"].items()))
    styles = {"running": "green", "draining": "yellow", "silent": "red"}
    return [
        str(record["id"]), Text(state, styles[state]), record["host"], str(record["pid"]), record["version"], queues,
        show_time(record["started_at"]), f"{show_duration(max(0.0, record['silent_s']))} ago",
    ]  # fmt: skip
