"""Limits: what may start, when, and in which order. For the promise as a whole see test_limits_model.py."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import psycopg
import pytest

from tests.store.harness import Claimed, ended

if TYPE_CHECKING:
    from tests.store.harness import Store


def ids(claimed: list[Claimed]) -> list[str]:
    return [attempt.id for attempt in claimed]


def test_a_concurrency_limit_of_a_queue(store: Store) -> None:
    """No more run than the limit says; a settle gives the slot to the next in line."""
    store.limit("two", "concurrency", queue="q", bound=2)
    jobs = [store.enqueue() for _ in range(5)]
    worker = store.worker()
    first, _ = store.claim_limited(worker, 10)
    assert ids(first) == jobs[:2]
    assert store.claim_limited(worker, 10)[0] == []
    assert store.settle(worker, ended(first[0])) == []
    second, _ = store.claim_limited(worker, 10)
    assert ids(second) == jobs[2:3]
    store.settle(worker, ended(first[1], "retried", wait_s=60), ended(second[0], "failed"))
    assert ids(store.claim_limited(worker, 10)[0]) == jobs[3:]


def test_keys_have_limits_of_their_own(store: Store) -> None:
    """A busy key is in nobody's way, whoever came first."""
    store.limit("one a user", "concurrency", tasks=["task"], key="user", bound=1)
    busy = [store.enqueue(args={"user": 1}) for _ in range(50)]
    others = [store.enqueue(args={"user": user}) for user in (2, 3)]
    worker = store.worker()
    assert store.claim(worker, 1) == []  # a task with limits came by: its queue is a limited one now
    assert ids(store.claim_limited(worker, 10)[0]) == [busy[0], *others]


def test_plain_jobs_are_limited_when_a_limit_comes(store: Store) -> None:
    """A limit counts for jobs that wait already; when it is removed, they are all free, in their order."""
    jobs = [store.enqueue(args={"user": i % 2}) for i in range(10)]
    worker = store.worker()
    assert ids(store.claim(worker, 1)) == jobs[:1]
    store.limit("one a user", "concurrency", queue="q", key="user")
    assert store.claim(worker, 10) == []
    assert ids(store.claim_limited(worker, 10)[0]) == jobs[1:3]
    store.rows("remove_limit", name="one a user")
    assert store.claim_limited(worker, 10)[0] == []
    assert ids(store.claim(worker, 10)) == jobs[3:]


def moment(seconds: float) -> str:
    """A point of the test's own time."""
    return (datetime(2030, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)).isoformat()


def test_several_limits_apply_to_one_job(store: Store) -> None:
    """A job starts when all of its limits have a place, and takes none of any when one has not."""
    store.limit("all", "concurrency", queue="q", bound=2)
    store.limit("user", "concurrency", queue="q", key="user", bound=1)
    first, second = store.enqueue(args={"user": 1}), store.enqueue(args={"user": 1})
    third, fourth = store.enqueue(args={"user": 2}), store.enqueue(args={"user": 3})
    worker = store.worker()
    claimed, _ = store.claim_limited(worker, 10)
    assert ids(claimed) == [first, third]
    store.settle(worker, ended(claimed[1]))
    assert ids(store.claim_limited(worker, 10)[0]) == [fourth]
    assert second in [row[0] for row in store.ask("select id::text from headrace.job where state = 'queued'")]


def test_lowering_a_limit_lets_holders_finish(store: Store) -> None:
    """Nothing starts until fewer run than the limit says now; raising it starts more at once."""
    store.limit("q", "concurrency", queue="q", bound=3)
    for _ in range(8):
        store.enqueue()
    worker = store.worker()
    running, _ = store.claim_limited(worker, 10)
    store.limit("q", "concurrency", queue="q", bound=1)
    store.settle(worker, *map(ended, running[:2]))
    assert store.claim_limited(worker, 10)[0] == []
    store.limit("q", "concurrency", queue="q", bound=4)
    assert len(store.claim_limited(worker, 10)[0]) == 3


def test_a_dead_workers_slots_come_back_once(store: Store) -> None:
    """Rescue gives back what the dead worker held; a late settle of it gives nothing."""
    store.limit("q", "concurrency", queue="q", bound=2)
    for _ in range(6):
        store.enqueue()
    dead, live = store.worker(), store.worker()
    lost, _ = store.claim_limited(dead, 10)
    store.end_lease(dead)
    store.rescue()
    assert store.settle(dead, *map(ended, lost)) == ids(lost)
    assert len(store.claim_limited(live, 10)[0]) == 2
    assert store.claim_limited(live, 10)[0] == store.claim_limited(live, 1, suspects=True)[0] == []


def test_slots_are_not_lost_with_the_answer_to_a_claim(store: Store) -> None:
    """What a worker does not know that it holds is handed back, and so are its slots; it is first in line again."""
    store.limit("q", "concurrency", queue="q", bound=1)
    job = store.enqueue()
    store.enqueue()
    worker = store.worker()
    assert ids(store.claim_limited(worker, 5)[0]) == [job]
    store.rows("hand_back_unheld", worker_id=worker, held=[])
    assert ids(store.claim_limited(worker, 5)[0]) == [job]


def test_a_rate_spaces_starts_evenly(store: Store) -> None:
    """With a burst of 1, ten a second is one each 100 ms, oldest first, also for jobs that have waited long; the claim says when."""
    store.limit("r", "rate", queue="q", bound=10, span_s=1)
    jobs = [store.enqueue() for _ in range(6)]
    worker = store.worker()
    starts: list[tuple[str, float]] = []
    now_s = 0.0
    while len(starts) < len(jobs):
        claimed, told = store.claim_limited(worker, 10, now=moment(now_s))
        starts += [(attempt.id, now_s) for attempt in claimed]
        assert told["opens_s"] is None or claimed == []
        now_s = round(now_s + (told["opens_s"] if told["opens_s"] is not None else 0.01), 6)
    assert [job for job, _ in starts] == jobs
    times = [at for _, at in starts]
    assert times == pytest.approx([0.0, 0.1, 0.2, 0.3, 0.4, 0.5])
    recorded = store.ask("select claimed_at from headrace.job order by claimed_at")
    assert [(row[0] - recorded[0][0]).total_seconds() for row in recorded] == pytest.approx(times)


def test_a_burst_is_for_those_who_have_waited(store: Store) -> None:
    """After a pause a burst may start at once, and no more than the rate after it."""
    store.limit("r", "rate", queue="q", bound=10, span_s=1, burst=3)
    for _ in range(9):
        store.enqueue()
    worker = store.worker()
    counts = [len(store.claim_limited(worker, 10, now=moment(at))[0]) for at in (0.0, 0.05, 0.1, 0.1, 0.3, 5.0)]
    assert counts == [3, 0, 1, 0, 2, 3]


def test_a_slow_rate_can_be_made_fast(store: Store) -> None:
    """Starts under the old rate count as starts, not as the hours that they would have taken."""
    store.limit("r", "rate", queue="q", bound=1, span_s=3600)
    store.enqueue(), store.enqueue()
    worker = store.worker()
    assert len(store.claim_limited(worker, 10, now=moment(0))[0]) == 1
    assert store.claim_limited(worker, 10, now=moment(10))[1]["opens_s"] == pytest.approx(3590)
    store.limit("r", "rate", queue="q", bound=10, span_s=1, now=moment(10))
    assert len(store.claim_limited(worker, 10, now=moment(10.2))[0]) == 1


@pytest.mark.parametrize("on_failure", ["hold", "skip"])
def test_order_by_key(store: Store, on_failure: str) -> None:
    """One at a time, oldest first; a job that waits for its retry holds its key, or does not, and no other key."""
    store.limit("o", "order", queue="q", key="account", on_failure=on_failure)
    first, second = store.enqueue(args={"account": 1}, max_attempts=3), store.enqueue(args={"account": 1})
    other = store.enqueue(args={"account": 2})
    worker = store.worker()
    claimed, _ = store.claim_limited(worker, 10)
    assert ids(claimed) == [first, other]
    store.settle(worker, ended(claimed[0], "retried", wait_s=60))
    assert ids(store.claim_limited(worker, 10)[0]) == ([] if on_failure == "hold" else [second])
    store.promote("2100-01-01T00:00:00Z")
    if on_failure == "hold":
        (again,), _ = store.claim_limited(worker, 10)
        assert again.id == first
        store.settle(worker, ended(again, "failed"))
        assert ids(store.claim_limited(worker, 10)[0]) == [second]


def test_tenants_take_turns(store: Store) -> None:
    """A tenant who comes last with few jobs does not wait for the thousands of another, nor for their being sorted."""
    store.limit("fair", "fair", queue="q", key="tenant")
    store.rows("enqueue_jobs", jobs=json.dumps([{"task": "t", "queue": "q", "tenant": "large"} for _ in range(5_000)]))
    small = [store.enqueue(tenant="small") for _ in range(10)]
    worker = store.worker()
    claimed = [attempt.id for _ in range(5) for attempt in store.claim_limited(worker, 4)[0]]
    assert set(small) <= set(claimed)


def test_weights_are_turns(store: Store) -> None:
    """Three of one for one of the other, one place at a time."""
    store.limit("fair", "fair", queue="q", key="tenant", weights={"a": 3})
    for _ in range(40):
        store.enqueue(tenant="b"), store.enqueue(tenant="a")
    worker = store.worker()
    tenants = [store.find(store.claim_limited(worker, 1)[0][0].id)["tenant"] for _ in range(24)]
    assert tenants.count("a") == 18
    assert all("b" in tenants[i : i + 5] for i in range(20))


def test_who_was_away_has_no_turns_saved_up(store: Store) -> None:
    """A tenant that comes back takes turns from now on."""
    store.limit("fair", "fair", queue="q", key="tenant")
    for _ in range(50):
        store.enqueue(tenant="a")
    worker = store.worker()
    for _ in range(20):
        store.claim_limited(worker, 1)
    for _ in range(20):
        store.enqueue(tenant="b")
    tenants = [store.find(store.claim_limited(worker, 1)[0][0].id)["tenant"] for _ in range(10)]
    assert 4 <= tenants.count("b") <= 6


def test_ageing_lets_the_unimportant_pass(store: Store) -> None:
    """A job that has waited for long enough goes before a larger priority; one that has not does not."""
    store.limit("a", "ageing", queue="q", span_s=60)
    old = store.enqueue(priority=0)
    store.ask("update headrace.job set run_at = now() - interval '130 seconds'")
    urgent, less = store.enqueue(priority=3), store.enqueue(priority=1)
    worker = store.worker()
    assert [ids(store.claim_limited(worker, 1)[0]) for _ in range(3)] == [[urgent], [old], [less]]


def test_a_breaker(store: Store) -> None:
    """It opens when enough fail, lets probes through after its cool-down, opens again or closes by what they say."""
    store.limit("service", "breaker", tasks=["task"], bound=2, span_s=60, ratio=0.5, minimum=4, cool_down_s=30)
    store.ask("insert into headrace.flow_queue values ('q')")
    for _ in range(30):
        store.enqueue(max_attempts=5)
    worker = store.worker()

    def claim(at_s: float, places: int = 10) -> list[Claimed]:
        return store.claim_limited(worker, places, now=moment(at_s))[0]

    batch = claim(0, 5)
    store.settle(worker, *(ended(attempt, "retried", wait_s=60) for attempt in batch[:2]), *map(ended, batch[2:4]))
    assert claim(1) == []  # two of four failed
    assert store.rows("list_breakers")[0][:2] == ("service", "open")
    store.settle(worker, ended(batch[4]))  # of the time before: says nothing of now
    assert claim(30) == []
    probes = claim(32)
    assert len(probes) == 2
    assert claim(33) == []
    store.settle(worker, ended(probes[0], "snoozed", wait_s=60))  # it said nothing: another may
    more = claim(34)
    assert len(more) == 1
    store.settle(worker, ended(probes[1], "failed"))
    assert claim(35) == []
    assert claim(64) == []
    last = claim(66)
    store.settle(worker, *map(ended, last))
    assert len(claim(67)) == 10
    assert store.rows("list_breakers")[0][:2] == ("service", "closed")
    attempts = store.ask("select attempts from headrace.job where state = 'queued' and run = 0")
    assert {row[0] for row in attempts} == {0}


def test_a_breaker_is_forced(store: Store) -> None:
    """An operator's word holds, whatever attempts say, until it is taken back."""
    store.limit("service", "breaker", tasks=["task"], span_s=60, ratio=0.5, minimum=2, cool_down_s=30)
    store.ask("insert into headrace.flow_queue values ('q')")
    for _ in range(9):
        store.enqueue()
    worker = store.worker()
    assert store.value("force_breaker", name="service", state="open")
    assert store.claim_limited(worker)[0] == []
    assert store.value("force_breaker", name="service", state="closed")
    batch, _ = store.claim_limited(worker, 4)
    store.settle(worker, *(ended(attempt, "failed") for attempt in batch))
    assert len(store.claim_limited(worker, 1)[0]) == 1
    assert store.value("force_breaker", name="service", state=None)
    assert len(store.claim_limited(worker, 1)[0]) == 1
    assert not store.value("force_breaker", name="another", state=None)


@pytest.mark.parametrize("queue", ["q", ""])
def test_a_pause(store: Store, queue: str) -> None:
    """No claim of any kind takes a job of a paused queue; who runs goes on; a pause ends by itself, or by a word."""
    store.enqueue(), store.enqueue()
    worker = store.worker()
    (running,) = store.claim(worker)
    store.rows("pause_queue", queue=queue, reason="deploy", until=None, for_s=None, by=None)
    assert store.claim(worker) == store.claim_suspect(worker) == []
    store.limit("q", "concurrency", queue="q", bound=5)
    assert store.claim_limited(worker)[0] == []
    assert store.settle(worker, ended(running)) == []
    store.rows("pause_queue", queue=queue, reason=None, until="2000-01-01T00:00:00Z", for_s=None, by=None)
    assert len(store.claim_limited(worker)[0]) == 1
    store.rows("pause_queue", queue=queue, reason=None, until=None, for_s=60, by=None)
    assert store.rows("resume_queue", queue=queue)[0][0] is True
    assert store.rows("resume_queue", queue=queue) == []


def test_a_suspect_needs_a_slot_too(store: Store) -> None:
    """A job that was running when its worker was lost takes the slot of its key like any other."""
    store.limit("u", "concurrency", queue="q", key="user")
    job, other = store.enqueue(args={"user": 1}), store.enqueue(args={"user": 1})
    dead, live = store.worker(), store.worker()
    store.claim_limited(dead, 1)
    store.end_lease(dead)
    store.rescue()
    assert ids(store.claim_limited(live, 1)[0]) == [other]
    assert store.claim_limited(live, 1, suspects=True)[0] == []
    store.settle(live, ended(Claimed(other, 1)))
    assert ids(store.claim_limited(live, 1, suspects=True)[0]) == [job]


def test_a_job_held_by_somebody_keeps_no_slot_from_others(store: Store, other: Store) -> None:
    """The first in line is in an operator's open transaction: the claim does not wait, and the next one starts."""
    store.limit("q", "concurrency", queue="q", bound=1)
    held, free = store.enqueue(), store.enqueue()
    worker = store.worker()
    with other.conn.transaction(force_rollback=True):
        other.ask("select from headrace.job where id = %s for update", [held])
        assert ids(store.claim_limited(worker, 1)[0]) == [free]


def test_nobody_passes_by_a_held_job_where_order_counts(store: Store, other: Store) -> None:
    """The first of its key is in an operator's open transaction: the next of the key waits for it, other keys do not."""
    store.limit("o", "order", queue="q", key="account")
    first, second, elsewhere = (store.enqueue(args={"account": account}) for account in (1, 1, 2))
    worker = store.worker()
    with other.conn.transaction(force_rollback=True):
        other.ask("select from headrace.job where id = %s for update", [first])
        assert ids(store.claim_limited(worker, 3)[0]) == [elsewhere]
    assert ids(store.claim_limited(worker, 3)[0]) == [first]
    store.settle(worker, ended(Claimed(first, 1)))
    assert ids(store.claim_limited(worker, 3)[0]) == [second]


def test_large_arguments_have_keys(store: Store) -> None:
    """A key in arguments that live apart from their job counts; a very long one is told from another."""
    store.limit("u", "concurrency", queue="q", key="user")
    long = "u" * 3000
    jobs = [store.enqueue(args={"user": user, "text": "x" * 3000}) for user in (long + "1", long + "1", long + "2")]
    worker = store.worker()
    assert ids(store.claim_limited(worker, 5)[0]) == [jobs[0], jobs[2]]


def test_a_full_queue_counts_jobs_in_lanes(store: Store) -> None:
    """The bound of a queue counts limited jobs, sorted or not."""
    store.limit("u", "concurrency", queue="q", key="user")
    store.rows("set_queue", name="q", concurrency=None, max_queued=2, clear=[])
    store.enqueue(), store.enqueue()
    with pytest.raises(psycopg.DatabaseError) as refusal:
        store.enqueue()
    assert refusal.value.sqlstate == "HR001"


def test_release_while_a_claim_finds_no_slot(store: Store, other: Store, observer: Store) -> None:
    """A settle that commits while a claim has just found no slot is not lost: the next claim starts the job (ENGINE 7)."""
    store.limit("q", "concurrency", queue="q", bound=1)
    store.enqueue()
    waiting = store.enqueue()
    worker = store.worker()
    (running,), _ = store.claim_limited(worker, 5)
    with other.conn.transaction():
        assert other.claim_limited(worker, 5)[0] == []
        # It is uncommitted: who settles does not wait for it, and who claims is told to come again.
        assert store.settle(worker, ended(running)) == []
        assert store.claim_limited(worker, 5)[1] == {"busy": True}
    assert ids(observer.claim_limited(worker, 5)[0]) == [waiting]


def test_an_uncommitted_settle_keeps_its_slot(store: Store, other: Store) -> None:
    """Until a settle commits its job runs: no other starts in its place, whatever order they take."""
    store.limit("q", "concurrency", queue="q", bound=1)
    store.enqueue()
    waiting = store.enqueue()
    worker = store.worker()
    (running,), _ = store.claim_limited(worker, 5)
    with other.conn.transaction():
        other.settle(worker, ended(running))
        assert store.claim_limited(worker, 5)[0] == []
    assert ids(store.claim_limited(worker, 5)[0]) == [waiting]


def test_setting_a_limit_holds_nobody_up(store: Store, other: Store) -> None:
    """An operator who changes a limit in a transaction that he leaves open stops neither claims nor settles (ENGINE 8)."""
    store.limit("q", "concurrency", queue="q", bound=2)
    for _ in range(3):
        store.enqueue()
    worker = store.worker()
    store.ask("set lock_timeout = '1s'")
    with other.conn.transaction():
        other.limit("q", "concurrency", queue="q", bound=3)
        other.limit("new", "concurrency", queue="q", key="user")
        batch, _ = store.claim_limited(worker, 5)
        assert len(batch) == 2
        assert store.settle(worker, *map(ended, batch)) == []
    store.ask("reset lock_timeout")
