"""Workers: the processes that run jobs, what they run now, and how to end one gently."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from headrace.web.dashboard.rendering import page
from headrace.web.dashboard.requests import App, Controller, Overseer, PageRoute, RowId, back

router = APIRouter(route_class=PageRoute)


@router.get("/workers")
async def list_workers(request: Request, who: Overseer, app: App) -> Response:
    """Everybody who holds a lease."""
    running = await app.list_running()
    workers = await app.list_workers()
    by_worker = {worker.id: [job for job in running if job.worker_id == worker.id] for worker in workers}
    return page(
        request, who, "workers.html", title="Workers", active="workers", workers=workers, by_worker=by_worker,
        running=running, places=sum(worker.places for worker in workers), now=await app.now(),
    )  # fmt: skip


@router.post("/workers/{worker_id}/drain")
async def drain_worker(request: Request, who: Controller, app: App, worker_id: RowId) -> Response:
    """Asks a worker to end."""
    found = await app.drain_worker(worker_id)
    if not found:
        return back(request, f"Worker {worker_id} has ended already.", failed=True)
    return back(request, f"Worker {worker_id} claims no more, and ends when its jobs have.")
