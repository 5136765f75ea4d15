"""Who may record a step, and what is kept of it: against rescue, retries, cancelling and time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest

from tests.store.harness import Claimed, InThread, Store, ended

if TYPE_CHECKING:
    from collections.abc import Callable

YEAR_3000 = "3000-01-01T00:00:00Z"


def running(store: Store) -> tuple[int, Claimed]:
    """A job in a worker's hands."""
    worker = store.worker()
    store.enqueue()
    (attempt,) = store.claim(worker)
    return worker, attempt


def lost(store: Store, worker: int) -> tuple[int, Claimed]:
    """The job's next attempt, by another worker, after the first one's lease has lapsed."""
    store.end_lease(worker)
    store.rescue()
    heir = store.worker()
    (attempt,) = store.claim_suspect(heir)
    return heir, attempt


def test_only_the_holder_records(store: Store) -> None:
    """Another run, another lease, a job that does not run or does not exist: nothing is written."""
    worker, attempt = running(store)
    stranger = store.worker()
    waiting = store.enqueue()
    for by, whose in (
        (stranger, attempt),
        (worker, Claimed(attempt.id, 0)),
        (worker, Claimed(attempt.id, 2)),
        (worker, Claimed(waiting, 0)),
        (0, Claimed(waiting, 0)),
        (worker, Claimed(store.new_id(), 1)),
    ):
        assert not store.record(by, whose, 1, result="1")
        assert store.await_event(by, whose, 1, "event") is None
        assert store.steps(whose.id) == []
    assert store.record(worker, attempt, 1, name="charge", result='{"paid": 7}')
    assert store.steps(attempt.id) == [(1, "call", "charge", 1, "done", '{"paid": 7}', None)]


@pytest.mark.parametrize("end", ["succeeded", "failed", "retried", "snoozed", "handed_back", "cancelled"])
def test_nothing_is_recorded_after_the_end(store: Store, end: str) -> None:
    """An attempt that has been settled records no more steps, whatever became of its job."""
    worker, attempt = running(store)
    assert store.settle(worker, ended(attempt, end)) == []
    assert not store.record(worker, attempt, 1)
    assert store.await_event(worker, attempt, 1, "event") is None
    assert store.steps(attempt.id) == []


def test_the_next_attempt_sees_what_the_last_one_recorded(store: Store) -> None:
    """And the zombie adds nothing to it."""
    worker, attempt = running(store)
    assert store.record(worker, attempt, 1, result="1")
    heir, second = lost(store, worker)
    assert not store.record(worker, attempt, 2, result='"zombie"')
    assert store.record(heir, second, 2, result='"heir"')
    assert [(row[0], row[3], row[5]) for row in store.steps(attempt.id)] == [(1, 1, "1"), (2, 2, '"heir"')]


@pytest.mark.parametrize("end", ["commit", "rollback"])
@pytest.mark.parametrize("patient", [True, False])
def test_a_record_while_a_rescue_is_uncommitted(
    store: Store, other: Store, observer: Store, end: str, patient: bool
) -> None:
    """A patient one waits, and counts if the rescue never was; others give up at once, and try again later."""
    worker, attempt = running(store)
    store.end_lease(worker)
    with InThread(other, lambda: other.record(worker, attempt, 1, result="1", patient=patient)) as late:
        store.ask("begin")
        assert store.rescue() == {attempt.id: "lost"}
        late.start()
        if patient:
            assert late.waits(observer)
        else:
            with pytest.raises(psycopg.errors.LockNotAvailable):
                late.answer()
        store.ask(end)
        if patient:
            assert late.answer() == (end == "rollback")
    assert len(store.steps(attempt.id)) == (patient and end == "rollback")


def test_a_rescue_while_a_record_is_uncommitted(store: Store, other: Store) -> None:
    """It leaves the job for its next round: the next attempt then sees the step. Neither waits for the other."""
    worker, attempt = running(store)
    store.end_lease(worker)
    with other.conn.transaction():
        assert other.record(worker, attempt, 1, result="1")
        assert store.rescue() == {}
    assert store.rescue() == {attempt.id: "lost"}
    (second,) = store.claim_suspect(store.worker())
    assert [row[0] for row in store.steps(second.id)] == [1]


@pytest.mark.parametrize("end", ["commit", "rollback"])
def test_a_step_that_is_sent_again_is_recorded_once(store: Store, other: Store, observer: Store, end: str) -> None:
    """When the answer was lost: while the first statement is still at work, and after it."""
    worker, attempt = running(store)
    with InThread(other, lambda: other.record(worker, attempt, 1, result='"again"', again=True, patient=True)) as late:
        store.ask("begin")
        assert store.record(worker, attempt, 1, result='"first"')
        late.start()
        assert late.waits(observer)
        store.ask(end)
        assert late.answer()
    assert store.record(worker, attempt, 1, result='"once more"', again=True)
    assert [row[5] for row in store.steps(attempt.id)] == ['"first"' if end == "commit" else '"again"']


def test_a_wait_that_is_sent_again_is_recorded_once(store: Store) -> None:
    """And what was found stays, though the event has come since."""
    worker, attempt = running(store)
    assert store.await_event(worker, attempt, 1, "paid", timeout_s=60) == ("waiting", None)
    assert store.await_event(worker, attempt, 1, "paid", timeout_s=60) == ("waiting", None)
    assert store.await_event(worker, attempt, 2, "paid", timeout_s=0) == ("timed_out", None)
    assert store.emit("paid", 7)
    assert store.await_event(worker, attempt, 2, "paid", timeout_s=0) == ("timed_out", None)
    assert store.await_event(worker, attempt, 1, "paid", timeout_s=60) == ("done", "7")
    assert store.await_event(worker, attempt, 1, "paid", timeout_s=60) == ("done", "7")
    assert [(row[0], row[4], row[5]) for row in store.steps(attempt.id)] == [(1, "done", "7"), (2, "timed_out", None)]


def test_time_is_the_database_s(store: Store) -> None:
    """What is left of a sleep is counted from when it was first asked for."""
    worker, attempt = running(store)
    assert store.record(worker, attempt, 1, kind="sleep", wait_s=3600, now="2026-11-25T12:00:00Z")
    lefts = {
        now: store.steps(attempt.id, now=f"2026-11-25T{now}:00Z")[0][6] for now in ("12:00", "12:59", "13:00", "18:00")
    }
    assert lefts == {"12:00": 3600, "12:59": 60, "13:00": 0, "18:00": -18000}


def test_steps_hold_up_no_settle_of_others(store: Store, other: Store) -> None:
    """A handler's open transaction that records a step holds its own job only; and nobody's claim waits for it."""
    worker, attempt = running(store)
    store.enqueue()
    (neighbour,) = store.claim(worker)
    waiting = store.enqueue()
    with other.conn.transaction():
        assert other.record(worker, attempt, 1, patient=True)
        assert store.settle(worker, ended(neighbour)) == []
        assert [claimed.id for claimed in store.claim(worker)] == [waiting]


def finish(store: Store, outcome: str) -> str:
    """A job with a step, finished or to be retried."""
    worker, attempt = running(store)
    assert store.record(worker, attempt, 1, result="1")
    assert store.settle(worker, ended(attempt, outcome, wait_s=3600)) == []
    return attempt.id


@pytest.mark.parametrize(
    ("outcome", "from_start", "kept"),
    [
        ("failed", False, 1),
        ("cancelled", False, 1),
        ("succeeded", False, 0),
        ("failed", True, 0),
        ("retried", False, 1),
    ],
)
def test_what_a_retry_keeps(store: Store, outcome: str, from_start: bool, kept: int) -> None:
    """The steps of what did not succeed, unless told otherwise; and never anybody else's."""
    job, bystander = finish(store, outcome), finish(store, "failed")
    assert store.retry(job, from_start=from_start) == [job]
    assert len(store.steps(job)) == kept
    assert len(store.steps(bystander)) == 1


def test_a_scheduled_job_starts_anew_if_told_to(store: Store) -> None:
    """A sleeping one, too."""
    worker, attempt = running(store)
    store.record(worker, attempt, 1, kind="sleep", wait_s=3600)
    store.settle(worker, ended(attempt, "snoozed", wait_s=3600))
    assert store.retry(attempt.id, from_start=True) == [attempt.id]
    assert store.steps(attempt.id) == []
    assert store.state(attempt.id) == "queued"


def test_a_deleted_job_leaves_no_steps(store: Store) -> None:
    """Another one of the same id would take them for its own."""
    job, bystander = finish(store, "failed"), finish(store, "failed")
    assert store.delete(job) == [job]
    assert store.one("select count(*) from headrace.step where job_id = %s", [job]) == 0
    assert len(store.steps(bystander)) == 1


def test_a_missing_partition_is_told_from_other_failures(fresh: Store) -> None:
    """As settles do: no constraint has a name."""
    for (name,) in fresh.ask("select name from headrace.list_partitions() where parent = 'step'"):
        fresh.ask(f"drop table headrace.{name}")
    worker, attempt = running(fresh)
    with pytest.raises(psycopg.errors.CheckViolation) as missing:
        fresh.record(worker, attempt, 1)
    assert missing.value.diag.constraint_name is None
    fresh.rows("create_partitions_now")
    assert fresh.record(worker, attempt, 1)


@pytest.mark.parametrize(
    ("put_away", "dropped"),
    [
        (lambda store, job: None, False),
        (lambda store, job: store.cancel(job), False),
        (lambda store, job: (store.cancel(job), store.delete(job)), True),
    ],
    ids=["unfinished", "finished", "gone"],
)
def test_steps_are_kept_as_long_as_their_job(
    fresh: Store, put_away: Callable[[Store, str], object], dropped: bool
) -> None:
    """At least ninety days; then a day's steps go when no job, finished or not, has any of them."""
    worker, attempt = running(fresh)
    fresh.record(worker, attempt, 1)
    fresh.settle(worker, ended(attempt, "snoozed", wait_s=1e8))
    partition = fresh.one("select tableoid::regclass::text from headrace.step").removeprefix("headrace.")
    put_away(fresh, attempt.id)
    soon = fresh.one("select (now() + interval '89 days')::text")
    assert not fresh.value("drop_partition", name=partition, now=soon)
    assert fresh.value("drop_partition", name=partition, now=YEAR_3000) == dropped
