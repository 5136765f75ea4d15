"""Nothing that is marked as secret leaves the database in clear (promise 11).

Canaries are planted wherever a secret can be, in jobs of every executor; then everything that leaves is read. Another way out
is another function in `SOURCES`.
"""

from __future__ import annotations

import asyncio
import importlib
import io
import json
import logging
import re
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
import sentry_sdk
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from sentry_sdk.transport import Transport

from headrace import Role, acting
from headrace._webhook.delivery import _body
from headrace._worker.log_lines import LogLines
from headrace.cli import main
from headrace.observe import sentry, traces
from headrace.observe.logs import configure
from headrace.web import web_app
from tests.access import canary_app as canaries
from tests.access.web import client, pages

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from types import ModuleType

    from headrace import Headrace

STORED = {
    "job_log": "message", "attempt": "error", "job_history": "array[error, progress]", "job_progress": "message",
    "audit": "array[before, after]",
}  # fmt: skip
"""What workers store of what handlers say, and what the audit log has."""


@dataclass
class World:
    """Where canaries were planted, and what was said meanwhile.

    Attributes:
        app: The app.
        jobs: The ids of its jobs, by task.
        logs: What the worker wrote.
        json_logs: The same as JSON.
        spans: What OpenTelemetry would have sent.
        events: What Sentry would have sent.
    """

    app: Headrace
    module: ModuleType
    url: str
    jobs: dict[str, str] = field(default_factory=dict)
    logs: str = ""
    json_logs: str = ""
    spans: list[str] = field(default_factory=list)
    events: list[Any] = field(default_factory=list)


@pytest.fixture
async def world(url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    """A day in the life of an app full of secrets."""
    monkeypatch.setenv("HEADRACE_URL", url)
    sys.modules.pop("tests.access.canary_app", None)
    module = importlib.import_module("tests.access.canary_app")
    stream, json_stream = io.StringIO(), io.StringIO()
    handlers = logging.getLogger().handlers[:]
    configure(stream=json_stream)
    handler = logging.StreamHandler(stream)
    handler.setFormatter(LogLines("worker"))
    logging.getLogger().addHandler(handler)
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    traces.instrument(module.app, provider)
    world = World(module.app, module, url)

    class Catch(Transport):
        """Keeps what would be sent."""

        def capture_envelope(self, envelope: Any) -> None:
            world.events.extend(item.payload.json for item in envelope.items)

    sentry_sdk.init(dsn="http://key@127.0.0.1:9/1", transport=Catch)
    sentry.instrument(module.app)
    try:
        async with module.app:
            await plant(world)
            world.logs, world.json_logs = stream.getvalue(), json_stream.getvalue()
            world.spans = [span.to_json() for span in exporter.get_finished_spans()]
            yield world
    finally:
        logging.getLogger().handlers[:] = handlers
        sentry_sdk.init()


async def plant(world: World) -> None:
    """Run jobs with secrets, and let an operator act on them."""
    app, m = world.app, world.module
    options = {"auth": {"api_key": canaries.NAMED}, "customer_iban": canaries.CONFIGURED}
    charge = m.charge.options(metadata={"cookie": canaries.METADATA, "note": f"for {canaries.MARKED}"})
    job = await charge.enqueue(
        canaries.MARKED, [m.Card(number=canaries.NESTED)], m.Account(canaries.IN_A_DATACLASS), options, canaries.LONG
    )
    world.jobs["charge"] = str(job.id)
    for task in (m.charge_in_a_thread, m.charge_in_a_process, m.fetch):
        world.jobs[task.name] = str((await task.enqueue(canaries.MARKED)).id)
    world.jobs["fetch_marked"] = str((await m.fetch_marked.enqueue()).id)
    await app.drain(listen=False)
    with acting("alice", source="dashboard", address="192.0.2.7"):
        await app.retry_jobs([world.jobs["charge_in_a_thread"]], {"token": canaries.RETRIED})
        await app.schedules.create("nightly", m.fetch, every=timedelta(days=1), args={"token": canaries.SCHEDULED})
        await app.schedules.edit("nightly", every=timedelta(days=2))
        await app.emit("paid", {"access_token": canaries.EMITTED})
    await app.drain(listen=False)


# -- what leaves --


async def worker_logs(world: World) -> str:
    """What workers write, handlers' own lines included."""
    return world.logs


async def json_logs(world: World) -> str:
    """The same for machines."""
    return world.json_logs


async def spans(world: World) -> str:
    """Traces."""
    return "\n".join(world.spans)


async def events(world: World) -> str:
    """Errors, and what handlers logged before them."""
    return repr(world.events)


async def stored_texts(world: World) -> str:
    """What is stored of what handlers said, and the audit log."""
    with psycopg.connect(world.url) as conn:
        return "\n".join(
            str(conn.execute(f"select {columns} from headrace.{table}").fetchall()) for table, columns in STORED.items()
        )


async def redacted_jobs(world: World) -> str:
    """What the API and pages show of jobs."""
    redactor = await world.app.redactor()
    return repr([
        redactor.life(
            await world.app.find_job(job_id), await world.app.list_attempts(job_id), await world.app.list_steps(job_id),
            await world.app.list_logs(job_id),
        )
        for job_id in world.jobs.values()
    ])  # fmt: skip


async def audit_entries(world: World) -> str:
    """What the API and pages show of the audit log."""
    return repr(await world.app.audit.list(limit=1000))


async def web_answers(world: World) -> str:
    """Everything that the API and the dashboard let an administrator look at."""
    web = web_app(world.app)
    key = await world.app.access.create_key("canaries", role=Role.ADMIN)
    names = [*world.jobs.values(), "nightly", "charge", "default", "paid"]
    said = []
    async with client(web, headers={"authorization": f"Bearer {key}"}) as caller:
        for path in pages(web, names):
            answer = await caller.get(path, headers={"accept": "text/html" if "/api/" not in path else "*/*"})
            assert answer.status_code < 500, path
            if found_in(answer.text):
                said.append(f"{path}: {found_in(answer.text)}")
            said += re.findall(r"\[redacted\]", answer.text)
    return "\n".join(said)


async def webhooks(world: World) -> str:
    """What receivers of webhooks are told."""
    bodies = []
    for job_id in world.jobs.values():
        job = await world.app.find_job(job_id)
        tags = [f"of {canaries.MARKED}"] if canaries.MARKED in str(job.args) else []
        told = {"id": job_id, "run": job.run, "state": job.state, "finished_at": "", "tags": tags}
        bodies.append(await _body(world.app, told))
    return "\n".join(body.decode() for body in bodies)


SOURCES: dict[str, Callable[[World], Awaitable[str]]] = {
    "worker logs": worker_logs,
    "JSON logs": json_logs,
    "spans": spans,
    "Sentry's events": events,
    "stored texts": stored_texts,
    "redacted jobs": redacted_jobs,
    "audit": audit_entries,
    "API and dashboard": web_answers,
    "webhooks": webhooks,
}

COMMANDS = [
    *(("jobs", "show", task, *words) for task in ("charge", "charge_in_a_thread", "charge_in_a_process", "fetch", "fetch_marked")
      for words in ((), ("--json",))),
    ("jobs", "list"), ("jobs", "list", "--json"), ("schedules", "show", "nightly"), ("schedules", "show", "nightly", "--json"),
    ("schedules", "list", "--json"), ("audit",), ("audit", "--json"), ("events", "show", "paid"), ("events", "show", "paid", "--json"),
]  # fmt: skip


def found_in(text: str) -> list[str]:
    """The canaries that sing in it."""
    return [canary for canary in canaries.CANARIES if canary in text]


async def test_no_canary_leaves(
    world: World, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Worker logs, stored errors and log lines, progress, audit, jobs as API and pages show them, and every command."""
    said = {name: await read(world) for name, read in SOURCES.items()}
    said |= {" ".join(words): await command(world, words, capsys, monkeypatch) for words in COMMANDS}
    assert {name: found for name, text in said.items() if (found := found_in(text))} == {}
    assert {name for name, text in said.items() if "[redacted]" not in text} == set()  # all of it was read


async def command(
    world: World, words: tuple[str, ...], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> str:
    """What a command prints that knows nothing of the app."""
    words = tuple(world.jobs.get(word, word) for word in words)
    monkeypatch.setattr(sys, "argv", ["headrace", *words])
    capsys.readouterr()

    def run() -> None:
        with pytest.raises(SystemExit):
            main()

    await asyncio.to_thread(run)
    printed = capsys.readouterr()
    assert "error" not in printed.err
    return printed.out + printed.err


async def test_the_handler_gets_what_was_given(world: World) -> None:
    """Secrets are hidden from those who look, not from those who work; results are the caller's."""
    assert (await world.app.find_job(world.jobs["fetch"])).result == {
        "session_token": canaries.RESULT, "said": f"used {canaries.MARKED}",
    }  # fmt: skip


async def test_the_canaries_can_sing(world: World) -> None:
    """The test above would find them: what is stored for the handlers has all of them."""
    with psycopg.connect(world.url) as conn:
        stored = json.dumps(conn.execute(
            "select jsonb_agg(jsonb_build_array(args, result, metadata)) from headrace.jobs"
        ).fetchall())  # fmt: skip
    planted = {
        canaries.MARKED,
        canaries.NESTED,
        canaries.NAMED,
        canaries.RESULT,
        canaries.METADATA,
        canaries.RETRIED,
        canaries.LONG,
    }
    assert planted <= set(found_in(stored))
