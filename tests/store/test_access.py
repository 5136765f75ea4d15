"""Who may do what (ENGINE 36), and two schemas in one database (ENGINE 38)."""

from __future__ import annotations

import json
import secrets
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg import sql

from headrace._store.migrate import migrate, verify
from tests.store.harness import Store, ended, superuser_url
from tests.store.schedules import MINUTE, NOON, plans, send, write
from tests.store.workflows import Graph

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from conftest import DatabaseServer

ROLLUPS = {"bin_s": 60, "step": "minute", "since": "2026-01-01", "until": "2026-01-02", "queue": None}
NO_RIGHT = psycopg.errors.InsufficientPrivilege


@pytest.fixture
def superuser(server: DatabaseServer, store: Store) -> Iterator[Store]:
    """Somebody who can take any role in the shared database."""
    with Store(superuser_url(server, store.url)) as superuser:
        yield superuser


@pytest.fixture
def role(superuser: Store, store: Store) -> Iterator[Callable[[str], Store]]:
    """Makes a role with this access, and a connection that acts as it."""
    name = f"role_{secrets.token_hex(6)}"
    superuser.ask(f"create role {name}")

    def act_as(access: str) -> Store:
        if access:
            store.ask("select headrace.grant_access(%s, %s)", [name, access])
        superuser.ask(f"set role {name}")
        return superuser

    yield act_as
    superuser.ask("reset role")
    superuser.ask(f"drop owned by {name}")
    superuser.ask(f"drop role {name}")


def executable(acting: Store) -> set[str]:
    """The names of the functions that somebody may call."""
    rows = acting.ask(
        "select proname from pg_proc where pronamespace = 'headrace'::regnamespace "
        "and has_function_privilege(oid, 'execute')"
    )
    return {name for (name,) in rows}


def allowed(acting: Store, privileges: str) -> set[str]:
    """The tables and views with which somebody may do any of this."""
    rows = acting.ask(
        "select relname from pg_class where relnamespace = 'headrace'::regnamespace and relkind in ('r', 'p', 'v') "
        "and has_table_privilege(oid, %s)",
        [privileges],
    )
    return {name for (name,) in rows}


@pytest.mark.direct
def test_an_enqueuer_enqueues_and_sees_nothing(store: Store, role: Callable[[str], Store]) -> None:
    """It may call the functions that enqueue, and the one that emits, with all that they can do, and read or change nothing."""
    enqueuer = role("enqueuer")
    assert enqueuer.one("select headrace.enqueue('t', '{\"n\": 1}', delay => '1 hour', tags => array['x'])")
    assert enqueuer.place(unique_key="k", args={"blob": "x" * 3000}) == (enqueuer.place(unique_key="k")[0], False)
    assert enqueuer.place(unique_key="p", unique_scope="period", unique_for_s=60)[1] is False
    graph = Graph(enqueuer).start({"a": [], "b": ["a"]})
    graph.add({"c": ["b"]})
    assert enqueuer.emit("paid", 7)
    assert not enqueuer.emit("paid", 8)
    assert executable(enqueuer) == {"enqueue", "enqueue_jobs", "emit", "start_workflow", "add_to_workflow"}
    assert allowed(enqueuer, "select, insert, update, delete, truncate") == set()
    for statement in (
        "select id from headrace.jobs",
        "select headrace.delete_jobs('{}')",
        "select headrace.lock_key()",
    ):
        with pytest.raises(NO_RIGHT):
            enqueuer.ask(statement)


@pytest.mark.direct
def test_a_worker_does_what_workers_do(store: Store, role: Callable[[str], Store]) -> None:  # noqa: PLR0915 - a whole day
    """It registers, claims, settles, rescues, promotes, reports, keeps house and acts for operators: and owns nothing."""
    acting = role("worker")
    acting.rows("register_tasks", tasks=json.dumps([]))
    acting.rows("register_queues", queues=json.dumps([{"name": "q", "max_queued": None}]))
    worker = acting.worker()
    jobs = [acting.enqueue(args={"blob": "x" * 3000}), acting.enqueue(), acting.enqueue(delay_s=60)]
    acting.promote("2100-01-01")
    first, second, third = acting.claim(worker, 3)
    acting.value("read_payload", id=first.id)
    times = {"times": ["now"], "levels": ["info"], "messages": ["m"]}
    acting.rows("add_logs", worker_id=worker, ids=[first.id], runs=[1], **times)
    acting.rows("report_progress", worker_id=worker, ids=[first.id], runs=[1], dones=[1], totals=[2], messages=["m"])
    acting.rows("beat_workers", worker_ids=[worker])
    assert acting.record(worker, first, 1, result="1")
    assert acting.steps(first.id)
    assert acting.await_event(worker, first, 2, "paid") == ("waiting", None)
    assert acting.emit("paid")
    assert acting.release_waiting() == 0
    assert acting.settle(worker, ended(first), ended(second, "retried")) == []
    acting.end_lease(worker)
    assert acting.rescue() == {third.id: "lost"}
    assert acting.cancel(third.id) == {third.id: "cancelled"}
    operation = acting.value(
        "start_operation",
        action="retry",
        settings="{}",
        filter="age>0s",
        ids=None,
        tenant=None,
        by="b",
        undo_s=0,
        estimate=1,
    )
    assert acting.rows("take_operation", now=None)
    assert acting.value("run_chunk", id=operation, chunk=0, ids=[third.id], place=None, last=True)
    assert acting.cancel(third.id) == {third.id: "cancelled"}
    acting.limit("two", "concurrency", queue="q", bound=2)
    limited = [acting.enqueue(), acting.enqueue()]
    other = acting.worker()
    assert acting.settle(other, *map(ended, acting.claim_limited(other, 5)[0])) == []
    acting.rows("remove_limit", name="two")
    acting.claim_limited(other, 5)
    acting.rows("sweep_lanes")
    acting.rows("pause_queue", queue="q", reason=None, until=None, for_s=None, by=None)
    acting.rows("resume_queue", queue="q")
    assert set(acting.delete(*limited)) == set(limited)
    assert acting.retry(third.id) == [third.id]
    assert set(acting.delete(*jobs)) == set(jobs)
    graph = Graph(acting).start({"a": [], "b": ["a"]})
    acting.value("cancel_workflow", id=graph.id, reason="r")
    assert len(acting.rows("retry_workflow", id=graph.id)) == 2
    graph.advance()
    acting.rows("list_changed_workflows", seconds=10)
    acting.rows("read_inputs", id=graph.ids["b"])
    acting.rows("prune_workflows", now=None, chunk=10)
    today = acting.one("select current_date")
    acting.value("create_partitions", first_day=today, last_day=today)
    for name in ("prune_aged", "prune_counted", "delete_expired_keys", "delete_expired_events", "prune_gates"):
        acting.rows(name, now=None, chunk=10)
    acting.rows("list_partitions", now=None)
    assert acting.value("roll_up", kind=1, period_s=15, margin_s=15, budget_s=0, now=None) is not None
    assert acting.value("sample_queues", now=None) is not None
    assert acting.value("mark_deploy", label="v1", by="b", by_worker=True, at=None)
    acting.rows("prune_rollups", now=None)
    acting.rows("count_queues")
    act_on_schedules(acting)
    with pytest.raises(NO_RIGHT):
        acting.ask("drop table headrace.job")
    with pytest.raises(NO_RIGHT):
        acting.ask("select headrace.grant_access('pg_monitor', 'worker')")  # nothing of it is the worker's to give
    assert not store.one("select has_table_privilege('pg_monitor', 'headrace.job', 'select')")


def act_on_schedules(acting: Store) -> None:
    """Declare, make, tick, release, and what operators do."""
    assert acting.rows("declare_schedules", worker_id=acting.worker(), declarations="[]", tasks=["t"]) == []
    write(acting, NOON, per_tenant=True, overlap="queue")
    acting.rows("write_schedule_tenants", name="s", tenants='[{"tenant": "a"}]', now=NOON)
    for now in (NOON, NOON + MINUTE, NOON + 2 * MINUTE):
        assert send(acting, plans(acting, now), now) == 1
    assert acting.rows("release_waiting_ticks", after_schedule="", after_tenant="", chunk=1, now=None) == [("s", "a")]
    assert acting.value("run_schedule", name="s", tenant="a", nominal="2026-01-01")
    assert acting.value("backfill_schedule", name="s", tenant="a", moments="[]") == 0
    for name in ("pause_schedule", "resume_schedule", "skip_next_tick"):
        assert acting.rows(name, name="s", tenant="a", reason="r", by="b", skip=True)
    acting.rows("prune_ticks", now=None, chunk=1)
    assert acting.rows("delete_schedule_tenants", name="s", tenants=["a"]) == [("a",)]
    assert acting.rows("delete_schedule", name="s") == [("s",)]


@pytest.mark.direct
def test_a_viewer_only_reads(store: Store, role: Callable[[str], Store]) -> None:
    """It may run every statement that reads, and no other."""
    worker = store.worker()
    job = store.enqueue(args={"blob": "x" * 3000})
    store.settle(worker, ended(store.claim(worker)[0]))
    viewer = role("viewer")
    assert viewer.find(job)["state"] == "succeeded"
    reads: dict[str, dict[str, Any]] = {
        "find_ids": {"ids": [job]}, "find_outcomes": {"ids": [job], "oldest": job}, "list_attempts": {"id": job},
        "list_logs": {"id": job, "limit": 1}, "list_steps": {"id": job}, "find_event": {"event": "paid"},
        "count_waiting": {"event": "paid"}, "count_queues": {}, "list_workers": {}, "list_queue_settings": {},
        "find_workflow": {"id": job}, "list_workflows": {"before": None, "states": None, "limit": 1},
        "list_nodes": {"id": job, "after": None, "limit": 1},
        "list_names": {"tenant": None}, "list_operations": {"id": None, "before": None, "tenant": None, "limit": 1},
        "bound_open": {"before_id": job, "window": 1},
        "list_limits": {}, "list_breakers": {}, "list_pauses": {}, "explain_job": {"id": job, "tenant": None, "lease_s": 20, "bound": 1000},
        "inspect_server": {}, "inspect_transactions": {}, "inspect_slots": {}, "inspect_tables": {}, "inspect_indexes": {},
        "inspect_partitions": {"days": 14}, "inspect_jobs": {"lease_s": 20}, "inspect_gates": {}, "inspect_rest": {"lease_s": 20},
        "read_look": {}, "list_deploys": {"since": "2026-01-01", "until": None},
        "read_counts": ROLLUPS | {"task": "", "scope": 2}, "read_times": ROLLUPS | {"task": "", "scope": 2, "measure": "run"},
        "read_samples": ROLLUPS,
        "list_schedules": {"name": None}, "list_schedule_tenants": {"name": "s", "tenant": None, "after": "", "limit": 1},
        "list_ticks": {"name": "s", "tenant": None, "before": None, "limit": 1},
    }  # fmt: skip
    for name, parameters in reads.items():
        viewer.rows(name, **parameters)
    assert viewer.one("select state::text from headrace.jobs where id = %s", [job]) == "succeeded"
    assert viewer.one("select headrace.find_args(id, created_at) from headrace.job_history where id = %s", [job]) == {
        "blob": "x" * 3000
    }
    assert viewer.one("select headrace.failure_of(error, task) from headrace.job_history where id = %s", [job])
    assert executable(viewer) == {
        "uuid7_floor", "uuid7_floor_of", "lane_of", "rate_ahead", "find_args", "failure_of", "error_place",
    }  # fmt: skip
    assert allowed(viewer, "insert, update, delete, truncate") == set()
    with pytest.raises(NO_RIGHT):
        viewer.cancel(job)


ACCESS = {"access_user", "access_key", "access_session", "access_link", "access_try"}


@pytest.mark.direct
@pytest.mark.parametrize("access", ["worker", "viewer"])
def test_who_may_come_in_is_not_for_workers_and_viewers(role: Callable[[str], Store], access: str) -> None:
    """They cannot read what keys and passwords are recognised by, nor make some; workers tidy up by a function."""
    acting = role(access)
    assert allowed(acting, "select, insert, update, delete, truncate") & ACCESS == set()
    with pytest.raises(NO_RIGHT):
        acting.ask("select digest from headrace.access_key")
    if access == "worker":
        acting.rows("prune_access", idle_s=1, absolute_s=1)


@pytest.mark.direct
def test_the_web_knows_who_is_who(role: Callable[[str], Store]) -> None:
    """`headrace serve` may do what workers may, and read and write who may come in."""
    acting = role("web")
    key = {"prefix": "p", "name": "k", "digest": b"d", "role": "viewer", "tenant": None, "by": "b", "lasts_s": None}
    assert acting.rows("insert_key", **key) == [("k",)]
    assert acting.rows("find_key", prefix="p", now=None)[0][1] == "k"
    assert acting.rows("count_tries", keys=["k"], bounds=[1], span_s=60) == [(0, False)]
    assert acting.enqueue()
    with pytest.raises(NO_RIGHT):
        acting.ask("drop table headrace.access_key")


@pytest.mark.direct
@pytest.mark.parametrize("access", ["worker", "web", "viewer"])
def test_nobody_changes_the_audit_log(store: Store, role: Callable[[str], Store], access: str) -> None:
    """It is read, and added to by a function that says the time itself; by way of its months, too."""
    acting = role(access)
    assert allowed(acting, "insert, update, delete, truncate") & months(store) == set()
    acting.rows(
        "list_audit", before=None, by=None, action=None, kind=None, target=None, since=None, until=None, limit=1
    )
    for statement in (
        "insert into headrace.audit (id) values (1)",
        "truncate headrace.audit",
        "drop table headrace.audit",
    ):
        with pytest.raises(NO_RIGHT):
            acting.ask(statement)
    entry: dict[str, Any] = {"by": "b", "source": "api", "address": None, "action": "x.y", "kind": "x", "targets": [], "count": 0,
             "before": None, "after": None}  # fmt: skip
    if access == "viewer":
        with pytest.raises(NO_RIGHT):
            acting.rows("record_audit", **entry)
    else:
        assert acting.value("record_audit", **entry) > 0


def months(store: Store) -> set[str]:
    rows = store.ask(
        "select relname from pg_class where relnamespace = 'headrace'::regnamespace and relname ~ '^audit'"
    )
    return {name for (name,) in rows}


@pytest.mark.direct
def test_everybody_else_does_nothing(store: Store, role: Callable[[str], Store]) -> None:
    """A role that was granted nothing cannot even enqueue."""
    stranger = role("")
    with pytest.raises(NO_RIGHT):
        stranger.enqueue()
    assert allowed(stranger, "select, insert, update, delete, truncate") == set()
    assert executable(stranger) == set()


def test_an_access_that_does_not_exist_is_refused(store: Store) -> None:
    """A misspelt access grants nothing."""
    with pytest.raises(psycopg.DatabaseError, match="worker, web, enqueuer or viewer"), store.conn.transaction():
        store.ask("select headrace.grant_access(current_user, 'admin')")


def test_functions_that_run_as_their_owner_look_nowhere_else(store: Store) -> None:
    """A SECURITY DEFINER function has a fixed search path, with temporary objects last."""
    rows = store.ask(
        "select proname, proconfig from pg_proc where pronamespace = 'headrace'::regnamespace and prosecdef"
    )
    assert {name for name, _ in rows} >= {"enqueue", "enqueue_jobs", "settle_jobs", "rescue_jobs", "cancel_jobs"}
    assert [name for name, config in rows if "search_path=pg_catalog, pg_temp" not in (config or [])] == []


@pytest.mark.direct
def test_a_callers_search_path_changes_nothing(store: Store, superuser: Store, role: Callable[[str], Store]) -> None:
    """Functions and operators that a caller puts in the way are not run with the owner's rights."""
    superuser.ask("create schema evil")
    superuser.ask("create function evil.now() returns timestamptz language sql as 'select null::timestamptz'")
    superuser.ask("create function evil.octet_length(text) returns int language plpgsql as 'begin raise ''evil''; end'")
    superuser.ask("grant usage on schema evil to public")
    enqueuer = role("enqueuer")
    enqueuer.ask("set search_path = evil, pg_catalog")
    try:
        job = enqueuer.enqueue()
        assert store.find(job)["created_at"] is not None
    finally:
        enqueuer.ask("reset search_path")
        enqueuer.ask("reset role")
        superuser.ask("drop schema evil cascade")


# -- ENGINE 38 --


@pytest.fixture
def schemas(fresh: Store) -> Iterator[tuple[Store, Store]]:
    """Two schemas of headrace in one database."""
    migrate(fresh.url, "other")
    with Store(fresh.url, "other") as other:
        yield fresh, other


def cycle(store: Store) -> list[str | None]:
    """A bit of everything; the states of the jobs at the end."""
    worker = store.worker()
    jobs = [store.enqueue(unique_key=f"k{i}") for i in range(4)] + [store.enqueue(delay_s=60)]
    store.promote("2100-01-01")
    attempts = store.claim(worker, 5)
    outcomes = ["succeeded", "failed", "retried", "parked"]
    store.settle(worker, *(ended(attempt, outcome) for attempt, outcome in zip(attempts, outcomes, strict=False)))
    store.end_lease(worker)
    store.rescue()
    store.cancel(jobs[2])
    store.retry(jobs[1])
    return [store.find(job)["state"] for job in jobs]


DONE = ["succeeded", "queued", "cancelled", "blocked", "queued"]


def test_38_each_schema_has_jobs_of_its_own(schemas: tuple[Store, Store]) -> None:
    """What happens in one is not seen in the other: jobs, keys, queues, workers, partitions."""
    ours, theirs = schemas
    assert cycle(ours) == DONE
    assert theirs.ask("select count(*) from other.jobs") == [(0,)]
    assert cycle(theirs) == DONE
    ours.empty()
    assert theirs.one("select count(*) from other.job") == 3
    names = {row[0] for row in theirs.ask("select name from other.list_partitions()")}
    day = theirs.one("select current_date + 60")
    assert theirs.value("create_partitions", first_day=day, last_day=day) == 7
    assert len(theirs.ask("select name from other.list_partitions()")) == len(names) + 7
    assert len(ours.ask("select name from headrace.list_partitions()")) == len(names)


def test_38_a_schema_of_another_name_needs_no_schema_headrace(empty_database: str) -> None:
    """No statement, function or migration has the default name left in it."""
    migrate(empty_database, "other")
    assert verify(empty_database, "other") == []
    with Store(empty_database, "other") as store:
        assert cycle(store) == DONE
        assert store.rows("count_queues")
        assert store.one("select headrace.name from (select 'no such schema' as name) headrace")
        found = store.ask(
            "select proname from pg_proc where pronamespace = 'other'::regnamespace and prosrc ~ '\\mheadrace\\M'"
        )
        assert found == []


@pytest.mark.direct
def test_38_locks_and_channels_are_apart(schemas: tuple[Store, Store]) -> None:
    """A schema's maintenance is not held up by the other's, and its workers are not woken by the other's jobs."""
    ours, theirs = schemas
    theirs.ask("listen other_wake")
    theirs.ask("listen headrace_wake")
    with ours.conn.transaction():
        ours.ask("select pg_advisory_xact_lock(headrace.lock_key(), 1)")
        assert theirs.promote() == 0
    ours.enqueue()
    theirs.enqueue()
    heard = [(it.channel, it.payload) for it in theirs.conn.notifies(timeout=10, stop_after=2)]
    assert sorted(heard) == [("headrace_wake", "q"), ("other_wake", "q")]


@pytest.mark.direct
def test_38_access_is_granted_in_its_own_schema(schemas: tuple[Store, Store], server: DatabaseServer) -> None:
    """A role that may enqueue in one schema may do nothing in the other."""
    ours, theirs = schemas
    name = f"role_{secrets.token_hex(6)}"
    with Store(superuser_url(server, ours.url), "other") as acting:
        acting.conn.execute(sql.SQL("create role {}").format(sql.Identifier(name)))
        theirs.ask("select other.grant_access(%s, 'enqueuer')", [name])
        acting.ask(f"set role {name}")
        assert acting.enqueue()
        with pytest.raises(NO_RIGHT):
            acting.ask("select headrace.enqueue('t')")
        acting.ask("reset role")
        acting.ask(f"drop owned by {name}")
        acting.ask(f"drop role {name}")
