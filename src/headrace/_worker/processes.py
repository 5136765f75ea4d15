"""Process tasks: handlers in child processes that are really killed.

A child is one Python process in a session of its own, which imports the app and then runs one attempt after the other.
The two talk in lines of JSON over two pipes. A child that has to go (hard time-out, cancel, memory) is killed with its
whole process group, so with everything that the handler started; the next attempt gets a new one. A child whose pipe
ends (its worker died) kills its own group.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import logging
import os
import signal
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psutil

from headrace._worker.attempt import TIMED_OUT, Attempt, Settle
from headrace.errors import ConfigurationError, WorkerError

if TYPE_CHECKING:
    from headrace._worker.heart import Heart
    from headrace._worker.reports import Reports
    from headrace.app import Headrace

MEMORY_LOOK_S = 0.1
START_DEADLINE_S = 60.0
_LINE_BYTES = 4 << 20
_log = logging.getLogger("headrace.worker")


@dataclass(frozen=True)
class AppReference:
    """How another process finds the app: a module, or the file of the program that runs, and a name in it."""

    module: str | None
    path: str | None
    name: str


def find_app(app: Headrace) -> AppReference:
    """Find the module-level name of an app.

    Raises:
        ConfigurationError: It has none.
    """
    for task in app.tasks.values():
        module = inspect.getmodule(task.handler)
        for name, value in vars(module).items() if module else ():
            if value is app and module is not None:
                return _reference(module, name)
    for module in list(sys.modules.values()):
        for name, value in list(vars(module).items()):
            if value is app and not name.startswith("_"):
                return _reference(module, name)
    raise ConfigurationError(
        'tasks with executor="process" need their app in a module-level variable, so that another process can import it'
    )


def _reference(module: Any, name: str) -> AppReference:
    if module.__name__ != "__main__":
        return AppReference(module.__name__, None, name)
    if spec := getattr(module, "__spec__", None):
        return AppReference(spec.name, None, name)
    return AppReference(None, os.path.abspath(module.__file__), name)  # noqa: PTH100 - a plain string


class _Child:
    """One child process."""

    def __init__(self, process: asyncio.subprocess.Process, reader: asyncio.StreamReader, pipe: int) -> None:
        self.process = process
        self.reader = reader
        self._pipe = pipe

    def say(self, words: dict[str, Any]) -> None:
        os.write(self._pipe, json.dumps(words).encode() + b"\n")

    async def hear(self) -> dict[str, Any] | None:
        line = await self.reader.readline()
        return json.loads(line) if line.endswith(b"\n") else None

    def is_alive(self) -> bool:
        """Whether the process can be given work; asked of the system, since asyncio may not have heard of its end."""
        with suppress(psutil.Error):
            return psutil.Process(self.process.pid).status() != psutil.STATUS_ZOMBIE
        return False

    def kill(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)

    async def end_group_with_it(self) -> None:
        """When the process ends, end what it started: that may hold the pipe open, and nobody would hear of the end."""
        await self.process.wait()
        self.kill()

    def memory_bytes(self) -> int:
        """What the child and everything that it started hold."""
        total = 0
        with suppress(psutil.Error):
            parent = psutil.Process(self.process.pid)
            for process in (parent, *parent.children(recursive=True)):
                with suppress(psutil.Error):
                    total += process.memory_info().rss
        return total

    async def close(self) -> None:
        with suppress(OSError):
            os.close(self._pipe)
        self.kill()
        await self.process.wait()


class Processes:
    """The children of a worker, started when they are first needed.

    Args:
        app: Whose handlers they run.
        limit: How many run at the same time.
        reports: Where their progress and logs go.
        heart: Told of each child, so that none outlives the worker.
        worker_id: The lease under which their transactions are fenced.
    """

    def __init__(self, app: Headrace, limit: int, reports: Reports, heart: Heart, worker_id: int) -> None:
        self._app = app
        self._reports = reports
        self._heart = heart
        self._worker_id = worker_id
        self._places = asyncio.Semaphore(limit)
        self._idle: list[_Child] = []
        self._all: set[_Child] = set()

    async def run(self, attempt: Attempt) -> Settle | None:
        """Run one attempt in a child, and give what is to be recorded."""
        async with self._places:
            if attempt.handing_back:
                return attempt.handed_back()
            child = await self._take()
            keep = False
            try:
                settle = await self._run_in(child, attempt)
                keep = child.process.returncode is None and not _was_killed(attempt)
                return settle
            finally:
                if keep:
                    self._idle.append(child)
                else:
                    await self._discard(child)

    async def _take(self) -> _Child:
        while self._idle:
            child = self._idle.pop()
            if child.is_alive():
                return child
            await self._discard(child)
        return await self._start()

    async def _run_in(self, child: _Child, attempt: Attempt) -> Settle | None:
        assert attempt.job_task is not None
        settings = attempt.job_task.settings
        attempt.on_cancel = child.kill
        if attempt.cancel_reason is not None:
            return attempt.cancelled("cancelled", attempt.cancel_reason)
        attempt.began_s = time.perf_counter()
        child.say({"run": _row(attempt)})
        loop = asyncio.get_running_loop()
        timers = []
        if settings.timeout_s is not None:
            timers.append(loop.call_later(settings.timeout_s, self._time_out, child, attempt, settings.timeout_s))
        if settings.soft_timeout_s is not None:
            words = {"stop": f"soft time-out of {settings.soft_timeout_s:g} s"}
            timers.append(loop.call_later(settings.soft_timeout_s, child.say, words))
        watcher = (
            asyncio.create_task(self._watch_memory(child, attempt, settings.memory_limit_bytes))
            if settings.memory_limit_bytes is not None
            else None
        )
        ending = asyncio.create_task(child.end_group_with_it())
        try:
            return await self._listen(child, attempt)
        finally:
            ending.cancel()
            for timer in timers:
                timer.cancel()
            if watcher is not None:
                watcher.cancel()
            attempt.on_cancel = None

    async def _listen(self, child: _Child, attempt: Attempt) -> Settle | None:
        while (words := await child.hear()) is not None:
            if "progress" in words:
                self._reports.progress(attempt, *words["progress"])
            elif "log" in words:
                self._reports.log(attempt, *words["log"])
            elif "flush" in words:
                await self._reports.write()
                child.say({"flushed": True})
            elif "settle" in words:
                attempt.settled = words["settled"]
                return Settle(*words["settle"])
        code = await child.process.wait()
        return self._died(attempt, code)

    def _died(self, attempt: Attempt, code: int) -> Settle:
        if attempt.handing_back:
            return attempt.handed_back()
        if attempt.timed_out is not None:
            kind = "memory" if attempt.timed_out.startswith("memory") else "timeout"
            error: BaseException = (
                MemoryError(attempt.timed_out) if kind == "memory" else TimeoutError(attempt.timed_out)
            )
            return attempt.failed_attempt(error, kind)
        if attempt.cancel_reason is not None:
            return attempt.cancelled("cancelled", attempt.cancel_reason)
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"exited with status {code}"
        return attempt.failed_attempt(WorkerError(f"the process of the handler {how}"), "process")

    def _time_out(self, child: _Child, attempt: Attempt, timeout_s: float) -> None:
        attempt.timed_out = f"{TIMED_OUT} of {timeout_s:g} s; its process was killed"
        child.kill()

    async def _watch_memory(self, child: _Child, attempt: Attempt, limit_bytes: int) -> None:
        while True:
            used = child.memory_bytes()
            if used > limit_bytes:
                attempt.timed_out = f"memory: {used >> 20} MiB are above the limit of {limit_bytes >> 20} MiB; killed"
                child.kill()
                return
            await asyncio.sleep(MEMORY_LOOK_S)

    async def _start(self) -> _Child:
        reference = find_app(self._app)
        to_child, from_child = os.pipe(), os.pipe()
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "headrace._worker.process_child", str(to_child[0]), str(from_child[1]),
            pass_fds=(to_child[0], from_child[1]), start_new_session=True, stdin=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        os.close(to_child[0])
        os.close(from_child[1])
        reader = asyncio.StreamReader(limit=_LINE_BYTES)
        loop = asyncio.get_running_loop()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(from_child[0], "rb"))
        child = _Child(process, reader, to_child[1])
        self._all.add(child)
        self._heart.watch_group(process.pid)
        child.say({
            "module": reference.module, "path": reference.path, "name": reference.name, "url": self._app.url,
            "schema": self._app.schema, "worker_id": self._worker_id, "sys_path": [p for p in sys.path if p],
        })  # fmt: skip
        await self._wait_until_ready(child)
        return child

    async def _wait_until_ready(self, child: _Child) -> None:
        try:
            async with asyncio.timeout(START_DEADLINE_S):
                words = await child.hear()
        except TimeoutError:
            words = {"error": f"it was not ready after {START_DEADLINE_S:g} s"}
        if words is None or "error" in words:
            await self._discard(child)
            why = words["error"] if words else "it ended at once"
            raise WorkerError(f"cannot start a process for process tasks: {why}")

    async def _discard(self, child: _Child) -> None:
        self._all.discard(child)
        await child.close()

    async def close(self) -> None:
        """End every child."""
        for child in list(self._all):
            await self._discard(child)


def _was_killed(attempt: Attempt) -> bool:
    return attempt.timed_out is not None or attempt.cancel_reason is not None or attempt.handing_back


def _row(attempt: Attempt) -> list[Any]:
    return [
        attempt.id, attempt.run, attempt.queue, attempt.task_name, attempt.packed, attempt.attempts,
        attempt.max_attempts, attempt.suspicion, 0, 0, attempt.extras,
    ]  # fmt: skip
