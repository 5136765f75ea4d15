"""Every statement finds its rows through the index that was made for it, however many other rows there are."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import psycopg
import pytest
from psycopg import sql
from uuid_utils import uuid7

from headrace._store.conditions import Conditions
from headrace._store.connect import connection_parameters
from headrace._store.sql import query
from headrace._worker.settles import settle_parameters
from headrace.filter import Filter
from tests.store.harness import FROM_START, Claimed, Store, ended, scan_of, superuser_url
from tests.store.plans import Plans, days, indexes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from conftest import DatabaseServer

pytestmark = pytest.mark.direct  # auto_explain is loaded into the session

BUILD = (Path(__file__).parent / "large_store.sql").read_text()
WORKER = 1
Parameters = dict[str, Any]

MOMENTS = '[{"nominal": "2026-01-01T09:00:00", "fold": 0, "due_at": "2026-01-01T09:00:00Z"}]'
READS_EVERYTHING = {
    "count_open": "those that match, up to 10,001 of them, for 0.4 s",
    "count_finished": "the same",
    "count_queues": "the numbers of all unfinished jobs",
    "sample_queues": "the same, once a minute",
    "inspect_jobs": "the same, for the doctor",
    "inspect_gates": "all jobs in lanes, for the doctor",
    "inspect_rest": "all schedules, for the doctor",
    "read_vitals": "the numbers of all unfinished jobs",
    "list_schedules": "what is next of all tenants",
}
SMALL = {
    "beat_workers", "copy_jobs", "create_partitions", "create_partitions_now", "drain_worker", "drop_partition", "end_lease", "lose_lease", "has_lease",
    "list_beats", "list_objects", "list_partitions", "list_queue_settings", "list_workers", "list_writers", "read_backend_pid", "read_clock", "read_instance",
    "register_queues", "register_tasks", "register_worker", "set_queue", "declare_schedules", "delete_schedule", "write_schedule",
    "record_alerts", "take_alert_look", "postpone_alert_look", "take_alert_messages", "delete_alert_message", "list_alerts", "register_limits", "list_limits", "list_breakers", "list_pauses", "prune_gates", "set_limit", "remove_limit", "force_breaker",
    "pause_queue", "resume_queue", "lock_migrations", "has_version_table", "create_version_table", "record_version", "read_version",
    "list_checksums", "read_functions_checksum", "list_function_bodies", "read_identity", "has_role", "has_database",
    "take_operation", "give_back_operation", "fail_operation", "start_operation", "cancel_operation", "list_operations", "bound_time",
    "estimate_open", "estimate_finished", "estimate_unfinished",
    "mark_deploy", "read_look", "inspect_server", "inspect_transactions", "inspect_slots", "inspect_tables", "inspect_indexes",
    "inspect_partitions", "list_secrets", "list_audit", "record_audit", "drop_audit_partitions", "set_audit_age", "look_at_instance", "look_at_limit",
    "look_at_queue", "look_at_key", "look_at_user", "insert_key", "find_key", "touch_key", "list_keys", "revoke_key", "insert_user",
    "find_user", "list_users", "has_users", "set_password", "rehash_password", "delete_user", "insert_session", "find_session",
    "touch_session", "delete_session", "delete_sessions", "insert_link", "find_link", "use_link", "count_tries", "forget_tries",
    "prune_access", "list_webhooks", "set_webhook", "rotate_webhook", "remove_webhook", "disable_webhook", "find_webhook",
    "look_at_webhook", "enqueue_deliveries",
}  # fmt: skip
"""These read none of the large tables; drop_partition has a test of its own."""


@dataclass
class Large:
    """A store of 200,000 unfinished and 200,000 finished jobs, and some of their ids."""

    plans: Plans
    running: list[Claimed]
    queued: list[str]
    scheduled: list[str]
    parked: str
    finished: list[str]
    workflows: list[str]
    first_day: str
    partition: str
    due: list[dict[str, Any]]


@pytest.fixture(scope="session")
def large(server: DatabaseServer, _template: str) -> Iterator[Large]:
    """One for all processes of the run: whoever comes first builds it."""
    name = _template.replace("template", "large")
    url = superuser_url(server, server.url_of(name))
    with server.admin() as admin:
        admin.execute("select pg_advisory_lock(77)")
        if not admin.execute("select from pg_database where datname = %s", [name]).fetchall():
            _build(admin, name, server, url, _template)
        admin.execute("select pg_advisory_unlock(77)")
    with psycopg.connect(url, autocommit=True, prepare_threshold=None) as conn:
        yield _look(conn)
    with server.admin() as admin:
        try:
            admin.execute(sql.SQL("drop database if exists {}").format(sql.Identifier(name)))
        except psycopg.errors.ObjectInUse:
            pass  # another process drops it


def _build(admin: psycopg.Connection, name: str, server: DatabaseServer, url: str, template: str) -> None:
    draft = f"{name}_draft"
    create, rename = sql.SQL("create database {} owner {} template {}"), sql.SQL("alter database {} rename to {}")
    admin.execute(create.format(sql.Identifier(draft), sql.Identifier(server.role), sql.Identifier(template)))
    with psycopg.connect(url.replace(f"/{name}", f"/{draft}"), autocommit=True) as conn:
        conn.execute("set synchronous_commit to off")
        conn.execute(BUILD)
        conn.execute("vacuum (analyze, freeze)")
    admin.execute(rename.format(sql.Identifier(draft), sql.Identifier(name)))


def _look(conn: psycopg.Connection) -> Large:
    def ids(statement: str) -> list[str]:
        return [str(row[0]) for row in conn.execute(statement)]

    return Large(
        plans=Plans(conn),
        running=[Claimed(i, 1) for i in ids(f"select id from headrace.job where worker_id = {WORKER}")],
        queued=ids("select id from headrace.job where state = 'queued' limit 1000"),
        scheduled=ids("select id from headrace.job where state = 'scheduled' limit 10"),
        parked=ids("select id from headrace.job where state = 'blocked' limit 1")[0],
        finished=ids("select id from headrace.job_history where finished_at > now() - interval '1 hour' limit 10"),
        workflows=ids("select distinct workflow_id from headrace.workflow_change limit 5"),
        first_day=ids(
            "select to_char(min(headrace.uuid7_floor(id)) at time zone 'utc', 'YYYYMMDD') "
            "from headrace.job_history where finished_at > now() - interval '1 hour'"
        )[0],
        partition=ids(
            "select name from headrace.list_partitions() where parent = 'payload' and day = current_date - 5"
        )[0],
        due=[
            {"schedule": "many", "tenant": f"t{n}", "revision": 0, "moments": [json.loads(MOMENTS)[0] | {"runs": True}]}
            for n in range(1, 300)
        ],
    )


CLAIM = {"worker_id": WORKER, **scan_of("q0", "q1", "q2", "q3")}
LIMITED: Parameters = {
    "worker_id": WORKER, **scan_of("limited"), "suspects": False, "cursor_lanes": [""], "cursor_ranks": [0], "chunk": 1000,
    "most_lanes": 500, "now": None,
}  # fmt: skip
CLAIM_INDEXES = {"job_claim", "job_pkey"}
HISTORY_ID = {"job_history(id)"}


def settles(large: Large, count: int, *, again: bool = False) -> Parameters:
    """Outcomes of every kind."""
    outcomes = ["succeeded", "failed", "retried", "snoozed", "handed_back", "cancelled"]
    batch = [ended(attempt, outcomes[i % len(outcomes)]) for i, attempt in enumerate(large.running[:count])]
    if again:
        batch = [settle._replace(id=job) for settle, job in zip(batch, large.finished, strict=False)]
    return settle_parameters(WORKER, batch, again=again)


def enqueues(**fields: Any) -> Callable[[Large], Parameters]:
    """One job for enqueue_jobs."""
    return lambda _: {"jobs": json.dumps([{"task": "task1", "queue": "q1", **fields}])}


def reports(large: Large, **columns: Any) -> Parameters:
    """What running jobs say."""
    attempts = large.running[:50]
    ids, runs = [a.id for a in attempts], [a.run for a in attempts]
    return {"worker_id": WORKER, "ids": ids, "runs": runs} | {name: [value] * 50 for name, value in columns.items()}


def steps(large: Large, **fields: Any) -> Parameters:
    """The third step of a running job."""
    attempt = large.running[0]
    return {"worker_id": WORKER, "id": attempt.id, "run": attempt.run, "ordinal": 3, "now": None} | fields


def why(job_id: str) -> Parameters:
    """Why a job is where it is."""
    return {"id": job_id, "tenant": None, "lease_s": 20, "bound": 100}


def constant(**parameters: Any) -> Callable[[Large], Parameters]:
    """Parameters that do not depend on the store."""
    return lambda _: parameters


def chunk_of(large: Large) -> Parameters:
    """The first chunk of an operation that is there."""
    return {"id": 1, "chunk": 0, "ids": [*large.queued[:5], *large.finished[:5]], "place": None, "last": False}


def new_workflow(**more: Any) -> Parameters:
    """Two jobs, one after the other."""
    first, second = str(uuid7()), str(uuid7())
    jobs = [{"id": i, "task": "task1", "queue": "q1"} for i in (first, second)]
    nodes = [{"id": first, "feeds": True}, {"id": second, "after": [first], "inputs": {"x": {"node": first}}}]
    settings = {"id": str(uuid7()), "name": None, "policy": "stop", "callbacks": None}
    return {**settings, "jobs": json.dumps(jobs), "nodes": json.dumps(nodes), **more}


def added(workflow: str) -> Parameters:
    """The same, to be added after a node."""
    parameters = new_workflow(id=workflow)
    nodes = json.loads(parameters["nodes"])
    nodes[0]["after_names"] = ["n1"]
    return {"id": workflow, "jobs": parameters["jobs"], "nodes": json.dumps(nodes)}


ROLLUPS: Parameters = {
    "bin_s": 300, "step": "minute", "scope": 0, "since": "yesterday", "until": "tomorrow", "queue": "q1",
}  # fmt: skip
CASES: list[tuple[str, str, Callable[[Large], Parameters], set[str]]] = [
    ("claim_jobs", "one", constant(**CLAIM, places=[1, 0, 0, 0]), CLAIM_INDEXES),
    ("claim_jobs", "500", constant(**CLAIM, places=[125] * 4), CLAIM_INDEXES),
    ("claim_jobs_timed", "500", constant(**CLAIM, places=[125] * 4), CLAIM_INDEXES),
    ("claim_suspect", "", constant(**CLAIM), {"job_suspect", "job_pkey"}),
    ("claim_limited_jobs", "one", constant(**LIMITED, places=[1]), {"job_lane", "job_pkey", "flow_gate_pkey"}),
    ("claim_limited_jobs", "500", constant(**LIMITED, places=[500]), {"job_lane", "job_pkey", "flow_gate_pkey"}),
    ("claim_limited_jobs_timed", "500", constant(**LIMITED, places=[500]), {"job_lane", "job_pkey", "flow_gate_pkey"}),
    ("claim_limited_jobs", "suspects", constant(**LIMITED | {"suspects": True}, places=[1]), {"job_suspect"}),
    ("sweep_lanes", "", constant(), {"job_lane"}),
    ("roll_up", "", constant(kind=1, period_s=0, margin_s=15, budget_s=0, now=None), {"job_history(finished_at)", "attempt(finished_at)"}),
    ("read_counts", "", constant(**ROLLUPS, task="task1"), {"rollup_pkey"}),
    ("read_times", "", constant(**ROLLUPS, task="task1", measure="wait"), {"rollup_pkey"}),
    ("read_samples", "", constant(**{k: v for k, v in ROLLUPS.items() if k != "scope"}), {"queue_sample_pkey"}),
    ("prune_rollups", "", constant(now=None), {"rollup_age"}),
    ("list_deploys", "", constant(since="yesterday", until=None), {"deploy_deployed_at"}),
    ("explain_job", "queued", lambda large: why(large.queued[-1]), {"job_pkey", "job_claim"}),
    ("explain_job", "blocked", lambda large: why(large.parked), {"job_pkey"}),
    ("explain_job", "finished", lambda large: why(large.finished[0]), HISTORY_ID),
    ("settle_jobs", "one", lambda large: settles(large, 1), {"job_pkey"}),
    ("settle_jobs", "200", lambda large: settles(large, 200), {"job_pkey"}),
    ("settle_jobs", "again", lambda large: settles(large, 5, again=True), {"job_pkey"} | HISTORY_ID),
    ("settle_attempt", "", lambda large: {"worker_id": WORKER, **large.running[0]._asdict(), "result": "1", "progress": None},
     {"job_pkey"}),
    ("was_settled", "", lambda large: {"worker_id": WORKER, "id": large.finished[0], "run": 1}, HISTORY_ID),
    ("enqueue_jobs", "plain", enqueues(), set()),
    ("enqueue_jobs", "held key", enqueues(unique_key="key52020", task="task0"), {"job_unique"}),
    ("enqueue_jobs", "replaced", enqueues(unique_key="key52020", task="task0", on_conflict="replace"),
     {"job_unique", "job_pkey"}),
    ("enqueue_jobs", "period", enqueues(unique_key="key40000", unique_scope="period", unique_for_s=9), {"enqueue_key_pkey"}),
    ("insert_job", "", constant(id="01a20612-2238-7290-adfa-8326ac4bc2c4", run_at=None, delay_s=0, expires_at=None,
                                expires_s=None, priority=0, max_attempts=1, queue="q1", task="task1", args="{}", tenant=None,
                                correlation_id=None, tags=None, metadata=None), set()),
    ("insert_due_job", "", constant(id="01a20612-2238-7290-adfa-8326ac4bc2c5", priority=0, max_attempts=1, queue="q1",
                                    task="task1", args="{}"), set()),
    ("promote_jobs", "", constant(now=None, chunk=1000, **FROM_START), {"job_due", "job_pkey"}),
    ("next_due", "", constant(now=None, after="-infinity"), {"job_due"}),
    ("list_locked", "", lambda large: {"ids": [a.id for a in large.running]}, {"job_pkey"}),
    ("rescue_jobs", "", constant(poison_limit=2, chunk=1000), {"job_claim", "job_suspect"}),
    ("hand_back_unheld", "", constant(worker_id=WORKER, held=[]), {"job_claim", "job_suspect", "job_pkey"}),
    ("release_parked", "", constant(tasks=["task1", "task2"], chunk=100), {"job_blocked", "job_pkey"}),
    ("list_queues", "", constant(bound=1000), {"job_claim", "job_lane", "job_suspect", "job_due", "job_blocked"}),
    ("list_running", "", constant(bound=1000, tenant=None, limit=100), {"job_claim", "job_lane", "job_suspect"}),
    ("has_work", "", constant(queues=["none"]), {"job_claim", "job_suspect"}),
    ("add_logs", "", lambda large: reports(large, times="now", levels="info", messages="m"), {"job_pkey"}),
    ("report_progress", "", lambda large: reports(large, dones=1.0, totals=2.0, messages="m"), {"job_pkey"}),
    ("list_cancel_requests", "", lambda large: {"ids": [a.id for a in large.running]}, {"job_pkey"}),
    ("read_payload", "", lambda large: {"id": large.running[0].id}, {"job_pkey", "payload(job_id)"}),
    ("cancel_jobs", "", lambda large: {"ids": [large.queued[0], large.running[0].id, large.finished[0]], "reason": "r"},
     {"job_pkey"} | HISTORY_ID),
    ("retry_jobs", "", lambda large: {"ids": [large.finished[0], large.scheduled[0]], "args": None, "from_start": True},
     {"job_pkey", "step(job_id_ordinal)"} | HISTORY_ID),
    ("delete_jobs", "", lambda large: {"ids": [large.finished[0], large.queued[0]]},
     {"job_pkey", "attempt(job_id_run)", "job_log(job_id_run_logged_at)", "payload(job_id)", "step(job_id_ordinal)"} | HISTORY_ID),
    ("look_at_jobs", "", lambda large: {"ids": [large.finished[0], large.queued[0]]}, {"job_pkey"} | HISTORY_ID),
    ("look_at_schedule", "", constant(name="many", tenant="t5"), {"schedule_due_pkey"}),
    ("look_at_workflow", "", lambda large: {"id": large.workflows[0]}, {"workflow_pkey"}),
    ("find_jobs", "", lambda large: {"ids": [large.finished[0], large.queued[0]]}, {"job_pkey"} | HISTORY_ID),
    ("find_ids", "", lambda large: {"ids": [large.finished[0], large.queued[0]]}, {"job_pkey"} | HISTORY_ID),
    ("find_outcomes", "", lambda large: {"ids": [large.finished[0]], "oldest": large.finished[0]}, HISTORY_ID),
    ("list_attempts", "", lambda large: {"id": large.finished[0]}, {"attempt(job_id_run)"}),
    ("list_logs", "", lambda large: {"id": large.finished[0], "limit": 10}, {"job_log(job_id_run_logged_at)"}),
    ("list_due_schedules", "", constant(now=None, ahead_s=1, behind_s=5, chunk=250), {"schedule_due_next"}),
    ("tick_schedules", "", lambda large: {"plans": json.dumps(large.due), "now": None}, {"schedule_due_pkey", "job_pkey"}),
    ("release_waiting_ticks", "", constant(after_schedule="", after_tenant="", chunk=500, now=None),
     {"schedule_due_waiting", "tick_waiting", "job_pkey"}),
    ("postpone_schedule", "", constant(schedule="many", tenant="t1", revision=0, problem="", wait_s=1, now=None), {"schedule_due_pkey"}),
    ("list_schedule_tenants", "", constant(name="many", tenant=None, after="t5", limit=100), {"schedule_due_pkey"}),
    ("list_schedule_tenants", "one", constant(name="many", tenant="t5", after=None, limit=1), {"schedule_due_pkey"}),
    ("list_ticks", "", constant(name="many", tenant=None, before=None, limit=10), {"tick_latest"}),
    ("list_tick_outcomes", "", constant(name="many", limit=30), {"tick_latest", "job_pkey"}),
    ("pause_schedule", "", constant(name="many", tenant="t5", reason="r", by="b"), {"schedule_due_pkey"}),
    ("resume_schedule", "", constant(name="many", tenant="t5"), {"schedule_due_pkey"}),
    ("skip_next_tick", "", constant(name="many", tenant="t5", skip=True), {"schedule_due_pkey"}),
    ("run_schedule", "", constant(name="many", tenant="t5", nominal="2026-01-01"), {"schedule_due_pkey", "job_pkey"}),
    ("backfill_schedule", "", constant(name="many", tenant="t5", moments=MOMENTS), {"schedule_due_pkey"}),
    ("write_schedule_tenants", "", constant(name="many", tenants='[{"tenant": "t5"}]', now=None), set()),
    ("delete_schedule_tenants", "", constant(name="many", tenants=["t5", "t6"]), {"schedule_due_pkey", "tick_waiting"}),
    ("prune_ticks", "", constant(now=None, chunk=1000), {"tick_fired"}),
    ("count_failures", "", constant(now=None, window_s=600, sample=5000), {"job_history(finished_at)"}),
    ("list_changes", "", constant(seconds=5, limit=201), {"job_history(finished_at)", "job_pkey"}),
    ("list_states", "", lambda large: {"ids": [*large.queued[:5], *large.finished[:5]]}, {"job_pkey"} | HISTORY_ID),
    ("load_steps", "", lambda large: {"id": large.finished[0], "now": None}, {"step(job_id_ordinal)"}),
    ("list_steps", "", lambda large: {"id": large.finished[0]}, {"step(job_id_ordinal)"}),
    ("record_step", "", lambda large: steps(large, kind="call", name="n", result="1", took_s=1, wait_s=None, patient=False, again=False),
     {"job_pkey"}),
    ("record_step", "again", lambda large: steps(large, kind="call", name="n", result="1", took_s=1, wait_s=None, patient=False, again=True),
     {"job_pkey", "step(job_id_ordinal)"}),
    ("await_event", "", lambda large: steps(large, event="event900", timeout_s=9), {"job_pkey", "event_pkey", "step(job_id_ordinal)"}),
    ("emit_event", "", constant(event="event7", payload="1", keep_s="9"), set()),
    ("count_waiting", "", constant(event="event900"), {"job_blocked"}),
    ("find_event", "", constant(event="event7"), {"event_pkey"}),
    ("release_waiting", "", constant(events_after="-infinity", looks_after="-infinity", looks_after_id=str(UUID(int=0)),
                                     chunk=1000, now=None),
     {"event_undelivered", "event_pkey", "job_blocked", "job_look", "job_pkey"}),
    ("delete_expired_events", "", constant(now=None, chunk=1000), {"event_expiry", "event_pkey"}),
    ("prune_aged", "", constant(now=None, chunk=1000), {"job_history(task_state_finished_at)"}),
    ("prune_counted", "", constant(now=None, chunk=1000), {"job_history(task_state_finished_at)"}),
    ("start_workflow", "", lambda _: new_workflow(), {"workflow_node_workflow"}),
    ("add_to_workflow", "", lambda large: added(large.workflows[0]), {"workflow_pkey", "workflow_node_workflow"}),
    ("advance_workflows", "", lambda large: {"ids": large.workflows, "seconds": 1e9},
     {"workflow_pkey", "workflow_change_workflow", "workflow_node_pkey", "dependency_pkey"}),
    ("list_changed_workflows", "", constant(seconds=10), {"workflow_change_at", "workflow_node_move", "workflow_finishing"}),
    ("cancel_workflow", "", lambda large: {"id": large.workflows[0], "reason": "r"}, {"workflow_node_workflow"}),
    ("retry_workflow", "", lambda large: {"id": large.workflows[0]}, {"workflow_node_workflow"}),
    ("find_workflow", "", lambda large: {"id": large.workflows[0]}, {"workflow_pkey"}),
    ("list_workflows", "", constant(before=None, states=None, limit=20), {"workflow_pkey"}),
    ("list_nodes", "", lambda large: {"id": large.workflows[0], "after": None, "limit": 50}, {"workflow_node_workflow", "job_pkey"}),
    ("read_inputs", "", lambda large: {"id": large.running[0].id}, {"job_pkey"}),
    ("prune_workflows", "", constant(now=None, chunk=10),
     {"workflow_finished", "workflow_node_workflow", "workflow_node_pkey", "dependency_pkey"}),
    ("delete_expired_keys", "", constant(now=None, chunk=1000), {"enqueue_key_expiry", "enqueue_key_pkey"}),
    ("list_names", "", constant(tenant=None), {"job_pkey"}),
    ("run_chunk", "", chunk_of, {"job_pkey"} | HISTORY_ID),
]  # fmt: skip

NEWEST = {"before_id": "ffffffff-ffff-ffff-ffff-ffffffffffff", "down_to_id": str(UUID(int=0)), "limit": 50}
IN_HISTORY = {"before_id": NEWEST["before_id"], "down_to": "-infinity", "limit": 50}
SEARCHES: list[tuple[str, str, Parameters, set[str]]] = [
    ("search_open", "", NEWEST, {"job_pkey"}),
    ("search_open", "state:queued task:task1", NEWEST, {"job_pkey"}),
    ("pick_open", "state:queued", NEWEST, {"job_pkey"}),
    ("sample_open", "args.n=1", {"window": 5000}, {"job_pkey"}),
    ("sample_finished", "error~x", {"window": 5000}, {"job_history(finished_at)"}),
    ("bound_open", "", NEWEST | {"window": 20000}, {"job_pkey"}),
    ("search_finished", "", IN_HISTORY, {"job_history(finished_at)"}),
    ("search_finished", "task:task1", IN_HISTORY, {"job_history(finished_at)"}),
    ("search_finished", "state:failed", IN_HISTORY, {"job_history(state_finished_at_id)"}),
    ("pick_finished", "state:failed error~x", IN_HISTORY, {"job_history(state_finished_at_id)"}),
    ("bound_finished", "", IN_HISTORY | {"window": 20000}, {"job_history(finished_at)"}),
    ("bound_finished", "state:failed", IN_HISTORY | {"window": 100}, {"job_history(state_finished_at_id)"}),
    ("group_failures", "task:task0", IN_HISTORY, {"job_history(state_finished_at_id)"}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "text", "parameters", "expected"), SEARCHES, ids=lambda value: value if isinstance(value, str) else ""
)
def test_a_search_goes_through_its_order(
    large: Large, name: str, text: str, parameters: Parameters, expected: set[str]
) -> None:
    """Its window, its bound and its page are found from the newest on, in an index, without a sort of everything."""
    now = datetime.now(UTC)
    conditions = Conditions("headrace", now)
    found = Filter.parse(text)
    parts: dict[str, sql.Composable] = {
        "open": conditions.of(found, None, finished=False), "finished": conditions.of(found, None, finished=True),
        "base": sql.SQL("j.state = 'failed'" if text == "state:failed" else "true"),
    }  # fmt: skip
    statement = sql.SQL(query(name, "headrace")).format(**parts)
    times = {"as_of": now, "until": now + timedelta(days=1), "before": now}
    scans = large.plans.of(statement, conditions.parameters | parameters | times)
    assert large.plans.sequential(scans) == []
    assert expected <= indexes(scans)


@pytest.mark.parametrize(
    ("name", "variant", "parameters", "expected"), CASES, ids=lambda value: value if isinstance(value, str) else ""
)
def test_the_index_is_used(
    large: Large, name: str, variant: str, parameters: Callable[[Large], Parameters], expected: set[str]
) -> None:
    """The statement, and every statement in the function that it calls, uses its index and reads no table from end to end."""
    scans = large.plans.of(query(name, "headrace"), parameters(large))
    assert large.plans.sequential(scans) == []
    assert expected <= indexes(scans)


@pytest.mark.parametrize("places", [1, 100])
def test_a_busy_key_is_not_read(large: Large, places: int) -> None:
    """A key whose slots are taken has 15,000 jobs ahead of the others': a claim reads a few entries for each lane, not those."""
    scans = large.plans.of(query("claim_limited_jobs", "headrace"), LIMITED | {"places": [places]})
    assert sum(scan.rows_seen for scan in scans if scan.table == "job") < 4 * LIMITED["most_lanes"] + 5 * places
    assert max(scan.rows_seen for scan in scans if scan.table == "job") > 1


def test_why_reads_a_bounded_number_of_jobs(large: Large) -> None:
    """However long the line, it reads a few times its bound of it, and of everything else what belongs to the job."""
    last = max(large.queued)
    scans = large.plans.of(query("explain_job", "headrace"), why(last))
    read = sum(scan.rows_seen for scan in scans if scan.table == "job")
    assert 100 < read < 16 * 100 + 1000  # and those that run, before the first that waits
    assert sum(scan.rows_seen for scan in scans if scan.table not in (None, "job")) < 100


def test_every_statement_has_a_plan_test() -> None:
    """A new file in queries/ is named here, or it fails."""
    names = {entry.name.removesuffix(".sql") for entry in (files("headrace") / "_store" / "queries").iterdir()}
    assert names == {case[0] for case in CASES} | {case[0] for case in SEARCHES} | SMALL | set(READS_EVERYTHING)


BY_ID = ["find_jobs", "find_ids", "find_outcomes", "list_attempts", "list_logs", "list_steps", "load_steps", "was_settled", "cancel_jobs",
         "retry_jobs", "delete_jobs", "settle_jobs", "look_at_jobs"]  # fmt: skip


@pytest.mark.parametrize("name", BY_ID)
def test_a_look_up_by_id_reads_no_partition_before_the_job(large: Large, name: str) -> None:
    """Nothing about a job is older than its id: of thirteen days of history, those before it are not touched (ENGINE 19)."""
    parameters = next(case[2] for case in CASES if case[0] == name and case[1] in ("", "again"))
    scans = large.plans.of(query(name, "headrace"), parameters(large))
    read = {day for parent in ("job_history", "attempt", "job_log", "payload", "step") for day in days(scans, parent)}
    assert read
    assert min(read) >= large.first_day


def test_a_payload_partition_is_judged_by_its_own_jobs(large: Large) -> None:
    """Whether anything refers to a day's payloads is looked up by their ids, not by reading all jobs."""
    scans = large.plans.of(query("drop_partition", "headrace"), {"name": large.partition, "now": None})
    assert [scan for scan in large.plans.sequential(scans) if scan.table != large.partition] == []


def test_plans_made_for_an_empty_store_do_not_outlive_it(database: str, server: DatabaseServer) -> None:
    """A connection that has claimed, settled and enqueued on an empty store uses the indexes when jobs have come (ENGINE 4).

    There are 200,000 of them, and the statistics know nothing of it.
    """
    url = superuser_url(server, database)
    with Store(database) as store, psycopg.connect(url, **connection_parameters()) as conn:
        store.ask("alter table headrace.job set (autovacuum_enabled = off)")
        store.ask("vacuum analyze headrace.job")
        store.ask("insert into headrace.queue (name, max_queued) values ('capped', 10)")
        plans, worker = Plans(conn, large={"job"}), store.worker()
        claim = {"worker_id": worker, **scan_of("q")}
        enqueue = {"jobs": json.dumps([{"task": "t", "queue": "capped", "unique_key": "k"}])}
        settle = settle_parameters(worker, [ended(Claimed(str(UUID(int=1)), 1))])
        for _ in range(12):  # the driver would prepare a statement, and the server keep its plan, after five calls each
            for places in (1, 500):
                conn.execute(query("claim_jobs", "headrace"), claim | {"places": [places]})
            conn.execute(query("settle_jobs", "headrace"), settle)
            conn.execute(query("enqueue_jobs", "headrace"), enqueue)
        assert conn.execute("select name from pg_prepared_statements").fetchall() == []
        store.ask("""
            insert into headrace.job (id, queue, task)
            select gen_random_uuid(), 'q', 't' from generate_series(1, 200000)""")
        for places in (1, 500):
            scans = plans.of(query("claim_jobs", "headrace"), claim | {"places": [places]})
            assert plans.sequential(scans) == []
            assert indexes(scans) >= {"job_claim", "job_pkey"}
            assert max(scan.rows_seen for scan in scans if scan.table) <= places
        claimed = store.claim(worker, 500)
        scans = plans.of(
            query("settle_jobs", "headrace"), settle_parameters(worker, [ended(a, "retried") for a in claimed])
        )
        assert plans.sequential(scans) == []
        scans = plans.of(query("enqueue_jobs", "headrace"), enqueue)
        assert plans.sequential(scans) == []


def test_a_limited_claim_does_not_believe_statistics_from_before_its_gates(
    database: str, server: DatabaseServer
) -> None:
    """What was planned when there was no gate, no lane and no release reads each of its rows a few times (ENGINE 4)."""
    url = superuser_url(server, database)
    with Store(database) as store, psycopg.connect(url, **connection_parameters()) as conn:
        store.ask("vacuum analyze")
        store.limit("keys", "concurrency", queue="q", key="key", bound=2)
        plans, worker = Plans(conn, large={"job", "flow_gate"}), store.worker()
        claim = LIMITED | scan_of("q") | {"worker_id": worker, "places": [500]}
        conn.execute(query("claim_limited_jobs", "headrace"), claim)
        jobs = [{"task": "t", "queue": "q", "args": {"key": i % 1000}} for i in range(3000)]
        store.rows("enqueue_jobs", jobs=json.dumps(jobs))
        for _ in range(2):
            claimed = [
                Claimed(*row[:2]) for row in conn.execute(query("claim_limited_jobs", "headrace"), claim).fetchall()[1:]
            ]
            store.settle(worker, *map(ended, claimed))
        scans = plans.of(query("claim_limited_jobs", "headrace"), claim)
        assert len(claimed) == 500
        assert plans.sequential(scans) == []
        assert sum(scan.rows_seen for scan in scans if scan.table in ("job", "flow_gate")) < 12 * 500


@pytest.mark.parametrize("outcome", ["succeeded", "retried"])
def test_a_settle_does_not_believe_statistics_from_before_the_claim(
    database: str, server: DatabaseServer, outcome: str
) -> None:
    """By them no job runs, under no worker: it still looks up each of its jobs once, and compares none with all others."""
    url = superuser_url(server, database)
    with Store(database) as store, psycopg.connect(url, **connection_parameters()) as conn:
        store.ask("""
            insert into headrace.job (id, queue, task)
            select gen_random_uuid(), 'q', 't' from generate_series(1, 20000)""")
        store.ask("vacuum analyze headrace.job")
        plans, worker = Plans(conn, large={"job"}), store.worker()
        settles = [ended(attempt, outcome) for attempt in store.claim(worker, 500)]
        scans = plans.of(query("settle_jobs", "headrace"), settle_parameters(worker, settles))
        assert plans.sequential(scans) == []
        assert max(scan.rows_seen for scan in scans) <= len(settles)
