"""The tenants of a schedule that is per tenant."""

from __future__ import annotations

import dataclasses
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from pydantic import Field

from headrace.schedule import ScheduleTenant
from headrace.web.api.cursors import After, read_cursor, write_cursor
from headrace.web.api.dependencies import App, Operator, Redaction, Viewer, all_tenants, refuse_redacted
from headrace.web.api.fields import Answer, Name, Object
from headrace.web.api.fields import Request as Body
from headrace.web.api.problems import ProblemError, answers
from headrace.web.api.schedules import ScheduleName

router = APIRouter(tags=["schedules"], dependencies=[all_tenants("tenants of schedules")])
TenantName = Annotated[str, Path(min_length=1, max_length=200, description="The tenant.", examples=["acme"])]


class TenantAnswer(Answer):
    """A tenant of a schedule; null: as the schedule says."""

    tenant: str
    cron: str | None
    timezone: str | None
    args: dict[str, Any] | None
    next_due: datetime | None
    skip_next: bool
    problem: str | None
    paused_at: datetime | None
    paused_by: str | None
    paused_reason: str | None


class TenantList(Answer):
    """Tenants of a schedule, by name."""

    tenants: list[TenantAnswer]
    next: str | None = Field(description="Send it as `after` to get those that follow; null: there are none.")


class TenantBody(Body):
    """What is a tenant's own."""

    cron: Annotated[str, Field(max_length=200)] | None = Field(default=None, description="Its own cron expression.")
    timezone: Name | None = Field(default=None, description="Its own time zone.")
    args: Object | None = Field(default=None, description="Put over the schedule's.")


@router.get("/schedules/{name}/tenants", operation_id="list_schedule_tenants", responses=answers(404))
async def list_schedule_tenants(
    name: ScheduleName, app: App, who: Viewer, redactor: Redaction, after: After = None,
    limit: Annotated[int, Query(ge=1, le=1000, description="At most so many.")] = 100,
) -> TenantList:  # fmt: skip
    """List the tenants of a schedule."""
    found = await app.schedules.tenants(name).list(after=read_cursor(after, str) or "", limit=limit + 1)
    following = write_cursor(found[limit - 1].tenant) if len(found) > limit else None
    task = (await app.schedules.get(name)).task
    shown = [dataclasses.replace(it, args=redactor.args(task, it.args)) for it in found[:limit]]
    return TenantList(tenants=[TenantAnswer.model_validate(it) for it in shown], next=following)


@router.put(
    "/schedules/{name}/tenants/{tenant}", operation_id="set_schedule_tenant", status_code=204, responses=answers(404)
)
async def set_schedule_tenant(
    name: ScheduleName, tenant: TenantName, app: App, who: Operator, body: TenantBody | None = None
) -> None:
    """Add a tenant to a schedule, or replace what is its own."""
    if body is not None and body.args is not None:
        refuse_redacted(body.args, "/args")
    own = ScheduleTenant(tenant=tenant, **(body or TenantBody()).model_dump())
    await app.schedules.tenants(name).set_many([own])


@router.delete(
    "/schedules/{name}/tenants/{tenant}", operation_id="remove_schedule_tenant", status_code=204, responses=answers(404)
)
async def remove_schedule_tenant(name: ScheduleName, tenant: TenantName, app: App, who: Operator) -> None:
    """Remove a tenant from a schedule."""
    if not await app.schedules.tenants(name).remove(tenant):
        raise ProblemError(404, "unknown-schedule", f'the schedule "{name}" has no tenant "{tenant}"')
