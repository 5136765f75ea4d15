"""Who did what: every operator's action is recorded with it, once, without secrets, and stays."""

from __future__ import annotations

import asyncio
import socket
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from typing import TYPE_CHECKING, Annotated, Any

import psycopg
import pytest

from headrace import Concurrency, ConfigurationError, Headrace, Role, Secret, Workflow, acting
from headrace._store import recording
from headrace._store.acting import Actor, current_actor
from headrace._store.recording import ACTIONS, MOST_STATES, MOST_TARGETS, took_effect
from headrace.limits import Breaker

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

Entries = "Callable[..., Awaitable[Sequence[AuditEntry]]]"
ALICE: dict[str, Any] = {"source": "dashboard", "address": "192.0.2.7"}
HOUR = timedelta(hours=1)


@pytest.fixture
def task(app: Headrace) -> Any:
    """A task with a secret."""

    @app.task(name="t")
    async def task(n: int = 0, token: Annotated[str, Secret] = "") -> int:
        return n

    return task


# -- what is recorded --


async def on_jobs(app: Headrace, task: Any, tell: Callable[[str], None]) -> None:
    job = await task.enqueue()
    for name, act in (("job.cancel", job.cancel), ("job.retry", job.retry), ("job.delete", job.delete)):
        tell(name)
        await act()


async def on_queues(app: Headrace, task: Any, tell: Callable[[str], None]) -> None:
    tell("queue.pause")
    await app.pause("default", reason="r")
    tell("queue.resume")
    await app.resume("default")
    tell("queue.pause")
    await app.pause()
    tell("queue.resume")
    await app.resume()
    tell("queue.set")
    await (await app.database()).rows("set_queue", name="default", concurrency=3, max_queued=None, clear=[])


async def on_limits(app: Headrace, task: Any, tell: Callable[[str], None]) -> None:
    tell("limit.set")
    await app.limits.set(Concurrency(3), queue="default", name="three")
    tell("limit.remove")
    await app.limits.remove("three")
    tell("limit.set")
    await app.limits.set(Breaker("bank"), queue="default")
    tell("breaker.force")
    await app.breakers.force("bank", "open")


async def on_schedules(app: Headrace, task: Any, tell: Callable[[str], None]) -> None:
    tell("schedule.create")
    await app.schedules.create("s", task, every=HOUR, args={"token": "canary"})
    for name, act in (
        ("schedule.edit", lambda: app.schedules.edit("s", every=2 * HOUR)),
        ("schedule.pause", lambda: app.schedules.pause("s", "why")),
        ("schedule.resume", lambda: app.schedules.resume("s")),
        ("schedule.skip", lambda: app.schedules.skip_next("s")),
        ("schedule.run", lambda: app.schedules.run_now("s")),
        ("schedule.backfill", lambda: app.schedules.backfill("s", *a_day())),
        ("schedule.delete", lambda: app.schedules.delete("s")),
    ):
        tell(name)
        await act()
    await app.schedules.create("many", task, every=HOUR, per_tenant=True)
    tell("schedule.create")
    tell("schedule.set_tenants")
    await app.schedules.tenants("many").set("acme", args={"token": "canary"})
    tell("schedule.pause")
    await app.schedules.pause("many", "why", tenant="acme")
    tell("schedule.remove_tenants")
    await app.schedules.tenants("many").remove("acme")


def a_day() -> tuple[datetime, datetime]:
    end = datetime.now(UTC) - timedelta(minutes=1)
    return end - timedelta(days=1), end


async def on_workflows(app: Headrace, task: Any, tell: Callable[[str], None]) -> None:
    workflow = Workflow()
    workflow.add("one", task.job(1))
    started = await app.start(workflow)
    tell("workflow.add")
    await started.add(task.job(2, token="canary"), after="one")
    tell("workflow.cancel")
    await started.cancel()
    tell("workflow.retry")
    await started.retry()


async def on_access(app: Headrace, task: Any, tell: Callable[[str], None]) -> None:
    tell("key.create")
    await app.access.create_key("ci", role=Role.VIEWER)
    tell("key.revoke")
    await app.access.revoke_key("ci")
    tell("user.create")
    await app.access.create_user("bob", role=Role.VIEWER, tenant="acme")
    tell("user.password")
    await app.access.set_password("bob", "correct horse battery")
    tell("user.invite")
    await app.access.invite("bob")
    tell("user.remove")
    await app.access.remove_user("bob")
    tell("audit.keep")
    await app.audit.keep(timedelta(days=365))


async def on_operations(app: Headrace, task: Any, tell: Callable[[str], None]) -> None:
    tell("operation.start")
    operation = await app.operations.start("state:failed", "retry", by="alice")
    tell("operation.cancel")
    await app.operations.cancel(operation.id, by="alice")


async def on_webhooks(app: Headrace, task: Any, tell: Callable[[str], None]) -> None:
    tell("webhook.set")
    await app.webhooks.set("shop", "https://shop.example/hooks", tasks=["*"])
    tell("webhook.set")
    await app.webhooks.set("shop", "https://shop.example/hooks", tasks=[])
    tell("webhook.rotate")
    await app.webhooks.rotate("shop")
    tell("webhook.remove")
    await app.webhooks.remove("shop")


async def by_itself(app: Headrace, task: Any, tell: Callable[[str], None]) -> None:
    tell("operation.start")
    await app.audit.record("operation.start", "operation", ["7"], count=5_000, after={"filter": "state:failed"})


@pytest.mark.parametrize(
    "act",
    [on_jobs, on_queues, on_limits, on_schedules, on_workflows, on_operations, on_access, on_webhooks, by_itself],
    ids=lambda act: act.__name__,
)
async def test_every_action_is_recorded(
    app: Headrace, task: Any, entries: Any, act: Callable[..., Awaitable[None]]
) -> None:
    """Once each, in order, with who, from where, and on what; and without what is secret."""
    expected: list[str] = []
    with acting("alice", **ALICE):
        await act(app, task, expected.append)
    found = await entries()
    assert [entry.action for entry in found] == expected
    assert {(entry.by, entry.source, entry.address) for entry in found} == {("alice", "dashboard", "192.0.2.7")}
    assert all(entry.kind == entry.action.partition(".")[0] for entry in found)
    assert all(entry.targets or entry.action in ("audit.keep",) for entry in found)
    assert "canary" not in repr(found)
    assert "horse" not in repr(found)


async def test_every_action_there_is_has_been_tried(app: Headrace, task: Any, entries: Any) -> None:
    """A statement that is added to those that are recorded is also tried here, or among the sign-ins."""
    tried: list[str] = []
    with acting("alice"):
        for act in (
            on_jobs, on_queues, on_limits, on_schedules, on_workflows, on_operations, on_access, on_webhooks,
        ):  # fmt: skip
            await act(app, task, tried.append)
    named = {action.name for action in ACTIONS.values() if isinstance(action.name, str)}
    assert named - set(tried) == {
        "user.accept_invitation", "session.sign_in", "session.sign_out", "session.sign_out_everywhere",
    }  # fmt: skip


async def test_before_and_after_say_what_has_changed(app: Headrace, task: Any, entries: Any) -> None:
    """Of jobs the states and what became of them; of settings the values."""
    job = await task.enqueue(1)
    with acting("alice"):
        await app.cancel_jobs([job.id], "not needed")
        await app.retry_jobs([job.id], {"n": 2, "token": "canary"})
        await app.pause("default", reason="r", until=timedelta(hours=1))
        await app.limits.set(Concurrency(3), queue="default", name="l")
        await app.limits.set(Concurrency(5), queue="default", name="l")
    cancelled, retried, paused, _, changed = await entries()
    assert cancelled.before == {"state": {str(job.id): "queued"}}
    assert cancelled.after == {"outcome": {str(job.id): "cancelled"}, "reason": "not needed"}
    assert retried.after["outcome"] == {str(job.id): "retried"}
    assert set(retried.after["args"]) == {"n", "token"}
    assert "canary" not in repr(retried)
    assert paused.before == {}
    assert paused.after["paused"]["reason"] == "r"
    assert (changed.before["bound"], changed.after["bound"]) == (3, 5)


async def test_arguments_of_a_known_task_are_shown_but_for_its_secrets(app: Headrace, task: Any, entries: Any) -> None:
    """Once a worker has registered it."""
    job = await task.enqueue(1)
    await app.drain(listen=False)
    with acting("alice"):
        await app.retry_jobs([job.id], {"n": 2, "token": "canary"})
    assert (await entries())[0].after["args"] == {"n": 2, "token": "[redacted]"}


async def test_a_bulk_action_is_one_entry(app: Headrace, task: Any, entries: Any) -> None:
    """With the first ids, the first states, and the count of all."""
    jobs = await app.enqueue_many(task.job(n) for n in range(MOST_TARGETS + 5))
    with acting("alice"):
        await app.cancel_jobs([job.id for job in jobs])
    (entry,) = await entries()
    assert (entry.count, len(entry.targets)) == (MOST_TARGETS + 5, MOST_TARGETS)
    assert len(entry.before["state"]) == len(entry.after["outcome"]) == MOST_STATES


# -- who acts --


async def test_without_anybody_acting_settings_are_the_process_s(app: Headrace, task: Any, entries: Any) -> None:
    """What a program does to jobs is its own work; what it changes for everybody is recorded as its user's."""
    job = await task.enqueue()
    await job.cancel()
    await app.pause("default")
    (entry,) = await entries()
    assert (entry.action, entry.source, entry.address) == ("queue.pause", "python", None)
    assert entry.by.endswith(f"@{socket.gethostname()}")


async def test_who_acts_is_of_a_context(app: Headrace, task: Any, entries: Any) -> None:
    """Two requests at the same time are two people's, however they interleave; blocks may be inside of each other."""
    both = asyncio.Barrier(2)

    async def pause(by: str, queue: str) -> None:
        with acting(by):
            await both.wait()
            await app.pause(queue)

    await asyncio.gather(pause("alice", "a"), pause("bob", "b"))
    assert {(entry.by, entry.targets[0]) for entry in await entries()} == {("alice", "a"), ("bob", "b")}
    with acting("alice"):
        with acting("bob"):
            assert current_actor() == Actor("bob")
        assert current_actor() == Actor("alice")
    assert current_actor() is None


async def test_sync_code_acts_too(app: Headrace, task: Any, entries: Any, url: str) -> None:
    """The app's own thread knows on whose behalf it is asked."""

    def cancel() -> None:
        other = Headrace(url)
        with acting("alice"):
            other.run_sync(other.pause("default"))
        other.close_sync()

    await asyncio.to_thread(cancel)
    assert [entry.by for entry in await entries()] == ["alice"]


async def test_code_that_declares_is_no_operator(app: Headrace, task: Any, entries: Any) -> None:
    """Workers that start write what the code declares: nobody's action."""
    app.schedule(every=HOUR)(task)
    app.queue("default", limits=[Concurrency(3)])
    await app.schedules.get("t")
    await app.drain(listen=False)
    assert await entries() == []


# -- both, or neither --


async def test_what_cannot_be_recorded_is_not_done(
    app: Headrace, task: Any, entries: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The action and its entry are one transaction."""

    async def refuse(*_: Any, **__: Any) -> None:
        raise RuntimeError("no")

    job = await task.enqueue()
    monkeypatch.setattr(recording, "record", refuse)
    with acting("alice"), pytest.raises(RuntimeError):
        await job.cancel()
    assert (await job.info()).state == "queued"
    assert await entries() == []


async def test_what_is_not_done_is_not_recorded(app: Headrace, task: Any, entries: Any) -> None:
    """Refused, or there was nothing to do."""
    with acting("alice"):
        assert await app.retry_jobs(["01900000-0000-7000-8000-000000000000"]) == []
        assert not await app.resume("default")
        with pytest.raises(psycopg.Error):
            await (await app.database()).rows("set_queue", name="x", concurrency=-1, max_queued=None, clear=[])
    assert await entries() == []


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (None, True),
        ([], False),
        ([(None,)], False),
        ([(False,)], False),
        ([("",)], True),
        ([(0,)], True),
        ([("id",)], True),
    ],
)
def test_when_a_statement_has_done_something(rows: Any, expected: bool) -> None:
    """It says so by its first row; one that answers nothing has."""
    assert took_effect(rows) is expected


async def test_values_that_json_cannot_hold_are_recorded(app: Headrace, entries: Any) -> None:
    """A record must not fail because of what somebody typed."""
    with acting("al\x00ice\ud800"):
        await app.audit.record("x.y", "x", ["a\x00b"], after={"text": "a\x00b", "at": datetime.now(UTC), "for": HOUR})
    (entry,) = await entries()
    assert (entry.by, entry.targets, entry.after["text"]) == ("al\ufffdice?", ["a\ufffdb"], "a\ufffdb")


# -- looking at it --


async def test_it_can_be_searched_and_paged(app: Headrace, task: Any, entries: Any) -> None:
    """By who, what, on what and when; the latest first, a page at a time, without repeating or leaving out any."""
    for n in range(7):
        with acting("alice" if n % 2 else "bob"):
            await app.pause(f"q{n}")
    everything = [entry.id for entry in reversed(await entries())]
    assert [entry.targets for entry in await entries(target="q3")] == [["q3"]]
    assert len(await entries(by="alice")) == 3
    assert len(await entries(kind="queue", action="queue.pause")) == 7
    assert await entries(action="queue.resume") == []
    assert await entries(since=datetime.now(UTC) + HOUR) == []
    assert len(await entries(since=datetime.now(UTC) - HOUR, until=datetime.now(UTC) + HOUR)) == 7
    paged: list[int] = []
    before = None
    while page := await app.audit.list(before=before, limit=3, since=datetime.now(UTC) - HOUR):
        paged += [entry.id for entry in page]
        before = page[-1].id
    assert paged[:7] == everything


# -- it stays --


@pytest.fixture
async def recorded(database: str) -> str:
    """A database of its own, in which something was recorded."""
    async with Headrace(database) as app:
        await app.pause("default")
    return database


@pytest.mark.parametrize("statement", ["update headrace.audit set by = 'bob'", "delete from headrace.audit"])
def test_nothing_in_it_can_be_changed(recorded: str, statement: str) -> None:
    """Not even by whoever owns the tables, and not by way of a partition."""
    with psycopg.connect(recorded, autocommit=True) as conn:
        ((partition,),) = conn.execute("select tableoid::regclass::text from headrace.audit").fetchall()
        for table in ("headrace.audit", partition):
            with pytest.raises(psycopg.Error, match="only added to"):
                conn.execute(statement.replace("headrace.audit", table))
        assert conn.execute("select by <> 'bob' from headrace.audit").fetchall() == [(True,)]


async def test_months_go_when_all_of_them_is_too_old(recorded: str) -> None:
    """After 365 days by default, or as the database says; a month is never cut."""
    with psycopg.connect(recorded, autocommit=True) as conn:

        def months() -> set[str]:
            found = conn.execute(
                "select inhrelid::regclass::text from pg_inherits where inhparent = 'headrace.audit'::regclass"
            )
            return {name.rpartition("_")[2] for (name,) in found}

        conn.execute("select headrace.create_audit_partitions('2020-01-31', '2020-03-01')")
        assert {"202001", "202002", "202003"} <= months()
        drop = "select headrace.drop_audit_partitions(%s::timestamptz)"
        assert conn.execute(drop, ["2021-01-31 23:59Z"]).fetchall() == [("audit_202001",)]
        assert conn.execute(drop, ["2021-02-27 23:59Z"]).fetchall() == []
        async with Headrace(recorded) as app:
            await app.audit.keep(timedelta(days=30))
            with pytest.raises(ConfigurationError):
                await app.audit.keep(timedelta(hours=1))
        assert conn.execute(drop, ["2020-03-31 00:00Z"]).fetchall() == [("audit_202002",)]
        assert conn.execute(drop, ["2020-03-31 00:00Z"]).fetchall() == []


def test_a_month_that_somebody_reads_goes_later(recorded: str) -> None:
    """Nobody who records an action waits behind a DROP that waits for a reader."""
    with psycopg.connect(recorded, autocommit=True) as conn, psycopg.connect(recorded) as reader:
        conn.execute("select headrace.create_audit_partitions('2020-01-01', '2020-01-02')")
        reader.execute("select * from headrace.audit_202001")
        assert conn.execute("select headrace.drop_audit_partitions()").fetchall() == []
        reader.rollback()
        assert conn.execute("select headrace.drop_audit_partitions()").fetchall() == [("audit_202001",)]


async def test_a_missing_month_is_made(recorded: str) -> None:
    """After weeks without a worker an operator can still act."""
    with psycopg.connect(recorded, autocommit=True) as conn:
        for (name,) in conn.execute(
            "select inhrelid::regclass::text from pg_inherits where inhparent = 'headrace.audit'::regclass"
        ).fetchall():
            conn.execute(f"drop table {name}")
    async with Headrace(recorded) as app:
        await app.pause("other")
        assert [entry.targets for entry in await app.audit.list()] == [["other"]]


def test_recorded_statements_exist() -> None:
    """A misspelt name would record nothing, silently."""
    queries = {entry.name.removesuffix(".sql") for entry in (files("headrace") / "_store" / "queries").iterdir()}
    assert set(ACTIONS) <= queries
