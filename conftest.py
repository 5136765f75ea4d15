"""One PostgreSQL for the whole test run, and a database of its own for each test that asks.

All pytest-xdist workers share the server: the first process of the run makes the directory and
hands its name on in the environment; the embedded server itself counts its users, and the last
worker out stops it. ``HEADRACE_TEST_URL`` (a superuser's URL) puts another server in its place.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import uuid
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg import sql

from headrace._store.embedded import EmbeddedServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

RUN_DIRECTORY = "HEADRACE_TEST_RUN"
EXTERNAL_URL = "HEADRACE_TEST_URL"
EXTERNAL_ROLE = "headrace_test"
MEMORY = Path("/dev/shm")  # noqa: S108 - what is made in it is private
MEMORY_NEEDED_BYTES = 8 << 30

# Nothing here changes what a test can observe: no test crashes the machine, and a server that is killed keeps what it
# wrote. Hundreds of small databases come and go, which fsync makes fifteen times slower, and two workers have many
# connections.
SERVER_SETTINGS = {
    "fsync": "off",
    "max_wal_size": "4GB",
    "checkpoint_timeout": "1h",
    "max_connections": "300",
}


@dataclass(frozen=True)
class DatabaseServer:
    """A server to create databases on."""

    admin_url: str
    role: str
    password: str

    def admin(self) -> psycopg.Connection:
        """A superuser's connection, outside any test's database."""
        return psycopg.connect(self.admin_url, autocommit=True)

    def url_of(self, database: str) -> str:
        """The ordinary role's URL for one database."""
        admin = urlsplit(self.admin_url)
        address = admin.netloc.rpartition("@")[2]
        netloc = f"{self.role}:{self.password}@{address}"
        # Not `_replace().geturl()`, which drops the slashes of an empty address.
        return f"postgresql://{netloc}/{database}" + (f"?{admin.query}" if admin.query else "")


def pytest_configure(config: pytest.Config) -> None:
    """Make the run's directory, in the process that starts the run."""
    if RUN_DIRECTORY in os.environ:
        return
    _prefer_memory()
    directory = Path(tempfile.mkdtemp(prefix="headrace-tests-"))
    directory.chmod(0o711)  # as root, the server runs as another user
    os.environ[RUN_DIRECTORY] = str(directory)
    config.add_cleanup(lambda: _end_run(directory))


def _prefer_memory() -> None:
    """Keep temporary files in memory where there is room.

    A database is a thousand files: on a disk, half of the time goes into making and removing them.
    """
    if "TMPDIR" not in os.environ and MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > MEMORY_NEEDED_BYTES:
        os.environ["TMPDIR"] = tempfile.tempdir = str(MEMORY)


@pytest.fixture(scope="session")
def server() -> Iterator[DatabaseServer]:
    """The server that this run's databases are created on."""
    external = os.environ.get(EXTERNAL_URL)
    if external:
        yield _with_role(DatabaseServer(external, EXTERNAL_ROLE, password=_run_name()))
        return
    with EmbeddedServer.start(_run_directory() / "server", settings=SERVER_SETTINGS) as embedded:
        yield DatabaseServer(embedded.admin_url, embedded.user, embedded.password)


@pytest.fixture
def empty_database(server: DatabaseServer) -> Iterator[str]:
    """The URL of a new, empty database that belongs to the ordinary role."""
    with _new_database(server, template="template1") as url:
        yield url


@pytest.fixture
def database(server: DatabaseServer, _template: str) -> Iterator[str]:
    """The URL of a new database with headrace's current schema."""
    with _new_database(server, template=_template) as url:
        yield url


@pytest.fixture(scope="session")
def _template(server: DatabaseServer) -> str:
    """A migrated database to copy; made by the first worker that needs it."""
    from headrace._store.migrate import migrate  # noqa: PLC0415 - tests of less need none of it

    name = f"{_run_name()}_template"
    with server.admin() as admin, _alone():
        if not admin.execute("select from pg_database where datname = %s", [name]).fetchall():
            draft = f"{name}_draft"
            _drop(admin, draft)
            _create(admin, draft, server.role, template="template1")
            migrate(server.url_of(draft))
            admin.execute(sql.SQL("alter database {} rename to {}").format(sql.Identifier(draft), sql.Identifier(name)))
    return name


@pytest.fixture(scope="session")
def lend_database(server: DatabaseServer, _template: str) -> Callable[[], AbstractContextManager[str]]:
    """Gives URLs of new databases with headrace's current schema to tests that share one."""
    return partial(_new_database, server, template=_template)


@contextmanager
def _new_database(server: DatabaseServer, template: str) -> Iterator[str]:
    name = f"test_{uuid.uuid4().hex}"
    with server.admin() as admin:
        _create(admin, name, server.role, template)
    try:
        yield server.url_of(name)
    finally:
        with server.admin() as admin:
            _drop(admin, name)


def _create(admin: psycopg.Connection, name: str, owner: str, template: str) -> None:
    admin.execute(
        sql.SQL("create database {} owner {} template {}").format(
            sql.Identifier(name), sql.Identifier(owner), sql.Identifier(template)
        )
    )


def _drop(admin: psycopg.Connection, name: str) -> None:
    admin.execute(sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(name)))


@contextmanager
def _alone() -> Iterator[None]:
    """Keep the other workers out; with a file, since an advisory lock of a session does not survive a pooler."""
    with (_run_directory() / "setup.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _with_role(server: DatabaseServer) -> DatabaseServer:
    """Give the external server its ordinary role, with this run's password."""
    role = sql.Identifier(server.role)
    with server.admin() as admin, _alone():
        if not admin.execute("select from pg_roles where rolname = %s", [server.role]).fetchall():
            admin.execute(sql.SQL("create role {}").format(role))
        admin.execute(sql.SQL("alter role {} login password {}").format(role, server.password))
    return server


def _run_directory() -> Path:
    return Path(os.environ[RUN_DIRECTORY])


def _run_name() -> str:
    return _run_directory().name.replace("-", "_")


def _end_run(directory: Path) -> None:
    """Remove what only the whole run can: the template on an external server, the directory."""
    external = os.environ.get(EXTERNAL_URL)
    if external:
        with psycopg.connect(external, autocommit=True) as admin:
            _drop(admin, f"{_run_name()}_template")
    del os.environ[RUN_DIRECTORY]
    shutil.rmtree(directory)
