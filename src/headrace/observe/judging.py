"""What an exception will mean for a job, for those who see it before the worker decides."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from headrace._worker.attempt import TIMED_OUT, deciding
from headrace.errors import StepError
from headrace.outcomes import Cancel, Fail, Snooze, Suspended

if TYPE_CHECKING:
    from uuid import UUID

    from headrace.app import Headrace
    from headrace.context import Context, RunningJob
    from headrace.middleware import AttemptOutcome, Ending

WRONG = ("failed", "retried")
"""The outcomes of attempts in which something went wrong."""


def judge(app: Headrace, context: Context, error: BaseException) -> tuple[AttemptOutcome, BaseException]:
    """What the worker will record of an attempt that ends with this error, and the error that it means.

    A cancellation at the hard time-out means a `TimeoutError`, as it is recorded.
    """
    decided = deciding(error)
    match decided:
        case Suspended(event=None) | Snooze():
            return "snoozed", decided
        case Suspended():
            return "waiting", decided
        case Cancel():
            return "cancelled", decided
        case StepError() | Fail():
            return "failed", decided
        case asyncio.CancelledError():
            if context.cancel_reason is None or not context.cancel_reason.startswith(TIMED_OUT):
                return "cancelled", decided
            decided = TimeoutError(context.cancel_reason)
    job = context.job
    delay = app.find_task(job.task).settings.retry.next_delay(decided, job.attempt, job.max_attempts)
    return ("failed" if delay is None else "retried"), decided


class Inside:
    """The attempts whose `Middleware.run` has begun in this process, and is to tell their end."""

    def __init__(self, app: Headrace) -> None:
        self._app = app
        self._attempts: set[tuple[UUID, int]] = set()

    def enter(self, job: RunningJob) -> None:
        """`run` begins."""
        self._attempts.add((job.id, job.run))

    def leave(self, job: RunningJob) -> bool:
        """`run` ends; whether it is to tell how. The worker has told it of attempts that it gave up before."""
        known = (job.id, job.run) in self._attempts
        self._attempts.discard((job.id, job.run))
        return known

    def ended_unseen(self, ending: Ending) -> bool:
        """Whether `run` has not told the end of a started attempt: its process was killed, or it runs on by itself."""
        if not ending.started or ending.error is None or ending.task not in self._app.tasks:
            return False
        if runs_in_child(self._app, ending.task):
            return ending.error["kind"] in ("timeout", "memory", "process")
        return self.leave(ending.job)


def runs_in_child(app: Headrace, task: str) -> bool:
    """Whether the middlewares of this task's attempts run in a process that is killed when the worker ends."""
    return app.find_task(task).settings.executor == "process"
