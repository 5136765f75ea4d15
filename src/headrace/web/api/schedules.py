"""Schedules: when tasks are due by themselves, what came of it, and acting on them.

A caller of one tenant sees and touches the schedules whose jobs belong to that tenant. Names are everybody's, and a
schedule that is per tenant is one for all: making either is not theirs.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Query
from pydantic import Field, field_validator

from headrace._redact import Redactor
from headrace.errors import UnknownSchedule
from headrace.schedule import Schedule, ScheduleOptions
from headrace.web.api.dependencies import App, Operator, Redaction, Viewer, may_see, refuse_redacted, refuse_tenants
from headrace.web.api.enqueueing import read_args
from headrace.web.api.fields import (
    Answer,
    Moment,
    MoreThanNothing,
    Name,
    Object,
    Priority,
    Seconds,
    Text,
    Whole,
    Yes,
    seconds,
    total,
)  # fmt: skip
from headrace.web.api.fields import (
    Request as Body,
)
from headrace.web.api.job_answers import EnqueuedAnswer
from headrace.web.api.problems import ProblemError, answers

router = APIRouter(tags=["schedules"])
ScheduleName = Annotated[str, Path(max_length=200, description="The schedule.", examples=["nightly"])]
Tenant = Annotated[str | None, Query(max_length=200, description="Only this tenant of it.")]


class ScheduleAnswer(Answer):
    """A schedule."""

    name: str
    task: str
    args: dict[str, Any]
    queue: str | None
    priority: int | None
    tenant: str | None
    tags: list[str] | None
    cron: str | None
    every_s: float | None
    at: datetime | None
    timezone: str
    start_at: datetime | None
    end_at: datetime | None
    jitter_s: float
    catch_up: Literal["skip", "latest", "all"]
    catch_up_limit: int
    overlap: Literal["skip", "queue", "cancel", "allow"]
    per_tenant: bool
    declared: bool = Field(description="Whether code declares it; else it was made at run time.")
    enabled: bool = Field(description="False: code declared it, and no longer does.")
    paused_at: datetime | None
    paused_by: str | None
    paused_reason: str | None
    edited_at: datetime | None = Field(description="When somebody last changed what code declares.")
    edited_by: str | None
    created_at: datetime
    next_due: datetime | None
    skip_next: bool
    problem: str | None = Field(description="Why what is next could not be planned.")
    tenants: int
    last: dict[str, Any] | None = Field(description='The last moment that came: "due_at", "outcome", "job_id".')


class ScheduleList(Answer):
    """All schedules that the caller may see, by name."""

    schedules: list[ScheduleAnswer]


class _Rule(Body):
    cron: Annotated[str, Field(max_length=200)] | None = Field(
        default=None,
        description="Five fields, or @hourly, @daily, @weekly, @monthly, @yearly.",
        examples=["0 9 * * MON-FRI"],
    )
    every_s: MoreThanNothing | None = Field(default=None, description="Instead of cron: an interval.")
    at: Moment | None = Field(default=None, description="Instead of cron: once, at this time.")
    timezone: Name | None = Field(default=None, description="Of cron: an IANA name.", examples=["Asia/Kolkata"])
    args: Object | None = Field(default=None, description="The task's arguments, by name.")
    catch_up: Literal["skip", "latest", "all"] | None = Field(
        default=None, description="What happens to moments for which there was no worker."
    )
    catch_up_limit: Annotated[Whole, Field(ge=1, le=1_000_000)] | None = None
    overlap: Literal["skip", "queue", "cancel", "allow"] | None = Field(
        default=None, description="What happens when a moment comes and an earlier job has not finished."
    )
    jitter_s: Seconds | None = Field(default=None, description="Each moment is put off by its own part of this.")
    start_at: Moment | None = None
    end_at: Moment | None = None
    queue: Name | None = None
    priority: Priority | None = None
    tenant: Name | None = None
    tags: list[Name] | None = Field(default=None, max_length=100)


class CreateBody(_Rule):
    """A schedule to make: with one of cron, every_s and at."""

    name: Name
    task: Name = Field(description="The task that it enqueues.")
    per_tenant: Yes = Field(default=False, description="It is due for each tenant that it is given, and nobody else.")


class EditBody(_Rule):
    """What to change of a schedule; null takes a setting away."""

    @field_validator("timezone", "args", "catch_up", "catch_up_limit", "overlap", "jitter_s")
    @classmethod
    def _has_no_null(cls, value: Any) -> Any:
        if value is None:
            raise ValueError("cannot be taken away: leave it out, or give another value")
        return value


class ReasonBody(Body):
    """Why it is paused."""

    reason: Text = Field(description="Stored with the schedule, and with each moment that passes.")


class SkipBody(Body):
    """Whether the next moment gets a job."""

    skip: Yes = Field(default=True, description="false: give it one after all.")


class RangeBody(Body):
    """A time that has passed."""

    start: Moment
    end: Moment


class Backfilled(Answer):
    """What a backfill will do."""

    jobs: int = Field(description="How many moments will run.")


class TickAnswer(Answer):
    """A moment that has come."""

    tenant: str = Field(description='"": of none.')
    nominal: datetime = Field(description="What the clocks of its zone showed, without the zone.")
    fold: int = Field(description="1 where they showed it for the second time.")
    due_at: datetime
    fired_at: datetime
    lateness_s: float
    cause: Literal["due", "run_now", "backfill"]
    outcome: str = Field(description="enqueued, waiting, overlapped, skipped, paused, missed or refused.")
    job_id: UUID | None
    through: datetime | None = Field(description="If set, it stands for all missed moments from due_at to this one.")
    detail: str | None


class TickList(Answer):
    """Moments that have come, the latest first."""

    ticks: list[TickAnswer]


class UpcomingAnswer(Answer):
    """A moment that is to come."""

    tenant: str
    nominal: datetime
    fold: int
    due_at: datetime
    held: Literal["paused", "skipped", "disabled"] | None = Field(description="Why it will get no job as things are.")


class UpcomingList(Answer):
    """Moments that are to come, the first first."""

    upcoming: list[UpcomingAnswer]


async def visible_schedule(name: ScheduleName, app: App, who: Viewer) -> Schedule:
    """The schedule that the path names; one that is not the caller's tenant's does not exist.

    Raises:
        UnknownSchedule: There is none that the caller may see.
    """
    if who.tenant is None:
        return await app.schedules.get(name)
    theirs = {it.name: it for it in await app.schedules.list() if may_see(who, it)}
    if name not in theirs:
        raise UnknownSchedule(f'there is no schedule "{name}" of tenant "{who.tenant}"')
    return theirs[name]


Found = Annotated[Schedule, Depends(visible_schedule)]


@router.get("/schedules", operation_id="list_schedules", responses=answers())
async def list_schedules(app: App, who: Viewer, redactor: Redaction) -> ScheduleList:
    """List the schedules."""
    return ScheduleList(schedules=[_answer(it, redactor) for it in await app.schedules.list() if may_see(who, it)])


@router.post("/schedules", operation_id="create_schedule", status_code=201, responses=answers(404, 409))
async def create_schedule(body: CreateBody, app: App, who: Operator, redactor: Redaction) -> ScheduleAnswer:
    """Make a schedule. It is due from now on."""
    refuse_tenants(who, "names of schedules")
    if any(it.name == body.name for it in await app.schedules.list()):
        raise ProblemError(409, "schedule-exists", f'there is a schedule "{body.name}" already: edit it')
    options = _options(body, {"name", "task"})
    if "args" in options:
        read_args(app, body.task, options["args"])
    return _answer(await app.schedules.create(body.name, body.task, **options), redactor)


@router.get("/schedules/{name}", operation_id="get_schedule", responses=answers(404))
async def get_schedule(schedule: Found, redactor: Redaction) -> ScheduleAnswer:
    """Look at a schedule."""
    return _answer(schedule, redactor)


@router.patch("/schedules/{name}", operation_id="edit_schedule", responses=answers(404))
async def edit_schedule(
    schedule: Found, body: EditBody, app: App, who: Operator, redactor: Redaction
) -> ScheduleAnswer:
    """Change a schedule. If code declares it, the change stays until code says something new."""
    if who.tenant is not None and body.model_dump(exclude_unset=True).get("tenant", who.tenant) != who.tenant:
        raise ProblemError(403, "tenant", f'{who.name} may keep schedules of tenant "{who.tenant}" only')
    if body.args is not None:
        refuse_redacted(body.args, "/args")
        read_args(app, schedule.task, body.args)
    return _answer(await app.schedules.edit(schedule.name, by=who.name, **_options(body, set())), redactor)


@router.delete("/schedules/{name}", operation_id="delete_schedule", status_code=204, responses=answers(404, 409))
async def delete_schedule(schedule: Found, app: App, who: Operator) -> None:
    """Delete a schedule that was made at run time, or that no code declares any more."""
    if schedule.declared and schedule.enabled:
        raise ProblemError(409, "declared", f'code declares the schedule "{schedule.name}": pause it')
    await app.schedules.delete(schedule.name)


@router.post("/schedules/{name}/pause", operation_id="pause_schedule", responses=answers(404))
async def pause_schedule(
    schedule: Found, body: ReasonBody, app: App, who: Operator, redactor: Redaction, tenant: Tenant = None
) -> ScheduleAnswer:
    """Let moments pass without a job, until it is resumed."""
    await app.schedules.pause(schedule.name, body.reason, by=who.name, tenant=tenant)
    return _answer(await app.schedules.get(schedule.name), redactor)


@router.post("/schedules/{name}/resume", operation_id="resume_schedule", responses=answers(404))
async def resume_schedule(
    schedule: Found, app: App, who: Operator, redactor: Redaction, tenant: Tenant = None
) -> ScheduleAnswer:
    """End a pause. What passed meanwhile does not run; a backfill can make up for it."""
    await app.schedules.resume(schedule.name, tenant=tenant)
    return _answer(await app.schedules.get(schedule.name), redactor)


@router.post("/schedules/{name}/skip-next", operation_id="skip_next_tick", responses=answers(404))
async def skip_next_tick(
    schedule: Found, app: App, who: Operator, redactor: Redaction, body: SkipBody | None = None, tenant: Tenant = None
) -> ScheduleAnswer:
    """Give the next moment no job, or one after all."""
    await app.schedules.skip_next(schedule.name, tenant=tenant, skip=(body or SkipBody()).skip)
    return _answer(await app.schedules.get(schedule.name), redactor)


@router.post("/schedules/{name}/run", operation_id="run_schedule", status_code=201, responses=answers(404))
async def run_schedule(schedule: Found, app: App, who: Operator, tenant: Tenant = None) -> EnqueuedAnswer:
    """Enqueue a job of a schedule now, whether or not it is due, paused or still at work."""
    job = await app.schedules.run_now(schedule.name, tenant=tenant or "")
    return EnqueuedAnswer(id=job.id, existed=False)


@router.post("/schedules/{name}/backfill", operation_id="backfill_schedule", responses=answers(404))
async def backfill_schedule(
    schedule: Found, body: RangeBody, app: App, who: Operator, tenant: Tenant = None
) -> Backfilled:
    """Run the moments of a time that has passed and that got no job."""
    return Backfilled(jobs=await app.schedules.backfill(schedule.name, body.start, body.end, tenant=tenant or ""))


@router.get("/schedules/{name}/ticks", operation_id="list_ticks", responses=answers(404))
async def list_ticks(
    schedule: Found, app: App, who: Viewer, tenant: Tenant = None,
    before: Annotated[Moment | None, Query(description="Only those that were due before this.")] = None,
    limit: Annotated[int, Query(ge=1, le=1000, description="At most so many.")] = 100,
) -> TickList:  # fmt: skip
    """List the moments of a schedule that have come, the latest first; they are kept for 30 days."""
    ticks = await app.schedules.ticks(schedule.name, tenant=tenant, before=before, limit=limit)
    return TickList(ticks=[TickAnswer.model_validate(_with_lateness(tick)) for tick in ticks])


@router.get("/schedules/{name}/next", operation_id="list_upcoming", responses=answers(404))
async def list_upcoming(
    schedule: Found, app: App, who: Viewer, tenant: Tenant = None,
    count: Annotated[int, Query(ge=1, le=100, description="At most so many.")] = 10,
    until: Annotated[Moment | None, Query(description="None after this.")] = None,
) -> UpcomingList:  # fmt: skip
    """List the moments of a schedule that are to come."""
    coming = await app.schedules.next(schedule.name, count, tenant=tenant, until=until)
    return UpcomingList(upcoming=[UpcomingAnswer.model_validate(it) for it in coming])


def _answer(schedule: Schedule, redactor: Redactor) -> ScheduleAnswer:
    schedule = redactor.schedule(schedule)
    fields = {name: getattr(schedule, name) for name in Schedule.__dataclass_fields__}
    fields |= {"every_s": total(fields.pop("every")), "jitter_s": total(fields.pop("jitter"))}
    return ScheduleAnswer.model_validate(fields)


def _with_lateness(tick: Any) -> dict[str, Any]:
    fields = {name: getattr(tick, name) for name in tick.__dataclass_fields__}
    return fields | {"lateness_s": total(fields.pop("lateness"))}


def _options(body: _Rule, others: set[str]) -> ScheduleOptions:
    given = body.model_dump(exclude_unset=True, exclude=others)
    for name in ("every", "jitter"):
        if f"{name}_s" in given:
            given[name] = seconds(given.pop(f"{name}_s"))
    if isinstance(body, CreateBody):
        given = {name: value for name, value in given.items() if value is not None}
    options: ScheduleOptions = given  # type: ignore[assignment]
    return options
