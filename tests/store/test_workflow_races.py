"""Forced interleavings: whatever happens to a workflow at the same time, nothing is lost, and nothing waits (ENGINE 7, 8)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest

from tests.store.harness import InThread, ended
from tests.store.workflows import Graph, lies

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.store.harness import Store

pytestmark = pytest.mark.direct  # a session in which waiting is an error

JOIN = {"a": [], "b": [], "c": ["a", "b"]}


@pytest.fixture
def graph(store: Store) -> Graph:
    """A workflow that is not started yet."""
    return Graph(store)


@pytest.fixture
def impatient(other: Store) -> Iterator[Store]:
    """A connection on which waiting for any lock is an error."""
    other.ask("set lock_timeout = '1ms'")
    yield other
    other.conn.rollback()
    other.ask("reset lock_timeout")


def changed(store: Store) -> list[str]:
    """What the sweep finds."""
    return [row[0] for row in store.rows("list_changed_workflows", seconds=3600)]


def test_two_workers_settle_two_parents_at_the_same_instant(store: Store, impatient: Store, graph: Graph) -> None:
    """Neither settle waits for the other, and whoever advances last releases the child, once."""
    mine, theirs = store.worker(), store.worker()
    graph.start(JOIN)
    (a,), (b,) = store.claim(mine), store.claim(theirs)
    with store.conn.transaction(), impatient.conn.transaction():
        store.settle(mine, ended(a))
        impatient.settle(theirs, ended(b))
    with store.conn.transaction():
        assert graph.advance() == []
        assert graph.advance(impatient) == [graph.id]  # somebody else is at it: said, not waited for
    assert graph.run(mine) == ["c"]
    assert graph.advance(impatient) == []
    assert lies(store) == []


def test_a_settle_during_an_advance_is_left_for_the_next(store: Store, impatient: Store, graph: Graph) -> None:
    """What is settled after the advance has looked is found by whoever settled it, later, or by the sweep."""
    mine, theirs = store.worker(), store.worker()
    graph.start(JOIN)
    (a,), (b,) = store.claim(mine), store.claim(theirs)
    store.settle(mine, ended(a))
    with store.conn.transaction():
        graph.advance()
        impatient.settle(theirs, ended(b))
        assert graph.advance(impatient) == [graph.id]
    assert graph.states()["c"] == "blocked"
    assert changed(store) == [graph.id]
    graph.advance()
    assert graph.states()["c"] == "queued"
    assert lies(store) == []


@pytest.mark.parametrize(("outcome", "child"), [("succeeded", "queued"), ("failed", "cancelled")])
def test_a_child_is_added_while_its_parent_settles(
    store: Store, impatient: Store, graph: Graph, outcome: str, child: str
) -> None:
    """The addition's transaction is open meanwhile: the settle does not wait, the workflow does not finish, the child is not lost."""
    worker = store.worker()
    graph.start({"a": []}, callbacks=True)
    (a,) = store.claim(worker)
    with store.conn.transaction():
        graph.add({"b": ["a"]})
        assert impatient.settle(worker, ended(a, outcome)) == []
        assert graph.advance(impatient) == []
        assert impatient.one("select queued + blocked from headrace.workflow") == 0
        assert impatient.one("select state::text from headrace.workflow") == "running"
        assert changed(impatient) == [graph.id]
    assert graph.callbacks() == []
    graph.advance()
    assert graph.states()["b"] == child
    assert graph.row()["state"] == ("running" if child == "queued" else "failed")
    assert lies(store) == []


def test_an_addition_that_is_rolled_back_lets_the_workflow_finish(store: Store, impatient: Store, graph: Graph) -> None:
    """It never was; the sweep finds the workflow, and the callbacks are enqueued."""
    worker = store.worker()
    graph.start({"a": []}, callbacks=True)
    (a,) = store.claim(worker)
    with store.conn.transaction(force_rollback=True):
        graph.add({"b": []})
        impatient.settle(worker, ended(a))
        graph.advance(impatient)
    assert changed(store) == [graph.id]
    graph.advance()
    assert graph.row()["state"] == "succeeded"
    assert len(graph.callbacks()) == 2
    assert changed(store) == []


def test_an_addition_while_it_finishes_is_refused(store: Store, other: Store, observer: Store, graph: Graph) -> None:
    """It waits for the milliseconds that the end takes, and hears that it came too late."""
    worker = store.worker()
    graph.start({"a": []})
    (a,) = store.claim(worker)
    store.settle(worker, ended(a))
    with InThread(other, lambda: graph.add({"b": []}, other)) as addition:
        with store.conn.transaction():
            graph.advance()
            addition.start()
            assert addition.waits(observer)
        with pytest.raises(psycopg.DatabaseError, match="is finished"):
            addition.answer()
    assert lies(store) == []


def test_an_addition_with_an_old_snapshot_is_refused(store: Store, other: Store, graph: Graph) -> None:
    """In REPEATABLE READ, a caller who does not see that it has finished gets a serialization failure, not a lost job."""
    worker = store.worker()
    graph.start({"a": []})
    other.ask("begin isolation level repeatable read")
    other.ask("select count(*) from headrace.workflow")
    store.settle(worker, ended(store.claim(worker)[0]))
    graph.advance()
    with pytest.raises(psycopg.errors.SerializationFailure):
        graph.add({"b": []}, other)
    other.conn.rollback()
    assert lies(store) == []


@pytest.mark.parametrize("committed", [True, False])
def test_an_operator_s_open_transaction_holds_one_child(
    store: Store, impatient: Store, graph: Graph, committed: bool
) -> None:
    """Parents settle, other children are released, other workflows go on; the held one follows when it is let go."""
    worker = store.worker()
    graph.start({"a": [], "held": ["a"], "free": ["a"]})
    neighbour = Graph(store).start({"x": [], "y": ["x"]})
    with store.conn.transaction(force_rollback=not committed):
        store.cancel(graph.ids["held"])
        for _ in range(2):
            impatient.settle(worker, *(ended(attempt) for attempt in impatient.claim(worker, 2)))
            impatient.rows("advance_workflows", ids=[graph.id, neighbour.id], seconds=3600)
        states = dict(impatient.ask(
            "select n.name, j.state::text from headrace.workflow_node n join headrace.jobs j on j.id = n.job_id"
        ))  # fmt: skip
        assert states == {"a": "succeeded", "held": "blocked", "free": "succeeded", "x": "succeeded", "y": "succeeded"}
        assert changed(impatient) == [graph.id]
    graph.advance()
    assert graph.states()["held"] == ("cancelled" if committed else "queued")
    assert lies(store) == []


def test_a_doomed_child_that_somebody_holds_is_cancelled_later(store: Store, impatient: Store, graph: Graph) -> None:
    """It never runs: it is marked, and cancelled when it is let go; those behind it are cancelled at once."""
    worker = store.worker()
    graph.start({"a": [], "held": ["a"], "behind": ["held"]})
    (a,) = store.claim(worker)
    with store.conn.transaction(force_rollback=True):
        store.delete(graph.ids["held"])
        impatient.settle(worker, ended(a, "failed"))
        graph.advance(impatient)
        assert impatient.one("select count(*) from headrace.job where id = %s", [graph.ids["behind"]]) == 0
    assert graph.states()["held"] == "blocked"
    graph.advance()
    assert graph.states() == {"a": "failed", "held": "cancelled", "behind": "cancelled"}
    assert graph.error("held") == graph.error("behind") == 'node "a" failed'
    assert lies(store) == []


def test_an_open_cancellation_of_the_workflow_stops_nobody_else(store: Store, impatient: Store, graph: Graph) -> None:
    """Its jobs that run are settled meanwhile, advances skip it, and afterwards all is cancelled or over."""
    worker = store.worker()
    graph.start({"a": [], "b": ["a"], "c": []})
    (a,) = store.claim(worker)
    with store.conn.transaction():
        store.value("cancel_workflow", id=graph.id, reason="enough")
        assert graph.advance(impatient) == [graph.id]
    assert store.settle(worker, ended(a)) == []
    graph.advance()
    assert graph.states() == {"a": "succeeded", "b": "cancelled", "c": "cancelled"}
    assert graph.row()["state"] == "cancelled"
    assert lies(store) == []


def test_a_cancellation_waits_for_an_advance_and_then_sees_all(
    store: Store, other: Store, observer: Store, graph: Graph
) -> None:
    """What the advance has released meanwhile is cancelled, too."""
    worker = store.worker()
    graph.start({"a": [], "b": ["a"]})
    store.settle(worker, ended(store.claim(worker)[0]))
    with InThread(other, lambda: other.value("cancel_workflow", id=graph.id, reason="enough")) as cancellation:
        with store.conn.transaction():
            graph.advance()
            cancellation.start()
            assert cancellation.waits(observer)
        assert cancellation.answer() == "cancelled"
    assert graph.states() == {"a": "succeeded", "b": "cancelled"}
    assert lies(store) == []


def test_what_is_added_while_all_is_cancelled_is_cancelled(store: Store, impatient: Store, graph: Graph) -> None:
    """The addition began before and commits after: its jobs do not survive the workflow."""
    graph.start({"a": []})
    with store.conn.transaction():
        graph.add({"b": [], "c": ["a"]})
        assert impatient.value("cancel_workflow", id=graph.id, reason="enough") == "cancelled"
    graph.advance()
    assert graph.states() == {"a": "cancelled", "b": "cancelled", "c": "cancelled"}
    assert graph.error("b") == graph.error("c") == "enough"
    assert lies(store) == []


def test_a_retry_in_an_open_transaction_keeps_the_workflow_open(store: Store, impatient: Store, graph: Graph) -> None:
    """A node is retried while the last other one ends: the workflow finishes once, after both."""
    worker = store.worker()
    graph.start({"a": [], "b": []}, "continue", callbacks=True)
    a, b = store.claim(worker, 2)
    store.settle(worker, ended(a, "failed"))
    graph.advance()
    with store.conn.transaction():
        store.retry(graph.ids["a"])
        impatient.settle(worker, ended(b))
        assert graph.advance(impatient) == []
    assert graph.callbacks() == []
    graph.advance()
    assert graph.run(worker) == ["a"]
    graph.advance()
    assert sorted(graph.callbacks()) == ["on_finished", "on_success"]
    assert lies(store) == []


def test_an_addition_that_was_begun_long_ago_is_counted(store: Store, graph: Graph) -> None:
    """The look at what is new passes over it; the workflow does not finish without it, and its child is not lost."""
    worker = store.worker()
    graph.start({"a": []}, callbacks=True)
    graph.add({"b": [], "c": ["b"]})
    store.ask("update headrace.workflow_change set at = now() - interval '1 hour'")
    graph.run(worker)
    graph.advance(seconds=10)
    assert graph.callbacks() == []
    assert graph.row()["state"] == "running"
    graph.advance(seconds=1e9)
    graph.run(worker)
    graph.advance(seconds=10)
    assert graph.row() == {"state": "succeeded", "blocked": 0, "queued": 0, "succeeded": 3, "failed": 0, "cancelled": 0}
    assert lies(store) == []


def test_an_old_change_that_is_seen_late_changes_nothing(store: Store, graph: Graph) -> None:
    """A failure is reckoned after the retry that followed it: the node is what it is now."""
    worker = store.worker()
    graph.start({"a": [], "b": ["a"]})
    graph.run(worker, "failed")
    store.ask("update headrace.workflow_change set at = now() - interval '1 hour'")
    store.retry(graph.ids["a"])
    graph.advance(seconds=10)
    assert graph.states() == {"a": "queued", "b": "blocked"}
    graph.advance(seconds=1e9)
    assert graph.states() == {"a": "queued", "b": "blocked"}
    graph.run(worker)
    graph.advance()
    assert graph.states() == {"a": "succeeded", "b": "queued"}
    assert lies(store) == []


def test_a_worker_that_dies_between_settle_and_advance(store: Store, graph: Graph) -> None:
    """The sweep of any other worker finds what it left, and only that."""
    worker = store.worker()
    graph.start({"a": [], "b": ["a"]})
    Graph(store).start({"x": []})
    store.settle(worker, ended(store.claim(worker)[0]))
    store.end_lease(worker)
    assert changed(store) == [graph.id]
    graph.advance()
    assert graph.states()["b"] == "queued"
    assert changed(store) == []
