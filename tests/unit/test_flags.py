"""What the values of flags mean, and where they come from."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace import EnvironmentFlags
from headrace.flags import WHOLE, FlagValue, share_of

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.mark.parametrize(
    ("value", "share"),
    [
        ("on", WHOLE), ("true", WHOLE), ("1", WHOLE), ("100", WHOLE), ("100%", WHOLE), ("100.00 %", WHOLE),
        ("off", 0), ("false", 0), ("0", 0), ("0%", 0), ("", 0), ("  ", 0), (None, 0),
        (" True\n", WHOLE), ("OFF", 0),
        ("1%", 100), ("25%", 2_500), ("25", 2_500), ("0.5%", 50), ("12.34 %", 1_234), ("0.01%", 1),
        (True, WHOLE), (False, 0), (0, 0), (1, 100), (25, 2_500), (100, WHOLE), (0.5, 50), (0.29, 29), (33.333333, 3_333),
    ],
)  # fmt: skip
def test_what_values_mean(value: FlagValue, share: int) -> None:
    """Words and percentages in text; a number is a percentage, and only as text "1" is a switch."""
    assert share_of(value) == share


@pytest.mark.parametrize(
    "value",
    ["maybe", "yes", "101", "100.01%", "-1%", "0.001%", "2 5%", "%", "1e1", "٢٥", -1, 100.1, math.nan, math.inf, [], {"a": 1}, b"on"],
)  # fmt: skip
def test_everything_else_means_nothing(value: Any) -> None:
    """It is quoted, and what would be right."""
    with pytest.raises(ValueError, match=r"is no value: write on, off, or a percentage such as 25% or 0\.5%") as error:
        share_of(value)
    assert repr(value)[:20] in str(error.value)


@given(st.integers(0, WHOLE))
def test_every_hundredth_of_a_percent_can_be_written(share: int) -> None:
    """As text, and as a number."""
    percent = f"{share / 100:.2f}"
    assert share_of(f"{percent}%") == share_of(float(percent)) == share


@given(st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text()))
def test_a_value_is_a_share_or_refused(value: FlagValue) -> None:
    """Nothing else comes out, whatever goes in."""
    try:
        assert 0 <= share_of(value) <= WHOLE
    except ValueError:
        pass


def test_the_environment_as_it_is_now(monkeypatch: pytest.MonkeyPatch) -> None:
    """Variables are read each time."""
    flags = EnvironmentFlags()
    read: Callable[[], FlagValue] = lambda: flags.read("HEADRACE_TEST_FLAG", None)  # noqa: E731
    assert read() is None
    monkeypatch.setenv("HEADRACE_TEST_FLAG", "25%")
    assert read() == "25%"
    assert "HEADRACE_TEST_FLAG" in flags.names()
