"""How handlers are called: arguments, dependencies, middleware."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from headrace.errors import ConfigurationError, InvalidArguments
from headrace.outcomes import Outcome

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from headrace._arguments import Arguments
    from headrace.context import Context
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
