"""What a handler may raise, or return, instead of a result; and what ends an attempt that waits."""

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


class Suspended(BaseException):
    """Ends an attempt whose job waits, in `Context.sleep` or `Context.wait_for_event`; the next one goes on there.

    No `Exception`, so that handlers do not take it for an error: like `asyncio.CancelledError`, it has to pass.

    Attributes:
        wait_s: How long the job waits at most.
        event: What it waits for, if not only for the time.
    """

    def __init__(self, wait_s: float, event: str | None = None) -> None:
        self.wait_s = wait_s
        self.event = event
        what = "sleeps" if event is None else f'waits for the event "{event}"'
        super().__init__(f"the job {what}; the next attempt goes on here")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.wait_s, self.event)
