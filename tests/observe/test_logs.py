"""Every line that a handler writes says which job it is of."""

from __future__ import annotations

import io
import json
import logging
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import structlog

from headrace.observe import logs
from tests.worker.helpers import working

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from headrace import Headrace
    from tests.observe.commands import Command

SAMPLE = "tests.observe.sample_app:app"
KINDS = ["say.async", "say.thread", "say.process"]


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def parsed(lines: list[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in lines]


@pytest.mark.process
async def test_every_line_of_a_worker_is_json_and_names_its_job(app: Headrace, start: Callable[..., Command]) -> None:
    """Lines of both kinds, from coroutines, threads and processes, carry their own job's fields, and no other's."""
    for name in [*KINDS, "say.failing"]:
        app.task(name=name)(_stub)
    worker = start("worker", SAMPLE, "--log-format", "json", "--processes", "1")
    jobs = {}
    for number, name in enumerate([*KINDS, "say.failing"]):
        task = app.tasks[name].options(tenant=f"t{number}", correlation_id=f"request {number}", max_attempts=2)
        jobs[name] = await task.enqueue(number)

    def written(lines: list[str]) -> list[dict[str, Any]]:
        return [line for line in parsed(lines) if line["logger"].startswith("shop.")]

    expected = 4 + 2 + 2 + 2 * 2
    found = worker.wait_for(lambda lines: len(written(lines)) >= expected and written(lines), "all lines of handlers")
    assert len(found) == expected
    for number, name in enumerate([*KINDS, "say.failing"]):
        own = [line for line in found if line.get("job_id") == str(jobs[name].id)]
        assert {"plain", "structured"} <= {line["message"].split()[0] for line in own}
        for line in own:
            assert (line["task"], line["queue"], line["tenant"]) == (name, "default", f"t{number}")
            assert line["correlation_id"] == f"request {number}"
            assert line["process"].startswith("process" if name == "say.process" else "worker ")
            assert line.get("number", number) == number
        assert {line["attempt"] for line in own} == ({1, 2} if name == "say.failing" else {1})

    def endings(lines: list[str]) -> list[dict[str, Any]]:
        return [line for line in parsed(lines) if line["logger"] == "headrace.attempt"]

    last = worker.wait_for(lambda lines: len(endings(lines)) == 2 and endings(lines)[1], "both attempts' ends")
    assert last["job_id"] == str(jobs["say.failing"].id)
    assert (last["attempt"], last["level"], last["tenant"]) == (2, "warning", "t3")
    assert worker.close() == 0
    parsed(worker.lines)  # and every other line is JSON too, to the last


@pytest.mark.process
async def test_plain_lines_end_with_their_job(app: Headrace, start: Callable[..., Command]) -> None:
    """Without any extra, a handler's line names its job."""
    task = app.task(name="say.thread")(_stub)
    worker = start("worker", SAMPLE)
    job = await task.enqueue(7)
    expected = f"plain 7 [job {job.id}, task say.thread, attempt 1]"
    worker.wait_for(lambda lines: [line for line in lines if line.endswith(expected)], expected)


async def test_a_field_of_the_handler_stays(app: Headrace) -> None:
    """What a line says itself is not overwritten, and what is not JSON does not stop it."""
    stream = io.StringIO()
    logs.configure("json", stream=stream)

    @app.task
    async def speak() -> None:
        structlog.get_logger().warning("mine", queue="the post office's", thing=object(), half="\udcff")
        logging.getLogger("plain").warning("broken %d", 1, extra={"shelf": 3})

    async with working(app):
        job = await speak.enqueue()
        await job.result(timeout=20)
    mine, broken = [line for line in parsed(stream.getvalue().splitlines()) if line["logger"] != "headrace.worker"]
    assert (mine["queue"], mine["job_id"]) == ("the post office's", str(job.id))
    assert (broken["message"], broken["shelf"]) == ("broken 1", 3)


async def test_a_traceback_shows_no_variables(app: Headrace) -> None:
    """What a local variable holds may be a secret: it is not in the line."""
    stream = io.StringIO()
    logs.configure("json", stream=stream)

    @app.task
    async def fail() -> None:
        password = "swordfish"[:9]
        try:
            raise ValueError(len(password))
        except ValueError:
            structlog.get_logger().exception("it broke")
            logging.getLogger("plain").exception("it broke")

    async with working(app):
        await (await fail.enqueue()).result(timeout=20)
    both = [line for line in parsed(stream.getvalue().splitlines()) if line["message"] == "it broke"]
    assert len(both) == 2
    assert all("ValueError: 9" in line["exception"] and "swordfish'" not in line["exception"] for line in both)


def test_lines_outside_of_jobs_have_no_job() -> None:
    """A program's other lines are formatted alike, without fields of a job."""
    stream = io.StringIO()
    process = logs.configure("json", stream=stream, who="shop")
    logging.getLogger("web").info("hello")
    process.who = "shop 2"
    structlog.get_logger("web").info("hello")
    first, second = parsed(stream.getvalue().splitlines())
    assert (first["process"], second["process"]) == ("shop", "shop 2")
    assert not {"job_id", "task", "tenant"} & (set(first) | set(second))


def test_importing_headrace_imports_none_of_the_extras() -> None:
    """Neither does what a worker process imports."""
    extras = {"structlog", "prometheus_client", "opentelemetry", "sentry_sdk", "apprise", "fastapi"}
    code = f"import sys, headrace, headrace._worker.worker_process, headrace.cli; print({extras!r} & set(sys.modules))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "set()"


async def _stub(number: int) -> None:
    raise AssertionError("another process runs it")


@pytest.mark.process
def test_serve_writes_json_too(start: Callable[..., Command]) -> None:
    """The server's own lines and uvicorn's, from the first to the last."""
    server = start("serve", SAMPLE, "--port", "0", "--log-format", "json")
    found = server.wait_for(
        lambda lines: next((m for m in (re.search(r"at (http://[^/]+)/", line) for line in lines) if m), None),
        "it serves",
    )
    httpx.get(f"{found[1]}/api/v1/health/live", timeout=60)
    server.wait_for(lambda lines: [line for line in lines if "uvicorn.access" in line], "the request is logged")
    assert server.close() == 0
    assert {line["logger"].partition(".")[0] for line in parsed(server.lines)} == {"headrace", "uvicorn"}
