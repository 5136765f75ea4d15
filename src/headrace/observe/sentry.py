"""Errors of attempts for Sentry: a warning while the job will be tried again, an error when it has failed for good.

Each attempt has an isolation scope with the tags job_id, task, queue and attempt (and tenant), so that whatever else
the handler reports, logs at level error included, carries them too. Nothing is reported twice: what headrace itself
logs of an attempt's end is no event, and an exception that the handler logs before it raises it is one event, Sentry's
own doing. Arguments are never sent, and what the task marks as secret among them is hidden wherever it stands, in
local variables, too.
"""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

import sentry_sdk
from sentry_sdk._types import AnnotatedValue
from sentry_sdk.integrations.logging import ignore_logger
from sentry_sdk.utils import safe_repr

from headrace.context import hide_secrets
from headrace.middleware import Middleware
from headrace.observe.judging import WRONG, Inside, judge, runs_in_child

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from headrace.app import Headrace
    from headrace.context import Context, RunningJob
    from headrace.middleware import Ending

FLUSH_S = 2.0
_LEVELS: dict[str, Literal["warning", "error"]] = {"retried": "warning", "failed": "error"}


def instrument(app: Headrace) -> None:
    """Report the errors of this app's attempts; call ``sentry_sdk.init(...)`` as in any program, in the same module.

    Args:
        app: Which.
    """
    ignore_logger("headrace.attempt")
    app.middlewares.append(Reporting(app))


class Reporting(Middleware):
    """Reports the errors of one app; see `instrument`."""

    def __init__(self, app: Headrace) -> None:
        self._app = app
        self._inside = Inside(app)

    async def run(self, context: Context, call_next: Callable[[], Awaitable[Any]]) -> Any:
        """The attempt's scope."""
        with sentry_sdk.isolation_scope() as scope:
            _describe(scope, context.job)
            scope.add_event_processor(_hide)
            self._inside.enter(context.job)
            try:
                return await call_next()
            except BaseException as raised:
                outcome, error = judge(self._app, context, raised)
                if outcome in WRONG and self._inside.leave(context.job):
                    sentry_sdk.capture_exception(error, level=_LEVELS[outcome])
                raise
            finally:
                self._inside.leave(context.job)
                if runs_in_child(self._app, context.job.task):
                    await asyncio.to_thread(sentry_sdk.flush, FLUSH_S)  # the process may be killed at any time

    def on_end(self, ending: Ending) -> None:
        """Report what `run` could not: a killed process, a handler that runs on, arguments that do not fit."""
        if ending.error is None or ending.outcome not in WRONG:
            return
        if ending.started and ending.error["kind"] != "result" and not self._inside.ended_unseen(ending):
            return
        with sentry_sdk.isolation_scope() as scope:
            _describe(scope, ending.job)
            exception = {"type": ending.error.get("type") or ending.error["kind"], "value": ending.error["message"]}
            sentry_sdk.capture_event({"level": _LEVELS[ending.outcome], "exception": {"values": [exception]}})


def _hide(event: Any, hint: dict[str, Any]) -> Any:
    """An event without the secrets among the arguments of the job that runs here."""
    return _hide_in(event)


def _hide_in(value: Any) -> Any:
    match value:
        case str():
            return hide_secrets(value)
        case dict():
            return {key: _hide_in(item) for key, item in value.items()}
        case list() | tuple():
            return [_hide_in(item) for item in value]
        case AnnotatedValue():
            return AnnotatedValue(_hide_in(value.value), value.metadata)
        case None | bool() | int() | float() | datetime():
            return value
        case _:  # it would be sent as this
            return hide_secrets(safe_repr(value))


def _describe(scope: sentry_sdk.Scope, job: RunningJob) -> None:
    scope.set_transaction_name(job.task, source="task")
    tags: dict[str, Any] = {"job_id": str(job.id), "task": job.task, "queue": job.queue, "attempt": job.attempt}
    if job.tenant is not None:
        tags["tenant"] = job.tenant
    scope.set_tags(tags)
    about = {"run": job.run, "max_attempts": job.max_attempts, "correlation_id": job.correlation_id}
    scope.set_context("job", about)
