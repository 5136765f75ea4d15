"""How handlers are called: middleware, dependencies, and where the call happens."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from headrace.context import Context, _current
from headrace.errors import ConfigurationError, InvalidArguments
from headrace.outcomes import Outcome

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from headrace._arguments import Arguments
    from headrace.middleware import Middleware
    from headrace.task import Task


def read_arguments(task: Task[..., ..., Any], packed: str) -> dict[str, Any]:
    """A job's stored arguments as today's signature wants them, by way of `upcast` if they no longer fit.

    Raises:
        InvalidArguments: They do not fit.
    """
    arguments = task.arguments
    try:
        return arguments.unpack(packed)
    except InvalidArguments:
        if task.settings.upcast is None:
            raise
        return _upcast(arguments, task.settings.upcast, packed)


def _upcast(arguments: Arguments, upcast: Callable[[dict[str, Any]], dict[str, Any]], packed: str) -> dict[str, Any]:
    import json  # noqa: PLC0415 - rare

    try:
        revised = upcast(json.loads(packed))
    except Exception as error:
        raise InvalidArguments(
            f'task "{arguments.task_name}": upcast failed on the stored arguments: {error!r}'
        ) from error
    return arguments.unpack(json.dumps(revised))


def complete_arguments(
    task: Task[..., ..., Any], values: dict[str, Any], context: Context, provided: dict[type, Any]
) -> tuple[list[Any], dict[str, Any]]:
    """Positional and keyword arguments of the call, with the context and what the lifespan provides."""
    arguments = task.arguments
    for name in arguments.context_names:
        values[name] = context
    for name, kind in arguments.injected.items():
        values[name] = _provided(task.name, name, kind, provided)
    return (arguments.split_positional(values) if arguments.has_positional_only else []), values


def _provided(task_name: str, name: str, kind: type, provided: dict[type, Any]) -> Any:
    if kind in provided:
        return provided[kind]
    for item in provided.values():
        if isinstance(kind, type) and isinstance(item, kind):
            return item
    names = ", ".join(t.__qualname__ for t in provided) or "nothing"
    raise ConfigurationError(
        f'task "{task_name}": nothing provides its parameter "{name}" ({kind}): the app\'s lifespan yields {names}'
    )


async def call_through(middlewares: list[Middleware], context: Context, call: Callable[[], Awaitable[Any]]) -> Any:
    """Call with the middlewares around it, the first one outermost."""
    for middleware in reversed(middlewares):
        call = _wrap(middleware, context, call)
    return await call()


def _wrap(middleware: Middleware, context: Context, call: Callable[[], Awaitable[Any]]) -> Callable[[], Awaitable[Any]]:
    return lambda: middleware.run(context, call)


def unwrap_outcome(returned: Any) -> Any:
    """A handler may return `Snooze(...)` as well as raise it."""
    if isinstance(returned, Outcome):
        raise returned
    return returned


class Threads:
    """Runs functions in threads, with the context variables of the attempt.

    Callers take one of `places` first, so that what waits for a thread has not begun: its time-out does not run, and it
    can be cancelled. Finished calls wake the loop once for as many as have gathered, since waking it is what costs.
    """

    def __init__(self, size: int) -> None:
        self.places = asyncio.Semaphore(size)
        self._pool = ThreadPoolExecutor(size, thread_name_prefix="headrace-task")
        self._loop = asyncio.get_running_loop()
        self._finished: deque[tuple[asyncio.Future[Any], Any, BaseException | None]] = deque()
        self._woken = False

    async def run(self, context: Context, function: Callable[..., Any], args: list[Any], kwargs: dict[str, Any]) -> Any:
        """Call a function in a thread, wait for it, and give what it returns or raises."""
        future: asyncio.Future[Any] = self._loop.create_future()
        self._pool.submit(contextvars.copy_context().run, self._call, future, context, function, args, kwargs)
        return await future

    def _call(
        self,
        future: asyncio.Future[Any],
        context: Context,
        function: Callable[..., Any],
        args: list[Any],
        kwargs: dict[str, Any],
    ) -> None:
        _current.set(context)
        result, error = None, None
        try:
            result = unwrap_outcome(function(*args, **kwargs))
            if inspect.iscoroutine(result):
                result.close()
                raise ConfigurationError(f"{function!r} returned a coroutine: make the task itself `async def`")
        except BaseException as raised:  # noqa: BLE001 - it is the attempt's outcome
            error = raised
        self._finished.append((future, result, error))
        if not self._woken:
            self._woken = True
            self._loop.call_soon_threadsafe(self._deliver)

    def _deliver(self) -> None:
        self._woken = False
        while self._finished:
            future, result, error = self._finished.popleft()
            if future.done():
                continue
            if error is None:
                future.set_result(result)
            elif isinstance(error, StopIteration):
                future.set_exception(RuntimeError("the handler raised StopIteration"))
            else:
                future.set_exception(error)

    def close(self) -> None:
        """Take no more calls; those that run are not waited for."""
        self._pool.shutdown(wait=False, cancel_futures=True)
