"""How the queues, the workers and the database are at one moment: what metrics show and alerts judge."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from headrace.errors import DatabaseUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from headrace._store.database import Database

DEADLINE_S = 30.0
"""The statement reads all unfinished jobs: a second for a million of them."""
KEPT_S = 5.0
LONGEST_REST_S = 300.0
SHARE = 0.02
"""Of the time that passes, the statement may take so much: after one of a second, none is sent for 50."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Vitals:
    """The rows of read_vitals.sql, which has their fields.

    Attributes:
        queues: name, jobs (by state), oldest_s (how long the oldest queued job has been due, else 0), paused.
        workers: id, host, draining, silent_s (since the last heartbeat).
        lost_workers: id, host, pid, lost_s_ago: those whose lease lapsed within an hour.
        breakers: name, state.
        limits: Of concurrency limits: name, bound, used, keys (those that are in use).
        schedules: overdue (how many are), lateness_s (of the one that is most), latest (which that is).
        missed: schedule, ticks, outcome: moments within an hour that got no job since nobody ticked in time, or the job
            was refused.
        holders: kind, name, age_s, transactions: what holds the horizon back, the oldest first.
        connections: How many of the server, by state; "hidden" are those whose state our role may not see.
        max_connections: The server's bound.
        tables: name, dead, live (rows as last estimated), bytes: of the tables that change with every job.
        took_s: How long it took to ask.
    """

    queues: list[dict[str, Any]]
    workers: list[dict[str, Any]]
    lost_workers: list[dict[str, Any]]
    breakers: list[dict[str, Any]]
    limits: list[dict[str, Any]]
    schedules: dict[str, Any]
    missed: list[dict[str, Any]]
    holders: list[dict[str, Any]]
    connections: dict[str, int]
    max_connections: int
    tables: list[dict[str, Any]]
    took_s: float


async def read_vitals(database: Database) -> Vitals:
    """Ask the database.

    Raises:
        DatabaseUnavailable: It does not answer.
    """
    begun_s = time.perf_counter()
    (record,) = await database.records("read_vitals", DEADLINE_S)
    filled = {name: value if value is not None else [] for name, value in record.items()}
    return Vitals(**filled, took_s=time.perf_counter() - begun_s)


def rest_after(took_s: float) -> float:
    """How long not to ask again after a statement that took so long."""
    return min(took_s / SHARE, LONGEST_REST_S)


class CachedVitals:
    """Vitals that are some seconds old at most, asked once however many want them.

    They are kept for `KEPT_S`, and for longer where asking is dear; so is the news that they are not to be had.

    Args:
        clock: Monotonic, in seconds; tests step it.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._kept: Vitals | DatabaseUnavailable | None = None
        self._until = 0.0
        self._asking = asyncio.Lock()

    async def read(self, database: Database) -> Vitals:
        """The vitals of this moment, or of a moment ago.

        Raises:
            DatabaseUnavailable: It does not answer.
        """
        async with self._asking:
            if self._kept is None or self._clock() >= self._until:
                begun_s = self._clock()
                try:
                    self._kept = await read_vitals(database)
                except DatabaseUnavailable as error:
                    self._kept = error
                ended_s = self._clock()
                self._until = ended_s + max(KEPT_S, rest_after(ended_s - begun_s))
            if isinstance(self._kept, DatabaseUnavailable):
                raise self._kept
            return self._kept
