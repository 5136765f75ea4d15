"""What the words after an operator mean: numbers, ids, durations, moments, and ranges of them.

Every `read_…` raises `ValueError` with a message that says what to write instead.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Generic, TypeVar
from uuid import UUID

from headrace.errors import did_you_mean
from headrace.job import State

T = TypeVar("T")
RANGE = ".."

_UNITS_S = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_DURATION = re.compile(r"(?:\d{1,9}(?:\.\d{1,6})?(?:ms|[smhdw]))+\Z")
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|[smhdw])")
_NUMBER = re.compile(r"-?\d{1,18}\Z")
_JSON_NUMBER = re.compile(r"-?\d{1,30}(?:\.\d{1,30})?\Z")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}\Z")
_TIME = re.compile(r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d{1,6})?)?(?:Z|[+-]\d{2}:\d{2})?\Z")
_FAILURE = re.compile(r"[0-9a-f]{12}\Z")
_LONGEST = timedelta(days=36_500)
_YEARS = range(1970, 2200)
_MOMENT_FORMS = "2026-01-31, 2026-01-31T09:30 (UTC), 2026-01-31T09:30+01:00, now, or -2h for two hours ago"


@dataclass(frozen=True, slots=True)
class Span(Generic[T]):
    """From `start` on and before `end` (or at it, if `closed`); None: no bound."""

    start: T | None
    end: T | None
    closed: bool = True


def read_state(text: str) -> State:
    """A state's name."""
    try:
        return State(text)
    except ValueError:
        raise ValueError(f'there is no state "{text}". {did_you_mean(text, State)}') from None


def read_id(text: str) -> UUID:
    """A UUID."""
    try:
        return UUID(text)
    except ValueError:
        raise ValueError(f'"{text}" is no id: those are UUIDs') from None


def read_failure(text: str) -> str:
    """The name of a group of failures."""
    if not _FAILURE.match(text):
        raise ValueError(f'"{text}" is no group of failures: those are twelve hexadecimal digits')
    return text


def read_number(text: str) -> int:
    """A whole number."""
    if not _NUMBER.match(text):
        raise ValueError(f'"{text}" is no whole number')
    return int(text)


def json_number(text: str) -> Decimal | None:
    """The number that JSON would read, if it is one."""
    return Decimal(text) if _JSON_NUMBER.match(text) else None


def read_duration(text: str) -> timedelta:
    """30s, 1h30m, 2d."""
    if not _DURATION.match(text):
        raise ValueError(f'"{text}" is no duration: write 30s, 5m, 1h30m or 2d')
    duration = timedelta(seconds=sum(float(number) * _UNITS_S[unit] for number, unit in _PART.findall(text)))
    if duration > _LONGEST:
        raise ValueError(f'"{text}" is longer than a hundred years')
    return duration


def read_moment(text: str, now: datetime) -> Span[datetime]:
    """A moment (both ends are the same), or a day."""
    if text == "now":
        return Span(now, now)
    if text[:1] in ("-", "+"):
        distance = read_duration(text[1:])
        moment = now - distance if text[0] == "-" else now + distance
        return Span(moment, moment)
    if _DURATION.match(text):
        raise ValueError(f'"{text}" is no moment: write -{text} for so long ago, or +{text} for in so long')
    if _DATE.match(text):
        day = _read(date.fromisoformat, text)
        start = datetime(day.year, day.month, day.day, tzinfo=UTC)
        return Span(start, start + timedelta(days=1), closed=False)
    if not _TIME.match(text):
        raise ValueError(f'"{text}" is no moment: write {_MOMENT_FORMS}')
    moment = _read(datetime.fromisoformat, text)
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return Span(moment, moment)


def _read(parse: type | object, text: str) -> datetime:
    try:
        moment = parse(text)  # type: ignore[operator]
    except ValueError as error:
        raise ValueError(f'"{text}" is no moment: {error}') from None
    if moment.year not in _YEARS:
        raise ValueError(f'"{text}": the year must be from {_YEARS.start} to {_YEARS.stop - 1}')
    return moment  # type: ignore[no-any-return]


def split_range(text: str) -> tuple[str, str] | None:
    """The two ends of a range, one of which may be empty; None if it is none."""
    start, found, end = text.partition(RANGE)
    if not found:
        return None
    if not start and not end:
        raise ValueError('".." has no end: write 1..5, 1.. or ..5')
    return start, end


def number_span(text: str) -> Span[int]:
    """A number, or a range of them, ends included."""
    start, end = split_range(text) or (text, text)
    return Span(read_number(start) if start else None, read_number(end) if end else None)


def duration_span(text: str) -> Span[timedelta]:
    """A range of durations, ends included."""
    if (ends := split_range(text)) is None:
        read_duration(text)
        raise ValueError(f'"{text}" is one instant: write >{text}, <{text}, or a range such as {text}..2d')
    start, end = ends
    return Span(read_duration(start) if start else None, read_duration(end) if end else None)


def moment_span(text: str, now: datetime) -> Span[datetime]:
    """A day, or a range, whose end is not included unless it is a day."""
    ends = split_range(text)
    if ends is None:
        day = read_moment(text, now)
        if day.closed:
            raise ValueError(f'"{text}" is one instant: write >{text}, <{text}, or a range such as {text}..now')
        return day
    start, end = (read_moment(side, now) if side else None for side in ends)
    return Span(start.start if start else None, end.end if end else None, closed=False)
