"""What can be told of a filter without looking at jobs: where those that match it can be at all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from headrace._filter.keys import COMPARISONS, EQUALS, IS
from headrace._filter.values import Span, moment_span, read_moment
from headrace.job import State

if TYPE_CHECKING:
    from datetime import datetime

    from headrace._filter.terms import Term
    from headrace.filter import Filter

_SPARSE = frozenset({"task", "queue", "tenant", "correlation", "workflow"})
"""Keys whose values the history has summaries of."""


@dataclass(frozen=True, slots=True)
class Scope:
    """Where to look.

    Attributes:
        states: The states in which matching jobs can be.
        sparse: Whether the history's summaries tell where matching jobs are not.
        by_id: Whether their ids are given.
        times: The terms that say between which moments they finished, or were enqueued.
    """

    states: frozenset[State]
    sparse: bool
    by_id: bool
    times: tuple[Term, ...]

    @classmethod
    def of(cls, wanted: Filter, tenant: str | None) -> Scope:
        """The scope of a filter."""
        states = set(State)
        for term in wanted.terms:
            if term.key == "state":
                named = {State(value.text) for value in term.values}
                states = states - named if term.negated else states & named
            elif term.of.final and not term.negated:
                states = {state for state in states if state.final}
        exact = {
            term.key
            for term in wanted.terms
            if not term.negated and term.operator in (IS, EQUALS)
            and not (term.operator == IS and any(value.is_pattern for value in term.values))
        }  # fmt: skip
        times = tuple(
            term
            for term in wanted.terms
            if term.key in ("finished", "created") and not term.negated and len(term.values) == 1
        )
        return cls(frozenset(states), bool(exact & _SPARSE) or tenant is not None, "id" in exact, times)

    def finished_after(self, now: datetime) -> datetime | None:
        """A moment before which none of them finished: nobody finishes before being enqueued."""
        starts = [self._span(term, now).start for term in self.times]
        return max((start for start in starts if start is not None), default=None)

    def finished_before(self, now: datetime) -> datetime:
        """A moment after which none of them finished that are in the history of now."""
        ends = [self._span(term, now).end for term in self.times if term.key == "finished"]
        return min((end for end in ends if end is not None), default=now)

    def _span(self, term: Term, now: datetime) -> Span[datetime]:
        text = term.values[0].text
        if term.operator not in COMPARISONS:
            return moment_span(text, now)
        moment = read_moment(text, now)
        return Span(moment.start, None) if term.operator.startswith(">") else Span(None, moment.end)

    @property
    def open(self) -> bool:
        """Whether unfinished jobs can match."""
        return any(not state.final for state in self.states)

    @property
    def finished(self) -> bool:
        """Whether finished jobs can match."""
        return any(state.final for state in self.states)

    @property
    def rare_states(self) -> tuple[State, ...]:
        """The final states to look for one by one, in the index of those that did not succeed; none: all at once."""
        final = sorted(state for state in self.states if state.final)
        return () if State.SUCCEEDED in final else tuple(final)
