"""`headrace jobs`: look at jobs, and act on them."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer

from headrace.cli.bulk import Matching, Yes, confirm, named, start_on_all
from headrace.cli.job_page import print_job_page
from headrace.cli.job_table import COLUMNS, job_rows
from headrace.cli.opening import with_app
from headrace.cli.options import AsJson, FilterText, JobIds, Schema, Url, read_arguments_object, read_job_id
from headrace.cli.output import note, print_error, print_json, print_table, say
from headrace.filter import Filter, Term, Value
from headrace.job import State  # noqa: TC001 - typer reads it
from headrace.search import MOST_JOBS

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from headrace.app import Headrace
    from headrace.job import JobInfo
    from headrace.search import JobPage

LISTED = (
    "id", "state", "task", "queue", "priority", "attempts", "max_attempts", "created_at", "run_at", "claimed_at",
    "finished_at", "error", "tenant",
)  # fmt: skip
"""What programs get of each job."""

group = typer.Typer(help="Look at jobs, and act on them.", no_args_is_help=True)

# -- looking --


@group.command("list")
def list_jobs(
    filter_text: FilterText = "",
    state: Annotated[list[State] | None, typer.Option("--state", help="Only this state; may be repeated.")] = None,
    queue: Annotated[str | None, typer.Option("--queue", metavar="QUEUE", help="Only this queue.")] = None,
    task: Annotated[str | None, typer.Option("--task", metavar="TASK", help="Only this task.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=MOST_JOBS, help="At most so many.")] = 20,
    after: Annotated[
        str | None, typer.Option("--after", metavar="PLACE", help="Go on where a page ended, as it said.")
    ] = None,
    url: Url = None,
    schema: Schema = "headrace",
    as_json: AsJson = False,
) -> None:
    """List jobs that match a FILTER: the unfinished ones, newest first, then those that finished last.

    For example: headrace jobs list 'state:failed task:billing.* args.customer=42 error~timeout age>1h'
    """
    wanted = _with_options(Filter.parse(filter_text), state, queue, task)

    async def read(app: Headrace) -> tuple[JobPage, datetime]:
        page = await app.search.jobs(wanted, after=after, limit=limit)
        return page, await (await app.database()).value("read_clock")

    page, now = with_app(url, schema, read)
    if as_json:
        print_json([{name: getattr(job, name) for name in LISTED} for job in page.jobs])
    else:
        print_table(COLUMNS, job_rows(page.jobs, now), empty="no such job", cut_last=True)
    if page.partial:
        note(f"searched {page.searched}; to search further back: --after {page.after}")
    elif page.after is not None and len(page.jobs) == limit and sys.stdout.isatty():
        note(f"there may be more: --after {page.after}")


def _with_options(wanted: Filter, states: list[State] | None, queue: str | None, task: str | None) -> Filter:
    """The filter, and what the options say beside it."""
    terms = [Term("state", ":", tuple(Value(state.value) for state in states))] if states else []
    named = (("queue", queue), ("task", task))
    terms += [Term(key, "=", (Value(name, quoted=True),)) for key, name in named if name is not None]
    return Filter((*wanted.terms, *terms))


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
        why = await app.why(job_id)
        now = await (await app.database()).value("read_clock")
        print_job_page(*shown, now, why=why, as_json=as_json)

    with_app(url, schema, read)


# -- acting --


@group.command("retry")
def retry_jobs(
    ids: JobIds = None,
    matching: Matching = None,
    args: Annotated[
        str | None, typer.Option("--args", metavar="JSON", help="Other arguments, as a JSON object of all of them.")
    ] = None,
    from_start: Annotated[
        bool, typer.Option("--from-start", help="Forget the recorded steps, instead of going on after the last one.")
    ] = False,
    yes: Yes = False,
    url: Url = None,
    schema: Schema = "headrace",
) -> None:
    """Run finished jobs again, and those that wait for a time or an event now; with --matching finished ones only."""
    new_args = None if args is None else read_arguments_object(args)
    if matching is not None:
        if new_args is not None:
            raise typer.BadParameter("--args is for jobs that are named by their ids")
        start_on_all("retry", matching, ids, yes, url, schema, from_start=from_start)
        return
    ids = named(ids)

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
    ids: JobIds = None,
    matching: Matching = None,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Kept with the jobs.")] = "cancelled",
    yes: Yes = False,
    url: Url = None,
    schema: Schema = "headrace",
) -> None:
    """Cancel jobs: at once if they wait; running ones are asked to stop."""
    if matching is not None:
        start_on_all("cancel", matching, ids, yes, url, schema, reason=reason)
        return
    ids = named(ids)
    outcomes = with_app(url, schema, lambda app: app.cancel_jobs(ids, reason))
    said = {"cancelled": "is cancelled", "requested": "runs, and is asked to stop"}
    done = [job_id for job_id in ids if outcomes.get(job_id) in said]
    for job_id in done:
        say(f"job {job_id} {said[outcomes[job_id]]}")
    finished = {i: "has finished already" for i, outcome in outcomes.items() if outcome == "finished"}
    _end_with_refused(ids, done, finished)


@group.command("delete")
def delete_jobs(
    ids: JobIds = None,
    matching: Matching = None,
    yes: Yes = False,
    url: Url = None,
    schema: Schema = "headrace",
) -> None:
    """Delete jobs that do not run, with their attempts and logs."""
    if matching is not None:
        start_on_all("delete", matching, ids, yes, url, schema)
        return
    ids = named(ids)
    if not yes:
        confirm(f"Delete {len(ids)} job{'s' if len(ids) > 1 else ''}?")

    async def act(app: Headrace) -> tuple[list[UUID], list[JobInfo]]:
        gone = await app.delete_jobs(ids)
        return gone, await app.find_jobs([i for i in ids if i not in gone])

    gone, others = with_app(url, schema, act)
    for job_id in gone:
        say(f"job {job_id} is deleted")
    refused = {job.id: f"is {job.state}: cancel it first, and delete it when it has stopped" for job in others}
    _end_with_refused(ids, gone, refused)


def _end_with_refused(ids: Iterable[UUID], done: Iterable[UUID], refused: dict[UUID, str]) -> None:
    """Say why some jobs were left alone, and exit with 1 if there are any."""
    left = [job_id for job_id in dict.fromkeys(ids) if job_id not in set(done)]
    for job_id in left:
        why = refused.get(job_id, "is not there: it never existed, was deleted, or is out of retention")
        print_error(f"job {job_id} {why}")
    if left:
        raise typer.Exit(1)
