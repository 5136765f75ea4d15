"""The processes of a benchmark: operations, which answer in JSON, and workers. All run in sessions of their own, with
the Python of `.venv-bench`, and none outlives the block that started it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, TypeVar

import psutil

from bench import probe
from bench.environment import PYTHON, ROOT
from bench.waiting import wait_for

T = TypeVar("T")
OPERATION_DEADLINE_S = 600.0
START_DEADLINE_S = 60.0
TERM_PATIENCE_S = 10.0
KILL_PATIENCE_S = 10.0
END_OF_OUTPUT = 2_000


def operate(peer: str, url: str, kind: str, operation: str, *numbers: float) -> dict[str, Any]:
    """Run one operation of a peer (operation.py) to its end; what it answers."""
    with running_operation("bench.operation", peer, url, kind, operation, *numbers) as running:
        return running.answer()


class Operation:
    """A process that prints one line of JSON when it is done."""

    def __init__(self, process: subprocess.Popen[bytes], output: IO[bytes], words: str) -> None:
        self._process = process
        self._output = output
        self._words = words

    def is_running(self) -> bool:
        """Whether it has not ended.

        Raises:
            RuntimeError: It has failed.
        """
        if self._process.poll() is None:
            return True
        if self._process.returncode:
            raise RuntimeError(f"{self._words} ended with {self._process.returncode}: {self._text()[-END_OF_OUTPUT:]}")
        return False

    def answer(self, deadline_s: float = OPERATION_DEADLINE_S) -> dict[str, Any]:
        """Wait for its end; what it answers."""
        wait_for(f"{self._words} ends", lambda: not self.is_running(), deadline_s)
        return dict(json.loads(self._text().splitlines()[-1]))

    def _text(self) -> str:
        self._output.seek(0)
        return self._output.read().decode(errors="replace")


@contextmanager
def running_operation(module: str, *words: object) -> Iterator[Operation]:
    """Start an operation; ended with the block."""
    with tempfile.TemporaryFile() as output:
        process = _start([module, *map(str, words)], output, os.environ)
        try:
            yield Operation(process, output, " ".join(str(word) for word in words if "://" not in str(word)))
        finally:
            end([process])


class Workers:
    """Running worker processes of one peer.

    Attributes:
        folder: Where the probe of each of their processes writes.
    """

    def __init__(self, peer: str, processes: list[subprocess.Popen[bytes]], folder: Path) -> None:
        self.peer = peer
        self.folder = folder
        self._processes = processes

    def started(self) -> int:
        """How many handlers have started."""
        return probe.read(self.folder)[1]

    def first_start_ns(self) -> int:
        """When the first handler started, on the monotonic clock; waits for it."""
        return self.wait_for("its first job starts", lambda: probe.read(self.folder)[0], START_DEADLINE_S)

    def wait_for(self, what: str, condition: Callable[[], T], deadline_s: float, every_s: float = 0.01) -> T:
        """Wait, but not for workers that have ended."""

        def check() -> T:
            answer = condition()
            if not answer and any(process.poll() is not None for process in self._processes):
                raise RuntimeError(f"a worker of {self.peer} ended before {what}: {self.last_words()}")
            return answer

        return wait_for(f"{what} ({self.peer})", check, deadline_s, every_s)

    def last_words(self) -> str:
        """The end of what they have printed."""
        return (self.folder / "output").read_text(errors="replace")[-END_OF_OUTPUT:]

    def cpu_s(self) -> float:
        """CPU time of all of their processes, supervisors and guardians included."""
        return sum(family_cpu_s(process.pid) for process in self._processes)

    def family(self) -> list[psutil.Process]:
        """All of their processes."""
        return [member for process in self._processes for member in _family(process.pid)]


@contextmanager
def workers(peer: str, url: str, kind: str, count: int = 1, *, latency: bool = False) -> Iterator[Workers]:
    """Start worker processes of a peer; ended with the block.

    Args:
        peer: Whose.
        url: The database.
        kind: "async" or "sync" handlers.
        count: How many.
        latency: Whether the time of each start is logged.
    """
    folder = Path(tempfile.mkdtemp(prefix="headrace-bench-"))
    environment = os.environ | {"BENCH_PROBE": str(folder)} | ({"BENCH_LATENCY": "1"} if latency else {})
    running: list[subprocess.Popen[bytes]] = []
    try:
        with (folder / "output").open("wb") as output:
            while len(running) < count:
                running.append(_start(["bench.operation", peer, url, kind, "work"], output, environment))
        yield Workers(peer, running, folder)
    finally:
        end(running)
        shutil.rmtree(folder, ignore_errors=True)


def _start(words: list[str], output: IO[bytes], environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [str(PYTHON), "-m", *words],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        start_new_session=True,
    )


def end(processes: list[subprocess.Popen[bytes]]) -> None:
    """End processes and what they have started, in whatever session; to the end, even if Ctrl-C comes now."""
    try:
        _end(processes)
    except KeyboardInterrupt:  # the next is ignored
        _end(processes)
        raise


def _end(processes: list[subprocess.Popen[bytes]]) -> None:
    """Ask them to end, then kill what is left."""
    family = [member for process in processes for member in _family(process.pid)]
    for process in processes:
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
    _, left = psutil.wait_procs(family, TERM_PATIENCE_S)
    for member in left:
        with suppress(psutil.NoSuchProcess):
            member.kill()
    _, left = psutil.wait_procs(left, KILL_PATIENCE_S)
    for process in processes:
        process.poll()
    if left:
        sys.stderr.write(f"processes that do not end: {left}\n")


def _family(pid: int) -> list[psutil.Process]:
    try:
        root = psutil.Process(pid)
        return [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def family_cpu_s(pid: int) -> float:
    """CPU time of a process, its descendants, and those that they have reaped."""
    total = 0.0
    for member in _family(pid):
        with suppress(psutil.NoSuchProcess):
            times = member.cpu_times()
            total += times.user + times.system + times.children_user + times.children_system
    return total
