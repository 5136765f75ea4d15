"""Cron expressions: five fields, as in Debian's cron, read by cronsim."""

from __future__ import annotations

import copy
from datetime import datetime, timedelta
from functools import cache, lru_cache

from cronsim import CronSim, CronSimError

from headrace.errors import ConfigurationError

NICKNAMES = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
_FIELDS = {
    "minute": "0-59",
    "hour": "0-23",
    "day-of-month": "1-31, L for the last day, LW for the last weekday",
    "month": "1-12 or JAN-DEC",
    "day-of-week": "0-7 or SUN-SAT, MON#2 for the second Monday, 5L for the last Friday",
}
_LONGEST_MONTH = 31
_ANY_TIME = datetime(2024, 1, 1)  # noqa: DTZ001 - local times have no zone here


@cache
def read_cron(text: str) -> CronSim:
    """A cron expression, checked.

    Raises:
        ConfigurationError: It is none, or never comes true.
    """
    expression = NICKNAMES.get(text.strip().lower(), text)
    fields = expression.split()
    if len(fields) != len(_FIELDS):
        raise ConfigurationError(
            f'cron "{text}" has {len(fields)} fields; it needs five: {", ".join(_FIELDS)}; '
            f"or one of {', '.join(NICKNAMES)}"
        )
    try:
        cron = CronSim(expression, _ANY_TIME)
    except CronSimError as error:
        raise ConfigurationError(_explain(text, fields, str(error))) from None
    if next(copy.copy(cron), None) is None:
        raise ConfigurationError(_never(text))
    return cron


def _never(text: str) -> str:
    return f'cron "{text}" never comes true: there is no such day'


def _explain(text: str, fields: list[str], error: str) -> str:
    if error == "Bad day-of-month" and fields[2].isdecimal() and 1 <= int(fields[2]) <= _LONGEST_MONTH:
        return _never(text)
    for (name, values), field in zip(_FIELDS.items(), fields, strict=True):
        if error == f"Bad {name}":
            return f'cron "{text}": the {name} "{field}" is wrong: write {values}; *, */5, 1-5 or 1,2 of them'
    return f'cron "{text}": {error}'


def is_at_fixed_times(text: str) -> bool:
    """Whether it names its hours and minutes, instead of saying "every"."""
    minute, hour, *_ = NICKNAMES.get(text.strip().lower(), text).split()
    return not minute.startswith("*") and not hour.startswith("*")


@lru_cache(maxsize=10_000)  # thousands of tenants share a rule, and most a zone
def next_local(text: str, after: datetime) -> datetime | None:
    """The first time after another one that fits, on a calendar whose days all have 24 hours."""
    cron = copy.copy(read_cron(text))
    cron.dt = after.replace(microsecond=0, fold=0)
    try:
        return next(cron, None)
    except OverflowError:
        return None


JUST_BEFORE = timedelta(seconds=1)
"""What to start from to find a time itself: cron has whole minutes."""
