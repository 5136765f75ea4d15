"""The rules: from what was read to findings. Each is a function of a few lines that says what it found and what to do.

Critical is what loses jobs or keeps them from running, now or within hours; a warning is what makes them later or less
safe. Thresholds are where an operator would want to be woken, or to be told in the morning.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from headrace.doctor import Finding, Severity
from headrace.why import show

if TYPE_CHECKING:
    from headrace._doctor.reading import Work
    from headrace.doctor import DatabaseReport, Server, Transaction

OLDEST_SUPPORTED = 140000
LONG_TRANSACTION = timedelta(minutes=5)
VERY_LONG_TRANSACTION = timedelta(hours=1)
MANY_TRANSACTIONS = 1_000_000
"""A slot or a session that we may not see counts as old when so many transactions have begun since."""
CLOCK_AHEAD_S = 5.0
DEAD_ROWS = 100_000
"""And more than live ones: autovacuum does not follow, or may not remove them."""
BLOATED_BYTES = 64 << 20
BLOAT = 4
KEPT_LOG_BYTES = 8 << 30
LONG_WAIT = timedelta(minutes=15)
COUNTING_BEHIND = timedelta(minutes=10)
WRAPAROUND = 1_000_000_000
FEW_DAYS = 3
QUOTE = "'"


def judge_database(report: DatabaseReport) -> Iterator[Finding]:
    """What is wrong with the database."""
    server = report.server
    yield from _settings(server)
    yield from _clock(server)
    yield from _connections(server)
    for transaction in report.transactions:
        yield from _transaction(transaction, server)
    yield from _tables(report)
    yield from _indexes(report)
    yield from _partitions(report)
    yield from _slots(report)
    if server.pooled:
        yield Finding(
            severity="info", check="pooler", what="a pooler is in between",
            detail="LISTEN does not work through one in transaction mode: workers find jobs by polling, within a second",
            remedy="give workers a direct URL to listen on: headrace worker MODULE:APP --listen-url URL",
        )  # fmt: skip
    for what in report.unreadable:
        yield _not_seen(what)


def judge_work(work: Work, report: DatabaseReport, schema: str) -> Iterator[Finding]:
    """What is wrong with the work in it."""
    now = report.server.now
    for problem in work.drift:
        could_not = problem.startswith("tables and indexes could not be compared")
        severity: Severity = "info" if could_not else "critical"
        yield Finding(
            severity=severity, check="schema", what=problem,
            remedy="" if could_not else "headrace migrate --verify, then headrace migrate",
        )  # fmt: skip
    for line in work.jobs:
        yield from _line(line, now)
    for gate in work.gates:
        of = f'limit "{gate["name"]}"' + (f' for "{gate["key"]}"' if gate["key"] else "")
        yield Finding(
            severity="critical" if gate["held"] > gate["running"] else "warning", check="gates",
            what=f"{of} counts {gate['held']} running jobs, and {gate['running']} run",
            detail="a count that is too large lets too few jobs start; one that is too small, too many",
            remedy=f"select {schema}.recount_gates();",
        )  # fmt: skip
    if work.rest is not None:
        yield from _rest(work, report, schema)
    for what in work.unreadable:
        if what not in report.unreadable:
            yield _not_seen(what)


def _not_seen(what: str) -> Finding:
    return Finding(
        severity="info", check="rights", what=f"this role may not read everything ({what})",
        remedy="ask again as the schema's owner, or as a role with pg_monitor",
    )  # fmt: skip


# -- the database --


def _settings(server: Server) -> Iterator[Finding]:
    if server.version_number < OLDEST_SUPPORTED:
        yield Finding(
            severity="critical", check="version", what=f"PostgreSQL {server.version} is too old",
            remedy="upgrade it to 14 or newer",
        )  # fmt: skip
    if server.in_recovery:
        yield Finding(
            severity="critical", check="replica", what="this server is a replica: nothing can be written",
            remedy="use the primary's URL, or add target_session_attrs=read-write to this one",
        )  # fmt: skip
    risks: tuple[tuple[str, str, Severity, str], ...] = (
        ("fsync", server.fsync, "critical", "a crash of the machine can destroy the whole database"),
        ("full_page_writes", server.full_page_writes, "critical", "a crash of the machine can destroy pages"),
        ("synchronous_commit", server.synchronous_commit, "warning",
         "a crash loses the last fraction of a second: jobs whose enqueueing was confirmed, and outcomes"),
        ("autovacuum", server.autovacuum, "critical", "dead rows stay for ever, and everything becomes slower"),
        ("track_counts", server.track_counts, "critical", "autovacuum does not know what to do"),
    )  # fmt: skip
    for name, value, severity, consequence in risks:
        if value == "off":
            yield Finding(
                severity=severity, check=name, what=f"{name} is off", detail=consequence,
                remedy=f"alter system set {name} = on; select pg_reload_conf();",
            )  # fmt: skip
    if server.frozen_age > WRAPAROUND:
        yield Finding(
            severity="critical", check="wraparound",
            what=f"{server.frozen_age:,} transactions since the oldest row that is not frozen",
            detail="at 2 billion the server refuses to write; something old keeps vacuum from freezing",
            remedy="end what holds the horizon, then: vacuum (freeze);",
        )  # fmt: skip


def _clock(server: Server) -> Iterator[Finding]:
    apart = abs(server.clock_ahead_s) - server.clock_error_s
    if apart > CLOCK_AHEAD_S:
        word = "ahead of" if server.clock_ahead_s > 0 else "behind"
        yield Finding(
            severity="critical" if apart > 3600 else "warning", check="clock",
            what=f"this machine's clock is {apart:,.0f} s {word} the database's",
            detail="the database's clock decides what is due; ids of jobs and these machines' logs carry the other time",
            remedy="set the clocks right: timedatectl set-ntp true",
        )  # fmt: skip


def _connections(server: Server) -> Iterator[Finding]:
    free = server.max_connections - server.reserved_connections - server.connections
    if server.connections > 0.8 * (server.max_connections - server.reserved_connections):
        yield Finding(
            severity="critical" if free < 5 else "warning", check="connections",
            what=f"{server.connections} of {server.max_connections} connections are in use",
            detail=f"a worker takes up to 8, and each process of the application up to 4; {max(0, free)} are left",
            remedy="run fewer processes, put PgBouncer in between, or raise max_connections (needs a restart)",
        )  # fmt: skip
    if server.notify_queue_share > 0.1:
        yield Finding(
            severity="critical" if server.notify_queue_share > 0.5 else "warning", check="notify_queue",
            what=f"the queue of notifications is {server.notify_queue_share:.0%} full",
            detail="when it is full no transaction that notifies can commit; a session that listens sits in a transaction",
            remedy="end it: select pg_terminate_backend(pid) from pg_stat_activity where state = 'idle in transaction';",
        )  # fmt: skip


def _transaction(one: Transaction, server: Server) -> Iterator[Finding]:
    age = server.now - one.began_at if one.began_at is not None else None
    many = (one.transactions or 0) > MANY_TRANSACTIONS
    if not many and (age is None or age < LONG_TRANSACTION):
        return
    said = f"for {_show_age(age)}" if age is not None else f"for {one.transactions:,} transactions"
    match one.kind:
        case "prepared":
            what, remedy = f'the prepared transaction "{one.name}"', f"rollback prepared {_quote(one.name)};"
        case "slot":
            what = f'the replication slot "{one.name}" ({one.state})'
            remedy = f"select pg_drop_replication_slot({_quote(one.name)});"
        case _:
            what = f"process {one.pid} ({one.name or 'no name'}, {one.role or 'another role'})"
            remedy = f"select pg_terminate_backend({one.pid});"
    detail = (
        f"{one.state} since {show(one.query_began_at)}: {' '.join((one.query or '').split())[:200]}"
        if one.query_began_at is not None
        else "this role may not see more of it" if one.hidden else ""
    )  # fmt: skip
    yield Finding(
        severity="critical" if many or (age is not None and age > VERY_LONG_TRANSACTION) else "warning", check="horizon",
        what=f"{what} keeps dead rows from being removed, {said}", detail=detail, remedy=remedy,
    )  # fmt: skip


def _tables(report: DatabaseReport) -> Iterator[Finding]:
    for table in report.tables:
        if table.dead_rows > DEAD_ROWS and table.dead_rows > table.live_rows:
            vacuumed = f"last vacuumed {show(table.vacuumed_at)}" if table.vacuumed_at else "never vacuumed"
            yield Finding(
                severity="warning", check="dead_rows", what=f"{table.name}: {table.dead_rows:,} dead rows, {table.live_rows:,} live",
                detail=f"{vacuumed}; what holds the horizon keeps them", remedy=f"vacuum (analyze, verbose) {table.name};",
            )  # fmt: skip


def _indexes(report: DatabaseReport) -> Iterator[Finding]:
    for index in report.indexes:
        if not index.valid:
            yield Finding(
                severity="critical", check="index", what=f"index {index.name} is not valid: it is not used",
                remedy=f"reindex index concurrently {index.name};",
            )  # fmt: skip
        elif index.bytes > BLOATED_BYTES and index.bytes > BLOAT * index.new_bytes:
            yield Finding(
                severity="warning", check="index",
                what=f"index {index.name} has {_mib(index.bytes)}, and new it would have about {_mib(index.new_bytes)}",
                remedy=f"reindex index concurrently {index.name};",
            )  # fmt: skip


def _partitions(report: DatabaseReport) -> Iterator[Finding]:
    today = report.server.now.date()
    for table in report.partitions:
        if not table.missing:
            continue
        soonest = (table.missing[0] - today).days
        severity: Severity = "critical" if soonest <= 1 else "warning" if soonest <= FEW_DAYS else "info"
        yield Finding(
            severity=severity, check="partitions",
            what=f"{table.table_name} has no partition for {table.missing[0]}" + (f" and {len(table.missing) - 1} more days" if table.missing[1:] else ""),
            detail="workers create them two weeks ahead, every six hours",
            remedy="start a worker, or: select headrace.create_partitions(current_date, current_date + 14);",
        )  # fmt: skip
    for table in report.partitions:
        # 90 days is the longest retention; what steps and arguments belong to may be kept a while longer.
        if table.first_day is not None and (today - table.first_day).days > (
            100 if table.table_name not in ("payload", "step") else 400
        ):
            yield Finding(
                severity="warning", check="partitions", what=f"{table.table_name} still has a partition of {table.first_day}",
                detail="a reader that never ends keeps it from being dropped, or no worker has been running",
                remedy=f"select headrace.drop_partition('{table.table_name}_{table.first_day:%Y%m%d}');",
            )  # fmt: skip


def _slots(report: DatabaseReport) -> Iterator[Finding]:
    for slot in report.slots:
        lost = slot.wal_status in ("lost", "unreserved")
        if lost or (not slot.active and (slot.kept_bytes or 0) > KEPT_LOG_BYTES):
            yield Finding(
                severity="critical" if not lost else "warning", check="slot",
                what=f'replication slot "{slot.name}" is {"active" if slot.active else "inactive"}, its log {slot.wal_status}',
                detail=f"{_mib(slot.kept_bytes or 0)} of the log are kept for it",
                remedy=f"select pg_drop_replication_slot({_quote(slot.name)});",
            )  # fmt: skip


# -- the work --


def _line(line: dict[str, Any], now: Any) -> Iterator[Finding]:
    queue = line["queue"]
    waits = now - line["oldest"] if line["oldest"] is not None else timedelta(0)
    if line["queued"] and not line["workers"]:
        yield Finding(
            severity="critical", check="unserved", what=f'no live worker serves queue "{queue}", in which {line["queued"]:,} jobs wait',
            remedy=f"headrace worker MODULE:APP --queues {queue}",
        )  # fmt: skip
    elif waits > LONG_WAIT:
        paused = " (paused)" if line["paused"] else ""
        yield Finding(
            severity="info" if line["paused"] else "warning", check="stuck",
            what=f'the oldest of {line["queued"]:,} jobs in queue "{queue}"{paused} has been due for {_show_age(waits)}',
            remedy=f"headrace jobs list --state queued --queue {queue}, and then: headrace why ID",
        )  # fmt: skip
    if line["lost"]:
        yield Finding(
            severity="critical", check="lost", what=f'{line["lost"]:,} jobs of queue "{queue}" run under no lease for more than a minute',
            detail="live workers take them back within seconds: none is live, or each fails to",
            remedy="start a worker, and read its log",
        )  # fmt: skip
    if line["parked"]:
        tasks = ", ".join((line["parked_tasks"] or [])[:10])
        yield Finding(
            severity="warning", check="unknown_tasks", what=f'{line["parked"]:,} jobs of queue "{queue}" wait for a worker that knows their task',
            detail=f"tasks: {tasks}", remedy="deploy workers whose app registers these tasks, or delete the jobs",
        )  # fmt: skip
    if line["overdue"] is not None:
        yield Finding(
            severity="critical", check="overdue",
            what=f'scheduled jobs of queue "{queue}" have been due since {show(line["overdue"])}, and nobody queues them',
            remedy="start a worker: any worker does it for all queues",
        )  # fmt: skip


def _rest(work: Work, report: DatabaseReport, schema: str) -> Iterator[Finding]:
    rest, now = work.rest or {}, report.server.now
    for worker in rest["silent"] or ():
        yield Finding(
            severity="warning", check="silent_worker",
            what=f"worker {worker['id']} (process {worker['pid']} on {worker['host']}) has not been heard of for {worker['silent_s']:,.0f} s",
            detail="other live workers end its lease within seconds", remedy="start a worker" if not rest["live"] else "",
        )  # fmt: skip
    for one in rest["schedules"] or ():
        of = f'schedule "{one["schedule"]}"' + (f" of tenant {one['tenant']}" if one["tenant"] else "")
        if one["problem"]:
            yield Finding(
                severity="critical", check="schedule", what=f"{of} cannot be planned: {one['problem']}",
                remedy=f"headrace schedules edit {one['schedule']}",
            )  # fmt: skip
        else:
            yield Finding(
                severity="critical", check="schedule", what=f"{of} has been due since {one['due']}",
                remedy="start a worker that registers its task",
            )  # fmt: skip
    for breaker in rest["breakers"] or ():
        yield Finding(
            severity="warning", check="breaker",
            what=f'breaker "{breaker["name"]}" is {"held " if breaker["forced"] else ""}open: no job that needs it starts',
            remedy=f"headrace breakers reset {breaker['name']}",
        )  # fmt: skip
    used = max((line["last_position"] or 0 for line in work.jobs), default=0)
    if rest["last_position"] is not None and used > rest["last_position"]:
        yield Finding(
            severity="critical", check="positions", what=f"the sequence of positions is at {rest['last_position']:,}, and jobs are at {used:,}",
            detail="after a failover or restore: workers that were running may pass over new jobs until they scan from the start",
            remedy=f"select setval('{schema}.job_position', {used});",
        )  # fmt: skip
    if rest["live"] and (rest["counted_until"] is None or now - rest["counted_until"] > COUNTING_BEHIND):
        since = show(rest["counted_until"]) if rest["counted_until"] else "never"
        yield Finding(
            severity="warning", check="history", what=f"what ends was counted last {since}, and workers are live",
            detail="charts stand still; a worker counts every 15 seconds", remedy="read the workers' logs",
        )  # fmt: skip


# -- words --


def _show_age(age: timedelta) -> str:
    minutes = int(age.total_seconds() // 60)
    hours, days = minutes // 60, minutes // 1440
    return f"{days} days" if days > 1 else f"{hours} h {minutes % 60} min" if hours else f"{minutes} min"


def _mib(count: int) -> str:
    return f"{count / (1 << 20):,.0f} MiB"


def _quote(name: str | None) -> str:
    return QUOTE + (name or "").replace(QUOTE, QUOTE * 2) + QUOTE
