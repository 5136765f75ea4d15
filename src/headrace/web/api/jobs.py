"""Looking at jobs, and acting on one."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query, Response
from pydantic import ConfigDict, Field

from headrace._app.declaring import OWN_TASKS
from headrace.errors import JobError, ResultTimeout
from headrace.job import Job, State
from headrace.web.api.cursors import After
from headrace.web.api.dependencies import App, Operator, Redaction, Viewer, VisibleJob, find_visible, refuse_redacted
from headrace.web.api.enqueueing import read_args
from headrace.web.api.etags import UNCHANGED, IfNoneMatch, tagged
from headrace.web.api.fields import Answer, FilterText, Object, Text, Yes
from headrace.web.api.fields import Request as Body
from headrace.web.api.job_answers import (
    AttemptAnswer,
    JobAnswer,
    JobSummary,
    LogAnswer,
    ResultAnswer,
    StepAnswer,
    job_answer,
    result_answer,
    summary,
)  # fmt: skip
from headrace.web.api.problems import ProblemError, answers

LONGEST_WAIT_S = 60
"""Longer than that, something in between gives up."""

router = APIRouter(tags=["jobs"])
Limit = Annotated[int, Query(ge=1, le=1000, description="At most so many.")]


class JobList(Answer):
    """Jobs: the unfinished ones, newest first, then those that finished last."""

    jobs: list[JobSummary]
    next: str | None = Field(description="Send it as `after` to get those that follow; null: there are none.")
    searched: str = Field(description="What was looked at, in words.", examples=["all jobs"])
    partial: bool = Field(description="Whether the time was over before so many were found: there may be more.")


class Attempts(Answer):
    """A job's attempts before its last, oldest first."""

    attempts: list[AttemptAnswer]


class Steps(Answer):
    """What a job's attempts recorded of its steps, in the handler's order."""

    steps: list[StepAnswer]


class Logs(Answer):
    """What a job's handler logged, oldest first."""

    logs: list[LogAnswer]


class ReasonAnswer(Answer):
    """One thing that keeps a job where it is. Each kind has fields of its own beside these."""

    model_config = ConfigDict(extra="allow")

    kind: str = Field(description="paused, no_worker, slots_taken, …", examples=["paused"])
    text: str = Field(description="In words.", examples=['queue "mail" is paused'])


class WhyAnswer(Answer):
    """Why a job is where it is."""

    state: State
    at: datetime = Field(description="The moment, by the database's clock.")
    reasons: list[ReasonAnswer] = Field(description="Every one, the weightiest first.")
    next: str = Field(description="What will become of it, in words.")


class RetryBody(Body):
    """How to run a job again."""

    args: Object | None = Field(default=None, description="Other arguments: all of them.", examples=[{"customer": 42}])
    from_start: Yes = Field(
        default=False, description="Forget its recorded steps, instead of going on after the last one."
    )


class CancelBody(Body):
    """Why a job is cancelled."""

    reason: Text = Field(default="cancelled", description="Kept with the job.", examples=["the order was withdrawn"])


class Cancelled(Answer):
    """What cancelling did."""

    outcome: str = Field(
        description='"cancelled", or "requested": it runs, and is asked to stop.', examples=["cancelled"]
    )


@router.get("/jobs", operation_id="list_jobs", responses=answers())
async def list_jobs(
    app: App, who: Viewer, redactor: Redaction, q: FilterText = "", after: After = None, limit: Limit = 50
) -> JobList:
    """List the jobs that match a filter: the unfinished ones, newest first, then those that finished last.

    Answers within about two seconds: if that was not enough to find as many as asked for, `partial` is true, and `next`
    goes on from there.
    """
    page = await app.search.jobs(q, tenant=who.tenant, after=after, limit=limit)
    return JobList(
        jobs=[summary(job, redactor) for job in page.jobs],
        next=page.after,
        searched=str(page.searched),
        partial=page.partial,
    )


@router.get("/jobs/{job_id}", operation_id="get_job", response_model=JobAnswer, responses=answers(404) | UNCHANGED)
async def get_job(job: VisibleJob, redactor: Redaction, if_none_match: IfNoneMatch = None) -> Response:
    """Look at one job, finished or not."""
    return tagged(job_answer(job, redactor), if_none_match)


@router.get("/jobs/{job_id}/attempts", operation_id="list_attempts", responses=answers(404))
async def list_attempts(job: VisibleJob, app: App, redactor: Redaction) -> Attempts:
    """List a job's attempts before its last."""
    _, attempts, _, _ = redactor.life(job, await app.list_attempts(job.id), [], [])
    return Attempts(attempts=[AttemptAnswer.model_validate(attempt) for attempt in attempts])


@router.get("/jobs/{job_id}/steps", operation_id="list_steps", responses=answers(404))
async def list_steps(job: VisibleJob, app: App, redactor: Redaction) -> Steps:
    """List what a job's attempts recorded of its steps."""
    _, _, steps, _ = redactor.life(job, [], await app.list_steps(job.id), [])
    return Steps(steps=[StepAnswer.model_validate(step) for step in steps])


@router.get("/jobs/{job_id}/logs", operation_id="list_logs", responses=answers(404))
async def list_logs(job: VisibleJob, app: App, redactor: Redaction, limit: Limit = 1000) -> Logs:
    """List what a job's handler logged."""
    _, _, _, lines = redactor.life(job, [], [], await app.list_logs(job.id, limit))
    return Logs(logs=[LogAnswer.model_validate(line) for line in lines])


@router.get("/jobs/{job_id}/result", operation_id="get_result", responses=answers(404))
async def get_result(
    job: VisibleJob, app: App, who: Viewer, redactor: Redaction,
    wait_s: Annotated[
        float, Query(ge=0, le=LONGEST_WAIT_S, description="Wait up to so many seconds for it to finish.")
    ] = 0,
) -> ResultAnswer:  # fmt: skip
    """Get what has become of a job, and wait for it if asked to.

    A job that has not finished is answered with 200 and `finished: false`: ask again.
    """
    if wait_s > 0 and not job.state.final:
        try:
            await Job(app, job.id).result(wait_s)
        except ResultTimeout:
            pass
        except JobError:  # it failed, was cancelled or deleted: told below
            pass
        job = (await find_visible(app, who, [job.id]) or [job])[0]
    return result_answer(job, redactor)


@router.get("/jobs/{job_id}/why", operation_id="explain_job", responses=answers(404))
async def explain_job(job: VisibleJob, app: App, who: Viewer, redactor: Redaction) -> WhyAnswer:
    """Say why a job is where it is, and what happens to it next."""
    why = await app.why(job.id, tenant=who.tenant)
    hide, said = redactor.texts(job.task, job.args, job.result), why.as_dict()
    return WhyAnswer.model_validate(said | {"reasons": hide.everywhere(said["reasons"]), "next": hide(why.next)})


@router.post("/jobs/{job_id}/retry", operation_id="retry_job", responses=answers(404, 409, 413))
async def retry_job(
    job: VisibleJob, app: App, who: Operator, redactor: Redaction, body: RetryBody | None = None
) -> JobAnswer:
    """Run a finished job again, or one that waits for a time or an event now; with other arguments, if given."""
    body = body or RetryBody()
    if body.args is not None:
        refuse_redacted(body.args, "/args")
        if job.task in app.task_names() or job.task.startswith(OWN_TASKS):
            read_args(app, job.task, body.args)
    if not await app.retry_jobs([job.id], body.args, from_start=body.from_start):
        raise ProblemError(409, "nothing-to-retry", f"job {job.id} is {job.state}: there is nothing to retry")
    return job_answer((await find_visible(app, who, [job.id]) or [job])[0], redactor)


@router.post("/jobs/{job_id}/cancel", operation_id="cancel_job", responses=answers(404, 409))
async def cancel_job(job: VisibleJob, app: App, who: Operator, body: CancelBody | None = None) -> Cancelled:
    """Cancel a job: at once if it waits; a running one is asked to stop."""
    outcome = (await app.cancel_jobs([job.id], (body or CancelBody()).reason or "cancelled"))[job.id]
    if outcome not in ("cancelled", "requested"):
        raise ProblemError(409, "finished", f"job {job.id} has finished already")
    return Cancelled(outcome=outcome)


@router.delete("/jobs/{job_id}", operation_id="delete_job", status_code=204, responses=answers(404, 409))
async def delete_job(job: VisibleJob, app: App, who: Operator) -> None:
    """Delete a job that does not run, with its attempts, steps and logs."""
    if not await app.delete_jobs([job.id]):
        raise ProblemError(409, "running", f"job {job.id} runs: cancel it first, and delete it when it has stopped")
