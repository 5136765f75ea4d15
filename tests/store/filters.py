"""Filters and jobs made at random, and what a filter means, in Python: what the database says has to agree with it."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

from headrace._filter.keys import COMPARISONS, KEYS, Kind
from headrace._filter.parsing import checker, operators_of
from headrace.filter import Filter, Term, Value
from headrace.job import State

if TYPE_CHECKING:
    from headrace.job import JobInfo

NASTY = [
    "'",
    '"',
    "\\",
    "%",
    "_",
    "*",
    ";--",
    "') or 1=1 --",
    "$1",
    "%s",
    "{}",
    "{0}",
    "%(given0)s",
    "null",
    "a b",
    "ä",
    "É",
    "e",
    "E",
    ",",
    "..",
]
WORDS = [
    "a",
    "b",
    "billing",
    "billing.charge",
    "Mail",
    "vip",
    "42",
    "4.20",
    "-7",
    "true",
    "2026-01-05",
    "x",
    "",
    *NASTY,
]
NUMBERS = ["0", "1", "2", "3", "-1", "42", "4.2", "4.20"]
DURATIONS = ["0s", "1ms", "30s", "1m", "1h", "1h30m", "2d", "1.5h", "3w"]
MOMENTS = ["now", "-1h", "-2d", "+1h", "2026-01-05", "2026-01-05T12:00", "2026-01-05T12:00:30.5+02:00", "-0s"]
IDS = [f"0000000{n}-0000-7000-8000-00000000000{n}" for n in range(4)]
PARTS = ["x", "y", "0", "-1", "a b", "type", "message", '"', "'"]
NOW = datetime(2026, 1, 6, 12, tzinfo=UTC)


def words() -> st.SearchStrategy[str]:
    """Text for a value: what jobs have, and what somebody would try."""
    return st.sampled_from(WORDS) | st.text(
        st.characters(blacklist_categories=["Cs"], blacklist_characters="\x00"), max_size=8
    )


@st.composite
def terms(draw: st.DrawFn) -> Term:
    """Any term."""
    key = draw(st.sampled_from(list(KEYS.values())))
    path = tuple(draw(st.lists(st.sampled_from(PARTS), min_size=not key.whole, max_size=2))) if key.paths else ()
    kind = Kind.JSON if path else key.kind
    operator = draw(st.sampled_from(operators_of(key, path)))
    check = checker(key, path, operator)

    def fits(value: Value) -> bool:
        try:
            check(value)
        except ValueError:
            return False
        return True

    texts = {
        Kind.STATE: st.sampled_from([str(state) for state in State]),
        Kind.ID: st.sampled_from(IDS),
        Kind.FAILURE: st.sampled_from(["0123456789ab", "d41d8cd98f00"]),
        Kind.NUMBER: ranges(["0", "1", "2", "3", "-1"]),
        Kind.DURATION: ranges(DURATIONS),
        Kind.MOMENT: ranges(MOMENTS),
    }.get(kind)
    value = st.builds(Value, texts) if texts is not None else values()
    count = 1 if operator in COMPARISONS else draw(st.integers(1, 3))
    chosen = draw(st.lists(value.filter(fits), min_size=count, max_size=count))
    return Term(key.name, operator, tuple(chosen), path, draw(st.booleans()))


def ranges(ends: list[str]) -> st.SearchStrategy[str]:
    """One of these, or from one to another."""
    end = st.sampled_from(ends)
    return end | st.builds("{}..{}".format, end, end) | st.builds("{}..".format, end) | st.builds("..{}".format, end)


def values() -> st.SearchStrategy[Value]:
    """A word, in quotes or not, and patterns."""
    bare = st.sampled_from(
        [*(w for w in WORDS if re.fullmatch(r'[^\s,"()\\]+', w)), *NUMBERS, "*", "b*", "*.charge", "*i*g*"]
    )
    return st.builds(Value, words(), st.just(True)) | st.builds(Value, bare)


def json_values() -> st.SearchStrategy[Any]:
    """What arguments and results may be. No fractions that binary numbers cannot hold."""
    scalars = st.sampled_from([None, True, False, 0, 1, 2, 42, -7, 4.25, *WORDS])
    return st.recursive(
        scalars,
        lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(PARTS), inner, max_size=2),
        max_leaves=4,
    )


# -- what a filter means --


def matches(wanted: Filter, job: JobInfo, now: datetime, failure: str | None) -> bool:
    """Whether a job matches."""
    return all(holds(term, job, now, failure) is not term.negated for term in wanted.terms)


def holds(term: Term, job: JobInfo, now: datetime, failure: str | None) -> bool:  # noqa: PLR0911 - a table
    """Whether a term, but for its negation, holds."""
    value = of(term.key, job, now, failure)
    if term.path:
        value = inside(value, term.path)
        return any(json_fits(term.operator, each, value) for each in term.values)
    if value is None and KEYS[term.key].kind is not Kind.JSON:
        return False
    match KEYS[term.key].kind:
        case Kind.STATE:
            return value in [each.text for each in term.values]
        case Kind.ID | Kind.FAILURE:
            return str(value) in [each.text.lower() for each in term.values]
        case Kind.NUMBER:
            return any(number_fits(term.operator, each.text, value, int) for each in term.values)
        case Kind.DURATION:
            return any(number_fits(term.operator, each.text, value, seconds) for each in term.values)
        case Kind.MOMENT:
            return any(moment_fits(term.operator, each.text, value, now) for each in term.values)
        case Kind.JSON:
            return any(json_fits(term.operator, each, value) for each in term.values)
        case Kind.ERROR:
            said = ": ".join(value[name] for name in ("type", "message") if value.get(name) is not None)
            subject = said if term.operator == "~" else value.get("type")
            return subject is not None and any(text_fits(term.operator, each, subject) for each in term.values)
        case _:
            texts = value if term.key == "tag" else [value]
            return any(text_fits(term.operator, each, text) for each in term.values for text in texts)


def of(key: str, job: JobInfo, now: datetime, failure: str | None) -> Any:
    """What the key is of this job."""
    claimed, finished = job.claimed_at, job.finished_at
    return {
        "state": job.state.value, "task": job.task, "queue": job.queue, "tag": job.tags, "tenant": job.tenant,
        "correlation": job.correlation_id, "unique": job.unique_key, "id": job.id, "workflow": job.workflow_id,
        "worker": job.worker_id, "attempts": job.attempts, "priority": job.priority, "created": job.created_at, "run": job.run_at,
        "started": claimed, "finished": finished, "age": now - job.created_at,
        "took": finished - claimed if finished and claimed else None, "args": job.args, "meta": job.metadata, "result": job.result,
        "error": job.error, "failure": failure,
    }[key]  # fmt: skip


def inside(value: Any, path: tuple[str, ...]) -> Any:
    """As PostgreSQL's #>: keys of objects, places in arrays."""
    for part in path:
        if isinstance(value, dict):
            value = value.get(part)
        elif isinstance(value, list) and re.fullmatch(r"-?\d+", part) and -len(value) <= int(part) < len(value):
            value = value[int(part)]
        else:
            return None
    return value


def like(pattern: str, text: str) -> bool:
    """Whether a text fits a pattern with asterisks."""
    return re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), text, re.DOTALL) is not None


def lower(text: str) -> str:
    """ASCII letters only."""
    return "".join(c.lower() if c.isascii() else c for c in text)


def text_fits(operator: str, given: Value, text: str) -> bool:
    """Of a text."""
    if operator == "~":
        return lower(given.text) in lower(text)
    if operator == ":" and not given.quoted and "*" in given.text:
        return like(given.text, text)
    return given.text == text


def json_text(value: Any) -> str | None:
    """As PostgreSQL's #>>."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, dict):
        pairs = sorted(value.items(), key=lambda pair: (len(pair[0].encode()), pair[0].encode()))
        return "{" + ", ".join(f"{packed(key)}: {nested(inner)}" for key, inner in pairs) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(nested, value)) + "]"
    return packed(value)


def nested(value: Any) -> str:
    """A value within another."""
    return packed(value) if value is None or isinstance(value, str) else str(json_text(value))


def packed(value: Any) -> str:
    """A scalar as jsonb is written."""
    return json.dumps(value, ensure_ascii=False)


def is_number(value: Any) -> bool:
    """Whether JSON calls it a number."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def given_number(given: Value) -> Decimal | None:
    """Whether a word is a number."""
    return Decimal(given.text) if not given.quoted and re.fullmatch(r"-?\d+(\.\d+)?", given.text) else None


def json_fits(operator: str, given: Value, value: Any) -> bool:  # noqa: PLR0911 - a table
    """Of a JSON value."""
    if operator == ":" and given == Value("*"):
        return value is not None
    text, number = json_text(value), given_number(given)
    if text is None or isinstance(value, dict | list):
        return False
    if operator == "~":
        return lower(given.text) in lower(text)
    if operator in COMPARISONS:
        if number is not None:
            return is_number(value) and compare(operator, Decimal(str(value)), number)
        return isinstance(value, str) and compare(operator, value, given.text)
    if given.quoted:
        return isinstance(value, str) and value == given.text
    if operator == ":" and "*" in given.text:
        return like(given.text, text)
    if number is not None and is_number(value):
        return Decimal(str(value)) == number
    return given.text == text


def compare(operator: str, left: Any, right: Any) -> bool:
    """The four comparisons."""
    return bool({"<": left < right, "<=": left <= right, ">": left > right, ">=": left >= right}[operator])


def seconds(text: str) -> timedelta:
    """A duration."""
    units = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
    return timedelta(seconds=sum(float(n) * units[u] for n, u in re.findall(r"(\d+(?:\.\d+)?)(ms|[smhdw])", text)))


def number_fits(operator: str, text: str, value: Any, read: Any) -> bool:
    """Of what has an order, in which ranges include their ends."""
    if operator in COMPARISONS:
        return compare(operator, value, read(text))
    start, found, end = text.partition("..")
    if not found:
        return bool(value == read(text))
    return (not start or value >= read(start)) and (not end or value <= read(end))


def moment_fits(operator: str, text: str, value: datetime, now: datetime) -> bool:
    """Of moments; a day is from its first to before the next day's."""

    def ends(each: str) -> tuple[datetime, datetime, bool]:
        if each == "now":
            return now, now, False
        if each[0] in "+-":
            distance = seconds(each[1:])
            moment = now + distance if each[0] == "+" else now - distance
            return moment, moment, False
        moment = datetime.fromisoformat(each)
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return (moment, moment + timedelta(days=1), True) if len(each) == 10 else (moment, moment, False)

    if operator in COMPARISONS:
        start, end, day = ends(text)
        return {
            "<": value < start, ">=": value >= start, "<=": value < end if day else value <= end,
            ">": value >= end if day else value > end,
        }[operator]  # fmt: skip
    start_text, found, end_text = text.partition("..")
    if not found:
        start, end, _ = ends(text)
        return start <= value < end
    return (not start_text or value >= ends(start_text)[0]) and (not end_text or value < ends(end_text)[1])
