"""What handlers say while they run: progress and log lines, kept here for a moment and written together.

Safe in any thread. Lines are bounded; the latest progress of an attempt is the only one that is written.
"""

from __future__ import annotations

import asyncio
import math
import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from headrace._worker.attempt import clean

if TYPE_CHECKING:
    from headrace._store.database import Database
    from headrace._worker.attempt import Attempt

MAX_LINES = 1000
THREAD_WAIT_S = 10.0
MAX_LINE_CHARS = 4_000
MAX_PROGRESS_CHARS = 500
_Line = tuple[str, int, datetime, str, str]


def _finite(number: float | None) -> float | None:
    """What JSON can hold of a number."""
    return float(number) if number is not None and math.isfinite(number) else None


def tidy_progress(done: float, total: float | None, message: str | None) -> tuple[float, float | None, str | None]:
    """A report as it can be stored."""
    text = clean(str(message), MAX_PROGRESS_CHARS) if message is not None else None
    return _finite(done) or 0.0, _finite(total), text


def tidy_line(level: str, message: str) -> tuple[str, str]:
    """A level and a line as they can be stored."""
    return clean(str(level), 20), clean(str(message), MAX_LINE_CHARS)


class Reports:
    """The unwritten reports of a worker's running attempts."""

    def __init__(self, database: Database, worker_id: int) -> None:
        self._database = database
        self._worker_id = worker_id
        self._lock = threading.Lock()
        self._writing = asyncio.Lock()
        self._loop = asyncio.get_running_loop()
        self._lines: list[_Line] = []
        self._counts: dict[str, int] = {}
        self._progress: dict[str, Attempt] = {}

    def progress(self, attempt: Attempt, done: float, total: float | None, message: str | None) -> None:
        """Keep the latest."""
        attempt.progress = tidy_progress(done, total, message if message is None else attempt.hide(str(message)))
        with self._lock:
            self._progress[attempt.id] = attempt

    def log(self, attempt: Attempt, level: str, message: str) -> None:
        """Keep a line, if the attempt has not used up its lines."""
        with self._lock:
            count = self._counts[attempt.id] = self._counts.get(attempt.id, 0) + 1
            if count > MAX_LINES + 1:
                return
            if count > MAX_LINES:
                level, message = "warning", f"more than {MAX_LINES} lines: the rest is not kept"
            self._lines.append(
                (attempt.id, attempt.run, datetime.now(UTC), *tidy_line(level, attempt.hide(str(message))))
            )

    def forget(self, attempt: Attempt) -> None:
        """The attempt has ended."""
        if self._counts or self._progress:
            with self._lock:
                self._counts.pop(attempt.id, None)
                self._progress.pop(attempt.id, None)

    async def write(self) -> None:
        """Write what has gathered. What cannot be written is lost: reports must never hold up a settle for long.

        Returns when everything that was said before is written, by this call or by one that is on its way: what
        comes after its job is settled is not kept.
        """
        if self._lines or self._progress or self._writing.locked():
            async with self._writing:
                await self._write()

    def write_from_thread(self) -> None:
        """`write`, for a handler in a thread that is about to commit."""
        asyncio.run_coroutine_threadsafe(self.write(), self._loop).result(THREAD_WAIT_S)

    async def _write(self) -> None:
        with self._lock:
            lines, self._lines = self._lines, []
            progress, self._progress = list(self._progress.values()), {}
        if lines:
            ids, runs, times, levels, messages = (list(column) for column in zip(*lines, strict=True))
            await self._database.rows(
                "add_logs", worker_id=self._worker_id, ids=ids, runs=runs, times=times, levels=levels, messages=messages
            )
        if progress:
            dones, totals, texts = zip(*(a.progress for a in progress if a.progress), strict=True)
            await self._database.rows(
                "report_progress",
                worker_id=self._worker_id,
                ids=[a.id for a in progress],
                runs=[a.run for a in progress],
                dones=list(dones),
                totals=list(totals),
                messages=list(texts),
            )
