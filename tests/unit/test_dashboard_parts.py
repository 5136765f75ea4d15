"""What the dashboard's pages are made of, without pages: words, drawings, what people type."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace import ConfigurationError
from headrace.job import State
from headrace.schedule import Upcoming
from headrace.started import WorkflowNode
from headrace.web.dashboard.drawing import MOST_IN_A_LAYER, NODE_WIDTH, draw_graph, polyline
from headrace.web.dashboard.hiding import restore_hidden
from headrace.web.dashboard.reading import read_arguments, read_bound, read_duration, read_time, write_duration
from headrace.web.dashboard.showing import since, span, time_element
from headrace.web.dashboard.wording import cron_words, mark_changes

NOW = datetime(2026, 11, 26, 2, 0, tzinfo=UTC)


# -- what people type --


@given(st.integers(1, 10**8))
def test_durations_are_read_as_they_are_written(seconds: int) -> None:
    """A form that is sent back as it came changes nothing."""
    assert read_duration(write_duration(timedelta(seconds=seconds))) == timedelta(seconds=seconds)


@pytest.mark.parametrize(("text", "seconds"), [("30s", 30), ("5 min", 300), ("1h30m", 5400), ("2d", 172_800)])
def test_durations(text: str, seconds: int) -> None:
    """They are written as everywhere."""
    assert read_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "5", "soon", "-5s", "1.5h", "5s!"])
def test_what_is_no_duration(text: str) -> None:
    """It is refused, with an example."""
    with pytest.raises(ConfigurationError, match="write 30s, 5m"):
        read_duration(text)


def test_times_are_in_the_given_zone_unless_they_say() -> None:
    """What a form's date picker sends has no zone."""
    assert read_time("2026-07-01T09:00", ZoneInfo("Europe/Berlin")) == datetime(2026, 7, 1, 7, tzinfo=UTC)
    assert read_time("2026-07-01 09:00+00:00", ZoneInfo("Europe/Berlin")) == datetime(2026, 7, 1, 9, tzinfo=UTC)
    with pytest.raises(ConfigurationError, match="is not a time"):
        read_time("tomorrow", UTC)


def test_arguments_and_bounds() -> None:
    """A JSON object; a number or nothing."""
    assert read_arguments('{"a": 1}') == {"a": 1}
    assert read_arguments("") == {}
    for wrong in ("[1]", "{", '"a"'):
        with pytest.raises(ConfigurationError):
            read_arguments(wrong)
    assert (read_bound(" 12 ", "Bound"), read_bound("", "Bound")) == (12, None)
    with pytest.raises(ConfigurationError, match="Bound"):
        read_bound("many", "Bound")


# -- secrets in forms --


def test_what_was_hidden_and_left_comes_back() -> None:
    """An editor who cannot see a secret keeps it; what they type over it counts."""
    original = {"token": "abc", "nested": {"password": "p", "n": 1}, "list": [{"pin": "1"}, {"pin": "2"}]}
    hidden = {
        "token": "[redacted]", "nested": {"password": "[redacted]", "n": 2},
        "list": [{"pin": "[redacted]"}, {"pin": "new"}],
    }  # fmt: skip
    assert restore_hidden(hidden, original) == {
        "token": "abc", "nested": {"password": "p", "n": 2}, "list": [{"pin": "1"}, {"pin": "new"}],
    }  # fmt: skip
    assert restore_hidden({"other": "[redacted]"}, original) == {"other": "[redacted]"}


# -- times --


def test_spans_and_moments() -> None:
    """Two units at most, and the absolute time on hover, in the reader's zone."""
    assert [span(s) for s in (0.012, 1.0, 1.26, 59, 61, 3600, 90_061)] == [
        "12 ms", "1 s", "1.3 s", "59 s", "1 min 1 s", "1 h", "1 d 1 h",
    ]  # fmt: skip
    assert since(NOW - timedelta(minutes=5), NOW) == "5 min ago"
    assert since(NOW + timedelta(days=2), NOW) == "in 2 d"
    shown = str(time_element(NOW, NOW, ZoneInfo("Asia/Kolkata"), relative=True))
    assert 'title="2026-11-26 07:30:00 IST"' in shown
    assert time_element(None, NOW, UTC, relative=True) == ""


def upcoming(at: datetime, fold: int = 0) -> Upcoming:
    """A moment of a schedule."""
    return Upcoming(schedule="s", tenant="", nominal=at.replace(tzinfo=None), fold=fold, due_at=at, held=None)


def test_changes_of_the_clocks_are_marked() -> None:
    """The first moment after a change says so, and so does one that the clocks show twice."""
    before = datetime(2026, 10, 24, 0, 30, tzinfo=UTC)
    moments = [before + timedelta(days=n) for n in range(3)]
    told = mark_changes([upcoming(each) for each in moments], "Europe/Berlin", before)
    assert [each.odd for each in told] == ["", "", "clocks go back before it"]
    spring = datetime(2026, 3, 28, 12, tzinfo=UTC)
    told = mark_changes([upcoming(spring + timedelta(days=n)) for n in range(2)], "Europe/Berlin", spring)
    assert [each.odd for each in told] == ["", "clocks go forward before it"]
    twice = datetime(2026, 10, 25, 1, 30, tzinfo=UTC)
    (told_twice,) = mark_changes([upcoming(twice, fold=1)], "Europe/Berlin", twice)
    assert told_twice.odd == "clocks show this time for the second time"
    assert told_twice.there.endswith("CET")


def test_cron_in_words() -> None:
    """In a 24-hour clock; nicknames too; what has no words is shown as it is."""
    assert cron_words("30 4 * * MON-FRI") == "At 04:30, Monday through Friday"
    assert cron_words("@daily") == "At 00:00"
    assert cron_words("0 0 LW * *")


# -- drawings --


def node(
    number: int, parents: tuple[int, ...] = (), *, kind: str = "job", state: State = State.SUCCEEDED
) -> WorkflowNode:
    """A node with a number for an id."""
    return WorkflowNode(
        id=uuid.UUID(int=number), name=f"n{number}", kind=kind, state=state, task=None if kind == "barrier" else "t",
        parents=tuple(uuid.UUID(int=parent) for parent in parents), error=None,
    )  # fmt: skip


@given(st.data())
def test_nodes_stand_right_of_their_parents(data: st.DataObject) -> None:
    """Whatever the workflow looks like: no edge goes back, and no two boxes overlap."""
    count = data.draw(st.integers(1, 30))
    nodes = [node(n, tuple(data.draw(st.sets(st.integers(0, n - 1), max_size=3))) if n else ()) for n in range(count)]
    graph = draw_graph(nodes)
    for box in graph.boxes:
        for parent in box.parents:
            assert parent.x + NODE_WIDTH < box.x
    places = [(box.x, box.y) for box in graph.boxes]
    assert len(set(places)) == len(places)
    columns: dict[float, list[float]] = {}
    for x, y in places:
        columns.setdefault(x, []).append(y)
    for ys in columns.values():
        assert all(lower - upper >= 42 for upper, lower in pairwise(sorted(ys)))
    assert sum(len(box.nodes) for box in graph.boxes) == count
    assert all(0 <= box.x < graph.width and 0 <= box.y < graph.height for box in graph.boxes)


def test_many_alike_are_one_box_and_barriers_are_drawn_through() -> None:
    """A group of a thousand is one box that says how they stand; its state is the one that needs attention."""
    count = MOST_IN_A_LAYER * 3
    group = [node(n, (1,), state=State.FAILED if n == 5 else State.SUCCEEDED) for n in range(2, 2 + count)]
    barrier = node(900, tuple(range(2, 2 + count)), kind="barrier")
    graph = draw_graph([node(1), *group, barrier, node(901, (900,))])
    assert [len(box.nodes) for box in graph.boxes] == [1, count, 1]
    assert [len(box.parents) for box in graph.boxes] == [0, 1, 1]
    assert graph.boxes[1].state is State.FAILED
    assert graph.boxes[1].counts() == [(State.FAILED, 1), (State.SUCCEEDED, count - 1)]


def test_a_small_curve_has_gaps_where_nothing_is_known() -> None:
    """Unknown is not nought."""
    assert polyline([1, None, 2]).count("M") == 2
    assert polyline([]) == ""
