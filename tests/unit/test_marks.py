"""Low-water marks: what a scan may leave out (ENGINE 10 to 13)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from headrace._worker.marks import FIRST, FULL_SCAN_S, LAST, LOOK_S, MAX_LANES, Marks


@dataclass
class Clock:
    """Time that tests step."""

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


def row(queue: str, priority: int, position: int) -> tuple[Any, ...]:
    """The parts of a claimed row that marks look at."""
    return (None, 1, queue, None, None, None, None, None, -priority, position, None)


def after_full_scan(clock: Clock | None = None) -> Marks:
    """Marks that have seen their first scan, which found nothing."""
    marks = Marks(["q"], clock or Clock())
    marks.segments(["q"])
    marks.claimed({"q": 10}, [])
    return marks


def claim(marks: Marks, *found: tuple[int, int], places: int = 10) -> None:
    """A claim that finds jobs of these priorities and positions."""
    marks.segments(["q"])
    marks.claimed({"q": places}, [row("q", *job) for job in sorted(found, key=lambda job: (-job[0], job[1]))])


def look(marks: Marks, *writers: str) -> None:
    """A look at who writes."""
    marks.saw_writers(marks.positions(), writers)


def test_every_priority_is_in_one_segment() -> None:
    """Known lanes and the ranges between them cover all priorities, larger ones first."""
    marks = after_full_scan()
    claim(marks, (5, 1), (4, 2), (-3, 3))
    scanned = marks.segments(["q"])
    ranges = list(zip(scanned["lows"], scanned["highs"], strict=True))
    assert [p for low, high in reversed(ranges) for p in range(low, high + 1)] == list(range(-32768, 32768))
    assert marks.discovered


def test_a_mark_needs_a_seal_and_a_scan_after_it() -> None:
    """Neither claims, nor a look, nor a second look alone move it."""
    marks = after_full_scan()
    lane = marks.lanes["q"][0]
    claim(marks, (0, 1), (0, 2))
    look(marks)
    claim(marks)
    assert lane.mark == 0  # a checkpoint, not sealed
    look(marks)
    assert lane.mark == 0  # sealed, no evidence
    claim(marks, (0, 3))
    assert lane.mark == 2
    head, rest = list(zip(*marks.segments(["q"]).values(), strict=True))[1:3]
    assert head == ("q", 0, 0, FIRST, 0)
    assert rest == ("q", 0, 0, 2, LAST)


def test_an_open_writer_holds_the_seal() -> None:
    """While one that wrote before the checkpoint is open; one that came later does not count."""
    marks = after_full_scan()
    claim(marks, (0, 7))
    look(marks, "3/1", "4/1")
    for writers in (["4/1"], ["4/1", "5/1"]):
        look(marks, *writers)
        claim(marks)
        assert marks.lanes["q"][0].mark == 0
    look(marks, "5/1")
    claim(marks)
    assert marks.lanes["q"][0].mark == 7


def test_what_became_visible_between_claim_and_seal_is_not_passed_over() -> None:
    """The first prototype did: a job before the noted position is found by the scan after the seal, which is no evidence."""
    marks = after_full_scan()
    claim(marks, (0, 9))
    look(marks, "3/1")
    look(marks)
    claim(marks, (0, 5))
    assert marks.lanes["q"][0].mark == 0


def test_a_lane_that_was_not_reached_learns_nothing() -> None:
    """Urgent jobs took all places: nothing is known of the others (ENGINE 12)."""
    marks = after_full_scan()
    claim(marks, (5, 1), (0, 2))
    look(marks)
    look(marks)
    claim(marks, *[(5, n) for n in range(3, 13)])
    assert (marks.lanes["q"][5].mark, marks.lanes["q"][0].mark) == (1, 0)


def test_a_full_scan_that_finds_something_before_the_mark_resets_it() -> None:
    """After a restore the sequence is behind (ENGINE 13); and errors make all lanes start anew."""
    clock = Clock()
    marks = after_full_scan(clock)
    claim(marks, (0, 100))
    look(marks)
    look(marks)
    claim(marks)
    assert marks.lanes["q"][0].mark == 100
    clock.now += FULL_SCAN_S + 1
    claim(marks, (0, 4))
    assert marks.lanes["q"][0].mark == 0
    claim(marks, (0, 101))
    marks.forget()
    assert marks.segments(["q"])["afters"] == [FIRST] * 3


def test_what_returned_to_the_head_moves_no_mark() -> None:
    """Negative positions are looked for by every scan."""
    marks = after_full_scan()
    claim(marks, (0, -5))
    assert marks.lanes["q"][0].furthest == 0


def test_lanes_are_bounded() -> None:
    """Jobs of further priorities are claimed all the same."""
    marks = after_full_scan()
    claim(marks, *[(p, p) for p in range(1, 100)], places=200)
    assert len(marks.lanes["q"]) == MAX_LANES


def test_looks_are_made_under_load_only() -> None:
    """Nothing was claimed since the mark: nobody is asked; and never more often than every LOOK_S."""
    clock = Clock()
    marks = after_full_scan(clock)
    assert not marks.wants_look
    claim(marks, (0, 1))
    assert marks.wants_look
    look(marks)
    assert not marks.wants_look
    clock.now += LOOK_S * 2
    assert marks.wants_look


@dataclass
class Writer:
    """An open transaction."""

    name: str
    jobs: list[tuple[int, int]] = field(default_factory=list)


class LateCommits(RuleBasedStateMachine):
    """Writers draw positions, and commit in any order; a worker claims and looks. No scan from the start, but the first."""

    def __init__(self) -> None:
        super().__init__()
        self.marks = after_full_scan()
        self.open: list[Writer] = []
        self.visible: set[tuple[int, int]] = set()
        self.position = 0
        self.number = 0
        self.look_noted: Any = None

    @rule()
    def begin(self) -> None:
        self.number += 1
        self.open.append(Writer(f"w/{self.number}"))

    @precondition(lambda self: self.open)
    @rule(data=st.data(), priority=st.sampled_from([0, 0, 7]))
    def enqueue(self, data: st.DataObject, priority: int) -> None:
        self.position += 1
        data.draw(st.sampled_from(self.open)).jobs.append((priority, self.position))

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def commit(self, data: st.DataObject) -> None:
        writer = data.draw(st.sampled_from(self.open))
        self.open.remove(writer)
        self.visible.update(writer.jobs)

    @rule(places=st.integers(1, 4))
    def claim(self, places: int) -> None:
        scanned = self.marks.segments(["q"])
        found: list[tuple[int, int]] = []
        for _, low, high, after, before in zip(*scanned.values(), strict=True):
            here = [j for j in self.visible if low <= j[0] <= high and after < j[1] < before]
            lane = max((p for p, _ in here), default=None)
            found += sorted((j for j in here if j[0] == lane), key=lambda j: j[1])
        found = found[:places]
        self.visible -= set(found)
        self.marks.claimed({"q": places}, [row("q", *job) for job in found])

    @rule()
    def note(self) -> None:
        self.look_noted = self.marks.positions()

    @precondition(lambda self: self.look_noted is not None)
    @rule()
    def look(self) -> None:
        self.marks.saw_writers(self.look_noted, [w.name for w in self.open if w.jobs])
        self.look_noted = None

    @invariant()
    def nothing_is_passed_over(self) -> None:
        for priority, position in [*self.visible, *(job for writer in self.open for job in writer.jobs)]:
            lane = self.marks.lanes["q"].get(priority)
            assert lane is None or position > lane.mark


TestLateCommits = LateCommits.TestCase
TestLateCommits.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
