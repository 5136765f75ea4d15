"""Operations do each job that matched once, whoever crashes, competes, or holds jobs meanwhile."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from headrace import ConfigurationError, FilterError, Headrace, UnknownOperation
from headrace._worker.operating import Operating
from tests.store.harness import Claimed, ended

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from headrace.operations import Operation
    from tests.store.harness import Store

NOW = timedelta(0)
"""No time to undo."""


@pytest.fixture
async def app(store: Store) -> AsyncIterator[Headrace]:
    """An app on the shared database."""
    store.ask("delete from headrace.operation")
    store.ask("delete from headrace.job_history")
    async with Headrace(store.url) as app:
        yield app


def enqueue_many(store: Store, count: int, **fields: Any) -> list[str]:
    """So many jobs."""
    rows = store.rows("enqueue_jobs", jobs=json.dumps([{"task": "t", "queue": "q", **fields}] * count))
    return [str(row[1]) for row in rows]


def failed(store: Store, count: int, **fields: Any) -> list[str]:
    """So many jobs that have failed."""
    ids, worker = enqueue_many(store, count, **fields), store.worker()
    claimed = store.claim(worker, count, queue=fields.get("queue", "q"))
    error = json.dumps({"kind": "exception", "type": "ValueError", "message": "no"})
    store.settle(worker, *(ended(attempt, "failed", error=error) for attempt in claimed))
    assert len(claimed) == count
    return ids


async def operate(app: Headrace, *, chunk: int = 500) -> None:
    """What a worker does, until there is nothing to do."""
    operating = Operating(await app.database(), chunk=chunk)
    while await operating.operate() is not None:
        pass


def states(store: Store, ids: list[str]) -> set[str | None]:
    """In which states these jobs are."""
    return {state for (state,) in store.ask("select state::text from headrace.jobs where id = any(%s::uuid[])", [ids])}


async def test_all_that_match_and_existed_are_retried(store: Store, app: Headrace) -> None:
    """In chunks, each job once; others, and those that fail after the start, are left alone; the counts say so."""
    wanted, others = failed(store, 1200), failed(store, 30, task="other")
    operation = await app.operations.start("state:failed task:t", "retry", by="alice", undo=NOW)
    later = failed(store, 20)
    await operate(app)
    done = await app.operations.get(operation.id)
    assert (done.state, done.done, done.skipped, done.failed, done.estimate) == ("finished", 1200, 0, 0, 1200)
    assert (done.started_by, done.action, done.filter) == (
        "alice",
        "retry",
        "state:failed task:t state:succeeded,failed,cancelled",
    )
    assert states(store, wanted) == {"queued"}
    assert states(store, others + later) == {"failed"}
    assert store.one("select count(*) from headrace.attempt where job_id = any(%s::uuid[])", [wanted]) == 1200
    assert store.one("select chunks from headrace.operation") == 3


async def test_jobs_that_come_after_the_start_are_left_alone(store: Store, app: Headrace) -> None:
    """Though they match: those that are enqueued while it waits, and those that finish while it goes on are done if they were there."""
    before = enqueue_many(store, 12)
    worker = store.worker()
    operation = await app.operations.start("task:t", "delete", by="a", undo=NOW)
    after = enqueue_many(store, 3)
    finished = store.claim(worker, 5)
    store.settle(worker, *map(ended, finished))
    await operate(app, chunk=4)
    assert (await app.operations.get(operation.id)).done == 12
    assert states(store, before) == set()
    assert states(store, after) == {"queued"}


async def test_until_it_starts_it_can_be_undone(store: Store, app: Headrace) -> None:
    """Nothing happens in the undo window; cancelled in it, nothing ever does."""
    ids = failed(store, 3)
    operation = await app.operations.start("state:failed", "delete", by="alice", undo=timedelta(hours=1))
    await operate(app)
    assert (await app.operations.get(operation.id)).state == "waiting"
    undone = await app.operations.cancel(operation.id, by="bob")
    assert (undone.state, undone.cancelled_by, undone.done, undone.over) == ("cancelled", "bob", 0, True)
    store.ask("update headrace.operation set starts_at = now()")
    await operate(app)
    assert states(store, ids) == {"failed"}


async def test_it_can_be_stopped_between_chunks(store: Store, app: Headrace) -> None:
    """What is done stays done, the rest is left alone, and to stop it again changes nothing."""
    ids = failed(store, 30)
    operation = await app.operations.start("state:failed", "retry", by="a", undo=NOW)
    ticks = iter([0.0, 9.0])
    await Operating(await app.database(), lambda: next(ticks), chunk=10).operate()  # one chunk, and its time is over
    stopped = await app.operations.cancel(operation.id, by="b")
    await operate(app)
    assert (stopped.state, stopped.done) == ("cancelled", 10)
    assert sorted(state or "" for (state,) in store.ask(
        "select state::text from headrace.jobs where id = any(%s::uuid[])", [ids])) == ["failed"] * 20 + ["queued"] * 10  # fmt: skip
    assert (await app.operations.cancel(operation.id, by="c")).cancelled_by == "b"


def run_chunk(store: Store, operation: Operation, chunk: int, ids: list[str], *, last: bool = False) -> bool:
    """One chunk, by a worker that took the operation."""
    return bool(store.value("run_chunk", id=operation.id, chunk=chunk, ids=ids, place=None, last=last))


async def test_a_chunk_is_done_whole_or_not_at_all_and_never_twice(store: Store, other: Store, app: Headrace) -> None:
    """A worker that dies in the middle has done nothing of its chunk; one that comes late with a chunk that is done does nothing."""
    ids = failed(store, 5)
    operation = await app.operations.start("state:failed", "retry", by="a", undo=NOW)
    store.rows("take_operation", now=None)
    with other.conn.transaction(force_rollback=True):  # it dies before its commit
        assert run_chunk(other, operation, 0, ids)
    assert states(store, ids) == {"failed"}
    assert (await app.operations.get(operation.id)).done == 0
    with other.conn.transaction():
        assert run_chunk(other, operation, 0, ids)
        assert not run_chunk(store, operation, 0, ids)  # does not wait for it
    assert not run_chunk(store, operation, 0, ids)
    assert run_chunk(store, operation, 1, [], last=True)
    over = await app.operations.get(operation.id)
    assert (over.state, over.done, over.skipped) == ("finished", 5, 0)
    assert not run_chunk(store, operation, 2, ids)


async def test_who_takes_over_goes_on_where_it_ended(store: Store, app: Headrace) -> None:
    """Nobody has an operation twice within ten seconds; then another worker goes on behind the last chunk."""
    failed(store, 25)
    operation = await app.operations.start("state:failed", "delete", by="a", undo=NOW)
    ticks = iter([0.0, 9.0])
    await Operating(await app.database(), lambda: next(ticks), chunk=10).operate()
    store.rows("take_operation", now=None)  # and dies
    await operate(app)
    assert (await app.operations.get(operation.id)).done == 10
    (taken,) = store.rows("take_operation", now="2100-01-01")
    assert taken[0] == operation.id
    assert taken[5] == 1
    store.ask("update headrace.operation set taken_until = now()")
    await operate(app)
    assert (await app.operations.get(operation.id)).done == 25


async def test_a_job_that_cannot_be_done_is_counted_and_stops_nobody(store: Store, app: Headrace) -> None:
    """The others of its chunk are done; the reason is kept."""
    ids = failed(store, 10)
    store.ask(f"""
        create function headrace.refuse() returns trigger language plpgsql as $$
        begin if old.id = '{ids[4]}' then raise exception 'it is precious'; end if; return old; end $$;
        create trigger refuse before delete on headrace.job_history_long for each row execute function headrace.refuse()""")
    try:
        operation = await app.operations.start("state:failed", "delete", by="a", undo=NOW)
        await operate(app)
    finally:
        store.ask("drop function headrace.refuse cascade")
    over = await app.operations.get(operation.id)
    assert (over.state, over.done, over.failed, over.skipped) == ("finished", 9, 1, 0)
    assert over.problem == f"job {ids[4]}: it is precious"
    assert store.state(ids[4]) == "failed"


async def test_a_job_that_somebody_holds_is_skipped(store: Store, other: Store, app: Headrace) -> None:
    """It is not waited for."""
    ids = enqueue_many(store, 4)
    operation = await app.operations.start("state:queued", "cancel", by="a", undo=NOW)
    with other.conn.transaction():
        other.ask("select from headrace.job where id = %s for update", [ids[1]])
        await operate(app)
    over = await app.operations.get(operation.id)
    assert (over.done, over.skipped) == (3, 1)
    assert store.state(ids[1]) == "queued"


async def test_a_tenant_s_operation_touches_nobody_else_s_jobs(store: Store, app: Headrace) -> None:
    """Neither by a filter that names another tenant, nor by ids; and nobody else's operations are seen."""
    own, others = failed(store, 3, tenant="acme"), failed(store, 3, tenant="evil")
    first = await app.operations.start("tenant:evil", "delete", by="a", tenant="acme", undo=NOW)
    second = await app.operations.start(None, "delete", by="a", ids=[*own, *others], tenant="acme", undo=NOW)
    assert (await app.operations.preview("tenant:evil", "delete", tenant="acme")).samples == []
    await operate(app)
    assert (await app.operations.get(first.id)).done == 0
    assert [(await app.operations.get(second.id)).done, (await app.operations.get(second.id)).skipped] == [3, 3]
    assert states(store, others) == {"failed"}
    assert [o.id for o in await app.operations.list(tenant="acme")] == [second.id, first.id]
    assert await app.operations.list(tenant="evil") == []
    with pytest.raises(UnknownOperation):
        await app.operations.get(first.id, tenant="evil")
    third = await app.operations.start("age>0s", "delete", by="a", undo=timedelta(hours=1))
    with pytest.raises(UnknownOperation):
        await app.operations.cancel(third.id, by="b", tenant="acme")
    assert (await app.operations.get(third.id)).state == "waiting"


async def test_ids_are_done_in_chunks_too(store: Store, app: Headrace) -> None:
    """A list of jobs, some of which are not there, each once."""
    ids = failed(store, 25)
    operation = await app.operations.start(None, "retry", by="a", ids=[*ids, *ids, store.new_id()], undo=NOW)
    assert operation.listed == 26
    await operate(app, chunk=10)
    over = await app.operations.get(operation.id)
    assert (over.state, over.done, over.skipped) == ("finished", 25, 1)
    assert states(store, ids) == {"queued"}


async def test_waiting_jobs_get_another_place(store: Store, app: Headrace) -> None:
    """Priority and queue change of what waits, not of what runs; they come behind what is in their new line, in their old order."""
    running = enqueue_many(store, 1)
    worker = store.worker()
    store.claim(worker)
    moved = enqueue_many(store, 3)
    late = store.enqueue(delay_s=3600)
    there = enqueue_many(store, 1, queue="r")
    await app.operations.start("queue:q", "move", by="a", queue="r", undo=NOW)
    await app.operations.start("queue:r state:queued", "set_priority", by="a", priority=7, undo=NOW)
    await operate(app)
    assert store.find(running[0])["queue"] == "q"
    assert [store.find(i)["queue"] for i in (*moved, late)] == ["r"] * 4
    assert store.find(late)["priority"] == 0
    assert store.find(late)["state"] == "scheduled"
    assert {store.find(i)["priority"] for i in (*moved, *there)} == {7}
    assert [attempt.id for attempt in store.claim(worker, 9, queue="r")] == [*there, *moved]


async def test_each_action_acts_on_those_jobs_that_it_can_be_done_to(store: Store, app: Headrace) -> None:
    """Of a filter that all match: only finished jobs are retried, only unfinished ones cancelled, nothing that runs is deleted."""
    done, waiting, late = failed(store, 1), enqueue_many(store, 1), store.enqueue(delay_s=3600)
    expected = {"retry": 1, "run_now": 1, "cancel": 2, "delete": 3, "set_priority": 2}
    for action, count in expected.items():
        preview = await app.operations.preview("age>0s", action)  # type: ignore[arg-type]
        assert (preview.estimate.jobs, preview.estimate.exact, len(preview.samples)) == (count, True, count), action
    await app.operations.start("age>0s", "run_now", by="a", undo=NOW)
    await operate(app)
    assert states(store, [late]) == {"queued"}
    await app.operations.start("age>0s", "cancel", by="a", reason="too many", undo=NOW)
    await operate(app)
    assert states(store, [*waiting, late]) == {"cancelled"}
    assert store.find(late)["error"]["message"] == "too many"
    assert states(store, done) == {"failed"}


async def test_a_job_is_not_done_again_when_it_matches_again(store: Store, app: Headrace) -> None:
    """A retried job that fails again while the operation goes on has been done."""
    ids = failed(store, 20)
    operation = await app.operations.start("task:t", "retry", by="a", undo=NOW)
    ticks = iter([0.0, 9.0])
    await Operating(await app.database(), lambda: next(ticks), chunk=10).operate()
    worker = store.worker()
    again = store.claim(worker, 10)
    assert len(again) == 10
    store.settle(worker, *(ended(Claimed(*attempt), "failed") for attempt in again))
    await operate(app, chunk=10)
    assert (await app.operations.get(operation.id)).done == 20
    assert store.one("select max(run) from headrace.jobs where id = any(%s::uuid[])", [ids]) == 2
    assert store.one("select count(*) from headrace.job where id = any(%s::uuid[])", [ids]) == 10


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"filter": "", "action": "delete"}, "needs a filter"),
        ({"filter": "state:faild", "action": "delete"}, 'no state "faild"'),
        ({"filter": "state:failed", "action": "deleet"}, 'Did you mean "delete"'),
        ({"filter": "state:queued", "action": "set_priority"}, "needs a priority"),
        ({"filter": "state:queued", "action": "move"}, "needs a queue"),
        ({"filter": None, "action": "delete"}, "either a filter or ids"),
        ({"filter": None, "action": "delete", "ids": ["x"]}, "not all of these are ids"),
    ],
)  # fmt: skip
async def test_what_makes_no_sense_is_refused(app: Headrace, options: dict[str, Any], message: str) -> None:
    """Before anything is recorded."""
    with pytest.raises((FilterError, ConfigurationError), match=message):
        await app.operations.start(by="a", **options)
    assert await app.operations.list() == []


async def test_a_filter_that_this_version_cannot_read_fails_its_operation(store: Store, app: Headrace) -> None:
    """And no other: it says why."""
    operation = await app.operations.start("state:failed", "retry", by="a", undo=NOW)
    store.ask("update headrace.operation set filter = 'colour:red'")
    await operate(app)
    over = await app.operations.get(operation.id)
    assert over.state == "failed"
    assert 'there is no key "colour"' in (over.problem or "")
