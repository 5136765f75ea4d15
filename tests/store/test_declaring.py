"""Which code's schedules count, when workers of several codes live side by side, and what operators did stays."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from headrace._schedule.declaration import Declaration
from tests.store.schedules import HOUR, MINUTE, NOON

if TYPE_CHECKING:
    from tests.store.harness import Store

OLD = {"s": {"every": HOUR}}
NEW = {"s": {"every": MINUTE}}


def declare(store: Store, worker: int, code: dict[str, Any], tasks: tuple[str, ...] = ("t",)) -> dict[str, str]:
    """What one worker's code says; what it changed."""
    declared = [Declaration(name=name, task="t", **options) for name, options in code.items()]
    said = [{"name": it.name, "digest": it.digest(), "fields": it.fields()} for it in declared]
    return dict(store.rows("declare_schedules", worker_id=worker, declarations=json.dumps(said), tasks=[*tasks]))


def stored(store: Store, name: str = "s") -> Any:
    """Its interval, if it is enabled."""
    rows = store.ask("select every from headrace.schedule where name = %s and enabled", [name])
    return rows[0][0] if rows else None


def edit(store: Store, digest: str, **options: Any) -> None:
    fields = json.dumps(Declaration(name="s", task="t", **options).fields())
    store.rows("write_schedule", fields=fields, digest=digest, editor="me", only_new=False, now=None)


def test_a_first_worker_creates_and_a_second_changes_nothing(store: Store) -> None:
    """Nor does the first when it looks again, and what is next stays what it was."""
    first, second = store.worker(), store.worker()
    assert declare(store, first, OLD) == {"s": "created"}
    before = store.ask("select revision, next_due from headrace.schedule_due")
    assert declare(store, second, OLD) == {}
    assert declare(store, first, OLD) == {}
    assert store.ask("select revision, next_due from headrace.schedule_due") == before


def test_a_rolling_deploy_changes_it_once(store: Store) -> None:
    """Old workers that look again, or restart beside others of their kind, do not write the old declaration back."""
    old = [store.worker() for _ in range(3)]
    for worker in old:
        declare(store, worker, OLD)
    new = store.worker()
    assert declare(store, new, NEW) == {"s": "changed"}
    for worker in old:
        assert declare(store, worker, OLD) == {}
    store.end_lease(old.pop())
    restarted = store.worker()
    assert declare(store, restarted, OLD) == {}
    assert declare(store, new, NEW) == {}
    assert stored(store) == MINUTE


def test_an_aborted_deploy_heals(store: Store) -> None:
    """When the last worker of the new code is gone, the old code's next look restores what it declares."""
    old, new = store.worker(), store.worker()
    declare(store, old, OLD)
    declare(store, new, NEW)
    store.end_lease(new)
    assert declare(store, old, OLD) == {"s": "changed"}
    assert stored(store) == HOUR


def test_a_rollback_counts_as_new(store: Store) -> None:
    """Code that no worker has had for a time is the newest when it comes back."""
    workers = [store.worker() for _ in range(3)]
    declare(store, workers[0], OLD)
    declare(store, workers[1], NEW)
    store.end_lease(workers[0])
    assert declare(store, workers[1], NEW) == {}
    assert declare(store, workers[2], OLD) == {"s": "changed"}
    assert declare(store, workers[1], NEW) == {}
    assert stored(store) == HOUR


def test_a_pause_survives_a_changed_declaration(store: Store) -> None:
    """It is an operator's, and code cannot lift it."""
    worker = store.worker()
    declare(store, worker, OLD)
    store.rows("pause_schedule", name="s", tenant=None, reason="audit", by="me")
    declare(store, store.worker(), NEW)
    assert store.one("select paused_reason from headrace.schedule") == "audit"
    assert stored(store) == MINUTE


def test_an_edit_survives_until_the_code_says_something_new(store: Store) -> None:
    """Restarts of the same code leave it; new code undoes it, and says so."""
    worker = store.worker()
    declare(store, worker, OLD)
    edit(store, store.one("select declared from headrace.schedule"), every=5 * MINUTE)
    store.end_lease(worker)
    assert declare(store, store.worker(), OLD) == {}
    assert stored(store) == 5 * MINUTE
    assert declare(store, store.worker(), NEW) == {"s": "changed, and an operator's edit undone"}
    assert store.one("select edited_at from headrace.schedule") is None


def test_what_code_no_longer_declares_is_disabled(store: Store) -> None:
    """By new code that knows the task, and not while a worker of the old code lives; it comes back with its declaration."""
    old, new = store.worker(), store.worker()
    declare(store, old, OLD)
    assert declare(store, new, {}) == {}
    store.end_lease(old)
    assert declare(store, new, {}) == {"s": "disabled: no code that runs declares it"}
    assert stored(store) is None
    assert store.ask("select next_due from headrace.schedule_due") == [(None,)]
    assert declare(store, new, {}) == {}
    assert declare(store, store.worker(), OLD) == {"s": "enabled: code declares it again"}
    assert stored(store) == HOUR
    assert store.one("select next_due is not null from headrace.schedule_due")


def test_an_edit_of_what_is_disabled_does_not_enable_it(store: Store) -> None:
    """It stays with the schedule until code declares it again."""
    old = store.worker()
    declare(store, old, OLD)
    digest = store.one("select declared from headrace.schedule")
    store.end_lease(old)
    declare(store, store.worker(), {})
    edit(store, digest, every=5 * MINUTE)
    assert store.ask("select enabled, every from headrace.schedule") == [(False, 5 * MINUTE)]
    assert store.ask("select next_due from headrace.schedule_due") == [(None,)]


def test_a_program_that_does_not_know_the_task_disables_nothing(store: Store) -> None:
    """Two programs may share a database; what was made at run time is nobody's code."""
    store.end_lease(worker := store.worker())
    worker = store.worker()
    declare(store, worker, OLD)
    store.end_lease(worker)
    fields = json.dumps(Declaration(name="made", task="t", every=HOUR).fields())
    store.rows("write_schedule", fields=fields, digest=None, editor=None, only_new=True, now=None)
    assert declare(store, store.worker(), {}, tasks=("u",)) == {}
    assert stored(store) == HOUR
    declare(store, store.worker(), {})
    assert (stored(store), stored(store, "made")) == (None, HOUR)


def test_a_worker_without_a_lease_says_nothing(store: Store) -> None:
    """A zombie of the old code cannot bring its schedules back."""
    zombie = store.worker()
    store.end_lease(zombie)
    assert declare(store, zombie, OLD) == {}
    assert stored(store) is None


def test_moments_that_were_missed_survive_a_restart_with_the_same_code(store: Store) -> None:
    """What is next is not planned anew by a deploy that changes nothing: catching up is the policy's."""
    worker = store.worker()
    declare(store, worker, OLD)
    store.ask(
        "update headrace.schedule_due set next_due = %s, next_at = %s, next_nominal = '2026-03-01 12:00', next_fold = 0",
        [NOON, NOON],
    )
    store.end_lease(worker)
    declare(store, store.worker(), OLD)
    assert store.ask("select next_due from headrace.schedule_due") == [(NOON,)]


def test_nobody_waits_for_another_worker_that_declares(store: Store, other: Store) -> None:
    """It is told that somebody is busy, and looks again."""
    with store.conn.transaction():
        declare(store, store.worker(), OLD)
        assert declare(other, other.worker(), OLD) == {None: "busy"}
