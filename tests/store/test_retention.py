"""What is kept of finished jobs, and for how long (ENGINE 23); which day's tables may go (ENGINE 18)."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from tests.store.harness import Claimed, Store, ended

if TYPE_CHECKING:
    from collections.abc import Iterable

DAY_S = 86400.0
AGES = {"succeeded_age_s": 7 * DAY_S, "failed_age_s": 90 * DAY_S, "cancelled_age_s": 7 * DAY_S}
COUNTS: dict[str, int | None] = {"succeeded_count": None, "failed_count": None, "cancelled_count": None}


@pytest.fixture
def task() -> str:
    """A name that no other test uses: finished jobs stay in the shared store."""
    return f"task {uuid4()}"


def register(store: Store, task: str, **retention: Any) -> None:
    """Say what the task keeps."""
    settings = {"name": task, "queue": "q", "priority": 0, "max_attempts": 1, **AGES, **COUNTS, **retention}
    store.rows("register_tasks", tasks=json.dumps([settings]))


def finish(store: Store, task: str, outcomes: Iterable[str]) -> list[str]:
    """Jobs that ended like this, oldest first."""
    worker, jobs = store.worker(), []
    for outcome in outcomes:
        jobs.append(store.enqueue(task))
        store.settle(worker, ended(store.claim(worker)[0], outcome))
    return jobs


def left(store: Store, jobs: list[str]) -> list[str]:
    """Those of the jobs that are still there."""
    kept = {row[0] for row in store.ask("select id::text from headrace.job_history where id = any(%s::uuid[])", [jobs])}
    return [job for job in jobs if job in kept]


@pytest.mark.parametrize(
    ("retention", "kept_in"),
    [
        ({}, {"succeeded": ("normal", False), "failed": ("long", False), "cancelled": ("normal", False)}),
        ({"succeeded_age_s": 3600}, {"succeeded": ("short", True)}),
        ({"succeeded_age_s": DAY_S}, {"succeeded": ("short", False)}),
        ({"succeeded_age_s": 2 * DAY_S}, {"succeeded": ("normal", True)}),
        ({"failed_age_s": 8 * DAY_S}, {"failed": ("long", True), "succeeded": ("normal", False)}),
        ({"failed_count": 5}, {"failed": ("long", True), "succeeded": ("normal", False)}),
    ],
)
def test_the_class_outlives_the_task_s_age(
    store: Store, task: str, retention: dict[str, float], kept_in: dict[str, tuple[str, bool]]
) -> None:
    """A finished job goes to the shortest class that lasts long enough, and is marked if its task keeps it for less."""
    register(store, task, **retention)
    jobs = finish(store, task, kept_in)
    rows = store.ask(
        "select state::text, retention::text, bounded from headrace.job_history where id = any(%s::uuid[])", [jobs]
    )
    assert {state: (retention, bounded) for state, retention, bounded in rows} == kept_in


def test_jobs_older_than_their_task_s_age_are_deleted(store: Store, task: str) -> None:
    """By state, and not before their time."""
    register(store, task, succeeded_age_s=3600, failed_age_s=7200)
    jobs = finish(store, task, ["succeeded", "failed", "cancelled", "succeeded"])
    now = datetime.now(UTC)
    store.rows("prune_aged", now=now + timedelta(minutes=59), chunk=100)
    assert left(store, jobs) == jobs
    store.rows("prune_aged", now=now + timedelta(minutes=61), chunk=100)
    assert left(store, jobs) == jobs[1:3]
    store.rows("prune_aged", now=now + timedelta(minutes=121), chunk=100)
    assert left(store, jobs) == [jobs[2]]


@pytest.mark.parametrize("count", [0, 1, 3, 6, 7])
def test_only_so_many_of_the_newest_are_kept(store: Store, task: str, count: int) -> None:
    """By state; those of other states and other bounds do not count."""
    register(store, task, succeeded_count=count, failed_count=100)
    jobs = finish(store, task, ["failed", *["succeeded"] * 6])
    store.rows("prune_counted", now=None, chunk=100)
    assert left(store, jobs) == [jobs[0], *jobs[1:][max(6 - count, 0) :]]


def test_pruning_goes_a_chunk_at_a_time(store: Store, task: str) -> None:
    """Each call deletes at most so many, the oldest first, until none is left."""
    register(store, task, succeeded_age_s=0)
    jobs = finish(store, task, ["succeeded"] * 5)
    for remaining in (3, 1, 0):
        store.rows("prune_aged", now=datetime.now(UTC) + timedelta(seconds=1), chunk=2)
        assert left(store, jobs) == jobs[5 - remaining :]


def partitions(store: Store, parent: str) -> list[str]:
    """A table's day partitions, oldest first."""
    return [row[0] for row in store.ask(
        "select name from headrace.list_partitions() where parent = %s order by day", [parent]
    )]  # fmt: skip


@pytest.mark.parametrize(
    ("parent", "days"),
    [("job_history_short", 1), ("job_history_normal", 7), ("job_history_long", 90), ("attempt", 90), ("job_log", 90)],
)
def test_a_day_is_dropped_when_all_of_it_is_out_of_retention(fresh: Store, parent: str, days: int) -> None:
    """Not a second before the last moment of the day is as old as its class is kept; then in one piece."""
    name = partitions(fresh, parent)[0]
    end_of_day = datetime.strptime(name[-8:], "%Y%m%d").replace(tzinfo=UTC) + timedelta(days=1)
    too_early, in_time = (end_of_day + timedelta(days=days, seconds=seconds) for seconds in (-1, 0))
    assert (name,) not in fresh.rows("list_partitions", now=too_early)
    assert fresh.value("drop_partition", name=name, now=too_early) is False
    assert (name,) in fresh.rows("list_partitions", now=in_time)
    assert fresh.value("drop_partition", name=name, now=in_time) is True
    assert name not in partitions(fresh, parent)


def test_a_payload_day_goes_when_nothing_refers_to_it(fresh: Store) -> None:
    """As long as a job that was enqueued on it is unfinished, or kept in the history, its arguments are kept."""
    worker, job = fresh.worker(), fresh.enqueue(args={"blob": "x" * 3000})
    today = fresh.one("select 'payload_' || to_char(now() at time zone 'utc', 'YYYYMMDD')")
    later = {"name": today, "now": datetime.now(UTC) + timedelta(days=30)}
    assert fresh.value("drop_partition", **later) is False
    fresh.settle(worker, ended(fresh.claim(worker)[0]))
    assert fresh.value("drop_partition", **later) is False
    fresh.ask("delete from headrace.job_history")
    assert fresh.value("drop_partition", name=today, now=datetime.now(UTC)) is False
    assert fresh.value("drop_partition", **later) is True
    assert fresh.state(job) is None


def test_what_is_no_partition_is_not_dropped(fresh: Store) -> None:
    """The function that may drop tables drops day partitions and nothing else."""
    for name in ("job", "job_history_long", "jobs", 'job"; drop table headrace.job; --'):
        assert fresh.value("drop_partition", name=name, now="2100-01-01") is False
    assert fresh.enqueue()


def test_days_begin_and_end_in_utc(fresh: Store) -> None:
    """Whatever the time zone of the session that makes them."""
    fresh.ask("set timezone = 'Pacific/Auckland'")
    assert fresh.value("create_partitions", first_day="2031-05-01", last_day="2031-05-02") == 14
    assert fresh.value("create_partitions", first_day="2031-05-01", last_day="2031-05-02") == 0
    fresh.ask("set timezone = 'UTC'")
    bound = fresh.one(
        "select pg_get_expr(relpartbound, oid) from pg_class where oid = 'headrace.attempt_20310501'::regclass"
    )
    assert bound == "FOR VALUES FROM ('2031-05-01 00:00:00+00') TO ('2031-05-02 00:00:00+00')"
    assert isinstance(fresh.settle(1, ended(Claimed(fresh.new_id(), 1))), list)
