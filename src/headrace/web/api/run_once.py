"""Running jobs for the length of one request: for serverless callers, where no worker can be kept running."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Request
from pydantic import Field

from headrace._worker.once import CONCURRENCY, OnceWorker
from headrace.web.api.dependencies import App, Operator, all_tenants
from headrace.web.api.fields import Answer, Name, Whole
from headrace.web.api.fields import Request as Body
from headrace.web.api.problems import ProblemError, answers

LONGEST_S = 900
"""As long as the most patient of the platforms let a request last."""

router = APIRouter(tags=["workers"], dependencies=[all_tenants("workers")])


class RunOnceBody(Body):
    """How much to do."""

    budget_s: Annotated[float, Field(strict=True, ge=0.1, le=LONGEST_S)] = Field(
        default=20.0, description="No job is started, and none goes on, after so many seconds."
    )
    max_jobs: Annotated[Whole, Field(ge=1, le=100_000)] = Field(
        default=1000, description="At most so many jobs are claimed."
    )
    concurrency: Annotated[Whole, Field(ge=1, le=1000)] = Field(
        default=CONCURRENCY, description="How many run at the same time."
    )
    queues: list[Name] | None = Field(
        default=None, min_length=1, description="Which queues to serve. Default: all that the app's tasks use."
    )


class RunOnceAnswer(Answer):
    """What was done."""

    claimed: int = Field(description="How many jobs were claimed.")
    outcomes: dict[str, int] = Field(
        description="How many attempts ended how: succeeded, failed, retried, snoozed, handed_back. One that ended in "
        "its own transaction is not among them.",
        examples=[{"succeeded": 3, "handed_back": 1}],
    )
    more: bool = Field(description="Whether jobs are left that could run now: call again.")


@router.post("/run-once", operation_id="run_once", responses=answers(404, 409))
async def run_once(app: App, who: Operator, request: Request, body: RunOnceBody | None = None) -> RunOnceAnswer:
    """Run queued jobs in this process until none is left or the budget is spent, and answer what came of them.

    Due schedules are ticked and scheduled jobs promoted on the way. What has not finished in time is handed back,
    which spends no attempt; only functions in threads cannot be stopped: the request lasts until they return. One at a
    time in each process.
    """
    body = body or RunOnceBody()
    running: asyncio.Lock = request.app.state.running_once
    if running.locked():
        raise ProblemError(409, "running", "this process is at it already: wait for that request, or run a worker")
    async with running:
        worker = OnceWorker(
            app, budget_s=body.budget_s, max_jobs=body.max_jobs, queues=body.queues, concurrency=body.concurrency
        )
        return RunOnceAnswer.model_validate(await worker.run_once())
