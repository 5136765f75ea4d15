"""Promotes scheduled jobs when they are due.

Promoted jobs leave dead entries at the head of the index, which stay as long as some transaction may see them: after
295,000 promotions a look for one due job took 27 ms instead of 3 (ENGINE 14). So each scan starts at a mark, behind
what was found before. A transaction that commits late may add a job that is due before the mark: a scan from the start,
every `FULL_SCAN_S`, finds it, and so does the first one after an error (a restore may have set the clock back).
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from headrace._store.database import Database
    from headrace._worker.timings import Timings

CHUNK = 1000
FULL_SCAN_S = 2.0
START = ("-infinity", "00000000-0000-0000-0000-000000000000")


class Promoter:
    """One worker's turn at promoting.

    Args:
        clock: Monotonic; tests step it.
    """

    def __init__(self, database: Database, timings: Timings, clock: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._timings = timings
        self._clock = clock
        self._mark = START
        self._full_scan_at = float("-inf")

    async def promote(self) -> float | None:
        """Promote a chunk of what is due; how many seconds to wait for the next."""
        mark, self._mark = self._mark, START  # until this has been answered
        if self._clock() - self._full_scan_at > FULL_SCAN_S:
            mark = START
            self._full_scan_at = self._clock()
        after, after_id = mark
        ((moved, *seen),) = await self._database.rows(
            "promote_jobs", now=None, chunk=CHUNK, after=after, after_id=after_id
        )
        self._mark = mark if moved is None else (seen[0], seen[1])
        if moved == CHUNK:
            return 0.0
        due_s = await self._database.value("next_due", now=None, after=self._mark[0])
        return None if due_s is None else min(max(due_s, 0.001), self._timings.promote_s)
