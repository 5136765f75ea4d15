"""Claims jobs: as many as there are free places, whenever there are both.

A claim that comes back short means that the line is empty (unless it found a lane that was not known; see marks.py):
the next look is then made when a notification says so, and otherwise a few milliseconds later, and later and later
while nothing comes. Claims are never concurrent, so between two of them the worker knows exactly which jobs it holds:
if the answer to a claim was lost, what runs under this lease and is not in its hands is handed back (ENGINE 1).

What was claimed is started a slice at a time. Between two slices outcomes leave for the database, and when half of the
places are free again, the next claim does: so the worker and the database work at the same time.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import psycopg

from headrace._store.arrays import array, text_array
from headrace._worker.attempt import Attempt
from headrace._worker.limited import Limited
from headrace._worker.marks import Marks
from headrace.errors import DatabaseUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from headrace._store.database import Database
    from headrace._worker.runner import Runner
    from headrace._worker.settles import Settles
    from headrace._worker.timings import Timings

CLAIM_DEADLINE_S = 10.0
COLUMNS = 11
"""Of a claimed job; a timed claim has one more."""
LINE_ORDER = itemgetter(8, 9)
"""The rank and position that a claim answers."""
SLICE = 64
"""So many attempts are started without a look at the event loop: a millisecond's worth of the shortest handlers."""

TIMED = {"claim_jobs": "claim_jobs_timed", "claim_limited_jobs": "claim_limited_jobs_timed"}
"""The same claims, which answer the waits too."""

_RETRY_S = 0.25
_BUSY_S = 0.002
"""So much later than a gate opens, or while another worker claims limited jobs."""
_log = logging.getLogger("headrace.worker")


class Claims:
    """The claiming side of a worker.

    Args:
        queues: The places of each queue.
        time_waits: Whether claims answer how long each job had been due, too.

    Attributes:
        claimed: How many jobs came.
        calls: With how many statements.
        left: So many more jobs may be claimed; None: no bound.
    """

    def __init__(
        self,
        database: Database,
        runner: Runner,
        settles: Settles,
        timings: Timings,
        queues: dict[str, int],
        *,
        time_waits: bool = False,
    ) -> None:
        self._database = database
        self._runner = runner
        self._settles = settles
        self._timings = timings
        self.places = dict(queues)
        self.claimed = 0
        self.calls = 0
        self._time_waits = time_waits
        self.marks = Marks(list(queues))
        self.limited = Limited(queues)
        self._taken = dict.fromkeys(queues, 0)
        self._unstarted: deque[Attempt] = deque()
        self._to_start = asyncio.Event()
        self._work = asyncio.Event()
        self._place = asyncio.Event()
        self._alone = asyncio.Event()
        self._alone.set()
        self._doubt = False
        self._claiming = asyncio.Lock()
        self._told: tuple[Any, ...] | None = None  # the first row of a limited claim, which is no job
        self.left: int | None = None
        self._turn = 0
        self._cut = False  # queues were left out, since few jobs are left to claim
        self.suspect: Attempt | None = None
        self.suspect_over = asyncio.Event()

    # -- what others tell --

    def wake(self, queue: str) -> None:
        """Jobs came to this queue ("" for any)."""
        if not queue or queue in self.places:
            self._work.set()

    def taken(self) -> dict[str, int]:
        """How many places of each queue are taken."""
        return dict(self._taken)

    def release(self, attempt: Attempt) -> None:
        """An attempt has ended: its place is free."""
        self._taken[attempt.queue] -= 1
        self._place.set()
        if attempt is self.suspect:
            self.suspect = None
            self.suspect_over.set()

    def slots_freed(self) -> None:
        """Outcomes were recorded: limited jobs may have waited for them."""
        if self.limited.queues:
            self._work.set()

    def set_limited(self, queues: Iterable[str]) -> None:
        """Say to which queues limits apply."""
        limited = frozenset(self.places).intersection(queues)
        if limited != self.limited.queues:
            self.limited.queues = limited
            self._work.set()

    def set_places(self, places: dict[str, int]) -> None:
        """Change the queues' places; those that are taken beyond them are not taken back."""
        if places != self.places:
            self.places = places
            self._place.set()

    @property
    def idle(self) -> bool:
        """Whether nothing is claimed here that is not over."""
        return not self._runner.running and not self._unstarted

    async def place_freed(self) -> None:
        """Wait until the next attempt ends."""
        self._place.clear()
        await self._place.wait()

    # -- the loops --

    async def run(self) -> None:
        """Claim and start jobs until cancelled."""
        try:
            async with asyncio.TaskGroup() as loops:
                loops.create_task(self._keep_claiming())
                loops.create_task(self._keep_starting())
        finally:
            self._put_down_unstarted()

    async def _keep_claiming(self) -> None:
        wait_s = self._timings.first_poll_s
        while True:
            await self._settles.room.wait()
            await self._alone.wait()
            free = await self._worthwhile_places()
            self._work.clear()
            claimed = await self._try_to_claim(free)
            if claimed >= sum(free.values()) or self.marks.discovered or self.limited.again:
                wait_s = self._timings.first_poll_s
                await asyncio.sleep(0)
            else:
                again = claimed or self._cut
                wait_s = self._timings.first_poll_s if again else min(wait_s * 2, self._timings.longest_poll_s)
                opens_s = self.limited.opens_s
                if await self._work_comes(wait_s if opens_s is None else min(wait_s, opens_s + _BUSY_S)):
                    wait_s = self._timings.first_poll_s

    async def _keep_starting(self) -> None:
        while True:
            await self._to_start.wait()
            for _ in range(min(SLICE, len(self._unstarted))):
                self._runner.start(self._unstarted.popleft())
            if not self._unstarted:
                self._to_start.clear()
                self._place.set()
            await asyncio.sleep(0)

    def _put_down_unstarted(self) -> None:
        """What will not be started any more is to be handed back."""
        while self._unstarted:
            self._doubt = True
            self._taken[self._unstarted.popleft().queue] -= 1

    async def _worthwhile_places(self) -> dict[str, int]:
        """Wait for free places: half of them, while jobs that are about to be started will free more."""
        while True:
            free = self._free_places()
            if free and (not self._unstarted or 2 * sum(free.values()) >= sum(self.places.values())):
                return free
            await self.place_freed()

    def _free_places(self) -> dict[str, int]:
        free = {name: places - self._taken[name] for name, places in self.places.items() if places > self._taken[name]}
        if self.left is None:
            return free
        self._turn += 1
        shared = share_out(free, self.left, self._turn)
        self._cut = len(shared) < len(free)
        return shared

    async def _try_to_claim(self, free: dict[str, int]) -> int:
        """Claim for the free places; how many jobs came."""
        try:
            claimed = await self._claim(free)
            if self.marks.wants_look or self.limited.marks.wants_look:
                await self._look_for_writers()
        except DatabaseUnavailable as error:
            self.marks.forget()
            self.limited.forget()
            _log.warning("cannot claim jobs, trying again: %s", error)
            await asyncio.sleep(_RETRY_S)
            return 0
        return claimed

    async def _look_for_writers(self) -> None:
        known = [(marks, marks.positions()) for marks in (self.marks, self.limited.marks)]
        writers = await self._database.value("list_writers")
        for marks, positions in known:
            marks.saw_writers(positions, writers)

    async def _claim(self, free: dict[str, int]) -> int:
        limited = self.limited.queues
        if not limited:
            return await self._claim_plain(free)
        plain = {queue: places for queue, places in free.items() if queue not in limited}
        claimed = await self._claim_plain(plain) if plain else 0
        bounded = {queue: places for queue, places in free.items() if queue in limited}
        return claimed + await self._claim_limited(bounded) if bounded else claimed

    async def _claim_limited(self, free: dict[str, int], *, suspects: bool = False) -> int:
        def learn(rows: list[tuple[Any, ...]]) -> None:
            if not suspects:
                self.limited.learn(self._told, filled=len(rows) >= sum(free.values()))

        parameters = self.limited.parameters(free, suspects=suspects)
        return await self._claim_with("claim_limited_jobs", learn, **parameters)

    async def _claim_plain(self, free: dict[str, int]) -> int:
        def learn(rows: list[tuple[Any, ...]]) -> None:
            self.marks.claimed(free, rows)

        return await self._claim_with("claim_jobs", learn, **claim_parameters(free, self.marks))

    async def _claim_with(
        self, query: str, learn: Callable[[list[tuple[Any, ...]]], None] | None = None, **parameters: Any
    ) -> int:
        """Claim with one of the statements and take in hand what came, before anybody else may claim here."""
        timed = self._time_waits and query in TIMED
        async with self._claiming:
            if self._doubt:
                await self._hand_back_unheld()
            if self.left == 0:  # since the free places were counted
                return 0
            try:
                rows = await self._database.rows(
                    TIMED[query] if timed else query, CLAIM_DEADLINE_S, worker_id=self._runner.worker_id, **parameters
                )
            except BaseException:
                self._doubt = True  # it may have claimed all the same
                raise
            self._told = rows.pop(0)[:COLUMNS] if rows and rows[0][0] is None else None
            rows.sort(key=LINE_ORDER)
            if learn is not None:
                learn(rows)
            if self.left is not None:
                self.left -= len(rows)
            for row in rows:
                self._take(_timed(row) if timed else Attempt(row))
        self.calls += 1
        self.claimed += len(rows)
        return len(rows)

    def _take(self, attempt: Attempt) -> None:
        if attempt.suspicion:
            self.suspect = attempt
            if attempt.suspicion >= self._timings.poison_limit:
                return  # it has to run alone
        self._taken[attempt.queue] = self._taken.get(attempt.queue, 0) + 1
        self._unstarted.append(attempt)
        self._to_start.set()

    async def hand_back_unheld(self) -> None:
        """Hand back what a cancelled or unanswered claim may have left, and what has not been started."""
        async with self._claiming:
            self._put_down_unstarted()
            if self.suspect is not None and self.suspect.id not in self._runner.running:
                self.suspect, self._doubt = None, True
            if self._doubt:
                await self._hand_back_unheld()

    async def _hand_back_unheld(self) -> None:
        held: list[Any] = [*self._runner.running, *self._runner.buried]
        held += [attempt.id for attempt in self._unstarted]
        held += self._settles.unsettled_ids()
        held += [self.suspect.id] if self.suspect is not None else []
        try:
            rows = await self._database.rows("hand_back_unheld", worker_id=self._runner.worker_id, held=held)
        except psycopg.errors.LockNotAvailable:
            return  # the claim is still at work, or the heart beats: again before the next claim
        self._doubt = False
        if rows:
            _log.warning("handed back %d jobs whose claim was not answered", len(rows))

    async def _work_comes(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                await self._work.wait()
        except TimeoutError:
            return False
        return True

    # -- suspects --

    async def run_suspect(self) -> float | None:
        """One round of looking for a suspect: a job that was running when a worker was lost.

        A worker runs one suspect at a time, so that a loss can be pinned on it; a suspect's last try runs beside
        nothing else at all, so that no innocent job can be failed for another's crime.
        """
        if self.suspect is not None:
            await self.suspect_over.wait()
        self.suspect_over.clear()
        free = self._free_places()
        limited = dict.fromkeys(self.limited.queues.intersection(free), 1)
        if not await self._claim_with("claim_suspect", queues=list(free)) and not (
            limited and await self._claim_limited(limited, suspects=True)
        ):
            return None
        if self.suspect is not None and self.suspect.suspicion >= self._timings.poison_limit:
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


def _timed(row: tuple[Any, ...]) -> Attempt:
    """An attempt that knows its wait, the last column."""
    attempt = Attempt(row[:COLUMNS])
    attempt.wait_s = max(0.0, row[COLUMNS] or 0.0)  # null: it has only just come
    return attempt


def share_out(free: dict[str, int], most: int, turn: int) -> dict[str, int]:
    """So many of these places, about as many of each queue; which queues come first changes with the turn."""
    start = turn % (len(free) or 1)
    names = [*free][start:] + [*free][:start]
    shared: dict[str, int] = {}
    for place, name in enumerate(names):
        shared[name] = min(free[name], -(-most // (len(names) - place)))
        most -= shared[name]
    return {name: places for name, places in shared.items() if places}


def claim_parameters(places: dict[str, int], marks: Marks) -> dict[str, str | None]:
    """The parameters of claim_jobs.sql but the worker: places of queues, and what to scan for them."""
    segments = marks.segments(places)
    return {
        "queues": text_array(list(places)),
        "places": array(map(str, places.values())),
        "segment_queues": text_array(segments.pop("segment_queues")),
        **{name: array(map(str, numbers)) for name, numbers in segments.items()},
    }
