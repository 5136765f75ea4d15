"""Nothing that is marked as secret leaves in log lines, traces or reports (promise 11)."""

from __future__ import annotations

import importlib
import io
import json
import logging
import sys
from typing import TYPE_CHECKING, Annotated, Any

import pytest
import sentry_sdk
import structlog
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from sentry_sdk.transport import Transport

from headrace import Headrace, InvalidArguments, Secret
from headrace.observe import logs, sentry, traces
from tests.access import canary_app as canaries
from tests.observe.test_logs import _logging_as_before  # noqa: F401 - a fixture

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sentry_sdk.envelope import Envelope


OF_NO_JOB = "-".join(["canary", "of", "no", "job"])  # in pieces: reports show lines of source


@pytest.fixture
def events() -> Iterator[list[dict[str, Any]]]:
    caught: list[dict[str, Any]] = []

    class Catch(Transport):
        def capture_envelope(self, envelope: Envelope) -> None:
            if (event := envelope.get_event()) is not None:
                caught.append(dict(event))

    sentry_sdk.init(dsn="http://key@127.0.0.1:9/1", transport=Catch)
    yield caught
    sentry_sdk.init()


@pytest.mark.parametrize("log_format", ["json", "console"])
async def test_canaries(
    database: str, monkeypatch: pytest.MonkeyPatch, events: list[dict[str, Any]], log_format: Any
) -> None:
    """An app that says its secrets wherever it can, and fails with them, in coroutines, threads and processes."""
    monkeypatch.setenv("HEADRACE_URL", database)
    monkeypatch.delitem(sys.modules, "tests.access.canary_app", raising=False)
    module = importlib.import_module("tests.access.canary_app")
    stream = io.StringIO()
    logs.configure(log_format, stream=stream)
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    app: Headrace = module.app
    traces.instrument(app, provider)
    sentry.instrument(app)

    @app.task(name="say_fields")
    async def say_fields(token: Annotated[str, Secret], card: canaries.Card) -> None:
        log = structlog.get_logger("shop")
        log.warning("a field", used=token, nested={"deep": [token]}, thing=card, password=OF_NO_JOB)
        logging.getLogger("shop").error("a %s", card, extra={"used": token, "api_key": OF_NO_JOB})
        try:
            raise ValueError(token)
        except ValueError:
            log.exception("with a traceback")

    @app.task(name="count_secretly")
    async def count_secretly(pin: Annotated[int, Secret]) -> None:
        structlog.get_logger("shop").warning("a number", entered=pin)

    async with app:
        options = {"auth": {"api_key": canaries.NAMED}, "customer_iban": canaries.CONFIGURED}
        await module.charge.enqueue(
            canaries.MARKED,
            [module.Card(number=canaries.NESTED)],
            module.Account(canaries.IN_A_DATACLASS),
            options,
            canaries.LONG,
        )
        for task in (module.charge_in_a_thread, module.charge_in_a_process):
            await task.enqueue(canaries.MARKED)
        await say_fields.enqueue(canaries.MARKED, canaries.Card(number=canaries.NESTED))
        await count_secretly.enqueue(271828)
        with pytest.raises(InvalidArguments):
            await count_secretly.enqueue(canaries.MARKED)  # type: ignore[arg-type]
        await app.drain(listen=False)
    said = {
        "lines": stream.getvalue(),
        "spans": "\n".join(span.to_json() for span in exporter.get_finished_spans()),
        "events": json.dumps(events, default=repr),
    }
    assert all("[redacted]" in text for text in said.values()), "there was something to hide"
    assert len(events) >= 4
    for what, text in said.items():
        found = [canary for canary in (*canaries.CANARIES, OF_NO_JOB, "271828") if canary in text]
        assert found == [], what
