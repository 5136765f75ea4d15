"""What a handler may raise, or return, instead of a result."""

from __future__ import annotations

from datetime import timedelta
from typing import Any


class Outcome(Exception):
    """The base of `Snooze`, `Cancel` and `Fail`."""


class Snooze(Outcome):
    """Run this job again later; the attempt does not count.

    Args:
        wait: How long to wait, as a `timedelta` or in seconds.
    """

    def __init__(self, wait: timedelta | float) -> None:
        self.wait = wait if isinstance(wait, timedelta) else timedelta(seconds=wait)
        super().__init__(f"snoozed for {self.wait}")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.wait,)


class Cancel(Outcome):
    """End this job as cancelled: there is nothing to do any more.

    Args:
        reason: Kept with the job.
    """

    def __init__(self, reason: str = "cancelled by its handler") -> None:
        self.reason = reason
        super().__init__(reason)


class Fail(Outcome):
    """End this job as failed, whatever attempts are left: trying again cannot help.

    Args:
        reason: Kept with the job.
    """

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)
