"""Workflows: how far they are, their graph and their times; cancelling, and retrying what did not succeed."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Form, Request, Response

from headrace.job import State
from headrace.web.dashboard.drawing import draw_graph, draw_waterfall
from headrace.web.dashboard.rendering import page
from headrace.web.dashboard.requests import App, Controller, Overseer, PageRoute, back

router = APIRouter(route_class=PageRoute)
STATES = (State.RUNNING, State.FAILED, State.CANCELLED, State.SUCCEEDED)
PAGE, MOST_TIMED, MOST_LISTED = 50, 500, 500


@router.get("/workflows")
async def list_workflows(
    request: Request, who: Overseer, app: App, state: State | None = None, before: UUID | None = None
) -> Response:
    """The newest ones."""
    found = await app.list_workflows(states=[state] if state else None, before=before, limit=PAGE + 1)
    return page(
        request, who, "workflows.html", title="Workflows", active="workflows", now=await app.now(), state=state,
        workflows=found[:PAGE], next=found[PAGE - 1].id if len(found) > PAGE else None, states=STATES, before=before,
    )  # fmt: skip


@router.get("/workflows/{workflow_id}")
async def show_workflow(request: Request, who: Overseer, app: App, workflow_id: UUID) -> Response:
    """One of them."""
    workflow = app.workflow(workflow_id)
    info, nodes, now = await workflow.info(), await workflow.nodes(), await app.now()
    timed = await app.find_jobs([node.id for node in nodes if node.task][:MOST_TIMED])
    return page(
        request, who, "workflow.html", title=info.name or str(info.id), active="workflows", now=now, info=info,
        graph=draw_graph(nodes), jobs=[node for node in nodes if node.kind != "barrier"][:MOST_LISTED],
        waterfall=draw_waterfall(nodes, timed, info.created_at, info.finished_at or now), most_listed=MOST_LISTED,
        total=sum(node.kind != "barrier" for node in nodes), times={job.id: job for job in timed},
    )  # fmt: skip


@router.post("/workflows/{workflow_id}/cancel")
async def cancel_workflow(
    request: Request, who: Controller, app: App, workflow_id: UUID, reason: Annotated[str, Form()] = ""
) -> Response:
    """Cancels all of it."""
    outcome = await app.workflow(workflow_id).cancel(reason or "cancelled")
    said = {"cancelled": "The workflow is cancelled; its jobs that run are asked to stop."}
    return back(request, said.get(outcome, "The workflow has finished already."), failed=outcome not in said)


@router.post("/workflows/{workflow_id}/retry")
async def retry_workflow(request: Request, who: Controller, app: App, workflow_id: UUID) -> Response:
    """Runs again what failed or was cancelled."""
    retried = await app.workflow(workflow_id).retry()
    if not retried:
        return back(request, "There is nothing to retry: no job of it failed, or they are gone.", failed=True)
    return back(request, f"{len(retried)} job{'s' if len(retried) > 1 else ''} will run again, each after its parents.")
