"""Code around every enqueue and every run."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from headrace.context import Context
    from headrace.job import NewJob


class Middleware:
    """Subclass, override what you need, and register with `Headrace.middleware`. Earlier ones are further out."""

    def on_enqueue(self, job: NewJob) -> NewJob:
        """Change a job that is about to be enqueued, or raise to refuse it. Must be quick, and not block."""
        return job

    async def run(self, context: Context, call_next: Callable[[], Awaitable[Any]]) -> Any:
        """Run around an attempt: `await call_next()` runs the handler, and gives what it returns.

        For process tasks it runs in the child process.
        """
        return await call_next()
