"""Counts what has ended, and how long the lines are, for charts; docs/decisions/019-rollups.md and roll_up.sql say how.

A row of the history may commit long after the moment at which its job ended, by its own account. So there are several
kinds of looks. The most frequent goes back a little, and sees nearly everything; each of the others is rarer and goes
back further, for what committed late. A row that commits d after its end is counted by the first look whose margin is
at least d: within 15 seconds if d is up to 15 seconds, 5 minutes up to a minute, an hour up to 10 minutes, and a day up
to a day. Every row is read about six times in all, most of these times for one comparison.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from headrace._store.database import Database
    from headrace._worker.timings import Timings

LATE_LOOKS_S = ((300.0, 60.0), (3600.0, 600.0), (86400.0, 86400.0))
"""Looks for what commits late: how often, and how far before the last one of its kind."""
BUDGET_S = 0.3
"""In each round, so long for what had ended before there was any counting."""
DEADLINE_S = 120.0
"""A day's look reads a day: 10 million rows take some seconds."""


class Rollups:
    """One worker's turn at counting; whoever comes first does it."""

    def __init__(self, database: Database, timings: Timings) -> None:
        self._database = database
        self._looks = ((timings.history_s, timings.history_s), *LATE_LOOKS_S)

    async def count(self) -> None:
        """Take every look that is due."""
        for kind, (period_s, margin_s) in enumerate(self._looks, 1):
            await self._database.rows(
                "roll_up", DEADLINE_S, kind=kind, period_s=period_s, margin_s=margin_s,
                budget_s=BUDGET_S if kind == 1 else 0, now=None,
            )  # fmt: skip
        await self._database.rows("sample_queues", DEADLINE_S, now=None)
