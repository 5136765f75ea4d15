"""Keeps worker processes running: ``headrace worker --processes N``.

The supervisor runs none of the jobs. It has N places; in each it starts a worker process (worker_process.py), waits
for its end, and starts the next.

**Start.** A worker process is a session, and so a process group, of its own: its guardian may end all of it. It
inherits one end of a socket, its life-line, on which it hears its settings and says "ready" once it has its lease, or
why it failed.

**Restart.** Worker processes end by themselves when they must be replaced (a thread runs on past its time-out, the
lease was lost) or crash. The next one starts after a pause that doubles from `first_wait_s` to `longest_wait_s`; a
process that lived for `healthy_s` resets it.

**Give up.** A place whose processes end `give_up_after` times in a row before they are ready cannot make progress
(the module does not import, the schema is too old): the supervisor stops everything, says why, and exits non-zero. A
database that is away is no reason to give up: that ends by itself.

**Stop.** SIGTERM or SIGINT: SIGTERM is passed on, the workers drain (`Timings.drain_s`) and end. What is there after
the worker processes' own deadline and a margin is killed with its group; so is everything at a second signal. What
the worker processes leave behind, which is guardians that record the last outcomes, is waited for.

**Death.** If the supervisor is killed, the kernel closes the life-lines; the worker processes drain for a moment and
end.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import logging
import os
import signal
import socket
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psutil

from headrace._worker.worker_process import EXIT_STOPPED, WorkerSettings, stop_limit_s
from headrace.errors import WorkerError

if TYPE_CHECKING:
    from collections.abc import Mapping

KILL_MARGIN_S = 5.0
"""The worker processes' own deadline comes first, so that they can say what kept them."""

FAREWELL_S = 5.0
"""How long what the worker processes leave behind is waited for."""

LAST_WORDS_S = 1.0
MAX_DOUBLINGS = 30
_log = logging.getLogger("headrace.supervisor")


@dataclass(frozen=True, kw_only=True)
class Restarts:
    """When worker processes that ended are replaced; the module's docstring explains each."""

    first_wait_s: float = 0.5
    longest_wait_s: float = 30.0
    healthy_s: float = 60.0
    give_up_after: int = 5

    def wait_s(self, early_ends: int) -> float:
        """How long to wait after so many processes in a row that did not live long."""
        doublings = min(max(0, early_ends - 1), MAX_DOUBLINGS)
        return min(self.first_wait_s * 2.0**doublings, self.longest_wait_s)


class Child:
    """One worker process.

    Attributes:
        pid: Its process, and its process group.
        ready: Whether it has had its lease.
        failure: What it said of its end.
        database_away: Whether that was the reason.
    """

    def __init__(self, process: asyncio.subprocess.Process, life_line: socket.socket) -> None:
        self._process = process
        self._life_line = life_line
        self._started_at = time.monotonic()
        self._relatives: list[psutil.Process] = []
        self.pid = process.pid
        self.ready = False
        self.failure: str | None = None
        self.database_away = False

    @classmethod
    async def start(cls, settings: WorkerSettings, environment: Mapping[str, str]) -> Child:
        """Start a worker process and tell it its settings."""
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                process = await asyncio.create_subprocess_exec(
                    sys.executable, "-m", "headrace._worker.worker_process", str(theirs.fileno()),
                    pass_fds=(theirs.fileno(),), start_new_session=True, stdin=asyncio.subprocess.DEVNULL,
                    env=os.environ | environment,
                )  # fmt: skip
            except OSError as error:
                ours.close()
                raise WorkerError(f"cannot start a worker process: {error}") from error
        with suppress(ConnectionError):  # it has ended already, which its end will tell
            ours.sendall(settings.as_json())
        return cls(process, ours)

    @property
    def lived_s(self) -> float:
        """How long ago it was started."""
        return time.monotonic() - self._started_at

    async def ended(self) -> int:
        """Wait for its end, and hear what it says until then; its exit status, negative for a signal."""
        hearing = asyncio.create_task(self._hear())
        try:
            code = await self._process.wait()
            await asyncio.wait({hearing}, timeout=LAST_WORDS_S)
            return code
        finally:
            hearing.cancel()
            await asyncio.gather(hearing, return_exceptions=True)

    async def _hear(self) -> None:
        reader, writer = await asyncio.open_unix_connection(sock=self._life_line)
        try:
            with suppress(ConnectionError):
                async for line in reader:
                    words = json.loads(line)
                    self.ready = self.ready or "ready" in words
                    self.failure = words.get("failed", self.failure)
                    self.database_away = words.get("database_away", self.database_away)
        finally:
            writer.close()

    def stop(self) -> None:
        """Ask it to drain and end."""
        with suppress(psutil.Error):
            self._relatives = psutil.Process(self.pid).children(recursive=True)
        with suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it with everything in its group."""
        if self._process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)

    async def leave_nothing(self) -> None:
        """Wait a little for what it had started."""
        await asyncio.to_thread(psutil.wait_procs, self._relatives, FAREWELL_S)


class Supervisor:
    """Keeps `processes` worker processes running until it is told to stop.

    Args:
        settings: What every worker process is told.
        processes: How many.
        environment: Added to theirs.
        restarts: When those that ended are replaced.
    """

    def __init__(
        self,
        settings: WorkerSettings,
        processes: int = 1,
        *,
        environment: Mapping[str, str] | None = None,
        restarts: Restarts | None = None,
    ) -> None:
        self._settings = settings
        self._processes = processes
        self._environment = environment or {}
        self._restarts = restarts or Restarts()
        self._children: set[Child] = set()
        self._stopping = asyncio.Event()
        self._given_up: str | None = None
        self._unclean: list[str] = []

    async def run(self) -> None:
        """Keep the workers running until a signal comes.

        Raises:
            WorkerError: They cannot be kept running, or did not stop cleanly.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._hear_signal, number)
        places = [asyncio.create_task(self._keep(self._settings_of(place))) for place in range(self._processes)]
        told = asyncio.create_task(self._stopping.wait())
        await asyncio.wait({told, *places}, return_when=asyncio.FIRST_COMPLETED)
        await self._end_all(places)
        told.cancel()
        for place in places:
            place.result()
        if self._given_up is not None:
            raise WorkerError(self._given_up)
        if self._unclean:
            raise WorkerError("not every worker process stopped cleanly: " + "; ".join(self._unclean))

    def stop(self) -> None:
        """Stop as at the first signal: for a program that hears signals itself."""
        self._stopping.set()

    def _hear_signal(self, number: signal.Signals) -> None:
        if self._stopping.is_set():
            _log.warning("%s again: ending everything at once", number.name)
            self._kill_all()
            return
        _log.info("%s: stopping; running jobs have %g s to finish", number.name, self._settings.timings.drain_s)
        self._stopping.set()

    # -- one place --

    def _settings_of(self, place: int) -> WorkerSettings:
        """What the worker processes of a place are told: each place has a port of its own."""
        port = self._settings.metrics_port
        return dataclasses.replace(self._settings, metrics_port=None if port is None else port + place)

    async def _keep(self, settings: WorkerSettings) -> None:
        """The life of a place: a worker process runs, ends, and is replaced after a pause."""
        failed_starts = early_ends = 0
        while not self._stopping.is_set():
            child = await Child.start(settings, self._environment)
            ending = await self._see_through(child)
            if self._stopping.is_set():
                return
            if child.ready:
                failed_starts = 0
            elif not child.database_away:
                failed_starts += 1
            if failed_starts >= self._restarts.give_up_after:
                self._give_up(failed_starts, ending)
                return
            early_ends = 1 if child.lived_s >= self._restarts.healthy_s else early_ends + 1
            wait_s = self._restarts.wait_s(early_ends)
            _log.warning("%s; starting another in %g s", ending.rstrip("."), wait_s)
            await self._stops_within(wait_s)

    async def _see_through(self, child: Child) -> str:
        """Wait for a worker process to end, and say how it did."""
        self._children.add(child)
        if self._stopping.is_set():
            child.stop()
        code = await child.ended()
        self._children.discard(child)
        ending = _describe(child, code)
        if self._stopping.is_set():
            await child.leave_nothing()
            if child.ready and code != EXIT_STOPPED:  # before, it had no jobs to lose
                self._unclean.append(ending)
        return ending

    def _give_up(self, failed_starts: int, ending: str) -> None:
        self._given_up = f"giving up: {failed_starts} worker processes in a row could not start. {ending}"
        self._stopping.set()

    async def _stops_within(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()

    # -- the end --

    async def _end_all(self, places: list[asyncio.Task[None]]) -> None:
        self._stopping.set()
        for child in self._children:
            child.stop()
        _, left = await asyncio.wait(places, timeout=stop_limit_s(self._settings.timings) + KILL_MARGIN_S)
        if left:
            _log.error("killing %d worker processes that did not stop in time", len(left))
            self._kill_all()
            await asyncio.wait(left)

    def _kill_all(self) -> None:
        for child in self._children:
            child.kill()


def _describe(child: Child, code: int) -> str:
    """How a worker process ended, in words."""
    name = f"Worker process {child.pid}"
    if child.failure is not None:
        return f"{name} failed: {child.failure}"
    if code < 0:
        return f"{name} was killed by signal {-code} ({signal.strsignal(-code)})"
    return f"{name} ended with status {code}"
