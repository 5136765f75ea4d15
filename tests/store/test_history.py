"""What has ended is counted once, whenever it commits and whoever counts: against counts taken straight from the tables."""

from __future__ import annotations

import random
import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from headrace.history import BUCKETS, QUANTILE_ERROR, middle_s, quantile
from tests.store.harness import Claimed, Store, ended, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

SECOND, MINUTE, HOUR, DAY = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
COUNTS = ("started", "succeeded", "failed", "cancelled", "retried", "rescued")
SCOPES = {0: "queue, task", 1: "queue, ''", 2: "'', ''"}

# What the rollups must say, from the rows themselves.
ORACLE = """
with thing as (
    select queue, task, finished_at as at, state::text as what from headrace.job_history
    union all select queue, task, claimed_at, 'started' from headrace.job_history where worker_id <> 0
    union all
    select j.queue, j.task, a.finished_at, case a.outcome when 'lost' then 'rescued' else a.outcome end
    from headrace.attempt a join headrace.jobs j on j.id = a.job_id
    where a.outcome in ('retried', 'lost', 'succeeded', 'failed', 'cancelled')
    union all
    select j.queue, j.task, a.started_at, 'started' from headrace.attempt a join headrace.jobs j on j.id = a.job_id
    where a.outcome not in ('handed_back', 'parked') and a.started_at > '-infinity'
)
select date_trunc(%(step)s, at, 'UTC'), {names},
       count(*) filter (where what = 'started'), count(*) filter (where what = 'succeeded'),
       count(*) filter (where what = 'failed'), count(*) filter (where what = 'cancelled'),
       count(*) filter (where what = 'retried'), count(*) filter (where what = 'rescued')
from thing group by 1, 2, 3 order by 1, 2, 3"""


def look(store: Store, kind: int = 1, *, period: timedelta = SECOND * 0, margin: timedelta = 15 * SECOND, budget_s: float = 60,
         now: datetime | None = None) -> int | None:  # fmt: skip
    counted = store.value(
        "roll_up",
        kind=kind,
        period_s=period.total_seconds(),
        margin_s=margin.total_seconds(),
        budget_s=budget_s,
        now=now,
    )
    return None if counted is None else int(counted)


def counted(store: Store, step: str, scope: int) -> list[tuple[Any, ...]]:
    return store.ask(
        f"select start_at, queue, task, {', '.join(COUNTS)} from headrace.rollup where step = %s and scope = %s order by 1, 2, 3",
        [step, scope],
    )


def oracle(store: Store, step: str, scope: int) -> list[tuple[Any, ...]]:
    return store.ask(ORACLE.format(names=SCOPES[scope]), {"step": step})


def check(store: Store, *, times: bool = True) -> None:
    """Every step and scope says what the rows say, and every histogram holds as many as it should."""
    for step in ("minute", "hour", "day"):
        for scope in SCOPES:
            assert counted(store, step, scope) == oracle(store, step, scope), (step, scope)
    if not times:
        return
    waits, runs = store.ask(
        "select (select sum(n) from headrace.rollup, unnest(waits) n where step = 'day' and scope = 2), "
        "(select sum(n) from headrace.rollup, unnest(runs) n where step = 'day' and scope = 2)"
    )[0]
    assert (waits or 0) == store.one("select count(*) from headrace.job_history where worker_id <> 0")
    assert (runs or 0) == store.one(
        "select (select count(*) from headrace.job_history where worker_id <> 0 and state <> 'cancelled')"
        " + (select count(*) from headrace.attempt where outcome in ('retried', 'succeeded', 'failed'))"
    )


@pytest.fixture
def history(fresh: Store) -> Store:
    """A new database in which counting has begun, and there was nothing before."""
    assert look(fresh, budget_s=0) == 0
    fresh.ask("update headrace.rollup_look set began_with = null")
    return fresh


def run_some(store: Store, worker: int, *outcomes: str, task: str = "task", queue: str = "q") -> list[str]:
    """Jobs that end so, one after the other."""
    ids = []
    for outcome in outcomes:
        job = store.enqueue(task, queue=queue)
        (attempt,) = store.claim(worker, 1, queue)
        assert attempt.id == job
        store.settle(worker, ended(attempt, outcome, wait_s=60))
        ids.append(job)
    return ids


def test_a_retry_by_hand_after_a_late_look_is_counted_once(history: Store) -> None:
    """What only a look of another kind has seen is not counted again when a retry makes an earlier attempt of it."""
    store, worker = history, history.worker()
    assert look(store) is not None
    (job,) = run_some(store, worker, "succeeded")
    assert look(store, 2) == 1
    assert store.rows("retry_jobs", ids=[job], args=None, from_start=False)
    look(store)
    (attempt,) = store.claim(worker, 1)
    store.settle(worker, ended(attempt))
    look(store)
    assert store.one("select sum(succeeded) from headrace.rollup where step = 'day' and scope = 2") == 2


def test_everything_that_ends_is_counted_once(history: Store) -> None:
    """All outcomes, in all steps and scopes; a second look finds nothing."""
    store, worker = history, history.worker()
    run_some(store, worker, "succeeded", "failed", "retried", "snoozed", "succeeded")
    run_some(store, worker, "succeeded", "handed_back", task="other", queue="mail")
    store.cancel(store.enqueue(queue="mail"))
    lost = store.worker()
    store.enqueue(queue="third")
    store.claim(lost, 1, "third")
    store.end_lease(lost)
    store.rescue()
    store.retry(run_some(store, worker, "failed", queue="fourth")[0])
    assert look(store) == 5 + 1 + 1 + 1 + 1 - 1  # snoozes and what is handed back are none of the counts
    check(store)
    assert look(store) == 0
    check(store)


def test_what_had_ended_before_the_first_look(fresh: Store) -> None:
    """Is counted backwards, hour by hour, while new things are counted forwards, and nothing twice."""
    store, worker = fresh, fresh.worker()
    run_some(store, worker, "succeeded", "failed", "retried")
    store.ask("select headrace.create_partitions(current_date - 3, current_date)")
    store.ask("""
        insert into headrace.job_history (id, state, retention, finished_at, claimed_at, created_at, worker_id, run, priority, attempts,
                                          max_attempts, bounded, queue, task)
        select gen_random_uuid(), 'succeeded', 'normal', t, t - interval '2 seconds', t - interval '3 seconds', 1, 1, 0, 1, 1, false, 'q', 'old'
        from generate_series(now() - interval '30 hours', now() - interval '1 hour', interval '10 minutes') t""")
    assert look(store, budget_s=0) == 0
    run_some(store, worker, "succeeded")
    done = 0
    for _ in range(30):
        done += look(store, budget_s=0.01) or 0
        run_some(store, worker, "failed")
    while not store.one("select began_with is null from headrace.rollup_look"):
        done += look(store) or 0
    done += look(store) or 0
    assert done == store.one("select count(*) from headrace.job_history") + 1
    check(store)


@pytest.mark.direct
def test_a_row_that_commits_late(history: Store, database: str) -> None:
    """Its look does not see it, and a later one counts it: the next if it is a little late, a rarer one if it is very late."""
    store, worker = history, history.worker()
    store.enqueue(), store.enqueue()
    first, second = store.claim(worker, 2)
    with Store(database) as late:
        with late.conn.transaction():
            late.ask("select now()")
            assert (
                late.value("settle_attempt", worker_id=worker, id=first.id, run=first.run, result="1", progress=None)
                is None
            )
            store.settle(worker, ended(second))
            assert look(store) == 1
            assert look(store) == 0
        assert look(store) == 1
        check(store)
        later = datetime.now(UTC)
        third = store.enqueue()
        (attempt,) = store.claim(worker)
        with late.conn.transaction():
            late.ask("select now()")
            late.value("settle_attempt", worker_id=worker, id=attempt.id, run=attempt.run, result="1", progress=None)
            for minutes in range(1, 31):  # as time goes by
                assert look(store, now=later + minutes * MINUTE) == 0
            assert look(store, 2, now=later + 30 * MINUTE, margin=10 * MINUTE) == 0
        assert store.state(third) == "succeeded"
        assert look(store, now=later + 31 * MINUTE) == 0
        assert look(store, 2, now=later + 35 * MINUTE, margin=40 * MINUTE) == 1
        for kind, margin in ((1, HOUR), (2, HOUR), (3, DAY)):
            assert look(store, kind, now=later + 40 * MINUTE, margin=margin) == 0
        check(store)


def test_one_of_many_looks_at_a_time(history: Store, database: str) -> None:
    """While one counts, another does nothing and does not wait; a look that is not due does nothing."""
    run_some(history, history.worker(), "succeeded")
    with Store(database) as other, history.conn.transaction():
        assert look(history) == 1
        assert look(other) is None
    assert look(history, period=HOUR) is None
    check(history)


@pytest.mark.direct
def test_a_look_that_is_killed_counts_nothing(history: Store, database: str) -> None:
    """What it added and what it told to be counted go together."""
    run_some(history, history.worker(), "succeeded", "failed")
    with Store(database) as doomed:
        doomed.conn.autocommit = False
        assert look(doomed) == 2
        history.ask("select pg_terminate_backend(%s)", [doomed.conn.info.backend_pid])
        with pytest.raises(psycopg.OperationalError):
            doomed.conn.commit()
    wait_until(lambda: look(history) == 2, "counted by somebody else")
    check(history)


def test_retried_by_hand_before_and_after_it_was_counted(history: Store) -> None:
    """A job that failed is counted once, whether its row was still in the history when somebody looked or not."""
    store, worker = history, history.worker()
    (counted_before,) = run_some(store, worker, "failed")
    assert look(store) == 1
    (counted_after,) = run_some(store, worker, "failed")
    store.retry(counted_before, counted_after)
    assert look(store) == 1
    check(store, times=False)  # of those that were counted as finished, the wait is known
    store.settle(worker, *map(ended, store.claim(worker, 2)))
    assert look(store) == 2
    check(store, times=False)


def test_in_another_database_nothing_is_counted_again(history: Store) -> None:
    """Where the rows were restored to, their transactions have other numbers: only what ended after the last look is new."""
    store, worker = history, history.worker()
    run_some(store, worker, "succeeded", "failed")
    assert look(store) == 2
    run_some(store, worker, "succeeded")
    # As after a restore: other numbers, and the source is not this database.
    store.ask("update headrace.rollup_look set source = 'elsewhere'")
    store.ask(
        "with gone as (delete from headrace.job_history returning *) insert into headrace.job_history select * from gone"
    )
    store.ask("update headrace.rollup_seen set snapshot = '10:10:'")
    assert look(store) == 1
    run_some(store, worker, "failed")
    assert look(store) == 1
    check(store)


def test_two_lookers_and_writers_at_once(history: Store, database: str) -> None:
    """Workers settle, some late, while several count, some of whom are killed: in the end everything is counted once."""
    chance = random.Random(11)
    stop, failures = threading.Event(), []

    def guarded(work: Callable[[Store, random.Random], None]) -> Callable[[], None]:
        mine = random.Random(chance.random())

        def run() -> None:
            try:
                with Store(database) as store:
                    work(store, mine)
            except Exception as error:  # noqa: BLE001 - the test tells
                failures.append(error)

        return run

    def settle(store: Store, mine: random.Random) -> None:
        worker = store.worker()
        for _ in range(60):
            store.enqueue(mine.choice("ab"))
            if not (attempts := store.claim(worker)):
                continue
            with store.conn.transaction():
                store.ask("select now(), pg_sleep(%s)", [mine.choice([0, 0, 0.02, 0.2])])
                store.settle(worker, ended(attempts[0], mine.choice(["succeeded", "failed", "retried"]), wait_s=600))
                if mine.random() < 0.3:
                    store.ask("select pg_sleep(0.1)")

    def count(store: Store, mine: random.Random) -> None:
        while not stop.is_set():
            with store.conn.transaction(force_rollback=mine.random() < 0.3):
                look(store, mine.choice([1, 1, 1, 2]), budget_s=0)

    writers = [threading.Thread(target=guarded(settle)) for _ in range(4)]
    counters = [threading.Thread(target=guarded(count)) for _ in range(2)]
    for thread in (*writers, *counters):
        thread.start()
    for thread in writers:
        thread.join()
    stop.set()
    for thread in counters:
        thread.join()
    assert failures == []
    look(history, 3, margin=HOUR)
    assert history.one("select count(*) from headrace.job_history") > 50
    check(history)


def test_nothing_changes_rows_that_were_counted() -> None:
    """An update would look like a new row: no statement makes one."""
    from importlib.resources import files

    for folder in ("functions", "queries"):
        for entry in (files("headrace") / "_store" / folder).iterdir():
            text = entry.read_text(encoding="utf-8")
            assert "update headrace.job_history" not in text, entry.name
            assert "update headrace.attempt" not in text, entry.name


# -- times --


def test_buckets(store: Store) -> None:
    """Every duration is in the bucket whose middle is within the promised error of it; quantiles likewise, merged or not."""
    chance = random.Random(7)
    durations = [10 ** chance.uniform(-3, 6.3) for _ in range(3000)]
    buckets = store.one("select array_agg(headrace.bucket_of(d)) from unnest(%s::float8[]) d", [durations])
    for duration, bucket in zip(durations, buckets, strict=True):
        assert abs(middle_s(bucket) - duration) <= (QUANTILE_ERROR + 1e-9) * duration
    assert store.ask("select headrace.bucket_of(0), headrace.bucket_of(0.00099), headrace.bucket_of(1e9)") == [
        (0, 0, BUCKETS - 1)
    ]
    halves = [
        store.one("select headrace.tally(%s, %s)", [half, [1] * len(half)]) for half in (buckets[:1000], buckets[1000:])
    ]
    merged = store.one("select headrace.add_counts(%s::integer[], %s::integer[])", halves)
    assert sum(merged) == 3000
    for share in (0.5, 0.95, 0.99):
        exact = sorted(durations)[round(share * 3000) - 1]
        assert quantile(merged, share) == pytest.approx(exact, rel=QUANTILE_ERROR + 0.02)
    assert quantile([0] * BUCKETS, 0.5) is None


# -- samples, retention, deploys --


def test_queue_depths_are_sampled_once_a_minute(store: Store, other: Store) -> None:
    """By whoever comes first, for each queue and for all; a minute later again."""
    noon = datetime.now(UTC).replace(hour=12, minute=0, second=7, microsecond=0) + DAY
    for delay_s in (0, 0, 3600):
        store.enqueue(delay_s=delay_s)
    store.enqueue(queue="mail")
    store.claim(store.worker(), 1, "mail")
    assert store.value("sample_queues", now=noon) == 2
    assert other.value("sample_queues", now=noon + 40 * SECOND) is None
    store.enqueue()
    assert other.value("sample_queues", now=noon + MINUTE) == 2
    rows = store.ask(
        "select start_at, queue, samples, queued, queued_max, running, scheduled from headrace.queue_sample where step = 'hour' order by 2"
    )
    hour = noon.replace(second=0)
    assert rows == [(hour, "", 2, 5, 3, 2, 2), (hour, "mail", 2, 0, 0, 2, 0), (hour, "q", 2, 5, 3, 0, 2)]
    assert store.one("select oldest_s_max > 3600 from headrace.queue_sample where step = 'day' and queue = 'q'")


def test_samples_that_take_long_are_taken_less_often(store: Store) -> None:
    """Not more than a fiftieth of the time."""
    noon = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0) + DAY
    assert store.value("sample_queues", now=noon) is not None
    store.ask("update headrace.rollup_look set sample_took = '3 seconds'")
    assert [store.value("sample_queues", now=noon + n * MINUTE) is not None for n in (1, 2, 4)] == [False, False, True]


def test_retention(store: Store) -> None:
    """Minutes for 2 days, hours for 14, days for 400."""
    now = datetime(2026, 6, 1, tzinfo=UTC)
    for step in ("minute", "hour", "day"):
        store.ask(
            "insert into headrace.queue_sample select %s, t, '', 1, 0, 0, 0, 0, 0, 0, 0, 0, 0 from unnest(%s::timestamptz[]) t",
            [step, [now - age for age in (HOUR, 3 * DAY, 15 * DAY, 401 * DAY)]],
        )
    store.ask("""
        insert into headrace.rollup
        select step, scope, start_at, '', '', 0, 0, 0, 0, 0, 0, '{}', '{}' from headrace.queue_sample cross join generate_series(0, 2) scope""")
    store.rows("prune_rollups", now=now)
    for table, scopes in (("queue_sample", 1), ("rollup", 3)):
        left = dict(store.ask(f"select step, count(*) from headrace.{table} group by 1"))
        assert left == {"minute": scopes, "hour": 2 * scopes, "day": 3 * scopes}


def test_jobs_stay_until_they_are_counted(history: Store) -> None:
    """A task that keeps few of its jobs loses none of the counts; when nobody counts any more, pruning goes on."""
    store, worker = history, history.worker()
    store.ask("""
        insert into headrace.task (name, queue, priority, max_attempts, succeeded_age, succeeded_count, failed_age, cancelled_age)
        values ('task', 'q', 0, 1, '1 day', 1, '0 seconds', '1 day')""")
    run_some(store, worker, "succeeded", "succeeded", "failed")
    for name in ("prune_counted", "prune_aged"):
        store.rows(name, now=None, chunk=10)
    assert store.one("select count(*) from headrace.job_history") == 3
    assert look(store) == 3
    store.ask("update headrace.rollup_look set looked_ats[1] = looked_ats[1] + interval '1 minute'")
    for name in ("prune_counted", "prune_aged"):
        store.rows(name, now=None, chunk=10)
    assert store.one("select count(*) from headrace.job_history") == 1
    run_some(store, worker, "succeeded")
    store.ask("update headrace.job_history set finished_at = finished_at - interval '20 minutes'")
    store.ask("update headrace.rollup_look set looked_ats[1] = now() - interval '1 hour'")
    store.rows("prune_counted", now=None, chunk=10)
    assert store.one("select count(*) from headrace.job_history") in (0, 1)


def test_deploys(store: Store, other: Store) -> None:
    """A label is marked once by workers, and as often as they like by people."""
    for label, by_worker, done in (
        ("v1", True, True),
        ("v1", True, False),
        ("v1", False, True),
        ("v2", False, True),
        ("v2", True, False),
    ):
        assert other.value("mark_deploy", label=label, by="x", by_worker=by_worker, at=None) is done
    rows = store.rows("list_deploys", since="2020-01-01", until=None)
    assert [(label, automatic) for _, label, _, automatic in rows] == [("v1", True), ("v1", False), ("v2", False)]


def test_attempts_of_finished_jobs_are_counted_for_their_queue(history: Store) -> None:
    """Also if the job has finished by the time that somebody looks."""
    store, worker = history, history.worker()
    (job,) = run_some(store, worker, "retried", queue="mail")
    store.promote("2100-01-01")
    (attempt,) = store.claim(worker, 1, "mail")
    assert attempt == Claimed(job, 2)
    store.settle(worker, ended(attempt))
    assert look(store) == 2
    check(store)
