"""Hypothesis writes programs of steps, sleeps and waits, and lets workers die anywhere in them while events come at random.

Every attempt is run here, one statement at a time, as a worker would run it: so a worker can die between a step's effect and its
record, and go on as a zombie beside its heirs. The store may record each step once, by whoever holds the attempt; every attempt
gets what was recorded; and when the dying ends, every program does, with the results that were recorded.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from tests.store.harness import Claimed, Store, ended, waits

if TYPE_CHECKING:
    from collections.abc import Iterable

EVENTS = ("a", "b", "c")
HOUR_S = 3600.0
FAR_FUTURE = "2100-01-01T00:00:00Z"


@dataclass(frozen=True)
class Op:
    """One line of a program."""

    kind: str
    event: str = ""
    time_s: float = 0.0

    @property
    def name(self) -> str:
        """What the step is called."""
        return self.event if self.kind == "event" else self.kind


OPS = st.one_of(
    st.just(Op("call")),
    st.builds(Op, st.just("sleep"), time_s=st.sampled_from([0.0, HOUR_S, 5 * HOUR_S])),
    st.builds(Op, st.just("event"), st.sampled_from(EVENTS), st.sampled_from([0.0, HOUR_S, 100 * HOUR_S])),
)


@dataclass
class Attempt:
    """One attempt, in the hands of a worker that may be dead by now."""

    worker: int
    claimed: Claimed
    loaded: dict[int, tuple[Any, ...]]
    at: int = 0
    results: list[Any] = field(default_factory=list)
    done: int | None = None
    """The effect of a step that is done and not recorded."""


@dataclass
class Recorded:
    """What the model knows of a step: never changed again once it has a result."""

    run: int
    result: Any = None
    over: bool = False


class Programs(RuleBasedStateMachine):
    """Two workers, their dead predecessors, and a clock that the test turns."""

    store: Store

    def __init__(self) -> None:
        super().__init__()
        self.store.empty()
        self.workers = [self.store.worker(), self.store.worker()]
        self.programs: dict[str, list[Op]] = {}
        self.recorded: dict[tuple[str, int], Recorded] = {}
        self.effects: dict[tuple[str, int], set[int]] = {}
        self.attempts: list[Attempt] = []
        self.results: dict[str, list[Any]] = {}
        self.emitted: dict[str, int] = {}
        self.offset_s = 0.0
        self.counter = 0

    def now(self) -> str:
        """The time, for everything that is told it."""
        return str(self.store.one("select (now() + make_interval(secs => %s))::text", [self.offset_s]))

    def number(self) -> int:
        """Another number than all before."""
        self.counter += 1
        return self.counter

    # -- what happens --

    @rule(program=st.lists(OPS, min_size=1, max_size=5))
    def enqueue(self, program: list[Op]) -> None:
        """A job."""
        self.programs[self.store.enqueue()] = program

    @rule(worker=st.integers(0, 1), suspects=st.booleans())
    def claim(self, worker: int, suspects: bool) -> None:
        """An attempt begins with what is recorded, and the model agrees."""
        lease = self.workers[worker]
        claimed = self.store.claim_suspect(lease) if suspects else self.store.claim(lease, 2)
        for attempt in claimed:
            rows = self.store.steps(attempt.id, now=self.now())
            assert len({row[0] for row in rows}) == len(rows), "a step is recorded twice"
            if attempt.run == 1:
                assert rows == []  # so that workers need not ask
            loaded = {row[0]: row[1:] for row in rows}
            assert set(loaded) == {n for job, n in self.recorded if job == attempt.id}
            self.attempts.append(Attempt(lease, attempt, loaded))

    @precondition(lambda self: self.attempts)
    @rule(data=st.data(), sends_again=st.booleans())
    def advance(self, data: st.DataObject, sends_again: bool) -> None:
        """One attempt does the next thing, be its worker dead or alive."""
        attempt = data.draw(st.sampled_from(self.attempts[::-1]))
        self.go_on(attempt, sends_again=sends_again)

    @rule(worker=st.integers(0, 1))
    def die(self, worker: int) -> None:
        """A worker loses its lease and its jobs; what it was doing, it goes on doing as a zombie."""
        dead, self.workers[worker] = self.workers[worker], self.store.worker()
        self.store.end_lease(dead)
        self.store.rows("rescue_jobs", poison_limit=1_000_000, chunk=1000)

    @rule(event=st.sampled_from(EVENTS))
    def emit(self, event: str) -> None:
        """Something happens; only the first time counts."""
        payload = self.number()
        assert self.store.emit(event, payload) == (event not in self.emitted)
        self.emitted.setdefault(event, payload)

    @rule(hours=st.integers(0, 4))
    def let_time_pass(self, hours: int) -> None:
        """What is due becomes due: also, since the promoter has its own clock here, some sleeps too early."""
        self.offset_s += hours * HOUR_S
        self.store.promote(self.now())
        self.store.release_waiting(self.now())

    @rule()
    def look(self) -> None:
        """The sweep comes by."""
        self.store.release_waiting(self.now())

    @precondition(lambda self: self.programs)
    @rule(data=st.data(), from_start=st.booleans())
    def retry(self, data: st.DataObject, from_start: bool) -> None:
        """An operator's retry of a job, whatever it is doing."""
        job = data.draw(st.sampled_from(sorted(self.programs)))
        state = self.store.state(job)
        if not self.store.retry(job, from_start=from_start):
            return
        assert state in ("succeeded", "scheduled", "blocked")
        if from_start or state == "succeeded":
            self.recorded = {key: step for key, step in self.recorded.items() if key[0] != job}
        self.results.pop(job, None)

    # -- an attempt --

    def holds(self, attempt: Attempt) -> bool:
        """Whether the attempt is still its worker's, as the tables have it."""
        return bool(self.store.one(
            "select exists (select from headrace.job where id = %s and run = %s and worker_id = %s and state = 'running')",
            [attempt.claimed.id, attempt.claimed.run, attempt.worker],
        ))  # fmt: skip

    def go_on(self, attempt: Attempt, *, sends_again: bool = False) -> None:
        """The next statement of an attempt."""
        program = self.programs[attempt.claimed.id]
        if attempt.at == len(program):
            lost = self.store.settle(
                attempt.worker, ended(attempt.claimed, result=json.dumps(attempt.results)), again=sends_again
            )
            if not lost and attempt.claimed.id not in self.results:
                self.results[attempt.claimed.id] = attempt.results
            self.attempts.remove(attempt)
            return
        op, ordinal = program[attempt.at], attempt.at + 1
        found = attempt.loaded.get(ordinal)
        if found is not None:
            assert found[:2] == (op.kind, op.name)
        {"call": self.call, "sleep": self.sleep, "event": self.wait}[op.kind](attempt, op, ordinal, found, sends_again)

    def call(self, attempt: Attempt, op: Op, ordinal: int, found: tuple[Any, ...] | None, again: bool) -> None:
        """A step: first its effect, and the next time its record."""
        key = (attempt.claimed.id, ordinal)
        if found is not None:
            result = json.loads(found[4])
            if key in self.recorded and self.recorded[key].run == found[2]:
                assert result == self.recorded[key].result
            self.took(attempt, result)
        elif attempt.done is None:
            attempt.done = self.number()
            self.effects.setdefault(key, set()).add(attempt.done)
        else:
            holds = self.holds(attempt)
            for _ in range(1 + again):
                assert holds == self.store.record(
                    attempt.worker, attempt.claimed, ordinal, result=json.dumps(attempt.done), name=op.name, again=again
                )
            if holds:
                self.record(attempt, key, attempt.done)
                self.took(attempt, attempt.done)
            else:
                self.attempts.remove(attempt)

    def sleep(self, attempt: Attempt, op: Op, ordinal: int, found: tuple[Any, ...] | None, again: bool) -> None:
        """It ends the attempt until its time is over."""
        left_s = op.time_s
        if found is not None:
            left_s = found[5]
        else:
            holds = self.holds(attempt)
            for _ in range(1 + again):
                assert holds == self.store.record(
                    attempt.worker, attempt.claimed, ordinal, kind="sleep", name="sleep", wait_s=op.time_s, again=again,
                    now=self.now(),
                )  # fmt: skip
            if not holds:
                self.attempts.remove(attempt)
                return
            self.record(attempt, (attempt.claimed.id, ordinal), None)
        if left_s <= 0:
            self.took(attempt, None)
        else:
            self.attempts.remove(attempt)
            self.store.settle(attempt.worker, ended(attempt.claimed, "snoozed", wait_s=left_s))

    def wait(self, attempt: Attempt, op: Op, ordinal: int, found: tuple[Any, ...] | None, again: bool) -> None:
        """It ends the attempt until the event is there, or gives the payload, or that there was none in time."""
        key = (attempt.claimed.id, ordinal)
        if found is not None and found[3] != "waiting":
            outcome, payload = found[3], found[4]
        else:
            holds = self.holds(attempt)
            for _ in range(1 + again):
                answer = self.store.await_event(
                    attempt.worker, attempt.claimed, ordinal, op.event, op.time_s, now=self.now()
                )
                assert (answer is not None) == holds
            if answer is None:
                self.attempts.remove(attempt)
                return
            outcome, payload = answer
            if outcome == "waiting":
                self.recorded.setdefault(key, Recorded(attempt.claimed.run))
                assert op.event not in self.emitted
                self.attempts.remove(attempt)
                self.store.settle(attempt.worker, waits(attempt.claimed, op.event, HOUR_S))
                return
            self.record(attempt, key, json.loads(str(payload)) if outcome == "done" else "timed out")
        if outcome == "done":
            assert json.loads(str(payload)) == self.emitted[op.event]
        self.took(attempt, json.loads(str(payload)) if outcome == "done" else "timed out")

    def record(self, attempt: Attempt, key: tuple[str, int], result: Any) -> None:
        """The store says that it recorded a step: for the first and only time."""
        step = self.recorded.setdefault(key, Recorded(attempt.claimed.run))
        assert not step.over, "recorded twice"
        step.run, step.result, step.over = attempt.claimed.run, result, True

    def took(self, attempt: Attempt, result: Any) -> None:
        """The handler goes on with this."""
        attempt.results.append(result)
        attempt.at += 1
        attempt.done = None

    # -- what must be true --

    @invariant()
    def the_tables_have_what_was_recorded(self) -> None:
        """No step twice, none without the model's knowledge, each with its result."""
        rows = self.store.ask(
            "select job_id::text, ordinal, run, kind, outcome, result from headrace.step where job_id = any(%s::uuid[])",
            [list(self.programs)],
        )
        stored = {(job, n): (run, result) for job, n, run, _, outcome, result in rows if outcome == "done"}
        assert len(rows) == len({row[:2] for row in rows}) == len(self.recorded)
        for key, (run, result) in stored.items():
            assert (self.recorded[key].run, self.recorded[key].result) == (run, result)

    @invariant()
    def nobody_waits_for_what_has_come(self) -> None:
        """After a look, which comes within a second, no job waits for an event that was emitted."""
        left = "select count(*) from headrace.job j join headrace.event e on j.blocked_by = 'event:' || e.name"
        if self.store.one(left):
            self.store.release_waiting(self.now())
            assert self.store.one(left) == 0

    def teardown(self) -> None:
        """Nobody dies any more, and all events come: every program ends, with what was recorded."""
        for event in EVENTS:
            if event not in self.emitted:
                self.emit(event)
        zombies, self.attempts = self.attempts, []
        for i in range(2):
            self.die(i)
        for _ in range(50):
            if not self.store.one("select count(*) from headrace.job"):
                break
            self.offset_s += 6 * HOUR_S
            self.store.release_waiting(self.now())
            self.store.promote(FAR_FUTURE)
            for _ in self.programs:  # some attempt of each, however many there are
                self.claim(0, suspects=False)
                self.claim(1, suspects=True)
            self.work_off()
        for zombie in zombies:
            self.attempts = [zombie]
            self.work_off()
        assert set(self.results) == set(self.programs)
        for job, results in self.results.items():
            ((state, stored),) = self.store.ask("select state::text, result from headrace.jobs where id = %s", [job])
            assert (state, stored) == ("succeeded", results)
            expected = [self.recorded[job, n + 1].result for n in range(len(self.programs[job]))]
            assert results == expected
            for n, op in enumerate(self.programs[job]):
                assert op.kind != "call" or results[n] in self.effects[job, n + 1]
        self.the_tables_have_what_was_recorded()

    def work_off(self) -> None:
        """Let every attempt come to its end."""
        attempts: Iterable[Attempt] = list(self.attempts)
        for attempt in attempts:
            while attempt in self.attempts:
                self.go_on(attempt)


def run_programs(store: Store, examples: int, steps: int) -> None:
    """Many programs."""
    Programs.store = store
    run_state_machine_as_test(
        Programs,
        settings=settings(
            max_examples=examples, stateful_step_count=steps, deadline=None, derandomize=examples < 1000, database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )  # fmt: skip


@pytest.mark.timeout(400)  # a failure is made small, which takes its time
def test_programs_survive_everything(store: Store) -> None:
    """The short form."""
    run_programs(store, examples=60, steps=40)


@pytest.mark.soak
def test_programs_survive_everything_for_long(store: Store) -> None:
    """The long one."""
    run_programs(store, examples=3000, steps=80)
