"""Records outcomes: attempts end one by one, and are settled many at a time.

While one statement is on its way, the next batch gathers: under load batches grow, when idle an outcome is written at
once. A batch that fails for its data is halved until the culprit is alone, and that one fails with the reason (ENGINE
3). A batch whose answer was lost is sent again with `again`, which recognises what the first one did. An outcome whose
job somebody holds in an open transaction is set aside, and tried again now and then: the others do not wait (ENGINE 8).
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from typing import TYPE_CHECKING, Any

import psycopg

from headrace._store.arrays import array, text_array
from headrace._worker.attempt import Settle, error_json
from headrace.errors import DatabaseUnavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from headrace._store.database import Database

MAX_BATCH = 1000
MAX_BATCH_CHARS = 4 << 20
"""Of results and errors: a batch has to be written within its deadline."""
BACKLOG = 4 * MAX_BATCH
"""A worker with so many unsettled outcomes claims no more."""
_RETRY_S = 0.25
_ASIDE_S = 0.5
_log = logging.getLogger("headrace.worker")


class Settles:
    """The outcomes that wait to be recorded.

    Args:
        database: Where.
        worker_id: Under which lease.
        before: Called before each batch: what handlers reported last must be written while their job still runs.
        after: Called after each batch.

    Attributes:
        settled: How many outcomes were recorded; not those that the watchdog's thread records.
        lost: How many were not, since their attempts were no longer this worker's.
        calls: With how many statements.
    """

    def __init__(
        self,
        database: Database,
        worker_id: int,
        before: Callable[[], Awaitable[None]],
        after: Callable[[Sequence[Settle]], None] = lambda _: None,
    ) -> None:
        self._database = database
        self._worker_id = worker_id
        self._loop = asyncio.get_running_loop()
        self._before = before
        self._after = after
        self._waiting: deque[Settle] = deque()
        self._in_flight: list[Settle] = []
        self._aside: list[Settle] = []
        self._lent: list[Settle] = []
        self._added = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self.room = asyncio.Event()
        self.room.set()
        self.lost = 0
        self.settled = 0
        self.calls = 0
        self._taking = threading.Lock()

    def add(self, settle: Settle) -> None:
        """Record this outcome soon."""
        self._waiting.append(settle)
        if not self._added.is_set():
            self._added.set()
            self._idle.clear()
        if len(self._waiting) > BACKLOG:
            self.room.clear()

    def lend(self) -> list[Settle]:
        """Give a batch to the watchdog's thread, which settles it while the loop is stuck."""
        self._lent = self.take()
        return self._lent

    def take_back(self, *, settled: bool) -> None:
        """The thread is done with its batch, or could not settle it."""
        if settled:
            self._loop.call_soon_threadsafe(self._after, self._lent)
        else:
            self._waiting.extend(self._lent)
            self._loop.call_soon_threadsafe(self._added.set)
        self._lent = []

    async def run(self) -> None:
        """Settle until cancelled."""
        while True:
            await self._added.wait()
            self._added.clear()
            while batch := self.take():
                self._in_flight = batch
                await self._write_reports()
                await self.settle(batch)
                self._after(batch)
                self._in_flight = []
                self.room.set()
            if not self._added.is_set() and not self._aside:
                self._idle.set()

    async def _write_reports(self) -> None:
        try:
            await self._before()
        except (DatabaseUnavailable, psycopg.Error) as error:
            _log.warning("progress and log lines are lost: %s", error)

    async def flush(self) -> None:
        """Wait until everything is recorded."""
        await self._idle.wait()

    def take(self) -> list[Settle]:
        """Take a batch out, in whatever thread."""
        batch: list[Settle] = []
        size_chars = 0
        with self._taking:
            while self._waiting and len(batch) < MAX_BATCH and size_chars < MAX_BATCH_CHARS:
                settle = self._waiting.popleft()
                size_chars += len(settle.result or "") + len(settle.error or "")
                batch.append(settle)
        return batch

    def unsettled_ids(self) -> list[str]:
        """Jobs whose outcome is not recorded yet."""
        return [settle.id for settle in (*self._waiting, *self._in_flight, *self._aside, *self._lent)]

    async def settle(self, batch: Sequence[Settle]) -> None:
        """Record a batch, however long the database is away."""
        again = False
        while batch:
            try:
                lost = await self._database.rows(
                    "settle_jobs", **settle_parameters(self._worker_id, batch, again=again)
                )
            except DatabaseUnavailable as error:
                _log.warning("cannot settle %d jobs, trying again: %s", len(batch), error)
                again = True
                await asyncio.sleep(_RETRY_S)
            except psycopg.errors.CheckViolation as error:
                if error.diag.constraint_name is not None:  # no constraint's name: no partition
                    raise
                await create_missing_partitions(self._database)
            except psycopg.errors.LockNotAvailable:
                batch = await self._set_aside(batch)
            except (psycopg.DataError, psycopg.errors.ProgramLimitExceeded) as error:
                await self._settle_apart(batch, error)
                return
            else:
                self.settled += len(batch) - len(lost)
                self.calls += 1
                self._report_lost([row[0] for row in lost])
                return

    async def _set_aside(self, batch: Sequence[Settle]) -> Sequence[Settle]:
        """Leave what somebody holds for later; the rest."""
        try:
            locked = {row[0] for row in await self._database.rows("list_locked", ids=[s.id for s in batch])}
        except DatabaseUnavailable:
            return batch
        if not locked:
            return batch
        _log.warning(
            "%d jobs are held by somebody's open transaction; their outcomes wait for it: %s",
            len(locked), ", ".join(sorted(locked)[:5]),
        )  # fmt: skip
        held = [settle for settle in batch if settle.id in locked]
        self._aside += held
        self._loop.call_later(_ASIDE_S, self._take_up, held)
        return [settle for settle in batch if settle.id not in locked]

    def _take_up(self, held: Sequence[Settle]) -> None:
        self._aside = [settle for settle in self._aside if settle not in held]
        self._waiting.extend(held)
        self._added.set()

    async def _settle_apart(self, batch: Sequence[Settle], error: psycopg.Error) -> None:
        if len(batch) == 1:
            reason = {"kind": "result", "message": f"the outcome could not be stored: {error.diag.message_primary}"}
            only = batch[0]
            await self.settle([Settle(only.id, only.run, "failed", 0, None, error_json(reason), None)])
            return
        middle = len(batch) // 2
        await self.settle(batch[:middle])
        await self.settle(batch[middle:])

    def _report_lost(self, ids: Sequence[str]) -> None:
        if ids:
            self.lost += len(ids)
            _log.warning(
                "%d attempts were no longer this worker's when they ended; their outcomes are not recorded: %s",
                len(ids), ", ".join(ids[:5]),
            )  # fmt: skip


async def create_missing_partitions(database: Database) -> None:
    """Those of today, for whoever was told that there is none; the caller tries again."""
    try:
        await database.rows("create_partitions_now")
    except psycopg.errors.LockNotAvailable:  # somebody is at it, or in its way
        await asyncio.sleep(_RETRY_S)


def settle_parameters(worker_id: int, batch: Sequence[Settle], *, again: bool = False) -> dict[str, Any]:
    """The parameters of settle_jobs.sql: one array for each field."""
    ids, runs, outcomes, waits_s, results, errors, progresses = zip(*batch, strict=True)
    return {
        "worker_id": worker_id,
        "ids": array(ids),
        "runs": array(map(str, runs)),
        "outcomes": array(outcomes),
        "waits_s": array(map(str, waits_s)),
        "results": text_array(results),
        "errors": text_array(errors),
        "progresses": text_array(progresses),
        "again": again,
    }
