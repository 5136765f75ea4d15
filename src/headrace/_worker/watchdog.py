"""A thread that sees when the event loop is stuck.

It names the handler that blocks the loop, with the stack, after a second; and it records what had ended before, which
the loop cannot do now (ENGINE 40): otherwise one handler that blocks would make others' finished work run again.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import time
import traceback
from typing import TYPE_CHECKING

import psycopg

from headrace._store.connect import connect_sync
from headrace._store.sql import query
from headrace._worker.settles import settle_parameters
from headrace.errors import DatabaseUnavailable

if TYPE_CHECKING:
    from headrace._store.database import Database
    from headrace._worker.settles import Settles
    from headrace._worker.timings import Timings

_log = logging.getLogger("headrace.worker")


class Watchdog:
    """Watches the running loop from a thread.

    Attributes:
        stalls: How often the loop was found stuck.
    """

    def __init__(self, database: Database, settles: Settles, worker_id: int, timings: Timings) -> None:
        self._database = database
        self._settles = settles
        self._worker_id = worker_id
        self._timings = timings
        self._loop = asyncio.get_running_loop()
        self._loop_thread = threading.get_ident()
        self._answered = time.monotonic()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="headrace watchdog", daemon=True)
        self.stalls = 0

    def start(self) -> None:
        """Begin to watch."""
        self._answer()
        self._thread.start()

    def stop(self) -> None:
        """Watch no more."""
        self._over.set()

    def _answer(self) -> None:
        self._answered = time.monotonic()
        if not self._over.is_set():
            self._loop.call_later(self._timings.stall_warning_s / 4, self._answer)

    def _watch(self) -> None:
        warned_at = 0.0
        while not self._over.wait(self._timings.stall_warning_s / 4):
            answered = self._answered
            stuck_s = time.monotonic() - answered
            if stuck_s < self._timings.stall_warning_s:
                continue
            if warned_at != answered:
                warned_at = answered
                self.stalls += 1
                self._warn(stuck_s)
            self._settle_for_the_loop()

    def _warn(self, stuck_s: float) -> None:
        frame = sys._current_frames().get(self._loop_thread)  # noqa: SLF001 - the documented way to see other threads
        stack = "".join(traceback.format_stack(frame)) if frame else "(not available)"
        _log.warning(
            "%s has blocked the event loop for %.1f s; every other job of this worker waits. Await something, or make "
            "it a plain function so that it runs in a thread.\n%s",
            self._blocker(), stuck_s, stack,
        )  # fmt: skip

    def _blocker(self) -> str:
        task = asyncio.current_task(self._loop)
        coroutine = task.get_coro() if task else None
        frame = getattr(coroutine, "cr_frame", None)
        attempt = frame.f_locals.get("attempt") if frame else None
        return f"task {attempt.task_name} (job {attempt.id})" if attempt else "something"

    def _settle_for_the_loop(self) -> None:
        batch = self._settles.lend()
        if not batch:
            return
        try:
            with connect_sync(self._database.url) as conn:
                conn.execute(query("settle_jobs", self._database.schema), settle_parameters(self._worker_id, batch))
        except (psycopg.Error, DatabaseUnavailable):
            # Not our last chance: the loop settles them when it is free again, and sorts out what did arrive.
            self._settles.take_back(settled=False)
        else:
            self._settles.take_back(settled=True)
