r"""Reads the text of a filter into terms, and says where it went wrong.

::

    filter   = [ term { space term } ]
    term     = [ "-" | "NOT" space ] key { "." part } operator value { "," value }
    operator = ":" | "=" | "!=" | "~" | ">" | ">=" | "<" | "<="
    part     = { letter | digit | "_" | "-" } | quoted
    value    = { any character but space , " ( ) \ } | quoted
    quoted   = '"' { any character; " and \ after a \ } '"'
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import UUID

from headrace._filter import values as read
from headrace._filter.keys import COMPARISONS, CONTAINS, EQUALS, IS, KEYS, OPERATORS, Key, Kind
from headrace._filter.terms import BARE, PLAIN_PART, Term, Value
from headrace.errors import FilterError, did_you_mean
from headrace.job import State

if TYPE_CHECKING:
    from collections.abc import Callable

LONGEST = 10_000
"""Characters."""

_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_QUOTED = re.compile(r'"((?:[^"\\]|\\["\\])*)"')
_SPACE = re.compile(r"\s*")
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_SOME_DAY = datetime(2026, 1, 1, tzinfo=UTC)
"""Whether a moment can be read does not depend on what time it is."""


class Parser:
    """Reads one text."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def terms(self) -> tuple[Term, ...]:
        """All of it.

        Raises:
            FilterError: It is no filter.
        """
        if len(self._text) > LONGEST:
            raise self._error(LONGEST, f"a filter has at most {LONGEST} characters")
        if odd := _UNSTORABLE.search(self._text):
            raise self._error(odd.start(), "here is a character that no database can hold")
        found = []
        self._skip_space()
        while self._at < len(self._text):
            found.append(self._term())
            before = self._at
            self._skip_space()
            if self._at == before and self._at < len(self._text):
                raise self._error(before, self._unexpected())
        return tuple(found)

    # -- the parts --

    def _term(self) -> Term:
        begin = self._at
        negated = self._negation()
        at = self._at
        key = self._key()
        path = self._path(key)
        operator = self._operator(key, path, at)
        values = self._values(key, path, operator)
        if operator == "!=":
            operator, negated = EQUALS, not negated
        return Term(key.name, operator, values, path, negated, begin)

    def _negation(self) -> bool:
        if self._text.startswith("-", self._at):
            self._at += 1
            return True
        if re.compile(r"NOT\s+").match(self._text, self._at):
            self._at += len("NOT")
            self._skip_space()
            return True
        return False

    def _key(self) -> Key:
        word = _WORD.match(self._text, self._at)
        if not word:
            bare = BARE.match(self._text, self._at)
            raise self._error(self._at, _meant(bare[0]) if bare else self._unexpected())
        name, begin = word[0], self._at
        after = self._text[word.end() : word.end() + 1]
        if name in ("AND", "OR") and (not after or after.isspace()):
            hint = (
                "leave it out: all terms have to hold"
                if name == "AND"
                else "write several values: state:failed,cancelled"
            )
            raise self._error(begin, f"there is no {name}; {hint}")
        if name not in KEYS:
            is_term = self._text.startswith(OPERATORS, word.end()) or after == "."
            raise self._error(
                begin, f'there is no key "{name}". {did_you_mean(name, KEYS)}' if is_term else _meant(self._word())
            )
        self._at = word.end()
        return KEYS[name]

    def _path(self, key: Key) -> tuple[str, ...]:
        path = []
        while self._text.startswith(".", self._at):
            if not key.paths:
                raise self._error(self._at, f'"{key.name}" has no parts: write {key.name}{IS}…')
            self._at += 1
            path.append(self._part())
        if not path and not key.whole:
            raise self._error(self._at, f'"{key.name}" needs the name of a part: {key.name}.customer=42')
        return tuple(path)

    def _part(self) -> str:
        if plain := PLAIN_PART.match(self._text, self._at):
            self._at = plain.end()
            return plain[0]
        if self._text.startswith('"', self._at):
            return self._quoted()
        raise self._error(self._at, 'the name of a part has to follow; one with other signs in quotes: args."a b"')

    def _operator(self, key: Key, path: tuple[str, ...], begin: int) -> str:
        operator = next((each for each in OPERATORS if self._text.startswith(each, self._at)), None)
        if operator is None:
            name = self._text[begin : self._at]
            raise self._error(self._at, f'"{name}" needs a value: write {name}{_example(key, path)}')
        known = operators_of(key, path)
        if operator not in known and not (operator == "!=" and EQUALS in known):
            raise self._error(self._at, f'"{key.name}" cannot be asked for "{operator}", but for {" ".join(known)}')
        self._at += len(operator)
        return operator

    def _values(self, key: Key, path: tuple[str, ...], operator: str) -> tuple[Value, ...]:
        check = checker(key, path, operator)
        found = [self._value(check)]
        while self._text.startswith(",", self._at):
            if operator in COMPARISONS:
                raise self._error(self._at, f'"{operator}" takes one value')
            self._at += 1
            found.append(self._value(check))
        return tuple(found)

    def _value(self, check: Callable[[Value], object]) -> Value:
        begin = self._at
        if self._text.startswith('"', begin):
            value = Value(self._quoted(), quoted=True)
        elif bare := BARE.match(self._text, begin):
            self._at = bare.end()
            value = Value(bare[0])
        else:
            what = self._unexpected() if self._text[begin : begin + 1].strip() else "a value has to follow"
            raise self._error(begin, what)
        try:
            check(value)
        except ValueError as error:
            raise self._error(begin, str(error)) from None
        return value

    def _quoted(self) -> str:
        quoted = _QUOTED.match(self._text, self._at)
        if not quoted:
            odd = re.compile(r'"(?:[^"\\]|\\["\\])*').match(self._text, self._at)
            if odd and self._text.startswith("\\", odd.end()):
                raise self._error(odd.end(), 'after a "\\" only a quote or another "\\" may follow')
            raise self._error(self._at, "this quote is not closed")
        self._at = quoted.end()
        return re.sub(r"\\(.)", r"\1", quoted[1], flags=re.DOTALL)

    # -- what is said --

    def _skip_space(self) -> None:
        space = _SPACE.match(self._text, self._at)
        assert space is not None
        self._at = space.end()

    def _word(self) -> str:
        return self._text[self._at :].split(maxsplit=1)[0]

    def _unexpected(self) -> str:
        sign = self._text[self._at : self._at + 1]
        if not sign:
            return "a term has to follow: state:failed"
        if sign == '"':
            return 'this has no key: write error~"…", or args.…="…"'
        if sign in "()":
            return "there are no parentheses: all terms have to hold; in a value, put them in quotes"
        if sign == "\\":
            return 'in a value with a "\\", put it in quotes: "a\\\\b"'
        return f'"{sign}" cannot be here: put a space between terms, and values with other signs in quotes'

    def _error(self, position: int, problem: str) -> FilterError:
        return FilterError(problem, self._text, position)


def operators_of(key: Key, path: tuple[str, ...]) -> tuple[str, ...]:
    """What a key can be asked for; the inside of an error is JSON like any other."""
    return (Kind.JSON if path else key.kind).operators


def checker(  # noqa: PLR0911 - a table of kinds
    key: Key, path: tuple[str, ...], operator: str
) -> Callable[[Value], object]:
    """What raises a ValueError for values that the key cannot have."""
    kind = Kind.JSON if path else key.kind
    exactly = operator in (IS, EQUALS, "!=")
    match kind:
        case Kind.STATE:
            return lambda value: read.read_state(value.text)
        case Kind.ID:
            return lambda value: read.read_id(value.text)
        case Kind.FAILURE:
            return lambda value: read.read_failure(value.text)
        case Kind.NUMBER:
            return lambda value: read.number_span(value.text) if exactly else read.read_number(value.text)
        case Kind.DURATION:
            return lambda value: read.duration_span(value.text) if exactly else read.read_duration(value.text)
        case Kind.MOMENT:
            return lambda value: (
                read.moment_span(value.text, _SOME_DAY) if exactly else read.read_moment(value.text, _SOME_DAY)
            )
        case _:
            return lambda value: None


def _example(key: Key, path: tuple[str, ...]) -> str:  # noqa: PLR0911 - a table of kinds
    match Kind.JSON if path else key.kind:
        case Kind.STATE:
            return ":failed"
        case Kind.NUMBER:
            return ">1"
        case Kind.MOMENT:
            return ">-1h"
        case Kind.DURATION:
            return ">1h"
        case Kind.ERROR:
            return f"{CONTAINS}timeout"
        case Kind.JSON:
            return "=42" if path else f"{CONTAINS}word"
        case _:
            return ":…"


def _meant(word: str) -> str:
    """What somebody may have meant by a word alone."""
    try:
        return f'"{UUID(word)}" has no key: write id:{word}'
    except ValueError:
        pass
    if word in list(State):
        return f'"{word}" has no key: write state:{word}'
    shown = word if BARE.fullmatch(word) else "…"
    return f'"{word}" has no key: write task:{shown}, or error~{shown}'
