"""Where handlers that are plain functions run."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import threading
from collections import deque
from dataclasses import dataclass
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from headrace._worker.running import unwrap_outcome
from headrace.context import Context, _current
from headrace.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable

PATIENCE_S = 0.001
"""So long a call waits for a thread that is awake before another one is woken: some wake-ups' worth."""


class Threads:
    """Runs functions in threads, with the context variables of the attempt.

    Callers take one of `places` first, so that what waits for a thread has not begun: its time-out does not run, and it
    can be cancelled.

    Waking a thread, and the loop when it is done, costs more than the shortest handlers. So a thread that has finished
    takes the next call by itself; another one is woken when none is awake, and for calls that still wait after
    `PATIENCE_S`: those that are awake are at something longer then. And finished calls wake the loop once for as many
    as have gathered. (An executor of the standard library wakes a thread for each call: 4 times the time for a no-op.)
    """

    def __init__(self, size: int) -> None:
        self.places = Places(size)
        self._loop = asyncio.get_running_loop()
        self._calls: deque[_Call | None] = deque()
        self._finished: deque[_Call] = deque()
        self._told = False
        self._looking = False
        self._threads: list[threading.Thread] = []
        self._size = size
        self._awake = 0
        self._state = threading.Lock()
        self._alarms: SimpleQueue[None] = SimpleQueue()

    async def run(self, context: Context, function: Callable[..., Any], args: list[Any], kwargs: dict[str, Any]) -> Any:
        """Call a function in a thread, wait for it, and give what it returns or raises."""
        call = _Call(self._loop.create_future(), contextvars.copy_context(), context, function, args, kwargs)
        self._calls.append(call)
        with self._state:
            nobody = not self._awake
            if nobody:
                self._wake_one()
        if not nobody and not self._looking:
            self._look_later()
        return await call.future

    def _look_later(self) -> None:
        self._looking = True
        self._loop.call_later(PATIENCE_S, self._look)

    def _look(self) -> None:
        """Deliver what has gathered, and wake a thread for each call that still waits."""
        self._looking = False
        self._deliver()
        if self._calls:
            self._look_later()
        with self._state:
            for _ in range(min(len(self._calls), self._awake, self._size - self._awake)):
                self._wake_one()

    def _wake_one(self) -> None:
        self._awake += 1
        if self._awake > len(self._threads):
            thread = threading.Thread(target=self._work, name=f"headrace-task_{len(self._threads)}")
            self._threads.append(thread)
            thread.start()
        else:
            self._alarms.put(None)

    # -- in the threads --

    def _work(self) -> None:
        while True:
            try:
                call = self._calls.popleft()
            except IndexError:
                with self._state:
                    if self._calls:
                        continue
                    self._awake -= 1
                self._alarms.get()
                continue
            if call is None:  # closed
                self._calls.append(None)
                return
            call.context_variables.run(call.run)
            self._finished.append(call)
            if not (self._looking and self._calls) and not self._told:
                self._told = True
                self._loop.call_soon_threadsafe(self._deliver)

    # -- in the loop again --

    def _deliver(self) -> None:
        self._told = False
        while self._finished:
            self._finished.popleft().deliver()

    def close(self) -> None:
        """Take no more calls; those that run are not waited for, and those that have not begun are forgotten."""
        self._calls.clear()
        self._calls.append(None)
        for _ in self._threads:
            self._alarms.put(None)


class Places:
    """A semaphore in the order of arrival; asyncio's looks at all that wait whenever it lets one go on."""

    def __init__(self, free: int) -> None:
        self._free = free
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def __aenter__(self) -> None:
        if self._free:
            self._free -= 1
            return
        given = asyncio.get_running_loop().create_future()
        self._waiting.append(given)
        try:
            await given
        except asyncio.CancelledError:
            if given.done() and not given.cancelled():  # given and cancelled at the same time
                self._give_back()
            raise

    async def __aexit__(self, *_: object) -> None:
        self._give_back()

    def _give_back(self) -> None:
        while self._waiting:
            given = self._waiting.popleft()
            if not given.done():
                given.set_result(None)
                return
        self._free += 1


@dataclass(slots=True)
class _Call:
    """One call of a function in a thread."""

    future: asyncio.Future[Any]
    context_variables: contextvars.Context
    context: Context
    function: Callable[..., Any]
    args: list[Any]
    kwargs: dict[str, Any]
    result: Any = None
    error: BaseException | None = None

    def run(self) -> None:
        """Call, and keep what comes of it; in the thread."""
        _current.set(self.context)
        try:
            self.result = unwrap_outcome(self.function(*self.args, **self.kwargs))
            if inspect.iscoroutine(self.result):
                self.result.close()
                raise ConfigurationError(f"{self.function!r} returned a coroutine: make the task itself `async def`")
        except BaseException as raised:  # noqa: BLE001 - it is the attempt's outcome
            self.error = raised

    def deliver(self) -> None:
        """Tell whoever waits; in the loop."""
        if self.future.done():
            return
        if self.error is None:
            self.future.set_result(self.result)
        elif isinstance(self.error, StopIteration):
            self.future.set_exception(RuntimeError("the handler raised StopIteration"))
        else:
            self.future.set_exception(self.error)
