"""What every worker of an app does beside its jobs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from headrace._store.database import Database


@dataclass(frozen=True, slots=True)
class Round:
    """One thing that is done again and again.

    Attributes:
        name: Appears in logs.
        every_s: How long to wait between two rounds, in seconds.
        step: One round; may return how many seconds to wait instead.
    """

    name: str
    every_s: float
    step: Callable[[], Awaitable[float | None]]


class Service(Protocol):
    """Append one to `Headrace.services` before a worker starts. Every worker runs it: only who is told so is alone."""

    def rounds(self, database: Database) -> Sequence[Round]:
        """What a worker does, with its own connections."""
