"""`EmbeddedServer`: join the server of a data directory, use it, leave it."""

from __future__ import annotations

import atexit
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self
from urllib.parse import quote, urlencode

import psycopg
from psycopg import pq, sql

from headrace._store.embedded import cluster as clusters
from headrace._store.embedded import postmaster
from headrace._store.embedded.home import (
    Home,
    choose_data_dir,
    make_data_dir,
    remove_short_socket_directory,
    settle,
    socket_directory,
)
from headrace._store.embedded.locks import FileLock
from headrace._store.embedded.owner import Owner
from headrace._store.embedded.passwords import ADMIN, APPLICATION, Passwords, read_or_create
from headrace._store.embedded.programs import Programs, programs_for
from headrace._store.sql import query
from headrace.errors import EmbeddedError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path
    from types import TracebackType

START_LOCK_TIMEOUT_SECONDS = postmaster.RECOVERY_TIMEOUT_SECONDS + 60
"""Whoever holds the lock may be waiting for recovery."""

CONNECT_TIMEOUT_SECONDS = 10


@dataclass(frozen=True)
class _Site:
    """What is fixed about one data directory's server, whether or not it runs."""

    home: Home
    programs: Programs
    cluster: Path
    socket_dir: Path


class EmbeddedServer:
    """A use of the embedded PostgreSQL of one data directory.

    Processes (and parts of one process) that start it with the same directory share one server;
    the last to stop it ends it. Also a context manager, and stopped when the interpreter exits.
    """

    def __init__(self, site: _Site, users: FileLock, passwords: Passwords, version: str) -> None:
        self._site = site
        self._users = users
        self._passwords = passwords
        self._version = version
        atexit.register(self.stop)

    @classmethod
    def start(cls, data_dir: Path | str | None = None, *, settings: Mapping[str, str] | None = None) -> Self:
        """Start the server of this directory, or join it if it runs.

        Args:
            data_dir: Where it keeps everything; else ``HEADRACE_DATA``, else ``./.headrace``.
            settings: More of PostgreSQL's settings. A server that already runs keeps its own.

        Raises:
            EmbeddedError: It cannot be started; the message says why and what to do.
        """
        chosen = choose_data_dir(data_dir)
        try:
            make_data_dir(chosen)
            with _start_lock(chosen):
                return cls._join(chosen, settings or {})
        except OSError as error:
            raise EmbeddedError(
                f"cannot keep the embedded server's data in {chosen}: {error}. Make it a directory"
                f" that you may write to, or set HEADRACE_DATA to one."
            ) from error

    def stop(self) -> None:
        """Leave the server; the last one to leave stops it and waits until it has ended."""
        if not self._users.is_open:  # left before, or inherited by a fork
            return
        atexit.unregister(self.stop)
        try:
            with _start_lock(self.data_dir):
                _leave(self._users, self._site)
        except FileNotFoundError:  # the directory was removed; PostgreSQL notices, and ends
            self._users.close()

    @property
    def url(self) -> str:
        """The URL for applications: a role that owns the database and is not a superuser."""
        return self._url(APPLICATION, self._passwords.application, APPLICATION)

    @property
    def admin_url(self) -> str:
        """The URL of the superuser, for tests and upgrades."""
        return self._url(ADMIN, self._passwords.admin, ADMIN)

    @property
    def host(self) -> str:
        """The directory of the server's socket, which is what drivers call the host."""
        return str(self._site.socket_dir)

    @property
    def port(self) -> int:
        """What drivers call the port; part of the socket's name."""
        return postmaster.PORT

    @property
    def user(self) -> str:
        """The applications' role."""
        return APPLICATION

    @property
    def password(self) -> str:
        """The password of the applications' role."""
        return self._passwords.application

    @property
    def database(self) -> str:
        """The applications' database."""
        return APPLICATION

    @property
    def data_dir(self) -> Path:
        """Where it keeps everything."""
        return self._site.home.data_dir

    @property
    def password_file(self) -> Path:
        """Both roles' passwords, as libpq's ``PGPASSFILE``."""
        return self._site.home.passwords

    @property
    def log_file(self) -> Path:
        """What the server says."""
        return self._site.home.log

    @property
    def version(self) -> str:
        """The version of the server, as in ``18.6``."""
        return self._version

    @property
    def pid(self) -> int:
        """The server's process.

        Raises:
            EmbeddedError: It is not running.
        """
        process = postmaster.find(self._site.cluster)
        if process is None:
            raise EmbeddedError(
                f"the server in {self.data_dir} is not running; `EmbeddedServer.start` starts it"
                f" again. Its last words are in {self.log_file}."
            )
        return process.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def __repr__(self) -> str:
        return f"<EmbeddedServer {self.version} in {self.data_dir}>"

    @classmethod
    def _join(cls, data_dir: Path, settings: Mapping[str, str]) -> Self:
        site = _survey(data_dir)
        users = _open_lock(data_dir, "users.lock")
        try:
            users.take_shared()
            passwords = read_or_create(site.home, site.cluster)
            _ensure_running(site, passwords, settings)
            return cls(site, users, passwords, _introduce(site, passwords))
        except postmaster.StillRecoveringError:
            users.close()
            raise
        except BaseException:  # Ctrl-C, too, leaves nothing running behind
            _leave(users, site)
            raise

    def _url(self, user: str, password: str, database: str) -> str:
        where = urlencode({"host": self.host, "port": self.port}, quote_via=quote, safe="/")
        return f"postgresql://{user}:{quote(password, safe='')}@/{database}?{where}"


@contextmanager
def _start_lock(data_dir: Path) -> Iterator[None]:
    """The right to start, join or leave the server of one data directory."""
    lock = _open_lock(data_dir, "start.lock")
    try:
        lock.take_exclusive(START_LOCK_TIMEOUT_SECONDS)
        yield
    finally:
        lock.close()


def _open_lock(data_dir: Path, name: str) -> FileLock:
    return FileLock(data_dir / name, Owner.of(data_dir).open_private)


def _leave(users: FileLock, site: _Site) -> None:
    """Give up the use of the server, and stop it if it was the last one."""
    try:
        # The lock's file is another one when somebody removed the directory and began a new one.
        if users.is_in_place and users.try_exclusive():
            process = postmaster.find_ours(site.cluster, site.socket_dir)
            if process is not None:
                postmaster.stop(process)
            remove_short_socket_directory(site.home, site.socket_dir)
    finally:
        users.close()


def _survey(data_dir: Path) -> _Site:
    """Everything about this data directory's server, made sure to be possible and safe."""
    home = settle(data_dir)
    programs = programs_for(home.user)
    clusters.refuse_other_major(home, programs)
    home.bound_log()
    return _Site(home, programs, home.cluster(programs.major), socket_directory(home))


def _ensure_running(site: _Site, passwords: Passwords, settings: Mapping[str, str]) -> None:
    if not _is_running(site):
        clusters.prepare(site.home, site.programs, passwords, settings)
        _launch(site)


def _is_running(site: _Site) -> bool:
    """Whether our server runs and is ready; not if it was just stopping.

    Raises:
        EmbeddedError: A server runs that is not ours to use.
    """
    process = postmaster.find(site.cluster)
    if process is None:
        _refuse_an_invisible_server(site)
        return False
    if not postmaster.is_ours(process, site.socket_dir):
        raise EmbeddedError(
            f"PostgreSQL (pid {process.pid}) already runs on {site.cluster}, but headrace did not"
            f" start it: its socket is in {postmaster.recorded_socket_dir(site.cluster)}, not in"
            f" {site.socket_dir}. Stop it (kill -INT {process.pid}), or set HEADRACE_DATA to"
            f" another directory."
        )
    return postmaster.wait_until_ready(process.pid, site.socket_dir)


def _refuse_an_invisible_server(site: _Site) -> None:
    if postmaster.ping(site.socket_dir) != pq.Ping.NO_RESPONSE:
        raise EmbeddedError(
            f"a server answers on {site.socket_dir}, but no process here works on {site.cluster}:"
            f" it is another cluster's, or runs in another container. Stop it there, or set"
            f" HEADRACE_DATA to another directory."
        )


def _launch(site: _Site) -> None:
    log_before_bytes = site.home.log_size_bytes()
    pid = postmaster.launch(site.cluster, site.socket_dir, site.home, site.programs)
    if not postmaster.wait_until_ready(pid, site.socket_dir):
        raise EmbeddedError(
            f"PostgreSQL ended while starting in {site.cluster}. The end of {site.home.log}:\n"
            f"{site.home.log_tail(log_before_bytes)}"
        )


def _introduce(site: _Site, passwords: Passwords) -> str:
    """Make sure that the server is what we think, and knows the application; its version.

    Raises:
        EmbeddedError: It is another cluster's server, or refuses us.
    """
    try:
        with psycopg.connect(
            host=str(site.socket_dir), port=postmaster.PORT, dbname=ADMIN,
            user=ADMIN, password=passwords.admin,
            connect_timeout=CONNECT_TIMEOUT_SECONDS, autocommit=True,
        ) as admin:  # fmt: skip
            _verify(admin, site.cluster)
            _ensure_application(admin, passwords.application)
            return (admin.info.parameter_status("server_version") or "").split(" ")[0]
    except psycopg.Error as error:
        raise EmbeddedError(
            f"the server in {site.home.data_dir} runs but cannot be used: {error}. If it refuses"
            f" the password, {site.home.passwords} is not this cluster's: put the right one back."
        ) from error


def _verify(admin: psycopg.Connection, cluster: Path) -> None:
    answer = admin.execute(query("read_identity")).fetchone()
    if answer != (clusters.system_identifier(cluster), str(cluster)):
        raise EmbeddedError(
            f"the server on {admin.info.host} is not that of {cluster}: it says {answer}. Stop it,"
            f" or set HEADRACE_DATA to another directory."
        )


def _ensure_application(admin: psycopg.Connection, password: str) -> None:
    """Create the role and its database, unless they exist (a killed start may have made one)."""
    name = sql.Identifier(APPLICATION)
    if not admin.execute(query("has_role"), {"name": APPLICATION}).fetchall():
        create = sql.SQL("create role {} login nosuperuser password {}")
        admin.execute(create.format(name, password))
    if not admin.execute(query("has_database"), {"name": APPLICATION}).fetchall():
        admin.execute(sql.SQL("create database {} owner {}").format(name, name))
