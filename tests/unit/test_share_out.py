"""How few places are shared between queues."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from headrace._worker.claims import share_out

FREE = st.dictionaries(st.text(max_size=3), st.integers(1, 50), max_size=6)


@given(FREE, st.integers(0, 100), st.integers(0, 20))
def test_no_more_than_allowed(free: dict[str, int], most: int, turn: int) -> None:
    """No more places are given than are allowed, nor more of a queue than it has; and not none, where there are some."""
    shared = share_out(free, most, turn)
    assert sum(shared.values()) <= most
    assert all(0 < places <= free[name] for name, places in shared.items())
    assert bool(shared) == bool(free and most)


@given(FREE, st.integers(1, 100))
def test_every_queue_has_its_turn(free: dict[str, int], most: int) -> None:
    """However few are left, within as many turns as there are queues each is asked for jobs."""
    asked = [name for turn in range(len(free)) for name in share_out(free, most, turn)]
    assert set(asked) == set(free)
