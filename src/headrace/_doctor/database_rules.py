"""The rules for the database: from what the server says to findings, each a function of a few lines.

Thresholds are where an operator would want to be woken (critical) or to be told in the morning (warning).
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING

from headrace._doctor.words import critical, info, mib, not_seen, quote, show_age, warning
from headrace.why import show

if TYPE_CHECKING:
    from headrace.doctor import DatabaseReport, Finding, Server, Table, Transaction

OLDEST_SUPPORTED = 140000
LONG_TRANSACTION = timedelta(minutes=5)
VERY_LONG_TRANSACTION = timedelta(hours=1)
MANY_TRANSACTIONS = 1_000_000
"""A slot, or a session that we may not see, counts as old when so many transactions have begun since."""
CLOCK_APART_S = 5.0
CLOCK_FAR_APART_S = 3600.0
DEAD_ROWS = 100_000
"""And more than live ones: autovacuum does not keep up, or may not remove them."""
BLOATED_BYTES = 64 << 20
BLOAT = 4
KEPT_LOG_BYTES = 8 << 30
WRAPAROUND = 1_000_000_000
FEW_DAYS = 3
FEW_CONNECTIONS = 5
DAYS_KEPT = {"payload": 400, "step": 400}
"""Arguments and steps stay as long as their jobs, unfinished ones included; all else goes after 90 days."""


def judge_database(report: DatabaseReport) -> Iterator[Finding]:
    """What is wrong with the database."""
    server = report.server
    yield from _settings(server)
    yield from _clock(server)
    yield from _fullness(server)
    for transaction in report.transactions:
        yield from _transaction(transaction, server)
    for table in report.tables:
        yield from _table(table, report.schema)
    yield from _indexes(report)
    yield from _partitions(report)
    yield from _slots(report)
    if server.pooled:
        yield info(
            "pooler",
            "a pooler is in between",
            "LISTEN does not work through one in transaction mode: workers find jobs by polling, within a second",
            "give workers a direct URL to listen on: headrace worker MODULE:APP --listen-url URL",
        )
    for what in report.unreadable:
        yield not_seen(what)


def _settings(server: Server) -> Iterator[Finding]:
    if server.version_number < OLDEST_SUPPORTED:
        yield critical("version", f"PostgreSQL {server.version} is too old", remedy="upgrade it to 14 or newer")
    if server.in_recovery:
        remedy = "use the primary's URL, or add target_session_attrs=read-write to this one"
        yield critical("replica", "this server is a replica: nothing can be written", remedy=remedy)
    lost = "a crash loses the last fraction of a second: jobs whose enqueueing was confirmed, and outcomes"
    for make, name, value, consequence in (
        (critical, "fsync", server.fsync, "a crash of the machine can destroy the whole database"),
        (critical, "full_page_writes", server.full_page_writes, "a crash of the machine can destroy pages"),
        (warning, "synchronous_commit", server.synchronous_commit, lost),
        (critical, "autovacuum", server.autovacuum, "dead rows stay for ever, and everything becomes slower"),
        (critical, "track_counts", server.track_counts, "autovacuum does not know what to do"),
    ):
        if value == "off":
            yield make(name, f"{name} is off", consequence, f"alter system set {name} = on; select pg_reload_conf();")
    if server.frozen_age > WRAPAROUND:
        yield critical(
            "wraparound",
            f"{server.frozen_age:,} transactions have begun since the oldest row that is not frozen",
            "at 2 billion the server refuses to write; something old keeps vacuum from freezing",
            "end what holds the horizon, then: vacuum (freeze);",
        )


def _clock(server: Server) -> Iterator[Finding]:
    apart_s = abs(server.clock_ahead_s) - server.clock_error_s
    if apart_s > CLOCK_APART_S:
        word = "ahead of" if server.clock_ahead_s > 0 else "behind"
        yield (critical if apart_s > CLOCK_FAR_APART_S else warning)(
            "clock",
            f"this machine's clock is {apart_s:,.0f} s {word} the database's",
            "the database's clock decides what is due; ids of jobs, and logs, carry the other time",
            "set the clocks right: timedatectl set-ntp true",
        )


def _fullness(server: Server) -> Iterator[Finding]:
    usable = server.max_connections - server.reserved_connections
    free = max(0, usable - server.connections)
    if server.connections > 0.8 * usable:
        yield (critical if free < FEW_CONNECTIONS else warning)(
            "connections",
            f"{server.connections} of {server.max_connections} connections are in use",
            f"{free} are left; a worker takes up to 8 and what its handlers use, other processes of the app up to 4",
            "run fewer processes, put PgBouncer in between, or raise max_connections (needs a restart)",
        )
    if server.notify_queue_share > 0.1:
        yield (critical if server.notify_queue_share > 0.5 else warning)(
            "notify_queue",
            f"the queue of notifications is {server.notify_queue_share:.0%} full",
            "when it is full, no transaction that notifies can commit; a session that listens sits in a transaction",
            "find it: select pid, application_name, query from pg_stat_activity where state = 'idle in transaction';",
        )


def _transaction(one: Transaction, server: Server) -> Iterator[Finding]:
    age = server.now - one.began_at if one.began_at is not None else None
    many = (one.transactions or 0) > MANY_TRANSACTIONS
    if not many and (age is None or age < LONG_TRANSACTION):
        return
    match one.kind:
        case "prepared":
            what, remedy = f'the prepared transaction "{one.name}"', f"rollback prepared {quote(one.name)};"
        case "slot":
            what = f'the replication slot "{one.name}" ({one.state})'
            remedy = f"select pg_drop_replication_slot({quote(one.name)});"
        case _:
            what = f"process {one.pid} ({one.name or 'without a name'}, {one.role or 'another role'})"
            remedy = f"select pg_terminate_backend({one.pid});"
    detail = "this role may not see more of it" if one.hidden else ""
    if one.query_began_at is not None:
        detail = f"{one.state} since {show(one.query_began_at)}: {' '.join((one.query or '').split())[:200]}"
    lasts = f"for {show_age(age)}" if age is not None else f"for {one.transactions:,} transactions"
    yield (critical if many or (age is not None and age > VERY_LONG_TRANSACTION) else warning)(
        "horizon", f"{what} keeps dead rows from being removed, {lasts}", detail, remedy
    )


def _table(table: Table, schema: str) -> Iterator[Finding]:
    if table.dead_rows > DEAD_ROWS and table.dead_rows > table.live_rows:
        vacuumed = f"last vacuumed {show(table.vacuumed_at)}" if table.vacuumed_at else "never vacuumed"
        yield warning(
            "dead_rows",
            f"table {table.name} has {table.dead_rows:,} dead rows, and {table.live_rows:,} live ones",
            f"{vacuumed}; vacuum cannot remove what something old may still see",
            f"vacuum (analyze, verbose) {schema}.{table.name};",
        )


def _indexes(report: DatabaseReport) -> Iterator[Finding]:
    for index in report.indexes:
        remedy = f"reindex index concurrently {report.schema}.{index.name};"
        if not index.valid:
            yield critical("index", f"index {index.name} is not valid, and so not used", remedy=remedy)
        elif index.bytes > BLOATED_BYTES and index.bytes > BLOAT * index.new_bytes:
            sizes = f"{mib(index.bytes)}; made anew it would have about {mib(index.new_bytes)}"
            yield warning("index", f"index {index.name} has {sizes}", remedy=remedy)


def _partitions(report: DatabaseReport) -> Iterator[Finding]:
    today = report.server.now.date()
    for table in report.partitions:
        if table.missing:
            soonest = (table.missing[0] - today).days
            others = f" and {len(table.missing) - 1} more days" if table.missing[1:] else ""
            yield (critical if soonest <= 1 else warning if soonest <= FEW_DAYS else info)(
                "partitions",
                f"table {table.table_name} has no partition for {table.missing[0]}{others}",
                "workers create them two weeks ahead, every six hours",
                f"start a worker, or: select {report.schema}.create_partitions(current_date, current_date + 14);",
            )
        if table.first_day is not None and (today - table.first_day).days > DAYS_KEPT.get(table.table_name, 100):
            partition = f"{table.table_name}_{table.first_day:%Y%m%d}"
            yield warning(
                "partitions",
                f"partition {partition} is out of retention, and still there",
                "a reader that never ends keeps it, or no worker has been running",
                f"select {report.schema}.drop_partition('{partition}');",
            )


def _slots(report: DatabaseReport) -> Iterator[Finding]:
    for slot in report.slots:
        lost, used = slot.wal_status in ("lost", "unreserved"), "in use" if slot.active else "not in use"
        if lost or (not slot.active and (slot.kept_bytes or 0) > KEPT_LOG_BYTES):
            yield (warning if lost else critical)(
                "slot",
                f'replication slot "{slot.name}" is {used}, and its log {slot.wal_status}',
                f"{mib(slot.kept_bytes or 0)} of the log are kept for it",
                f"select pg_drop_replication_slot({quote(slot.name)});",
            )
