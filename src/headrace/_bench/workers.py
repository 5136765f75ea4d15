"""Worker processes for the bench: the same that `headrace worker` starts, told and stopped in the same way.

They hold one end of a socket to this process: if it is killed, they end by themselves.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from headrace._bench.noop import SCHEMA, SERVED, TARGET
from headrace._worker.supervisor import Child
from headrace._worker.timings import Timings
from headrace._worker.worker_process import WorkerSettings, stop_limit_s
from headrace.errors import DatabaseUnavailable, WorkerError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

START_DEADLINE_S = 30.0
TIMINGS = Timings(drain_s=1.0)
"""Nobody waits long for jobs that do nothing."""

_LOOK_S = 0.01


class BenchWorker:
    """A running worker process.

    Args:
        pid: Its process.
    """

    def __init__(self, pid: int) -> None:
        self._process = psutil.Process(pid)

    def cpu_s(self) -> float:
        """What it has used of the processors so far."""
        times = self._process.cpu_times()
        return float(times.user + times.system)

    def core_wait_s(self) -> float | None:
        """How long its main thread was ready to run and had no core so far; None where the system does not say."""
        with suppress(OSError, ValueError, IndexError):
            return int(Path(f"/proc/{self._process.pid}/schedstat").read_text().split()[1]) / 1e9
        return None


@asynccontextmanager
async def bench_worker(url: str, schema: str, concurrency: int) -> AsyncIterator[BenchWorker]:
    """A worker process that serves the bench's queue, from when it has its lease.

    Raises:
        WorkerError: It did not start.
    """
    settings = WorkerSettings(
        target=TARGET, queues=[SERVED], concurrency=concurrency, log_level="error", timings=TIMINGS
    )
    child = await Child.start(settings, {"HEADRACE_URL": url, SCHEMA: schema})
    ending = asyncio.create_task(child.ended())
    try:
        await _wait_until_ready(child, ending)
        yield BenchWorker(child.pid)
    finally:
        await _stop(child, ending)


async def _wait_until_ready(child: Child, ending: asyncio.Task[int]) -> None:
    try:
        async with asyncio.timeout(START_DEADLINE_S):
            while not child.ready and not ending.done():  # noqa: ASYNC110 - it has no event for this
                await asyncio.sleep(_LOOK_S)
    except TimeoutError:
        raise WorkerError(f"a worker process did not start within {START_DEADLINE_S:g} s") from None
    if not child.ready:
        why = child.failure or f"it ended with status {ending.result()}"
        raise (DatabaseUnavailable if child.database_away else WorkerError)(f"a worker process did not start: {why}")


async def _stop(child: Child, ending: asyncio.Task[int]) -> None:
    child.stop()
    await asyncio.wait({ending}, timeout=stop_limit_s(TIMINGS))
    child.kill()  # does nothing if it has ended
    await asyncio.wait({ending})
    await child.leave_nothing()
