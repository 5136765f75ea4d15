"""What may stand at a place of a filter: keys, and those values that are cheap to know."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import TYPE_CHECKING

from headrace._filter.keys import CONTAINS, KEYS, OPERATORS, Kind
from headrace._filter.parsing import operators_of
from headrace._filter.terms import BARE, quote
from headrace.job import State

if TYPE_CHECKING:
    from collections.abc import Iterable

MOST = 20
_TERM = re.compile(r'(?:^|(?<=\s))-?(?:[^\s"]|"(?:[^"\\]|\\.)*"?)*\Z')
_MOMENTS = ("-1h", "-24h", "-7d", "now")
_DURATIONS = ("1m", "1h", "24h", "7d")


@dataclass(frozen=True, slots=True)
class Completion:
    """One thing that may stand there.

    Attributes:
        text: What to put in.
        start: From this character of the text
        end: to this one it replaces what is there.
        means: What it is, for people.
    """

    text: str
    start: int
    end: int
    means: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What the database knows of.

    Attributes:
        tasks: Names of tasks that workers have registered.
        queues: Names of queues.
        tenants: Tenants that may be named.
        arguments: Names of arguments of jobs that wait.
    """

    tasks: list[str] = field(default_factory=list)
    queues: list[str] = field(default_factory=list)
    tenants: list[str] = field(default_factory=list)
    arguments: list[str] = field(default_factory=list)


def complete(text: str, position: int, known: Known) -> list[Completion]:
    """The completions at this place, the likeliest first."""
    before = text[: max(0, position)]
    term = _TERM.search(before)
    if term is None:
        return []
    begin = term.start() + term[0].startswith("-")
    word = before[begin:]
    operator = min(((word.index(each), -len(each), each) for each in OPERATORS if each in word), default=(-1, 0, ""))
    if operator[0] < 0:
        return _keys(word, begin, len(before), known)
    name, at = word[: operator[0]], operator[0] + len(operator[2])
    at += word[at:].rfind(",") + 1
    return _values(name, word[at:], begin + at, len(before), known)


def _keys(word: str, start: int, end: int, known: Known) -> list[Completion]:
    key, dot, part = word.partition(".")
    if dot and key in KEYS and KEYS[key].paths:
        names = [*known.arguments] if key == "args" else ["type", "message", "kind"] if key == "error" else []
        plain = [name for name in names if re.fullmatch(r"[A-Za-z0-9_-]+", name)]
        return [
            Completion(f"{key}.{name}=", start, end, f"part of {KEYS[key].means}") for name in _fitting(part, plain)
        ]
    return [Completion(name + _next(name), start, end, KEYS[name].means) for name in _fitting(word, KEYS)]


def _next(name: str) -> str:
    """What usually follows a key."""
    key = KEYS[name]
    if key.kind is Kind.ERROR:
        return CONTAINS
    return "." if key.paths else operators_of(key, ())[0]


def _values(name: str, word: str, start: int, end: int, known: Known) -> list[Completion]:
    key = KEYS.get(name)
    if key is None:
        return []
    word = word.removeprefix('"')
    match key.kind, name:
        case Kind.STATE, _:
            names, means = [str(state) for state in State], "a state"
        case _, "task":
            names, means = [*known.tasks, *_groups(known.tasks)], "a task"
        case _, "queue":
            names, means = known.queues, "a queue"
        case _, "tenant":
            names, means = known.tenants, "a tenant"
        case Kind.MOMENT, _:
            names, means = [*_MOMENTS], "a moment"
        case Kind.DURATION, _:
            names, means = [*_DURATIONS], "a duration"
        case _:
            return []
    return [Completion(_written(each), start, end, means) for each in _fitting(word, names)]


def _groups(tasks: Iterable[str]) -> list[str]:
    """billing.* for billing.charge and billing.refund."""
    prefixes = [task.rpartition(".")[0] for task in tasks if "." in task]
    return sorted({f"{prefix}.*" for prefix in prefixes if prefixes.count(prefix) > 1})


def _written(value: str) -> str:
    return value if BARE.fullmatch(value) else quote(value)


def _fitting(word: str, names: Iterable[str]) -> list[str]:
    """Those that begin like this, then those that contain it, then those that resemble it."""
    names = list(dict.fromkeys(names))
    begin = [name for name in names if name.startswith(word)]
    contain = [name for name in names if word in name and name not in begin]
    close = [name for name in get_close_matches(word, names, n=3) if name not in begin and name not in contain]
    return [*begin, *contain, *close][:MOST]
