"""Limits: what may start, when, and in which order. For the promise as a whole see test_limits_model.py."""

from __future__ import annotations

from typing import TYPE_CHECKING

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
