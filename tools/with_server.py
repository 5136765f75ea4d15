"""Run a command against a throw-away Debian PostgreSQL, directly or through PgBouncer in transaction mode.

    python tools/with_server.py postgres  -- pytest tests/store
    python tools/with_server.py pgbouncer -- pytest tests/store

The server listens on loopback only, lives in a temporary directory and is gone when the command ends. The command
finds a superuser's URL in HEADRACE_TEST_URL.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg

if TYPE_CHECKING:
    from collections.abc import Iterator

START_DEADLINE_S = 60.0
ROLES = ("postgres", "headrace_test")
BOUNCER = """
[databases]
* = host=127.0.0.1 port={server}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
auth_type = trust
auth_file = {directory}/users.txt
pool_mode = transaction
default_pool_size = 20
max_client_conn = 500
server_idle_timeout = 1
ignore_startup_parameters = extra_float_digits
unix_socket_dir =
logfile = {directory}/pgbouncer.log
"""


def main() -> int:
    """Start what the first argument says, run the rest."""
    kind, separator, *command = sys.argv[1:]
    if kind not in ("postgres", "pgbouncer") or separator != "--" or not command:
        sys.exit(__doc__)
    with ExitStack() as stack:
        directory = stack.enter_context(private_directory())
        port = stack.enter_context(postgres(directory))
        if kind == "pgbouncer":
            port = stack.enter_context(pgbouncer(directory, port))
        url = f"postgresql://postgres@127.0.0.1:{port}/postgres"
        wait_until_ready(url)
        return subprocess.run(command, env=os.environ | {"HEADRACE_TEST_URL": url}, check=False).returncode


@contextmanager
def private_directory() -> Iterator[Path]:
    """A directory that the server's user owns."""
    directory = Path(tempfile.mkdtemp(prefix="headrace-server-"))
    if os.geteuid() == 0:
        shutil.chown(directory, "postgres", "postgres")
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@contextmanager
def postgres(directory: Path) -> Iterator[int]:
    """The newest of Debian's servers."""
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    if not programs:
        sys.exit("Debian's PostgreSQL is not installed: apt-get install postgresql")
    program, data, port = programs[-1], directory / "data", free_port()
    run(program / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "--no-sync")
    with running(
        program / "postgres", "-D", data, "-p", port, "-k", directory,
        "-c", "listen_addresses=127.0.0.1", "-c", "max_connections=300", log=directory / "server.log",
    ):  # fmt: skip
        wait_until_ready(f"postgresql://postgres@127.0.0.1:{port}/postgres")
        yield port


@contextmanager
def pgbouncer(directory: Path, server: int) -> Iterator[int]:
    """A pooler in transaction mode in front of it."""
    port = free_port()
    (directory / "users.txt").write_text("".join(f'"{role}" ""\n' for role in ROLES))
    settings = directory / "pgbouncer.ini"
    settings.write_text(BOUNCER.format(server=server, port=port, directory=directory))
    with running("/usr/sbin/pgbouncer", settings, log=directory / "pgbouncer.out"):
        yield port


@contextmanager
def running(*command: object, log: Path) -> Iterator[None]:
    """A server in the background, as an unprivileged user."""
    with log.open("wb") as output:
        process = subprocess.Popen([str(c) for c in command], stdout=output, stderr=output, cwd="/", **unprivileged())
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def run(*command: object) -> None:
    """A program, to its end; its words only if it fails."""
    done = subprocess.run(
        [str(c) for c in command], capture_output=True, text=True, cwd="/", check=False, **unprivileged()
    )
    if done.returncode:
        sys.exit(f"{command[0]} failed:\n{done.stdout}{done.stderr}")


def unprivileged() -> dict[str, object]:
    """PostgreSQL and PgBouncer refuse to run as root."""
    return {"user": "postgres", "group": "postgres", "extra_groups": []} if os.geteuid() == 0 else {}


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until_ready(url: str) -> None:
    """Until the server answers."""
    deadline = time.monotonic() + START_DEADLINE_S
    while True:
        try:
            psycopg.connect(url, connect_timeout=2).close()
            return
        except psycopg.OperationalError as error:
            if time.monotonic() > deadline:
                sys.exit(f"the server did not start: {error}")
            time.sleep(0.1)


if __name__ == "__main__":
    sys.exit(main())
