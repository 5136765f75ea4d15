"""Filters: how jobs are found, in Python, on the command line, over HTTP and in the dashboard alike.

``Filter.parse('state:failed task:billing.* args.customer=42')`` gives the terms, all of which a job has to match;
``str(filter)`` gives the text again. docs/filters.md has the grammar.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from headrace._filter.parsing import Parser
from headrace._filter.terms import Term, Value
from headrace.errors import FilterError


@dataclass(frozen=True, slots=True)
class Filter:
    """What jobs have to be like. An empty filter is all jobs.

    Attributes:
        terms: All have to hold.
    """

    terms: tuple[Term, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a filter.

        Raises:
            FilterError: It is none; says where and what to write instead.
        """
        return cls(Parser(text).terms())

    @classmethod
    def of(cls, filter: Self | str) -> Self:  # noqa: A002 - the word
        """The filter itself, or the one that the text is."""
        return cls.parse(filter) if isinstance(filter, str) else filter

    def __str__(self) -> str:
        return " ".join(map(str, self.terms))


__all__ = ["Filter", "FilterError", "Term", "Value"]
