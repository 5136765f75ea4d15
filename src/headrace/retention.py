"""How long finished jobs are kept."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from headrace.errors import ConfigurationError

MAX_AGE = timedelta(days=90)


@dataclass(frozen=True)
class Keep:
    """A bound on finished jobs of one task in one state.

    Attributes:
        age: Deleted when they finished longer ago than this; at most 90 days, the age of the oldest partition.
        count: Only so many of the newest are kept; None: no bound by count.
    """

    age: timedelta = timedelta(days=7)
    count: int | None = None

    def __post_init__(self) -> None:
        if not timedelta(0) <= self.age <= MAX_AGE:
            raise ConfigurationError(f"Keep(age={self.age}): must be between 0 and {MAX_AGE.days} days")
        if self.count is not None and self.count < 0:
            raise ConfigurationError(f"Keep(count={self.count}): must not be negative")


@dataclass(frozen=True, kw_only=True)
class Retention:
    """What is kept of a task's finished jobs, by state.

    Succeeded and cancelled jobs stay a week: long enough to answer "did it run?". Failed ones stay 90 days, since
    somebody has to look at them.
    """

    succeeded: Keep = Keep()
    failed: Keep = Keep(age=MAX_AGE)
    cancelled: Keep = Keep()
