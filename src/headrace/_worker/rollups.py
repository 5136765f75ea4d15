"""Counts what has ended, and how long the lines are, for charts; docs/decisions/019-rollups.md and roll_up.sql say how.

A row of the history may commit long after the moment at which its job ended, by its own account. So there are several
kinds of looks. The most frequent goes back a little, and sees nearly everything; each of the others is rarer and goes
back further, for what committed late. A row that commits d after its end is counted by the first look whose margin is
at least d: within 15 seconds if d is up to 15 seconds, 5 minutes up to a minute, an hour up to 10 minutes, and a day up
to a day. Every row is read about six times in all, most of these times for one comparison.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from headrace._store.database import Database
    from headrace._worker.timings import Timings

LATE_LOOKS_S = ((300.0, 60.0), (3600.0, 600.0), (86400.0, 86400.0))
"""Looks for what commits late: how often, and how far before the last one of its kind."""
BUDGET_S = 0.3
"""In each round but a worker's first, so long for what had ended before there was any counting."""
LATE_LOOK_EVERY_S = 60.0
"""A worker asks this often whether one of those is due."""
DEADLINE_S = 120.0
"""A day's look reads a day: 10 million rows take some seconds."""


class Rollups:
    """One worker's turn at counting; whoever comes first does it.

    Args:
        clock: Monotonic.
    """

    def __init__(self, database: Database, timings: Timings, clock: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._period_s = timings.history_s
        self._clock = clock
        self._asked_at = clock()
        self._budget_s = 0.0

    async def count(self) -> None:
        """Take every look that is due."""
        await self._look(1, self._period_s, self._period_s, self._budget_s)
        self._budget_s = BUDGET_S
        await self._database.rows("sample_queues", DEADLINE_S, now=None)
        if self._clock() - self._asked_at >= LATE_LOOK_EVERY_S:
            self._asked_at = self._clock()
            for kind, (period_s, margin_s) in enumerate(LATE_LOOKS_S, 2):
                await self._look(kind, period_s, margin_s, 0)

    async def _look(self, kind: int, period_s: float, margin_s: float, budget_s: float) -> None:
        await self._database.rows(
            "roll_up", DEADLINE_S, kind=kind, period_s=period_s, margin_s=margin_s, budget_s=budget_s, now=None
        )
