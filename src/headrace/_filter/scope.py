"""What can be told of a filter without looking at jobs: where those that match it can be at all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from headrace._filter.keys import EQUALS, IS
from headrace.job import State

if TYPE_CHECKING:
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
    """

    states: frozenset[State]
    sparse: bool
    by_id: bool

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
        return cls(frozenset(states), bool(exact & _SPARSE) or tenant is not None, "id" in exact)

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
