"""What is secret cannot be searched for: answers would tell it, letter by letter."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace._filter.keys import Kind
from headrace.errors import FilterError

if TYPE_CHECKING:
    from headrace._redact import Secrets
    from headrace.filter import Filter


def asks_for_parts(wanted: Filter) -> bool:
    """Whether any of it could be secret."""
    return any(term.of.kind is Kind.JSON for term in wanted.terms)


def check_secrets(wanted: Filter, text: str, secrets: Secrets) -> None:
    """Refuse a filter, which was read from this text, that asks for what is secret.

    Raises:
        FilterError: It does.
    """
    for term in wanted.terms:
        if term.of.kind is Kind.JSON and secrets.hides(term.key, term.path):
            name = ".".join((term.key, *term.path))
            raise FilterError(f"{name} is secret: it cannot be searched for", text, term.position)
