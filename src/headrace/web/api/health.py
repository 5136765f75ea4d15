"""Health: for load balancers and probes, which have no keys, and in detail for people."""

from __future__ import annotations

import time
from typing import Literal

from fastapi import APIRouter
from pydantic import Field

from headrace._store.sql import migrations
from headrace.errors import DatabaseError
from headrace.web.api.dependencies import App, Viewer, refuse_tenants
from headrace.web.api.fields import Answer
from headrace.web.api.problems import ProblemError, answers
from headrace.web.api.workers import worker_answer

router = APIRouter(tags=["health"])


class Live(Answer):
    """This process answers."""

    status: Literal["ok"] = "ok"


class Health(Answer):
    """How all of it is."""

    status: Literal["ok", "degraded"] = Field(description="degraded: see `findings`.")
    database_ms: float = Field(description="How long the database took to answer, in milliseconds.")
    schema_version: int
    schema_expected: int = Field(description="What this code needs.")
    workers: dict[Literal["running", "draining", "silent"], int]
    findings: list[str] = Field(description="What is not as it should be.")


@router.get("/health/live", operation_id="health_live")
async def health_live() -> Live:
    """Say that this process answers. Asks nobody."""
    return Live()


@router.get("/health/ready", operation_id="health_ready", responses={503: answers(503)[503]})
async def health_ready(app: App) -> Live:
    """Say whether requests can be served: the database answers, and its schema fits. Needs no key."""
    try:
        database = await app.database()
        version = await database.value("read_version")
    except DatabaseError as error:
        # Not what it says: this needs no key.
        raise ProblemError(503, "not-ready", "the database cannot be used", headers={"Retry-After": "5"}) from error
    if version < len(migrations()):
        raise ProblemError(503, "not-ready", "the database's schema is too old", headers={"Retry-After": "5"})
    return Live()


@router.get("/health", operation_id="health", responses=answers())
async def health(app: App, who: Viewer) -> Health:
    """Say how the database and the workers are."""
    refuse_tenants(who, "details of the installation")
    database = await app.database()
    asked_at = time.perf_counter()
    version = await database.value("read_version")
    database_ms = (time.perf_counter() - asked_at) * 1000
    states: dict[Literal["running", "draining", "silent"], int] = {"running": 0, "draining": 0, "silent": 0}
    for record in await database.records("list_workers"):
        states[worker_answer(record).state] += 1
    findings = []
    if version != len(migrations()):
        findings.append(f"the schema is version {version}, and this code's {len(migrations())}: run `headrace migrate`")
    if not states["running"]:
        findings.append("no worker is running: `headrace worker MODULE:APP` starts one")
    if states["silent"]:
        findings.append(f"{states['silent']} workers have not renewed their lease in time")
    return Health(
        status="degraded" if findings else "ok",
        database_ms=round(database_ms, 3),
        schema_version=version,
        schema_expected=len(migrations()),
        workers=states,
        findings=findings,
    )
