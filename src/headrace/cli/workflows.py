"""`headrace workflows`: look at workflows, and act on them."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Annotated, Any

import typer

from headrace.cli.opening import with_app, with_database
from headrace.cli.options import AsJson, Schema, Url, WorkflowId  # noqa: TC001 - typer reads them
from headrace.cli.output import print_error, print_json, print_table, say, show_relative, state_text
from headrace.cli.workflow_page import print_workflow_page
from headrace.job import State
from headrace.started import workflow_info

if TYPE_CHECKING:
    from datetime import datetime

    from rich.text import Text

    from headrace._store.database import Database
    from headrace.app import Headrace
    from headrace.job import Job
    from headrace.started import WorkflowInfo

COLUMNS = ("ID", "STATE", "DONE", "FAILED", "CANCELLED", "STARTED", "NAME")
STATES = [State.RUNNING, State.SUCCEEDED, State.FAILED, State.CANCELLED]
group = typer.Typer(help="Look at workflows, and act on them.", no_args_is_help=True)


@group.command("list")
def list_workflows(
    state: Annotated[list[State] | None, typer.Option("--state", help="Only this state; may be repeated.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="At most so many.")] = 20,
    url: Url = None,
    schema: Schema = "headrace",
    as_json: AsJson = False,
) -> None:
    """List workflows, the newest first."""
    if wrong := [it for it in state or () if it not in STATES]:
        raise typer.BadParameter(f"a workflow is never {wrong[0]}, but {', '.join(STATES)}")

    async def read(database: Database) -> tuple[list[WorkflowInfo], datetime]:
        records = await database.records("list_workflows", before=None, states=state, limit=limit)
        return [workflow_info(record) for record in records], await database.value("read_clock")

    found, now = with_database(url, schema, read)
    if as_json:
        print_json([dataclasses.asdict(info) for info in found])
    else:
        print_table(COLUMNS, [_row(info, now) for info in found], empty="no such workflow", cut_last=True)


def _row(info: WorkflowInfo, now: datetime) -> list[str | Text]:
    return [
        str(info.id), state_text(info.state), f"{info.done}/{info.total}", str(info.failed), str(info.cancelled),
        show_relative(info.created_at, now), info.name or "",
    ]  # fmt: skip


@group.command("show")
def show_workflow(
    workflow_id: WorkflowId, url: Url = None, schema: Schema = "headrace", as_json: AsJson = False
) -> None:
    """Print how far a workflow is, and its nodes: under those that they wait for, with their states."""

    async def read(app: Headrace) -> None:
        workflow = app.workflow(workflow_id)
        info, nodes = await workflow.info(), await workflow.nodes()
        now = await (await app.database()).value("read_clock")
        print_workflow_page(info, nodes, now, as_json=as_json)

    with_app(url, schema, read)


@group.command("cancel")
def cancel_workflow(
    workflow_id: WorkflowId,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Kept with its jobs.")] = "cancelled",
    url: Url = None,
    schema: Schema = "headrace",
) -> None:
    """Cancel all jobs of a workflow that have not finished: at once if they wait; running ones are asked to stop."""
    outcome = with_app(url, schema, lambda app: app.workflow(workflow_id).cancel(reason))
    if outcome == "cancelled":
        say(f"workflow {workflow_id} is cancelled; its jobs that run are asked to stop")
        return
    why = (
        "has finished already" if outcome == "finished" else "is not there: it never existed, or finished too long ago"
    )
    print_error(f"workflow {workflow_id} {why}")
    raise typer.Exit(1)


@group.command("retry")
def retry_workflow(workflow_id: WorkflowId, url: Url = None, schema: Schema = "headrace") -> None:
    """Run again what failed or was cancelled in a workflow, each job once those that it waits for have succeeded."""

    async def act(app: Headrace) -> tuple[list[Job[Any]], WorkflowInfo]:
        workflow = app.workflow(workflow_id)
        return await workflow.retry(), await workflow.info()

    retried, info = with_app(url, schema, act)
    if retried:
        say(f"workflow {workflow_id}: {len(retried)} jobs will run again")
        return
    why = "its jobs that did not succeed are gone" if info.failed or info.cancelled else "none of its jobs has failed"
    print_error(f"workflow {workflow_id} is {info.state}: there is nothing to retry, {why}")
    raise typer.Exit(1)
