"""When a failed attempt runs again."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from headrace.errors import ConfigurationError

_log = logging.getLogger("headrace")
Backoff = timedelta | Sequence[timedelta] | Callable[[int], timedelta]


@dataclass(frozen=True, kw_only=True)
class Retry:
    """The retry policy of a task.

    Attributes:
        attempts: How often a job is tried in all. 5: enough to outlive a deploy or a short outage with the default
            delays (about 2, 4, 8 and 16 seconds), few enough that a bug is seen the same minute.
        delay: The first delay; doubled after every further attempt (exponential back-off).
        backoff: Instead of doubling: one fixed `timedelta`, a sequence of them (the last one repeats), or a function
            of the number of attempts used (1 after the first) that returns one. Where the function fails, the delay is
            the exponential one.
        cap: No delay is longer, before jitter. One hour, so that a job whose service is back does not wait for days.
        jitter: Each delay is multiplied by a random number in [1 - jitter, 1 + jitter], so that jobs that failed
            together do not come back together. 0.1 by default; 0 switches it off.
        on: Rules by exception type, the most derived one that matches first: another `Retry` (its delays, and its
            `attempts` if fewer are left), or None to fail at once.
    """

    attempts: int = 5
    delay: timedelta = timedelta(seconds=2)
    backoff: Backoff | None = None
    cap: timedelta = timedelta(hours=1)
    jitter: float = 0.1
    on: Mapping[type[BaseException], Retry | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not 1 <= self.attempts <= 32_000:
            raise ConfigurationError(f"Retry(attempts={self.attempts}): a job needs 1 to 32000 attempts")
        if not 0 <= self.jitter <= 1:
            raise ConfigurationError(f"Retry(jitter={self.jitter}): must be between 0 and 1")
        for name, delay in (("delay", self.delay), ("cap", self.cap)):
            if delay < timedelta(0):
                raise ConfigurationError(f"Retry({name}={delay}): must not be negative")
        if not callable(self.backoff) and self.backoff is not None:
            delays = [self.backoff] if isinstance(self.backoff, timedelta) else self.backoff
            if not delays or min(delays) < timedelta(0):
                raise ConfigurationError(f"Retry(backoff={self.backoff}): needs delays that are not negative")

    def next_delay(self, error: BaseException, attempts_used: int, max_attempts: int) -> timedelta | None:
        """How long to wait before the next attempt; None if there is none.

        Args:
            error: What the attempt raised.
            attempts_used: Attempts used, this one included.
            max_attempts: The job's own budget, which an enqueuer may have set.
        """
        policy = self._policy_for(error)
        if policy is None:
            return None
        budget = max_attempts if policy is self else min(max_attempts, policy.attempts)
        if attempts_used >= budget:
            return None
        delay = min(max(policy.plain_delay(attempts_used), timedelta(0)), policy.cap)
        return delay * random.uniform(1 - policy.jitter, 1 + policy.jitter)  # noqa: S311 - spreads load, hides nothing

    def plain_delay(self, attempts_used: int) -> timedelta:
        """The delay after so many attempts, before cap and jitter."""
        if self.backoff is None:
            return self._doubled(attempts_used)
        if isinstance(self.backoff, timedelta):
            return self.backoff
        if callable(self.backoff):
            return self._asked(self.backoff, attempts_used)
        return self.backoff[min(attempts_used, len(self.backoff)) - 1]

    def _doubled(self, attempts_used: int) -> timedelta:
        # No further than the cap: a timedelta overflows after some forty doublings.
        seconds = self.delay.total_seconds() * 2.0 ** min(attempts_used - 1, 60)
        return timedelta(seconds=min(seconds, self.cap.total_seconds()))

    def _asked(self, backoff: Callable[[int], timedelta], attempts_used: int) -> timedelta:
        # An error in here must not keep the attempt from being settled.
        try:
            delay = backoff(attempts_used)
            if not isinstance(delay, timedelta):
                raise TypeError(f"it returned {delay!r} instead of a timedelta")
        except Exception:  # noqa: BLE001 - it is the user's function, and logged
            _log.exception("the backoff function %r failed; the delay is doubled instead", backoff)
            return self._doubled(attempts_used)
        return delay

    def _policy_for(self, error: BaseException) -> Retry | None:
        for kind in type(error).__mro__:
            if kind in self.on:
                return self.on[kind]
        return self
