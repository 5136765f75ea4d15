"""`headrace workers`: who holds a lease."""

import dataclasses

from rich.text import Text

from headrace.cli.opening import with_app
from headrace.cli.options import AsJson, Schema, Url
from headrace.cli.output import print_json, print_table, show_duration, show_time
from headrace.serving import WorkerInfo

COLUMNS = ("ID", "STATE", "HOST", "PID", "VERSION", "QUEUES (PLACES)", "STARTED", "LAST BEAT")
_STYLES = {"running": "green", "draining": "yellow", "silent": "red"}


def workers(url: Url = None, schema: Schema = "headrace", as_json: AsJson = False) -> None:
    """List the workers: every process that holds a lease."""
    found = with_app(url, schema, lambda app: app.list_workers())
    if as_json:
        print_json([dataclasses.asdict(worker) | {"state": worker.state} for worker in found])
    else:
        print_table(COLUMNS, [_row(worker) for worker in found], empty="no worker is running")


def _row(worker: WorkerInfo) -> list[str | Text]:
    queues = ", ".join(f"{name} ({places})" for name, places in sorted(worker.queues.items()))
    return [
        str(worker.id), Text(worker.state, _STYLES[worker.state]), worker.host, str(worker.pid), worker.version, queues,
        show_time(worker.started_at), f"{show_duration(max(0.0, worker.silent_s))} ago",
    ]  # fmt: skip
