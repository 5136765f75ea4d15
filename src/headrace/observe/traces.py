"""OpenTelemetry traces: from the request that enqueues, through the queue, into the handler.

* ``task.enqueue(...)`` is a producer span. Its context goes with the job, in its metadata, as W3C trace context; each
  attempt is a consumer span below it, in whatever process it runs. The handler's own spans are below that.
* ``enqueue_many`` and `Headrace.start` are one producer span, however many jobs there are. An attempt of such a job is
  a trace of its own that is *linked* to the span in which the job was made: a trace of 100,000 attempts is of no use.
* Jobs that nobody's span made (of schedules, from SQL without `trace` in their metadata) begin a trace.

Programs that do not call `instrument` pay nothing for it. Attributes are those of OpenTelemetry's conventions for
messaging, and headrace.task, headrace.attempt, headrace.run, headrace.outcome and headrace.tenant.
"""

from __future__ import annotations

import asyncio
import dataclasses
import time
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from opentelemetry import trace
from opentelemetry.context import Context as TraceContext
from opentelemetry.trace import Link, Span, SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

import headrace
from headrace._worker.attempt import describe_error
from headrace.context import hide_secrets
from headrace.middleware import Middleware
from headrace.observe.judging import WRONG, Inside, judge, runs_in_child

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from contextlib import AbstractContextManager

    from opentelemetry.trace import TracerProvider

    from headrace.app import Headrace
    from headrace.context import Context, RunningJob
    from headrace.job import NewJob
    from headrace.middleware import Ending

CARRIER = "trace"
"""The key in a job's metadata: an object with traceparent, perhaps tracestate, and for jobs of many `batch`."""

FLUSH_S = 2.0
_W3C = TraceContextTextMapPropagator()
_single: ContextVar[Span | None] = ContextVar("headrace_producer", default=None)


def instrument(app: Headrace, tracer_provider: TracerProvider | None = None) -> None:
    """Trace this app's enqueues and attempts; call it where the app is made, so that its workers do so too.

    Args:
        app: Which.
        tracer_provider: Where spans go. Default: OpenTelemetry's global one.
    """
    app.middlewares.insert(0, Tracing(app, tracer_provider))  # outermost: others' work is inside the spans


class Tracing(Middleware):
    """The spans of one app; see `instrument`."""

    def __init__(self, app: Headrace, tracer_provider: TracerProvider | None = None) -> None:
        self._app = app
        self._provider = tracer_provider
        self._inside = Inside(app)
        self._tracer = trace.get_tracer("headrace", headrace.__version__, tracer_provider)

    # -- producers --

    def enqueueing(self, task: str | None) -> AbstractContextManager[Any]:
        """The producer's span."""
        if task is None:
            return nullcontext() if _single.get() is not None else self._send("send", {})
        return self._send_one(task)

    @contextmanager
    def _send_one(self, task: str) -> Iterator[None]:
        with self._send(f"send {task}", {"headrace.task": task}) as span:
            token = _single.set(span)
            try:
                yield
            except BaseException as error:
                span.set_attribute("error.type", _name_of(error))
                span.set_status(Status(StatusCode.ERROR))
                raise
            finally:
                _single.reset(token)

    def _send(self, name: str, attributes: dict[str, Any]) -> AbstractContextManager[Span]:
        about = _operation("send") | attributes
        # What the error says may be an argument. Whoever catches it, or the span above, has it anyway.
        return self._tracer.start_as_current_span(
            name, kind=SpanKind.PRODUCER, attributes=about, record_exception=False, set_status_on_exception=False
        )

    def on_enqueue(self, job: NewJob) -> NewJob:
        """Give the job the context of the span in which it is made."""
        carrier: dict[str, Any] = {}
        _W3C.inject(carrier)
        metadata = job.options.metadata or {}
        if not carrier or CARRIER in metadata:
            return job
        if (span := _single.get()) is None:
            carrier["batch"] = True
        elif span.is_recording():
            span.set_attributes({"messaging.message.id": job.id, "messaging.destination.name": job.queue})
        job.options = dataclasses.replace(job.options, metadata=metadata | {CARRIER: carrier})
        return job

    # -- consumers --

    async def run(self, context: Context, call_next: Callable[[], Awaitable[Any]]) -> Any:
        """The attempt's span."""
        parent, links = _origin(context.job)
        try:
            with self._tracer.start_as_current_span(
                f"process {context.job.task}",
                context=parent,
                kind=SpanKind.CONSUMER,
                attributes=_attributes(context.job),
                links=links,
                record_exception=False,
                set_status_on_exception=False,
            ) as span:
                return await self._run_in(span, context, call_next)
        finally:
            if runs_in_child(self._app, context.job.task):
                await self._flush()

    async def _run_in(self, span: Span, context: Context, call_next: Callable[[], Awaitable[Any]]) -> Any:
        self._inside.enter(context.job)
        try:
            result = await call_next()
        except BaseException as raised:
            outcome, error = judge(self._app, context, raised)
            span.set_attribute("headrace.outcome", outcome)
            if outcome in WRONG:
                span.set_attribute("error.type", _name_of(error))
                described = describe_error(error)
                span.record_exception(
                    error,
                    {
                        "exception.message": hide_secrets(described["message"]),
                        "exception.stacktrace": hide_secrets(described["traceback"]),
                    },
                )
                span.set_status(Status(StatusCode.ERROR, outcome))
            raise
        else:
            span.set_attribute("headrace.outcome", "succeeded")
            return result
        finally:
            self._inside.leave(context.job)

    async def _flush(self) -> None:
        """Send what has gathered: the process may be killed before it does so by itself."""
        flush = getattr(self._provider or trace.get_tracer_provider(), "force_flush", None)  # the SDK's
        if flush is not None:
            await asyncio.to_thread(flush, int(FLUSH_S * 1000))

    def on_end(self, ending: Ending) -> None:
        """The span of an attempt that could not tell its end itself."""
        if ending.error is None or not self._inside.ended_unseen(ending):
            return
        parent, links = _origin(ending.job)
        now_ns = time.time_ns()
        span = self._tracer.start_span(
            f"process {ending.task}",
            context=parent,
            kind=SpanKind.CONSUMER,
            attributes=_attributes(ending.job)
            | {"headrace.outcome": ending.outcome, "error.type": ending.error["kind"]},
            links=links,
            start_time=now_ns - int((ending.run_s or 0.0) * 1e9),
        )
        span.set_status(Status(StatusCode.ERROR, ending.error["message"]))
        span.end(now_ns)


def _origin(job: RunningJob) -> tuple[TraceContext, list[Link]]:
    """Below what an attempt's span is, and to what it is linked."""
    carrier = job.metadata.get(CARRIER)
    if not isinstance(carrier, dict):
        return TraceContext(), []
    extracted = _W3C.extract({key: text for key, text in carrier.items() if isinstance(text, str)}, TraceContext())
    origin = trace.get_current_span(extracted).get_span_context()
    if not origin.is_valid:
        return TraceContext(), []
    return (TraceContext(), [Link(origin)]) if carrier.get("batch") else (extracted, [])


def _name_of(error: BaseException) -> str:
    return f"{type(error).__module__}.{type(error).__qualname__}".removeprefix("builtins.")


def _operation(name: str) -> dict[str, Any]:
    return {"messaging.system": "headrace", "messaging.operation.name": name, "messaging.operation.type": name}


def _attributes(job: RunningJob) -> dict[str, Any]:
    attributes: dict[str, Any] = _operation("process") | {
        "messaging.destination.name": job.queue,
        "messaging.message.id": str(job.id),
        "headrace.task": job.task,
        "headrace.attempt": job.attempt,
        "headrace.run": job.run,
    }
    if job.correlation_id is not None:
        attributes["messaging.message.conversation_id"] = job.correlation_id
    if job.tenant is not None:
        attributes["headrace.tenant"] = job.tenant
    return attributes
