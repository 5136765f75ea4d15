"""One trace leads from the request through the queue into the handler, in whatever process that runs."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from headrace import Context, Headrace, Middleware, NewJob, Retry, Snooze, chain
from headrace.observe import traces
from tests.worker.helpers import until, working

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.trace import Tracer

    from tests.observe.commands import Command
    from tests.worker.helpers import Tables

AT_ONCE = Retry(attempts=2, delay=timedelta(0), jitter=0)


class Traced:
    """An instrumented app, and the spans that have ended."""

    def __init__(self, app: Headrace) -> None:
        self._exporter = InMemorySpanExporter()
        self.provider = TracerProvider()
        self.provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.tracer: Tracer = self.provider.get_tracer("shop")
        traces.instrument(app, self.provider)

    def spans(self, name: str) -> list[ReadableSpan]:
        return [span for span in self._exporter.get_finished_spans() if span.name == name]

    def span(self, name: str) -> ReadableSpan:
        (span,) = self.spans(name)
        return span


@pytest.fixture
def traced(app: Headrace) -> Traced:
    return Traced(app)


@pytest.mark.parametrize("kind", ["async", "thread"])
async def test_one_trace_from_the_request_to_the_handler(app: Headrace, traced: Traced, kind: str) -> None:
    """Request → send → process → the handler's own span, which needs no tracer of ours to find its place."""

    def inner() -> None:
        with traced.tracer.start_as_current_span("inner"):
            pass

    if kind == "async":

        @app.task(name="work")
        async def work() -> None:
            await asyncio.sleep(0)
            inner()

    else:

        @app.task(name="work")
        def work() -> None:
            inner()

    async with working(app):
        with traced.tracer.start_as_current_span("request", kind=SpanKind.SERVER):
            job = await work.options(queue="default", tenant="acme", correlation_id="r1").enqueue()
        await job.result(timeout=20)
    request, send, process, own = (traced.span(name) for name in ("request", "send work", "process work", "inner"))
    assert {span.context.trace_id for span in (send, process, own)} == {request.context.trace_id}
    assert [span.parent.span_id for span in (send, process, own) if span.parent] == [
        span.context.span_id for span in (request, send, process)
    ]
    assert (send.kind, process.kind) == (SpanKind.PRODUCER, SpanKind.CONSUMER)
    attributes = dict(process.attributes or {})
    assert attributes == {
        "messaging.system": "headrace",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": "default",
        "messaging.message.id": str(job.id),
        "messaging.message.conversation_id": "r1",
        "headrace.task": "work",
        "headrace.attempt": 1,
        "headrace.run": 1,
        "headrace.tenant": "acme",
        "headrace.outcome": "succeeded",
    }
    assert dict(send.attributes or {})["messaging.message.id"] == str(job.id)
    assert not traced.spans("send"), "one span for one enqueue"


async def test_jobs_of_many_are_linked(app: Headrace, traced: Traced) -> None:
    """However many: one producer span, and a trace for each attempt, linked to where the job was made."""

    @app.task(name="work")
    async def work(number: int) -> None: ...

    async with working(app):
        with traced.tracer.start_as_current_span("request"):
            made_before = [work.job(n) for n in range(3)]
            jobs = await app.enqueue_many(made_before)
            jobs += await app.enqueue_many(work.job(n) for n in range(3))
            workflow = await app.start(chain(work.job(1), work.job(2)))
        for job in jobs:
            await job.result(timeout=20)
        await workflow.result(timeout=20)
    request = traced.span("request")
    sends = traced.spans("send")
    assert len(sends) == 3
    processed = traced.spans("process work")
    assert len(processed) == 8
    assert all(span.parent is None for span in processed)
    origins = {request.context.span_id, *(send.context.span_id for send in sends)}
    linked = [span.links[0].context for span in processed]
    assert all(link.trace_id == request.context.trace_id and link.span_id in origins for link in linked)
    assert sum(link.span_id == sends[1].context.span_id for link in linked) == 3, "made while they were sent"


async def test_each_attempt_is_a_span_of_the_same_trace(app: Headrace, traced: Traced) -> None:
    """An error is recorded with what became of the job; what is no error is not marked as one."""

    @app.task(name="fails", retry=AT_ONCE)
    async def fails() -> None:
        raise ValueError("no")

    @app.task(name="snoozes")
    async def snoozes(ctx: Context) -> None:
        if ctx.job.run == 1:
            raise Snooze(0)

    @app.task(name="slow", timeout=timedelta(seconds=0.05), soft_timeout=timedelta(seconds=0.01), retry=AT_ONCE)
    async def slow() -> None:
        await asyncio.sleep(60)

    async with working(app):
        failing, lazy, late = [await task.enqueue() for task in (fails, snoozes, slow)]
        for job in (failing, lazy, late):
            await until(lambda job=job: _final(job), "it ends")  # type: ignore[misc]
    first, last = traced.spans("process fails")
    assert first.context.trace_id == last.context.trace_id == traced.span("send fails").context.trace_id
    assert [dict(span.attributes or {})["headrace.outcome"] for span in (first, last)] == ["retried", "failed"]
    assert [span.status.status_code for span in (first, last)] == [StatusCode.ERROR] * 2
    assert dict(first.attributes or {})["error.type"] == "ValueError"
    (event,) = first.events
    assert "ValueError: no" in str(dict(event.attributes or {})["exception.stacktrace"])
    waited = traced.spans("process snoozes")
    assert [dict(span.attributes or {})["headrace.outcome"] for span in waited] == ["snoozed", "succeeded"]
    assert all(span.status.status_code is StatusCode.UNSET and not span.events for span in waited)
    timed_out = traced.spans("process slow")
    assert [dict(span.attributes or {})["headrace.outcome"] for span in timed_out] == ["retried", "failed"]
    assert {dict(span.attributes or {})["error.type"] for span in timed_out} == {"TimeoutError"}


async def _final(job: Any) -> bool:
    return bool((await job.info()).state.final)


async def test_an_enqueue_that_fails_is_an_error_of_its_span(app: Headrace, traced: Traced) -> None:
    """And the error reaches the caller."""

    class Refuse(Middleware):
        def on_enqueue(self, job: NewJob) -> NewJob:
            raise PermissionError("not today")

    @app.task(name="work")
    async def work() -> None: ...

    app.middlewares.append(Refuse())
    with pytest.raises(PermissionError):
        await work.enqueue()
    assert traced.span("send work").status.status_code is StatusCode.ERROR


async def test_foreign_metadata_stays(app: Headrace, traced: Traced, tables: Tables) -> None:
    """The caller's own metadata is kept, a trace of its own is used, and what is none does no harm."""

    @app.task(name="work")
    async def work() -> None: ...

    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    strange: list[Any] = [None, 7, {}, {"traceparent": 7}, {"traceparent": "nonsense"}, [parent]]
    async with working(app):
        job = await work.options(metadata={"mine": 1}).enqueue()
        await job.result(timeout=20)
        metadata = (await job.info()).metadata or {}
        assert metadata["mine"] == 1
        assert metadata[traces.CARRIER]["traceparent"].startswith("00-")
        tables.rows("select headrace.enqueue('work', metadata => %s)", json.dumps({"trace": {"traceparent": parent}}))
        for carrier in strange:
            tables.rows("select headrace.enqueue('work', metadata => %s)", json.dumps({"trace": carrier}))
        expected = 2 + len(strange)
        await until(lambda: len(traced.spans("process work")) == expected, "all ran")
    given = [span for span in traced.spans("process work") if span.context.trace_id == int(parent[3:35], 16)]
    assert [span.parent.span_id for span in given if span.parent] == [int(parent[36:52], 16)]


async def test_what_is_not_traced_carries_nothing(app: Headrace) -> None:
    """Without instrument() a job has no metadata, whatever span is current."""

    @app.task(name="work")
    async def work() -> None: ...

    with TracerProvider().get_tracer("shop").start_as_current_span("request"):
        job = await work.enqueue()
    assert (await job.info()).metadata is None


@pytest.mark.process
async def test_traces_and_errors_of_processes(app: Headrace, start: Callable[..., Command], tmp_path: Path) -> None:
    """Spans of children arrive, below what was sent; an attempt whose process is killed has a span and an event too."""
    out = tmp_path / "out"
    traced = Traced(app)

    def stub() -> None:
        raise AssertionError

    names = ("in.process", "dies", "never.ends", "raises")
    tasks = {name: app.task(name=name, retry=AT_ONCE)(stub) for name in names}
    start("worker", "tests.observe.traced_app:app", TRACED_OUT=str(out))
    with traced.tracer.start_as_current_span("request") as request:
        jobs = {
            name: await task.options(max_attempts=1 if name == "never.ends" else 2).enqueue()
            for name, task in tasks.items()
        }
    for job in jobs.values():
        await until(lambda job=job: _final(job), "it ends", 60)  # type: ignore[misc]

    def written(what: str) -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in out.read_text().splitlines()] if out.exists() else []
        return [line[what] for line in lines if what in line]

    def processed(name: str) -> list[dict[str, Any]]:
        return [span for span in written("span") if span["name"] == f"process {name}"]

    expected = {"in.process": 1, "dies": 2, "never.ends": 1, "raises": 2}
    await until(lambda: {name: len(processed(name)) for name in names} == expected, "all spans are written")
    trace_id = "0x" + trace.format_trace_id(request.get_span_context().trace_id)
    assert {span["context"]["trace_id"] for name in names for span in processed(name)} == {trace_id}
    (inner,) = [span for span in written("span") if span["name"] == "inner"]
    assert inner["parent_id"] == processed("in.process")[0]["context"]["span_id"]
    assert [span["attributes"]["headrace.outcome"] for span in processed("dies")] == ["retried", "failed"]
    assert processed("never.ends")[0]["attributes"]["error.type"] == "timeout"

    await until(lambda: len(written("event")) >= 5, "all events are written")
    events = [(e["tags"]["task"], int(e["tags"]["attempt"]), e["level"]) for e in written("event")]
    assert sorted(events) == [
        ("dies", 1, "warning"), ("dies", 2, "error"), ("never.ends", 1, "error"), ("raises", 1, "warning"),
        ("raises", 2, "error"),
    ]  # fmt: skip
