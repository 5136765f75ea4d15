"""The findings of ENGINE.md that the store can show: each test is named after its number there."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import secrets
import time
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from headrace._store.database import Database
from headrace._worker.maintenance import Maintenance
from headrace._worker.settles import Settles, settle_parameters
from headrace._worker.timings import Timings
from tests.store.harness import Claimed, InThread, Store, ended, scan_of, superuser_url, wait_until, waiting

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from conftest import DatabaseServer

Fields = dict[str, Any]


@pytest.fixture
async def database_of_store(store: Store) -> AsyncIterator[Database]:
    """What a worker has: the shared store's database through our own pool."""
    database = Database(store.url, "headrace")
    await database.open()
    yield database
    await database.close()


async def nothing_to_report() -> None:
    """No handler reported anything."""


# -- 1: a claim whose answer is lost --


def test_1_a_claim_that_has_not_committed_is_not_overlooked(store: Store, other: Store) -> None:
    """A worker that gave up waiting for its claim cannot hand back while that is at work, and then finds what it took."""
    worker, job = store.worker(), store.enqueue()
    with store.conn.transaction():
        assert store.claim(worker)
        with pytest.raises(psycopg.errors.LockNotAvailable):
            other.rows("hand_back_unheld", worker_id=worker, held=[])
    assert other.rows("hand_back_unheld", worker_id=worker, held=[]) == [(job,)]
    assert store.state(job) == "queued"


def test_1_what_is_held_is_not_handed_back(store: Store) -> None:
    """A worker keeps what it knows of, and gives back the rest with its place in the line."""
    worker = store.worker()
    first, second, third = (store.enqueue() for _ in range(3))
    store.claim(worker, 2)
    assert store.rows("hand_back_unheld", worker_id=worker, held=[first]) == [(second,)]
    assert [attempt.id for attempt in store.claim(worker, 3)] == [second, third]


# -- 2: unique while queued --


@pytest.mark.parametrize("end", ["settle", "rescue"])
@pytest.mark.parametrize("scope", ["queued", "unfinished"])
def test_2_no_transition_takes_a_key(store: Store, scope: str, end: str) -> None:
    """A job whose key went to another while it ran is retried and rescued like any other, and so are its neighbours."""
    worker = store.worker()
    job, neighbour = store.enqueue(unique_key="k", unique_scope=scope), store.enqueue()
    attempts = store.claim(worker, 2)
    second, existed = store.place(unique_key="k", unique_scope=scope)
    assert existed == (scope == "unfinished")
    if end == "settle":
        assert store.settle(worker, *(ended(attempt, "retried") for attempt in attempts)) == []
    else:
        store.end_lease(worker)
        assert store.rescue() == {job: "lost", neighbour: "lost"}
    assert {store.state(i) for i in (job, neighbour, second)} == {"queued"}


def test_2_keys_of_other_tasks_and_tenants_are_other_keys(store: Store) -> None:
    """The same key string of another task or tenant is free."""
    placed = [
        store.place("a", unique_key="k"),
        store.place("b", unique_key="k"),
        store.place("a", unique_key="k", tenant="t"),
        store.place("a", unique_key="k"),
    ]
    assert [existed for _, existed in placed] == [False, False, False, True]


# -- 3: one bad value --


BAD = {
    "NUL in a result": {"result": '"a\\u0000b"'},
    "NUL character": {"result": '"a\x00b"'},
    "half a surrogate pair": {"result": '"\\ud800"'},
    "not a number": {"result": "NaN"},
    "an error that is no JSON": {"outcome": "failed", "error": "{"},
    "an error with a NUL": {"outcome": "retried", "error": '{"message": "\\u0000"}'},
    "an endless wait": {"outcome": "snoozed", "wait_s": 1e300},
    "a wait that is no number": {"outcome": "snoozed", "wait_s": float("nan")},
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD.keys())
async def test_3_one_bad_value_fails_alone(store: Store, database_of_store: Database, bad: dict[str, Any]) -> None:
    """What cannot be stored of one attempt fails that job, with the reason; its neighbours in the batch are settled."""
    worker = store.worker()
    for _ in range(9):
        store.enqueue()
    attempts = store.claim(worker, 9)
    culprit = attempts[4]
    batch = [ended(attempt, **bad) if attempt is culprit else ended(attempt, result="1") for attempt in attempts]
    await Settles(database_of_store, worker, nothing_to_report).settle(batch)
    assert {attempt.id: store.state(attempt.id) for attempt in attempts} == {
        attempt.id: "failed" if attempt is culprit else "succeeded" for attempt in attempts
    }
    assert "could not be stored" in store.find(culprit.id)["error"]["message"]


# -- 5: a claim races a rescue --


def test_5_a_rescue_does_not_miss_a_late_claim(store: Store, other: Store, observer: Store) -> None:
    """A claim that saw its lease alive commits before the lease can end, so that the rescue sees its jobs."""
    worker, job = store.worker(), store.enqueue()
    end = InThread(other, lambda: other.end_lease(worker))
    with end, store.conn.transaction():
        assert store.claim(worker)
        end.start()
        assert end.waits(observer)
        assert observer.rescue() == {}
    assert end.answer()
    assert store.rescue() == {job: "lost"}


def test_5_a_claim_without_a_lease_takes_nothing(store: Store, other: Store, observer: Store) -> None:
    """A claim that waits for the end of its own lease comes back empty."""
    worker = store.worker()
    store.enqueue()
    claim = InThread(other, lambda: other.claim(worker))
    with claim, store.conn.transaction():
        assert store.end_lease(worker)
        claim.start()
        assert claim.waits(observer)
    assert claim.answer() == []


# -- 6: leases judged by beats --


class Observer:
    """A worker's look at the others' beats, with a clock that only the test moves."""

    def __init__(self, database: Database, timings: Timings) -> None:
        self.now = 1000.0
        self.timings = timings
        self.maintenance = Maintenance(database, timings, [], clock=lambda: self.now)

    async def look_for(self, seconds: float, beat: Callable[[], object]) -> None:
        """Look as often as a worker does, for so long; `beat` happens before each look."""
        for _ in range(int(seconds / self.timings.look_s) + 1):
            beat()
            await self.maintenance._rescue()
            self.now += self.timings.look_s


def live(store: Store) -> list[int]:
    """The leases there are."""
    return [row[0] for row in store.ask("select id from headrace.worker order by id")]


async def test_6_a_stopped_beat_is_a_death(store: Store, database_of_store: Database) -> None:
    """A lease that does not beat for its length while others do is ended, and its jobs are taken back."""
    silent, beating = store.worker(), store.worker()
    job = store.enqueue()
    store.claim(silent)
    observer = Observer(database_of_store, Timings())

    def beat() -> None:
        store.rows("beat_workers", worker_ids=[beating])

    await observer.look_for(observer.timings.lease_s - 2, beat)
    assert live(store) == [silent, beating]
    await observer.look_for(6, beat)
    assert live(store) == [beating]
    assert store.state(job) == "queued"


async def test_6_an_outage_is_nobodys_death(store: Store, database_of_store: Database) -> None:
    """When nobody could beat or look for a minute, nobody is dead: the first look after it begins anew."""
    workers = [store.worker(), store.worker()]
    observer = Observer(database_of_store, Timings())
    await observer.look_for(4, lambda: None)
    observer.now += 60
    await observer.look_for(observer.timings.lease_s - 2, lambda: None)
    assert live(store) == workers


async def test_6_a_beat_at_the_last_moment_saves_the_lease(store: Store, database_of_store: Database) -> None:
    """A lease that has beaten since it was observed is not ended by who observed it."""
    worker = store.worker()
    ((_, seen),) = store.rows("list_beats")
    store.rows("beat_workers", worker_ids=[worker])
    assert await database_of_store.rows("end_lease", worker_id=worker, beat=seen) == []
    assert live(store) == [worker]


async def test_6_jobs_of_an_ended_lease_are_taken_back_by_whoever_looks_next(
    store: Store, database_of_store: Database
) -> None:
    """A worker that ended a lease and died before the rescue leaves nothing behind: everybody sweeps now and then."""
    worker, job = store.worker(), store.enqueue()
    store.claim(worker)
    store.end_lease(worker)
    observer = Observer(database_of_store, Timings())
    await observer.look_for(0, lambda: None)
    assert store.state(job) == "queued"


# -- 13: a sequence that lags after a failover --


def test_13_jobs_are_claimable_though_the_sequence_went_back(store: Store) -> None:
    """Positions that come a second time hide no job."""
    worker, place = store.worker(), store.one("select last_value from headrace.job_position")
    jobs = {store.enqueue() for _ in range(3)}
    assert len(store.claim(worker, 1)) == 1
    store.ask("select setval('headrace.job_position', %s)", [place])
    jobs |= {store.enqueue() for _ in range(3)}
    store.ask("select setval('headrace.job_position', %s)", [place + 1000])
    assert len(store.claim(worker, 10)) == len(jobs) - 1


# -- 17: deadlocks --


@pytest.mark.direct
async def test_17_a_deadlock_reaches_nobody(
    store: Store, server: DatabaseServer, database_of_store: Database, observer: Store
) -> None:
    """A statement over many jobs that is chosen to end a deadlock is run again, and succeeds.

    A settle and a hand-back get into none: they wait for nobody for long, and are tried again (see test_hostile.py).
    """
    worker = store.worker()
    low, high = sorted(store.enqueue() for _ in range(2))
    store.claim(worker, 2)
    lock = "select from headrace.job where id = %s for update"
    with psycopg.connect(superuser_url(server, store.url), autocommit=True) as bulk:
        bulk.execute("set deadlock_timeout = '60s'")  # the other one is chosen
        with bulk.transaction():
            bulk.execute(lock, [high])
            statement = asyncio.create_task(database_of_store.rows("cancel_jobs", ids=[low, high], reason="because"))
            await asyncio.to_thread(wait_until, lambda: waiting(observer) == 1, "the statement waits for the other")
            await asyncio.to_thread(bulk.execute, lock, [low])
        await statement
    assert {store.state(low), store.state(high)} == {"running"}


# -- 18: partitions --


async def test_18_a_missing_day_does_not_fail_a_settle(fresh: Store) -> None:
    """Outcomes of every kind are recorded though nobody made today's partitions."""
    for (name,) in fresh.ask("select name from headrace.list_partitions()"):
        fresh.ask(f"drop table headrace.{name}")
    worker = fresh.worker()
    jobs = [fresh.enqueue() for _ in range(4)]
    attempts = fresh.claim(worker, 4)
    database = Database(fresh.url, "headrace")
    await database.open()
    outcomes = ["succeeded", "failed", "retried", "cancelled"]
    batch = [ended(attempt, outcome) for attempt, outcome in zip(attempts, outcomes, strict=True)]
    await Settles(database, worker, nothing_to_report).settle(batch)
    await database.close()
    assert [fresh.state(job) for job in jobs] == ["succeeded", "failed", "queued", "cancelled"]


@pytest.mark.direct
def test_18_dropping_a_partition_that_is_read_stops_nobody(fresh: Store) -> None:
    """The drop gives up after a moment instead of making settles wait behind the reader; later it succeeds."""
    worker = fresh.worker()
    for _ in range(2):
        fresh.enqueue()
    first, second = fresh.claim(worker, 2)
    name = fresh.one("select min(name) from headrace.list_partitions() where parent = 'job_history_long'")
    with fresh.another() as reader, fresh.another() as dropper, fresh.another() as observer:
        drop = InThread(dropper, lambda: dropper.value("drop_partition", name=name, now="2100-01-01"))
        with drop, reader.conn.transaction():
            reader.ask("select count(*) from headrace.job_history")
            began = time.monotonic()
            drop.start()
            drop.waits(observer)
            assert fresh.settle(worker, ended(first)) == []
            assert drop.answer() is False
            assert time.monotonic() - began < 2
        assert fresh.settle(worker, ended(second)) == []
        assert dropper.value("drop_partition", name=name, now="2100-01-01") is True


@pytest.mark.direct
def test_18_partitions_are_added_beside_open_settles_and_readers(fresh: Store) -> None:
    """Making the days ahead waits for nobody, and nobody waits for it."""
    worker = fresh.worker()
    fresh.enqueue()
    (attempt,) = fresh.claim(worker)
    day = fresh.one("select current_date + 40")
    with fresh.another() as maker, fresh.another() as observer:
        make = InThread(maker, lambda: maker.value("create_partitions", first_day=day, last_day=day))
        with make, fresh.conn.transaction():
            assert fresh.settle(worker, ended(attempt)) == []
            fresh.ask("select count(*) from headrace.jobs")
            make.start()
            assert not make.waits(observer)
        assert make.answer() == 7


# -- 19: keys and ids that span history --


def test_19_a_key_for_a_period_outlives_its_job(store: Store) -> None:
    """Until the period is over the key leads to its job, finished or deleted; then it is free."""
    worker = store.worker()
    unique: Fields = {"unique_key": "k", "unique_scope": "period", "unique_for_s": 3600}
    job = store.enqueue(**unique)
    store.settle(worker, ended(store.claim(worker)[0]))
    assert store.place(**unique) == (job, True)
    store.delete(job)
    assert store.place(**unique) == (job, True)
    store.ask("update headrace.enqueue_key set expires_at = now()")
    second, existed = store.place(**unique)
    assert (existed, second == job) == (False, False)


def test_19_expired_keys_are_deleted_and_others_kept(store: Store) -> None:
    """The table of keys holds what still counts."""
    store.enqueue(unique_key="short", unique_scope="period", unique_for_s=60)
    store.enqueue(unique_key="long", unique_scope="period", unique_for_s=36000)
    store.rows("delete_expired_keys", now=store.one("select (now() + interval '1 hour')::text"), chunk=10)
    assert store.ask("select key from headrace.enqueue_key") == [("long",)]


@pytest.mark.parametrize("scope", ["queued", "unfinished", "period"])
@pytest.mark.parametrize("on_conflict", ["keep", "reject", "replace"])
@pytest.mark.parametrize("claimed", [False, True])
def test_19_the_same_request_again_is_the_same_job(store: Store, scope: str, on_conflict: str, claimed: bool) -> None:
    """A request that is repeated because its answer was lost finds its own job, whether that waits or runs by now."""
    request: Fields = {
        "id": store.new_id(),
        "unique_key": "k",
        "unique_scope": scope,
        "unique_for_s": 60,
        "on_conflict": on_conflict,
    }
    with store.conn.transaction():
        store.ask("set local statement_timeout = '5s'")
        job = store.enqueue(**request)
        if claimed:
            store.claim(store.worker())
        assert store.place(**request) == (job, False)
        assert store.one("select count(*) from headrace.job") == 1


def test_19_an_id_that_tells_no_time_is_refused(store: Store) -> None:
    """Finished jobs are found by the time in their id: another kind of UUID would hide them."""
    with pytest.raises(psycopg.DatabaseError, match="version 7") as refusal:
        store.enqueue(id="7b1c2f0e-32a5-4f5e-9d1e-6a1f0f9d2b11")
    assert refusal.value.sqlstate == "HR003"


# -- 20: ON CONFLICT --


def enqueue_holder(store: Store, worker: int) -> None:
    store.enqueue(unique_key="k", unique_scope="queued")


def settle_holder(store: Store, worker: int) -> None:
    store.settle(worker, ended(Claimed(store.one("select id::text from headrace.job"), 1)))


def cancel_holder(store: Store, worker: int) -> None:
    store.cancel(store.one("select id::text from headrace.job"))


def claim_holder(store: Store, worker: int) -> None:
    store.claim(worker)


@pytest.mark.parametrize("end", ["commit", "rollback"])
@pytest.mark.parametrize(
    ("before", "meanwhile", "held_after"),
    [
        ("nothing", enqueue_holder, {"commit": True, "rollback": False}),
        ("running", settle_holder, {"commit": False, "rollback": True}),
        ("queued", cancel_holder, {"commit": False, "rollback": True}),
        ("queued", claim_holder, {"commit": False, "rollback": True}),
    ],
)
def test_20_insert_or_get_always_gets(
    store: Store, other: Store, observer: Store, before: str, meanwhile: Callable[[Store, int], None],
    held_after: dict[str, bool], end: str,
) -> None:  # fmt: skip
    """Whoever enqueues while the key's holder comes or goes waits for that, and then has a job: the holder or a new one."""
    worker = store.worker()
    if before != "nothing":
        store.enqueue(unique_key="k", unique_scope="unfinished" if before == "running" else "queued")
    if before == "running":
        store.claim(worker)
    late = InThread(other, lambda: other.place(unique_key="k", unique_scope="queued"))
    with late:
        store.ask("begin")
        meanwhile(store, worker)
        late.start()
        assert late.waits(observer)
        store.ask(end)
        job, existed = late.answer()
    assert existed is held_after[end]
    assert store.state(job) in ("queued", "running")


@pytest.mark.parametrize("scope", ["unfinished", "period"])
def test_20_a_caller_in_repeatable_read_is_told(store: Store, other: Store, scope: str) -> None:
    """A key that was taken after the caller's snapshot is a serialisation failure, never silence."""
    unique: Fields = {"unique_key": "k", "unique_scope": scope, "unique_for_s": 60}
    store.ask("begin isolation level repeatable read")
    store.ask("select count(*) from headrace.job")
    other.enqueue(**unique)
    with pytest.raises(psycopg.errors.SerializationFailure):
        store.place(**unique)
    store.ask("rollback")
    assert store.place(**unique)[1]


@pytest.mark.parametrize("on_conflict", ["replace", "reschedule"])
def test_20_debouncing_changes_nothing_that_runs(store: Store, other: Store, observer: Store, on_conflict: str) -> None:
    """A job that is claimed while somebody wants to replace it runs with what it was claimed with."""
    worker = store.worker()
    job = store.enqueue(unique_key="k", args={"n": 1})
    late = InThread(other, lambda: other.place(unique_key="k", args={"n": 2}, delay_s=60, on_conflict=on_conflict))
    with late, store.conn.transaction():
        store.claim(worker)
        late.start()
        assert late.waits(observer)
    assert late.answer() == (job, True)
    assert (store.state(job), store.find(job)["args"]) == ("running", {"n": 1})


def test_20_enqueuers_of_the_same_keys_do_not_deadlock(store: Store, other: Store, observer: Store) -> None:
    """Keys are taken in one order, whatever the order of the jobs."""

    def several(keys: str) -> str:
        return json.dumps([{"task": "task", "queue": "q", "unique_key": key} for key in keys])

    late = InThread(other, lambda: other.rows("enqueue_jobs", jobs=several("ba")))
    with late, store.conn.transaction():
        store.rows("enqueue_jobs", jobs=several("a"))
        late.start()
        assert late.waits(observer)
        store.rows("enqueue_jobs", jobs=several("b"))
    assert [existed for _, _, existed in late.answer()] == [True, True]


# -- 21: large arguments --


def test_21_large_arguments_are_written_once(store: Store) -> None:
    """Enqueueing, claiming and settling jobs of 20 kB of arguments writes little more WAL than the arguments."""
    size, count, worker = 20_000, 10, store.worker()

    def wal_of(name: str, **parameters: Any) -> int:
        (plan,) = store.explained(name, "analyze, wal, format json", parameters)
        return int(plan["Plan"]["WAL Bytes"])

    def work_through() -> int:
        jobs = [
            {
                "task": "t",
                "queue": "large",
                "args": {"blob": base64.b64encode(secrets.token_bytes(size * 3 // 4)).decode()},
            }
            for _ in range(count)
        ]
        written = wal_of("enqueue_jobs", jobs=json.dumps(jobs))
        written += wal_of("claim_jobs", worker_id=worker, places=[count], **scan_of("large"))
        attempts = [Claimed(*row) for row in store.ask("select id::text, run from headrace.job")]
        return written + wal_of("settle_jobs", **settle_parameters(worker, [ended(attempt) for attempt in attempts]))

    work_through()  # pages that are changed for the first time since a checkpoint are written whole
    assert size * count < work_through() < 1.3 * size * count


def test_21_large_arguments_are_read_where_they_are_needed(store: Store) -> None:
    """A claim carries no large arguments; the start of the job and every reader find them, before and after its end."""
    worker, args = store.worker(), {"blob": "x" * 3000}
    job = store.enqueue(args=args)
    row = store.claimed_rows(worker, {"q": 1})[0]
    assert row[4] is None
    assert json.loads(store.value("read_payload", id=job)) == args
    assert store.find(job)["args"] == args
    store.settle(worker, ended(Claimed(job, 1)))
    assert store.find(job)["args"] == args
    assert store.one("select args from headrace.jobs where id = %s", [job]) == args


def test_21_a_job_that_waited_longer_than_its_day_takes_large_arguments(store: Store) -> None:
    """Arguments that grow after days are written to today's partition, not to one that may be gone."""
    job = store.enqueue(unique_key="k", delay_s=3600)
    store.ask("update headrace.job set created_at = now() - interval '30 days'")
    blob = {"blob": "x" * 3000}
    store.enqueue(unique_key="k", delay_s=3600, on_conflict="replace", args=blob)
    assert store.find(job)["args"] == blob
    store.ask("update headrace.job set created_at = now() - interval '30 days'")
    blob = {"blob": "y" * 3000}
    assert store.retry(job, args=blob) == [job]
    assert store.find(job)["args"] == blob
    assert json.loads(store.value("read_payload", id=job)) == blob


# -- 22: foreign keys --


def test_22_nothing_refers_to_the_hot_table(store: Store) -> None:
    """There is no foreign key whose checks would lock, or cascade from, jobs."""
    assert (
        store.ask(
            "select conname from pg_constraint where contype = 'f' and conrelid::regclass::text not like '%access%'"
        )
        == []
    )


# -- 25: the fence is not the budget --


@pytest.mark.parametrize("outcome", ["snoozed", "handed_back", "parked", "lost"])
def test_25_only_retries_spend_attempts(store: Store, outcome: str) -> None:
    """However an attempt ends without having failed, the budget stays, the run rises, and the old run settles nothing."""
    worker = store.worker()
    job = store.enqueue()
    (old,) = store.claim(worker)
    if outcome == "lost":
        store.end_lease(worker)
        store.rescue()
        worker = store.worker()
    else:
        assert store.settle(worker, ended(old, outcome)) == []
        store.rows("release_parked", tasks=["task"], chunk=10)
    (new,) = store.claim(worker) or store.claim_suspect(worker)
    assert (new.run, store.find(job)["attempts"]) == (old.run + 1, 0)
    assert store.settle(worker, ended(old)) == [job]
    assert store.state(job) == "running"


# -- 33: NOTIFY --


def notifications(store: Store, channel: str = "headrace_wake") -> list[str]:
    """What came on the channel before this call."""
    end = secrets.token_hex(4)
    with store.another() as sender:
        sender.ask("select pg_notify(%s, %s)", [channel, end])
    heard: list[str] = []
    for notification in store.conn.notifies(timeout=10):
        if notification.payload == end:
            return heard
        heard.append(notification.payload)
    raise AssertionError("the last notification did not come")


@pytest.mark.direct
def test_33_one_notification_for_each_call(store: Store, other: Store) -> None:
    """However many jobs a call or a transaction enqueues, each queue is notified once, at COMMIT."""
    store.ask("listen headrace_wake")
    jobs = json.dumps([{"task": "t", "queue": queue} for queue in ("q", "r", "q", "q")])
    other.rows("enqueue_jobs", jobs=jobs)
    assert sorted(notifications(store)) == ["q", "r"]
    with other.conn.transaction():
        other.rows("enqueue_jobs", jobs=jobs)
        other.enqueue(unique_key="k")
        assert notifications(store) == []
    assert sorted(notifications(store)) == ["q", "r"]
    store.ask("unlisten *")


@pytest.mark.direct
def test_33_nobody_is_woken_for_nothing(store: Store, other: Store, observer: Store) -> None:
    """What is rolled back, or is not due, or is announced by another transaction at the same time, notifies nobody."""
    store.ask("listen headrace_wake")
    with other.conn.transaction(force_rollback=True):
        other.enqueue()
    other.enqueue(delay_s=60)
    with observer.conn.transaction():
        observer.ask("select pg_advisory_xact_lock(headrace.lock_key(), hashtext('q'))")
        other.enqueue()
    assert notifications(store) == []
    store.ask("unlisten *")


@pytest.mark.direct
def test_33_whatever_makes_jobs_claimable_wakes_workers(store: Store, other: Store) -> None:
    """Promotion, an operator's retry, and an attempt that is to run again at once are announced too."""
    worker, job = other.worker(), other.enqueue(delay_s=60)
    store.ask("listen headrace_wake")
    other.promote("2100-01-01")
    assert notifications(store) == ["q"]
    other.settle(worker, ended(other.claim(worker)[0], "retried"))
    assert notifications(store) == ["q"]
    other.settle(worker, ended(other.claim(worker)[0], "failed"))
    assert other.retry(job) == [job]
    assert notifications(store) == ["q"]
    store.ask("unlisten *")


# -- 35: old code and new columns --


def test_35_statements_name_their_columns() -> None:
    """No query depends on the columns that a table has today."""
    for entry in (files("headrace") / "_store" / "queries").iterdir():
        statement = re.sub(r"--.*", "", entry.read_text())
        assert not re.search(r"(?:select|returning|,)\s+(?:\w+\.)?\*", statement, re.IGNORECASE), entry.name


def test_35_a_job_of_an_unknown_task_is_parked_until_somebody_knows_it(store: Store) -> None:
    """It waits, explained, and goes back to the line when a worker registers its task, and no other."""
    worker = store.worker()
    known, unknown = store.enqueue("known"), store.enqueue("unknown")
    for attempt in store.claim(worker, 2):
        store.settle(worker, ended(attempt, "parked", error='{"kind": "unknown task", "message": "no such task"}'))
    assert store.find(unknown)["blocked_by"] == "task"
    assert store.rows("list_attempts", id=unknown)[0][5]["kind"] == "unknown task"
    assert store.rows("release_parked", tasks=["known"], chunk=10) == [(known,)]
    assert [attempt.id for attempt in store.claim(worker, 2)] == [known]
    assert store.state(unknown) == "blocked"
