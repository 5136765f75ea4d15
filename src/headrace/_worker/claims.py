"""Claims jobs: as many as there are free places, whenever there are both.

A claim that comes back short means that the line is empty (unless it found a lane that was not known; see marks.py):
the next look is then made when a notification says so, and otherwise a few milliseconds later, and later and later
while nothing comes. Claims are never concurrent, so between two of them the worker knows exactly which jobs it holds:
if the answer to a claim was lost, what runs under this lease and is not in its hands is handed back (ENGINE 1).
"""

from __future__ import annotations

import asyncio
import logging
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import psycopg

from headrace._worker.attempt import Attempt
from headrace._worker.marks import Marks
from headrace.errors import DatabaseUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from headrace._store.database import Database
    from headrace._worker.runner import Runner
    from headrace._worker.settles import Settles
    from headrace._worker.timings import Timings

CLAIM_DEADLINE_S = 10.0
LINE_ORDER = itemgetter(8, 9)
"""The rank and position that a claim answers."""

_RETRY_S = 0.25
_log = logging.getLogger("headrace.worker")


class Claims:
    """The claiming side of a worker.

    Args:
        queues: The places of each queue.
    """

    def __init__(
        self, database: Database, runner: Runner, settles: Settles, timings: Timings, queues: dict[str, int]
    ) -> None:
        self._database = database
        self._runner = runner
        self._settles = settles
        self._timings = timings
        self.places = dict(queues)
        self.marks = Marks(list(queues))
        self._taken = dict.fromkeys(queues, 0)
        self._work = asyncio.Event()
        self._place = asyncio.Event()
        self._alone = asyncio.Event()
        self._alone.set()
        self._doubt = False
        self._claiming = asyncio.Lock()
        self.suspect: Attempt | None = None
        self.suspect_over = asyncio.Event()

    # -- what others tell --

    def wake(self, queue: str) -> None:
        """Jobs came to this queue ("" for any)."""
        if not queue or queue in self.places:
            self._work.set()

    def release(self, attempt: Attempt) -> None:
        """An attempt has ended: its place is free."""
        self._taken[attempt.queue] -= 1
        self._place.set()
        if attempt is self.suspect:
            self.suspect = None
            self.suspect_over.set()

    def set_places(self, places: dict[str, int]) -> None:
        """Change the queues' places; those that are taken beyond them are not taken back."""
        if places != self.places:
            self.places = places
            self._place.set()

    @property
    def idle(self) -> bool:
        """Whether no attempt is running."""
        return not self._runner.running

    async def place_freed(self) -> None:
        """Wait until the next attempt ends."""
        self._place.clear()
        await self._place.wait()

    # -- the loop --

    async def run(self) -> None:
        """Claim and start jobs until cancelled."""
        wait_s = self._timings.first_poll_s
        while True:
            await self._settles.room.wait()
            await self._alone.wait()
            free = self._free_places()
            if not free:
                await self._wait_for(self._place)
                continue
            self._work.clear()
            claimed = await self._start_claimed(free)
            if claimed >= sum(free.values()) or self.marks.discovered:
                wait_s = self._timings.first_poll_s
                await asyncio.sleep(0)
            else:
                wait_s = self._timings.first_poll_s if claimed else min(wait_s * 2, self._timings.longest_poll_s)
                if await self._wait_for(self._work, wait_s):
                    wait_s = self._timings.first_poll_s

    def _free_places(self) -> dict[str, int]:
        return {name: places - self._taken[name] for name, places in self.places.items() if places > self._taken[name]}

    async def _start_claimed(self, free: dict[str, int]) -> int:
        """Claim for the free places and start what was claimed; how many."""
        try:
            if self.marks.wants_look:
                await self._look_for_writers()
            return await self._claim(free)
        except DatabaseUnavailable as error:
            self.marks.forget()
            _log.warning("cannot claim jobs, trying again: %s", error)
            await asyncio.sleep(_RETRY_S)
            return 0

    async def _look_for_writers(self) -> None:
        positions = self.marks.positions()
        self.marks.saw_writers(positions, await self._database.value("list_writers"))

    async def _claim(self, free: dict[str, int]) -> int:
        def learn(rows: list[tuple[Any, ...]]) -> None:
            self.marks.claimed(free, rows)

        return await self._start_from(
            "claim_jobs", learn, queues=list(free), places=list(free.values()), **self.marks.segments(free)
        )

    async def _start_from(
        self, query: str, learn: Callable[[list[tuple[Any, ...]]], None] | None = None, **parameters: Any
    ) -> int:
        """Claim with one of the two statements and start what was claimed, before anybody else may claim here."""
        async with self._claiming:
            if self._doubt:
                await self._hand_back_unheld()
            try:
                rows = await self._database.rows(
                    query, CLAIM_DEADLINE_S, worker_id=self._runner.worker_id, **parameters
                )
            except BaseException:
                self._doubt = True  # it may have claimed all the same
                raise
            rows.sort(key=LINE_ORDER)
            if learn is not None:
                learn(rows)
            for row in rows:
                self._start(Attempt(row))
        return len(rows)

    def _start(self, attempt: Attempt) -> None:
        if attempt.suspicion:
            self.suspect = attempt
            if attempt.suspicion >= self._timings.poison_limit:
                return  # it has to run alone
        self._taken[attempt.queue] = self._taken.get(attempt.queue, 0) + 1
        self._runner.start(attempt)

    async def hand_back_unheld(self) -> None:
        """Hand back what a cancelled or unanswered claim may have left, and a suspect that has not been started."""
        async with self._claiming:
            if self.suspect is not None and self.suspect.id not in self._runner.running:
                self.suspect, self._doubt = None, True
            if self._doubt:
                await self._hand_back_unheld()

    async def _hand_back_unheld(self) -> None:
        held: list[Any] = [*self._runner.running, *self._runner.buried]
        held += self._settles.unsettled_ids()
        held += [self.suspect.id] if self.suspect is not None else []
        try:
            rows = await self._database.rows("hand_back_unheld", worker_id=self._runner.worker_id, held=held)
        except psycopg.errors.LockNotAvailable:
            return  # the claim is still at work, or the heart beats: again before the next claim
        self._doubt = False
        if rows:
            _log.warning("handed back %d jobs whose claim was not answered", len(rows))

    async def _wait_for(self, event: asyncio.Event, seconds: float | None = None) -> bool:
        event_set = True
        if event is self._place:
            event.clear()
            if self._free_places():
                return True
        try:
            async with asyncio.timeout(seconds):
                await event.wait()
        except TimeoutError:
            event_set = False
        return event_set

    # -- suspects --

    async def run_suspect(self) -> float | None:
        """One round of looking for a suspect: a job that was running when a worker was lost.

        A worker runs one suspect at a time, so that a loss can be pinned on it; a suspect's last try runs beside
        nothing else at all, so that no innocent job can be failed for another's crime.
        """
        if self.suspect is not None:
            await self.suspect_over.wait()
        self.suspect_over.clear()
        if not await self._start_from("claim_suspect", queues=list(self._free_places())):
            return None
        if self.suspect is not None and self.suspect.id not in self._runner.running:
            await self._run_alone(self.suspect)
        await self.suspect_over.wait()
        return 0.0

    async def _run_alone(self, attempt: Attempt) -> None:
        self._alone.clear()
        try:
            while not self.idle:
                await self.place_freed()
            self._taken[attempt.queue] = self._taken.get(attempt.queue, 0) + 1
            self._runner.start(attempt)
            await self.suspect_over.wait()
        finally:
            self._alone.set()
