"""Time zones, from the tzdata package and nowhere else: the machine's own may be years old.

Two workers whose packages differ may still disagree about a moment. What they cannot do is tick it twice: the moment
that was stored decides, and a tick is unique by its local time (ENGINE 32).
"""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from headrace.errors import ConfigurationError, did_you_mean

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

_SAMPLE = timedelta(hours=6)
"""No zone changes its clocks twice in so short a time."""

_PACKAGE = files("tzdata")


@cache
def zone_names() -> frozenset[str]:
    """The names that `read_zone` knows."""
    return frozenset((_PACKAGE / "zones").read_text(encoding="utf-8").split())


@cache
def read_zone(name: str) -> ZoneInfo:
    """A zone by its IANA name.

    Raises:
        ConfigurationError: There is none.
    """
    if name not in zone_names():
        raise ConfigurationError(f'there is no time zone "{name}". {_closest(name)}')
    file: Traversable = _PACKAGE / "zoneinfo"
    for part in name.split("/"):
        file /= part
    with file.open("rb") as data:
        return ZoneInfo.from_file(data, key=name)


def _closest(name: str) -> str:
    if not isinstance(name, str) or not name:
        return "Write an IANA name, such as Asia/Kolkata."
    cities = {zone.rpartition("/")[2].lower(): zone for zone in sorted(zone_names())}
    city = name.rpartition("/")[2].lower().replace(" ", "_")
    if zone := cities.get(city):
        return f'Did you mean "{zone}"?'
    close = did_you_mean(name, zone_names())
    return close if close.startswith("Did") else "Write an IANA name, such as Asia/Kolkata."


def first_change(zone: ZoneInfo, after: datetime, until: datetime) -> datetime | None:
    """The first moment in (after, until] at which the zone's offset is no longer what it was before; to the second."""
    offset = _offset(zone, after)
    before = after
    while before < until:
        later = min(before + _SAMPLE, until)
        if _offset(zone, later) != offset:
            return _bisect(zone, offset, before, later)
        before = later
    return None


def _bisect(zone: ZoneInfo, offset: timedelta, before: datetime, changed: datetime) -> datetime:
    last, first = math.floor(before.timestamp()), math.ceil(changed.timestamp())  # clocks change at whole seconds
    while first - last > 1:
        middle = (last + first) // 2
        if _offset(zone, datetime.fromtimestamp(middle, UTC)) == offset:
            last = middle
        else:
            first = middle
    return datetime.fromtimestamp(first, UTC)


def _offset(zone: ZoneInfo, moment: datetime) -> timedelta:
    offset = moment.astimezone(zone).utcoffset()
    assert offset is not None
    return offset


def local_time(zone: ZoneInfo, moment: datetime) -> datetime:
    """What the zone's clocks show; naive, with its fold."""
    return moment.astimezone(zone).replace(tzinfo=None)


def first_moment(zone: ZoneInfo, local: datetime) -> datetime:
    """When the zone's clocks show this: the first time, if they do twice; when they jump over it, if they never do."""
    moment = local.replace(tzinfo=zone, fold=0).astimezone(UTC)
    if local_time(zone, moment).replace(fold=0) == local.replace(fold=0):
        return moment
    before = local.replace(tzinfo=zone, fold=1).astimezone(UTC)  # by the clocks after the jump: a moment before it
    jump = first_change(zone, before, moment)
    assert jump is not None
    return jump
