"""Who is dead: judged by beats on the observer's own clock, never by anybody's wall clock."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pytest

from headrace._worker.maintenance import Maintenance
from headrace._worker.timings import Timings

if TYPE_CHECKING:
    from headrace._store.database import Database

TIMINGS = Timings(look_s=2, lease_s=20)


class Observer:
    """Looks at others' beats, on a clock that tests step."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self._maintenance = Maintenance(cast("Database", None), TIMINGS, [], clock=lambda: self.now)

    def look(self, beats: dict[int, int], after: float = TIMINGS.look_s) -> list[tuple[int, int]]:
        self.now += after
        return self._maintenance._find_dead(beats)

    def look_for(self, seconds: float, beats: dict[int, int]) -> list[tuple[int, int]]:
        """Look at the same beats every two seconds; what was found at the last look."""
        return [self.look(beats) for _ in range(int(seconds / TIMINGS.look_s))][-1]


@pytest.fixture
def observer() -> Observer:
    """One that has seen nobody."""
    return Observer()


def test_a_worker_is_dead_when_its_beat_has_not_moved_for_a_lease(observer: Observer) -> None:
    """Not before; with the beat that was seen last, so that one that has beaten since is spared."""
    assert observer.look({1: 7}) == []
    assert observer.look_for(20, {1: 7}) == []
    assert observer.look({1: 7}) == [(1, 7)]


def test_a_beat_that_moves_is_alive(observer: Observer) -> None:
    """However slowly it moves, and in whatever direction."""
    for beat in (1, 2, 3, 1):
        assert observer.look({1: beat}) == []
        assert observer.look_for(18, {1: beat}) == []


def test_others_do_not_matter(observer: Observer) -> None:
    """One silent worker among busy ones; new ones start with a whole lease."""
    observer.look({1: 0, 2: 0})
    dead = [observer.look({1: 0, 2: beat} | ({3: 0} if beat > 5 else {})) for beat in range(1, 12)]
    assert dead[-2:] == [[], [(1, 0)]]


def test_an_observer_that_was_interrupted_starts_anew(observer: Observer) -> None:
    """After an outage of the database, or of its own loop, nobody is dead: everybody was silent (ENGINE 6)."""
    observer.look_for(10, {1: 7, 2: 3})
    assert observer.look({1: 7, 2: 3}, after=45) == []
    assert observer.look_for(20, {1: 7, 2: 3}) == []
    assert sorted(observer.look({1: 7, 2: 3})) == [(1, 7), (2, 3)]


def test_a_late_look_is_not_yet_an_interruption(observer: Observer) -> None:
    """Up to three intervals are an observer's own hiccup."""
    observer.look_for(18, {1: 7})
    assert observer.look({1: 7}, after=6) == [(1, 7)]


def test_a_worker_that_is_gone_is_forgotten(observer: Observer) -> None:
    """Its id is not reused, and nobody is declared dead twice once the lease is deleted."""
    observer.look_for(24, {1: 7})
    assert observer.look({}) == []
    assert observer.look({1: 7}) == []
