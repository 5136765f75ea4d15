"""Enqueues deliveries of webhooks for jobs that have finished.

A settle leaves word of each job that some webhook is to tell of (finish_jobs); this takes the words and enqueues the
deliveries, in one transaction. Words are looked for behind those that were taken, since the dead entries of the index
stay as long as some transaction elsewhere may see them; what was committed late is found by a look at everything, now
and then.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from headrace._store.database import Database

CHUNK = 500
FULL_S = 10.0


class Deliveries:
    """One worker's part in it.

    Args:
        database: Where.
        clock: Monotonic; tests step it.
    """

    def __init__(self, database: Database, clock: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._clock = clock
        self._after = 0
        self._full_at = float("-inf")

    async def enqueue(self) -> float | None:
        """Enqueue a chunk of them; how many seconds to wait for the next round."""
        after, self._after = self._after, 0  # until this has been answered
        if self._clock() - self._full_at > FULL_S:
            after, self._full_at = 0, self._clock()
        rows = await self._database.rows("enqueue_deliveries", after=after, chunk=CHUNK)
        if not rows:
            self._after = after
            return None
        last, jobs, _ = rows[0]
        self._after = last
        return 0.0 if jobs == CHUNK else None
