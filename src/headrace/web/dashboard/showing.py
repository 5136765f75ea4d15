"""How values look: times, durations, numbers, JSON, ids."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any
from urllib.parse import quote
from uuid import UUID

from markupsafe import Markup

from headrace._as_json import as_json

_UNITS = ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s"))
_MOST_LINE_CHARS = 160


def span(value: timedelta | float | None) -> str:
    """A duration in its two largest units."""
    if value is None:
        return ""
    seconds = value.total_seconds() if isinstance(value, timedelta) else float(value)
    seconds = max(0.0, seconds)
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 10:
        return f"{seconds:.1f}".removesuffix(".0") + " s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    whole = int(seconds)
    for unit_s, unit, smaller_s, smaller in _UNITS:
        if whole >= unit_s:
            rest = whole % unit_s // smaller_s
            return f"{whole // unit_s} {unit}" + (f" {rest} {smaller}" if rest else "")
    raise AssertionError("unreachable")


def since(moment: datetime, now: datetime) -> str:
    """How long ago, or in how long, in one unit: columns of it are read at a glance."""
    seconds = (moment - now).total_seconds()
    text = _one_unit(abs(seconds))
    return f"in {text}" if seconds > 0 else f"{text} ago"


def _one_unit(seconds: float) -> str:
    for unit_s, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= unit_s:
            return f"{int(seconds // unit_s)} {unit}"
    return f"{int(seconds)} s"


def absolute(moment: datetime, zone: tzinfo) -> str:
    """Date, time and zone."""
    there = moment.astimezone(zone)
    return f"{there:%Y-%m-%d %H:%M:%S} {there.tzname() or zone}"


def time_element(moment: datetime | None, now: datetime, zone: tzinfo, *, relative: bool) -> Markup | str:
    """A moment that scripts keep up to date, and that shows the other form on hover."""
    if moment is None:
        return ""
    full, ago = absolute(moment, zone), since(moment, now)
    iso = moment.astimezone(UTC).isoformat(timespec="milliseconds")
    if relative:
        return Markup('<time datetime="{}" title="{}" data-ago>{}</time>').format(iso, full, ago)
    return Markup('<time datetime="{}" title="{}">{}</time>').format(iso, ago, full)


def number(value: float | None) -> str:
    """A number with separated thousands."""
    if value is None:
        return ""
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,.2f}"


def size(count: float | None) -> str:
    """So many bytes."""
    if count is None:
        return ""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1024
    return f"{count:.1f} TB"


def pretty_json(value: Any) -> str:
    """A JSON value over several lines."""
    return json.dumps(value, indent=2, ensure_ascii=False, default=as_json)


def json_line(value: Any) -> str:
    """A JSON value in one line, cut where it is long."""
    text = json.dumps(value, ensure_ascii=False, default=as_json)
    return text if len(text) <= _MOST_LINE_CHARS else text[: _MOST_LINE_CHARS - 1] + "…"


def quoted(value: Any) -> str:
    """A part of a path, slashes and all."""
    return quote(str(value), safe="")


def short_id(value: UUID | str) -> str:
    """The end of an id: the part that differs between neighbours."""
    return str(value)[-8:]
