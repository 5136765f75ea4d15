"""What the attacks share: short intervals, waiting with a deadline, workers in this process and in their own."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import psycopg

from headrace._worker.timings import Timings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from headrace import Headrace
    from headrace._worker.worker import Worker

REPOSITORY = Path(__file__).parents[2]
PATIENCE_S = float(os.environ.get("HEADRACE_TEST_PATIENCE_S", "20"))
"""How long a test waits for what must happen: only a failing test takes this long."""

QUICK: dict[str, float] = {
    "beat_s": 0.2,
    "lease_s": 3.0,
    "look_s": 0.4,
    "stall_s": 1.5,
    "stall_warning_s": 0.3,
    "tick_s": 0.1,
    "longest_poll_s": 0.1,
    "promote_s": 0.05,
    "watch_s": 0.05,
    "report_s": 0.05,
    "abandon_s": 0.3,
    "drain_s": 5.0,
}


def timings(**changes: float) -> Timings:
    """The short intervals of tests, with changes."""
    return Timings(**(QUICK | changes))  # type: ignore[arg-type]


async def until(condition: Callable[[], Any | Awaitable[Any]], what: str, seconds: float = PATIENCE_S) -> Any:
    """Wait until the condition gives something true, and give it."""
    deadline = time.monotonic() + seconds
    while True:
        answer = condition()
        if inspect.isawaitable(answer):
            answer = await answer
        if answer:
            return answer
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        await asyncio.sleep(0.01)


@asynccontextmanager
async def working(app: Headrace, **options: Any) -> AsyncIterator[Worker]:
    """A worker in this process, stopped (drained) at the end."""
    worker = app.worker(**({"heartbeat": "loop", "timings": timings()} | options))
    run = asyncio.create_task(worker.run())
    try:
        await start_of(worker, run)
        yield worker
    finally:
        worker.stop()
        await asyncio.wait_for(run, 2 * PATIENCE_S)


async def start_of(worker: Worker, run: asyncio.Task[None]) -> None:
    """Wait until the worker has started, or raise what kept it from it."""
    started = asyncio.create_task(worker.started.wait())
    await asyncio.wait({run, started}, return_when=asyncio.FIRST_COMPLETED, timeout=PATIENCE_S)
    started.cancel()
    if run.done():
        run.result()


class WorkerProcess:
    """A worker in a process (and process group) of its own; see run_worker.py.

    What it and its handlers print arrives in `lines`; what it logs, in `log`.
    """

    def __init__(self, url: str, **options: Any) -> None:
        self._heard = threading.Condition()
        self.lines: list[str] = []
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.worker.run_worker", json.dumps(options)],
            cwd=REPOSITORY,
            env=os.environ | {"HEADRACE_URL": url, "PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.log: list[str] = []
        self._readers = [
            threading.Thread(target=self._read, args=(self.process.stdout, self.lines)),
            threading.Thread(target=self._read, args=(self.process.stderr, self.log)),
        ]
        for reader in self._readers:
            reader.start()
        self._own = psutil.Process(self.process.pid)

    def _read(self, stream: Any, lines: list[str]) -> None:
        for line in stream:
            with self._heard:
                lines.append(line.rstrip("\n"))
                self._heard.notify_all()

    def wait_for(self, start: str, count: int = 1, *, log: bool = False, seconds: float = PATIENCE_S) -> list[str]:
        """Wait for so many lines that begin like this (in the log: contain this), and give what follows it."""
        lines = self.log if log else self.lines

        def found() -> list[str]:
            if log:
                return [line for line in lines if start in line]
            return [line.removeprefix(start).strip() for line in lines if line.startswith(start)]

        with self._heard:
            enough = self._heard.wait_for(lambda: len(found()) >= count or self._ended(), seconds)
        answer = found()
        assert enough, self.account(f'no "{start}" (x{count}) within {seconds:g} s')
        assert len(answer) >= count, self.account(f'ended without "{start}" (x{count})')
        return answer

    def _ended(self) -> bool:
        return self.process.poll() is not None and not any(reader.is_alive() for reader in self._readers)

    def account(self, what: str) -> str:
        """What it printed and logged, for the message of a failure."""
        return "\n".join(
            [
                what,
                f"exit status: {self.process.poll()}",
                "--- printed:",
                *self.lines[-40:],
                "--- logged:",
                *self.log[-40:],
            ]
        )

    def ready(self) -> WorkerProcess:
        """Wait until it works."""
        self.wait_for("READY")
        return self

    @property
    def pid(self) -> int:
        return self.process.pid

    def guardian(self) -> psutil.Process:
        """Its guardian of this moment.

        Raises:
            LookupError: It has none.
        """
        for child in self._own.children():
            with contextlib.suppress(psutil.Error):
                if "headrace._worker.guardian" in child.cmdline() and child.status() != psutil.STATUS_ZOMBIE:
                    return child
        raise LookupError("no guardian")

    def children(self) -> list[psutil.Process]:
        """Processes for process tasks."""
        return [c for c in self._own.children() if "headrace._worker.process_child" in c.cmdline()]

    def signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(number)

    def kill(self) -> None:
        """SIGKILL, only the worker itself."""
        self.signal(signal.SIGKILL)
        self.process.wait(PATIENCE_S)

    def terminate(self) -> int:
        """SIGTERM, and its exit status."""
        self.signal(signal.SIGTERM)
        return self.end()

    def end(self, seconds: float = PATIENCE_S) -> int:
        """Wait until it has ended; its exit status."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(self.account(f"did not end within {seconds:g} s")) from None

    def close(self) -> None:
        """Leave nothing behind, whatever the test did."""
        with contextlib.suppress(psutil.Error):
            left = [self._own, *self._own.children(recursive=True)]
            for process in left:
                with contextlib.suppress(psutil.Error):
                    process.kill()
        self.process.wait(PATIENCE_S)
        for reader in self._readers:
            reader.join(PATIENCE_S)
        for stream in (self.process.stdout, self.process.stderr):
            assert stream is not None
            stream.close()


def gone(pid: int) -> bool:
    """Whether no process has this id, or only a dead one that nobody has waited for."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


class Tables:
    """Looks at the database from outside."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.conn = psycopg.connect(url, autocommit=True)

    def rows(self, statement: Any, *values: Any) -> list[tuple[Any, ...]]:
        cursor = self.conn.execute(statement, values or None)
        return cursor.fetchall() if cursor.description else []

    def value(self, statement: Any, *values: Any) -> Any:
        rows = self.rows(statement, *values)
        return rows[0][0] if rows else None

    def states(self) -> dict[str, int]:
        """How many jobs are in each state."""
        return dict(self.rows("select state::text, count(*) from headrace.jobs group by 1"))

    def unfinished(self) -> int:
        return int(self.value("select count(*) from headrace.job"))

    def outcomes(self, job_id: Any) -> list[str]:
        """How a job's attempts before its last ended."""
        return [
            row[0] for row in self.rows("select outcome from headrace.attempt where job_id = %s order by run", job_id)
        ]

    def close(self) -> None:
        self.conn.close()
