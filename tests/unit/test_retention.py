"""How long finished jobs are kept."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from headrace import ConfigurationError, Keep, Retention


def test_failed_jobs_stay_longest() -> None:
    """By default a week, and 90 days for what somebody has to look at."""
    retention = Retention()
    assert [keep.age.days for keep in (retention.succeeded, retention.failed, retention.cancelled)] == [7, 90, 7]


@pytest.mark.parametrize(
    "options", [{"age": timedelta(0)}, {"age": timedelta(days=90)}, {"count": 0}, {"count": 10**6}]
)
def test_bounds_are_allowed(options: dict[str, Any]) -> None:
    """Nothing at all may be kept, and as much as there are partitions for."""
    Keep(**options)


@pytest.mark.parametrize("options", [{"age": timedelta(days=91)}, {"age": timedelta(days=-1)}, {"count": -1}], ids=str)
def test_what_cannot_be_kept_is_refused(options: dict[str, Any]) -> None:
    """No partition is older than 90 days; nothing is kept for less than no time."""
    ((name, _),) = options.items()
    with pytest.raises(ConfigurationError, match=rf"Keep\({name}="):
        Keep(**options)
