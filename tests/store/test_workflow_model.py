"""Hypothesis drives random graphs through everything that can happen to them; what must always hold is asked in SQL.

After every step all changes are reckoned, looked at, and undone: so the order in which they are really reckoned stays free. One
more connection holds a transaction open over several steps: an operator's, or a caller's who adds jobs.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from tests.store.harness import Claimed, ended
from tests.store.workflows import Graph, lies

if TYPE_CHECKING:
    from tests.store.harness import Store

pytestmark = pytest.mark.direct  # a session with a lock time-out

FINAL = ("succeeded", "failed", "cancelled")
OUTCOMES = st.sampled_from(
    ["succeeded", "succeeded", "succeeded", "failed", "cancelled", "retried", "handed_back", "snoozed"]
)
SECONDS = st.sampled_from([600.0, 1e9])


class Workflows(RuleBasedStateMachine):
    """Two workers, one queue, up to three workflows, operators and callers."""

    store: Store
    other: Store

    def __init__(self) -> None:
        super().__init__()
        self.other.conn.rollback()
        self.store.empty()
        self.store.ask("delete from headrace.job_history")
        self.store.ask("set lock_timeout = '100ms'")
        self.workers = [self.store.worker(), self.store.worker()]
        self.named = 0
        self.graphs: list[Graph] = []
        self.running: list[tuple[int, Claimed]] = []
        self.held: Any = None
        self.adding = False

    # -- what callers do --

    def _parents(self, data: st.DataObject, known: list[str], count: int) -> dict[str, list[str]]:
        parents: dict[str, list[str]] = {}
        for _ in range(count):
            others = [*known, *parents]
            drawn = data.draw(st.lists(st.sampled_from(others), max_size=3, unique=True)) if others else []
            self.named += 1
            parents[f"n{self.named}"] = drawn
        return parents

    @precondition(lambda self: len(self.graphs) < 3)
    @rule(data=st.data(), policy=st.sampled_from(["stop", "continue"]), count=st.integers(1, 6))
    def start(self, data: st.DataObject, policy: str, count: int) -> None:
        """A random graph; some nodes with parents are barriers."""
        parents = self._parents(data, [], count)
        barriers = {name for name, after in parents.items() if after and data.draw(st.integers(0, 3)) == 0}
        self.graphs.append(Graph(self.store).start(parents, policy, barriers=barriers, callbacks=True, max_attempts=3))

    @precondition(lambda self: self.graphs)
    @rule(data=st.data(), count=st.integers(1, 3), held=st.booleans())
    def add(self, data: st.DataObject, count: int, held: bool) -> None:
        """Add nodes, perhaps in a transaction that stays open; refused if the workflow is over."""
        graph = data.draw(st.sampled_from(self.graphs))
        before = graph.ids.copy()
        known = self.held[1] if self.held is not None and self.held[0] is graph else before
        parents = self._parents(data, list(known), count)
        try:
            if held and self.held is None:
                self.held = (graph, known)
                self.other.ask("begin")
                graph.add(parents, self.other)
                self.adding = True
            else:
                with self.store.conn.transaction():
                    graph.add(parents)
        except psycopg.errors.LockNotAvailable:
            assert self.held is not None  # an operator, who is about to finish it
            graph.ids = before
        except psycopg.DatabaseError as error:
            assert error.sqlstate == "HR004"
            graph.ids = before
            if held and self.other.conn.info.transaction_status == psycopg.pq.TransactionStatus.INERROR:
                self.release(commit=False)

    # -- what workers do --

    @rule(worker=st.integers(0, 1), places=st.integers(1, 4), suspects=st.booleans())
    def claim(self, worker: int, places: int, suspects: bool) -> None:
        """Only what was released, or never waited, is claimed."""
        lease = self.workers[worker]
        claimed = self.store.claim_suspect(lease) if suspects else self.store.claim(lease, places)
        self.running += [(lease, attempt) for attempt in claimed]
        blocked = self.store.one(
            "select count(*) from headrace.workflow_node where state = 'blocked' and job_id = any(%s::uuid[])",
            [[attempt.id for attempt in claimed]],
        )
        retried = self.store.one(
            "select count(*) from headrace.workflow_node n join headrace.workflow_change c using (job_id) "
            "where n.state = 'blocked' and job_id = any(%s::uuid[])", [[attempt.id for attempt in claimed]],
        )  # fmt: skip
        assert blocked <= retried

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def settle(self, data: st.DataObject) -> None:
        """A few outcomes in one statement."""
        drawn = data.draw(st.lists(st.sampled_from(self.running), min_size=1, max_size=4, unique=True))
        batch = [(lease, attempt) for lease, attempt in drawn if lease == drawn[0][0]]
        try:
            self.store.settle(batch[0][0], *(ended(a, data.draw(OUTCOMES)) for _, a in batch))
        except psycopg.errors.LockNotAvailable:
            assert self.held is not None
            return
        self.running = [it for it in self.running if it not in batch]

    @rule(worker=st.integers(0, 1))
    def die(self, worker: int) -> None:
        """A worker dies, with whatever it had to advance; its jobs are taken back, or fail."""
        dead, self.workers[worker] = self.workers[worker], self.store.worker()
        self.store.end_lease(dead)
        self.store.rescue()  # what an open transaction holds is taken back when the next one dies
        self.running = [(lease, attempt) for lease, attempt in self.running if lease != dead]

    @precondition(lambda self: self.graphs)
    @rule(data=st.data(), seconds=SECONDS)
    def advance(self, data: st.DataObject, seconds: float) -> None:
        """Some workflows are advanced: what is released had nothing left to wait for."""
        ids = data.draw(st.lists(st.sampled_from([graph.id for graph in self.graphs]), min_size=1, unique=True))
        before = self._nodes()
        self.store.rows("advance_workflows", ids=ids, seconds=seconds)
        after = self._nodes()
        for job_id, (state, *_) in after.items():
            if state == "queued" and before.get(job_id, ("new",))[0] == "blocked":
                self._check_released(after, job_id)

    def _nodes(self) -> dict[str, tuple[str, list[str], str]]:
        rows = self.store.ask(
            "select n.job_id::text, n.state::text, n.parents::text[], w.policy from headrace.workflow_node n "
            "join headrace.workflow w on w.id = n.workflow_id"
        )
        return {job_id: (state, parents or [], policy) for job_id, state, parents, policy in rows}

    def _check_released(self, nodes: dict[str, tuple[str, list[str], str]], job_id: str) -> None:
        _, parents, policy = nodes[job_id]
        for parent in parents:
            state = nodes[parent][0]
            assert state in (FINAL if policy == "continue" else ("succeeded",)), f"{job_id} was released after {parent}"

    @rule(chance=st.integers(1, 2))
    def grow_old(self, chance: int) -> None:
        """Some changes were made in transactions that began long before they committed."""
        self.store.ask(
            "update headrace.workflow_change set at = at - interval '1 hour' where ctid = any(array("
            "select ctid from headrace.workflow_change where id %% 2 < %s for update skip locked))", [chance],
        )  # fmt: skip

    # -- what operators do --

    @precondition(lambda self: self.held is None and any(g.ids for g in self.graphs))
    @rule(data=st.data(), what=st.sampled_from(["cancel", "delete", "retry"]), held=st.booleans())
    def act_on_nodes(self, data: st.DataObject, what: str, held: bool) -> None:
        """Some jobs are cancelled, deleted or retried, perhaps in a transaction that stays open."""
        graph = data.draw(st.sampled_from(self.graphs))
        ids = data.draw(st.lists(st.sampled_from(sorted(graph.ids.values())), min_size=1, max_size=3, unique=True))
        if held:
            self._hold(lambda: getattr(self.other, what)(*ids))
            self.held = (graph, graph.ids.copy())
        else:
            getattr(self.store, what)(*ids)

    @precondition(lambda self: self.held is None and self.graphs)
    @rule(data=st.data(), what=st.sampled_from(["cancel_workflow", "retry_workflow"]), held=st.booleans())
    def act_on_a_workflow(self, data: st.DataObject, what: str, held: bool) -> None:
        """All of one is cancelled, or what did not succeed is retried."""
        graph = data.draw(st.sampled_from(self.graphs))
        more = {"reason": "enough"} if what == "cancel_workflow" else {}
        if held:
            self._hold(lambda: self.other.rows(what, id=graph.id, **more))
            self.held = (graph, graph.ids.copy())
        else:
            self.store.rows(what, id=graph.id, **more)

    def _hold(self, act: Any) -> None:
        self.other.ask("begin")
        act()

    @precondition(lambda self: self.held is not None)
    @rule(commit=st.booleans())
    def release(self, commit: bool) -> None:
        """The open transaction ends; a workflow that somebody was adding to has not finished before that."""
        if self.adding and self.held is not None:
            assert self.held[0].row()["state"] == "running"
        self.adding = False
        if commit:
            self.other.conn.commit()
        else:
            self.other.conn.rollback()
            if self.held is not None:
                graph, known = self.held
                graph.ids = known
        self.other.ask("select")
        self.held = None

    # -- what must hold --

    @invariant()
    def everything_adds_up(self) -> None:
        """Once all is reckoned, counts, states and what nodes wait for are the truth. (And then undone.)."""
        if self.held is None:
            with self.store.conn.transaction(force_rollback=True):
                self._advance_all()
                assert lies(self.store) == []

    def _advance_all(self) -> None:
        busy = self.store.rows("advance_workflows", ids=[graph.id for graph in self.graphs], seconds=1e9)
        assert busy == []

    @invariant()
    def callbacks_are_enqueued_once(self) -> None:
        """For every time that a workflow has finished, on_finished and one of the two others."""
        for graph in self.graphs:
            called = Counter(graph.callbacks())
            assert called["on_finished"] == called["on_success"] + called["on_failure"]

    def teardown(self) -> None:
        """At the end everything runs to its end, and nothing is left."""
        self.store.ask("reset lock_timeout")
        if self.held is not None:
            self.release(commit=True)
        self.store.rescue()  # what was held when its worker died
        for _ in range(60):
            self._advance_all()
            self.store.promote("2100-01-01")
            for lease in self.workers:
                for attempt in (*self.store.claim(lease, 100), *self.store.claim_suspect(lease)):
                    self.running.append((lease, attempt))
            if not self.running:
                break
            for lease in self.workers:
                if batch := [attempt for owner, attempt in self.running if owner == lease]:
                    self.store.settle(lease, *map(ended, batch))
            self.running = []
        self._advance_all()
        assert lies(self.store) == []
        left = self.store.ask("select id, state from headrace.job where queue = 'q'")
        assert left == []
        for graph in self.graphs:
            assert graph.row()["state"] in FINAL
            called = Counter(graph.callbacks())
            assert called["on_finished"] >= 1


@pytest.fixture
def machine(store: Store, other: Store) -> type[Workflows]:
    """The machine on this store."""
    return type("Machine", (Workflows,), {"store": store, "other": other})


@pytest.mark.timeout(400)  # a failure is made small, which takes its time
def test_workflows_under_random_histories(machine: type[Workflows]) -> None:
    """No history of claims, ends, deaths, retries, cancellations and additions breaks what must hold."""
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=40,
            stateful_step_count=25,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_workflows_under_many_random_histories(machine: type[Workflows]) -> None:
    """The long form."""
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=3000,
            stateful_step_count=50,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            print_blob=True,
        ),
    )
