"""What 1,000 jobs cost the database, counted instead of timed: a guard against regressions that cannot flake.

Milliseconds depend on the machine and on what else it does; numbers of statements, rows and bytes do not. What keeps them
from depending on anything else:

* Each test has a database of its own, with autovacuum off for the tables that jobs go through.
* Claims and settles are driven in batches of 500, with the worker's own statements: no timing decides how many there are.
  Where a real worker runs, what timing can decide has a bound that follows from how the worker is built.
* Write-ahead log is summed over the records of the measured transactions alone (pg_walinspect), so that tests beside this
  one do not count, and without full-page images, which depend on when the last checkpoint was.
* Statements inside functions count too: they are what auto_explain reports.

A change that is meant to cost more raises its limit in `LIMITS`, in the same commit, and says why. `pytest -s` prints the
counts.
"""

from __future__ import annotations

import uuid
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import pytest

from headrace import Headrace
from tests.store.harness import Claimed, Store, ended, superuser_url
from tests.store.plans import SETTINGS
from tests.store.workflows import Graph
from tests.worker.helpers import WorkerProcess, until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from psycopg.errors import Diagnostic

    from conftest import DatabaseServer
    from headrace import Task

pytestmark = pytest.mark.direct  # settings and statistics of sessions, and a worker that listens

JOBS, SINGLE, PLACES = 1000, 100, 500

# With about 12 % of head-room; numbers that the text of the statements decides have none. Beside each: what was measured on
# 2026-11-25, on PostgreSQL 18.6 and 15.18. Rows and statements were the same in every run, bytes within half a per cent, also
# three at a time on one server. Of commits, each connection makes one or two of its own, and a visit of autovacuum, which finds
# nothing to do, a few: those limits leave 20 for them.
LIMITS: dict[str, dict[str, int]] = {
    "bulk": {  # 1,000 jobs in one call of enqueue_many, from opening the app to closing it
        "commits": 30,  # 8 and 8
        "wal_bytes": 308_000,  # 275,493 and 275,244
        "rows_read": 3,  # 1 and 1: the schema's version
    },
    "single": {  # 100 jobs in 100 calls of enqueue, likewise
        "commits": 130,  # 109 and 109
        "wal_bytes": 39_500,  # 35,309 and 35,160
        "rows_read": 3,  # 1 and 1
    },
    "claim": {  # 1,000 jobs in two claims
        "statements": 8,  # 8 and 8: twice the call, the scan, the look for the lease and the update
        "wal_bytes": 169_000,  # 151,176 and 151,176
        "index_entries_read": 2_800,  # 2,502 and 2,502: each job's twice; and the second scan passes the 500 that run
        "rows_read": 2_800,  # 2,502 and 2,502
        "indexed_updates": 0,  # 0 and 0
    },
    "settle": {  # 1,000 jobs in two settles
        "statements": 8,  # 8 and 8: twice the call, its call of finish_jobs, the look for progress and the move
        "wal_bytes": 410_000,  # 365,871 and 365,822
        "index_entries_read": 1_100,  # 1,000 and 1,000
        "rows_read": 1_100,  # 1,000 and 1,000
        "indexed_updates": 0,  # 0 and 0
    },
    "start": {  # a workflow of 1,000 jobs between its first and its last
        "statements": 16,  # 16: the call, and what it does, each once
        "wal_bytes": 1_300_000,  # 1,156,565
        "rows_read": 2_250,  # 2,005
    },
    "settle_nodes": {  # its 1,000 jobs in two settles
        "statements": 8,  # 8: as many as for plain jobs
        "wal_bytes": 707_000,  # 630,946: two thirds more than plain ones, for the word that is left for the workflow
        "index_entries_read": 2_150,  # 1,903: those of before their release, too
        "rows_read": 1_100,  # 1,000
        "indexed_updates": 0,  # 0
    },
    "advance": {  # the advance after them: everything that it reads, it reads of those that changed
        "statements": 34,  # 34, however many jobs
        "wal_bytes": 307_000,  # 274,137
        "index_entries_read": 15_400,  # 13,704
        "rows_read": 10_100,  # 9,015
    },
    # Here timing decides, within bounds. Measured in 40 runs, 30 of them beside three busy loops on two cores.
    "worker": {  # 1,000 jobs through a worker with 500 places, from its start to its end
        # The first takes 500. Those after it wait until half of the places are free: two at most. One finds the line empty,
        # and one looks again because LISTEN has begun. And one to spare.
        "claims": 6,  # 3
        "looks_for_writers": 6,  # 1 to 3; at most one after each claim
        # Claimed jobs start 64 at a time, and at most one settle leaves between two such slices: 16, and one short slice for
        # each of the claims that find jobs. And one to spare.
        "settles": 20,  # 3 to 6
        "connections": 6,  # 3 to 5
        "calls_of_another_statement": 1,  # 1: what a worker does once, when it starts or ends
        # 38 of the above, 24 other statements, and what is said of commits above.
        "commits": 100,  # 45 to 53
    },
}

UNTIMED = dict.fromkeys(
    ("beat_s", "lease_s", "look_s", "stall_s", "stall_warning_s", "tick_s", "first_poll_s", "longest_poll_s", "promote_s",
     "sweep_s", "watch_s", "report_s", "schedule_s", "declare_s"), 3600.0,
)  # fmt: skip
"""A worker's loops make one round, and nothing is looked for because time has passed."""

REPEATED = {
    "claims": "claim_jobs(", "settles": "settle_jobs(", "looks_for_writers": "pg_locks", "connections": "select pg_backend_pid()",
}  # fmt: skip
"""How to recognise the statements that a worker repeats."""


def check(what: str, counted: dict[str, int]) -> None:
    """Compare with the limits; a failure shows all counts."""
    print(what, counted)
    over = [f"{name} {counted[name]:,} > {limit:,}" for name, limit in LIMITS[what].items() if counted[name] > limit]
    assert over == [], f"{what} counted {counted}"


@dataclass
class Counts:
    """What happened in a database.

    Attributes:
        statements: Those of the meter's own connection, functions' statements included.
        commits: Those of all sessions, but for the meter's questions.
        wal_bytes: Of the transactions that left jobs as they are now; without full-page images.
        index_entries_read: Of headrace's indexes.
        rows_read: Of headrace's tables, by index or from end to end.
        indexed_updates: Updates of jobs that were not heap-only: each writes to every index.
    """

    statements: int = 0
    commits: int = 0
    wal_bytes: int = 0
    index_entries_read: int = 0
    rows_read: int = 0
    indexed_updates: int = 0


class Meter:
    """A superuser's connection to a database, which counts what happens there.

    Attributes:
        store: The connection.
    """

    def __init__(self, url: str) -> None:
        self.store = Store(url)
        self._statements = 0
        self._questions = 0
        self.ask("create extension pg_walinspect")
        # Keeps the log until it is read: tests beside this one make checkpoints, which remove it.
        self.ask("select pg_create_physical_replication_slot(%s, true, true)", f"counts_{uuid.uuid4().hex}")
        self.ask("load 'auto_explain'")
        for name, value in (SETTINGS | {"log_analyze": "off"}).items():
            self.ask(f"set auto_explain.{name} = {value}")
        self.ask("set client_min_messages = log")
        self.store.conn.add_notice_handler(self._hear)

    def _hear(self, diagnostic: Diagnostic) -> None:
        self._statements += "plan:\n" in (diagnostic.message_primary or "")

    def ask(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """A question, whose commit does not count."""
        self._questions += 1
        return self.store.ask(statement, values or None)

    def one(self, statement: str, *values: Any) -> int:
        """The only number that a question answers."""
        ((value,),) = self.ask(statement, *values)
        return int(value)

    @contextmanager
    def counting(self) -> Iterator[Counts]:
        """Count what happens inside; known afterwards. Other sessions must have ended by then."""
        counts = Counts()
        before, ((since,),) = self._look(), self.ask("select pg_current_wal_insert_lsn()")
        self._statements = 0
        yield counts
        self.ask("select")  # ends the statement before it, which is explained when it ends
        counts.statements = self._statements - 1
        for name, count in self._look().items():
            setattr(counts, name, count - before[name])
        counts.wal_bytes = self._wal_bytes(since)

    def _look(self) -> dict[str, int]:
        self.ask("select pg_stat_force_next_flush()")
        asked = self._questions
        return {
            "commits": self.one("select xact_commit from pg_stat_database where datname = current_database()") - asked,
            "index_entries_read": self.one(
                "select sum(idx_tup_read) from pg_stat_user_indexes where schemaname = 'headrace'"
            ),
            "rows_read": self.one(
                "select sum(seq_tup_read + coalesce(idx_tup_fetch, 0)) from pg_stat_user_tables where schemaname = 'headrace'"
            ),
            "indexed_updates": self.one(
                "select n_tup_upd - n_tup_hot_upd from pg_stat_user_tables where schemaname = 'headrace' and relname = 'job'"
            ),
        }

    def _wal_bytes(self, since: str) -> int:
        if not self.one("select (pg_current_wal_flush_lsn() > %s)::integer", since):
            return 0
        writers = self.ask(
            "select xmin::text from headrace.job union select xmin::text from headrace.job_history "
            "union select xmin::text from headrace.workflow_node"
        )
        return self.one(
            "select coalesce(sum(record_length - fpi_length), 0) from pg_get_wal_records_info(%s, pg_current_wal_flush_lsn()) "
            "where xid::text = any(%s)",
            since, [xid for (xid,) in writers],
        )  # fmt: skip

    async def be_alone(self) -> None:
        """Wait until all other sessions have ended: their statistics are complete then."""
        others = (
            "select count(*) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid() "
            "and backend_type = 'client backend'"
        )
        await until(lambda: self.one(others) == 0, "all other sessions have ended")

    async def be_dead_to_all(self) -> None:
        """Wait until whoever wrote before now has ended, in other databases too: only then a scan drops dead entries."""
        now = self.one("select txid_current()")
        oldest = "select txid_snapshot_xmin(txid_current_snapshot())"
        await until(lambda: self.one(oldest) > now, "all that wrote before have ended")


@pytest.fixture
def meter(database: str, server: DatabaseServer) -> Iterator[Meter]:
    """Counts in a new database."""
    meter = Meter(superuser_url(server, database))
    meter.ask("alter table headrace.job set (autovacuum_enabled = off)")
    for (name,) in meter.ask("select name from headrace.list_partitions() where parent like 'job_history%'"):
        meter.ask(f"alter table headrace.{name} set (autovacuum_enabled = off)")
    yield meter
    meter.store.conn.close()


@pytest.fixture
def instant(database: str) -> Task[..., ..., None]:
    """A task of a new app, which tests open and close; worker processes know it too."""

    async def instant() -> None:
        pass

    return Headrace(database).task(name="instant")(instant)


async def enqueue_many(instant: Task[..., ..., None], meter: Meter) -> None:
    """All jobs at once."""
    async with instant.app as app:
        await app.enqueue_many(instant.job() for _ in range(JOBS))
    await meter.be_alone()


async def claim(instant: Task[..., ..., None], meter: Meter) -> tuple[int, list[list[Claimed]], Counts]:
    """All jobs, in two batches, by a new worker."""
    await enqueue_many(instant, meter)
    worker = meter.store.worker()
    with meter.counting() as counts:
        batches = [meter.store.claim(worker, PLACES, queue="default") for _ in range(JOBS // PLACES)]
    assert [len(batch) for batch in batches] == [PLACES] * (JOBS // PLACES)
    return worker, batches, counts


async def test_what_a_bulk_enqueue_costs(instant: Task[..., ..., None], meter: Meter) -> None:
    """1,000 jobs are one COPY: no further transaction, no rows read, and two index entries a job in the log."""
    with meter.counting() as counts:
        await enqueue_many(instant, meter)
    check("bulk", asdict(counts))


async def test_what_single_enqueues_cost(instant: Task[..., ..., None], meter: Meter) -> None:
    """One enqueue is one transaction, which reads no rows, and logs its row, two index entries and its commit."""
    with meter.counting() as counts:
        async with instant.app:
            for _ in range(SINGLE):
                await instant.enqueue()
        await meter.be_alone()
    check("single", asdict(counts))


async def test_what_claims_cost(instant: Task[..., ..., None], meter: Meter) -> None:
    """A claim of 500 is four statements, reads its own rows and little more, and every update in it is heap-only."""
    _, _, counts = await claim(instant, meter)
    check("claim", asdict(counts))


async def test_what_settles_cost(instant: Task[..., ..., None], meter: Meter) -> None:
    """A settle of 500 is four statements, reads each of its rows once, and none of the history that it adds to."""
    worker, batches, _ = await claim(instant, meter)
    with meter.counting() as counts:
        for batch in batches:
            assert meter.store.settle(worker, *(ended(attempt) for attempt in batch)) == []
    check("settle", asdict(counts))


async def start_nodes(meter: Meter) -> tuple[Graph, Counts]:
    """A workflow of 1,000 jobs between its first, which has ended, and its last."""
    graph = Graph(meter.store)
    middle = [f"n{i}" for i in range(JOBS)]
    with meter.counting() as counts:
        graph.start({"first": [], **{key: ["first"] for key in middle}, "last": middle})
    worker = meter.store.worker()
    assert graph.run(worker) == ["first"]
    graph.advance()
    return graph, counts


async def test_what_a_start_of_a_workflow_costs(meter: Meter) -> None:
    """One call, however many jobs: each is written once, with its node, its dependencies, and their index entries."""
    _, counts = await start_nodes(meter)
    check("start", asdict(counts))


async def test_what_a_workflow_s_jobs_cost(meter: Meter) -> None:
    """A settle of 500 takes no more statements, and reads nothing of their workflow; an advance reads each change's node once."""
    graph, _ = await start_nodes(meter)
    worker = meter.store.worker()
    await meter.be_dead_to_all()
    batches = [meter.store.claim(worker, PLACES) for _ in range(JOBS // PLACES)]
    with meter.counting() as counts:
        for batch in batches:
            assert meter.store.settle(worker, *(ended(attempt) for attempt in batch)) == []
    check("settle_nodes", asdict(counts))
    with meter.counting() as counts:
        graph.advance()
    check("advance", asdict(counts))
    assert graph.row()["queued"] == 1


async def test_progress_is_one_row(meter: Meter) -> None:
    """How far a workflow is, is read from its own row, however many jobs it has."""
    graph, _ = await start_nodes(meter)
    with meter.counting() as counts:
        graph.row()
    assert (counts.rows_read, counts.index_entries_read) == (1, 1)


def calls(meter: Meter) -> dict[str, int]:
    """How often other sessions have called the statements that a worker repeats, and at most any other one."""
    statements = meter.ask(
        "select calls, rows, query from pg_stat_statements join pg_database d on d.oid = dbid "
        "where d.datname = current_database() and userid <> current_user::regrole and toplevel"
    )
    counted = dict.fromkeys([*REPEATED, "calls_of_another_statement"], 0)
    claimed = 0
    for called, rows, text in statements:
        kind = next((kind for kind, mark in REPEATED.items() if mark in text), None)
        if kind is not None:
            counted[kind] += called
            claimed += rows if kind == "claims" else 0
        else:
            counted["calls_of_another_statement"] = max(counted["calls_of_another_statement"], called)
    assert claimed == JOBS, "pg_stat_statements has forgotten some of what it counted"
    return counted


@pytest.mark.process
async def test_what_a_worker_costs(instant: Task[..., ..., None], meter: Meter, database: str) -> None:
    """A worker process repeats claims, settles and looks for writers, each for many jobs, and no other statement.

    Its commits are counted on every server, its statements on those that have pg_stat_statements, as the embedded one.
    """
    await enqueue_many(instant, meter)
    has_statements = "pg_stat_statements" in meter.store.one("show shared_preload_libraries")
    if has_statements:
        meter.ask("create extension pg_stat_statements")
        meter.ask("select pg_stat_statements_reset(0, oid, 0) from pg_database where datname = current_database()")
    with meter.counting() as counts:
        worker = WorkerProcess(database, concurrency=PLACES, queues=["default"], timings=UNTIMED)
        try:
            worker.ready()
            await until(lambda: meter.one("select count(*) from headrace.job") == 0, "all jobs are settled")
            assert worker.terminate() == 0
            await meter.be_alone()
        finally:
            worker.close()
    assert meter.one("select count(*) from headrace.job_history where state = 'succeeded' and run = 1") == JOBS
    if has_statements:
        check("worker", calls(meter) | {"commits": counts.commits})
    else:
        assert counts.commits <= LIMITS["worker"]["commits"]
