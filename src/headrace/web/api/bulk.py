"""Acting on jobs that are named by their ids; what matches a filter is an operation."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter
from pydantic import Field

from headrace.web.api.dependencies import App, Operator, find_visible
from headrace.web.api.fields import Answer, Text, Yes
from headrace.web.api.fields import Request as Body
from headrace.web.api.problems import answers

MAX_IDS = 1000
router = APIRouter(tags=["jobs"])
Ids = Annotated[list[UUID], Field(min_length=1, max_length=MAX_IDS, description="Which jobs.")]


class BulkRetryBody(Body):
    """What to run again."""

    ids: Ids
    from_start: Yes = Field(default=False, description="Forget their recorded steps.")


class BulkCancelBody(Body):
    """What to cancel."""

    ids: Ids
    reason: Text = Field(default="cancelled", description="Kept with the jobs.")


class BulkDeleteBody(Body):
    """What to delete."""

    ids: Ids


class Done(Answer):
    """What was done, and what was left alone."""

    done: list[UUID] = Field(description="The jobs to which it was done.")
    left: list[UUID] = Field(description="Those in whose state there was nothing to do, and those that do not exist.")


@router.post("/bulk/retry", operation_id="retry_bulk", responses=answers())
async def retry_bulk(body: BulkRetryBody, app: App, who: Operator) -> Done:
    """Run finished jobs again, and those that wait for a time or an event now."""
    visible = [job.id for job in await find_visible(app, who, body.ids)]
    return _done(body.ids, await app.retry_jobs(visible, from_start=body.from_start) if visible else [])


@router.post("/bulk/cancel", operation_id="cancel_bulk", responses=answers())
async def cancel_bulk(body: BulkCancelBody, app: App, who: Operator) -> Done:
    """Cancel jobs: at once if they wait; running ones are asked to stop."""
    visible = [job.id for job in await find_visible(app, who, body.ids)]
    outcomes = await app.cancel_jobs(visible, body.reason or "cancelled") if visible else {}
    return _done(body.ids, [job_id for job_id, it in outcomes.items() if it in ("cancelled", "requested")])


@router.post("/bulk/delete", operation_id="delete_bulk", responses=answers())
async def delete_bulk(body: BulkDeleteBody, app: App, who: Operator) -> Done:
    """Delete jobs that do not run, with their attempts, steps and logs."""
    visible = [job.id for job in await find_visible(app, who, body.ids)]
    return _done(body.ids, await app.delete_jobs(visible) if visible else [])


def _done(asked: list[UUID], done: list[UUID]) -> Done:
    changed = set(done)
    return Done(
        done=[i for i in dict.fromkeys(asked) if i in changed],
        left=[i for i in dict.fromkeys(asked) if i not in changed],
    )
