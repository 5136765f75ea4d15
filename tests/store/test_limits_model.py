"""Promise 5 under attack: whatever is enqueued, claimed, settled, killed, edited, paused and lost in whatever order, no limit is
exceeded at any moment, nothing leaks, and what could run does.

The measure is independent of gates and lanes: a few sets in Python of what runs, by the keys that the test gave the jobs.
"""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from uuid_utils import uuid7

from tests.store.harness import Claimed, ended

if TYPE_CHECKING:
    from tests.store.harness import Store

FAR_FUTURE = "2100-01-01T00:00:00Z"
OUTCOMES = st.sampled_from(
    ["succeeded", "succeeded", "failed", "cancelled", "retried", "snoozed", "handed_back", "parked"]
)
SPAN_S = 1.0
COOL_DOWN_S = 5.0

DRIFT = """
    select g.limit_id, g.key, g.held, t.held
    from headrace.flow_gate g
    join headrace.flow_limit m on m.id = g.limit_id
    cross join lateral (
        select (select count(*) from headrace.job j
                where j.state = 'running' and j.lane is not null
                  and j.lane::jsonb @> jsonb_build_array(jsonb_build_array(g.limit_id, g.key)))
             + (select count(*) from headrace.flow_release r, unnest(r.lanes) l
                where l::jsonb @> jsonb_build_array(jsonb_build_array(g.limit_id, g.key))) as held) t
    where g.held <> t.held"""
"""Gates that do not hold exactly what runs."""


@dataclass
class Limit:
    """A limit as the test set it; another object where the store begins to count anew."""

    kind: str
    queue: str | None
    tasks: tuple[str, ...]
    key: str | None
    bound: int
    burst: int = 1
    on_failure: str = "hold"
    starts: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    last: dict[str, str] = field(default_factory=dict)
    set_at_s: float = 0

    def applies(self, job: Job) -> bool:
        return self.queue == "q" or job.task in self.tasks

    def key_of(self, job: Job) -> str:
        if self.key is None:
            return ""
        return (job.tenant if self.key == "tenant" else job.user) or ""


@dataclass(frozen=True)
class Job:
    """What the test said when it enqueued it."""

    id: str
    task: str
    user: str | None
    tenant: str | None


class LimitedStore(RuleBasedStateMachine):
    """Two workers, one queue, two tasks, and an operator who changes his mind."""

    store: Store

    def __init__(self) -> None:
        super().__init__()
        self.store.empty()
        self.workers = [self.store.worker(), self.store.worker()]
        self.jobs: dict[str, Job] = {}
        self.limits: dict[str, Limit] = {}
        self.counted: dict[tuple[str, int], list[Limit]] = {}
        self.attempts: list[tuple[int, str, int]] = []
        self.now_s = 0.0
        self.paused = False
        self.set_limit("users", 1)  # the queue is a limited one from the start

    # -- what operators do --

    @rule(name=st.sampled_from(["all", "users", "tenants"]), bound=st.integers(0, 3))
    def set_limit(self, name: str, bound: int) -> None:
        """A concurrency limit comes, or has another bound."""
        shapes: dict[str, dict[str, Any]] = {
            "all": {"queue": "q"}, "users": {"tasks": ["a"], "key": "user"}, "tenants": {"queue": "q", "key": "tenant"},
        }  # fmt: skip
        shape = shapes[name]
        self.store.limit(name, "concurrency", bound=bound, **shape)
        self._remember(
            name, Limit("concurrency", shape.get("queue"), tuple(shape.get("tasks", ())), shape.get("key"), bound)
        )

    @rule(bound=st.integers(1, 4), burst=st.integers(1, 3))
    def set_rate(self, bound: int, burst: int) -> None:
        """A rate of starts for each user of a task."""
        self.store.limit(
            "rate", "rate", tasks=["b"], key="user", bound=bound, span_s=SPAN_S, burst=burst, now=self._clock()
        )
        self._remember("rate", Limit("rate", None, ("b",), "user", bound, burst))

    @rule(on_failure=st.sampled_from(["hold", "skip"]))
    def set_order(self, on_failure: str) -> None:
        """Strict order by tenant, of one task."""
        self.store.limit("order", "order", tasks=["b"], key="tenant", on_failure=on_failure)
        self._remember("order", Limit("order", None, ("b",), "tenant", 1, on_failure=on_failure))

    @rule()
    def set_fairness(self) -> None:
        """Turns by tenant: they bound nothing."""
        self.store.limit("fair", "fair", queue="q", key="tenant", weights={"t1": 3})

    def _remember(self, name: str, limit: Limit) -> None:
        old = self.limits.get(name)
        if old is not None:
            limit.starts = defaultdict(list) if limit.kind == "rate" else old.starts
            limit.last = old.last
            for counted in self.counted.values():
                counted[:] = [limit if one is old else one for one in counted]
        limit.set_at_s = self.now_s
        self.limits[name] = limit

    @rule(name=st.sampled_from(["all", "users", "tenants", "rate", "order", "fair"]))
    def remove_limit(self, name: str) -> None:
        """A limit goes."""
        self.store.rows("remove_limit", name=name)
        self.limits.pop(name, None)

    @rule(paused=st.booleans())
    def pause(self, paused: bool) -> None:
        """The queue is paused, or resumed."""
        self.paused = paused
        if paused:
            self.store.rows("pause_queue", queue="q", reason="test", until=None, for_s=None, by=None)
        else:
            self.store.rows("resume_queue", queue="q")

    @precondition(lambda self: self.jobs)
    @rule(data=st.data(), how=st.sampled_from(["cancel", "delete", "retry"]))
    def act(self, data: st.DataObject, how: str) -> None:
        """Some jobs are cancelled, deleted or retried, whatever their state."""
        ids = data.draw(st.lists(st.sampled_from(sorted(self.jobs)), min_size=1, max_size=3, unique=True))
        getattr(self.store, how)(*ids)

    # -- jobs come --

    @rule(
        task=st.sampled_from("ab"), user=st.sampled_from([None, "1", "2"]), tenant=st.sampled_from([None, "t1", "t2"]),
        priority=st.integers(0, 1), count=st.integers(1, 4), plain=st.booleans(),
    )  # fmt: skip
    def enqueue(self, task: str, user: str | None, tenant: str | None, priority: int, count: int, plain: bool) -> None:
        """Jobs of one kind: by the function, which knows lanes, or by a plain INSERT, which does not."""
        for _ in range(count):
            job = Job(str(uuid7()), task, user, tenant)
            args = {} if user is None else {"user": user}
            if plain:
                self.store.ask(
                    "insert into headrace.job (id, queue, task, args, tenant, priority, max_attempts) "
                    "values (%s, 'q', %s, %s, %s, %s, 5)",
                    [job.id, task, json.dumps(args), tenant, priority],
                )  # fmt: skip
            else:
                self.store.enqueue(task, id=job.id, args=args, tenant=tenant, priority=priority, max_attempts=5)
            self.jobs[job.id] = job

    # -- attempts --

    @rule(
        worker=st.integers(0, 1), places=st.integers(1, 5), most=st.sampled_from([1, 2, 1000]), suspects=st.booleans()
    )
    def claim(self, worker: int, places: int, most: int, suspects: bool) -> None:
        """One claim, which may look at some of the lanes only."""
        self._claim(worker, places, most, suspects)

    @rule(worker=st.integers(0, 1))
    def claim_all(self, worker: int) -> None:
        """Claims until nothing comes: then nothing is left that could have run."""
        self.store.rows("sweep_lanes")
        while self._claim(worker, 10) or self._lanes_change(worker):
            pass
        if not self.paused:
            for job in self._queued():
                assert self._stopped(job), f"{job} could run: {self.limits}"

    def _lanes_change(self, worker: int) -> bool:
        """Whether jobs are on their way to other lanes, or out of them: each claim moves some."""
        look = "select (select count(*) from headrace.flow_queue), array(select (id, lane)::text from headrace.job order by 1)"
        before = self.store.ask(look)
        return bool(self._claim(worker, 10)) or before != self.store.ask(look)

    def _claim(self, worker: int, places: int, most: int = 1000, suspects: bool = False) -> list[Claimed]:
        lease = self.workers[worker]
        if self.store.one("select count(*) from headrace.flow_queue"):
            claimed, told = self.store.claim_limited(
                lease, 1 if suspects else places, suspects=suspects, now=self._clock(), most_lanes=most
            )
            assert "busy" not in told
        else:
            claimed = self.store.claim_suspect(lease) if suspects else self.store.claim(lease, places)
            limited = [self.jobs[attempt.id] for attempt in claimed if any(
                limit.applies(self.jobs[attempt.id]) for limit in self.limits.values())]  # fmt: skip
            assert limited == [], "claimed past their limits"
        assert not (claimed and self.paused)
        self._started(lease, claimed)
        return claimed

    def _started(self, lease: int, claimed: list[Claimed]) -> None:
        for attempt in claimed:
            job = self.jobs[attempt.id]
            self.counted[attempt] = [limit for limit in self.limits.values() if limit.applies(job)]
            for limit in self.counted[attempt]:
                limit.starts[limit.key_of(job)].append(self.now_s)
        running = self._running()
        for attempt in claimed:
            job = self.jobs[attempt.id]
            for limit in self.counted[attempt]:
                key = limit.key_of(job)
                beside = [
                    one
                    for one in running
                    if limit in self.counted.get(one, []) and limit.key_of(self.jobs[one.id]) == key
                ]
                if limit.kind in ("concurrency", "order"):
                    assert len(beside) <= limit.bound, f"{limit} has {beside}"
                if limit.kind == "rate":
                    check_rate(limit.starts[key], limit.bound / SPAN_S, limit.burst)
                if limit.kind == "order":
                    self._check_order(limit, key, attempt)
        self.attempts += [(lease, *attempt) for attempt in claimed]

    def _check_order(self, limit: Limit, key: str, attempt: Claimed) -> None:
        before = limit.last.get(key)
        if limit.on_failure == "hold" and before is not None and before != attempt.id:
            assert self.store.state(before) in (None, "succeeded", "failed", "cancelled"), (
                f"{attempt} overtook {before}"
            )
        limit.last[key] = attempt.id

    @precondition(lambda self: self.attempts)
    @rule(data=st.data())
    def settle(self, data: st.DataObject) -> None:
        """A batch of outcomes, old attempts among them."""
        drawn = data.draw(st.lists(st.sampled_from(self.attempts[::-1]), min_size=1, max_size=4))
        worker = drawn[0][0]
        batch = {job: run for lease, job, run in drawn if lease == worker}
        self.store.settle(worker, *(
            ended(Claimed(job, run), data.draw(OUTCOMES), wait_s=data.draw(st.sampled_from([0.0, 60.0])))
            for job, run in batch.items()
        ))  # fmt: skip

    @rule(worker=st.integers(0, 1))
    def lapse(self, worker: int) -> None:
        """A worker dies; another takes its place."""
        dead, self.workers[worker] = self.workers[worker], self.store.worker()
        assert self.store.end_lease(dead)
        self.store.rescue()

    @rule(worker=st.integers(0, 1))
    def lose_answers(self, worker: int) -> None:
        """A worker has heard of nothing that it holds."""
        self.store.rows("hand_back_unheld", worker_id=self.workers[worker], held=[])

    @rule()
    def promote(self) -> None:
        """Retries are due; jobs whose task was not known are."""
        self.store.promote(FAR_FUTURE)
        self.store.rows("release_parked", tasks=["a", "b"], chunk=100)
        self.store.rows("sweep_lanes")

    @rule(seconds=st.sampled_from([0.0, 0.1, 0.5, 3.0]))
    def wait(self, seconds: float) -> None:
        """Time passes."""
        self.now_s += seconds

    # -- what must be true --

    @invariant()
    def gates_hold_what_runs(self) -> None:
        """Counters agree with the jobs, after every step."""
        assert self.store.ask(DRIFT) == []

    def _clock(self) -> str:
        return str(
            self.store.one("select '2030-01-01T00:00:00Z'::timestamptz + make_interval(secs => %s)", [self.now_s])
        )

    def _running(self) -> set[Claimed]:
        return {
            Claimed(*row) for row in self.store.ask("select id::text, run from headrace.job where state = 'running'")
        }

    def _queued(self) -> list[Job]:
        rows = self.store.ask("select id::text from headrace.job where state = 'queued' and suspicion = 0")
        return [self.jobs[job_id] for (job_id,) in rows]

    def _stopped(self, job: Job) -> bool:
        """Whether a limit is in the way of a job that waits."""
        running = self._running()
        for limit in self.limits.values():
            if not limit.applies(job):
                continue
            key = limit.key_of(job)
            beside = [
                one for one in running if limit in self.counted.get(one, []) and limit.key_of(self.jobs[one.id]) == key
            ]
            if limit.kind in ("concurrency", "order") and len(beside) >= limit.bound:
                return True
            if limit.kind == "rate" and self.now_s < limit.set_at_s + 4 * SPAN_S / limit.bound:
                return True  # what was started under the rate before counts, too
            if limit.kind == "rate" and not may_start(limit.starts[key], self.now_s, limit.bound / SPAN_S, limit.burst):
                return True
            if limit.kind == "order" and limit.on_failure == "hold":
                before = limit.last.get(key)
                if before not in (None, job.id) and self.store.state(before or "") not in (
                    None,
                    "succeeded",
                    "failed",
                    "cancelled",
                ):
                    return True
        return False

    def teardown(self) -> None:
        """Nothing is stuck: when what stops jobs is gone, all of them end."""
        self.store.rows("resume_queue", queue="q")
        self.paused = False
        for name, limit in self.limits.items():
            if limit.bound == 0:
                self.set_limit(name, 1)
        for worker in (0, 1):
            self.lapse(worker)
        for _ in range(1000):
            self.promote()
            if not self.store.one("select count(*) from headrace.job"):
                break
            self.now_s += 1
            claimed = self._claim(0, 10) + self._claim(0, 1, suspects=True)
            if claimed:
                self.store.settle(self.workers[0], *map(ended, claimed))
        assert self.store.ask("select id, state, lane, suspicion from headrace.job") == []
        assert self.store.ask(DRIFT) == []


def check_rate(starts: list[float], rate: float, burst: int) -> None:
    """In no window are there more starts than promised."""
    for first in range(len(starts)):
        for last in range(first, len(starts)):
            allowed = burst + rate * (starts[last] - starts[first])
            assert last - first + 1 <= allowed + 1e-6, f"{starts[first : last + 1]} at {rate}/s, burst {burst}"


def may_start(starts: list[float], now_s: float, rate: float, burst: int) -> bool:
    """Whether one more start would keep the promise, with a margin for rounding."""
    return all(len(starts) - i + 1 <= burst + rate * (now_s - start) - 1e-3 for i, start in enumerate(starts))


@pytest.mark.timeout(400)
def test_no_limit_is_ever_exceeded(store: Store) -> None:
    """Whatever is done in whatever order: see the module's text."""
    LimitedStore.store = store
    run_state_machine_as_test(
        LimitedStore,
        settings=settings(
            max_examples=60, stateful_step_count=50, deadline=None, derandomize=True, database=None, phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )  # fmt: skip
