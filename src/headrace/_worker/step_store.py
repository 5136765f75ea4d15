"""Where steps are loaded from and recorded.

On connections of their own, so that neither settles nor handlers wait for them.

Opened by the first step, since most workers run none. Bound to one event loop; handlers in threads, and in process
tasks, hand their statements over to it.

A statement is repeated until it is answered. The step's function has been called by then, and calling it again is
worse than to wait; if the worker loses its lease meanwhile, it is ended, as everywhere. After an answer that was
lost, `again` tells the database to look for what the first call recorded.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, TypeVar

import psycopg

from headrace._store.database import Database
from headrace._worker.settles import create_missing_partitions
from headrace.errors import ConfigurationError, DatabaseUnavailable

if TYPE_CHECKING:
    from collections.abc import Coroutine

MAX_CONNECTIONS = 10
"""As many as handlers have: a step waits for its commit, and commits that come together share it."""
_RETRY_S = 0.25
_log = logging.getLogger("headrace.worker")
T = TypeVar("T")


class StepStore:
    """The statements of steps, for all attempts of a process; made on the event loop that it is bound to."""

    def __init__(self, url: str, schema: str) -> None:
        self.schema = schema
        self._database = Database(url, schema, max_connections=MAX_CONNECTIONS, application="headrace steps")
        self._loop = asyncio.get_running_loop()
        self._opening = asyncio.Lock()
        self._opened = False

    async def close(self) -> None:
        """Close the connections."""
        if self._opened:
            await self._database.close()

    # -- from any loop, from any thread --

    async def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run one of the coroutines that speak to this store, from a coroutine."""
        if asyncio.get_running_loop() is self._loop:
            return await coroutine
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(coroutine, self._loop))

    def run_sync(self, coroutine: Coroutine[Any, Any, T], instead: str) -> T:
        """Run one from a function in a thread or process task.

        Args:
            coroutine: What to run.
            instead: What to call in a coroutine, for which this would wait for ever.
        """
        try:
            running = asyncio.get_running_loop()
        except RuntimeError:
            running = None
        if running is self._loop:
            coroutine.close()
            raise ConfigurationError(f"this handler is a coroutine: `await ctx.{instead}(...)`, without _sync")
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    # -- on its own loop --

    async def rows(self, name: str, /, **parameters: Any) -> list[tuple[Any, ...]]:
        """What a statement answers, however long the database is away."""
        while True:
            try:
                await self._open()
                return await self._database.rows(name, **parameters)
            except DatabaseUnavailable as error:
                _log.warning("%s: trying again: %s", name, error)
            except psycopg.errors.LockNotAvailable:
                _log.warning("%s: somebody's open transaction holds the job; trying again", name)
            except psycopg.errors.CheckViolation as error:
                if error.diag.constraint_name is not None:  # no constraint's name: no partition
                    raise
                await create_missing_partitions(self._database)
                continue
            if "again" in parameters:
                parameters["again"] = True
            await asyncio.sleep(_RETRY_S)

    async def _open(self) -> None:
        async with self._opening:
            if not self._opened:
                await self._database.open()
                self._opened = True
