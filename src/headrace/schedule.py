"""What a schedule is: its fields as declared, as stored, and its moments. docs/schedules.md has the rules."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypedDict

from headrace._schedule.declaration import Declaration, Overlap
from headrace.errors import ConfigurationError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime, timedelta
    from uuid import UUID

    from headrace._schedule.catching_up import CatchUp

_FIELDS = {field.name for field in dataclasses.fields(Declaration)}


class ScheduleOptions(TypedDict, total=False):
    """What `Schedules.create` and `Schedules.edit` take; `Headrace.schedule` documents each."""

    cron: str | None
    every: timedelta | None
    at: datetime | None
    timezone: str
    args: dict[str, Any]
    catch_up: CatchUp
    catch_up_limit: int
    overlap: Overlap
    jitter: timedelta
    start_at: datetime | None
    end_at: datetime | None
    queue: str | None
    priority: int | None
    tenant: str | None
    tags: Sequence[str] | None
    per_tenant: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """A schedule as the database has it at one moment. What `Headrace.schedule` documents has the same names here.

    Attributes:
        declared: Whether code declares it; else it was made at run time.
        enabled: False: code declared it, and no longer does.
        paused_at: Since when it is paused; None: it is not.
        paused_by: By whom.
        paused_reason: And why.
        edited_at: When somebody last changed what code declares; None: it is as declared.
        edited_by: Who.
        created_at: When it was first stored.
        next_due: When it is due next (of its tenants, the first); None: never, or not known yet after a change.
        skip_next: Whether that moment gets no job.
        problem: Why what is next could not be planned.
        tenants: How many tenants it has.
        last: The last moment that came: "due_at", "outcome" and "job_id".
    """

    name: str
    task: str
    args: dict[str, Any]
    queue: str | None
    priority: int | None
    tenant: str | None
    tags: list[str] | None
    cron: str | None
    every: timedelta | None
    at: datetime | None
    timezone: str
    start_at: datetime | None
    end_at: datetime | None
    jitter: timedelta
    catch_up: CatchUp
    catch_up_limit: int
    overlap: Overlap
    per_tenant: bool
    declared: bool
    enabled: bool
    paused_at: datetime | None
    paused_by: str | None
    paused_reason: str | None
    edited_at: datetime | None
    edited_by: str | None
    created_at: datetime
    next_due: datetime | None
    skip_next: bool
    problem: str | None
    tenants: int
    last: dict[str, Any] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleTenant:
    """A tenant of a schedule; None: as the schedule says.

    Attributes:
        tenant: Whose: its jobs carry it.
        cron: Its own cron expression.
        timezone: Its own time zone.
        args: Its own arguments, put over the schedule's.
        next_due: When it is due next.
        skip_next: Whether that moment gets no job.
        problem: Why what is next could not be planned.
        paused_at: Since when it is paused.
        paused_by: By whom.
        paused_reason: And why.
    """

    tenant: str
    cron: str | None = None
    timezone: str | None = None
    args: dict[str, Any] | None = None
    next_due: datetime | None = None
    skip_next: bool = False
    problem: str | None = None
    paused_at: datetime | None = None
    paused_by: str | None = None
    paused_reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """A moment of a schedule that has come.

    Attributes:
        schedule: Which schedule.
        tenant: Of which tenant; "": of none.
        nominal: What the clocks of its zone showed (UTC for intervals and single moments); without a zone.
        fold: 1 where they showed it for the second time.
        due_at: When it was due, jitter included.
        fired_at: When a worker got to it.
        lateness: The difference.
        cause: "due", "run_now" or "backfill".
        outcome: "enqueued", "waiting" (for an earlier job to finish), "overlapped" (an earlier job had not finished),
            "skipped" (an operator said so), "paused", "missed" (it was too late) or "refused" (the queue was full).
        job_id: Its job.
        through: If set, it stands for all moments from `due_at` to this one, which were missed and are not told singly.
        detail: More about the outcome, for people.
    """

    schedule: str
    tenant: str
    nominal: datetime
    fold: int
    due_at: datetime
    fired_at: datetime
    lateness: timedelta
    cause: str
    outcome: str
    job_id: UUID | None
    through: datetime | None
    detail: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TickOutcome:
    """What became of a moment of a schedule.

    Attributes:
        schedule: Which schedule.
        due_at: When it was due.
        outcome: Of the moment, as `Tick` has it.
        job_id: Its job, if it got one.
        state: That of its job; None if there is none (any more).
    """

    schedule: str
    due_at: datetime
    outcome: str
    job_id: UUID | None
    state: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Upcoming:
    """A moment of a schedule that is to come.

    Attributes:
        schedule: Which schedule.
        tenant: Of which tenant; "": of none.
        nominal: What the clocks of its zone will show (UTC for intervals and single moments); without a zone.
        fold: 1 where they will show it for the second time.
        due_at: When it is due, jitter included.
        held: Why it will get no job as things are: "paused", "skipped" or "disabled"; None: it will.
    """

    schedule: str
    tenant: str
    nominal: datetime
    fold: int
    due_at: datetime
    held: str | None


def declare(name: str, task: str, options: Mapping[str, Any]) -> Declaration:
    """A checked declaration.

    Raises:
        ConfigurationError: It makes no sense.
    """
    for option in options:
        if option not in _FIELDS:
            raise ConfigurationError(
                f'schedule "{name}": there is no option "{option}". {did_you_mean(option, _FIELDS)}'
            )
    return Declaration(name=name, task=task, **options)


def options_of(schedule: Schedule) -> dict[str, Any]:
    """What a schedule was declared with."""
    return {name: getattr(schedule, name) for name in _FIELDS}
