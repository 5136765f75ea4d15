"""Cursors: where the next page of a list begins. They are the last thing's own key, so that no page shifts."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

from fastapi import Query

from headrace.web.api.problems import ProblemError

T = TypeVar("T")
After = Annotated[str | None, Query(max_length=2000, description="The `next` of the page before.")]


def write_cursor(key: Any) -> str:
    """A cursor for everything after this key."""
    return base64.urlsafe_b64encode(json.dumps(key, default=str).encode()).decode().rstrip("=")


def read_cursor(cursor: str | None, read: Callable[[Any], T]) -> T | None:
    """The key in a cursor.

    Raises:
        ProblemError: It is none of ours.
    """
    if cursor is None:
        return None
    try:
        return read(json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))))
    except (ValueError, TypeError, AttributeError, KeyError, binascii.Error, RecursionError):
        wrong = [("query/after", "is no cursor")]
        raise ProblemError(422, "cursor", "`after` must be the `next` of the page before", wrong=wrong) from None
