"""When a failed attempt runs again."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace import ConfigurationError, Retry

S = timedelta(seconds=1)
PLAIN = Retry(jitter=0)


def delays(retry: Retry, count: int, error: BaseException | None = None) -> list[float | None]:
    """The seconds before each of the next attempts."""
    given = (retry.next_delay(error or ValueError(), used, retry.attempts) for used in range(1, count + 1))
    return [delay if delay is None else delay.total_seconds() for delay in given]


def test_delays_double_until_the_attempts_are_used() -> None:
    """The default is five attempts with 2, 4, 8 and 16 seconds between them."""
    assert delays(PLAIN, 5) == [2, 4, 8, 16, None]


def test_no_delay_is_longer_than_the_cap() -> None:
    """Doubling stops at the cap."""
    assert delays(Retry(attempts=100, delay=S, cap=5 * S, jitter=0), 5) == [1, 2, 4, 5, 5]


@pytest.mark.parametrize(
    ("backoff", "expected"),
    [
        (3 * S, [3, 3, 3, 3]),
        ([1 * S, 5 * S], [1, 5, 5, 5]),
        (lambda used: used * used * S, [1, 4, 9, 16]),
        (lambda used: used * -S, [0, 0, 0, 0]),
    ],
    ids=["fixed", "sequence", "function", "negative"],
)
def test_a_backoff_takes_the_place_of_doubling(backoff: Any, expected: list[float]) -> None:
    """One fixed delay, a sequence whose last one repeats, or a function; never less than none."""
    assert delays(Retry(attempts=9, backoff=backoff, jitter=0), 4) == expected


@pytest.mark.parametrize(
    "backoff", [lambda used: 1 / 0, lambda used: used, lambda: S], ids=["raises", "int", "signature"]
)
def test_a_broken_backoff_function_does_not_lose_the_retry(backoff: Any) -> None:
    """Where the function fails, delays are doubled: the attempt must be settled in any case."""
    assert delays(Retry(backoff=backoff, jitter=0), 3) == [2, 4, 8]


@given(
    used=st.integers(1, 31_999),
    delay=st.timedeltas(timedelta(0), timedelta(days=365)),
    cap=st.timedeltas(timedelta(0), timedelta(days=365)),
    jitter=st.floats(0, 1),
)
def test_every_delay_is_within_the_jitter_of_the_capped_doubled_one(
    used: int, delay: timedelta, cap: timedelta, jitter: float
) -> None:
    """However many attempts: no overflow, not negative, and at most `jitter` from min(delay * 2^(used - 1), cap)."""
    retry = Retry(attempts=32_000, delay=delay, cap=cap, jitter=jitter)
    seconds = (retry.next_delay(ValueError(), used, 32_000) or timedelta(0)).total_seconds()
    exact = min(delay.total_seconds() * 2.0 ** min(used - 1, 60), cap.total_seconds())
    assert exact * (1 - jitter) - 1e-5 <= seconds <= exact * (1 + jitter) + 1e-5


def test_jitter_spreads_delays() -> None:
    """Jobs that failed together do not come back together."""
    retry = Retry(attempts=2, jitter=0.5)
    assert len({retry.next_delay(ValueError(), 1, 2) for _ in range(50)}) > 40


def test_the_job_s_own_budget_decides() -> None:
    """An enqueuer may give a job more or fewer attempts than its task."""
    assert PLAIN.next_delay(ValueError(), 2, max_attempts=2) is None
    assert PLAIN.next_delay(ValueError(), 7, max_attempts=8) is not None


class TestRules:
    RULES = Retry(
        jitter=0,
        on={
            OSError: Retry(attempts=3, backoff=7 * S, jitter=0),
            ConnectionError: Retry(attempts=9, backoff=1 * S, jitter=0),
            LookupError: None,
        },
    )

    def test_the_most_derived_type_that_matches_decides(self) -> None:
        """A rule holds for subclasses, unless one of them has its own."""
        assert delays(self.RULES, 1, PermissionError()) == [7]
        assert delays(self.RULES, 1, ConnectionResetError()) == [1]

    def test_other_errors_are_retried_as_the_task_says(self) -> None:
        """Without a rule, the task's own delays hold."""
        assert delays(self.RULES, 2, ValueError()) == [2, 4]

    def test_none_fails_at_once(self) -> None:
        """A rule of None means that trying again cannot help."""
        assert delays(self.RULES, 1, KeyError()) == [None]

    def test_a_rule_s_attempts_hold_if_fewer_are_left(self) -> None:
        """A rule may shorten the job's budget, never lengthen it."""
        assert delays(self.RULES, 3, OSError()) == [7, 7, None]
        assert delays(self.RULES, 5, ConnectionError()) == [1, 1, 1, 1, None]


@pytest.mark.parametrize(
    "options",
    [
        {"attempts": 0},
        {"attempts": 32_001},
        {"jitter": -0.1},
        {"jitter": 1.1},
        {"delay": -S},
        {"cap": -S},
        {"backoff": -S},
        {"backoff": []},
        {"backoff": [S, -S]},
    ],
    ids=str,
)
def test_what_makes_no_sense_is_refused_with_its_name_and_value(options: dict[str, Any]) -> None:
    """A wrong policy is an error where it is declared, not when the first attempt fails."""
    ((name, _),) = options.items()
    with pytest.raises(ConfigurationError, match=rf"Retry\({name}="):
        Retry(**options)
