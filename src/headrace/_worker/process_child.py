"""The child process of process tasks: ``python -m …process_child READ_FD WRITE_FD``. See processes.py."""

from __future__ import annotations

import asyncio
import importlib
import inspect
import json
import os
import queue
import runpy
import signal
import sys
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

from headrace._worker.attempt import Attempt, Settle
from headrace._worker.fenced import Fenced, HandlerConnections
from headrace._worker.log_lines import log_as_told
from headrace._worker.reports import tidy_line, tidy_progress
from headrace._worker.running import call_through, complete_arguments, read_arguments, unwrap_outcome
from headrace._worker.step_store import StepStore
from headrace._worker.steps import Steps
from headrace.app import IMPORTING, Headrace
from headrace.context import Context, _current
from headrace.middleware import overriding


class Pipe:
    """Both directions to the worker. The reading side is a thread, so that a busy handler still hears."""

    def __init__(self, read: int, write: int) -> None:
        self._lines = os.fdopen(read, "rb")
        self._write = write
        self._lock = threading.Lock()
        self.jobs: queue.SimpleQueue[list[Any]] = queue.SimpleQueue()
        self.flushed = threading.Event()
        self.context: Context | None = None

    def say(self, words: dict[str, Any]) -> None:
        """Tell the worker."""
        data = json.dumps(words).encode() + b"\n"
        with self._lock:
            while data:
                data = data[os.write(self._write, data) :]

    def settings(self) -> dict[str, Any]:
        """The first line."""
        return json.loads(self._lines.readline())  # type: ignore[no-any-return]

    def listen(self) -> None:
        """Hear the worker until it is gone, and then go too, with everything that the handler started."""
        for line in self._lines:
            words = json.loads(line)
            if "run" in words:
                self.jobs.put(words["run"])
            elif "stop" in words and self.context is not None:
                self.context.cancel_reason = words["stop"]
            elif "flushed" in words:
                self.flushed.set()
        os.killpg(0, signal.SIGKILL)

    def write_reports(self) -> None:
        """Have the worker write what was reported so far."""
        self.flushed.clear()
        self.say({"flush": True})
        self.flushed.wait()


class PipeReporter:
    """Carries what a context says across the pipe."""

    def __init__(
        self,
        pipe: Pipe,
        attempt: Attempt,
        worker_id: int,
        connections: HandlerConnections,
        step_store: Callable[[], StepStore],
    ) -> None:
        self._pipe = pipe
        self._step_store = step_store
        self._attempt = attempt
        self._worker_id = worker_id
        self._connections = connections

    def progress(self, done: float, total: float | None, message: str | None) -> None:
        said = message if message is None else self._attempt.hide(str(message))
        self._attempt.progress = tidy_progress(done, total, said)
        self._pipe.say({"progress": self._attempt.progress})

    def log(self, level: str, message: str) -> None:
        self._pipe.say({"log": tidy_line(level, self._attempt.hide(str(message)))})

    def transaction(self, session: Any) -> Fenced:
        write = self._pipe.write_reports
        return Fenced(
            self._attempt, self._worker_id, self._connections, session, partial(asyncio.to_thread, write), write
        )

    def set_result(self, value: Any) -> None:
        self._attempt.result = self._attempt.succeeded(value).result

    def hide(self, text: str) -> str:
        return self._attempt.hide(text)

    def steps(self) -> Steps:
        return Steps(self._attempt, self._worker_id, self._step_store(), self._connections)


class Child:
    """Runs attempts one after the other."""

    def __init__(self, pipe: Pipe, app: Headrace, settings: dict[str, Any]) -> None:
        self._pipe = pipe
        self._app = app
        self._worker_id = settings["worker_id"]
        self._connections = HandlerConnections(settings["url"], settings["schema"], limit=2)
        self._made_step_store: StepStore | None = None

    async def run(self) -> None:
        """Live as long as the worker does; the lifespan spans all attempts."""
        async with self._app.provide() as provided:
            self._pipe.say({"ready": True})
            while True:
                attempt = Attempt(tuple(await asyncio.to_thread(self._pipe.jobs.get)))
                # A task of its own: no attempt may see another's context variables.
                settle = await asyncio.create_task(self._live(attempt, provided))
                self._pipe.context = None
                self._pipe.say({"settle": list(settle), "settled": attempt.settled})

    def _step_store(self) -> StepStore:
        if self._made_step_store is None:
            self._made_step_store = self._app.run_sync(self._make_step_store())
        return self._made_step_store

    async def _make_step_store(self) -> StepStore:
        # On the app's own loop, in its thread: a handler that is a function keeps this process's first one busy.
        return StepStore(self._connections.url, self._connections.schema)

    async def _live(self, attempt: Attempt, provided: dict[type, Any]) -> Settle:
        try:
            return attempt.succeeded(await self._run(attempt, provided))
        except BaseException as error:  # noqa: BLE001 - it is the attempt's outcome
            return attempt.ended_by(error)

    async def _run(self, attempt: Attempt, provided: dict[type, Any]) -> Any:
        task = attempt.job_task = self._app.find_task(attempt.task_name)
        reporter = PipeReporter(self._pipe, attempt, self._worker_id, self._connections, self._step_store)
        context = attempt.context = self._pipe.context = Context(attempt.describe, reporter)
        args, kwargs = complete_arguments(task, read_arguments(task, attempt.packed or "{}"), context, provided)
        _current.set(context)
        attempt.started = True

        async def call() -> Any:
            returned = task.handler(*args, **kwargs)
            return unwrap_outcome(await returned if inspect.isawaitable(returned) else returned)

        return await call_through(overriding(self._app.middlewares, "run"), context, call)


def load_app(settings: dict[str, Any]) -> Headrace:
    """Import the app as the worker's `find_app` described it."""
    for entry in settings["sys_path"]:
        if entry not in sys.path:
            sys.path.append(entry)
    if settings["module"]:
        app = getattr(importlib.import_module(settings["module"]), settings["name"])
    else:
        app = runpy.run_path(settings["path"], run_name="__headrace_main__")[settings["name"]]
    assert isinstance(app, Headrace)
    return app


def main() -> None:
    """Serve one worker."""
    # Ctrl-C and systemd tell every process, but the worker decides when this one ends. Not SIG_IGN, which programs
    # that a handler starts would inherit.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    pipe = Pipe(int(sys.argv[1]), int(sys.argv[2]))
    settings = pipe.settings()
    threading.Thread(target=pipe.listen, daemon=True).start()
    os.environ[IMPORTING] = "1"
    log_as_told()
    try:
        app = load_app(settings)
    except BaseException as error:  # noqa: BLE001 - the worker reports it
        pipe.say({"error": f"the app cannot be imported there: {error!r}"})
        return
    del os.environ[IMPORTING]
    app.use_database(settings["url"])  # the worker's own, even if it is the embedded one
    asyncio.run(Child(pipe, app, settings).run())


if __name__ == "__main__":
    main()
