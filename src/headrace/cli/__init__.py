"""The command line: ``headrace``. Each command, or group of commands, has a module of its own.

Exit status: 0 it worked, 1 it did not (the database is away, a job is not there, a job failed), 2 it was asked wrongly.
What the user can put right ends in one message on standard error, not in a traceback.
"""

from __future__ import annotations

import os
import sys
from typing import Annotated

import psycopg
import typer

import headrace
from headrace._store.acting import acting, process_owner
from headrace.cli import (
    alerts,
    audit,
    bench,
    breakers,
    deploys,
    dev,
    doctor,
    enqueue,
    events,
    failures,
    history,
    jobs,
    keys,
    limits,
    migrate,
    operations,
    queues,
    schedule_changes,
    serve,
    users,
    why,
    worker,
    workers,
    workflows,
)
from headrace.cli.output import note, print_error
from headrace.errors import ConfigurationError, FilterError, HeadraceError, InvalidArguments

FAILED = 1
WRONG_USE = 2
DEBUG = "HEADRACE_DEBUG"

commands = typer.Typer(name="headrace", no_args_is_help=True, pretty_exceptions_enable=False)
commands.command("migrate")(migrate.migrate)
commands.command("worker")(worker.worker)
commands.command("dev")(dev.dev)
commands.command("enqueue")(enqueue.enqueue)
commands.command("why")(why.why)
commands.command("doctor")(doctor.doctor)
commands.add_typer(jobs.group, name="jobs")
commands.command("failures")(failures.failures)
commands.add_typer(operations.group, name="operations")
commands.add_typer(events.group, name="events")
commands.add_typer(queues.group, name="queues")
commands.add_typer(schedule_changes.group, name="schedules")
commands.add_typer(workflows.group, name="workflows")
commands.add_typer(limits.group, name="limits")
commands.add_typer(breakers.group, name="breakers")
commands.add_typer(deploys.group, name="deploys")
commands.command("history")(history.history)
commands.add_typer(keys.group, name="keys")
commands.add_typer(users.group, name="users")
commands.add_typer(audit.group, name="audit")
commands.add_typer(alerts.group, name="alerts")
commands.command("workers")(workers.workers)
commands.command("serve")(serve.serve)
commands.command("bench")(bench.bench)


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"headrace {headrace.__version__}")
        raise typer.Exit


@commands.callback()
def _headrace(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks of errors.")] = False,
) -> None:
    """Background jobs for Python on PostgreSQL.

    The database is the app's; for commands without an app it is --url, else HEADRACE_URL, else the embedded server of
    this directory.
    """
    if debug:
        os.environ[DEBUG] = "1"


def main() -> None:
    """Run a command."""
    try:
        with acting(process_owner(), source="cli"):
            commands(prog_name="headrace")
    except (HeadraceError, psycopg.Error) as error:
        if os.environ.get(DEBUG):
            raise
        print_error(str(error).strip())
        if isinstance(error, FilterError):
            note(error.pointer())
        wrong = isinstance(error, ConfigurationError | InvalidArguments | FilterError)
        sys.exit(WRONG_USE if wrong else FAILED)
