"""Workflows: jobs that wait for other jobs."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Path, Query, Response
from pydantic import Field

from headrace.errors import WorkflowNotFound
from headrace.job import State
from headrace.started import WorkflowInfo, WorkflowNode, workflow_info
from headrace.web.api.cursors import After, read_cursor, write_cursor
from headrace.web.api.dependencies import App, Operator, Viewer, all_tenants
from headrace.web.api.etags import UNCHANGED, IfNoneMatch, tagged
from headrace.web.api.fields import Answer
from headrace.web.api.jobs import CancelBody
from headrace.web.api.problems import ProblemError, answers

WorkflowState = Literal[State.RUNNING, State.SUCCEEDED, State.FAILED, State.CANCELLED]
router = APIRouter(tags=["workflows"], dependencies=[all_tenants("workflows")])
WorkflowId = Annotated[UUID, Path(description="The workflow's id.", examples=["0193a1b2-0000-7000-8000-000000000000"])]


class WorkflowAnswer(Answer):
    """A workflow, and how far it is."""

    id: UUID
    name: str | None
    state: WorkflowState
    policy: str = Field(description='What happens when a job fails: "stop" or "continue".')
    total: int = Field(description="How many jobs it has, callbacks not counted.")
    blocked: int = Field(description="How many of them wait for others.")
    queued: int = Field(description="How many were released and have not finished.")
    succeeded: int
    failed: int
    cancelled: int
    created_at: datetime
    finished_at: datetime | None
    cancel_reason: str | None


class WorkflowList(Answer):
    """Workflows, newest first."""

    workflows: list[WorkflowAnswer]
    next: str | None = Field(description="Send it as `after` to get those that follow; null: there are none.")


class NodeAnswer(Answer):
    """A node of a workflow."""

    id: UUID = Field(description="Its job's id; a barrier's own.")
    name: str | None
    kind: str = Field(description='"job", "barrier" (it has no job), or the callback that it is.')
    state: State
    task: str | None
    parents: list[UUID] = Field(description="The nodes that it waits for.")
    error: str | None


class NodeList(Answer):
    """The nodes of a workflow, in the order in which they were made."""

    nodes: list[NodeAnswer]


class Retried(Answer):
    """What will run again."""

    jobs: list[UUID]


@router.get("/workflows", operation_id="list_workflows", responses=answers())
async def list_workflows(
    app: App, who: Viewer,
    state: Annotated[list[WorkflowState] | None, Query(description="Only these states.")] = None,
    after: After = None,
    limit: Annotated[int, Query(ge=1, le=1000, description="At most so many.")] = 100,
) -> WorkflowList:  # fmt: skip
    """List workflows, newest first."""
    before = read_cursor(after, UUID)
    records = await (await app.database()).records("list_workflows", before=before, states=state, limit=limit + 1)
    found = [workflow_info(record) for record in records]
    following = write_cursor(found[limit - 1].id) if len(found) > limit else None
    return WorkflowList(workflows=[_answer(info) for info in found[:limit]], next=following)


@router.get(
    "/workflows/{workflow_id}",
    operation_id="get_workflow",
    response_model=WorkflowAnswer,
    responses=answers(404) | UNCHANGED,
)
async def get_workflow(workflow_id: WorkflowId, app: App, who: Viewer, if_none_match: IfNoneMatch = None) -> Response:
    """Look at a workflow: one row, however many jobs it has."""
    return tagged(_answer(await app.find_workflow(workflow_id)), if_none_match)


@router.get("/workflows/{workflow_id}/nodes", operation_id="list_nodes", responses=answers(404))
async def list_nodes(workflow_id: WorkflowId, app: App, who: Viewer) -> NodeList:
    """List all nodes of a workflow, with what each waits for."""
    return NodeList(nodes=[_node(node) for node in await app.workflow(workflow_id).nodes()])


@router.post("/workflows/{workflow_id}/cancel", operation_id="cancel_workflow", responses=answers(404, 409))
async def cancel_workflow(
    workflow_id: WorkflowId, app: App, who: Operator, body: CancelBody | None = None
) -> WorkflowAnswer:
    """Cancel all jobs of a workflow that have not finished: at once if they wait; running ones are asked to stop."""
    workflow = app.workflow(workflow_id)
    outcome = await workflow.cancel((body or CancelBody()).reason or "cancelled")
    if outcome == "unknown":
        raise WorkflowNotFound(f"no workflow has the id {workflow_id}: it never existed, or finished too long ago")
    if outcome == "finished":
        raise ProblemError(409, "finished", f"workflow {workflow_id} has finished already")
    return _answer(await workflow.info())


@router.post("/workflows/{workflow_id}/retry", operation_id="retry_workflow", responses=answers(404, 409))
async def retry_workflow(workflow_id: WorkflowId, app: App, who: Operator) -> Retried:
    """Run again what failed or was cancelled, each job once those that it waits for have succeeded."""
    workflow = app.workflow(workflow_id)
    info = await workflow.info()
    jobs = await workflow.retry()
    if not jobs:
        why = "its jobs that did not succeed are gone" if info.failed or info.cancelled else "none of its jobs failed"
        raise ProblemError(409, "nothing-to-retry", f"workflow {workflow_id} is {info.state}: {why}")
    return Retried(jobs=[job.id for job in jobs])


def _answer(info: WorkflowInfo) -> WorkflowAnswer:
    return WorkflowAnswer.model_validate(info)


def _node(node: WorkflowNode) -> NodeAnswer:
    return NodeAnswer.model_validate(node)
