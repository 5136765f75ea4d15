"""What an enqueuer may say about a job."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from headrace import ConfigurationError, JobOptions, Unique

NAIVE = datetime(2030, 1, 1)  # noqa: DTZ001 - what is refused


@pytest.mark.parametrize(
    "options",
    [
        {"delay": timedelta(0)},
        {"run_at": datetime(2030, 1, 1, tzinfo=UTC)},
        {"expires": timedelta(hours=1)},
        {"expires": datetime(2030, 1, 1, tzinfo=UTC)},
        {"priority": -32_768},
        {"priority": 32_767},
        {"max_attempts": 1},
        {"max_attempts": 32_000},
        {"tags": ["a", "NaN", "\\u0000"]},
        {"metadata": {"text": "Infinity", "deep": [{"a": None}]}},
        {"unique": Unique("k", scope=timedelta(days=1), on_conflict="reject")},
    ],
    ids=str,
)
def test_what_makes_sense_is_accepted(options: dict[str, Any]) -> None:
    """Bounds included, and strings that only look like what cannot be stored."""
    JobOptions(**options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"delay": timedelta(1), "run_at": datetime(2030, 1, 1, tzinfo=UTC)}, "either delay or run_at"),
        ({"run_at": NAIVE}, "run_at must be an aware datetime"),
        ({"expires": NAIVE}, "expires must be an aware datetime"),
        ({"priority": 32_768}, "priority 32768 is outside"),
        ({"max_attempts": 0}, "max_attempts 0 is outside"),
        ({"max_attempts": 32_001}, "max_attempts 32001 is outside"),
        ({"tags": "urgent"}, r'write \["urgent"\]'),
        ({"tenant": "a\x00"}, "tenant holds a NUL"),
        ({"correlation_id": "\ud800"}, "correlation_id holds half of a surrogate pair"),
        ({"unique": "\x00"}, "unique holds a NUL"),
        ({"queue": "\x00"}, "queue holds a NUL"),
        ({"tags": ["fine", "\x00"]}, "tags.1 holds a NUL"),
        ({"metadata": {"deep": [1, math.nan]}}, "metadata.deep.1 is nan"),
        ({"metadata": {"when": datetime(2030, 1, 1, tzinfo=UTC)}}, "metadata must be a JSON object: .*datetime"),
    ],
    ids=lambda value: ", ".join(value) if isinstance(value, dict) else "",
)
def test_what_makes_no_sense_is_refused_by_name(options: dict[str, Any], message: str) -> None:
    """Before the database is asked, with the option's name."""
    with pytest.raises(ConfigurationError, match=message):
        JobOptions(**options)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"key": "k", "scope": timedelta(0)}, "longer than nothing"),
        ({"key": "k", "scope": "always"}, "unfinished, queued"),
        ({"key": "k", "on_conflict": "ignore"}, "keep, replace, reschedule, reject"),
        ({"key": "\x00"}, "unique key holds a NUL"),
    ],
    ids=str,
)
def test_a_unique_rule_says_what_it_does_not_know(fields: dict[str, Any], message: str) -> None:
    """A misspelt scope or conflict rule is not silently another one."""
    with pytest.raises(ConfigurationError, match=message):
        Unique(**fields)
