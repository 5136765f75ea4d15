"""What is wrong with the database, or about to be, and what to do about it: read only, as any role.

`database_report` reads what the server says of itself; `diagnose` adds the lines and their workers, and makes findings
of it. The rules are functions from what was read to findings, in `headrace._doctor`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal, get_args

Severity = Literal["critical", "warning", "info"]
SEVERITIES: tuple[Severity, ...] = get_args(Severity)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something that an operator should know.

    Attributes:
        severity: "critical": jobs are lost, stuck or about to be; "warning": they are slower, later or less safe than
            they could be; "info": worth knowing, or what could not be looked at.
        check: Which check found it: a short, stable name.
        what: What is the matter, in a sentence.
        detail: What was seen.
        remedy: What to do: SQL or a command to copy, or a sentence; "" if there is nothing. Nothing is done by itself.
    """

    severity: Severity
    check: str
    what: str
    detail: str = ""
    remedy: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """The server and its settings.

    Attributes:
        version: As it says.
        version_number: 180004 for 18.4.
        now: Its clock.
        clock_ahead_s: How far this machine's clock is ahead of it, in seconds; negative: behind.
        clock_error_s: By how much that may be wrong: half of the round trip.
        pooled: Whether a pooler is in between.
        in_recovery: Whether it is a replica.
        connections: Client connections, of all databases.
        max_connections: Most that it takes, with `reserved_connections` for superusers.
        notify_queue_share: How full the queue of notifications is, from 0 to 1.
        started_at: When it was started.
        database_bytes: Size of this database.
        frozen_age: Transactions since the oldest that is not frozen; at 2 billion the server refuses to write.
        sees_all: Whether our role may see other roles' sessions.
    """

    version: str
    version_number: int
    now: datetime
    clock_ahead_s: float
    clock_error_s: float
    pooled: bool
    in_recovery: bool
    fsync: str
    synchronous_commit: str
    full_page_writes: str
    autovacuum: str
    track_counts: str
    connections: int
    max_connections: int
    reserved_connections: int
    notify_queue_share: float
    started_at: datetime
    database_bytes: int
    frozen_age: int
    sees_all: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Transaction:
    """Something that keeps dead rows from being removed.

    Attributes:
        kind: "session", "prepared" (transaction) or "slot" (of replication).
        pid: The session's process.
        name: The application's, the prepared transaction's or the slot's name.
        role: Whose.
        state: "active", "idle in transaction", …
        database: Which it is connected to.
        began_at: When it began; None if it is hidden, or a slot.
        query_began_at: When its last statement began.
        query: The beginning of that.
        transactions: How many transactions have begun since its snapshot.
        hidden: Whether our role may not see more of it.
    """

    kind: Literal["session", "prepared", "slot"]
    pid: int | None
    name: str | None
    role: str | None
    state: str | None
    database: str | None
    began_at: datetime | None
    query_began_at: datetime | None
    query: str | None
    transactions: int | None
    hidden: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table, all its partitions together: rows and dead rows as the statistics know them."""

    name: str
    parts: int
    live_rows: int
    dead_rows: int
    table_bytes: int
    index_bytes: int
    vacuumed_at: datetime | None
    analyzed_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Index:
    """An index; `new_bytes` is about what it would have if it were made now, `valid` whether it is complete."""

    name: str
    table_name: str
    bytes: int
    valid: bool
    entries: int
    new_bytes: int
    scans: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Partitions:
    """The days of a partitioned table; `missing` are those of the next days that there is no partition for."""

    table_name: str
    parts: int
    first_day: date | None
    last_day: date | None
    missing: tuple[date, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """A replication slot; `kept_bytes` of the log wait for it."""

    name: str
    kind: str
    active: bool
    wal_status: str | None
    kept_bytes: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseReport:
    """The database at one moment.

    Attributes:
        server: The server and its settings.
        transactions: What holds the horizon, the oldest first, at most 20.
        tables: The schema's tables, the largest first.
        indexes: Their indexes, the largest first.
        partitions: The partitioned tables.
        slots: Replication slots.
        schema: The name of headrace's schema.
        schema_version: Its version.
        schema_expected: The version that this headrace wants.
        unreadable: What our role may not read, with the server's words.
    """

    server: Server
    transactions: tuple[Transaction, ...]
    tables: tuple[Table, ...]
    indexes: tuple[Index, ...]
    partitions: tuple[Partitions, ...]
    slots: tuple[Slot, ...]
    schema: str
    schema_version: int
    schema_expected: int
    unreadable: tuple[str, ...]
