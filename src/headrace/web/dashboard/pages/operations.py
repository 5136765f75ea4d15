"""Operations: what is done with all jobs that match a filter: a preview, a confirmation, and how far it is."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Form, Request, Response

from headrace.errors import ConfigurationError, FilterError
from headrace.web.dashboard.reading import read_priority
from headrace.web.dashboard.rendering import page
from headrace.web.dashboard.requests import App, Operator, PageRoute, RowId, Viewer, back

router = APIRouter(route_class=PageRoute)
PAGE = 50
TYPED_ABOVE = 1000
"""More jobs than this are confirmed by typing their number."""
ACTIONS = (
    ("retry", "Retry"), ("cancel", "Cancel"), ("delete", "Delete"), ("run_now", "Run now"),
    ("set_priority", "Change priority"), ("move", "Move to another queue"),
)  # fmt: skip


@router.get("/operations")
async def list_operations(request: Request, who: Viewer, app: App, before: RowId | None = None) -> Response:
    """The newest ones."""
    found = await app.operations.list(tenant=who.tenant, before=before, limit=PAGE + 1)
    return page(
        request, who, "operations.html", title="Operations", active="operations", now=await app.now(),
        operations=found[:PAGE], next=found[PAGE - 1].id if len(found) > PAGE else None, before=before,
    )  # fmt: skip


@router.get("/operations/new")
async def preview(request: Request, who: Operator, app: App, action: str = "retry", filter: str = "") -> Response:  # noqa: A002
    """How many jobs it would touch, and some of them."""
    found, problem = None, None
    try:
        found = await app.operations.preview(filter or "age>0s", action, tenant=who.tenant)  # type: ignore[arg-type]
    except FilterError as error:
        problem = error
    redactor = await app.redactor()
    return page(
        request, who, "operation_new.html", title=f"{dict(ACTIONS).get(action, action)}: preview", active="operations",
        now=await app.now(), action=action, actions=ACTIONS, filter=filter, problem=problem, preview=found,
        jobs=[redactor.job(job) for job in found.samples] if found else [], choosing=False,
        typed=found is not None and found.estimate.jobs > TYPED_ABOVE,
    )  # fmt: skip


@router.post("/operations/new")
async def start(
    request: Request, who: Operator, app: App, action: Annotated[str, Form()], filter: Annotated[str, Form()] = "",  # noqa: A002
    typed: Annotated[str, Form()] = "", priority: Annotated[str, Form()] = "", queue: Annotated[str, Form()] = "",
    reason: Annotated[str, Form()] = "",
) -> Response:  # fmt: skip
    """Starts it; it begins after some seconds in which it can be undone."""
    wanted = filter or "age>0s"
    found = await app.operations.preview(wanted, action, tenant=who.tenant)  # type: ignore[arg-type]
    if found.estimate.jobs > TYPED_ABOVE and typed.strip().lower() != action.replace("_", " "):
        raise ConfigurationError(
            f'this is about {found.estimate} jobs: type "{action.replace("_", " ")}" to say that you mean it'
        )
    settings: dict[str, Any] = {"queue": queue.strip() or None}
    if (wanted_priority := read_priority(priority)) is not None:
        settings["priority"] = wanted_priority
    if reason.strip():
        settings["reason"] = reason.strip()
    started = await app.operations.start(wanted, action, by=who.name, tenant=who.tenant, **settings)  # type: ignore[arg-type]
    return back(request, "It begins in a few seconds; until then it can be undone.", to=f"/operations/{started.id}")


@router.get("/operations/{operation_id}")
async def show_operation(request: Request, who: Viewer, app: App, operation_id: RowId) -> Response:
    """How far it is."""
    found = await app.operations.get(operation_id, tenant=who.tenant)
    return page(
        request, who, "operation.html", title=f"Operation {found.id}", active="operations", now=await app.now(),
        operation=found, action=dict(ACTIONS).get(found.action, found.action),
    )  # fmt: skip


@router.post("/operations/{operation_id}/cancel")
async def cancel_operation(request: Request, who: Operator, app: App, operation_id: RowId) -> Response:
    """Stops it; what is done stays done."""
    found = await app.operations.cancel(operation_id, by=who.name, tenant=who.tenant)
    if found.state == "finished":
        return back(request, "It had finished already.", failed=True)
    return back(request, "Undone: no job was touched." if not found.done else f"Stopped, after {found.done:,} jobs.")
