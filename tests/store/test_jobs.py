"""What happens to jobs, one statement at a time: the line, times, suspects, and what operators do."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from headrace._store.database import Database
from headrace.errors import QueueFull
from tests.store.harness import POISON_LIMIT, Claimed, InThread, Store, ended

if TYPE_CHECKING:
    from collections.abc import Callable

LARGE = {"blob": "x" * 3000}
LATER = "2100-01-01T00:00:00Z"


# -- the line --


def test_larger_priority_first_then_oldest(store: Store) -> None:
    """Claims take the jobs of a queue in this order, however many at a time, and of each queue as many as it has places."""
    worker = store.worker()
    low, first, second, high, elsewhere = (
        store.enqueue(priority=priority, queue=queue)
        for priority, queue in [(-1, "q"), (0, "q"), (0, "q"), (5, "q"), (9, "r")]
    )
    assert [attempt.id for attempt in store.claim(worker, 2)] == [high, first]
    rows = store.claimed_rows(worker, {"q": 1, "r": 3})
    assert {row[0] for row in rows} == {second, elsewhere}
    assert [attempt.id for attempt in store.claim(worker, 9)] == [low]


def test_two_workers_claim_different_jobs_without_waiting(store: Store, other: Store, observer: Store) -> None:
    """What one is about to claim is passed over by the other."""
    first, second = store.enqueue(), store.enqueue()
    workers = store.worker(), store.worker()
    claim = InThread(other, lambda: other.claim(workers[1], 5))
    with claim, store.conn.transaction():
        assert store.claim(workers[0]) == [Claimed(first, 1)]
        claim.start()
        assert not claim.waits(observer)
    assert claim.answer() == [Claimed(second, 1)]


def test_a_job_that_is_handed_back_keeps_its_place(store: Store) -> None:
    """It is the next to be claimed; one that is retried at once goes to the end of its line."""
    worker = store.worker()
    first, second, third = (store.enqueue() for _ in range(3))
    handed_back, retried = store.claim(worker, 2)
    store.settle(worker, ended(handed_back, "handed_back"), ended(retried, "retried"))
    assert [attempt.id for attempt in store.claim(worker, 3)] == [first, third, second]


@pytest.mark.direct
def test_claims_are_heap_only(store: Store) -> None:
    """A claim touches no index: of many claimed jobs nearly all are updated in place (ENGINE 15)."""
    worker, count = store.worker(), 400
    store.rows("enqueue_jobs", jobs=json.dumps([{"task": "t", "queue": "q", "args": {"n": n}} for n in range(count)]))
    with store.conn.transaction():
        assert len(store.claim(worker, count)) == count
        hot = store.one("select pg_stat_get_xact_tuples_hot_updated('headrace.job'::regclass)")
    assert hot > 0.95 * count


def test_expired_jobs_are_marked_when_they_are_claimed(store: Store) -> None:
    """The worker learns that a job must not start any more."""
    worker = store.worker()
    store.enqueue(expires_s=-1)
    store.enqueue(expires_s=60)
    store.enqueue()
    rows = store.claimed_rows(worker, {"q": 3})
    extras = [json.loads(row[10])["expired"] if row[10] else None for row in sorted(rows, key=lambda row: row[9])]
    assert extras == [True, False, None]


# -- a queue's bound --


async def test_a_full_queue_refuses(store: Store) -> None:
    """As many jobs as its bound fit, none more, on every way in; running, scheduled and other queues' jobs do not count."""
    store.rows("set_queue", name="q", concurrency=None, max_queued=2, clear=[])
    worker = store.worker()
    store.enqueue()
    store.claim(worker)
    store.enqueue(delay_s=60)
    store.enqueue(queue="r")
    two = [{"task": "t", "queue": "q"}] * 2
    store.rows("enqueue_jobs", jobs=json.dumps(two))
    database = Database(store.url, "headrace")
    await database.open()
    with pytest.raises(QueueFull, match='"q" is full'):
        await database.rows("enqueue_jobs", jobs=json.dumps([{"task": "t", "queue": "q", "unique_key": "k"}]))
    await database.close()
    store.claim(worker)
    with pytest.raises(psycopg.DatabaseError, match="full") as refusal:
        store.rows("enqueue_jobs", jobs=json.dumps(two))
    assert refusal.value.sqlstate == "HR001"
    assert store.enqueue()
    assert store.one("select count(*) from headrace.job where state = 'queued' and queue = 'q'") == 2


def test_a_bound_that_code_declares_yields_to_an_operators(store: Store) -> None:
    """Starting a worker does not undo what an operator has set; clearing it brings the declared one back."""
    declared = {"queues": json.dumps([{"name": "q", "max_queued": 5}])}
    bound = "select max_queued from headrace.queue where name = 'q'"
    store.rows("register_queues", **declared)
    assert store.one(bound) == 5
    store.rows("set_queue", name="q", concurrency=3, max_queued=9, clear=[])
    store.rows("register_queues", **declared)
    assert store.one(bound) == 9
    store.rows("set_queue", name="q", concurrency=None, max_queued=None, clear=["max_queued"])
    store.rows("register_queues", **declared)
    assert store.ask("select concurrency, max_queued from headrace.queue") == [(3, 5)]


# -- times --


def test_scheduled_jobs_wait_for_their_time(store: Store) -> None:
    """Nothing is promoted early; what is due joins the line behind those that wait, in the order of its times."""
    worker = store.worker()
    delays = [300, 100, 200, 5000, 400, 50]
    jobs = {delay: store.enqueue(delay_s=delay) for delay in delays}
    waiting = store.enqueue()
    assert store.promote() == 0
    assert 40 < (store.next_due_s() or 0) <= 50
    at = store.one("select (now() + interval '1000 seconds')::text")
    assert store.promote(at) == 5
    assert [it.id for it in store.claim(worker, 9)] == [waiting, *(jobs[delay] for delay in sorted(delays)[:5])]
    assert store.state(jobs[5000]) == "scheduled"


def test_the_order_of_times_does_not_depend_on_the_plan(store: Store) -> None:
    """Many jobs that become due together join the line in order, beside many others."""
    delays = random.Random(1).sample(range(1, 10_000), 700)
    jobs = [{"id": store.new_id(), "task": "t", "queue": "q", "delay_s": delay} for delay in delays]
    others = [{"task": "t", "queue": "other"}] * 6000
    store.rows("enqueue_jobs", jobs=json.dumps([*jobs, *others]))
    store.ask("vacuum (analyze) headrace.job")
    store.promote(LATER)
    in_time = [job["id"] for _, job in sorted(zip(delays, jobs, strict=True), key=lambda pair: pair[0])]
    assert [attempt.id for attempt in store.claim(store.worker(), 700)] == in_time


def test_promotion_goes_a_chunk_at_a_time(store: Store) -> None:
    """The earliest first, until none is left."""
    jobs = [store.enqueue(delay_s=delay) for delay in (10, 20, 30, 40, 50)]
    assert [store.promote(LATER, chunk=2) for _ in range(4)] == [2, 2, 1, 0]
    assert [it.id for it in store.claim(store.worker(), 5)] == jobs


def test_one_promotes_at_a_time_and_nobody_waits(store: Store, other: Store) -> None:
    """While one worker promotes, the others are told so at once."""
    store.enqueue(delay_s=10)
    with store.conn.transaction():
        assert store.promote(LATER) == 1
        assert other.promote(LATER) is None
    assert other.promote(LATER) == 0


def test_a_retry_waits_as_long_as_it_says(store: Store) -> None:
    """The attempt is spent and explained, and the job is due after its wait."""
    worker, job = store.worker(), store.enqueue()
    (attempt,) = store.claim(worker)
    store.settle(worker, ended(attempt, "retried", wait_s=90, error='{"message": "no"}'))
    found = store.find(job)
    assert (found["state"], found["attempts"]) == ("scheduled", 1)
    assert 80 < (store.next_due_s() or 0) <= 90
    assert [row[:2] for row in store.rows("list_attempts", id=job)] == [(1, "retried")]


# -- suspects --


def lose(store: Store, worker: int) -> dict[str, str]:
    """The worker dies."""
    store.end_lease(worker)
    return store.rescue()


def test_a_job_that_ends_its_workers_is_failed(store: Store) -> None:
    """After its first loss it runs as a suspect; after as many losses as a suspect as allowed it is failed, explained."""
    job, worker = store.enqueue(max_attempts=1), store.worker()
    store.claim(worker)
    assert lose(store, worker) == {job: "lost"}
    for _ in range(POISON_LIMIT):
        worker = store.worker()
        assert store.claim(worker) == []
        assert [attempt.id for attempt in store.claim_suspect(worker)] == [job]
        outcome = lose(store, worker)
    assert outcome == {job: "finished"}
    found = store.find(job)
    assert (found["state"], found["run"]) == ("failed", POISON_LIMIT + 1)
    assert "lost its lease" in found["error"]["message"]
    assert [row[1] for row in store.rows("list_attempts", id=job)] == ["lost"] * POISON_LIMIT


def test_a_suspect_that_ends_in_any_other_way_is_innocent(store: Store) -> None:
    """It goes back to the common line; when it is handed back it stays a suspect."""
    worker = store.worker()
    store.enqueue()
    store.claim(worker)
    lose(store, worker)
    worker = store.worker()
    store.settle(worker, ended(store.claim_suspect(worker)[0], "handed_back"))
    assert store.claim(worker) == []
    store.settle(worker, ended(store.claim_suspect(worker)[0], "retried"))
    assert store.claim_suspect(worker) == []
    assert len(store.claim(worker)) == 1


def test_suspects_are_claimed_one_at_a_time_in_order(store: Store) -> None:
    """One for each call, whatever the number of queues; the most urgent first within its queue."""
    worker = store.worker()
    low, high = store.enqueue(priority=1), store.enqueue(priority=2)
    store.enqueue(queue="r")
    assert [store.claim(worker, 2)[0].id for _ in range(2)] == [high, low]  # a range of priorities gives one at a time
    store.claim(worker, 1, "r")
    assert len(lose(store, worker)) == 3
    worker = store.worker()
    assert len(store.rows("claim_suspect", worker_id=worker, queues=["r", "q"])) == 1
    assert [attempt.id for _ in range(2) for attempt in store.claim_suspect(worker)] == [high, low]


def test_a_rescue_takes_a_chunk_at_a_time(store: Store) -> None:
    """And again until nothing is left."""
    worker = store.worker()
    for _ in range(5):
        store.enqueue()
    store.claim(worker, 5)
    store.end_lease(worker)
    assert [len(store.rows("rescue_jobs", poison_limit=2, chunk=2)) for _ in range(4)] == [2, 2, 1, 0]


# -- operators --


def queued(store: Store, **fields: Any) -> str:
    """A job that waits in line."""
    return store.enqueue(**fields)


def scheduled(store: Store, **fields: Any) -> str:
    """A job that waits for its time."""
    return store.enqueue(delay_s=60, **fields)


def running(store: Store, **fields: Any) -> str:
    """A job that somebody holds."""
    job = store.enqueue(**fields)
    store.claim(store.worker())
    return job


def ending(outcome: str, wait_s: float = 0) -> Callable[..., str]:
    """A job whose first attempt ended like this."""

    def make(store: Store, **fields: Any) -> str:
        worker, job = store.worker(), store.enqueue(**fields)
        store.settle(worker, ended(store.claim(worker)[0], outcome, wait_s=wait_s))
        return job

    return make


STATES: dict[str, Callable[..., str]] = {
    "queued": queued, "scheduled": scheduled, "running": running, "waiting for a retry": ending("retried", 60),
    "blocked": ending("parked"), "succeeded": ending("succeeded"), "failed": ending("failed"),
    "cancelled": ending("cancelled"),
}  # fmt: skip
FINAL = ("succeeded", "failed", "cancelled")


@pytest.mark.parametrize("state", STATES)
def test_cancelling(store: Store, state: str) -> None:
    """What waits is cancelled at once, what runs is asked to stop, what has ended stays as it is."""
    job = STATES[state](store)
    unknown = store.new_id()
    outcome = "requested" if state == "running" else "finished" if state in FINAL else "cancelled"
    assert store.cancel(job, unknown, reason="not needed") == {job: outcome, unknown: "unknown"}
    found = store.find(job)
    if outcome == "cancelled":
        assert (found["state"], found["error"]["message"]) == ("cancelled", "not needed")
        assert store.claim(store.worker()) == []
    elif outcome == "requested":
        assert store.rows("list_cancel_requests", ids=[job]) == [(job, "not needed")]
    else:
        assert found["state"] == state


@pytest.mark.parametrize(
    ("reported", "state"),
    [("succeeded", "succeeded"), ("failed", "cancelled"), ("retried", "cancelled"), ("snoozed", "cancelled"),
     ("handed_back", "cancelled"), ("cancelled", "cancelled")],
)  # fmt: skip
def test_what_a_cancelled_job_reports(store: Store, reported: str, state: str) -> None:
    """Only success still counts after a wish to cancel."""
    job = running(store)
    store.cancel(job)
    worker = store.one("select worker_id from headrace.job")
    assert store.settle(worker, ended(Claimed(job, 1), reported)) == []
    assert store.state(job) == state


def test_a_cancelled_job_of_a_lost_worker_is_cancelled(store: Store) -> None:
    """A rescue does not run it again."""
    job = running(store)
    store.cancel(job)
    assert lose(store, store.one("select worker_id from headrace.job")) == {job: "finished"}
    assert store.state(job) == "cancelled"


@pytest.mark.parametrize("state", STATES)
def test_deleting(store: Store, state: str) -> None:
    """Everything but a running job goes, with its attempts, arguments and progress; its key is free."""
    job = STATES[state](store, args=LARGE, unique_key="k")
    if state == "running":
        assert store.delete(job) == []
        assert store.state(job) == "running"
        return
    assert store.delete(job) == [job]
    assert store.delete(job) == []
    assert store.state(job) is None
    for table in ("attempt", "payload", "job_log", "job_progress"):
        assert store.ask(f"select from headrace.{table} where job_id = %s", [job]) == []
    assert store.place(unique_key="k")[1] is False


@pytest.mark.parametrize("args", [None, {"n": 2}, LARGE | {"n": 2}], ids=["as it was", "small", "large"])
@pytest.mark.parametrize("before", [{"n": 1}, LARGE], ids=["was small", "was large"])
@pytest.mark.parametrize("state", STATES)
def test_an_operators_retry(store: Store, state: str, before: dict[str, Any], args: dict[str, Any] | None) -> None:
    """What has ended or waits for its time is queued now, with the given arguments; nothing else is touched."""
    job = STATES[state](store, args=before, max_attempts=3, unique_key="k")
    run = store.find(job)["run"]
    revived = state in (*FINAL, "scheduled", "waiting for a retry")
    assert store.retry(job, args=args) == ([job] if revived else [])
    found = store.find(job)
    assert found["args"] == (args if revived and args else before)
    if not revived:
        assert found["state"] == state
        return
    (attempt,) = store.claim(store.worker())
    assert attempt == Claimed(job, run + 1)
    if found["args"].get("blob"):
        assert json.loads(store.value("read_payload", id=job)) == found["args"]
    if state in FINAL:
        assert (found["attempts"], found["unique_key"]) == (0, None)
        assert [row[:2] for row in store.rows("list_attempts", id=job)] == [(1, state)]


def test_arguments_of_a_retry_must_be_parameters(store: Store) -> None:
    """Anything but an object is refused, and nothing happens."""
    job = ending("failed")(store)
    with pytest.raises(psycopg.DatabaseError, match="JSON object") as refusal:
        store.rows("retry_jobs", ids=[job], args="[1]", from_start=False)
    assert refusal.value.sqlstate == "HR003"
    assert store.state(job) == "failed"


# -- requests --


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"task": ""}, "needs a task"),
        (7, "needs a task"),
        ({"task": "t", "args": [1]}, "JSON object"),
        ({"task": "t", "args": {"blob": "x" * (2 << 20)}}, "bytes long, at most"),
        ({"task": "t", "unique_key": "k", "unique_scope": "ever"}, "queued, unfinished or period"),
        ({"task": "t", "unique_key": "k", "unique_scope": "period"}, "needs unique_for"),
        ({"task": "t", "unique_key": "k", "on_conflict": "ignore"}, "keep, replace, reschedule or reject"),
    ],
)
def test_a_request_that_makes_no_sense_is_refused(store: Store, request_: object, message: str) -> None:
    """In words, and with everything that came with it."""
    with pytest.raises(psycopg.DatabaseError, match=message) as refusal:
        store.rows("enqueue_jobs", jobs=json.dumps([{"task": "t"}, request_]))
    assert refusal.value.sqlstate == "HR003"
    assert store.one("select count(*) from headrace.job") == 0


def test_a_registered_task_gives_the_defaults(store: Store) -> None:
    """Queue, priority and budget of SQL's enqueue come from the task, unless the call says otherwise."""
    settings = {"name": "mail", "queue": "post", "priority": 3, "max_attempts": 7, "succeeded_age_s": 1,
                "failed_age_s": 1, "cancelled_age_s": 1}  # fmt: skip
    store.rows("register_tasks", tasks=json.dumps([settings]))
    columns = "select queue, priority, max_attempts from headrace.job where id = headrace.enqueue"
    assert store.ask(f"{columns}('mail')") == []
    store.ask("select headrace.enqueue('mail')")
    store.ask("select headrace.enqueue('mail', queue => 'other', priority => 1::smallint, max_attempts => 1::smallint)")
    rows = store.ask("select queue, priority, max_attempts from headrace.job order by priority")
    assert rows[-1] == ("post", 3, 7)
    assert rows[0] == ("other", 1, 1)


# -- what handlers report --


def test_reports_of_a_lost_attempt_are_dropped(store: Store) -> None:
    """Progress and log lines count only from who holds the attempt."""
    worker, job = store.worker(), store.enqueue()
    store.claim(worker)
    lines = {"times": ["now"], "levels": ["info"], "messages": ["m"]}
    progress = {"dones": [1.0], "totals": [2.0], "messages": ["m"]}
    for reporter, run in [(worker + 1, 1), (worker, 2)]:
        store.rows("add_logs", worker_id=reporter, ids=[job], runs=[run], **lines)
        store.rows("report_progress", worker_id=reporter, ids=[job], runs=[run], **progress)
    assert (store.rows("list_logs", id=job, limit=9), store.find(job)["progress"]) == ([], None)
    store.rows("report_progress", worker_id=worker, ids=[job], runs=[1], **progress)
    assert store.find(job)["progress"] == {"done": 1, "total": 2, "message": "m"}


def test_a_finished_job_leaves_no_progress_behind(store: Store) -> None:
    """Whichever attempt reported it, and whether or not the last one did."""
    worker, job = store.worker(), store.enqueue()
    for outcome in ("retried", "succeeded"):
        (attempt,) = store.claim(worker)
        if outcome == "retried":
            store.rows(
                "report_progress", worker_id=worker, ids=[job], runs=[1], dones=[1.0], totals=[2.0], messages=["m"]
            )
        store.settle(worker, ended(attempt, outcome))
    assert store.ask("select job_id from headrace.job_progress") == []
