"""One worker process of a supervisor: ``python -m headrace._worker.worker_process FD``. See supervisor.py.

FD is the life-line: a socket to the supervisor. The first line on it are the `WorkerSettings`; the process answers
"ready" once it has its lease, or "failed" with the reason. When the socket ends, the supervisor is gone.

A thread listens for what ends the process, since the event loop may be blocked, and the app's import may hang:

* SIGTERM or SIGINT: the worker drains. A second signal ends the process at once; one that follows closely is the same
  request (systemd signals every process of a unit, and the supervisor passes its own signal on).
* The end of the life-line: the worker drains too, but for a moment only, and hands the rest back.
* The worker begins to stop by itself, because it must be replaced.

From any of these on, a deadline runs; a process that is still there then ends itself, and its guardian clears up. It
ends with `os._exit` in any case: a thread that never returns must not keep it alive.
"""

from __future__ import annotations

import asyncio
import dataclasses
import gc
import json
import logging
import math
import os
import select
import signal
import socket
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn

from headrace._worker.importing import import_app
from headrace._worker.log_lines import LogFormat, Who, log_to_stderr
from headrace._worker.timings import Timings
from headrace.errors import DatabaseUnavailable, HeadraceError

if TYPE_CHECKING:
    from headrace._worker.worker import Worker
    from headrace.observe.worker_metrics import WorkerMetrics

EXIT_STOPPED = 0
EXIT_FAILED = 1
EXIT_FORCED = 3
"""It did not stop in time, or was told twice."""

SAME_REQUEST_S = 2.0
"""Signals that follow each other within this time are one request to stop."""

CLOSING_S = 5.0
"""After its drain, the worker has this long to close what it opened."""

ORPHAN_DRAIN_S = 2.0
ORPHAN_LIMIT_S = 5.0
"""A worker without its supervisor is to be gone within seconds, whatever its jobs do."""

_log = logging.getLogger("headrace.worker")


@dataclass(frozen=True, kw_only=True)
class WorkerSettings:
    """What a worker process is told first. For what they mean see `Worker`.

    Attributes:
        target: The app, as MODULE:APP.
        log_level: As logging knows it.
        log_format: How lines look; see log_lines.py.
        metrics_host: Where to answer Prometheus.
        metrics_port: The port of the first worker process; the others have those that follow. None: there is none.
    """

    target: str
    queues: list[str] | None = None
    concurrency: int
    threads: int | None = None
    listen: bool = True
    listen_url: str | None = None
    log_level: str = "info"
    log_format: LogFormat = "plain"
    metrics_host: str = "127.0.0.1"
    metrics_port: int | None = None
    timings: Timings = field(default_factory=Timings)

    def as_json(self) -> bytes:
        """One line."""
        return json.dumps(dataclasses.asdict(self)).encode() + b"\n"

    @classmethod
    def from_json(cls, line: bytes) -> WorkerSettings:
        """The settings in a line."""
        given = json.loads(line)
        return cls(**(given | {"timings": Timings(**given["timings"])}))


def stop_limit_s(timings: Timings) -> float:
    """How long a worker may take to stop: it drains, hands back, gives up what cannot be cancelled, and closes."""
    return timings.drain_s + 2 * timings.abandon_s + CLOSING_S


class Stopper(threading.Thread):
    """Asks the worker to stop, and ends the process when it does not.

    Args:
        life_line: Ends with the supervisor.
        timings: The worker's.
    """

    def __init__(self, life_line: socket.socket, timings: Timings) -> None:
        super().__init__(name="headrace stopper", daemon=True)
        self._timings = timings
        self._woken, self._wake = os.pipe()
        self._sources = [self._woken, life_line.fileno()]
        self._signalled_at = -math.inf
        self._deadline = math.inf
        self._worker: Worker | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def take(self, worker: Worker, loop: asyncio.AbstractEventLoop) -> None:
        """Stop this worker, which is about to run; before there is one, a request to stop ends the process at once."""
        self._worker, self._loop = worker, loop

    def on_signal(self, *_: object) -> None:
        """A signal's handler: runs between any two instructions, so it only tells the thread."""
        os.write(self._wake, b"s")

    def worker_stops(self) -> None:
        """The worker has begun to stop, whatever the reason."""
        os.write(self._wake, b"w")

    def run(self) -> None:
        while True:
            news = self._wait_for_news()
            now = time.monotonic()
            if news == "signal":
                self._hear_signal(now)
            elif news == "orphaned":
                _log.warning("the supervisor is gone: stopping")
                self._stop_worker(ORPHAN_DRAIN_S)
                self._allow(now, ORPHAN_LIMIT_S)
            elif news == "stopping":
                self._allow(now, stop_limit_s(self._timings))
            else:
                self._end_now("it did not stop in time")

    def _wait_for_news(self) -> str | None:
        """What happened; None if the deadline has passed."""
        seconds = None if self._deadline == math.inf else max(0.0, self._deadline - time.monotonic())
        ready, _, _ = select.select(self._sources, [], [], seconds)
        if self._woken in ready:
            return "signal" if os.read(self._woken, 1) == b"s" else "stopping"
        if ready:
            del self._sources[1]
            return "orphaned"
        return None

    def _hear_signal(self, now: float) -> None:
        if self._signalled_at == -math.inf:
            self._signalled_at = now
            _log.info("stopping: running jobs have %g s to finish", self._timings.drain_s)
            self._stop_worker(self._timings.drain_s)
            self._allow(now, stop_limit_s(self._timings))
        elif now - self._signalled_at > SAME_REQUEST_S:
            self._end_now("it was told so twice")

    def _allow(self, now: float, seconds: float) -> None:
        self._deadline = min(self._deadline, now + seconds)

    def _stop_worker(self, drain_s: float) -> None:
        if self._worker is None or self._loop is None:
            os._exit(EXIT_STOPPED)
        self._loop.call_soon_threadsafe(_stop, self._worker, drain_s)

    def _end_now(self, why: str) -> NoReturn:
        _log.error("this process ends now, since %s; what ran in it is handed back", why)
        end_process(EXIT_FORCED)


def _stop(worker: Worker, drain_s: float) -> None:
    worker.timings = dataclasses.replace(worker.timings, drain_s=drain_s)
    worker.stop()


def end_process(code: int) -> NoReturn:
    """Write what is buffered and end, whatever threads there are."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):  # nobody reads it any more
            stream.flush()
    os._exit(code)


def new_event_loop() -> asyncio.AbstractEventLoop:
    """The event loop: uvloop's if that is installed."""
    try:
        import uvloop  # noqa: PLC0415 - an optional dependency
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


def _tame_garbage_collection() -> None:
    """Look for cycles less often, and never among what was imported.

    A worker makes many objects that live as long as an attempt, and few cycles. At Python's own thresholds a seventh of
    its time went into looking at them.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


class WorkerProcess:
    """Runs a worker until it stops, and tells the supervisor how it goes.

    Args:
        settings: What the supervisor said.
        life_line: To the supervisor.
        stopper: Stops the worker.
        lines: The format of log lines, which learns the worker's number.
    """

    def __init__(self, settings: WorkerSettings, life_line: socket.socket, stopper: Stopper, lines: Who) -> None:
        self._settings = settings
        self._life_line = life_line
        self._stopper = stopper
        self._lines = lines
        self._metrics: WorkerMetrics | None = None

    def run(self) -> int:
        """Work; the status to exit with."""
        try:
            worker = self._make_worker()
            _tame_garbage_collection()
            loop = new_event_loop()
            asyncio.set_event_loop(loop)
            self._stopper.take(worker, loop)
            loop.run_until_complete(self._work(worker))
        except HeadraceError as error:
            _log.error("%s", error)
            self._say(failed=str(error), database_away=isinstance(error, DatabaseUnavailable))
            return EXIT_FAILED
        except BaseException as error:  # noqa: BLE001 - the supervisor must hear of it, whatever it was
            _log.exception("the worker failed")
            self._say(failed=f"{type(error).__name__}: {error}", database_away=False)
            return EXIT_FAILED
        return EXIT_STOPPED

    def _make_worker(self) -> Worker:
        settings = self._settings
        app = import_app(settings.target)
        if settings.metrics_port is not None:
            from headrace.observe.worker_metrics import WorkerMetrics  # noqa: PLC0415 - an extra

            self._metrics = WorkerMetrics(app)
        return app.worker(
            queues=settings.queues,
            concurrency=settings.concurrency,
            threads=settings.threads,
            timings=settings.timings,
            heartbeat="guardian",
            owns_group=True,
            listen=settings.listen,
            listen_url=settings.listen_url,
            time_waits=self._metrics is not None,
        )

    async def _work(self, worker: Worker) -> None:
        running = asyncio.create_task(worker.run())
        started = asyncio.create_task(worker.started.wait())
        stopping = asyncio.create_task(worker.stopping.wait())  # it may begin to stop by itself
        stopping.add_done_callback(lambda _: self._stopper.worker_stops())
        await asyncio.wait({running, started}, return_when=asyncio.FIRST_COMPLETED)
        if started.done():
            self._lines.who = f"worker {worker.id}"
            queues = ", ".join(f"{name} ({places})" for name, places in worker.queues.items())
            _log.info("started; queues and places: %s", queues)
            self._say(ready=worker.id)
            self._expose(worker)
        await running
        _log.info("stopped")

    def _expose(self, worker: Worker) -> None:
        if self._metrics is not None and self._settings.metrics_port is not None:
            from headrace.observe.metrics import expose  # noqa: PLC0415 - an extra

            expose(worker, self._metrics, self._settings.metrics_port, self._settings.metrics_host)

    def _say(self, **words: Any) -> None:
        with suppress(OSError):  # the supervisor is gone, which the stopper notices
            self._life_line.sendall(json.dumps(words).encode() + b"\n")


def main() -> None:
    """Be a worker process."""
    life_line = socket.socket(fileno=int(sys.argv[1]))
    os.set_inheritable(life_line.fileno(), False)
    with life_line.makefile("rb") as lines:
        first = lines.readline()
    if not first:
        return
    settings = WorkerSettings.from_json(first)
    lines_format = log_to_stderr(settings.log_level, "worker", settings.log_format)
    stopper = Stopper(life_line, settings.timings)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stopper.on_signal)
    stopper.start()
    end_process(WorkerProcess(settings, life_line, stopper, lines_format).run())


if __name__ == "__main__":
    main()
