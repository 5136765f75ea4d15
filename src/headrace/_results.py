"""Many callers that wait for results, one query that asks for all of them.

A waiting call is a future in a dictionary. While there are any, one loop asks the history which of these jobs have
finished, often at first and then less and less, and starts over when somebody new comes.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from uuid import UUID

from headrace.errors import AppClosed, DatabaseUnavailable, JobNotFound

if TYPE_CHECKING:
    from headrace._store.database import Database

FIRST_WAIT_S = 0.003
LONGEST_WAIT_S = 0.25
_GROWTH = 1.3
_EXISTENCE_EVERY = 8
"""Every so many queries, jobs without an outcome are looked for: one that was deleted must not be awaited for ever."""

Finished = tuple[str, str | None, dict[str, Any] | None]
"""State, result as JSON text, error."""


class ResultWaiter:
    """Waits for jobs to finish, on one connection for all callers of one event loop."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: dict[UUID, list[asyncio.Future[Finished]]] = {}
        self._poller: asyncio.Task[None] | None = None
        self._newcomer = asyncio.Event()

    async def wait(self, job_id: UUID) -> Finished:
        """Wait until the job has finished."""
        future: asyncio.Future[Finished] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(job_id, []).append(future)
        self._newcomer.set()
        if self._poller is None or self._poller.done():
            self._poller = asyncio.create_task(self._poll(), name="headrace results")
        try:
            return await future
        finally:
            self._forget(job_id, future)

    async def close(self) -> None:
        """Give up on everything that is awaited: those who wait get `AppClosed`."""
        while self._poller is not None and not self._poller.done():
            self._poller.cancel()  # again if it was lost: Python 3.11's wait_for, inside psycopg, may swallow it
            await asyncio.wait({self._poller}, timeout=1.0)
        self._fail_all(AppClosed("the app was closed while the job's result was awaited"))

    def _forget(self, job_id: UUID, future: asyncio.Future[Finished]) -> None:
        futures = self._waiting.get(job_id, [])
        if future in futures:
            futures.remove(future)
        if not futures:
            self._waiting.pop(job_id, None)

    async def _poll(self) -> None:
        wait_s, queries = FIRST_WAIT_S, 0
        while self._waiting:
            try:
                await self._ask(look_for_missing=queries % _EXISTENCE_EVERY == 0)
            except DatabaseUnavailable:
                wait_s = LONGEST_WAIT_S
            except Exception as error:  # noqa: BLE001 - it belongs to those who wait
                self._fail_all(error)
                return
            queries += 1
            wait_s = min(wait_s * _GROWTH, LONGEST_WAIT_S)
            if await self._somebody_came(wait_s):
                wait_s, queries = FIRST_WAIT_S, 0

    async def _somebody_came(self, wait_s: float) -> bool:
        self._newcomer.clear()
        try:
            async with asyncio.timeout(wait_s):
                await self._newcomer.wait()
        except TimeoutError:
            return False
        return True

    async def _ask(self, *, look_for_missing: bool) -> None:
        ids = list(self._waiting)
        oldest = min(ids)
        found = await self._database.rows("find_outcomes", ids=ids, oldest=oldest)
        for job_id, state, result, error in found:
            self._resolve(UUID(job_id), (state, result, error))
        if look_for_missing and (unfinished := [i for i in ids if i in self._waiting]):
            known = {row[0] for row in await self._database.rows("find_ids", ids=unfinished)}
            for job_id in unfinished:
                if job_id not in known:
                    self._reject(job_id, JobNotFound(f"no job has the id {job_id}: deleted, or out of retention"))

    def _resolve(self, job_id: UUID, finished: Finished) -> None:
        for future in self._waiting.pop(job_id, []):
            if not future.done():
                future.set_result(finished)

    def _reject(self, job_id: UUID, error: Exception) -> None:
        for future in self._waiting.pop(job_id, []):
            if not future.done():
                future.set_exception(error)

    def _fail_all(self, error: Exception) -> None:
        for job_id in list(self._waiting):
            self._reject(job_id, error)
