"""`headrace serve`, as a process."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.process
ROOT = Path(__file__).parents[2]


@contextmanager
def serving(url: str, *options: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A server, and its address."""
    process = subprocess.Popen(
        [sys.executable, "-m", "headrace", "serve", "tests.cli_app:app", "--port", "0", "--no-login", *options],
        env=os.environ | {"HEADRACE_URL": url}, cwd=ROOT, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stderr is not None
        for line in process.stderr:
            if found := re.search(r"at (http://\S+)/  \(", line):
                yield process, found[1]
                break
        else:
            pytest.fail("it did not start")
    finally:
        process.kill()
        process.wait()
        if process.stderr is not None:
            process.stderr.close()


def test_it_serves_and_drains(database: str) -> None:
    """It serves under its prefix; at SIGTERM streams end, and it exits with 0."""
    with serving(database, "--prefix", "/jobs") as (process, address):
        assert address.endswith("/jobs")
        with httpx.Client(base_url=f"{address}/api/v1/", timeout=30) as client:
            assert client.post("jobs", json={"task": "add", "args": {"a": 1}}).status_code == 201
            with client.stream("GET", "live") as stream:
                lines = stream.iter_lines()
                assert "event: hello" in (next(lines), next(lines))
                started_at = time.monotonic()
                process.send_signal(signal.SIGTERM)
                for _ in lines:
                    pass
            assert process.wait(20) == 0
            assert time.monotonic() - started_at < 15


def test_a_worker_beside_it(database: str) -> None:
    """With a worker, jobs run; it drains and ends with the server."""
    with serving(database, "--with-worker") as (process, address), httpx.Client(timeout=60) as client:
        job_id = client.post(f"{address}/api/v1/jobs", json={"task": "add", "args": {"a": 1}}).json()["id"]
        answer = client.get(f"{address}/api/v1/jobs/{job_id}/result", params={"wait_s": 30}).json()
        assert (answer["state"], answer["result"]) == ("succeeded", 2)
        process.send_signal(signal.SIGTERM)
        assert process.wait(40) == 0
        with pytest.raises(httpx.ConnectError):
            client.get(f"{address}/api/v1/health/live")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--host", "0.0.0.0"], "there is nobody who may sign in"),
        (["--host", "192.0.2.1", "--no-login"], "nobody would have to sign in"),
        (["--prefix", "a b"], "is no path"),
    ],
)
def test_what_it_refuses(database: str, options: list[str], says: str) -> None:
    """It says why it does not start, and exits with 2."""
    done = subprocess.run(
        [sys.executable, "-m", "headrace", "serve", "tests.cli_app:app", *options],
        env=os.environ | {"HEADRACE_URL": database}, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert says in " ".join(done.stderr.split())


def test_a_port_that_is_taken(database: str) -> None:
    """The message names the port."""
    with serving(database) as (_, address):
        port = address.rpartition(":")[2]
        done = subprocess.run(
            [sys.executable, "-m", "headrace", "serve", "tests.cli_app:app", "--port", port],
            env=os.environ | {"HEADRACE_URL": database}, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
    assert (done.returncode, port in done.stderr) == (2, True)
