"""Lets jobs run whose event has been emitted, or whose time to wait for it is over.

headrace.release_waiting does it; here is only where its scans start. Events that were delivered, and jobs that were
looked at, leave dead entries at the head of the indexes, which stay as long as some transaction may see them. So a
scan starts behind what was found before, however many notifications there are; once a second one from the start
finds what was committed late.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from headrace._worker.promoter import CHUNK, START

if TYPE_CHECKING:
    from collections.abc import Callable

    from headrace._store.database import Database

FULL_SCAN_S = 0.9
"""Just below the interval of the loop: each of its own rounds looks from the start, those that are hurried do not."""
FROM_START = ("-infinity", *START)


class Waiting:
    """One worker's turn at releasing jobs that wait for events.

    Args:
        clock: Monotonic; tests step it.
    """

    def __init__(self, database: Database, clock: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._clock = clock
        self._mark: tuple[str, str, str] = FROM_START
        self._full_scan_at = float("-inf")

    async def release(self) -> float | None:
        """Release a chunk of those that wait no more; how many seconds to wait for the next round."""
        mark, self._mark = self._mark, FROM_START  # until this has been answered
        if self._clock() - self._full_scan_at > FULL_SCAN_S:
            mark = FROM_START
            self._full_scan_at = self._clock()
        events_after, looks_after, looks_after_id = mark
        rows = await self._database.rows(
            "release_waiting", events_after=events_after, looks_after=looks_after, looks_after_id=looks_after_id,
            chunk=CHUNK, now=None,
        )  # fmt: skip
        if not rows:  # another worker does it
            self._mark = mark
            return None
        _, more, *seen = rows[0]
        self._mark = (seen[0], seen[1], seen[2])
        return 0.0 if more else None
