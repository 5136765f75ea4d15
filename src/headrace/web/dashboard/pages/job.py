"""One job: its life, its arguments and result, why it does not run, and what can be done with it."""

from __future__ import annotations

import json
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Form, Request, Response

from headrace._app.declaring import OWN_TASKS
from headrace.errors import InvalidArguments, JobNotFound, WorkflowNotFound
from headrace.job import JobInfo
from headrace.started import WorkflowInfo, WorkflowNode
from headrace.web.access import Caller
from headrace.web.dashboard.drawing import parents_of
from headrace.web.dashboard.hiding import restore_hidden
from headrace.web.dashboard.life import life_of
from headrace.web.dashboard.reading import read_arguments, read_duration, read_priority
from headrace.web.dashboard.rendering import page
from headrace.web.dashboard.requests import App, Operator, PageRoute, Viewer, back
from headrace.web.dashboard.snippets import as_curl, as_python

router = APIRouter(route_class=PageRoute)
Text = Annotated[str, Form()]
MOST_NODES_LOOKED_AT = 2000


async def find_job(app: App, who: Caller, job_id: UUID) -> JobInfo:
    """A job that this caller may see.

    Raises:
        JobNotFound: There is none.
    """
    job = await app.find_job(job_id)
    if who.tenant is not None and job.tenant != who.tenant:
        raise JobNotFound(f"no job has the id {job_id}: it never existed, was deleted, or is out of retention")
    return job


@router.get("/jobs/{job_id}")
async def show_job(request: Request, who: Viewer, app: App, job_id: UUID) -> Response:
    """All of it."""
    found, now = await find_job(app, who, job_id), await app.now()
    workflow, before, after = await _family(app, who, found)
    redactor = await app.redactor()
    job, attempts, steps, logs = redactor.life(
        found, await app.list_attempts(job_id), await app.list_steps(job_id), await app.list_logs(job_id)
    )
    texts = redactor.texts(found.task, found.args, found.result)
    why = await app.why(job_id, tenant=who.tenant)
    return page(
        request, who, "job.html", title=job.task, active="jobs", now=now, job=job, life=life_of(job, attempts, now),
        steps=steps, reasons=[texts(reason.text) for reason in why.reasons], what_next=texts(why.next), logs=logs,
        workflow=workflow, before=before, after=after, known=job.task in app.tasks,
        python=as_python(job), curl=as_curl(job, str(request.base_url).rstrip("/")),
    )  # fmt: skip


async def _family(
    app: App, who: Caller, job: JobInfo
) -> tuple[WorkflowInfo | None, list[WorkflowNode], list[WorkflowNode]]:
    """Its workflow, and the nodes before and after it."""
    if job.workflow_id is None or who.tenant is not None:
        return None, [], []
    workflow = app.workflow(job.workflow_id)
    try:
        info = await workflow.info()
    except WorkflowNotFound:  # workflows are forgotten before the longest kept of their jobs
        return None, [], []
    if info.total > MOST_NODES_LOOKED_AT:
        return info, [], []
    nodes = await workflow.nodes()
    parents = parents_of(nodes)
    before = set(parents.get(job.id, ()))
    after = [node for node in nodes if job.id in parents.get(node.id, ())]
    return info, [node for node in nodes if node.id in before], after


@router.post("/jobs/{job_id}/retry")
async def retry_job(
    request: Request, who: Operator, app: App, job_id: UUID, from_start: Annotated[bool, Form()] = False
) -> Response:
    """Runs it again, or now."""
    await find_job(app, who, job_id)
    retried = await app.retry_jobs([job_id], from_start=from_start)
    return back(request, "The job will run again." if retried else "There is nothing to retry.", failed=not retried)


@router.post("/jobs/{job_id}/cancel")
async def cancel_job(request: Request, who: Operator, app: App, job_id: UUID, reason: Text = "") -> Response:
    """Cancels it."""
    await find_job(app, who, job_id)
    outcome = (await app.cancel_jobs([job_id], reason or "cancelled"))[job_id]
    said = {"cancelled": "The job is cancelled.", "requested": "The job runs, and is asked to stop."}
    return back(request, said.get(outcome, "The job has finished already."), failed=outcome not in said)


@router.post("/jobs/{job_id}/delete")
async def delete_job(request: Request, who: Operator, app: App, job_id: UUID) -> Response:
    """Deletes it."""
    await find_job(app, who, job_id)
    gone = await app.delete_jobs([job_id])
    if not gone:
        return back(request, "A job that runs cannot be deleted: cancel it first.", failed=True)
    return back(request, f"Job {job_id} is deleted.", to="/jobs")


@router.get("/jobs/{job_id}/edit")
async def edit_job(request: Request, who: Operator, app: App, job_id: UUID) -> Response:
    """The form with its arguments."""
    job = (await app.redactor()).job(await find_job(app, who, job_id))
    return page(
        request, who, "job_edit.html", title=f"Edit {job.task}", active="jobs", now=await app.now(), job=job,
        args=json.dumps(job.args, indent=2, ensure_ascii=False), known=job.task in app.tasks,
    )  # fmt: skip


def _check(app: App, task: str, given: dict[str, Any]) -> None:
    """Refuse arguments that do not fit; without the secrets among them, which whoever edits them may not know.

    Raises:
        InvalidArguments: They do not fit.
        UnknownTask: Nobody may give this task arguments.
    """
    offered = app.offered_task(task)
    try:
        offered.arguments.pack((), given)
    except InvalidArguments as error:
        raise InvalidArguments(offered.secrets.texts(given)(str(error))) from None


@router.post("/jobs/{job_id}/edit")
async def apply_edit(
    request: Request, who: Operator, app: App, job_id: UUID, args: Text, how: Text = "retry", delay: Text = "",
    queue: Text = "", priority: Text = "",
) -> Response:  # fmt: skip
    """Retries it with other arguments, or enqueues a new one like it."""
    job = await find_job(app, who, job_id)
    given = restore_hidden(read_arguments(args), job.args)
    if how == "retry":
        if job.task in app.tasks or job.task.startswith(OWN_TASKS):
            _check(app, job.task, given)
        retried = await app.retry_jobs([job_id], given)
        said = "The job will run again with these arguments." if retried else "There is nothing to retry."
        return back(request, said, to=f"/jobs/{job_id}", failed=not retried)
    _check(app, job.task, given)
    task = app.find_task(job.task).options(
        delay=read_duration(delay) if delay.strip() else None, queue=queue.strip() or None, tenant=job.tenant,
        priority=read_priority(priority), tags=job.tags, metadata=job.metadata,
        correlation_id=job.correlation_id,
    )  # fmt: skip
    made = await task.enqueue(**given)
    return back(request, f"This is the new job; {job_id} was its model.", to=f"/jobs/{made.id}")
