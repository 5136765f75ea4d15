"""The filter language: what is read, what is refused and where, and what is offered."""

from __future__ import annotations

import string
from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headrace._filter.completion import Known, complete
from headrace._filter.keys import KEYS, Kind
from headrace._filter.scope import Scope
from headrace._filter.values import moment_span, read_moment
from headrace.errors import FilterError
from headrace.filter import Filter, Term, Value
from headrace.job import State
from tests.store.filters import terms

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(terms(), max_size=4))
def test_what_is_written_is_read_again(made: list[Term]) -> None:
    """Any filter's text gives the same filter, and the same text, whatever its values are."""
    written = str(Filter(tuple(made)))
    assert Filter.parse(written) == Filter(tuple(made))
    assert str(Filter.parse(written)) == written


@given(st.text(alphabet=st.sampled_from(string.printable + "äß\x00\ud800"), max_size=60) | st.text(max_size=60))
def test_any_text_is_a_filter_or_refused_with_a_place_in_it(text: str) -> None:
    """Nothing else is ever raised, and the place is within the text, or at its end."""
    try:
        read = Filter.parse(text)
    except FilterError as error:
        assert 0 <= error.position <= len(text)
        assert error.pointer().splitlines()[-1] == " " * error.position + "^"
    else:
        assert Filter.parse(str(read)) == read


def test_the_whole_language_in_one_line() -> None:
    """Every part of the grammar, as terms."""
    text = (
        r'state:failed,cancelled -task:billing.* NOT queue="a b" args."x y".0!="q\"\\" error~time age>=1h priority:1..'
    )
    state, task, queue, args, error, age, priority = Filter.parse(text).terms
    assert state == Term("state", ":", (Value("failed"), Value("cancelled")))
    assert task == Term("task", ":", (Value("billing.*"),), negated=True)
    assert queue == Term("queue", "=", (Value("a b", quoted=True),), negated=True)
    assert args == Term("args", "=", (Value('q"\\', quoted=True),), path=("x y", "0"), negated=True)
    assert (error.operator, age.operator, priority.values) == ("~", ">=", (Value("1.."),))
    assert (state.position, task.position) == (0, 23)
    assert Filter.parse("  ") == Filter()


@pytest.mark.parametrize(
    ("text", "position", "problem"),
    [
        ("state:faild", 6, 'there is no state "faild". Did you mean "failed"?'),
        ("queue:a stat:failed", 8, 'there is no key "stat". Did you mean "state"'),
        ("state:failed,lost", 13, 'there is no state "lost"'),
        ("failed", 0, "write state:failed"),
        ("task:a billing", 7, '"billing" has no key: write task:billing, or error~billing'),
        ("01a20612-2238-7290-adfa-8326ac4bc2c4", 0, "write id:01a20612-2238-7290-adfa-8326ac4bc2c4"),
        ("state:failed OR task:x", 13, "there is no OR; write several values"),
        ("state:failed AND task:x", 13, "there is no AND; leave it out"),
        ("(state:failed)", 0, "there are no parentheses"),
        ("task:", 5, "a value has to follow"),
        ("task:a,", 7, "a value has to follow"),
        ("task: a", 5, "a value has to follow"),
        ("task", 4, '"task" needs a value: write task:…'),
        ("args.", 5, "the name of a part has to follow"),
        ("args.customer", 13, '"args.customer" needs a value: write args.customer=42'),
        ('task:"a', 5, "this quote is not closed"),
        ('task:"a\\b"', 7, 'after a "\\" only a quote'),
        ('task:a"b"', 6, "this has no key"),
        ("state>failed", 5, '"state" cannot be asked for ">", but for : ='),
        ("task.x:1", 4, '"task" has no parts'),
        ("id:42", 3, '"42" is no id'),
        ("failure:xyz", 8, '"xyz" is no group of failures'),
        ("attempts:two", 9, '"two" is no whole number'),
        ("attempts:..", 9, '".." has no end'),
        ("priority>1,2", 10, '">" takes one value'),
        ("age>90", 4, '"90" is no duration: write 30s'),
        ("age:1h", 4, '"1h" is one instant: write >1h'),
        ("age>99999999d", 4, "longer than a hundred years"),
        ("created>1h", 8, '"1h" is no moment: write -1h for so long ago'),
        ("created>yesterday", 8, '"yesterday" is no moment: write 2026-01-31'),
        ("created:2026-02-30", 8, '"2026-02-30" is no moment'),
        ("created>9999-12-31", 8, "the year must be from 1970"),
        ("created:2026-01-01T10:00", 8, "is one instant"),
        ("task:a\x00", 6, "here is a character that no database can hold"),
        ("x" * 10_001, 10_000, "a filter has at most 10000 characters"),
        ("-", 1, "a term has to follow"),
    ],
)  # fmt: skip
def test_an_error_points_at_the_place_and_says_what_to_write(text: str, position: int, problem: str) -> None:
    """Where, what, and what instead."""
    with pytest.raises(FilterError) as refused:
        Filter.parse(text)
    assert (refused.value.position, refused.value.text) == (position, text)
    assert problem in refused.value.problem
    assert str(refused.value) == f"{refused.value.problem} (character {position + 1} of the filter)"


def test_a_day_is_all_of_its_moments() -> None:
    """As a range it ends with its end; a time is one moment, and excluded where a range ends with it."""
    day = moment_span("2026-01-01..2026-01-02", NOW)
    assert (day.start, day.end) == (datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 3, tzinfo=UTC))
    times = moment_span("2026-01-01T10:00+02:00..now", NOW)
    assert (times.start, times.end, times.closed) == (datetime(2026, 1, 1, 8, tzinfo=UTC), NOW, False)
    assert read_moment("-1h30m", NOW).start == datetime(2026, 3, 1, 10, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "states", "rare"),
    [
        ("", set(State), ()),
        ("state:failed,queued", {State.FAILED, State.QUEUED}, (State.FAILED,)),
        ("-state:succeeded,running", {State.BLOCKED, State.SCHEDULED, State.QUEUED, State.FAILED, State.CANCELLED},
         (State.CANCELLED, State.FAILED)),
        ("error~x", {State.SUCCEEDED, State.FAILED, State.CANCELLED}, ()),
        ("-error~x", set(State), ()),
        ("state:queued state:failed", set(), ()),
    ],
)  # fmt: skip
def test_the_states_tell_where_to_look(text: str, states: set[State], rare: tuple[State, ...]) -> None:
    """What cannot match is not looked at: of unfinished jobs, of succeeded ones."""
    scope = Scope.of(Filter.parse(text), None)
    assert scope.states == states
    assert scope.rare_states == rare


def test_only_exact_names_are_in_the_summaries() -> None:
    """A pattern, a negation or a part of a name could be anywhere."""
    for text, sparse in {"task:a": True, "task:a*": False, "-task:a": False, "task~a": False, "task=a*": True}.items():
        assert Scope.of(Filter.parse(text), None).sparse is sparse, text
    assert Scope.of(Filter.parse(""), "acme").sparse
    assert Scope.of(Filter.parse(f"id:{UUID(int=1)}"), None).by_id


KNOWN = Known(
    tasks=["billing.charge", "billing.refund", "mail"], queues=["a b"], tenants=["acme"], arguments=["customer", "x y"]
)


@pytest.mark.parametrize(
    ("text", "offered"),
    [
        ("sta", ["state:", "started:"]),
        ("queue:x -sta", ["state:", "started:"]),
        ("state:fa", ["failed"]),
        ("state:failed,can", ["cancelled"]),
        ("state:faild", ["failed"]),
        ("task:bill", ["billing.charge", "billing.refund", "billing.*"]),
        ("task:charge", ["billing.charge"]),
        ("queue:", ['"a b"']),
        ("tenant:a", ["acme"]),
        ("args.c", ["args.customer="]),
        ("meta.", []),
        ("nonsense:x", []),
        ('task:"bill', ["billing.charge", "billing.refund", "billing.*"]),
    ],
)  # fmt: skip
def test_what_is_known_is_offered(text: str, offered: list[str]) -> None:
    """Keys first, then values of the keys that are cheap to know; put in, they replace what was begun."""
    found = complete(text, len(text), KNOWN)
    assert [each.text for each in found][: max(1, len(offered))] == offered
    for each in found:
        assert text[: each.start] + each.text == text[: each.start] + each.text + text[each.end :]


def test_every_completed_key_can_be_read() -> None:
    """What is offered for nothing is all keys, each with an operator that it has, or a part to be named."""
    offered = [each.text for each in complete("", 0, KNOWN)]
    assert len(offered) == 20
    for name in offered:
        assert name[-1] in ":~." or KEYS[name[:-1]].kind is Kind.NUMBER
