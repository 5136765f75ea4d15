"""The doctor on real databases: situations are made, found, and put right with the remedy that it gives."""

from __future__ import annotations

import secrets
from datetime import timedelta
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg import sql

from headrace import Breaker, Concurrency, Headrace
from headrace._doctor import database_rules
from tests.store.harness import Store, ended, superuser_url
from tests.worker.helpers import until, working

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import DatabaseServer
    from headrace.doctor import Finding
    from tests.worker.helpers import Tables

OF_THE_TEST_SERVER = {"fsync"}
"""Off, so that tests are quick."""


@pytest.fixture
def store(database: str) -> Iterator[Store]:
    """The same database, by plain statements."""
    with Store(database) as store:
        yield store


async def found(app: Headrace) -> dict[str, Finding]:
    """What is wrong, by check; without what the test server cannot help."""
    findings = await app.diagnose()
    order = [("critical", "warning", "info").index(finding.severity) for finding in findings]
    assert order == sorted(order)
    return {finding.check: finding for finding in findings if finding.check not in OF_THE_TEST_SERVER}


@pytest.fixture
def app(app: Headrace) -> Headrace:
    """The app, with a task."""

    @app.task(name="t", queue="q")
    async def t(key: int = 0) -> None:
        pass

    return app


async def test_a_healthy_database(app: Headrace) -> None:
    """While a worker works nothing is wrong, and the report says what there is."""
    async with working(app):
        await (await app.tasks["t"].enqueue()).result(20)
        assert await found(app) == {}
    report = await app.database_report()
    assert report.schema_version == report.schema_expected
    assert {"job", "job_history", "attempt", "rollup"} <= {table.name for table in report.tables}
    assert {"job_claim", "job_pkey"} <= {index.name for index in report.indexes}
    assert [partitions.missing for partitions in report.partitions] == [()] * 7
    assert report.server.connections >= 1
    assert abs(report.server.clock_ahead_s) < 5
    assert report.unreadable == ()


async def test_a_transaction_that_holds_the_horizon(
    app: Headrace, database: str, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who it is, what it did last, and the statement that ends it does."""
    monkeypatch.setattr(database_rules, "LONG_TRANSACTION", timedelta(0))
    with psycopg.connect(database, application_name="a report") as held:
        held.execute("select set_config('x.y', 'z', false), txid_current()")
        finding = (await found(app))["horizon"]
        assert f"process {held.info.backend_pid} (a report, " in finding.what
        assert "idle in transaction since" in finding.detail
        assert "set_config" in finding.detail
        assert finding.remedy == f"select pg_terminate_backend({held.info.backend_pid});"
        store.ask(finding.remedy)
        await until(lambda: _is_gone(held), "it is ended")
    assert "horizon" not in await found(app)


def _is_gone(conn: psycopg.Connection) -> bool:
    try:
        conn.execute("select 1")
    except psycopg.OperationalError:
        return True
    return False


async def test_lines_that_are_stuck(app: Headrace, store: Store) -> None:
    """Nobody serves them; a worker is silent; its jobs run under no lease; tasks are unknown; scheduled jobs are late."""
    await app.tasks["t"].enqueue()
    assert (await found(app))["unserved"].what == 'no live worker serves queue "q", in which 1 job waits'
    worker = store.rows("register_worker", host="box", pid=7, version="1", queues='{"q": 2}')[0][0]
    assert await found(app) == {}
    store.ask("update headrace.job set run_at = now() - interval '2 hours'")
    assert (await found(app))["stuck"].what == 'the oldest of 1 job in queue "q" has been due for 2 h 0 min'
    await app.pause("q")
    assert (await found(app))["stuck"].severity == "info"
    await app.resume("q")
    store.claim(worker)
    store.ask("update headrace.worker set beaten_at = now() - interval '5 minutes'")
    silent = (await found(app))["silent_worker"]
    assert silent.what == f"worker {worker} (process 7 on box) has been silent for 5 min"
    store.end_lease(worker)
    store.ask("update headrace.job set claimed_at = now() - interval '5 minutes'")
    assert (await found(app))["lost"].what.startswith('1 job of queue "q" run under no lease')
    store.ask("update headrace.job set state = 'blocked', position = null, blocked_by = 'task', worker_id = 0")
    assert (await found(app))["unknown_tasks"].detail == "tasks: t"
    store.ask("update headrace.job set state = 'scheduled', blocked_by = null")
    assert "overdue" in await found(app)


async def test_a_gate_that_counts_wrongly(app: Headrace, store: Store) -> None:
    """Counts are compared in one snapshot: right while jobs start, run, end and are folded in; a wrong one is put right."""
    await app.limits.set(Concurrency(2, key="key"), queue="q", name="two each")
    await app.limits.set(Breaker("bank"), tasks=["t"])
    worker = store.rows("register_worker", host="box", pid=7, version="1", queues='{"q": 2}')[0][0]
    for n in range(6):
        await app.tasks["t"].enqueue(n % 2)
    claimed, _ = store.claim_limited(worker, 4)
    assert len(claimed) == 4
    assert await found(app) == {}
    store.settle(worker, ended(claimed[0]), ended(claimed[1], "retried"))
    assert await found(app) == {}
    store.ask("update headrace.flow_gate set held = held + 3 where key = '0'")
    gates = [finding for finding in await app.diagnose() if finding.check == "gates"]
    assert [finding.what for finding in gates] == [
        f'limit "two each" for "0" counts {held} that run, and {held - 3} do'
        for held in store.one("select array_agg(held) from headrace.flow_gate where key = '0'")
    ]
    assert gates[0].remedy == "select headrace.recount_gates();"
    assert store.one(gates[0].remedy.removesuffix(";")) == 1
    assert "gates" not in await found(app)
    store.ask("delete from headrace.flow_gate where key = '1'")
    assert (await found(app))["gates"].severity == "warning"
    assert store.one("select headrace.recount_gates()") == 1
    assert "gates" not in await found(app)


async def test_partitions_schema_and_positions(app: Headrace, store: Store) -> None:
    """What is missing is named, and the remedies help."""
    tomorrow = store.one("select to_char((now() at time zone 'utc')::date + 1, 'YYYYMMDD')")
    store.ask(f"drop table headrace.attempt_{tomorrow}")
    finding = (await found(app))["partitions"]
    assert finding.severity == "critical"
    store.ask(finding.remedy.partition("or: ")[2])
    store.ask("select headrace.create_partitions(current_date - 200, current_date - 200)")
    stale = [finding for finding in await app.diagnose() if finding.check == "partitions"]
    assert len(stale) == 5  # steps and arguments may stay longer
    for finding in stale:
        store.ask(finding.remedy)
    assert await found(app) == {}
    await app.tasks["t"].enqueue()
    store.rows("register_worker", host="box", pid=7, version="1", queues='{"q": 2}')
    store.ask("select setval('headrace.job_position', 1)")
    store.ask("update headrace.job set position = 500")
    finding = (await found(app))["positions"]
    store.ask(finding.remedy)
    assert await found(app) == {}
    store.ask("create or replace function headrace.lock_key() returns integer language sql as 'select 1'")
    store.ask("drop index headrace.job_due")
    drift = [finding.what for finding in await app.diagnose() if finding.check == "schema"]
    assert any("lock_key was changed by hand" in what for what in drift)
    assert any("job_due" in what for what in drift)


async def test_schedules_and_breakers(app: Headrace, store: Store) -> None:
    """A moment that nobody ticked, and a service that nobody calls."""
    await app.schedules.create("nightly", "t", cron="0 3 * * *")
    await app.limits.set(Breaker("bank"), tasks=["t"])
    assert await found(app) == {}
    store.ask("update headrace.schedule_due set next_due = now() - interval '10 minutes'")
    await app.breakers.force("bank", "open")
    wrong = await found(app)
    assert wrong["schedule"].what.startswith('schedule "nightly" has been due since ')
    assert wrong["breaker"].what == 'breaker "bank" is held open: nothing that needs it starts'
    await app.schedules.pause("nightly", "holidays")
    await app.breakers.force("bank", None)
    assert await found(app) == {}


@pytest.mark.parametrize("access", ["viewer", "worker"])
async def test_as_a_role_that_may_little(
    app: Headrace, server: DatabaseServer, database: str, store: Store, access: str
) -> None:
    """It finds what it can, and says what it may not see."""
    await app.tasks["t"].enqueue()
    name, password = f"role_{secrets.token_hex(6)}", secrets.token_hex(8)
    admin_url = urlsplit(server.admin_url)
    with server.admin() as admin:
        admin.execute(sql.SQL("create role {} login password {}").format(sql.Identifier(name), password))
    try:
        store.ask("select headrace.grant_access(%s, %s)", [name, access])
        address = admin_url.netloc.rpartition("@")[2]
        url = f"postgresql://{name}:{password}@{address}{urlsplit(database).path}" + (
            f"?{admin_url.query}" if admin_url.query else ""
        )
        async with Headrace(url) as acting:
            wrong = {finding.check for finding in await acting.diagnose()} - OF_THE_TEST_SERVER
            assert "unserved" in wrong
            assert wrong <= {"unserved", "rights", "schema"}
            report = await acting.database_report()
            assert not report.server.sees_all
    finally:
        with psycopg.connect(superuser_url(server, database), autocommit=True) as admin:
            admin.execute(sql.SQL("drop owned by {}").format(sql.Identifier(name)))
            admin.execute(sql.SQL("drop role {}").format(sql.Identifier(name)))


async def test_counting_that_stands_still(app: Headrace, database: str, tables: Tables) -> None:
    """Workers are live, and what ends is not counted."""
    async with working(app) as worker:
        await worker.maintenance.history.round_done()
        assert "history" not in await found(app)
        with psycopg.connect(database) as counting:  # and never comes to an end
            counting.execute("select pg_advisory_xact_lock(headrace.lock_key(), 184)")
            tables.rows("update headrace.rollup_look set looked_ats[1] = now() - interval '1 hour'")
            assert (await found(app))["history"].what.startswith("what ends was last counted at ")
