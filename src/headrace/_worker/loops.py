"""The base of every background service of a worker: a named loop that cannot end by accident.

A round that fails is logged and tried again, later and later; one that takes too long is cut off by its statements' own
deadlines. Tests wait for rounds instead of sleeping.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable

from headrace.errors import DatabaseUnavailable

LONGEST_WAIT_S = 10.0
_log = logging.getLogger("headrace.worker")


class Loop:
    """Calls `step` again and again.

    Args:
        name: Appears in logs.
        every_s: How long to wait between rounds, give or take a tenth.
        step: One round; may return how many seconds to wait instead.
    """

    def __init__(self, name: str, every_s: float, step: Callable[[], Awaitable[float | None]]) -> None:
        self.name = name
        self._every_s = every_s
        self._step = step
        self._hurry = asyncio.Event()
        self._rounds = 0
        self._finished_round = asyncio.Condition()

    def hurry(self) -> None:
        """Start the next round now."""
        self._hurry.set()

    async def first_round(self) -> None:
        """Wait until the first round is over."""
        async with self._finished_round:
            await self._finished_round.wait_for(lambda: self._rounds > 0)

    async def round_done(self, after: int | None = None) -> int:
        """Wait until a round that starts from now on is over; returns the number of rounds so far. For tests."""
        target = (self._rounds if after is None else after) + 2
        async with self._finished_round:
            await self._finished_round.wait_for(lambda: self._rounds >= target)
        return self._rounds

    async def run(self) -> None:
        """Run until cancelled."""
        failures = 0
        while True:
            wait_s = self._every_s * random.uniform(0.9, 1.1)  # noqa: S311 - spreads load
            try:
                chosen = await self._step()
                wait_s = wait_s if chosen is None else chosen
                failures = 0
            except Exception as error:  # noqa: BLE001 - whatever it was, the loop goes on
                failures += 1
                wait_s = min(max(wait_s, 0.1 * 2**failures), LONGEST_WAIT_S)
                known = isinstance(error, DatabaseUnavailable)
                _log.warning("%s: %s; again in %.1f s", self.name, error, wait_s, exc_info=not known)
            await self._finish_round()
            await self._wait(wait_s)

    async def _finish_round(self) -> None:
        self._rounds += 1
        async with self._finished_round:
            self._finished_round.notify_all()

    async def _wait(self, wait_s: float) -> None:
        try:
            async with asyncio.timeout(wait_s):
                await self._hurry.wait()
        except TimeoutError:
            pass
        self._hurry.clear()
