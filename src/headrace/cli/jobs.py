"""`headrace jobs`: look at jobs, and act on them."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer

from headrace.cli.job_page import print_job_page
from headrace.cli.opening import with_app, with_database
from headrace.cli.options import AsJson, JobIds, Schema, Url, read_arguments_object, read_job_id
from headrace.cli.output import print_error, print_json, print_table, say, show_relative, state_text
from headrace.job import State

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from rich.text import Text

    from headrace._store.database import Database
    from headrace.app import Headrace
    from headrace.job import JobInfo

COLUMNS = ("ID", "STATE", "TASK", "QUEUE", "ATTEMPTS", "WHEN", "ERROR")
group = typer.Typer(help="Look at jobs, and act on them.", no_args_is_help=True)

# -- looking --


@group.command("list")
def list_jobs(
    state: Annotated[list[State] | None, typer.Option("--state", help="Only this state; may be repeated.")] = None,
    queue: Annotated[str | None, typer.Option("--queue", metavar="QUEUE", help="Only this queue.")] = None,
    task: Annotated[str | None, typer.Option("--task", metavar="TASK", help="Only this task.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="At most so many.")] = 20,
    url: Url = None,
    schema: Schema = "headrace",
    as_json: AsJson = False,
) -> None:
    """List jobs: the unfinished ones, newest first, then those that finished last."""

    async def read(database: Database) -> tuple[list[dict[str, Any]], datetime]:
        found = await _find(database, set(state or State), {"queue": queue, "task": task}, limit)
        return found, await database.value("read_clock")

    records, now = with_database(url, schema, read)
    if as_json:
        print_json(records)
    else:
        print_table(COLUMNS, [_row(record, now) for record in records], empty="no such job", cut_last=True)


async def _find(database: Database, states: set[State], where: dict[str, Any], limit: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for name, some in (
        ("list_unfinished", sorted(s for s in states if not s.final)),
        ("list_finished", sorted(s for s in states if s.final)),
    ):
        if some and len(found) < limit:
            found += await database.records(name, states=some, before=None, limit=limit - len(found), **where)
    return found


def _row(record: dict[str, Any], now: datetime) -> list[str | Text]:
    error = (record["error"] or {}).get("message", "")
    return [
        record["id"], state_text(record["state"]), record["task"], record["queue"],
        f"{record['attempts']}/{record['max_attempts']}", _when(record, now),
        error.strip().partition("\n")[0],
    ]  # fmt: skip


def _when(record: dict[str, Any], now: datetime) -> str:
    """The moment that matters in this state."""
    match record["state"]:
        case State.SCHEDULED:
            return show_relative(record["run_at"], now)
        case State.RUNNING:
            return "for " + show_relative(record["claimed_at"], now).removesuffix(" ago")
        case State.QUEUED | State.BLOCKED:
            return show_relative(record["created_at"], now)
        case _:
            return show_relative(record["finished_at"], now)


@group.command("show")
def show_job(
    job_id: Annotated[UUID, typer.Argument(metavar="ID", parser=read_job_id, help="The job's id.")],
    url: Url = None,
    schema: Schema = "headrace",
    as_json: AsJson = False,
) -> None:
    """Print the life of a job: its state, arguments and outcome, every attempt and error, its steps and log."""

    async def read(app: Headrace) -> None:
        shown = (await app.redactor()).life(
            await app.find_job(job_id),
            await app.list_attempts(job_id),
            await app.list_steps(job_id),
            await app.list_logs(job_id),
        )
        waits_for = await app.explain_wait(job_id)
        now = await (await app.database()).value("read_clock")
        print_job_page(*shown, now, waits_for=waits_for, as_json=as_json)

    with_app(url, schema, read)


# -- acting --


@group.command("retry")
def retry_jobs(
    ids: JobIds,
    args: Annotated[
        str | None, typer.Option("--args", metavar="JSON", help="Other arguments, as a JSON object of all of them.")
    ] = None,
    from_start: Annotated[
        bool, typer.Option("--from-start", help="Forget the recorded steps, instead of going on after the last one.")
    ] = False,
    url: Url = None,
    schema: Schema = "headrace",
) -> None:
    """Run finished jobs again, and those that wait for a time or an event now."""
    new_args = None if args is None else read_arguments_object(args)

    async def act(app: Headrace) -> tuple[list[UUID], list[JobInfo]]:
        retried = await app.retry_jobs(ids, new_args, from_start=from_start)
        return retried, await app.find_jobs([i for i in ids if i not in retried])

    retried, others = with_app(url, schema, act)
    for job_id in retried:
        say(f"job {job_id} will run again")
    refused = {job.id: f"is {job.state}: there is nothing to retry" for job in others}
    _end_with_refused(ids, retried, refused)


@group.command("cancel")
def cancel_jobs(
    ids: JobIds,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Kept with the jobs.")] = "cancelled",
    url: Url = None,
    schema: Schema = "headrace",
) -> None:
    """Cancel jobs: at once if they wait; running ones are asked to stop."""
    outcomes = with_app(url, schema, lambda app: app.cancel_jobs(ids, reason))
    said = {"cancelled": "is cancelled", "requested": "runs, and is asked to stop"}
    done = [job_id for job_id in ids if outcomes.get(job_id) in said]
    for job_id in done:
        say(f"job {job_id} {said[outcomes[job_id]]}")
    finished = {i: "has finished already" for i, outcome in outcomes.items() if outcome == "finished"}
    _end_with_refused(ids, done, finished)


@group.command("delete")
def delete_jobs(
    ids: JobIds,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    url: Url = None,
    schema: Schema = "headrace",
) -> None:
    """Delete jobs that do not run, with their attempts and logs."""
    if not yes:
        _confirm(f"Delete {len(ids)} job{'s' if len(ids) > 1 else ''}?")

    async def act(app: Headrace) -> tuple[list[UUID], list[JobInfo]]:
        gone = await app.delete_jobs(ids)
        return gone, await app.find_jobs([i for i in ids if i not in gone])

    gone, others = with_app(url, schema, act)
    for job_id in gone:
        say(f"job {job_id} is deleted")
    refused = {job.id: f"is {job.state}: cancel it first, and delete it when it has stopped" for job in others}
    _end_with_refused(ids, gone, refused)


def _confirm(question: str) -> None:
    if not sys.stdin.isatty():
        raise typer.BadParameter("nobody is here to confirm: add --yes")
    typer.confirm(question, abort=True)


def _end_with_refused(ids: Iterable[UUID], done: Iterable[UUID], refused: dict[UUID, str]) -> None:
    """Say why some jobs were left alone, and exit with 1 if there are any."""
    left = [job_id for job_id in dict.fromkeys(ids) if job_id not in set(done)]
    for job_id in left:
        why = refused.get(job_id, "is not there: it never existed, was deleted, or is out of retention")
        print_error(f"job {job_id} {why}")
    if left:
        raise typer.Exit(1)
