"""What became of jobs over time, the deploys to mark in it, and what is wrong with the database now."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import Field

from headrace.history import Metric
from headrace.web.api.dependencies import App, Operator, Viewer, all_tenants
from headrace.web.api.fields import Answer, Moment
from headrace.web.api.fields import Request as Body
from headrace.web.api.problems import answers

router = APIRouter(tags=["history"], dependencies=[all_tenants("numbers of all jobs")])
DAY_S = 86_400


class PointAnswer(Answer):
    """One span of a series."""

    at: datetime
    value: float | None = Field(description="Null where nothing is known.")


class SeriesAnswer(Answer):
    """One metric over time."""

    metric: Metric
    queue: str | None
    task: str | None
    unit: Literal["jobs", "s"]
    step_s: float = Field(description="How long each span is.")
    points: list[PointAnswer]
    counted_until: datetime | None


class DeployAnswer(Answer):
    """A moment at which a new version of the program began to run."""

    deployed_at: datetime
    label: str
    deployed_by: str | None
    automatic: bool


class DeployList(Answer):
    """Deploys, oldest first."""

    deploys: list[DeployAnswer]


class DeployBody(Body):
    """What was deployed."""

    label: Annotated[str, Field(min_length=1, max_length=50, pattern=r"^[^\x00]*$")] = Field(
        description="A version, a commit.", examples=["v1.4.2"]
    )
    at: Moment | None = Field(default=None, description="When. Default: now.")


class FindingAnswer(Answer):
    """Something that an operator should know."""

    severity: Literal["critical", "warning", "info"]
    check: str = Field(description="Which check found it.")
    what: str
    detail: str
    remedy: str = Field(description="What to do: SQL or a command to copy, or a sentence.")


class FindingList(Answer):
    """What is wrong, or about to be, the worst first."""

    findings: list[FindingAnswer]


@router.get("/history", operation_id="get_history", responses=answers())
async def get_history(
    app: App, who: Viewer,
    metric: Annotated[Metric, Query(description="What: counts, quantiles in seconds, or depths of queues.")],
    queue: Annotated[str | None, Query(max_length=200, description="Only of this queue.")] = None,
    task: Annotated[
        str | None, Query(max_length=300, description="Only of this task; there are no depths by task.")
    ] = None,
    last_s: Annotated[float, Query(ge=60, le=400 * DAY_S, description="How many seconds back.")] = 3600,
    until: Annotated[Moment | None, Query(description="To when. Default: now.")] = None,
) -> SeriesAnswer:  # fmt: skip
    """Read one metric over time, for a chart."""
    series = await app.history.series(metric, queue=queue, task=task, since=timedelta(seconds=last_s), until=until)
    fields = {name: getattr(series, name) for name in ("metric", "queue", "task", "unit", "counted_until")}
    points = [PointAnswer.model_validate(point) for point in series.points]
    return SeriesAnswer.model_validate(fields | {"step_s": series.step.total_seconds(), "points": points})


@router.get("/deploys", operation_id="list_deploys", responses=answers())
async def list_deploys(
    app: App, who: Viewer,
    last_s: Annotated[float, Query(ge=1, le=400 * DAY_S, description="How many seconds back.")] = 90 * DAY_S,
) -> DeployList:  # fmt: skip
    """List the deploys."""
    found = await app.history.deploys(since=timedelta(seconds=last_s))
    return DeployList(deploys=[DeployAnswer.model_validate(it) for it in found])


@router.post("/deploys", operation_id="mark_deploy", status_code=204, responses=answers())
async def mark_deploy(body: DeployBody, app: App, who: Operator) -> None:
    """Mark a deploy in the charts."""
    await app.history.mark(body.label, by=who.name, at=body.at)


@router.get("/findings", operation_id="list_findings", responses=answers())
async def list_findings(app: App, who: Viewer) -> FindingList:
    """Say what is wrong with the database and the workers, and what to do: what `headrace doctor` says."""
    return FindingList(findings=[FindingAnswer.model_validate(it) for it in await app.diagnose()])
