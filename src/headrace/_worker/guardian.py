"""The process that keeps a worker's lease, and ends the worker when the lease is lost: ``python -m …guardian``.

It runs none of the user's code. The worker tells it, in lines of JSON on standard input: first the settings, then
"tick" while its loop answers, "group" for process groups that it started, "bury" for outcomes to record after its end,
and "bye" when it ends its lease itself.

1. It beats every `beat_s`, from a thread, since a database that hangs must not keep the main thread from its duty.
2. It stops beating when the loop has not ticked for `stall_s` (a worker whose loop hangs counts as dead), or is
   stopped.
3. When no beat has reached the database for most of `lease_s`, or the database says that the lease is gone, it kills
   the worker, before anybody else can take its jobs. The deadline counts from when the last successful beat was *sent*.
4. When the worker is gone without "bye", it kills what the worker left, records what was to be buried, ends the lease,
   and takes back the jobs at once, so that nobody waits for the lease to lapse.

If the guardian itself is killed the worker starts another; if both die, the lease lapses.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, LiteralString

import psutil
import psycopg

from headrace._store.connect import connection_parameters
from headrace._store.sql import query
from headrace._worker.attempt import Settle
from headrace._worker.log_lines import HANDED_ON
from headrace._worker.settles import settle_parameters

MARGIN = 0.15
"""The worker is killed when this share of the lease is left."""

_LOOK_S = 0.1
_FAREWELL_S = 30.0
"""How long the guardian of a dead worker tries to reach the database before it leaves the rest to the lease."""


@dataclass
class Settings:
    """The first line."""

    url: str
    schema: str
    worker_id: int
    pid: int
    owns_group: bool
    beat_s: float
    lease_s: float
    stall_s: float
    poison_limit: int


@dataclass
class Guardian:
    """What it knows."""

    settings: Settings
    worker: psutil.Process | None
    last_sent: float = field(default_factory=time.monotonic)
    last_tick: float = field(default_factory=time.monotonic)
    lease_lost: bool = False
    said_bye: bool = False
    outage: bool = False
    """Whether the worker was ended although it worked: the database was away, which says nothing of its jobs."""
    groups: set[int] = field(default_factory=set)
    to_bury: list[Settle] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)
    beating: tuple[psycopg.Connection, float] | None = None

    def watch(self, lines: _Lines) -> None:
        """Stay until the worker is gone or must go."""
        beater = threading.Thread(target=self._beat_until_over, daemon=True)
        beater.start()
        while not self.said_bye:
            for line in lines.read(_LOOK_S):
                self._hear(json.loads(line))
            if lines.ended or not _is_alive(self.worker):
                break
            if self._must_end_worker():
                self._kill_worker()
                break
            self._cut_hanging_beat()
        self.over.set()

    def _hear(self, words: dict[str, Any]) -> None:
        if "tick" in words:
            self.last_tick = time.monotonic()
        elif "group" in words:
            self.groups.add(words["group"])
        elif "bury" in words:
            self.to_bury.append(Settle(*words["bury"]))
        elif "bye" in words:
            self.said_bye = True

    def _must_end_worker(self) -> bool:
        return self.lease_lost or time.monotonic() - self.last_sent > self.settings.lease_s * (1 - MARGIN)

    def _kill_worker(self) -> None:
        self.outage = not self.lease_lost and time.monotonic() - self.last_tick < self.settings.stall_s
        why = "lost its lease" if self.lease_lost else "could not renew its lease in time"
        _complain(f"worker {self.settings.worker_id} (pid {self.settings.pid}) {why}; ending its process")
        with suppress(ProcessLookupError):
            if self.settings.owns_group:
                os.killpg(self.settings.pid, signal.SIGKILL)
            else:
                os.kill(self.settings.pid, signal.SIGKILL)

    # -- beating --

    def _beat_until_over(self) -> None:
        conn: psycopg.Connection | None = None
        while not self.over.is_set() and not self.lease_lost:
            if time.monotonic() - self.last_tick < self.settings.stall_s:
                try:
                    conn = conn or self._connect()
                    self._beat(conn)
                except psycopg.Error:
                    if conn is not None:
                        conn.close()
                    conn = None
            self.over.wait(self.settings.beat_s if conn is not None else min(1.0, self.settings.beat_s))

    def _beat(self, conn: psycopg.Connection) -> None:
        sent = time.monotonic()
        self.beating = conn, sent
        try:
            alive = conn.execute(self._query("beat_workers"), {"worker_ids": [self.settings.worker_id]}).fetchone()
        finally:
            self.beating = None
        if alive is None:
            self.lease_lost = True
        else:
            self.last_sent = sent

    def _cut_hanging_beat(self) -> None:
        """A beat that is not answered for a quarter of the lease ends, so that another connection can be tried."""
        beating = self.beating
        if beating is not None and time.monotonic() - beating[1] > self.settings.lease_s / 4:
            with suppress(OSError, psycopg.Error), socket.socket(fileno=os.dup(beating[0].fileno())) as wire:
                wire.shutdown(socket.SHUT_RDWR)

    def _connect(self) -> psycopg.Connection:
        return psycopg.connect(self.settings.url, **connection_parameters("headrace guardian"))

    def _query(self, name: str) -> LiteralString:
        return query(name, self.settings.schema)

    # -- after the worker's end --

    def take_over(self) -> None:
        """Clean up after a worker that did not say goodbye."""
        self._wait_for_worker()
        for group in self.groups | ({self.settings.pid} if self.settings.owns_group else set()):
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(group, signal.SIGKILL)
        deadline = time.monotonic() + _FAREWELL_S
        reason = "no attempt was made"
        while time.monotonic() < deadline:
            try:
                with self._connect() as conn:
                    self._return_jobs(conn)
                return
            except psycopg.Error as error:
                reason = " ".join(str(error).split())
                time.sleep(_LOOK_S)
        _complain(
            f"could not reach the database for dead worker {self.settings.worker_id} ({reason}); "
            "its jobs are taken back when its lease lapses"
        )

    def _return_jobs(self, conn: psycopg.Connection) -> None:
        if self.to_bury:
            conn.execute(
                self._query("settle_jobs"), settle_parameters(self.settings.worker_id, self.to_bury, again=True)
            )
        if self.outage:
            conn.execute(self._query("hand_back_unheld"), {"worker_id": self.settings.worker_id, "held": []})
        conn.execute(self._query("lose_lease"), {"worker_id": self.settings.worker_id})
        rescue = {"poison_limit": self.settings.poison_limit, "chunk": 1000}
        while conn.execute(self._query("rescue_jobs"), rescue).fetchall():
            pass

    def _wait_for_worker(self) -> None:
        deadline = time.monotonic() + self.settings.lease_s
        while _is_alive(self.worker) and time.monotonic() < deadline:
            time.sleep(_LOOK_S)


def _process(pid: int) -> psutil.Process | None:
    with suppress(psutil.Error):
        return psutil.Process(pid)
    return None


def _is_alive(process: psutil.Process | None) -> bool:
    """Whether the very process that was looked up runs, and is not dead and waiting for its parent to notice."""
    with suppress(psutil.Error):
        return process is not None and process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


class _Lines:
    """Lines from standard input, without ever waiting longer than asked."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._rest = b""
        self.ended = False

    def read(self, seconds: float) -> list[bytes]:
        ready, _, _ = select.select([self._descriptor], [], [], seconds)
        if not ready:
            return []
        data = os.read(self._descriptor, 65536)
        self.ended = not data
        *lines, self._rest = (self._rest + data).split(b"\n")
        return lines


def _complain(message: str) -> None:
    """On standard error, in the worker's format; without the libraries that make it there, to stay small."""
    line = f"headrace guardian: {message}"
    if os.environ.get(HANDED_ON, "").startswith("json"):
        now = datetime.now(UTC).isoformat()
        line = json.dumps({"message": message, "level": "error", "logger": "headrace.guardian", "timestamp": now})
    sys.stderr.write(line + "\n")


def main() -> None:
    """Guard one worker."""
    # Ctrl-C and systemd tell every process; this one ends after its worker, which needs it until then.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    lines = _Lines(0)
    first: list[bytes] = []
    while not first and not lines.ended:
        first = lines.read(1.0)
    if not first:
        return
    settings = Settings(**json.loads(first[0]))
    guardian = Guardian(settings, _process(settings.pid))
    for line in first[1:]:
        guardian._hear(json.loads(line))  # noqa: SLF001 - came in the same packet
    guardian.watch(lines)
    if not guardian.said_bye:
        guardian.take_over()


if __name__ == "__main__":
    main()
