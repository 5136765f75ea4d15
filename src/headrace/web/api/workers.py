"""Workers: every process that holds a lease."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from fastapi import APIRouter
from pydantic import Field

from headrace._worker.timings import Timings
from headrace.web.api.dependencies import App, Viewer, all_tenants
from headrace.web.api.fields import Answer
from headrace.web.api.problems import answers

router = APIRouter(tags=["workers"], dependencies=[all_tenants("workers")])


class WorkerAnswer(Answer):
    """A worker."""

    id: int
    state: Literal["running", "draining", "silent"] = Field(
        description="silent: it has not renewed its lease in time; its jobs are about to be taken back."
    )
    host: str
    pid: int
    version: str
    queues: dict[str, int] = Field(description="Its places, by queue.")
    started_at: datetime
    beaten_at: datetime = Field(description="When it last renewed its lease.")


class WorkerList(Answer):
    """All workers, by id."""

    workers: list[WorkerAnswer]


@router.get("/workers", operation_id="list_workers", responses=answers())
async def list_workers(app: App, who: Viewer) -> WorkerList:
    """List the workers."""
    records = await (await app.database()).records("list_workers")
    return WorkerList(workers=[worker_answer(record) for record in records])


def worker_answer(record: dict[str, Any]) -> WorkerAnswer:
    """A row of list_workers.sql."""
    silent = record["silent_s"] > Timings.lease_s
    state = "silent" if silent else "draining" if record["draining"] else "running"
    return WorkerAnswer.model_validate(record | {"state": state})
