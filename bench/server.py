"""The server that everything shares, its databases, and what it counts."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psycopg

from bench.processes import family_cpu_s
from bench.waiting import wait_for
from headrace._store.embedded import EmbeddedServer

SETTINGS = {"max_connections": "300"}
"""For 200 enqueuers; everything else is as the embedded server ships it."""

SHOWN = (
    "server_version", "fsync", "synchronous_commit", "full_page_writes", "wal_compression", "wal_sync_method",
    "shared_buffers", "max_wal_size", "checkpoint_timeout", "autovacuum", "jit", "io_method", "max_connections",
    "shared_preload_libraries",
)  # fmt: skip


@dataclass(frozen=True)
class Counts:
    """What PostgreSQL has counted in one database. Buffers and statements are those of applications alone; commits and
    index tuples are everybody's, which adds autovacuum and a few of our own."""

    commits: float
    buffers_hit: float
    index_tuples: float
    statements: float

    def per_job_since(self, before: Counts, jobs: int) -> dict[str, float]:
        """What was added, for each job, by name."""
        earlier = asdict(before)
        return {f"{name}_per_job": (value - earlier[name]) / jobs for name, value in asdict(self).items()}


class Database:
    """One database, and the superuser's connection to it.

    Attributes:
        url: For applications, as a role that owns the database and is not a superuser.
    """

    def __init__(self, url: str, admin_url: str, application_role: str) -> None:
        self.url = url
        self.admin_url = admin_url
        self._role = application_role
        self._admin = psycopg.connect(admin_url, autocommit=True)

    def close(self) -> None:
        self._admin.close()

    def execute(self, statement: str, *parameters: Any) -> None:
        """Run a statement as the superuser."""
        self._admin.execute(statement.encode(), parameters or None)

    def value(self, query: str, *parameters: Any) -> Any:
        """The first column of the first row."""
        row = self._admin.execute(query.encode(), parameters or None).fetchone()
        assert row is not None, query
        return row[0]

    def has(self, rows: str) -> bool:
        """Whether there is any row of this FROM clause."""
        return bool(self.value(f"select exists (select from {rows})"))

    def wait_until_alone(self) -> None:
        """Wait for the applications' connections to end: a session that ends has told all that it counted."""
        query = "select count(*) = 0 from pg_stat_activity where datname = current_database() and usename = %s"
        wait_for("all connections of applications have ended", lambda: self.value(query, self._role))

    def counts(self) -> Counts:
        """What has been counted; exact while no application is connected."""
        self.execute("select pg_stat_force_next_flush()")
        row = self._admin.execute(
            """
            select d.xact_commit, coalesce(s.buffers_hit, 0),
                   (select coalesce(sum(i.idx_tup_read), 0) from pg_stat_user_indexes i), coalesce(s.calls, 0)
            from pg_stat_database d
            cross join lateral (
                select sum(shared_blks_hit) as buffers_hit, sum(calls) as calls from bench.pg_stat_statements
                where dbid = d.datid and userid = %s::regrole) s
            where d.datname = current_database()
            """,
            [self._role],
        ).fetchone()
        assert row is not None
        return Counts(*map(float, row))

    def statement_times(self, part: str) -> tuple[int, float, float]:
        """Calls, total and largest time in ms of the applications' statements that contain this text."""
        row = self._admin.execute(
            """
            select coalesce(sum(calls), 0), coalesce(sum(total_exec_time + total_plan_time), 0),
                   coalesce(max(max_exec_time), 0)
            from bench.pg_stat_statements
            where dbid = (select oid from pg_database where datname = current_database())
              and userid = %s::regrole and query like %s
            """,
            [self._role, f"%{part}%"],
        ).fetchone()
        assert row is not None
        return int(row[0]), float(row[1]), float(row[2])

    def forget_statement_times(self) -> None:
        """Start them anew for this database."""
        self.execute(
            "select bench.pg_stat_statements_reset(0, oid) from pg_database where datname = current_database()"
        )

    def wal_position(self) -> str:
        """Where the next WAL record will be."""
        return str(self.value("select pg_current_wal_insert_lsn()::text"))

    def wal_since(self, start: str, jobs: int) -> dict[str, float]:
        """WAL bytes for each job from there to here: what the work wrote, and the images of whole pages beside it.

        A page's first change after a checkpoint logs the whole page: that depends on when the last checkpoint was, not
        on who changed it.
        """
        end = self.wal_position()
        total = self.value("select %s::pg_lsn - %s::pg_lsn", end, start)
        images = self.value("select coalesce(sum(fpi_size), 0) from bench.pg_get_wal_stats(%s, %s)", start, end)
        return {
            "wal_bytes_per_job": float(total - images) / jobs,
            "wal_page_image_bytes_per_job": float(images) / jobs,
        }


class Server:
    """An embedded PostgreSQL of our own, in a temporary directory."""

    def __init__(self, server: EmbeddedServer) -> None:
        self._server = server

    @classmethod
    @contextmanager
    def start(cls) -> Iterator[Server]:
        with tempfile.TemporaryDirectory(prefix="headrace-bench-") as folder:
            Path(folder).chmod(0o755)  # as root, the server is another user
            with EmbeddedServer.start(Path(folder) / "server", settings=SETTINGS) as server:
                ours = cls(server)
                ours._prepare_templates()
                yield ours

    def _prepare_templates(self) -> None:
        """The superuser's means of counting in every database to come; applications neither see nor need them."""
        with psycopg.connect(self._url("template1"), autocommit=True) as admin:
            admin.execute("create schema bench")
            admin.execute("create extension pg_stat_statements schema bench")
            admin.execute("create extension pg_walinspect schema bench")

    def _url(self, database: str) -> str:
        """The superuser's URL of a database."""
        return self._server.admin_url.replace("/postgres?", f"/{database}?")

    @contextmanager
    def database(self, name: str) -> Iterator[Database]:
        """A new database, dropped at the end."""
        with psycopg.connect(self._server.admin_url, autocommit=True) as admin:
            admin.execute(f'create database "{name}" owner "{self._server.user}"'.encode())
            database = None
            try:
                url = self._server.url.replace(f"/{self._server.database}?", f"/{name}?")
                database = Database(url, self._url(name), self._server.user)
                yield database
            finally:
                if database is not None:
                    database.close()
                admin.execute(f'drop database "{name}" with (force)'.encode())

    def cpu_s(self) -> float:
        """CPU time of all of the server's processes, those that have ended included."""
        return family_cpu_s(self._server.pid)

    def settings(self) -> dict[str, str]:
        """The settings that figures depend on."""
        with psycopg.connect(self._server.admin_url) as admin:
            rows = admin.execute("select name, current_setting(name) from unnest(%s::text[]) name", [list(SHOWN)])
            return {name: value for name, value in rows}  # noqa: C416 - rows are not pairs to the type checker
