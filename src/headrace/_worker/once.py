"""A worker that lives for one call: for programs that are started for a moment and cannot keep a worker running.

It claims at most so many jobs, for at most so long. At the end what has not finished is handed back, which spends no
attempt: coroutines are cancelled, processes killed. A thread cannot be stopped, and the process lives on, so for
threads the worker waits and keeps its lease: else the job would run a second time beside it.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from headrace._worker.heart import Heart, LoopHeart
from headrace._worker.timings import Timings
from headrace._worker.worker import Worker
from headrace.errors import AppClosed

if TYPE_CHECKING:
    from headrace._worker.attempt import Settle
    from headrace.app import Headrace

ABANDON_S = 1.0
"""A coroutine that goes on so long after it was cancelled is given up."""

RECORDING_S = 5.0
"""So long the last outcomes may take to be recorded."""

CONCURRENCY = 10


@dataclass(frozen=True, kw_only=True)
class Ran:
    """What one call did.

    Attributes:
        claimed: How many jobs were claimed.
        outcomes: How many of their attempts ended how: succeeded, failed, retried, snoozed, handed_back and so on. One
            that ended in its own transaction is not among them.
        more: Whether jobs are left that could run now.
    """

    claimed: int
    outcomes: dict[str, int]
    more: bool


class OnceWorker(Worker):
    """Works for one call.

    Args:
        app: Whose tasks.
        budget_s: No job is started, and none goes on, after so many seconds.
        max_jobs: At most so many are claimed.
        queues: The queues to serve; None: all that the app's tasks use.
        concurrency: How many run at the same time.
    """

    def __init__(
        self,
        app: Headrace,
        *,
        budget_s: float,
        max_jobs: int,
        queues: list[str] | None = None,
        concurrency: int = CONCURRENCY,
    ) -> None:
        timings = Timings(drain_s=RECORDING_S, abandon_s=ABANDON_S)
        super().__init__(
            app, queues=queues, concurrency=min(concurrency, max_jobs), timings=timings, heartbeat="loop", listen=False
        )
        self._budget_s = budget_s
        self._max_jobs = max_jobs
        self._outcomes: Counter[str] = Counter()

    async def run_once(self) -> Ran:
        """Work until nothing is left, the budget is spent, or enough jobs were claimed and have ended."""
        working = asyncio.create_task(self.run_until_idle())
        try:
            await asyncio.wait({working}, timeout=self._budget_s)
        finally:
            self.stop()
            await working
        more = bool(await (await self.app.database()).value("has_work", queues=list(self.queues)))
        return Ran(claimed=self._max_jobs - (self.claims.left or 0), outcomes=dict(self._outcomes), more=more)

    def _make_heart(self, url: str) -> Heart:
        heart = LoopHeart(self.database, self.timings, self._lose_lease)
        heart.outlives = False
        return heart

    def _assemble(self, url: str, provided: dict[type, object]) -> None:
        super()._assemble(url, provided)
        self.claims.left = self._max_jobs

    def _settled(self, batch: Sequence[Settle]) -> None:
        super()._settled(batch)
        self._outcomes.update(settle.outcome for settle in batch)

    async def _nothing_left(self) -> bool:
        if self.stopping.is_set():
            return True
        if self.claims.left == 0 and self.claims.idle and not self.settles.unsettled_ids():
            return True
        try:
            return await super()._nothing_left()
        except AppClosed:  # it was stopped meanwhile
            return True

    async def _wait_until_idle(self, seconds: float) -> None:
        if not all(attempt.handing_back for attempt in self.runner.running.values()):
            return  # the budget was for that
        await super()._wait_until_idle(seconds)
        while self.runner.running:  # threads
            await self.claims.place_freed()
