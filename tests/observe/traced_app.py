"""An app whose spans and errors are written to a file, from whichever process they come."""

from __future__ import annotations

import json
import os
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import sentry_sdk
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from sentry_sdk.transport import Transport

from headrace import Context, Headrace, Retry
from headrace.observe import sentry, traces

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentelemetry.sdk.trace import ReadableSpan
    from sentry_sdk.envelope import Envelope

OUT = "TRACED_OUT"
AT_ONCE = Retry(attempts=2, delay=timedelta(0), jitter=0)


def write(what: str, words: Any) -> None:
    """One line of the file."""
    descriptor = os.open(os.environ[OUT], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(descriptor, json.dumps({what: words, "pid": os.getpid()}, default=str).encode() + b"\n")
    os.close(descriptor)


class FileExporter(SpanExporter):
    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        for span in spans:
            write("span", json.loads(span.to_json(indent=None)))
        return SpanExportResult.SUCCESS


class FileTransport(Transport):
    def capture_envelope(self, envelope: Envelope) -> None:
        if (event := envelope.get_event()) is not None:
            write("event", event)


app = Headrace()
if OUT in os.environ:
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(FileExporter(), schedule_delay_millis=100))
    traces.instrument(app, provider)
    sentry_sdk.init(dsn="http://key@127.0.0.1:9/1", transport=FileTransport, default_integrations=True)
    sentry.instrument(app)
tracer = trace.get_tracer("shop", tracer_provider=provider if OUT in os.environ else None)


@app.task(name="in.process", executor="process")
def in_process(ctx: Context) -> None:
    with tracer.start_as_current_span("inner"):
        pass


@app.task(name="dies", executor="process", retry=AT_ONCE)
def dies(ctx: Context) -> None:
    os.kill(os.getpid(), 9)


@app.task(name="never.ends", executor="process", timeout=timedelta(seconds=0.5), retry=Retry(attempts=1))
def never_ends(ctx: Context) -> None:
    while True:
        time.sleep(1)


@app.task(name="raises", executor="process", retry=AT_ONCE)
def raises(ctx: Context) -> None:
    raise ValueError("in a process")
