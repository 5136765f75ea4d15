"""The parts of a filter: its terms, and their values."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from headrace._filter.keys import KEYS, Key
from headrace._filter.values import split_range

BARE = re.compile(r'[^\s,"()\\]+')
"""What a value without quotes is made of."""

PLAIN_PART = re.compile(r"[A-Za-z0-9_-]+")
"""A part of a path without quotes."""


@dataclass(frozen=True, slots=True)
class Value:
    """One word after an operator.

    Attributes:
        text: What it says.
        quoted: Whether it is in quotes: then it is text, whatever it looks like, and ``*`` is an asterisk.
    """

    text: str
    quoted: bool = False

    def __str__(self) -> str:
        return quote(self.text) if self.quoted else self.text

    @property
    def is_pattern(self) -> bool:
        """Whether it stands for many texts."""
        return not self.quoted and "*" in self.text

    @property
    def is_range(self) -> bool:
        """Whether it has two ends."""
        return not self.quoted and split_range(self.text) is not None


@dataclass(frozen=True, slots=True)
class Term:
    """One condition.

    Attributes:
        key: What of the job, one of `KEYS`.
        operator: ``:``, ``=``, ``~``, ``>``, ``>=``, ``<`` or ``<=``.
        values: Of which one has to fit; comparisons have one.
        path: Inside of what is JSON.
        negated: Whether it must not hold.
        position: Where in the text it begins.
    """

    key: str
    operator: str
    values: tuple[Value, ...]
    path: tuple[str, ...] = ()
    negated: bool = False
    position: int = field(default=0, compare=False)

    def __str__(self) -> str:
        name = ".".join([self.key, *(part if PLAIN_PART.fullmatch(part) else quote(part) for part in self.path)])
        values = ",".join(map(str, self.values))
        return f"{'-' if self.negated else ''}{name}{self.operator}{values}"

    @property
    def of(self) -> Key:
        """What is known of its key."""
        return KEYS[self.key]


def quote(text: str) -> str:
    """Text in quotes."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
