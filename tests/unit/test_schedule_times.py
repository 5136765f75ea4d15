"""When schedules are due, held against an oracle that knows no cron library and searches nothing.

The oracle walks through time minute by minute, looks at the clock (zoneinfo), and applies the rules of docs/schedules.md as
they are written there. Away from changes of the clocks a day is like any other, so it walks the days around each change; the
days between are held against the calendar.
"""

from __future__ import annotations

import random
from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import pytest

from headrace._schedule.rules import Moment, Rule, make_rule, moments
from headrace._schedule.zones import read_zone, zone_names

if TYPE_CHECKING:
    from collections.abc import Iterator
    from zoneinfo import ZoneInfo

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
FIRST, LAST = datetime(2018, 1, 1, tzinfo=UTC), datetime(2028, 1, 1, tzinfo=UTC)
AROUND = timedelta(hours=40)

# Half an hour, two hours, at midnight, into the day before, twice a year around Ramadan, and none at all.
SAMPLE = ["Europe/Berlin", "Australia/Lord_Howe", "Antarctica/Troll", "America/Havana", "America/Sao_Paulo", "Asia/Beirut",
          "Africa/Casablanca", "Africa/Cairo", "America/St_Johns", "Pacific/Chatham", "Asia/Kolkata"]  # fmt: skip
FIXED = ["30 2 * * *", "0 0 * * *", "15 1,2,3 * * *", "0,30 2 * * *", "0 2,3 * * *", "30 1 * * SUN", "59 23 * * *"]
EVERY = ["45 * * * *", "*/15 * * * *", "*/20 2 * * *", "0 */2 * * *", "0 */3 * * *", "* 0 * * *", "*/10 1 * * SUN"]
DAYS = ["MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN"]


class Written(NamedTuple):
    """A cron expression, read by hand: only what the cases above have."""

    minutes: set[int]
    hours: set[int]
    weekdays: set[int]
    is_fixed: bool

    def fits(self, local: datetime) -> bool:
        return local.minute in self.minutes and local.hour in self.hours and local.weekday() in self.weekdays


@cache
def read(cron: str) -> Written:
    minute, hour, _, _, weekday = cron.split()
    return Written(
        numbers(minute, 60),
        numbers(hour, 24),
        set(range(7)) if weekday == "*" else {DAYS.index(weekday)},
        is_fixed="*" not in (minute[0], hour[0]),
    )


def numbers(field: str, count: int) -> set[int]:
    if field == "*":
        return set(range(count))
    if field.startswith("*/"):
        return set(range(0, count, int(field[2:])))
    return {int(number) for number in field.split(",")}


def changes(zone: ZoneInfo, first: datetime = FIRST, last: datetime = LAST) -> list[datetime]:
    """The hours in which the zone's clocks change."""
    found, moment, offset = [], first, first.astimezone(zone).utcoffset()
    while moment < last:
        moment += HOUR
        if (now := moment.astimezone(zone).utcoffset()) != offset:
            found.append(moment)
            offset = now
    return found


def expected(cron: str, clock: list[tuple[datetime, datetime]]) -> list[Moment]:
    """What the rules say, given what the clock shows at each minute of a stretch."""
    written = read(cron)
    shown: dict[datetime, list[datetime]] = defaultdict(list)
    for at, local in clock:
        shown[local].append(at)
    if not written.is_fixed:
        return [Moment(at, local, shown[local].index(at)) for at, local in clock if written.fits(local)]
    found: dict[datetime, Moment] = {}
    local = clock[0][1]
    while local <= clock[-1][1]:
        if written.fits(local):
            at = shown[local][0] if local in shown else jump_over(local, clock)
            found.setdefault(at, Moment(at, local))
        local += MINUTE
    return sorted(found.values())


def jump_over(local: datetime, clock: list[tuple[datetime, datetime]]) -> datetime:
    """The first minute after the clock jumped over a time."""
    (at,) = [now for (_, before), (now, after) in pairwise(clock) if before < local < after]
    return at


def clock_around(zone: ZoneInfo, change: datetime) -> list[tuple[datetime, datetime]]:
    minutes = range(-int(AROUND / MINUTE), int(AROUND / MINUTE))
    return [(at := change + n * MINUTE, at.astimezone(zone).replace(tzinfo=None, fold=0)) for n in minutes]


def rule_of(cron: str, zone: str) -> Rule:
    return make_rule(cron=cron, every=None, at=None, timezone=zone)


def check_changes(zone_name: str, first: datetime = FIRST, last: datetime = LAST) -> int:
    """Compare around every change of a zone, from its start and from anywhere within; how many moments there were."""
    zone, compared = read_zone(zone_name), 0
    for change in changes(zone, first, last):
        clock = clock_around(zone, change)
        inner = (change - AROUND / 2, change + AROUND / 2)
        for cron in FIXED + EVERY:
            rule, want = rule_of(cron, zone_name), expected(cron, clock)
            within = [moment for moment in want if inner[0] < moment.at <= inner[1]]
            got = [m._replace(nominal=m.nominal.replace(fold=0)) for m in moments(rule, *inner)]
            assert got == within, (zone_name, cron, change)
            compared += len(got)
            start = change + AROUND / 2 * random.Random(f"{cron}{change}").uniform(-1, 1)
            got_next = rule.after(start)
            assert got_next is not None
            follows = next((moment.at for moment in want if moment.at > start), None)
            assert follows is None or got_next.at == follows, (zone_name, cron, start)
    return compared


def check_days(zone_name: str) -> None:
    """Every date of ten years is there once, in order, at the time that is written where that exists."""
    zone = read_zone(zone_name)
    days = list(moments(rule_of("30 2 * * *", zone_name), FIRST, LAST))
    assert [m.at for m in days] == sorted({m.at for m in days})
    dates = [m.nominal.date() for m in days]
    assert dates == list(all_dates(dates[0], dates[-1]))
    assert len(dates) >= 3651
    for moment in days:
        local = moment.at.astimezone(zone).replace(tzinfo=None)
        assert local == moment.nominal or local - moment.nominal <= 2 * HOUR


def all_dates(first: date, last: date) -> Iterator[date]:
    while first <= last:
        yield first
        first += timedelta(days=1)


@pytest.mark.parametrize("zone", SAMPLE)
def test_around_every_change_of_the_clocks(zone: str) -> None:
    """In three years of zones that change in all the ways there are, the moments are those that the written rules give."""
    first = datetime(2018 if zone == "America/Sao_Paulo" else 2023, 1, 1, tzinfo=UTC)
    compared = check_changes(zone, first, first + timedelta(days=3 * 365))
    assert (compared > 100) == (zone != "Asia/Kolkata")


@pytest.mark.parametrize("zone", ["Australia/Lord_Howe", "Africa/Casablanca"])
def test_ten_years_of_days(zone: str) -> None:
    """A daily schedule has each date of ten years once."""
    check_days(zone)


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_ten_years_of_all_zones() -> None:
    """The same for every zone that there is; those whose clocks show the same all the time are one."""
    alike: dict[object, list[str]] = defaultdict(list)
    for name in sorted(zone_names()):
        zone = read_zone(name)
        moments_of_change = changes(zone)
        alike[tuple((at, at.astimezone(zone).utcoffset()) for at in [FIRST, *moments_of_change])].append(name)
    compared = 0
    for name, *_ in alike.values():
        compared += check_changes(name)
        check_days(name)
    print(f"{len(zone_names())} zones of {len(alike)} kinds, {compared} moments around changes of the clocks")
    assert len(zone_names()) > 500
    assert len(alike) > 80
    assert compared > 100_000


BERLIN = {
    "30 2 * * *": ["2026-03-28T01:30", "2026-03-29T01:00", "2026-03-30T00:30"],  # 2:30 does not exist on the 29th
    "*/30 2 * * *": ["2026-03-28T01:00", "2026-03-28T01:30", "2026-03-30T00:00", "2026-03-30T00:30"],
}


@pytest.mark.parametrize("cron", BERLIN)
def test_a_time_that_does_not_exist(cron: str) -> None:
    """A fixed time that is jumped over is due at the jump; "every" minute of an hour that there is not, is none."""
    found = moments(
        rule_of(cron, "Europe/Berlin"), datetime(2026, 3, 28, tzinfo=UTC), datetime(2026, 3, 30, 12, tzinfo=UTC)
    )
    assert [m.at.strftime("%Y-%m-%dT%H:%M") for m in found] == BERLIN[cron]


def test_a_time_that_exists_twice() -> None:
    """A fixed time counts the first time; "every" hour counts both times, and they are told apart by their fold."""
    night = datetime(2026, 10, 24, 22, tzinfo=UTC), datetime(2026, 10, 25, 2, tzinfo=UTC)
    (fixed,) = moments(rule_of("30 2 * * *", "Europe/Berlin"), *night)
    assert fixed == Moment(datetime(2026, 10, 25, 0, 30, tzinfo=UTC), datetime(2026, 10, 25, 2, 30))  # noqa: DTZ001 - local
    every = list(moments(rule_of("30 * * * *", "Europe/Berlin"), *night))
    assert [(m.nominal.hour, m.fold, m.at.hour) for m in every] == [(0, 0, 22), (1, 0, 23), (2, 0, 0), (2, 1, 1)]


def test_a_day_that_does_not_exist() -> None:
    """Samoa had no 30 December 2011: what was fixed for it was due when the day was jumped over."""
    days = moments(
        rule_of("0 9 * * *", "Pacific/Apia"), datetime(2011, 12, 29, tzinfo=UTC), datetime(2011, 12, 31, tzinfo=UTC)
    )
    assert [(m.nominal.day, m.at.strftime("%d %H:%M")) for m in days] == [
        (29, "29 19:00"),
        (30, "30 10:00"),
        (31, "30 19:00"),
    ]


def test_intervals_are_counted_from_the_anchor() -> None:
    """Deploys and restarts do not move them; with a start they count from there, which is their first moment."""
    rule = make_rule(cron=None, every=timedelta(minutes=7), at=None, timezone="UTC")
    first = rule.after(datetime(2026, 3, 1, 12, 0, 30, tzinfo=UTC))
    assert first is not None
    assert (first.at - datetime(1970, 1, 1, tzinfo=UTC)) % timedelta(minutes=7) == timedelta(0)
    start = datetime(2026, 3, 1, 12, 0, 30, tzinfo=UTC)
    bounded = make_rule(cron=None, every=HOUR, at=None, timezone="UTC", start_at=start, end_at=start + 3 * HOUR)
    found = moments(bounded, FIRST, LAST)
    assert [m.at for m in found] == [start, start + HOUR, start + 2 * HOUR]


def test_bounds_of_a_cron() -> None:
    """A moment at the start counts, one at the end does not."""
    start, end = datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 4, tzinfo=UTC)
    rule = make_rule(cron="0 0 * * *", every=None, at=None, timezone="UTC", start_at=start, end_at=end)
    assert [m.at.day for m in moments(rule, FIRST, LAST)] == [1, 2, 3]
