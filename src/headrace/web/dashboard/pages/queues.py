"""Queues: how long the lines are, who serves them, and their switches."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, Request, Response

from headrace.errors import UnknownQueue, did_you_mean
from headrace.web.dashboard.reading import read_bound, read_duration
from headrace.web.dashboard.rendering import page
from headrace.web.dashboard.requests import App, Controller, Overseer, PageRoute, back

router = APIRouter(route_class=PageRoute)
Text = Annotated[str, Form()]


@router.get("/queues")
async def list_queues(request: Request, who: Overseer, app: App) -> Response:
    """All queues."""
    queues = await app.list_queues()
    pauses = await app.list_pauses()
    return page(
        request, who, "queues.html", title="Queues", active="queues", queues=queues, now=await app.now(),
        pause_of_all=next((pause for pause in pauses if pause.queue == ""), None),
        most=max((queue.queued for queue in queues), default=0),
    )  # fmt: skip


@router.get("/queues/{name:path}")
async def show_queue(request: Request, who: Overseer, app: App, name: str) -> Response:
    """One queue: its settings, what bounds it, and what runs."""
    queues = {queue.name: queue for queue in await app.list_queues()}
    if name not in queues:
        raise UnknownQueue(f'there is no queue "{name}". {did_you_mean(name, list(queues))}')
    tasks = sorted(task.name for task in app.tasks.values() if task.settings.queue == name)
    return page(
        request, who, "queue.html", title=name, active="queues", queue=queues[name], now=await app.now(), tasks=tasks,
        workers=[worker for worker in await app.list_workers() if name in worker.queues],
        running=[job for job in await app.list_running() if job.queue == name],
        limits=[one for one in await app.limits.list() if one.queue == name or set(one.tasks or []) & set(tasks)],
    )  # fmt: skip


@router.post("/pause-all")
async def pause_all(request: Request, who: Controller, app: App, reason: Text = "", lasts: Text = "") -> Response:
    """No worker claims anything."""
    await app.pause(reason=reason or None, until=read_duration(lasts) if lasts else None)
    return back(request, "All queues are paused. Running jobs go on.")


@router.post("/resume-all")
async def resume_all(request: Request, who: Controller, app: App) -> Response:
    """Ends that."""
    await app.resume()
    return back(request, "The pause of all queues has ended.")


@router.post("/queues/{name:path}/pause")
async def pause_queue(
    request: Request, who: Controller, app: App, name: str, reason: Text = "", lasts: Text = ""
) -> Response:
    """No worker claims jobs of this queue."""
    await app.pause(name, reason=reason or None, until=read_duration(lasts) if lasts else None)
    return back(request, f'Queue "{name}" is paused. Running jobs go on.')


@router.post("/queues/{name:path}/resume")
async def resume_queue(request: Request, who: Controller, app: App, name: str) -> Response:
    """Ends its pause."""
    lasted = await app.resume(name)
    return back(request, f'Queue "{name}" goes on.' if lasted else f'Queue "{name}" was not paused.')


@router.post("/queues/{name:path}/settings")
async def set_queue(
    request: Request, who: Controller, app: App, name: str, concurrency: Text = "", max_queued: Text = ""
) -> Response:
    """Changes its settings."""
    await app.set_queue(
        name,
        concurrency=read_bound(concurrency, "Places in each worker"),
        max_queued=read_bound(max_queued, "Most queued jobs"),
    )
    return back(request, f'Queue "{name}" is changed. Workers follow within seconds.')
