"""Schedules in words."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from typing import TYPE_CHECKING

from cron_descriptor import (  # type: ignore[import-untyped]
    FormatError,
    MissingFieldError,
    Options,
    get_description,
)

from headrace._schedule.cron import NICKNAMES
from headrace._schedule.zones import read_zone
from headrace.web.dashboard.showing import span

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headrace.schedule import Schedule, Upcoming


def words_of(schedule: Schedule) -> str:
    """When it is due, as people say it."""
    if schedule.cron is not None:
        return cron_words(schedule.cron)
    if schedule.every is not None:
        return f"Every {span(schedule.every)}"
    return "Once"


def cron_words(cron: str) -> str:
    """A cron expression in words; as it is where there are none."""
    options = Options()
    options.use_24hour_time_format = True
    options.locale_code = "en_US"
    try:
        return str(get_description(NICKNAMES.get(cron.strip().lower(), cron), options))
    except (FormatError, MissingFieldError, ValueError, IndexError):
        return cron


@dataclass(frozen=True)
class Coming:
    """A moment to come, and what is odd about it.

    Attributes:
        upcoming: The moment.
        there: What its zone's clocks show, with their distance from UTC.
        odd: Why it is marked: clocks change before it, or show its time twice.
    """

    upcoming: Upcoming
    there: str
    odd: str


def mark_changes(coming: Sequence[Upcoming], timezone: str, now: datetime) -> list[Coming]:
    """Moments to come, with those marked before which clocks change."""
    zone = read_zone(timezone)
    marked: list[Coming] = []
    before = now.astimezone(zone).utcoffset()
    for each in coming:
        there = each.due_at.astimezone(zone)
        marked.append(
            Coming(each, f"{there:%a %Y-%m-%d %H:%M:%S} {_offset(zone, each.due_at)}", _odd(each, there, before))
        )
        before = there.utcoffset()
    return marked


def _odd(each: Upcoming, there: datetime, before: timedelta | None) -> str:
    if each.fold:
        return "clocks show this time for the second time"
    offset = there.utcoffset()
    if offset is not None and before is not None and offset != before:
        return f"clocks go {'forward' if offset > before else 'back'} before it"
    return ""


def _offset(zone: tzinfo, moment: datetime) -> str:
    return moment.astimezone(zone).strftime("%Z")
