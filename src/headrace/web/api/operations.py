"""Operations: what is done with all jobs that match a filter, or that are listed."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Path, Query
from pydantic import Field

from headrace.operations import MOST_IDS, UNDO, Action, Operation
from headrace.web.api.cursors import After, read_cursor, write_cursor
from headrace.web.api.dependencies import App, Operator, Redaction, Viewer
from headrace.web.api.fields import Answer, Name, Priority, Text, Yes
from headrace.web.api.fields import Request as Body
from headrace.web.api.job_answers import JobSummary, summary
from headrace.web.api.problems import ProblemError, answers

router = APIRouter(tags=["operations"])
Number = Annotated[int, Path(ge=1, le=2**63 - 1, description="The operation's number.")]


class OperationAnswer(Answer):
    """An operation."""

    id: int
    state: Literal["waiting", "running", "finished", "cancelled", "failed"] = Field(
        description="waiting: it can be undone by cancelling it."
    )
    action: Action
    settings: dict[str, Any]
    filter: str | None = Field(description="On the jobs that match this; null: on those of a list.")
    listed: int | None = Field(description="The length of that list.")
    tenant: str | None
    started_by: str
    created_at: datetime = Field(description="On no jobs that are younger.")
    starts_at: datetime
    estimate: int | None = Field(description="About how many jobs there were to be done.")
    done: int
    skipped: int = Field(description="How many were gone, had changed, or were held by somebody.")
    failed: int
    finished_at: datetime | None
    cancelled_by: str | None
    problem: str | None


class OperationList(Answer):
    """Operations, newest first."""

    operations: list[OperationAnswer]
    next: str | None = Field(description="Send it as `after` to get those that follow; null: there are none.")


class PreviewBody(Body):
    """What would be done, and with which jobs."""

    q: Annotated[str, Field(min_length=1, max_length=2000)] = Field(
        description="Which jobs, in the filter language. For all of them: `age>0s`.", examples=["state:failed"]
    )
    action: Action


class StartBody(Body):
    """What to do, and with which jobs: a filter, or ids."""

    q: Annotated[str, Field(min_length=1, max_length=2000)] | None = Field(
        default=None, description="Which jobs, in the filter language.", examples=["state:failed task:billing.*"]
    )
    ids: Annotated[list[UUID], Field(min_length=1, max_length=MOST_IDS)] | None = Field(
        default=None, description="Instead of a filter, these jobs."
    )
    action: Action
    undo_s: Annotated[float, Field(strict=True, ge=0, le=3600)] = Field(
        default=UNDO.total_seconds(), description="So long it can be cancelled before anything is done."
    )
    priority: Priority | None = Field(default=None, description="For set_priority.")
    queue: Name | None = Field(default=None, description="For move.")
    reason: Text = Field(default="cancelled", description="For cancel: kept with the jobs.")
    from_start: Yes = Field(default=False, description="For retry: forget recorded steps.")


class PreviewAnswer(Answer):
    """What an operation would do."""

    filter: str = Field(description="What was asked for, in the states in which the action can be done.")
    jobs: int = Field(description="About how many jobs there are.")
    exact: bool = Field(description="Whether they were counted, and not estimated.")
    samples: list[JobSummary] = Field(description="The first five of them.")


@router.get("/operations", operation_id="list_operations", responses=answers())
async def list_operations(
    app: App, who: Viewer, after: After = None,
    limit: Annotated[int, Query(ge=1, le=1000, description="At most so many.")] = 50,
) -> OperationList:  # fmt: skip
    """List operations, newest first."""
    found = await app.operations.list(tenant=who.tenant, before=read_cursor(after, int), limit=limit + 1)
    following = write_cursor(found[limit - 1].id) if len(found) > limit else None
    return OperationList(operations=[_answer(it) for it in found[:limit]], next=following)


@router.post("/operations/preview", operation_id="preview_operation", responses=answers())
async def preview_operation(body: PreviewBody, app: App, who: Viewer, redactor: Redaction) -> PreviewAnswer:
    """Say what an operation would do, without doing it."""
    preview = await app.operations.preview(body.q, body.action, tenant=who.tenant)
    return PreviewAnswer(
        filter=str(preview.filter),
        jobs=preview.estimate.jobs,
        exact=preview.estimate.exact,
        samples=[summary(job, redactor) for job in preview.samples],
    )


@router.post("/operations", operation_id="start_operation", status_code=201, responses=answers())
async def start_operation(body: StartBody, app: App, who: Operator) -> OperationAnswer:
    """Start an operation. Workers do it, some seconds later, in which it can be undone."""
    if (body.q is None) == (body.ids is None):
        raise ProblemError(422, "which-jobs", "give either q or ids", wrong=[("/q", "or /ids, not both and not none")])
    started = await app.operations.start(
        body.q, body.action, by=who.name, ids=body.ids, tenant=who.tenant, undo=timedelta(seconds=body.undo_s),
        priority=body.priority, queue=body.queue, reason=body.reason or "cancelled", from_start=body.from_start,
    )  # fmt: skip
    return _answer(started)


@router.get("/operations/{operation:int}", operation_id="get_operation", responses=answers(404))
async def get_operation(operation: Number, app: App, who: Viewer) -> OperationAnswer:
    """Look at an operation, and how far it is."""
    return _answer(await app.operations.get(operation, tenant=who.tenant))


@router.post("/operations/{operation:int}/cancel", operation_id="cancel_operation", responses=answers(404, 409))
async def cancel_operation(operation: Number, app: App, who: Operator) -> OperationAnswer:
    """Stop an operation: nothing is done if it still waits; otherwise what is done stays done."""
    if (await app.operations.get(operation, tenant=who.tenant)).over:
        raise ProblemError(409, "finished", f"operation {operation} is over")
    return _answer(await app.operations.cancel(operation, by=who.name, tenant=who.tenant))


def _answer(operation: Operation) -> OperationAnswer:
    return OperationAnswer.model_validate(operation)
