"""Events and those who wait for them: in every order, committed or not, and many at a time (ENGINE 7)."""

from __future__ import annotations

import itertools
import json
import time
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from tests.store.harness import Claimed, InThread, Store, ended, waits

if TYPE_CHECKING:
    from collections.abc import Iterator

FAR_FUTURE = "2100-01-01T00:00:00Z"
SECOND, EMITTED = '{"n": 2}', '{"n": 1}'


def running(store: Store, worker: int | None = None) -> tuple[int, Claimed]:
    """A job in a worker's hands."""
    worker = worker or store.worker()
    store.enqueue()
    (attempt,) = store.claim(worker)
    return worker, attempt


def waiting(store: Store, event: str = "paid", timeout_s: float = 3600.0) -> str:
    """A job that waits, and was looked at once."""
    worker, attempt = running(store)
    assert store.await_event(worker, attempt, 1, event, timeout_s) == ("waiting", None)
    assert store.settle(worker, waits(attempt, event, timeout_s)) == []
    store.release_waiting()
    assert store.find(attempt.id)["blocked_by"] == f"event:{event}"
    return attempt.id


def goes_on(store: Store, job: str, event: str = "paid", now: str | None = None) -> tuple[str, str | None] | None:
    """What the job's next attempt gets of its wait."""
    worker = store.worker()
    (attempt,) = store.claim(worker)
    assert attempt.id == job
    return store.await_event(worker, attempt, 1, event, now=now)


def test_while_it_waits_a_job_is_blocked_and_keeps_its_budget(store: Store) -> None:
    """The attempt is on record as waiting; neither the promoter nor a claim sees the job."""
    job = waiting(store)
    found = store.find(job)
    assert (found["state"], found["attempts"], found["run"], found["worker_id"]) == ("blocked", 0, 1, None)
    assert store.promote(FAR_FUTURE) == 0
    assert store.claim(store.worker()) == []
    assert store.ask("select outcome, error ->> 'event' from headrace.attempt where job_id = %s", [job]) == [
        ("waiting", "paid")
    ]


def merges(*lines: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Every order in which all of this can happen, each line in its own order."""
    if not any(lines):
        yield ()
    for i, line in enumerate(lines):
        if line:
            for rest in merges(*lines[:i], line[1:], *lines[i + 1 :]):
                yield (line[0], *rest)


ORDERS = sorted(set(merges(("ask", "settle", "commit settle"), ("emit", "commit emit"), ("look", "look"))))


@pytest.mark.direct
@pytest.mark.parametrize("end", ["commit", "rollback"])
@pytest.mark.parametrize("emitted_first", [False, True])
def test_whichever_comes_first(store: Store, other: Store, observer: Store, end: str, emitted_first: bool) -> None:
    """In all 210 orders of asking, parking, emitting and looking, each of them uncommitted for a while.

    When all is committed, one look more, which comes within a second, lets the job run; without an event it goes on waiting. The
    emitter's transaction may be rolled back, and there may be an event already: the first one counts.
    """
    assert len(ORDERS) == 210
    for order in ORDERS:
        store.empty()
        for connection in (store, other, observer):
            connection.ask("rollback")
        if emitted_first:
            assert store.emit("paid", json.loads(EMITTED))
        worker, attempt = running(store)
        found = None
        for act in order:
            match act:
                case "ask":
                    found = store.await_event(worker, attempt, 1, "paid")
                case "settle":
                    store.ask("begin")
                    outcome = waits(attempt, "paid") if found == ("waiting", None) else ended(attempt)
                    assert store.settle(worker, outcome) == []
                case "commit settle":
                    store.ask("commit")
                case "emit":
                    other.ask("begin")
                    assert other.emit("paid", json.loads(SECOND)) != emitted_first
                case "commit emit":
                    other.ask(end)
                case "look":
                    observer.release_waiting()
        assert found is not None
        is_there = emitted_first or end == "commit"
        payload = EMITTED if emitted_first else SECOND
        if found[0] == "done":
            assert found == ("done", payload), order
            continue
        assert observer.release_waiting() is not None
        assert (store.state(attempt.id) == "queued") == is_there, order
        if is_there:
            assert goes_on(store, attempt.id) == ("done", payload), order


def test_an_emit_in_an_open_transaction_holds_nobody_up(store: Store, other: Store) -> None:
    """It only inserts: the waiting job can be claimed, cancelled and looked at meanwhile."""
    job, second = waiting(store), waiting(store)
    with other.conn.transaction():
        assert other.emit("paid")
        assert store.release_waiting() == 0
        assert store.cancel(job) == {job: "cancelled"}
        assert store.retry(second) == [second]
        assert goes_on(store, second) == ("waiting", None)


@pytest.mark.parametrize("end", ["commit", "rollback"])
def test_two_emitters(store: Store, other: Store, observer: Store, end: str) -> None:
    """The second waits for the first one's transaction: if it commits, its payload stays; if not, it never was."""
    job = waiting(store)
    with InThread(other, lambda: other.emit("paid", "second")) as late:
        store.ask("begin")
        assert store.emit("paid", "first")
        late.start()
        assert late.waits(observer)
        store.ask(end)
        assert late.answer() == (end == "rollback")
    assert store.release_waiting() == 1
    assert goes_on(store, job) == ("done", '"first"' if end == "commit" else '"second"')


def test_a_second_emit_changes_nothing(store: Store) -> None:
    """Not the payload, not the time, and it wakes nobody again."""
    assert store.emit("paid", 1)
    before = store.rows("find_event", event="paid")
    assert not store.emit("paid", 2)
    assert store.rows("find_event", event="paid") == before
    assert before[0][:2] == ("paid", 1)


def test_an_event_that_is_forgotten_may_come_again(store: Store) -> None:
    """After its time; those who wait then get the new payload. Housekeeping leaves what nobody has been told."""
    assert store.emit("paid", 1, keep_s=60)
    store.ask("update headrace.event set expires_at = now()")
    job = waiting(store, "other")
    assert store.emit("paid", 2)
    assert store.emit("old", 1)
    assert store.rows("delete_expired_events", now=FAR_FUTURE, chunk=10) == []
    store.release_waiting()
    assert {name for (name,) in store.rows("delete_expired_events", now=FAR_FUTURE, chunk=10)} == {"paid", "old"}
    assert store.state(job) == "blocked"


def test_a_job_that_somebody_holds_is_not_forgotten(store: Store, other: Store) -> None:
    """Its event is undelivered, and it unlooked at, until the row is free; others do not wait for it."""
    held, free = waiting(store), waiting(store)
    with other.conn.transaction():
        other.ask("select from headrace.job where id = %s for update", [held])
        assert store.emit("paid")
        assert store.release_waiting() == 1
        assert store.state(free) == "queued"
        assert store.one("select not delivered from headrace.event")
    assert store.release_waiting() == 1
    assert store.state(held) == "queued"
    assert store.one("select delivered from headrace.event")


def test_a_new_wait_that_somebody_holds_is_looked_at_later(store: Store, other: Store) -> None:
    """An operator looks at the job just when it began to wait, and its event has been delivered to others."""
    worker, attempt = running(store)
    assert store.await_event(worker, attempt, 1, "paid") == ("waiting", None)
    assert store.emit("paid", 1)
    assert store.release_waiting() == 0
    assert store.one("select delivered from headrace.event")
    assert store.settle(worker, waits(attempt, "paid")) == []
    with other.conn.transaction():
        other.ask("select from headrace.job where id = %s for update", [attempt.id])
        assert store.release_waiting() == 0
    assert store.release_waiting() == 1
    assert goes_on(store, attempt.id) == ("done", "1")


def test_events_of_held_jobs_keep_nobody_busy_and_hide_no_others(store: Store, other: Store) -> None:
    """As many as a round takes: it asks for no further round of its own, and the next one finds what comes after them."""
    held, later = [waiting(store, f"held {i}") for i in range(3)], waiting(store, "later")
    for event in ("held 0", "held 1", "held 2", "later"):
        store.emit(event)
    with other.conn.transaction():
        other.ask("select from headrace.job where id = any(%s::uuid[]) for update", [held])
        mark: list[Any] = ["-infinity", "-infinity", "00000000-0000-0000-0000-000000000000"]
        released, mores = [], []
        for _ in range(3):
            ((count, more, *mark),) = store.rows(
                "release_waiting", events_after=mark[0], looks_after=mark[1], looks_after_id=mark[2], chunk=3, now=None
            )
            released.append(count)
            mores.append(more)
        assert sum(released) == 1
        assert mores == [False, False, False]
        assert store.state(later) == "queued"
    assert store.release_waiting() == 3


@pytest.mark.direct
def test_one_worker_at_a_time_lets_them_run(store: Store, other: Store) -> None:
    """The lock is the transaction's."""
    waiting(store)
    store.emit("paid")
    with other.conn.transaction():
        assert other.release_waiting() == 1
        assert store.release_waiting() is None
    assert store.release_waiting() == 0


def test_the_time_of_a_wait_runs_out(store: Store) -> None:
    """Not before; the job runs then, and what it finds is recorded."""
    job = waiting(store, timeout_s=3600)
    almost, over = (store.one(f"select (now() + interval '{m} minutes')::text") for m in (59, 61))
    assert store.release_waiting(almost) == 0
    assert store.release_waiting(over) == 1
    assert goes_on(store, job, now=over) == ("timed_out", None)
    assert store.emit("paid")
    assert store.steps(job)[0][4] == "timed_out"


def test_an_event_that_comes_before_the_job_notices_its_time_out_counts(store: Store) -> None:
    """Whatever is found first is recorded, and stays."""
    job = waiting(store, timeout_s=3600)
    over = store.one("select (now() + interval '61 minutes')::text")
    assert store.release_waiting(over) == 1
    assert store.emit("paid", 7)
    assert goes_on(store, job, now=over) == ("done", "7")


def test_an_attempt_that_comes_early_waits_on(store: Store) -> None:
    """Until the time that was fixed at first."""
    job = waiting(store, timeout_s=3600)
    assert store.retry(job) == [job]
    later = store.one("select (now() + interval '50 minutes')::text")
    worker = store.worker()
    (attempt,) = store.claim(worker)
    ((outcome, _, left_s),) = store.rows(
        "await_event", worker_id=worker, id=job, run=attempt.run, ordinal=1, event="paid", timeout_s=3600.0, now=later
    )
    assert outcome == "waiting"
    assert 595 < left_s <= 600


@pytest.mark.parametrize(
    ("event", "payload", "keep_s", "message"),
    [
        ("", None, 60, "must have 1 to 300 bytes"),
        ("x" * 301, None, 60, "must have 1 to 300 bytes, not 301"),
        ("paid", "x" * 600_000, 60, "is 600002 bytes long, at most 524288"),
        ("paid", None, 0, "keep must be more than nothing"),
    ],
)
def test_what_sql_clients_may_not_emit(store: Store, event: str, payload: Any, keep_s: float, message: str) -> None:
    """Refused in words, with the code that clients turn into InvalidArguments."""
    with pytest.raises(psycopg.DatabaseError, match=message) as refusal:
        store.emit(event, payload, keep_s)
    assert refusal.value.sqlstate == "HR003"


def test_sql_clients_emit_with_defaults(store: Store) -> None:
    """`select headrace.emit('name')`, in triggers too."""
    assert store.one("select headrace.emit('paid')")
    assert not store.one("select headrace.emit('paid', '{\"amount\": 7}')")
    ((kept,),) = store.ask("select extract(day from expires_at - emitted_at)::int from headrace.event")
    assert kept == 30


@pytest.mark.direct
def test_only_events_that_are_awaited_are_announced(store: Store, other: Store) -> None:
    """NOTIFY costs every other commit something (ENGINE 33): it is sent at COMMIT, once for a transaction, and only if a job waits."""
    waiting(store, "awaited")
    other.ask("listen headrace_event")
    try:
        store.emit("nobody's")
        with store.conn.transaction():
            store.emit("awaited")
            store.emit("also nobody's")
            assert list(other.conn.notifies(timeout=0)) == []
        assert [n.channel for n in other.conn.notifies(timeout=5, stop_after=1)] == ["headrace_event"]
        assert list(other.conn.notifies(timeout=0.05)) == []
    finally:
        other.ask("unlisten *")


def park_many(store: Store, events: list[str]) -> float:
    """A job for each event, in a worker's own batches; seconds."""
    store.rows("enqueue_jobs", jobs=json.dumps([{"task": "task", "queue": "q"} for _ in events]))
    worker, left = store.worker(), list(events)
    began = time.perf_counter()
    while left:
        settles = [waits(attempt, left.pop()) for attempt in store.claim(worker, 500)]
        assert store.settle(worker, *settles) == []
    return time.perf_counter() - began


def release_all(store: Store) -> tuple[int, float]:
    """Look until there is nothing more; how many jobs it let run, and in how many seconds."""
    total, began = 0, time.perf_counter()
    while released := store.release_waiting():
        total += released
    return total, time.perf_counter() - began


@pytest.mark.parametrize(("jobs", "events"), [(10_000, 10_000), (1_000, 1), (5_000, 50)])
def test_many_waiters(store: Store, other: Store, jobs: int, events: int) -> None:
    """Each is let run once, in chunks; those whose event has not come stay, looked at once and then left alone."""
    names = [f"event {i % events}" for i in range(jobs)]
    parked_s = park_many(store, [*names, *(f"never {i}" for i in range(100))])
    began = time.perf_counter()
    while store.one("select count(*) from headrace.job where look_at <= now()"):
        store.release_waiting()
    looked_s = time.perf_counter() - began
    store.ask("select headrace.emit('event ' || i) from generate_series(0, %s) i", [events - 1])
    released, released_s = release_all(store)
    print(
        f"{jobs} jobs, {events} events: parked in {parked_s:.2f} s, looked at in {looked_s:.2f} s, released in {released_s:.2f} s"
    )
    assert released == jobs
    assert store.ask(
        "select blocked_by like 'event:never%%', count(*) from headrace.job where state = 'blocked' group by 1"
    ) == [(True, 100)]
    assert store.one("select count(*) from headrace.event where not delivered") == 0
    claimed = list(itertools.chain.from_iterable(iter(lambda: store.claim(store.worker(), 1000), [])))
    assert len({attempt.id for attempt in claimed}) == jobs
