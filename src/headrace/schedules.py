"""Looking at schedules and acting on them, at run time: `app.schedules`."""

from __future__ import annotations

import dataclasses
import json
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any
from uuid import UUID

from typing_extensions import Unpack

from headrace._schedule.catching_up import Jitter
from headrace._schedule.declaration import Declaration
from headrace._schedule.rules import Moment, moments
from headrace._schedule.zones import local_time, read_zone
from headrace._store.acting import current_actor
from headrace.errors import ConfigurationError, UnknownSchedule, did_you_mean
from headrace.job import Job, check_name
from headrace.schedule import (
    Schedule,
    ScheduleOptions,
    ScheduleTenant,
    Tick,
    TickOutcome,
    Upcoming,
    declare,
    options_of,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence

    from headrace._store.database import Database
    from headrace.app import Headrace
    from headrace.task import Task

MOST_BACKFILLED = 10_000
_PAGE = 1000


class Schedules:
    """The schedules of an app's database, whoever made them: `app.schedules`.

    A name that does not exist raises `UnknownSchedule`. One that this app's code declares exists from the first call
    on, even if no worker has started yet.
    """

    def __init__(self, app: Headrace) -> None:
        self._app = app

    # -- looking --

    async def list(self) -> list[Schedule]:
        """All schedules, by name."""
        return [_schedule(r) for r in await (await self._database()).records("list_schedules", name=None)]

    async def get(self, name: str) -> Schedule:
        """One schedule."""
        database = await self._database()
        records = await database.records("list_schedules", name=name)
        declared = self._app.declared_schedules.get(name)
        if not records and declared is not None:
            await self._write(declared, digest=declared.digest(), only_new=True)
            records = await database.records("list_schedules", name=name)
        if not records:
            known = [r["name"] for r in await database.records("list_schedules", name=None)]
            raise UnknownSchedule(f'there is no schedule "{name}". {did_you_mean(name, known)}')
        return _schedule(records[0])

    async def ticks(
        self, name: str, *, tenant: str | None = None, before: datetime | None = None, limit: int = 100
    ) -> Sequence[Tick]:
        """The moments of a schedule that have come, the latest first; kept for 30 days.

        Args:
            name: The schedule.
            tenant: Only those of this tenant.
            before: Only those that were due before this: the next page.
            limit: At most so many.
        """
        records = await (await self._database()).records(
            "list_ticks", name=name, tenant=tenant, before=before, limit=limit
        )
        return [Tick(**record) for record in records]

    async def outcomes(self, name: str | None = None, *, limit: int = 30) -> dict[str, Sequence[TickOutcome]]:
        """What became of the last moments of all schedules, or of one; the earliest first.

        Args:
            name: Only of this schedule.
            limit: At most so many of each.
        """
        found: dict[str, list[TickOutcome]] = {}
        for record in await (await self._database()).records("list_tick_outcomes", name=name, limit=limit):
            found.setdefault(record["schedule"], []).append(TickOutcome(**record))
        return {**found}

    async def next(
        self, name: str, count: int = 10, *, tenant: str | None = None, until: datetime | None = None
    ) -> Sequence[Upcoming]:
        """The moments that are to come, the first first; of all tenants, if not told otherwise.

        Args:
            name: The schedule.
            count: At most so many.
            tenant: Only those of this tenant.
            until: None after this.
        """
        schedule = await self.get(name)
        now = await (await self._database()).value("read_clock")
        coming: list[Upcoming] = []
        async for record in self._due_records(name, tenant):
            coming += islice(_upcoming(schedule, record, now, until), count)
            coming = sorted(coming, key=lambda each: (each.due_at, each.tenant))[:count]
        if tenant is not None and not coming:
            await self._tenant(name, tenant)
        return coming

    # -- making and changing --

    async def create(
        self, name: str, task: Task[..., ..., Any] | str, /, **options: Unpack[ScheduleOptions]
    ) -> Schedule:
        """Make a schedule at run time. It is due from now on; its first moment is known within a second.

        Args:
            name: Its name.
            task: The task that it enqueues, or its name.
            options: As of `Headrace.schedule`.

        Raises:
            ConfigurationError: The options make no sense, or the name is taken.
            InvalidArguments: The arguments do not fit the task.
        """
        task = self._app.offered_task(task) if isinstance(task, str) else task
        given: dict[str, Any] = {**options}
        given["args"] = _packed(task, given.get("args", {}))
        made = declare(name, task.name, given)
        if made.at is not None and made.at <= await (await self._database()).value("read_clock"):
            raise ConfigurationError(f'schedule "{name}": {made.at} has passed already')
        if name in self._app.declared_schedules or not await self._write(made, only_new=True):
            raise ConfigurationError(f'there is a schedule "{name}" already: edit it, or choose another name')
        return await self.get(name)

    async def edit(self, name: str, *, by: str | None = None, **options: Unpack[ScheduleOptions]) -> Schedule:
        """Change a schedule. If code declares it, the change stays until code says something new.

        If when it is due changes, what is next is counted from now on: moments that were due and not ticked are
        dropped.

        Args:
            name: Its name.
            by: Who changes it: it is stored. Default: whoever is `acting`.
            options: Whatever is to change, as of `Headrace.schedule`. One of cron, every and at replaces the others.
        """
        found = await self.get(name)
        given: dict[str, Any] = {**options}
        if {"cron", "every", "at"} & {key for key, value in given.items() if value is not None}:
            given = {"cron": None, "every": None, "at": None} | given
            if given["cron"] is None:
                given.setdefault("timezone", "UTC")
        if "args" in given:
            given["args"] = _packed(self._app.find_task(found.task), given["args"])
        unchanged = {key: value for key, value in options_of(found).items() if key not in ("name", "task")}
        changed = declare(name, found.task, unchanged | given)
        database = await self._database()
        digest = (await database.records("list_schedules", name=name))[0]["declared"]
        await self._write(changed, digest=digest, editor=_by(by))
        return await self.get(name)

    async def delete(self, name: str) -> None:
        """Delete a schedule that was made at run time, or that no code declares any more. Its ticks stay for 30 days.

        Raises:
            ConfigurationError: Code declares it.
        """
        await self.get(name)
        if not await (await self._database()).rows("delete_schedule", name=name):
            raise ConfigurationError(f'code declares the schedule "{name}": remove it there, or pause it')

    # -- acting --

    async def pause(self, name: str, reason: str, *, by: str | None = None, tenant: str | None = None) -> None:
        """Let moments pass without a job, until `resume`; they are recorded as paused. Survives deploys.

        Args:
            name: The schedule.
            reason: Why: it is stored with the schedule, and with each moment that passes.
            by: Who: it is stored. Default: whoever is `acting`.
            tenant: Only for this tenant.
        """
        await self._act("pause_schedule", name, tenant, reason=reason, by=_by(by))

    async def resume(self, name: str, *, tenant: str | None = None) -> None:
        """End a pause. What passed meanwhile does not run; `backfill` can make up for it."""
        await self._act("resume_schedule", name, tenant)

    async def skip_next(self, name: str, *, tenant: str | None = None, skip: bool = True) -> None:
        """Give the next moment no job (with `skip=False`: give it one after all); it is recorded as skipped."""
        await self._act("skip_next_tick", name, tenant, skip=skip)

    async def run_now(self, name: str, *, tenant: str = "") -> Job[Any]:
        """Enqueue a job of the schedule now, whether or not it is due, paused or still at work."""
        database = await self._database()
        schedule = await self.get(name)
        record = await self._tenant(name, tenant)
        zone = read_zone((record["timezone"] or schedule.timezone) if schedule.cron else "UTC")
        nominal = local_time(zone, await database.value("read_clock")).replace(fold=0)
        job_id = await database.value("run_schedule", name=name, tenant=tenant, nominal=nominal)
        if job_id is None:
            raise self._no_tenant(name, tenant)
        return Job(self._app, UUID(job_id))

    async def backfill(self, name: str, start: datetime, end: datetime, *, tenant: str = "") -> int:
        """Run the moments of a time that has passed and that got no job; returns how many will run.

        They count as the rule says today. Unless jobs may overlap, they run one after the other.

        Args:
            name: The schedule.
            start: From this moment on.
            end: Before this moment; at most now.
            tenant: For this tenant; needed where a schedule is per tenant.

        Raises:
            ConfigurationError: The range is empty, in the future, or has more than 10,000 moments.
        """
        for what, value in (("start", start), ("end", end)):
            if value.tzinfo is None:
                raise ConfigurationError(f"{what} {value} has no time zone: use an aware datetime")
        database = await self._database()
        schedule = await self.get(name)
        record = await self._tenant(name, tenant)
        if not start < end <= await database.value("read_clock"):
            raise ConfigurationError(f"a backfill is of a time that has passed: {start} to {end} is not")
        declaration = _declaration_of(schedule)
        rule, jitter = declaration.rule(record["cron"], record["timezone"]), Jitter(schedule.jitter, name, tenant)
        instant = timedelta(microseconds=1)
        found = list(islice(moments(rule, start - instant, end - instant), MOST_BACKFILLED + 1))
        if len(found) > MOST_BACKFILLED:
            raise ConfigurationError(f"{start} to {end} has more than {MOST_BACKFILLED} moments: take a shorter time")
        filled = 0
        for place in range(0, len(found), _PAGE):
            told = [_told(moment, jitter) for moment in found[place : place + _PAGE]]
            filled += await database.value("backfill_schedule", name=name, tenant=tenant, moments=json.dumps(told)) or 0
        return filled

    # -- tenants --

    def tenants(self, name: str) -> ScheduleTenants:
        """The tenants of a schedule that is declared or made with `per_tenant=True`."""
        return ScheduleTenants(self._app, self, name)

    # -- within --

    async def _database(self) -> Database:
        return await self._app.database()

    async def _write(
        self, declaration: Declaration, *, digest: str | None = None, editor: str | None = None, only_new: bool = False
    ) -> bool:
        fields = json.dumps(declaration.fields())
        written: bool = await (await self._database()).value(
            "write_schedule", fields=fields, digest=digest, editor=editor, only_new=only_new, now=None
        )
        return written

    async def _act(self, statement: str, name: str, tenant: str | None, **parameters: Any) -> None:
        await self.get(name)
        if not await (await self._database()).rows(statement, name=name, tenant=tenant, **parameters) and tenant:
            raise self._no_tenant(name, tenant)

    async def _due_records(self, name: str, tenant: str | None) -> AsyncIterator[dict[str, Any]]:
        database, after = await self._database(), ""
        if tenant in (None, ""):
            for record in await database.records("list_schedule_tenants", name=name, tenant="", after=None, limit=1):
                yield record
        while page := await database.records(
            "list_schedule_tenants", name=name, tenant=tenant or None, after=after, limit=_PAGE
        ):
            for record in page:
                yield record
            after = page[-1]["tenant"]

    async def _tenant(self, name: str, tenant: str) -> dict[str, Any]:
        async for record in self._due_records(name, tenant):
            if record["tenant"] == tenant:
                return record
        raise self._no_tenant(name, tenant)

    def _no_tenant(self, name: str, tenant: str) -> UnknownSchedule:
        if not tenant:
            return UnknownSchedule(f'the schedule "{name}" is per tenant: say which one')
        return UnknownSchedule(
            f'the schedule "{name}" has no tenant "{tenant}": add it with schedules.tenants("{name}").set'
        )


class ScheduleTenants:
    """The tenants of one schedule: `app.schedules.tenants(name)`. Thousands cost a row each, and no timers."""

    def __init__(self, app: Headrace, schedules: Schedules, name: str) -> None:
        self._app = app
        self._schedules = schedules
        self._name = name

    async def list(self, *, after: str = "", limit: int = 100) -> list[ScheduleTenant]:
        """Tenants by name, those after a given one."""
        await self._schedules.get(self._name)
        records = await (await self._app.database()).records(
            "list_schedule_tenants", name=self._name, tenant=None, after=after, limit=limit
        )
        names = [field.name for field in dataclasses.fields(ScheduleTenant)]
        return [ScheduleTenant(**{name: record[name] for name in names}) for record in records]

    async def set(
        self, tenant: str, *, cron: str | None = None, timezone: str | None = None, args: dict[str, Any] | None = None
    ) -> None:
        """Add a tenant, or replace what is its own.

        Args:
            tenant: Its jobs carry this as their tenant.
            cron: Its own cron expression. Default: the schedule's.
            timezone: Its own time zone. Default: the schedule's.
            args: Arguments put over the schedule's. Default: the schedule's.
        """
        await self.set_many([ScheduleTenant(tenant=tenant, cron=cron, timezone=timezone, args=args)])

    async def set_many(self, tenants: Sequence[ScheduleTenant]) -> None:
        """`set` for many: all or none, in one transaction."""
        schedule = await self._schedules.get(self._name)
        if not schedule.per_tenant:
            raise ConfigurationError(f'the schedule "{self._name}" has no tenants: give it per_tenant=True')
        rows = [self._row(schedule, each) for each in tenants]
        database = await self._app.database()
        await database.rows("write_schedule_tenants", name=self._name, tenants=json.dumps(rows), now=None)

    def _row(self, schedule: Schedule, each: ScheduleTenant) -> dict[str, Any]:
        check_name("tenant", each.tenant)
        if not each.tenant:
            raise ConfigurationError(f'schedule "{self._name}": a tenant needs a name')
        if schedule.cron is None and (each.cron is not None or each.timezone is not None):
            raise ConfigurationError(
                f'schedule "{self._name}" is no cron: its tenants can have neither cron nor timezone'
            )
        if each.cron is not None or each.timezone is not None:
            try:
                _declaration_of(schedule).rule(each.cron, each.timezone)
            except ConfigurationError as error:
                raise ConfigurationError(f'schedule "{self._name}", tenant "{each.tenant}": {error}') from None
        args = each.args
        if args is not None:
            packed = _packed(self._app.find_task(schedule.task), schedule.args | args)
            args = {name: packed[name] for name in args}
        return {"tenant": each.tenant, "cron": each.cron, "timezone": each.timezone, "args": args}

    async def remove(self, *tenants: str) -> Sequence[str]:
        """Remove tenants; returns those that were there."""
        await self._schedules.get(self._name)
        rows = await (await self._app.database()).rows("delete_schedule_tenants", name=self._name, tenants=[*tenants])
        return [tenant for (tenant,) in rows]


def _packed(task: Task[..., ..., Any], args: dict[str, Any]) -> dict[str, Any]:
    packed: dict[str, Any] = json.loads(task.arguments.pack((), args))
    return packed


def _declaration_of(schedule: Schedule) -> Declaration:
    return Declaration(**options_of(schedule))


def _schedule(record: dict[str, Any]) -> Schedule:
    return Schedule(**(record | {"declared": record["declared"] is not None}))


def _upcoming(schedule: Schedule, record: dict[str, Any], now: datetime, until: datetime | None) -> Iterator[Upcoming]:
    declaration = _declaration_of(schedule)
    rule = declaration.rule(record["cron"], record["timezone"])
    jitter = Jitter(schedule.jitter, schedule.name, record["tenant"])
    held = "disabled" if not schedule.enabled else "paused" if schedule.paused_at or record["paused_at"] else None
    skip = record["skip_next"]
    for moment in _coming(rule, record, now):
        due_at = jitter.due(moment)
        if until is not None and due_at > until:
            return
        yield Upcoming(
            schedule=schedule.name, tenant=record["tenant"], nominal=moment.nominal.replace(fold=0), fold=moment.fold,
            due_at=due_at, held=held or ("skipped" if skip else None),
        )  # fmt: skip
        skip = False


def _coming(rule: Any, record: dict[str, Any], now: datetime) -> Iterator[Moment]:
    """The stored moment, if there is one, and those after it."""
    after = max(record["next_at"], now) if record["next_due"] is None else record["next_at"]
    if record["next_due"] is not None and record["next_nominal"] is not None:
        yield Moment(record["next_at"].astimezone(UTC), record["next_nominal"], record["next_fold"])
    yield from moments(rule, after, datetime.max.replace(tzinfo=UTC))


def _told(moment: Moment, jitter: Jitter) -> dict[str, Any]:
    return {
        "nominal": moment.nominal.isoformat(),
        "fold": moment.fold,
        "due_at": jitter.due(moment).isoformat(),
    }


def _by(given: str | None) -> str:
    actor = current_actor()
    return given or (actor.by if actor else "api")
