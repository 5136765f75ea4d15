"""Hypothesis drives the store and a small model of it in step, and compares all that can be seen after each step."""

from __future__ import annotations

from collections import Counter
from math import inf
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from uuid_utils import uuid7

from tests.store.harness import Claimed, ended
from tests.store.model import FINAL, KeyHeld, Model

if TYPE_CHECKING:
    from tests.store.harness import Store

WAITS_S = st.sampled_from([0.0, 3600.0, 7200.0])
OUTCOMES = st.sampled_from([*FINAL, "retried", "snoozed", "handed_back", "parked"])


class StoreAndModel(RuleBasedStateMachine):
    """Two workers, one queue, and everybody else who changes jobs."""

    store: Store

    def __init__(self) -> None:
        super().__init__()
        self.store.empty()
        self.model = Model()
        self.workers = [self.store.worker(), self.store.worker()]
        self.attempts: list[tuple[int, str, int]] = []
        self.arg = 0
        self.last_position = 0

    # -- enqueueing --

    @rule(
        delay_s=WAITS_S,
        priority=st.integers(-1, 1),
        key=st.sampled_from([None, None, "a", "b"]),
        scope=st.sampled_from(["queued", "unfinished", "period"]),
        on_conflict=st.sampled_from(["keep", "replace", "reschedule", "reject"]),
    )
    def enqueue(self, delay_s: float, priority: int, key: str | None, scope: str, on_conflict: str) -> None:
        """A new job, or what its unique key makes of it."""
        self.arg += 1
        job_id, args = str(uuid7()), {"arg": self.arg}
        options: dict[str, Any] = {"id": job_id, "priority": priority, "delay_s": delay_s, "args": args}
        if key is not None:
            options |= {"unique_key": key, "unique_scope": scope, "on_conflict": on_conflict, "unique_for_s": 86400}
        try:
            expected = self.model.enqueue(
                job_id, priority=priority, delay_s=delay_s, args=args, key=key, scope=scope, on_conflict=on_conflict
            )
        except KeyHeld as held:
            with pytest.raises(psycopg.DatabaseError) as refusal:
                self.store.enqueue(**options)
            assert refusal.value.sqlstate == "HR002"
            assert refusal.value.diag.message_detail == str(held)
        else:
            assert self.store.place(**options) == (expected, expected != job_id)
        self._learn_positions()

    # -- attempts --

    @rule(worker=st.integers(0, 1), places=st.integers(1, 4), suspects=st.booleans())
    def claim(self, worker: int, places: int, suspects: bool) -> None:
        """The first of the line, no other and in no other order."""
        lease = self.workers[worker]
        if suspects:
            places, claimed = 1, self.store.claim_suspect(lease)
        else:
            claimed = self.store.claim(lease, places)
        assert claimed == self.model.claim(lease, places, suspects=suspects)
        self.attempts += [(lease, *attempt) for attempt in claimed]

    @precondition(lambda self: self.attempts)
    @rule(data=st.data(), again=st.booleans())
    def settle(self, data: st.DataObject, again: bool) -> None:
        """A batch of outcomes by one worker, old attempts among them: only what it holds is recorded."""
        drawn = data.draw(st.lists(st.sampled_from(self.attempts[::-1]), min_size=1, max_size=4))
        worker = drawn[0][0]
        batch = {job: run for lease, job, run in drawn if lease == worker}
        outcomes = {job: (data.draw(OUTCOMES), data.draw(WAITS_S)) for job in batch}
        known = {job for job, run in batch.items() if again and (worker, job, run) in self.model.recorded}
        lost = self.store.settle(
            worker,
            *(ended(Claimed(job, run), outcomes[job][0], wait_s=outcomes[job][1]) for job, run in batch.items()),
            again=again,
        )
        recorded = {job for job, run in batch.items() if self.model.settle(worker, job, run, *outcomes[job])}
        assert set(lost) == set(batch) - recorded - known
        self._learn_positions()

    @rule(worker=st.integers(0, 1))
    def lapse(self, worker: int) -> None:
        """A worker dies, its jobs are taken back, and another takes its place."""
        dead, self.workers[worker] = self.workers[worker], self.store.worker()
        assert self.store.end_lease(dead)
        assert self.store.rescue() == self.model.rescue(set(self.workers))

    @rule(data=st.data(), worker=st.integers(0, 1))
    def hand_back_unheld(self, data: st.DataObject, worker: int) -> None:
        """A worker gives back all but some of what runs under its lease."""
        lease = self.workers[worker]
        running = [job for job in self.model.jobs.values() if job.state == "running" and job.worker == lease]
        held = {job.id for job in running if data.draw(st.booleans())}
        handed_back = {row[0] for row in self.store.rows("hand_back_unheld", worker_id=lease, held=list(held))}
        assert handed_back == {job.id for job in running} - held
        for job in running:
            if job.id in handed_back:
                self.model.settle(lease, job.id, job.run, "handed_back", 0)

    # -- what operators and time do --

    @precondition(lambda self: self.model.jobs)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        """Some jobs are asked to cancel."""
        ids = self._some_jobs(data)
        assert self.store.cancel(*ids) == {job: self.model.cancel(job) for job in ids}

    @precondition(lambda self: self.model.jobs)
    @rule(data=st.data())
    def retry(self, data: st.DataObject) -> None:
        """Some jobs are to run again, or now."""
        ids = self._some_jobs(data)
        assert set(self.store.retry(*ids)) == {job for job in ids if self.model.retry(job)}
        self._learn_positions()

    @precondition(lambda self: self.model.jobs)
    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        """Some jobs are deleted."""
        ids = self._some_jobs(data)
        assert set(self.store.delete(*ids)) == {job for job in ids if self.model.delete(job)}

    @rule(now_s=st.sampled_from([1800.0, 5400.0, 9000.0]))
    def promote(self, now_s: float) -> None:
        """What is due joins the line, whatever the clock."""
        now = self.store.one("select (now() + make_interval(secs => %s))::text", [now_s])
        assert self.store.promote(now) == self.model.promote(now_s)
        self._learn_positions()

    @rule()
    def unpark(self) -> None:
        """A worker comes that knows the task."""
        released = self.store.rows("release_parked", tasks=["task"], chunk=100)
        assert {row[0] for row in released} == self.model.unpark()
        self._learn_positions()

    def _some_jobs(self, data: st.DataObject) -> list[str]:
        known = sorted({*self.model.jobs, *self.model.deleted})
        return data.draw(st.lists(st.sampled_from(known), min_size=1, max_size=3, unique=True))

    def _learn_positions(self) -> None:
        """Who joins the line joins it at its end; of those that do so in one statement, any may be first."""
        new = [job for job in self.model.jobs.values() if job.position == inf]
        places = dict(self.store.ask("select id::text, position from headrace.job where position is not null"))
        for job in new:
            assert places[job.id] > self.last_position
            job.position = places[job.id]
        self.last_position = max([self.last_position, *places.values()])

    # -- what must agree --

    @invariant()
    def unfinished_jobs_agree(self) -> None:
        """Every job that waits or runs, with all that decides about it."""
        rows = self.store.ask("""
            select id::text, state::text, priority::integer, attempts::integer, run, suspicion::integer, worker_id,
                   unique_key, cancel_reason is not null, args
            from headrace.job""")
        assert {row[0]: row[1:] for row in rows} == {
            job.id: (job.state, job.priority, job.attempts, job.run, job.suspicion, job.worker, job.key,
                     job.cancel_requested, job.args)
            for job in self.model.jobs.values() if job.state not in FINAL
        }  # fmt: skip

    @invariant()
    def finished_jobs_agree(self) -> None:
        """Every job that has ended, and none that was deleted."""
        ids = [*self.model.jobs, *self.model.deleted]
        rows = self.store.ask(
            "select id::text, state::text, attempts::integer, run, args from headrace.job_history where id = any(%s::uuid[])",
            [ids],
        )
        assert len(rows) == len({row[0] for row in rows})
        assert {row[0]: row[1:] for row in rows} == {
            job.id: (job.state, job.attempts, job.run, job.args)
            for job in self.model.jobs.values()
            if job.state in FINAL
        }

    @invariant()
    def counts_agree(self) -> None:
        """What the overview of the queue says."""
        states = Counter(job.state for job in self.model.jobs.values())
        counted = [row[1:5] for row in self.store.rows("count_queues")]
        expected = tuple(states[state] for state in ("queued", "running", "scheduled", "blocked"))
        assert counted == ([expected] if any(expected) else [])

    @invariant()
    def records_agree(self) -> None:
        """Every attempt that ended is recorded once."""
        ids = list(self.model.jobs)
        rows = self.store.ask(
            """select worker_id, job_id::text, run from headrace.attempt where job_id = any(%(ids)s::uuid[]) and worker_id > 0
               union all
               select worker_id, id::text, run from headrace.job_history where id = any(%(ids)s::uuid[]) and worker_id > 0""",
            {"ids": ids},
        )  # fmt: skip
        assert sorted(rows) == sorted(self.model.recorded)


@pytest.mark.timeout(400)  # a failure is made small, which takes its time
def test_the_store_does_what_the_model_does(store: Store) -> None:
    """Whatever is done in whatever order, states, attempts, runs, keys and records are those of the model."""
    StoreAndModel.store = store
    run_state_machine_as_test(
        StoreAndModel,
        settings=settings(
            max_examples=40, stateful_step_count=40, deadline=None, derandomize=True, database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )  # fmt: skip
