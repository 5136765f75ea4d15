"""Schedules: when they are due, what is next, how the last moments went; and the switches of each."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter, Form, Request, Response

from headrace._schedule.zones import read_zone
from headrace.web.dashboard.reading import read_time
from headrace.web.dashboard.rendering import page
from headrace.web.dashboard.requests import App, Controller, Overseer, PageRoute, back
from headrace.web.dashboard.wording import mark_changes, words_of

router = APIRouter(route_class=PageRoute)
Text = Annotated[str, Form()]
SHOWN_NEXT, SHOWN_TICKS, SHOWN_TENANTS, STRIP = 10, 50, 100, 30


@router.get("/schedules")
async def list_schedules(request: Request, who: Overseer, app: App) -> Response:
    """All schedules."""
    return page(
        request, who, "schedules.html", title="Schedules", active="schedules", now=await app.now(),
        schedules=await app.schedules.list(), outcomes=await app.schedules.outcomes(limit=STRIP), words_of=words_of,
    )  # fmt: skip


@router.get("/schedules/{name:path}")
async def show_schedule(request: Request, who: Overseer, app: App, name: str) -> Response:
    """One schedule."""
    found = await app.schedules.get(name)
    found = replace(found, args=(await app.redactor()).args(found.task, found.args))
    now = await app.now()
    coming = await app.schedules.next(name, SHOWN_NEXT)
    return page(
        request, who, "schedule.html", title=name, active="schedules", now=now, schedule=found, words=words_of(found),
        coming=mark_changes(coming, found.timezone if found.cron else "UTC", now),
        ticks=await app.schedules.ticks(name, limit=SHOWN_TICKS),
        outcomes=(await app.schedules.outcomes(name, limit=STRIP * 2)).get(name, []),
        tenants=await app.schedules.tenants(name).list(limit=SHOWN_TENANTS) if found.per_tenant else [],
    )  # fmt: skip


@router.post("/schedules/{name:path}/pause")
async def pause_schedule(request: Request, who: Controller, app: App, name: str, reason: Text = "") -> Response:
    """Lets its moments pass."""
    await app.schedules.pause(name, reason or "no reason given", by=who.name)
    return back(request, f'Schedule "{name}" is paused: its moments pass without a job.')


@router.post("/schedules/{name:path}/resume")
async def resume_schedule(request: Request, who: Controller, app: App, name: str) -> Response:
    """Ends that."""
    await app.schedules.resume(name)
    return back(request, f'Schedule "{name}" goes on.')


@router.post("/schedules/{name:path}/run")
async def run_schedule(request: Request, who: Controller, app: App, name: str, tenant: Text = "") -> Response:
    """Runs it now."""
    job = await app.schedules.run_now(name, tenant=tenant)
    return back(request, f'Schedule "{name}" runs now: job {job.id}.')


@router.post("/schedules/{name:path}/skip")
async def skip_next(request: Request, who: Controller, app: App, name: str, skip: Annotated[bool, Form()]) -> Response:
    """Gives the next moment no job, or one after all."""
    await app.schedules.skip_next(name, skip=skip)
    return back(request, f'The next moment of "{name}" gets {"no" if skip else "its"} job.')


@router.post("/schedules/{name:path}/backfill")
async def backfill_schedule(
    request: Request, who: Controller, app: App, name: str, start: Text, end: Text, tenant: Text = ""
) -> Response:
    """Runs moments that have passed without a job."""
    found = await app.schedules.get(name)
    zone = read_zone(found.timezone if found.cron else "UTC")
    filled = await app.schedules.backfill(name, read_time(start, zone), read_time(end, zone), tenant=tenant)
    return back(request, f'{filled} moment{"" if filled == 1 else "s"} of "{name}" will run.')


@router.post("/schedules/{name:path}/delete")
async def delete_schedule(request: Request, who: Controller, app: App, name: str) -> Response:
    """Deletes one that no code declares."""
    await app.schedules.delete(name)
    return back(request, f'Schedule "{name}" is deleted.', to="/schedules")
