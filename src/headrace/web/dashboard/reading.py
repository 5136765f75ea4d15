"""What people type into forms, read in their words."""

from __future__ import annotations

import json
import re
from datetime import datetime, timedelta, tzinfo
from typing import Any

from headrace.errors import ConfigurationError

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def read_duration(text: str) -> timedelta:
    """30s, 5m, 1h30m or 2d.

    Raises:
        ConfigurationError: It is none.
    """
    compact = text.replace(" ", "").lower().replace("min", "m")
    if not re.fullmatch(r"(\d+[smhd])+", compact):
        raise ConfigurationError(f'"{text}" is not a duration: write 30s, 5m, 1h30m or 2d')
    return timedelta(seconds=sum(int(n) * _UNITS[unit] for n, unit in re.findall(r"(\d+)([smhd])", compact)))


def read_priority(text: str) -> int | None:
    """A priority; None if there is none.

    Raises:
        ConfigurationError: It is no number that a priority can be.
    """
    if not text.strip():
        return None
    if not re.fullmatch(r"[+-]?\d{1,5}", text.strip()):
        raise ConfigurationError(f'"{text}" is not a priority: write a whole number, such as 10')
    return int(text)


def write_duration(value: timedelta | None) -> str:
    """What `read_duration` reads."""
    if not value:
        return ""
    left, text = int(value.total_seconds()), ""
    for unit in ("d", "h", "m", "s"):
        count, left = divmod(left, _UNITS[unit])
        text += f"{count}{unit}" if count else ""
    return text


def read_time(text: str, zone: tzinfo) -> datetime:
    """A date and time, in the given zone if it has none of its own.

    Raises:
        ConfigurationError: It is none.
    """
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        raise ConfigurationError(f'"{text}" is not a time: write 2026-11-01 or 2026-11-01 09:00') from None
    return moment if moment.tzinfo else moment.replace(tzinfo=zone)


def read_bound(text: str, what: str) -> int | None:
    """A number; nothing means no bound.

    Raises:
        ConfigurationError: It is none.
    """
    if not text.strip():
        return None
    if not text.strip().isdecimal():
        raise ConfigurationError(f'{what}: "{text}" is not a number; leave it empty for none')
    return int(text)


def read_arguments(text: str) -> dict[str, Any]:
    """A JSON object.

    Raises:
        ConfigurationError: It is none.
    """
    try:
        value = json.loads(text or "{}")
    except json.JSONDecodeError as error:
        raise ConfigurationError(
            f"the arguments are not JSON: {error.msg} in line {error.lineno}, column {error.colno}"
        ) from None
    if not isinstance(value, dict):
        raise ConfigurationError("the arguments must be a JSON object: {...}")
    return value
