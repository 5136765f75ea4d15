"""Every pair of statements that touch the same job, in every order that two connections can bring about.

One job, a worker that holds (or held) it, and another worker. The first statement runs in a transaction of its own; the
second begins

* ``after`` it,
* while it is ``uncommitted``, and it then commits,
* while it is uncommitted, and it then is ``undone``,
* or is ``surprised``: it has taken its snapshot, but reached the job only when the first has committed.

Whatever happens, the job is in one place, its run never goes back, an attempt is recorded at most once, by whoever held
it, and the job can be brought to an end that only its last holder records.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from tests.store.harness import Claimed, InThread, Store, ended

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

FAR_FUTURE = "2100-01-01T00:00:00Z"
GATE = 77
IF_GATED = "case when current_setting('application_name') = 'gated' then public.gate() else true end"


@dataclass
class Scene:
    """One job, who holds or held it, and somebody else."""

    job: str
    holder: int
    stranger: int
    attempt: Claimed
    records: int
    """How many attempts of this run are on record: it is over if there is one."""

    claims: int = 0
    deleted: bool = False
    answers: list[tuple[str, Any]] = field(default_factory=list)


def claim(store: Store, scene: Scene) -> list[Claimed]:
    """A claim by the worker that does not hold it."""
    return store.claim(scene.stranger)


def settle(store: Store, scene: Scene) -> list[str]:
    """Success, by who holds or held it."""
    return store.settle(scene.holder, ended(scene.attempt, result='"done"'))


def settle_retry(store: Store, scene: Scene) -> list[str]:
    """A failure that is tried again, by who holds or held it."""
    return store.settle(scene.holder, ended(scene.attempt, "retried", wait_s=60))


def snooze(store: Store, scene: Scene) -> list[str]:
    """Again later, by who holds or held it."""
    return store.settle(scene.holder, ended(scene.attempt, "snoozed", wait_s=60))


def rescue(store: Store, scene: Scene) -> dict[str, str]:
    """A rescue of everything that runs under no lease."""
    return store.rescue()


def take_over(store: Store, scene: Scene) -> tuple[dict[str, str], list[Claimed]]:
    """A rescue, and a claim by somebody else of what it freed."""
    return store.rescue(), store.claim_suspect(scene.stranger)


def cancel(store: Store, scene: Scene) -> dict[str, str]:
    """An operator's wish to cancel."""
    return store.cancel(scene.job)


def beat(store: Store, scene: Scene) -> list[tuple[Any, ...]]:
    """A beat of both leases."""
    return store.rows("beat_workers", worker_ids=[scene.holder, scene.stranger])


def end_lease(store: Store, scene: Scene) -> bool:
    """The end of the holder's lease."""
    return store.end_lease(scene.holder)


def end_other_lease(store: Store, scene: Scene) -> bool:
    """The end of the other worker's lease."""
    return store.end_lease(scene.stranger)


def delete(store: Store, scene: Scene) -> list[str]:
    """An operator's deletion."""
    return store.delete(scene.job)


def hand_back(store: Store, scene: Scene) -> list[tuple[Any, ...]]:
    """The holder gives back what it does not know of, unless its lease is locked."""
    try:
        return store.rows("hand_back_unheld", worker_id=scene.holder, held=[])
    except psycopg.errors.LockNotAvailable:
        return []


def retry(store: Store, scene: Scene) -> list[str]:
    """An operator's retry."""
    return store.retry(scene.job)


OPERATIONS: dict[str, Callable[[Store, Scene], Any]] = {
    act.__name__: act
    for act in (claim, settle, settle_retry, snooze, rescue, take_over, cancel, beat, end_lease, end_other_lease,
                delete, hand_back, retry)
}  # fmt: skip

ACTS_ON = {
    "claim": ["queued"],
    "settle": ["running", "orphaned"],
    "settle_retry": ["running", "orphaned"],
    "snooze": ["running", "orphaned"],
    "rescue": ["orphaned"],
    "take_over": ["orphaned"],
    "cancel": ["queued", "scheduled", "running", "orphaned"],
    "beat": ["queued", "running"],
    "end_lease": ["running"],
    "end_other_lease": ["queued"],
    "delete": ["queued", "scheduled", "failed"],
    "hand_back": ["running", "orphaned"],
    "retry": ["scheduled", "failed"],
}
"""The states in which a statement finds something to do."""

PAIRS = [(first, second, state) for first, states in ACTS_ON.items() for state in states for second in OPERATIONS]

HELD_OFF = {("end_other_lease", "claim"), *((first, "hand_back") for first in ("beat", "end_lease", "hand_back"))}
"""The second statement holds the lease when it reaches a job: the first waits for it, and surprises nobody."""
SURPRISES = [pair for pair in PAIRS if pair[:2] not in HELD_OFF]


def set_scene(store: Store, state: str) -> Scene:
    """A job in this state."""
    holder, stranger = store.worker(), store.worker()
    job = store.enqueue(max_attempts=5)
    if state == "queued":
        return Scene(job, holder, stranger, Claimed(job, 0), records=0)
    (attempt,) = store.claim(holder)
    records = 0
    match state:
        case "orphaned":
            store.end_lease(holder)
        case "scheduled":
            records = 1
            assert store.settle(holder, ended(attempt, "retried", wait_s=3600)) == []
        case "failed":
            records = 1
            assert store.settle(holder, ended(attempt, "failed", error='{"message": "no"}')) == []
    return Scene(job, holder, stranger, attempt, records)


@pytest.mark.parametrize(("first", "second", "state"), PAIRS)
def test_one_after_the_other(store: Store, other: Store, first: str, second: str, state: str) -> None:
    """Two statements, each committed before the next begins."""
    scene = set_scene(store, state)
    happened(scene, first, OPERATIONS[first](store, scene))
    happened(scene, second, OPERATIONS[second](other, scene))
    check_all(store, scene)


@pytest.mark.parametrize("end", ["commit", "rollback"])
@pytest.mark.parametrize(("first", "second", "state"), PAIRS)
def test_while_the_other_is_uncommitted(
    store: Store, other: Store, observer: Store, first: str, second: str, state: str, end: str
) -> None:
    """The second statement runs while the first is done but uncommitted; then the first commits, or never was."""
    scene = set_scene(store, state)
    with InThread(other, lambda: OPERATIONS[second](other, scene)) as late:
        store.ask("begin")
        answer = OPERATIONS[first](store, scene)
        late.start()
        late.waits(observer)
        store.ask(end)
        if end == "commit":
            happened(scene, first, answer)
        happened(scene, second, late.answer())
    check_all(store, scene)


@pytest.fixture(scope="module")
def gate(connections: tuple[Store, Store, Store]) -> Iterator[None]:
    """Something in front of every job that stops the statements of some connections."""
    store = connections[0]
    store.ask(f"""
        create function public.gate() returns boolean language plpgsql volatile set lock_timeout = 0 as
        $$ begin perform pg_advisory_xact_lock_shared({GATE}); return true; end $$;
        create policy gate on headrace.job using ({IF_GATED}) with check (true);
        create policy gate on headrace.job_history using ({IF_GATED}) with check (true);
        alter table headrace.job enable row level security, force row level security;
        alter table headrace.job_history enable row level security, force row level security""")
    yield
    store.ask("""
        alter table headrace.job disable row level security, no force row level security;
        alter table headrace.job_history disable row level security, no force row level security;
        drop policy gate on headrace.job;
        drop policy gate on headrace.job_history;
        drop function public.gate()""")


@pytest.fixture
def gated(gate: None, other: Store) -> Iterator[Store]:
    """A connection whose statements stop when they reach a job, their snapshot taken, until the gate opens."""
    other.ask("set application_name = 'gated'")
    yield other
    other.ask("reset application_name")


@pytest.mark.direct
@pytest.mark.parametrize(("first", "second", "state"), SURPRISES)
def test_surprised_by_the_other(
    store: Store, gated: Store, observer: Store, first: str, second: str, state: str
) -> None:
    """The second statement sees the job as it was, and reaches it when the first has changed and committed it."""
    scene = set_scene(store, state)
    with InThread(gated, lambda: OPERATIONS[second](gated, scene)) as late:
        with store.conn.transaction():
            store.ask(f"select pg_advisory_xact_lock({GATE})")
            late.start()
            late.waits(observer)
            answer = OPERATIONS[first](store, scene)
        happened(scene, first, answer)
        happened(scene, second, late.answer())
    check_all(store, scene)


def happened(scene: Scene, name: str, answer: Any) -> None:
    """Keep what a statement that took effect says it did."""
    scene.answers.append((name, answer))
    match name:
        case "claim":
            scene.claims += len(answer)
        case "settle" | "settle_retry" | "snooze":
            scene.records += answer == []
        case "rescue" | "hand_back":
            scene.records += len(answer)
        case "take_over":
            rescued, claimed = answer
            scene.records += len(rescued)
            scene.claims += len(claimed)
        case "delete":
            scene.deleted |= answer == [scene.job]


def check_all(store: Store, scene: Scene) -> None:
    """Check what the statements left, and that the job can be brought to an end."""
    check(store, scene)
    sweep(store, scene)
    check(store, scene)
    finish(store, scene)


def check(store: Store, scene: Scene) -> None:
    """The job is in one place, with as many runs and records as the statements say they made."""
    unfinished = store.ask(
        "select state::text, run, worker_id, cancel_reason from headrace.job where id = %s", [scene.job]
    )
    finished = store.ask("select state::text, run, worker_id from headrace.job_history where id = %s", [scene.job])
    assert len(unfinished) + len(finished) == (0 if scene.deleted else 1), scene.answers
    for _, run, *_ in (*unfinished, *finished):
        assert run == scene.attempt.run + scene.claims, scene.answers
    for state, _, worker, cancel_reason in unfinished:
        assert (state == "running") == (worker != 0), scene.answers
        assert cancel_reason is None or state == "running", f"a wish to cancel is forgotten: {scene.answers}"
    assert scene.records <= 1, f"recorded twice: {scene.answers}"
    if not scene.deleted:
        assert records_of(store, scene.attempt) == scene.records, scene.answers


def records_of(store: Store, attempt: Claimed) -> int:
    """How often the end of this attempt is on record."""
    return int(store.one(
        """select (select count(*) from headrace.attempt where job_id = %(id)s and run = %(run)s and worker_id > 0)
                + (select count(*) from headrace.job_history where id = %(id)s and run = %(run)s and worker_id > 0)""",
        attempt._asdict(),
    ))  # fmt: skip


def sweep(store: Store, scene: Scene) -> None:
    """After a rescue nothing runs under no lease, and nobody's attempt is taken whose lease is alive."""
    running = (
        "select id::text from headrace.job where state = 'running' "
        "and {} (select from headrace.worker w where w.id = worker_id)"
    )
    alive = store.ask(running.format("exists"))
    happened(scene, "rescue", {job: end for job, end in store.rescue().items() if not scene.claims})
    assert store.ask(running.format("not exists")) == []
    assert store.ask(running.format("exists")) == alive


def finish(store: Store, scene: Scene) -> None:
    """The job comes to one end, under whoever claims it last; who held it before records nothing."""
    store.end_lease(scene.holder)
    store.end_lease(scene.stranger)
    store.rescue()
    store.promote(FAR_FUTURE)
    last = store.worker()
    claimed = store.claim(last) + store.claim_suspect(last)
    assert len(claimed) == len(store.ask("select from headrace.job where id = %s", [scene.job]))
    before = store.ask("select id, run, worker_id, state from headrace.job_history where id = %s", [scene.job])
    for zombie in (scene.holder, scene.stranger):
        for run in range(scene.attempt.run + scene.claims + 2):
            assert store.settle(zombie, ended(Claimed(scene.job, run))) == [scene.job]
    assert before == store.ask("select id, run, worker_id, state from headrace.job_history where id = %s", [scene.job])
    for attempt in claimed:
        assert store.settle(last, ended(attempt)) == []
    (places,) = store.ask(
        "select (select count(*) from headrace.job where id = %(id)s), "
        "(select count(*) from headrace.job_history where id = %(id)s)",
        {"id": scene.job},
    )
    assert places == ((0, 0) if scene.deleted else (0, 1)), scene.answers
