"""One claimed job in this worker's hands, and the ways in which its attempt can end."""

from __future__ import annotations

import asyncio
import json
import time
import traceback
from typing import TYPE_CHECKING, Any, NamedTuple, cast
from uuid import UUID

from pydantic_core import PydanticSerializationError, to_json

from headrace._redact import NO_MARKS, Texts
from headrace.context import Context, RunningJob
from headrace.errors import InvalidArguments, StepError, UnknownTask
from headrace.middleware import Ending
from headrace.outcomes import Cancel, Fail, Snooze, Suspended

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from headrace.middleware import AttemptOutcome
    from headrace.task import Task

MAX_RESULT_BYTES = 256 * 1024
MAX_MESSAGE_CHARS = 2_000
MAX_TRACEBACK_CHARS = 16_000
TIMED_OUT = "the attempt ran longer than its time-out"
"""How the reason of a hard time-out begins."""
MAX_WAIT_S = 3650 * 86_400.0
"""Ten years: what `timedelta.max` becomes, which no timestamp can hold."""


class Settle(NamedTuple):
    """What is to be recorded of an attempt: one element of each array that headrace.settle_jobs takes."""

    id: str
    run: int
    outcome: str
    wait_s: float
    result: str | None
    error: str | None
    progress: str | None


class Attempt:
    """A claimed job. Rows of claim_jobs.sql become these."""

    __slots__ = (
        "_texts", "asyncio_task", "attempts", "began_s", "cancel_reason", "context", "extras", "handing_back", "id",
        "job_task", "max_attempts", "on_cancel", "packed", "progress", "queue", "result", "run", "settled", "started",
        "suspicion", "task_name", "timed_out", "wait_s",
    )  # fmt: skip

    wait_s: float  # only of claims that were asked for it

    def __init__(self, row: tuple[Any, ...]) -> None:
        (self.id, self.run, self.queue, self.task_name, self.packed, self.attempts, self.max_attempts, self.suspicion,
         _rank, _position, self.extras) = row  # fmt: skip
        self.job_task: Task[..., ..., Any] | None = None
        self.context: Context | None = None
        self.progress: tuple[float, float | None, str | None] | None = None
        self.cancel_reason: str | None = None
        self.handing_back = False
        self.timed_out: str | None = None
        self.result: str | None = None
        self.settled = False
        self.started = False  # whether the handler was called
        self.began_s: float | None = None  # when it was, by time.perf_counter; kept if somebody wants to know
        self.on_cancel: Callable[[], None] | None = None
        self.asyncio_task: asyncio.Task[None] | None = None  # once it has waited for something
        self._texts: Texts | None = None  # once it has said something

    def ending(self, settle: Settle | None) -> Ending:
        """What middlewares hear of its end."""
        final = None if self.settled else settle
        return Ending(
            self.describe,
            task=self.job_task.name if self.job_task is not None else self.task_name,
            queue=self.queue,
            outcome=cast("AttemptOutcome", final.outcome) if final is not None else "succeeded",
            error=json.loads(final.error) if final is not None and final.error is not None else None,
            run_s=time.perf_counter() - self.began_s if self.began_s is not None else None,
            wait_s=getattr(self, "wait_s", None),
        )

    @property
    def expired(self) -> bool:
        """Whether it was claimed too late to be started."""
        return self.extras is not None and bool(json.loads(self.extras)["expired"])

    @property
    def workflow_id(self) -> str | None:
        """The workflow that it belongs to."""
        if self.extras is None or '"workflow_id"' not in self.extras:
            return None
        workflow_id: str | None = json.loads(self.extras).get("workflow_id")
        return workflow_id

    @property
    def has_inputs(self) -> bool:
        """Whether some of its arguments are results of other jobs."""
        return self.workflow_id is not None and json.loads(self.extras or "{}")["inputs"] is not None

    def describe(self) -> RunningJob:
        """What the handler may know of it."""
        extras = json.loads(self.extras) if self.extras else {}
        return RunningJob(
            id=UUID(self.id),
            task=self.task_name,
            queue=self.queue,
            run=self.run,
            attempt=self.attempts + 1,
            max_attempts=self.max_attempts,
            tenant=extras.get("tenant"),
            correlation_id=extras.get("correlation_id"),
            tags=tuple(extras.get("tags") or ()),
            metadata=extras.get("metadata") or {},
            workflow_id=UUID(extras["workflow_id"]) if extras.get("workflow_id") else None,
        )

    def hide(self, text: str) -> str:
        """What the handler said, without the secrets among its arguments."""
        if self._texts is None:
            self._texts = (self.job_task.secrets if self.job_task else NO_MARKS).texts_of(self.packed)
        return self._texts(text)

    def request_cancel(self, reason: str) -> None:
        """Tell the handler to stop, in the way that its executor can."""
        if self.cancel_reason is None:
            self.cancel_reason = reason
            if self.context is not None:
                self.context.cancel_reason = reason
            if self.on_cancel is not None:
                self.on_cancel()

    # -- the ways to end --

    def succeeded(self, result: Any) -> Settle:
        """The handler returned."""
        if result is None:
            return Settle(self.id, self.run, "succeeded", 0, None, None, self._progress_json())
        try:
            packed = pack_result(result)
        except ValueError as error:
            return self.failed({"kind": "result", "message": f"the handler succeeded, but its result {error}"})
        return Settle(self.id, self.run, "succeeded", 0, packed, None, self._progress_json())

    def failed(self, error: dict[str, Any]) -> Settle:
        """No further attempt is made."""
        return Settle(self.id, self.run, "failed", 0, None, error_json(error, self.hide), self._progress_json())

    def cancelled(self, kind: str, reason: str) -> Settle:
        """There is nothing to do any more."""
        error = error_json({"kind": kind, "message": reason}, self.hide)
        return Settle(self.id, self.run, "cancelled", 0, None, error, self._progress_json())

    def snoozed(self, wait_s: float) -> Settle:
        """Again later; the attempt does not count."""
        return Settle(self.id, self.run, "snoozed", min(wait_s, MAX_WAIT_S), None, None, None)

    def waiting(self, event: str, wait_s: float) -> Settle:
        """Again when the event has been emitted, at the latest after so long; the attempt does not count."""
        error = error_json({"kind": "waiting", "message": f'for the event "{event}"', "event": event})
        return Settle(self.id, self.run, "waiting", min(wait_s, MAX_WAIT_S), None, error, None)

    def retried(self, wait_s: float, error: dict[str, Any]) -> Settle:
        """Again later; the attempt counts."""
        described = error_json(error, self.hide)
        return Settle(self.id, self.run, "retried", min(wait_s, MAX_WAIT_S), None, described, None)

    def handed_back(self) -> Settle:
        """Again at once, by somebody else, as if it had not been claimed."""
        return Settle(self.id, self.run, "handed_back", 0, None, None, None)

    def parked(self) -> Settle:
        """No task of this name is registered here: kept until a worker starts that has one."""
        message = f'no task is named "{self.task_name}" in the worker that claimed this job'
        return Settle(
            self.id, self.run, "parked", 0, None, error_json({"kind": "unknown task", "message": message}), None
        )

    def ended_by(self, error: BaseException) -> Settle:
        """What an exception means for the job. Never raises, whatever the exception's class does."""
        try:
            return self._ended_by(error)
        except Exception as broken:  # noqa: BLE001 - the attempt has to end
            message = (
                f"what {type(error).__qualname__} means cannot be told: reading it raised {type(broken).__qualname__}"
            )
            return self.failed({"kind": "exception", "message": message})

    def _ended_by(self, error: BaseException) -> Settle:  # noqa: PLR0911 - a table of endings
        if self.handing_back and isinstance(error, asyncio.CancelledError):
            return self.handed_back()
        if self.timed_out is not None:
            return self.failed_attempt(TimeoutError(self.timed_out), "timeout")
        match deciding(error):
            case Suspended(event=None) as sleep:
                return self.snoozed(sleep.wait_s)
            case Suspended(event=str(event)) as wait:
                return self.waiting(event, wait.wait_s)
            case StepError() as decided:
                return self.failed(describe_error(decided, "step"))
        match error:
            case Snooze():
                return self.snoozed(error.wait.total_seconds())
            case Cancel():
                return self.cancelled("cancelled", error.reason)
            case Fail():
                return self.failed({"kind": "failed", "message": error.reason})
            case UnknownTask() if not self.started:
                return self.parked()
            case InvalidArguments() if not self.started:
                return self.failed({"kind": "arguments", "message": str(error)})
        if self.cancel_reason is not None:
            return self.cancelled("cancelled", self.cancel_reason)
        return self.failed_attempt(error, "exception")

    def failed_attempt(self, error: BaseException, kind: str) -> Settle:
        """Retried if the task's policy and the job's budget allow it, else failed."""
        described = describe_error(error, kind)
        delay = None
        if self.job_task is not None:
            delay = self.job_task.settings.retry.next_delay(error, self.attempts + 1, self.max_attempts)
        return self.failed(described) if delay is None else self.retried(delay.total_seconds(), described)

    def _progress_json(self) -> str | None:
        if self.progress is None:
            return None
        done, total, message = self.progress
        return json.dumps({"done": done, "total": total, "message": message})


def deciding(error: BaseException) -> BaseException:
    """What decides about an attempt of those errors that an `asyncio.TaskGroup` raises together.

    A step's error; or, if all are waits, the one that is over first; otherwise the group as a whole.
    """
    if not isinstance(error, BaseExceptionGroup):
        return error
    inside = [deciding(part) for part in error.exceptions]
    waits = [part for part in inside if isinstance(part, Suspended)]
    if len(waits) == len(inside):
        return min(waits, key=lambda wait: wait.wait_s)
    return next((part for part in inside if isinstance(part, StepError)), error)


def pack_result(result: Any) -> str:
    """A result as JSON that PostgreSQL stores: not-a-number becomes null, NUL becomes the replacement character.

    Raises:
        ValueError: It cannot be written as JSON, or is too large; the message goes on after "the result".
    """
    try:
        packed = to_json(result, inf_nan_mode="null")
    except (PydanticSerializationError, ValueError, RecursionError) as error:
        raise ValueError(f"cannot be stored as JSON: {error}") from error
    if len(packed) > MAX_RESULT_BYTES:
        raise ValueError(f"is {len(packed)} bytes long, at most {MAX_RESULT_BYTES} are kept: store it elsewhere")
    if b"\\u0000" in packed:
        return json.dumps(_without_nul(json.loads(packed)), ensure_ascii=False)
    return packed.decode()


def _without_nul(value: Any) -> Any:
    match value:
        case str():
            return value.replace("\x00", "\ufffd")
        case list():
            return [_without_nul(item) for item in value]
        case dict():
            return {_without_nul(key): _without_nul(item) for key, item in value.items()}
        case _:
            return value


def clean(text: str, limit: int) -> str:
    """Text that PostgreSQL can store, at most so long."""
    return text[:limit].replace("\x00", "\ufffd").encode("utf-8", "replace").decode()


def describe_error(error: BaseException, kind: str = "exception") -> dict[str, Any]:
    """What is stored of an exception. Never raises, whatever the exception's own methods do."""
    try:
        message = str(error)
    except Exception:  # noqa: BLE001 - a broken __str__ must not hide the failure
        message = "(its message cannot be shown)"
    try:
        trace = "".join(traceback.format_exception(type(error), error, _handlers_frames(error)))
    except Exception:  # noqa: BLE001
        trace = ""
    return {
        "kind": kind,
        "type": f"{type(error).__module__}.{type(error).__qualname__}".removeprefix("builtins."),
        "message": message,
        "traceback": trace,
    }


def _handlers_frames(error: BaseException) -> TracebackType | None:
    """The traceback from the handler's first frame on; ours tell its author nothing."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_globals.get("__name__", "").startswith("headrace."):
        trace = trace.tb_next
    return trace or error.__traceback__


def error_json(error: dict[str, Any], hide: Callable[[str], str] = str) -> str:
    """An error as JSON that PostgreSQL stores, bounded.

    Args:
        error: What is known of it.
        hide: Takes secrets out of a text: before it is bounded, for what is left of a secret would not be found.
    """
    texts = {name: hide(str(value)) for name, value in error.items()}
    if "traceback" in texts:
        texts["traceback"] = clean(texts["traceback"][-MAX_TRACEBACK_CHARS:], MAX_TRACEBACK_CHARS)
    return json.dumps({
        name: text if name == "traceback" else clean(text, MAX_MESSAGE_CHARS) for name, text in texts.items()
    })  # fmt: skip
