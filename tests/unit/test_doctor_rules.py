"""What the doctor says of what was read: each rule finds what it is for, and nothing else in a healthy database."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from headrace._doctor.database_rules import judge_database
from headrace._doctor.reading import Work
from headrace._doctor.work_rules import judge_work
from headrace.doctor import DatabaseReport, Finding, Index, Partitions, Server, Slot, Table, Transaction

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
DAY = timedelta(days=1)
SERVER = Server(
    version="18.4", version_number=180004, now=NOW, clock_ahead_s=0.2, clock_error_s=0.1, pooled=False, in_recovery=False, fsync="on",
    synchronous_commit="on", full_page_writes="on", autovacuum="on", track_counts="on", connections=20, max_connections=100,
    reserved_connections=3, notify_queue_share=0.0, started_at=NOW - DAY, database_bytes=1, frozen_age=1000, sees_all=True,
)  # fmt: skip
SESSION = Transaction(
    kind="session", pid=42, name="report", role="analyst", state="idle in transaction", database="app", began_at=NOW - timedelta(minutes=2),
    query_began_at=NOW - timedelta(minutes=2), query="select\n 1", transactions=10, hidden=False,
)  # fmt: skip
TABLE = Table(
    name="job",
    parts=1,
    live_rows=10,
    dead_rows=99_999,
    table_bytes=1,
    index_bytes=1,
    vacuumed_at=None,
    analyzed_at=None,
)
INDEX = Index(name="job_claim", table_name="job", bytes=500 << 20, valid=True, entries=1, new_bytes=200 << 20, scans=1)
PARTITIONS = Partitions(
    table_name="attempt", parts=100, first_day=NOW.date() - 91 * DAY, last_day=NOW.date() + 14 * DAY, missing=()
)
SLOT = Slot(name="replica", kind="physical", active=True, wal_status="reserved", kept_bytes=100 << 30)
HEALTHY = DatabaseReport(
    server=SERVER, transactions=(SESSION,), tables=(TABLE,), indexes=(INDEX,), partitions=(PARTITIONS,), slots=(SLOT,), schema="jobs",
    schema_version=7, schema_expected=7, unreadable=(),
)  # fmt: skip
LINE: dict[str, Any] = {
    "queue": "mail", "queued": 5, "running": 1, "oldest": NOW - timedelta(minutes=14), "lost": 0, "parked": 0, "parked_tasks": None,
    "overdue": None, "last_position": 7, "workers": 1, "paused": False,
}  # fmt: skip
REST: dict[str, Any] = {
    "silent": None, "live": 1, "schedules": None, "breakers": None, "last_position": 7, "counted_until": NOW - timedelta(minutes=9)
}  # fmt: skip
WORK = Work(jobs=[LINE], gates=[], rest=REST, drift=[], unreadable=())


def server(**changes: Any) -> DatabaseReport:
    return replace(HEALTHY, server=replace(SERVER, **changes))


def holder(**changes: Any) -> DatabaseReport:
    return replace(HEALTHY, transactions=(replace(SESSION, **changes),))


def table(**changes: Any) -> DatabaseReport:
    return replace(HEALTHY, tables=(replace(TABLE, **changes),))


def index(**changes: Any) -> DatabaseReport:
    return replace(HEALTHY, indexes=(replace(INDEX, **changes),))


def partitions(**changes: Any) -> DatabaseReport:
    return replace(HEALTHY, partitions=(replace(PARTITIONS, **changes),))


def slot(**changes: Any) -> DatabaseReport:
    return replace(HEALTHY, slots=(replace(SLOT, **changes),))


def line(**changes: Any) -> Work:
    return replace(WORK, jobs=[LINE | changes])


def rest(**changes: Any) -> Work:
    return replace(WORK, rest=REST | changes)


HIDDEN = {"began_at": None, "query_began_at": None, "query": None, "hidden": True, "name": None, "role": None}
DATABASE_CASES: list[tuple[DatabaseReport, str, str, str]] = [
    (server(version_number=130000, version="13.9"), "critical", "version", "upgrade"),
    (server(in_recovery=True), "critical", "replica", "primary"),
    (server(fsync="off"), "critical", "fsync", "alter system set fsync = on; select pg_reload_conf();"),
    (server(full_page_writes="off"), "critical", "full_page_writes", "alter system set full_page_writes = on"),
    (server(synchronous_commit="off"), "warning", "synchronous_commit", "alter system set synchronous_commit = on"),
    (server(autovacuum="off"), "critical", "autovacuum", "alter system"),
    (server(track_counts="off"), "critical", "track_counts", "alter system"),
    (server(frozen_age=1_500_000_000), "critical", "wraparound", "vacuum (freeze);"),
    (server(clock_ahead_s=-6.0), "warning", "clock", "timedatectl"),
    (server(clock_ahead_s=90000.0), "critical", "clock", "timedatectl"),
    (server(connections=80), "warning", "connections", "PgBouncer"),
    (server(connections=95), "critical", "connections", "max_connections"),
    (server(notify_queue_share=0.2), "warning", "notify_queue", "pg_stat_activity"),
    (server(notify_queue_share=0.6), "critical", "notify_queue", "pg_stat_activity"),
    (server(pooled=True), "info", "pooler", "--listen-url"),
    (holder(began_at=NOW - timedelta(minutes=6)), "warning", "horizon", "select pg_terminate_backend(42);"),
    (holder(began_at=NOW - 2 * DAY), "critical", "horizon", "select pg_terminate_backend(42);"),
    (holder(**HIDDEN, transactions=2_000_000), "critical", "horizon", "select pg_terminate_backend(42);"),
    (holder(kind="prepared", pid=None, name="it's", began_at=NOW - DAY), "critical", "horizon", "rollback prepared 'it''s';"),
    (holder(kind="slot", pid=None, name="old", began_at=None, transactions=2_000_000), "critical", "horizon",
     "select pg_drop_replication_slot('old');"),
    (table(dead_rows=200_000), "warning", "dead_rows", "vacuum (analyze, verbose) jobs.job;"),
    (index(valid=False), "critical", "index", "reindex index concurrently jobs.job_claim;"),
    (index(new_bytes=8192), "warning", "index", "reindex index concurrently jobs.job_claim;"),
    (partitions(missing=(date(2026, 11, 26), date(2026, 11, 27))), "critical", "partitions", "jobs.create_partitions("),
    (partitions(missing=(date(2026, 11, 28),)), "warning", "partitions", "jobs.create_partitions("),
    (partitions(missing=(date(2026, 12, 9),)), "info", "partitions", "jobs.create_partitions("),
    (partitions(first_day=date(2026, 8, 1)), "warning", "partitions", "select jobs.drop_partition('attempt_20260801');"),
    (slot(active=False), "critical", "slot", "select pg_drop_replication_slot('replica');"),
    (slot(wal_status="lost"), "warning", "slot", "select pg_drop_replication_slot('replica');"),
    (replace(HEALTHY, unreadable=("slots: denied",)), "info", "rights", "pg_monitor"),
]  # fmt: skip
WORK_CASES: list[tuple[Work, str, str, str]] = [
    (replace(WORK, drift=["table jobs.job is missing"]), "critical", "schema", "headrace migrate"),
    (replace(WORK, drift=["tables and indexes could not be compared (…)"]), "info", "schema", ""),
    (line(workers=0), "critical", "unserved", "headrace worker MODULE:APP --queue mail"),
    (line(oldest=NOW - timedelta(hours=3)), "warning", "stuck", "headrace why ID"),
    (line(oldest=NOW - timedelta(hours=3), paused=True), "info", "stuck", "headrace why ID"),
    (line(lost=3), "critical", "lost", "start a worker"),
    (line(parked=3, parked_tasks=["gone"]), "warning", "unknown_tasks", "register"),
    (line(overdue=NOW - timedelta(minutes=5)), "critical", "overdue", "start a worker"),
    (line(last_position=8), "critical", "positions", "select setval('jobs.job_position', 8);"),
    (replace(WORK, gates=[{"name": "n", "key": "k", "held": 3, "running": 1}]), "critical", "gates", "select jobs.recount_gates();"),
    (replace(WORK, gates=[{"name": "n", "key": None, "held": 0, "running": 1}]), "warning", "gates", "select jobs.recount_gates();"),
    (rest(silent=[{"id": 1, "pid": 2, "host": "h", "silent_s": 99.0}]), "warning", "silent_worker", ""),
    (rest(schedules=[{"schedule": "s", "tenant": "t", "due": "2026-11-26T11:00:00+00:00", "problem": None}]), "critical", "schedule", "worker"),
    (rest(schedules=[{"schedule": "s", "tenant": "", "due": None, "problem": "no such zone"}]), "critical", "schedule",
     "headrace schedules edit s"),
    (rest(breakers=[{"name": "bank", "state": "open", "forced": True}]), "warning", "breaker", "headrace breakers reset bank"),
    (rest(counted_until=NOW - timedelta(minutes=20)), "warning", "history", "logs"),
    (replace(WORK, unreadable=("jobs: denied",)), "info", "rights", "pg_monitor"),
]  # fmt: skip


def test_a_healthy_database() -> None:
    """Nothing is found."""
    assert list(judge_database(HEALTHY)) == []
    assert list(judge_work(WORK, HEALTHY)) == []


def only(found: list[Finding], severity: str, check: str, remedy: str) -> None:
    (finding,) = found
    assert (finding.severity, finding.check) == (severity, check)
    assert finding.what
    assert remedy in finding.remedy


@pytest.mark.parametrize(("report", "severity", "check", "remedy"), DATABASE_CASES)
def test_what_is_wrong_with_a_database(report: DatabaseReport, severity: str, check: str, remedy: str) -> None:
    """One thing is wrong, and that is found, with a remedy."""
    only(list(judge_database(report)), severity, check, remedy)


@pytest.mark.parametrize(("work", "severity", "check", "remedy"), WORK_CASES)
def test_what_is_wrong_with_the_work(work: Work, severity: str, check: str, remedy: str) -> None:
    """The same."""
    only(list(judge_work(work, HEALTHY)), severity, check, remedy)
