"""Runs `headrace …` in a process of its own, as an operator does."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from tests.worker.helpers import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Callable

REPOSITORY = Path(__file__).parents[2]


def free_port() -> int:
    """A port of loopback that nobody has at this moment."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


class Command:
    """A program, the lines that it has written, and its end."""

    def __init__(self, *words: str, url: str, **environment: str) -> None:
        self._heard = threading.Condition()
        self.lines: list[str] = []
        self.process = subprocess.Popen(
            [sys.executable, "-m", "headrace", *words],
            cwd=REPOSITORY,
            env=os.environ | {"HEADRACE_URL": url, "PYTHONUNBUFFERED": "1"} | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._heard:
                self.lines.append(line.rstrip("\n"))
                self._heard.notify_all()

    def wait_for(self, condition: Callable[[list[str]], Any], what: str, seconds: float = 2 * PATIENCE_S) -> Any:
        """Wait until the lines satisfy the condition, and give what it gave."""
        deadline = time.monotonic() + seconds
        with self._heard:
            while not (answer := condition(self.lines)):
                left = deadline - time.monotonic()
                ended = self.process.poll() is not None and not self._reader.is_alive()
                assert left > 0 and not ended, "\n".join([f"not seen: {what}", *self.lines[-40:]])  # noqa: PT018
                self._heard.wait(min(left, 0.2))
        return answer

    def close(self) -> int:
        """Stop it, and end whatever it leaves."""
        left: list[psutil.Process] = []
        with contextlib.suppress(psutil.Error):
            left = psutil.Process(self.process.pid).children(recursive=True)
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(2 * PATIENCE_S)
        finally:
            for process in left:
                with contextlib.suppress(psutil.Error):
                    process.kill()
            with contextlib.suppress(ProcessLookupError):
                self.process.kill()
            self._reader.join(PATIENCE_S)
            assert self.process.stdout is not None
            self.process.stdout.close()
        return code
