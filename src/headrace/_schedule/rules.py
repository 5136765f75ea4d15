"""When a schedule is due. Pure arithmetic: no clock, no database.

A *moment* has two faces: what the clocks of the schedule's zone show (`nominal`, with `fold` 1 where they show it for
the second time), which names it, and when that is (`at`). docs/schedules.md has the rules for days that are not 24
hours long.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple, Protocol

from headrace._schedule.cron import JUST_BEFORE, is_at_fixed_times, next_local, read_cron
from headrace._schedule.zones import first_change, first_moment, local_time, read_zone

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Moment(NamedTuple):
    """One due moment of a rule.

    Attributes:
        at: When it is, in UTC.
        nominal: What the clocks show, without a zone.
        fold: 1 where they show it for the second time.
    """

    at: datetime
    nominal: datetime
    fold: int = 0


class Rule(Protocol):
    """Gives the moments of a schedule, in order."""

    def after(self, moment: datetime) -> Moment | None:
        """The first one after this; None if there is none."""


@dataclass(frozen=True)
class FixedTimes:
    """Cron with named hours and minutes: once for each time that is written, whatever the clocks do."""

    cron: str
    zone: ZoneInfo

    def after(self, moment: datetime) -> Moment | None:
        """A time that is shown twice counts the first time; one that is jumped over counts at the jump."""
        local = next_local(self.cron, local_time(self.zone, moment))
        while local is not None:
            at = first_moment(self.zone, local)
            if at > moment:
                return Moment(at, local)
            local = next_local(self.cron, local)
        return None


@dataclass(frozen=True)
class EveryTime:
    """Cron with "every" hour or minute: whenever the clocks show a time that fits, be it for the second time."""

    cron: str
    zone: ZoneInfo

    def after(self, moment: datetime) -> Moment | None:
        """Time goes on evenly between two changes of the clocks; each stretch is searched by itself."""
        start = local_time(self.zone, moment)
        while True:
            offset = moment.astimezone(self.zone).utcoffset()
            assert offset is not None
            local = next_local(self.cron, start)
            if local is None:
                return None
            at = (local - offset).replace(tzinfo=UTC)
            change = first_change(self.zone, moment, at)
            if change is None:
                return Moment(at, local, at.astimezone(self.zone).fold)
            moment, start = change, local_time(self.zone, change) - JUST_BEFORE


@dataclass(frozen=True)
class Interval:
    """Evenly, counted from an anchor."""

    every: timedelta
    anchor: datetime = EPOCH

    def after(self, moment: datetime) -> Moment | None:
        """The next multiple."""
        return _in_utc(self.anchor + ((moment - self.anchor) // self.every + 1) * self.every)


@dataclass(frozen=True)
class Once:
    """One moment."""

    at: datetime

    def after(self, moment: datetime) -> Moment | None:
        """It, if it is later."""
        return _in_utc(self.at) if self.at > moment else None


@dataclass(frozen=True)
class Between:
    """Those of a rule's moments that are not before `start` and before `end`."""

    rule: Rule
    start: datetime | None
    end: datetime | None

    def after(self, moment: datetime) -> Moment | None:
        """The first within the bounds."""
        if self.start is not None and moment < self.start:
            moment = self.start - timedelta(microseconds=1)
        found = self.rule.after(moment)
        return found if found is not None and (self.end is None or found.at < self.end) else None


def _in_utc(at: datetime) -> Moment:
    at = at.astimezone(UTC)
    return Moment(at, at.replace(tzinfo=None))


def make_rule(
    *,
    cron: str | None,
    every: timedelta | None,
    at: datetime | None,
    timezone: str,
    start_at: datetime | None = None,
    end_at: datetime | None = None,
) -> Rule:
    """The rule of a schedule's fields, of which exactly one of the first three is given.

    Raises:
        ConfigurationError: The expression or the zone is none.
    """
    zone = read_zone(timezone)
    rule: Rule
    if cron is not None:
        read_cron(cron)
        rule = FixedTimes(cron, zone) if is_at_fixed_times(cron) else EveryTime(cron, zone)
    elif every is not None:
        rule = Interval(every, start_at or EPOCH)
    else:
        assert at is not None
        rule = Once(at)
    return rule if start_at is None and end_at is None else Between(rule, start_at, end_at)


def moments(rule: Rule, after: datetime, until: datetime) -> Iterator[Moment]:
    """Those in (after, until]."""
    while (moment := rule.after(after)) is not None and moment.at <= until:
        yield moment
        after = moment.at
