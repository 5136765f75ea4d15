"""Does what operators have started, a chunk of jobs at a time (operations.py).

A worker takes an operation for ten seconds, and again with each chunk. It looks for the next jobs, then
headrace.run_chunk acts on them and counts them in one transaction. A worker that dies in between leaves the operation
where its last chunk ended; another one takes it when the ten seconds are over. Two that have it at the same time, since
one of them was slow, do no chunk twice: its number is the fence.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

import psycopg

from headrace._store.searching import Look, Place
from headrace.errors import ConfigurationError, FilterError
from headrace.filter import Filter

if TYPE_CHECKING:
    from collections.abc import Callable

    from headrace._store.database import Database

CHUNK = 500
ROUND_S = 1.0
"""Then other operations have their turn."""

LOOK_S = 2.0
"""For a chunk, jobs are looked for so long; what is found by then is a chunk, even if it is nothing."""

_DEADLINE_S = 60.0
_log = logging.getLogger("headrace.worker")


class Operating:
    """One worker's part in it.

    Args:
        clock: Monotonic; tests step it.
        chunk: How many jobs.
    """

    def __init__(self, database: Database, clock: Callable[[], float] = time.monotonic, *, chunk: int = CHUNK) -> None:
        self._database = database
        self._clock = clock
        self._chunk = chunk

    async def operate(self) -> float | None:
        """Do some chunks of one operation; how many seconds to wait for the next round."""
        taken = await self._database.records("take_operation", now=None)
        if not taken:
            return None
        operation = taken[0]
        try:
            over = await self._run(operation)
        except (FilterError, ConfigurationError) as error:  # a newer version wrote it
            await self._database.rows("fail_operation", id=operation["id"], problem=str(error))
            _log.error("operation %d cannot be done: %s", operation["id"], error)
            over = True
        except psycopg.errors.CheckViolation as error:
            if error.diag.constraint_name is None:  # no partition for what goes to the history
                await self._database.rows("create_partitions_now")
            raise
        if not over:
            await self._database.rows("give_back_operation", id=operation["id"])
        return 0.0

    async def _run(self, operation: dict[str, Any]) -> bool:
        """Whether nothing is left to do of it, for this worker."""
        until = self._clock() + ROUND_S
        find = self._listed(operation) if operation["ids"] is not None else self._matching(operation)
        chunk = operation["chunks"]
        while True:
            ids, place, last = await find()
            ours = await self._database.value(
                "run_chunk", _DEADLINE_S, id=operation["id"], chunk=chunk, ids=ids, place=place, last=last
            )
            if not ours or last:
                return True
            chunk += 1
            if self._clock() >= until:
                return False

    def _matching(self, operation: dict[str, Any]) -> Callable[[], Any]:
        place = Place.decode(operation["place"]) if operation["place"] else Place(operation["created_at"])
        look = Look(self._database, Filter.parse(operation["filter"]), operation["tenant"], place, ids_only=True)

        async def find() -> tuple[list[str], str | None, bool]:
            rows = await look.find(self._chunk, LOOK_S)
            return [row["id"] for row in rows], look.place.encode() if look.place else None, look.place is None

        return find

    def _listed(self, operation: dict[str, Any]) -> Callable[[], Any]:
        ids, begin = operation["ids"], int(operation["place"] or 0)

        async def find() -> tuple[list[str], str | None, bool]:
            nonlocal begin
            chosen = ids[begin : begin + self._chunk]
            begin += self._chunk
            return chosen, str(begin), begin >= len(ids)

        return find
