"""What every worker does for all: promote what is due, tick schedules, take back what dead workers held, tidy up.

There is no leader. Each step is one short statement that another worker may run at the same time: it takes a lock for
its transaction or skips locked rows.

Death is judged by beats, not clocks (ENGINE 6): a worker whose beat has not moved for the length of a lease on the
observer's own clock, while the observer looked all the time, is dead. An observer whose looking was interrupted,
because the database or its own loop did not answer, starts to observe anew: an outage is nobody's death.
"""

from __future__ import annotations

import logging
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from headrace import access
from headrace._store.migrate import DAYS_AHEAD
from headrace._worker.deliveries import Deliveries
from headrace._worker.loops import Loop
from headrace._worker.operating import Operating
from headrace._worker.promoter import CHUNK, Promoter
from headrace._worker.rollups import Rollups
from headrace._worker.ticker import Ticker
from headrace._worker.waiting import Waiting
from headrace.webhooks import WEBHOOK

if TYPE_CHECKING:
    from collections.abc import Callable

    from headrace._store.database import Database
    from headrace._worker.timings import Timings

WORKFLOWS = 20
"""So many are forgotten in a round, with all their nodes."""
_INTERRUPTED_LOOKS = 3
"""A look at the beats that comes this many intervals late is an interruption."""
_log = logging.getLogger("headrace.worker")


class Maintenance:
    """The loops of one worker.

    Args:
        tasks: The names that this worker's app knows: parked jobs of these tasks are released.
        clock: The observer's clock, monotonic; tests step it.

    Attributes:
        rescued: How many jobs of dead workers this one took back.
        dead_workers: How many dead workers it found first.
    """

    def __init__(
        self, database: Database, timings: Timings, tasks: list[str], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._database = database
        self._timings = timings
        self._tasks = tasks
        self._clock = clock
        self._seen: dict[int, tuple[int, float]] = {}
        self._looked_at = 0.0
        self._swept_at = float("-inf")
        self.rescued = 0
        self.dead_workers = 0
        self._partitioned_on: datetime | None = None
        self.promote = Loop("promoting scheduled jobs", timings.promote_s, Promoter(database, timings).promote)
        self.ticking = Loop("ticking schedules", timings.schedule_s, Ticker(database, timings).tick)
        self.rescue = Loop("looking for dead workers", timings.look_s, self._rescue)
        self.housekeeping = Loop("housekeeping", timings.housekeeping_s, self._keep_house)
        self.waiting = Loop("releasing jobs that wait for events", timings.watch_s, Waiting(database).release)
        self.operating = Loop("doing operations", timings.watch_s, Operating(database).operate)
        self.history = Loop("counting what has ended", timings.history_s, Rollups(database, timings).count)
        self.unpark = Loop("releasing parked jobs", timings.watch_s, self._unpark)
        self.deliveries = Loop("enqueueing deliveries of webhooks", timings.watch_s, Deliveries(database).enqueue)

    @property
    def loops(self) -> list[Loop]:
        """All of them that this worker's app needs."""
        loops = [
            self.promote,
            self.ticking,
            self.rescue,
            self.housekeeping,
            self.waiting,
            self.operating,
            self.history,
            self.unpark,
        ]
        return [*loops, self.deliveries] if WEBHOOK in self._tasks else loops

    async def _rescue(self) -> None:
        dead = self._find_dead(dict(await self._database.rows("list_beats")))
        for worker_id, beat in dead:
            if await self._database.rows("end_lease", worker_id=worker_id, beat=beat):
                self.dead_workers += 1
                _log.warning(
                    "worker %d has not beaten for %g s; taking its jobs back", worker_id, self._timings.lease_s
                )
        now = self._clock()
        if dead or now - self._swept_at > self._timings.lease_s:
            self._swept_at = now
            await self._take_back()

    def _find_dead(self, beats: dict[int, int]) -> list[tuple[int, int]]:
        now = self._clock()
        if now - self._looked_at > _INTERRUPTED_LOOKS * self._timings.look_s:
            self._seen.clear()
        self._looked_at = now
        moved = {i: (beat, now) for i, beat in beats.items() if self._seen.get(i, (None,))[0] != beat}
        self._seen = {i: seen for i, seen in (self._seen | moved).items() if i in beats}
        return [(i, beat) for i, (beat, since) in self._seen.items() if now - since > self._timings.lease_s]

    async def _take_back(self) -> None:
        while rows := await self._database.rows("rescue_jobs", poison_limit=self._timings.poison_limit, chunk=CHUNK):
            self.rescued += len(rows)
            _log.warning("took back %d jobs of dead workers", len(rows))

    async def _unpark(self) -> None:
        while len(await self._database.rows("release_parked", tasks=self._tasks, chunk=CHUNK)) == CHUNK:
            pass
        await self._database.rows("sweep_lanes")

    async def _keep_house(self) -> None:
        await self._create_partitions()
        for name in ("prune_aged", "prune_counted", "delete_expired_keys", "prune_ticks", "prune_gates"):
            await self._database.rows(name, 60.0, now=None, chunk=CHUNK)
        await self._database.rows("prune_rollups", 60.0, now=None)
        await self._database.rows("drop_audit_partitions", now=None)
        await self._database.rows(
            "prune_access", idle_s=access.IDLE.total_seconds(), absolute_s=access.ABSOLUTE.total_seconds()
        )
        await self._database.rows("prune_workflows", 60.0, now=None, chunk=WORKFLOWS)
        while len(await self._database.rows("delete_expired_events", now=None, chunk=CHUNK)) == CHUNK:
            pass
        for (partition,) in await self._database.rows("list_partitions", now=None):
            await self._database.rows("drop_partition", name=partition, now=None)

    async def _create_partitions(self) -> None:
        now = datetime.now(UTC)
        if self._partitioned_on is not None and now - self._partitioned_on < timedelta(hours=6):
            return
        await self._database.rows(
            "create_partitions",
            first_day=now.date() - timedelta(days=1),
            last_day=now.date() + timedelta(days=DAYS_AHEAD),
        )
        self._partitioned_on = now
