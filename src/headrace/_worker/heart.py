"""The worker's side of its lease: who beats, and what happens when the lease is lost.

Two hearts:

* `GuardianHeart`, for worker processes: the beat comes from a small process of its own (guardian.py), which neither a
  busy event loop nor the GIL can silence, and which ends this process at the lease's deadline.
* `LoopHeart`, for workers that live for a moment inside another program (tests, ``drain``): a loop beats; if the lease
  is lost the worker stops and settles nothing.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import subprocess
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

from headrace._worker.loops import Loop
from headrace.errors import DatabaseUnavailable, LeaseLost

if TYPE_CHECKING:
    from collections.abc import Callable

    from headrace._store.database import Database
    from headrace._worker.attempt import Settle
    from headrace._worker.timings import Timings

_GOODBYE_S = 5.0
"""A guardian that was told "bye" has nothing left to do; one that is still there after this is stuck."""
_log = logging.getLogger("headrace.worker")


class Heart(Protocol):
    """Keeps a lease.

    Attributes:
        buried: Whether an outcome is to be recorded after this process's end: the lease must then last until it.
        outlives: Whether the lease can outlast this worker; if not, it stays until its last thread has returned.
    """

    buried: bool
    outlives: bool

    async def start(self, worker_id: int) -> None:
        """Begin to beat for this lease."""

    async def stop(self) -> None:
        """Beat no more; the worker ends the lease itself."""

    def watch_group(self, pid: int) -> None:
        """This process group belongs to the worker, and must end with it."""

    def bury(self, settle: Settle) -> None:
        """Record this outcome once the worker's process is gone: its thread cannot be stopped before."""


class LoopHeart:
    """Beats from the event loop.

    Args:
        database: Where.
        timings: How often.
        on_lost: Called once when the lease is gone.
    """

    def __init__(self, database: Database, timings: Timings, on_lost: Callable[[Exception], None]) -> None:
        self._database = database
        self._timings = timings
        self._on_lost = on_lost
        self._worker_id = 0
        self._last_success = 0.0
        self._task: asyncio.Task[None] | None = None
        self.buried = False
        self.outlives = True
        self.beats = Loop("heartbeat", timings.beat_s, self._beat)

    async def start(self, worker_id: int) -> None:
        self._worker_id = worker_id
        self._last_success = asyncio.get_running_loop().time()
        self._task = asyncio.create_task(self.beats.run(), name="headrace heartbeat")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def watch_group(self, pid: int) -> None:
        """Process tasks end on EOF of their pipe; there is nobody else to tell."""

    def bury(self, settle: Settle) -> None:
        """Nobody outlives this process: the rescue of its lease will do."""

    async def _beat(self) -> None:
        sent = asyncio.get_running_loop().time()
        try:
            alive = await self._database.rows("beat_workers", self._timings.lease_s / 2, worker_ids=[self._worker_id])
        except DatabaseUnavailable:
            if sent - self._last_success > self._timings.lease_s:
                self._on_lost(LeaseLost("no heartbeat reached the database within the lease"))
            raise
        if not alive:
            self._on_lost(LeaseLost("the lease was ended by another worker"))
        self._last_success = sent


class GuardianHeart:
    """Starts the guardian and shows it that the loop is alive.

    Args:
        url: Where the guardian beats.
        schema: In which schema.
        timings: How often.
        owns_group: Whether the whole process group is this worker's, so that the guardian may end all of it.
    """

    def __init__(self, url: str, schema: str, timings: Timings, *, owns_group: bool) -> None:
        self._url = url
        self._schema = schema
        self._timings = timings
        self._owns_group = owns_group
        self._worker_id = 0
        self._groups: set[int] = set()
        self._to_bury: list[Settle] = []
        self._guardian: subprocess.Popen[bytes] | None = None
        self._ticker: asyncio.Task[None] | None = None
        self.buried = False
        self.outlives = True

    async def start(self, worker_id: int) -> None:
        self._worker_id = worker_id
        await asyncio.to_thread(self._spawn)
        self._ticker = asyncio.create_task(self._tick(), name="headrace tick")

    async def stop(self) -> None:
        if self._ticker is not None:
            self._ticker.cancel()
        self._say({"bye": True})
        if self._guardian is not None and self._guardian.stdin is not None:
            self._guardian.stdin.close()
            await asyncio.to_thread(_end, self._guardian)

    def watch_group(self, pid: int) -> None:
        self._groups.add(pid)
        self._say({"group": pid})

    def bury(self, settle: Settle) -> None:
        self.buried = True
        self._to_bury.append(settle)
        self._say({"bury": list(settle)})

    def _spawn(self) -> None:
        settings = {
            "url": self._url,
            "schema": self._schema,
            "worker_id": self._worker_id,
            "pid": os.getpid(),
            "owns_group": self._owns_group,
            "beat_s": self._timings.beat_s,
            "lease_s": self._timings.lease_s,
            "stall_s": self._timings.stall_s,
            "poison_limit": self._timings.poison_limit,
        }
        if self._guardian is not None and self._guardian.stdin is not None:
            self._guardian.stdin.close()
        # A session of its own: neither Ctrl-C in the terminal nor the end of the worker's group may end it.
        self._guardian = subprocess.Popen(
            [sys.executable, "-m", "headrace._worker.guardian"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
            bufsize=0,
        )
        self._say(settings)

    async def _tick(self) -> None:
        while True:
            if self._guardian is None or self._guardian.poll() is not None:
                _log.error("the guardian of this worker died; starting another")
                try:
                    await asyncio.to_thread(self._spawn)
                    self._repeat()
                except OSError as error:
                    _log.error("cannot start a guardian, trying again: %s", error)
            self._say({"tick": True})
            await asyncio.sleep(self._timings.tick_s)

    def _repeat(self) -> None:
        for pid in self._groups:
            self._say({"group": pid})
        for settle in self._to_bury:
            self._say({"bury": list(settle)})

    def _say(self, words: dict[str, object]) -> None:
        if self._guardian is None or self._guardian.stdin is None or self._guardian.stdin.closed:
            return
        with suppress(BrokenPipeError):  # it died; the next tick notices
            self._guardian.stdin.write(json.dumps(words).encode() + b"\n")


def _end(guardian: subprocess.Popen[bytes]) -> None:
    try:
        guardian.wait(_GOODBYE_S)
    except subprocess.TimeoutExpired:
        guardian.kill()
        guardian.wait()
