"""Brings workflows on: what waited for a job that has ended is released.

The worker that recorded a job's end advances its workflow right after the settle. That may be in vain: another worker
may be advancing the same workflow (then this one tries again, a few milliseconds later), or an operator may hold it.
It may also not come to it. So every worker looks every second for workflows that have something to reckon, whoever
was to do it: a worker that died in between, a caller who has added jobs, an operator.

That look reads what is new, of the last `RECENT_S` seconds: the entries of what has been reckoned stay in the index
as long as some transaction elsewhere may see them. Whoever commits later than that is found by a look at everything,
every `FULL_S` seconds. See headrace.advance_workflows.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

import psycopg

from headrace._worker.loops import Loop
from headrace.errors import AppClosed, DatabaseUnavailable, HeadraceError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from headrace._store.database import Database
    from headrace._worker.attempt import Settle
    from headrace._worker.timings import Timings

CHUNK = 100
ENDS = ("succeeded", "failed", "cancelled")
RECENT_S = 10.0
FULL_S = 10.0
EVER_S = 1e9
"""Longer than anything has been waiting."""

_FIRST_RETRY_S = 0.005
_DEADLINE_S = 60.0
"""Ten thousand nodes may be released by the end of one."""
_log = logging.getLogger("headrace.worker")


class Advances:
    """One worker's part in it.

    Args:
        clock: Monotonic; tests step it.

    Attributes:
        released: Called when workflows were advanced: there may be jobs.
    """

    def __init__(self, database: Database, timings: Timings, clock: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._sweep_s = timings.sweep_s
        self._clock = clock
        self._expected: dict[str, str] = {}
        self._ended: set[str] = set()
        self._stuck: set[str] = set()
        self._retry_s = _FIRST_RETRY_S
        self._swept_at = float("-inf")
        self._full_at = float("-inf")
        self.released: Callable[[str], None] = lambda _: None
        self.loop = Loop("advancing workflows", timings.sweep_s, self.advance)

    # -- what others tell --

    def expect(self, job_id: str, workflow_id: str | None) -> None:
        """This job's end is about to be recorded."""
        if workflow_id is not None:
            self._expected[job_id] = workflow_id

    def settled(self, batch: Sequence[Settle]) -> None:
        """These outcomes are recorded."""
        if self._expected:
            for settle in batch:
                workflow_id = self._expected.pop(settle.id, None)
                if workflow_id is not None and settle.outcome in ENDS:
                    self.ended(workflow_id)

    def ended(self, workflow_id: str) -> None:
        """One of this workflow's jobs has ended."""
        self._ended.add(workflow_id)
        self.loop.hurry()

    # -- the loop --

    async def advance(self) -> float | None:
        """Advance the workflows that are known to have something to reckon; how many seconds to wait."""
        ids, self._ended = self._ended, set()
        now = self._clock()
        seconds = RECENT_S
        try:
            if now - self._swept_at >= self._sweep_s:
                seconds = EVER_S if now - self._full_at >= FULL_S else RECENT_S
                ids |= {row[0] for row in await self._database.rows("list_changed_workflows", seconds=seconds)}
                self._swept_at = now
                self._full_at = now if seconds == EVER_S else self._full_at
            busy = await self._advance_all(sorted(ids), seconds)
        except BaseException:
            self._ended |= ids
            raise
        if not busy:
            self._retry_s = _FIRST_RETRY_S
            return max(0.001, self._swept_at + self._sweep_s - self._clock())
        self._ended |= busy
        self._retry_s, wait_s = min(self._retry_s * 2, self._sweep_s), self._retry_s
        return wait_s

    async def _advance_all(self, ids: list[str], seconds: float) -> set[str]:
        """Those that somebody else holds."""
        busy: set[str] = set()
        for start in range(0, len(ids), CHUNK):
            busy |= await self._advance(ids[start : start + CHUNK], seconds)
        if ids:
            self.released("")
        return busy

    async def _advance(self, ids: list[str], seconds: float) -> set[str]:
        try:
            rows = await self._database.rows("advance_workflows", _DEADLINE_S, ids=ids, seconds=seconds)
        except (DatabaseUnavailable, AppClosed):
            raise
        except (psycopg.Error, HeadraceError) as error:
            return await self._advance_apart(ids, seconds, error)
        self._stuck.difference_update(ids)
        return {row[0] for row in rows}

    async def _advance_apart(self, ids: list[str], seconds: float, error: Exception) -> set[str]:
        """One workflow that cannot be advanced does not stop the others; the sweep tries it again."""
        if len(ids) == 1:
            await self._mend(error)
            if ids[0] not in self._stuck:
                _log.error("workflow %s cannot be advanced; trying again every second: %s", ids[0], error)
            self._stuck.update(ids)
            return set()
        middle = len(ids) // 2
        return await self._advance(ids[:middle], seconds) | await self._advance(ids[middle:], seconds)

    async def _mend(self, error: Exception) -> None:
        if isinstance(error, psycopg.errors.CheckViolation) and error.diag.constraint_name is None:
            await self._database.rows("create_partitions_now")  # cancelled jobs go to today's history
