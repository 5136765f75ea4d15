"""`headrace dev`: everything that an app needs, for its developer."""

from headrace import Headrace
from headrace._store.connect import without_password
from headrace._worker.importing import import_app
from headrace._worker.timings import Timings
from headrace._worker.worker import DEFAULT_CONCURRENCY
from headrace._worker.worker_process import WorkerSettings
from headrace.cli.options import Level, LineFormat, LogFormat, LogLevel, Target
from headrace.cli.output import note
from headrace.cli.running import is_embedded, run_workers
from headrace.cli.worker import Concurrency

DRAIN_S = 5.0
"""Who develops does not wait long for jobs to finish."""


def dev(
    target: Target,
    concurrency: Concurrency = DEFAULT_CONCURRENCY,
    log_level: Level = LogLevel.INFO,
    log_format: LineFormat = LogFormat.PLAIN,
) -> None:
    """Start the embedded PostgreSQL (unless the app or HEADRACE_URL names another one), migrate it, and run a worker.

    Ctrl-C stops all of it. Changed code is read at the next start.
    """
    app = import_app(target)
    settings = WorkerSettings(
        target=target,
        concurrency=concurrency,
        log_level=log_level,
        log_format=log_format.value,
        timings=Timings(drain_s=DRAIN_S),
    )
    run_workers(app, settings, processes=1, migrate=True, introduce=lambda url: _introduce(app, target, url))


def _introduce(app: Headrace, target: str, url: str) -> None:
    note(f"app       {target}: {len(app.tasks)} tasks in {', '.join(app.queue_names())}")
    note(f"database  {without_password(url)}")
    if is_embedded(app):
        note("psql      python -m headrace._store.embedded psql")
    note("jobs      headrace jobs list")
    note(f"dashboard headrace serve {target} --no-login")
    note("Ctrl-C stops everything.")
