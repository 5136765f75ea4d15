"""Durable steps: done once, recorded once, and given back to later attempts as they were (FEATURES P12)."""

from __future__ import annotations

import asyncio
import functools
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any

import pytest
from pydantic import BaseModel, Field

from headrace import Context, EventTimeout, Headrace, JobFailed, LeaseLost, Retry, State, StepError, Suspended
from headrace._worker.step_store import StepStore
from headrace._worker.steps import Steps
from tests.worker.helpers import PATIENCE_S, timings, until, working

if TYPE_CHECKING:
    from collections.abc import Callable

    from headrace import Job
    from tests.worker.helpers import Tables

AT_ONCE = Retry(attempts=5, delay=timedelta(0), jitter=0)
SHORT = timedelta(seconds=0.15)


class Receipt(BaseModel):
    """What a step returns; at the top of the module, where its annotation is looked up."""

    number: int
    paid_at: datetime


@dataclass
class Address:
    """What another one returns."""

    street: str


async def drain(app: Headrace) -> None:
    """Work everything off that is due."""
    await asyncio.wait_for(app.drain(timings=timings()), PATIENCE_S)


class Program:
    """Counts calls, and fails where it is told to."""

    def __init__(self, *failures: str) -> None:
        self.calls: Counter[str] = Counter()
        self.failures = list(failures)

    def do(self, what: str) -> str:
        """One step's work."""
        self.calls[what] += 1
        if what in self.failures:
            self.failures.remove(what)
            raise RuntimeError(f"{what} failed")
        return f"{what} {self.calls[what]}"

    async def do_async(self, what: str) -> str:
        """The same, with a wait in it."""
        await asyncio.sleep(0)
        return self.do(what)


def coroutine_of(program: Program) -> Callable[[Context], Any]:
    """Five steps."""

    async def five(ctx: Context) -> list[str]:
        return [await ctx.step(what, program.do_async, what) for what in "abcde"]

    return five


def function_of(program: Program) -> Callable[[Context], Any]:
    """The same in a thread."""

    def five(ctx: Context) -> list[str]:
        return [ctx.step_sync(what, program.do, what) for what in "abcde"]

    return five


@pytest.mark.parametrize("kind", [coroutine_of, function_of])
async def test_a_retry_goes_on_after_the_last_finished_step(
    app: Headrace, kind: Callable[[Program], Callable[[Context], Any]]
) -> None:
    """Steps that are done are not called again, the one that failed is; the job gets the same results."""
    program = Program("c", "c", "e")
    job = await app.task(name="five", retry=AT_ONCE)(kind(program)).enqueue()
    await drain(app)
    assert await job.result(5) == ["a 1", "b 1", "c 3", "d 1", "e 2"]
    assert [(s.ordinal, s.name, s.kind, s.outcome, s.run, s.result) for s in await job.steps()] == [
        (1, "a", "call", "done", 1, "a 1"), (2, "b", "call", "done", 1, "b 1"), (3, "c", "call", "done", 3, "c 3"),
        (4, "d", "call", "done", 3, "d 1"), (5, "e", "call", "done", 4, "e 2"),
    ]  # fmt: skip
    assert all(step.took_s is not None and step.finished_at == step.recorded_at for step in await job.steps())


async def test_jobs_without_steps_open_no_connection_for_them(app: Headrace, tables: Tables) -> None:
    """A plain job pays nothing: no connection, no statement."""

    @app.task
    async def plain(ctx: Context) -> None:
        opened.append(tables.value("select count(*) from pg_stat_activity where application_name = 'headrace steps'"))

    opened: list[int] = []
    await plain.enqueue()
    await drain(app)
    assert opened == [0]


async def test_what_a_first_attempt_records_is_one_statement_a_step(
    app: Headrace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first attempt loads nothing; each further one loads once."""
    said: list[str] = []
    rows = StepStore.rows

    async def counted(self: StepStore, name: str, /, **parameters: Any) -> list[tuple[Any, ...]]:
        said.append(name)
        return await rows(self, name, **parameters)

    monkeypatch.setattr(StepStore, "rows", counted)
    job = await app.task(name="five", retry=AT_ONCE)(coroutine_of(Program("d"))).enqueue()
    await drain(app)
    await job.result(5)
    assert said == ["record_step"] * 3 + ["load_steps"] + ["record_step"] * 2


async def receipt(number: int) -> Receipt:
    return Receipt(number=number, paid_at=datetime(2026, 11, 25, tzinfo=UTC))


async def address() -> Address:
    return Address("Mill Lane")


async def prices() -> list[Decimal]:
    return [Decimal("1.10"), Decimal("2")]


async def pair() -> tuple[int, str]:
    return 1, "one"


async def nothing() -> None:
    return None


async def maybe(there: bool) -> Receipt | None:
    return await receipt(7) if there else None


async def bounded() -> Annotated[int, Field(gt=0, examples=[[1]])]:
    return 3


RETURNING: list[tuple[Callable[..., Any], Any]] = [
    (functools.partial(receipt, 7), Receipt(number=7, paid_at=datetime(2026, 11, 25, tzinfo=UTC))),
    (address, Address("Mill Lane")),
    (prices, [Decimal("1.10"), Decimal("2")]),
    (pair, (1, "one")),
    (nothing, None),
    (functools.partial(maybe, True), Receipt(number=7, paid_at=datetime(2026, 11, 25, tzinfo=UTC))),
    (functools.partial(maybe, False), None),
    (bounded, 3),
    (lambda: (1, 2), [1, 2]),
    (lambda: receipt(7), {"number": 7, "paid_at": "2026-11-25T00:00:00Z"}),
    (lambda: "a\x00b", "a\ufffdb"),
]


@pytest.mark.parametrize(("function", "expected"), RETURNING, ids=range(len(RETURNING)))
async def test_every_attempt_sees_the_same_result(app: Headrace, function: Callable[..., Any], expected: Any) -> None:
    """As the annotation says, from the first attempt on; without one, what JSON makes of it."""
    seen = []

    @app.task(retry=AT_ONCE)
    async def twice(ctx: Context) -> None:
        seen.append(await ctx.step("it", function))
        if ctx.job.attempt == 1:
            raise RuntimeError("again")

    await twice.enqueue()
    await drain(app)
    assert seen == [expected, expected]
    assert [type(value) for value in seen] == [type(expected)] * 2


async def wrong() -> int:
    return "x"  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (
            wrong,
            'what step "it" returned does not fit the function\'s return annotation: Input should be a valid integer',
        ),
        (object, "cannot be stored as JSON"),
        (lambda: "x" * 300_000, "is 300002 bytes long, at most 262144 are kept"),
        (lambda: object(), "cannot be stored as JSON"),  # noqa: PLW0108
    ],
)
async def test_a_result_that_cannot_be_kept_fails_the_job(
    app: Headrace, function: Callable[..., Any], message: str
) -> None:
    """At once: trying again would only call the function again."""
    runs = []

    @app.task(retry=AT_ONCE if function is not object else Retry(attempts=1))
    async def keeping(ctx: Context) -> None:
        runs.append(ctx.job.run)
        await ctx.step("it", function)

    job = await keeping.enqueue()
    await drain(app)
    with pytest.raises(JobFailed, match=message.replace("(", "\\(")):
        await job.result(5)
    assert runs == [1]


async def test_a_changed_step_list_is_detected_and_explained(app: Headrace) -> None:
    """What is recorded, what is asked for, and what to do: the job fails at once, and every later step of the attempt too."""
    names, errors = ["fetch", "charge", "ship"], []

    @app.task(name="order", retry=AT_ONCE)
    async def order(ctx: Context, fails: bool = True) -> str:
        for name in names:
            try:
                await ctx.step(name, str, name)
            except StepError as error:
                errors.append(str(error))
                if len(errors) == 2:
                    raise
        if ctx.job.run == 1:
            names[1:1] = ["discount"]
            raise RuntimeError("a deploy comes in between")
        return " ".join(names)

    job = await order.enqueue()
    await drain(app)
    with pytest.raises(JobFailed) as failed:
        await job.result(5)
    assert failed.value.error["kind"] == "step"
    assert failed.value.error["type"] == "headrace.errors.StepsChanged"
    for part in (
        f'step 2 of job {job.id} is recorded as "charge" (by run 1), but this handler asks for "discount"',
        'Recorded: 1 "fetch", 2 "charge", 3 "ship".',
        f"headrace jobs retry --from-start {job.id}",
    ):
        assert part in errors[0]
    assert errors[0] == errors[1]
    assert (await job.info()).run == 2

    names[:] = ["fetch", "charge", "ship", "thank"]
    assert await job.retry()
    await drain(app)
    assert await job.result(5) == "fetch charge ship thank"  # new steps at the end are fine


@pytest.mark.parametrize("kind", ["sleep", "event"])
async def test_a_step_that_becomes_something_else_is_a_change(app: Headrace, kind: str) -> None:
    """A call is no sleep and no wait, whatever its name."""

    @app.task(name="order", retry=AT_ONCE)
    async def order(ctx: Context) -> None:
        if ctx.job.run == 1:
            await ctx.step(kind, lambda: None)
            raise RuntimeError("a deploy comes in between")
        await (ctx.sleep(1) if kind == "sleep" else ctx.wait_for_event("event"))

    job = await order.enqueue()
    await drain(app)
    with pytest.raises(JobFailed, match=f'recorded as "{kind}".* asks for a (sleep|wait for the event "event")'):
        await job.result(5)


@pytest.mark.parametrize(("from_start", "calls"), [(False, {"a": 1, "b": 2}), (True, {"a": 2, "b": 2})])
async def test_an_operator_s_retry_keeps_the_steps_unless_told_otherwise(
    app: Headrace, from_start: bool, calls: dict[str, int]
) -> None:
    """A failed job goes on after its last step, or does everything anew."""
    program = Program("b")

    @app.task(retry=Retry(attempts=1))
    async def two(ctx: Context) -> list[str]:
        return [await ctx.step(what, program.do, what) for what in "ab"]

    job = await two.enqueue()
    await drain(app)
    assert (await job.info()).state is State.FAILED
    assert await job.retry(from_start=from_start)
    await drain(app)
    await job.result(5)
    assert program.calls == calls


async def test_a_retry_of_a_job_that_succeeded_does_everything_anew(app: Headrace) -> None:
    """All its steps are done: to run it again is to do them again."""
    program = Program()
    job = await app.task(name="five")(coroutine_of(program)).enqueue()
    await drain(app)
    assert await job.retry()
    await drain(app)
    assert set(await job.result(5)) == {"a 2", "b 2", "c 2", "d 2", "e 2"}


async def test_steps_that_start_together(app: Headrace) -> None:
    """`asyncio.gather` of steps: those that were done when another failed are not called again."""
    program = Program("b")

    @app.task(retry=AT_ONCE)
    async def together(ctx: Context) -> list[str]:
        steps = [ctx.step(what, program.do_async, what) for what in "abcd"]
        results = await asyncio.gather(*steps, return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result
        return [str(result) for result in results]

    job = await together.enqueue()
    await drain(app)
    assert await job.result(5) == ["a 1", "b 2", "c 1", "d 1"]


async def test_a_step_in_a_step_is_refused(app: Headrace) -> None:
    """The outer one stores its result as a whole: the inner one would be missing the next time."""

    @app.task(retry=Retry(attempts=1))
    async def nested(ctx: Context) -> None:
        async def outer() -> None:
            await ctx.step("inner", lambda: 1)

        await ctx.step("outer", outer)

    job = await nested.enqueue()
    await drain(app)
    with pytest.raises(JobFailed, match='step "inner" is asked for inside of step "outer"'):
        await job.result(5)


@pytest.mark.parametrize("wait", ["sleep", "event"])
async def test_a_wait_in_a_step_is_refused(app: Headrace, wait: str) -> None:
    """It would end the attempt in the middle of the step, each time."""

    @app.task(retry=Retry(attempts=1))
    async def nested(ctx: Context) -> None:
        async def outer() -> None:
            await (ctx.sleep(1) if wait == "sleep" else ctx.wait_for_event("never"))

        await ctx.step("outer", outer)

    job = await nested.enqueue()
    await drain(app)
    with pytest.raises(JobFailed, match='inside of step "outer"'):
        await job.result(5)


@pytest.mark.parametrize("name", ["", "x" * 301, "a\x00b", "\ud800", 7])
async def test_names_that_cannot_be_stored_are_refused(app: Headrace, name: Any) -> None:
    """Before anything is called, and however often it is tried."""
    program = Program()

    @app.task(retry=Retry(attempts=1))
    async def named(ctx: Context, how: str) -> None:
        await (ctx.wait_for_event(name) if how == "event" else ctx.step(name, program.do, "it"))

    for how in ("step", "event"):
        job = await named.enqueue(how)
        await drain(app)
        with pytest.raises(JobFailed, match=how):
            await job.result(5)
    assert not program.calls


async def test_a_changed_step_in_a_task_group_fails_the_job(app: Headrace) -> None:
    """Also when it comes wrapped: trying again cannot help."""

    @app.task(retry=AT_ONCE)
    async def grouped(ctx: Context) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(ctx.step(f"step of run {ctx.job.run}", lambda: None))
        raise RuntimeError("again")

    job = await grouped.enqueue()
    await drain(app)
    with pytest.raises(JobFailed, match='recorded as "step of run 1"'):
        await job.result(5)
    assert (await job.info()).run == 2


async def test_nothing_is_done_after_a_wait_that_was_swallowed(app: Headrace) -> None:
    """A handler that catches everything gets the wait again at its next step, which is not called."""
    program = Program()

    @app.task
    async def stubborn(ctx: Context) -> str:
        try:
            await ctx.sleep(SHORT)
        except BaseException:  # noqa: BLE001 - the mistake
            pass
        return await ctx.step("a", program.do, "a")

    job = await stubborn.enqueue()
    await drain(app)
    assert not program.calls
    assert (await job.info()).state is State.SCHEDULED
    async with working(app):
        assert await job.result(PATIENCE_S) == "a 1"


async def test_the_sync_words_in_a_coroutine_are_refused(app: Headrace) -> None:
    """They would wait for the loop that they block."""

    @app.task(retry=Retry(attempts=1))
    async def mistaken(ctx: Context) -> None:
        ctx.step_sync("it", lambda: 1)

    job = await mistaken.enqueue()
    await drain(app)
    with pytest.raises(JobFailed, match=r"this handler is a coroutine: `await ctx.step\(...\)`, without _sync"):
        await job.result(5)


def local_type(ctx: Context) -> None:
    class Hidden(BaseModel):
        pass

    def hidden() -> Hidden:
        return Hidden()

    ctx.step_sync("it", hidden)


async def test_a_return_type_that_cannot_be_looked_up_is_explained(app: Headrace) -> None:
    """The annotation of a function in a function is only a string."""
    job = await app.task(retry=Retry(attempts=1))(local_type).enqueue()
    await drain(app)
    with pytest.raises(JobFailed, match=r"cannot be looked up at run time .*define it at the top of a module"):
        await job.result(5)


# -- the database's effects of a step, exactly once --


@pytest.mark.parametrize("executor", ["async", "thread"])
async def test_the_writes_of_a_step_and_its_record_commit_together(
    app: Headrace, tables: Tables, executor: str
) -> None:
    """What a failing attempt of the step wrote is gone; what a recorded one wrote is there once."""
    insert = "insert into effect values (%s, %s, 'charged')"

    async def coroutine(ctx: Context) -> str:
        async def charge(conn: Any, what: str) -> str:
            await conn.execute(insert, [ctx.job.id, ctx.job.run])
            if ctx.job.run == 1:
                raise RuntimeError("in the step")
            return what

        result = await ctx.step_in_transaction("charge", charge, "done")
        if ctx.job.run == 2:
            raise RuntimeError("after the step")
        return result

    def function(ctx: Context) -> str:
        def charge(conn: Any, what: str) -> str:
            conn.execute(insert, [ctx.job.id, ctx.job.run])
            if ctx.job.run == 1:
                raise RuntimeError("in the step")
            return what

        result = ctx.step_in_transaction_sync("charge", charge, "done")
        if ctx.job.run == 2:
            raise RuntimeError("after the step")
        return result

    job = await app.task(name="charging", retry=AT_ONCE)(coroutine if executor == "async" else function).enqueue()
    await drain(app)
    assert await job.result(5) == "done"
    assert tables.rows("select run, what from effect") == [(2, "charged")]


async def test_a_step_after_the_job_s_transaction_is_refused(app: Headrace) -> None:
    """The job has succeeded: nothing can be recorded of it any more, and the job's log says so."""
    raised = []

    @app.task
    async def late(ctx: Context) -> None:
        async with ctx.transaction():
            await ctx.step("before", lambda: 1)
        try:
            await ctx.step("after", lambda: 2)
        except Exception as error:
            raised.append(str(error))
            raise

    job = await late.enqueue()
    await drain(app)
    await job.result(5)
    assert raised == ['step "after" comes after ctx.transaction(), in which the job has succeeded: put it before']
    assert [step.name for step in await job.steps()] == ["before"]


# -- who may record --


async def take_back(tables: Tables, job: Job[Any]) -> None:
    """What a rescue does, from outside."""
    tables.rows("update headrace.job set state = 'queued', worker_id = 0 where id = %s", job.id)


@pytest.mark.parametrize("how", ["step", "step_in_transaction", "sleep", "wait_for_event"])
async def test_an_attempt_that_was_taken_back_records_nothing(app: Headrace, tables: Tables, how: str) -> None:
    """LeaseLost, from then on, also for those who catch it; what the next attempt records stands."""
    errors = []

    async def charge(*conn: Any) -> str:
        if conn:
            await conn[0].execute("insert into effect values (%s, 1, 'charged')", [job.id])
        if len(runs) == 1:
            await take_back(tables, job)
            await until(lambda: len(runs) == 2, "the job runs elsewhere")
        return f"by run {len(runs)}"

    runs: list[int] = []

    @app.task(name="contested")
    async def contested(ctx: Context) -> str:
        runs.append(ctx.job.run)
        if ctx.job.run > 1:
            return "the second"
        if how in ("sleep", "wait_for_event"):
            await charge()
        act: Callable[[], Any] = {
            "step": lambda: ctx.step("charge", charge),
            "step_in_transaction": lambda: ctx.step_in_transaction("charge", charge),
            "sleep": lambda: ctx.sleep(0.01),
            "wait_for_event": lambda: ctx.wait_for_event("never", timeout=1),
        }[how]
        for _ in range(2):
            try:
                await act()
            except LeaseLost as error:
                errors.append(str(error))
        return "the first"

    job = await contested.enqueue()
    async with working(app):
        assert await job.result(PATIENCE_S) == "the second"
        await until(lambda: len(errors) == 2, "the first attempt is over")
    assert "is no longer this worker's (run 1 was taken back): the step is not recorded" in errors[0]
    assert await job.steps() == []
    assert tables.rows("select * from effect") == []


# -- sleeping --


@pytest.mark.parametrize("executor", ["async", "thread"])
async def test_a_sleeping_job_holds_no_worker_and_spends_no_attempt(
    app: Headrace, tables: Tables, executor: str
) -> None:
    """Between the steps its job is scheduled, also for another worker; each step is called once."""
    program = Program()

    async def coroutine(ctx: Context) -> list[str]:
        first = await ctx.step("a", program.do, "a")
        await ctx.sleep(SHORT)
        return [first, await ctx.step("b", program.do, "b")]

    def function(ctx: Context) -> list[str]:
        first = ctx.step_sync("a", program.do, "a")
        ctx.sleep_sync(SHORT.total_seconds())
        return [first, ctx.step_sync("b", program.do, "b")]

    task = app.task(name="sleeping", retry=Retry(attempts=1))(coroutine if executor == "async" else function)
    job = await task.enqueue()
    await drain(app)
    assert (await job.info()).state is State.SCHEDULED
    async with working(app):
        assert await job.result(PATIENCE_S) == ["a 1", "b 1"]
    assert tables.outcomes(job.id) == ["snoozed"]
    a, sleep, b = await job.steps()
    assert (sleep.kind, sleep.outcome, sleep.finished_at) == ("sleep", "done", sleep.wakes_at)
    assert sleep.wakes_at is not None
    assert b.recorded_at >= sleep.wakes_at == a.recorded_at + (sleep.wakes_at - a.recorded_at)
    assert (await job.info()).attempts == 1


async def test_a_sleep_that_is_not_over_goes_on(app: Headrace, tables: Tables) -> None:
    """An attempt that comes too early, by an operator's retry, ends again; the end of the sleep stays where it was."""

    @app.task
    async def sleeping(ctx: Context) -> str:
        await ctx.sleep(timedelta(hours=6))
        return "awake"

    job = await sleeping.enqueue()
    await drain(app)
    (before,) = await job.steps()
    assert await job.retry()
    await drain(app)
    (after,) = await job.steps()
    assert before == after
    assert (await job.info()).state is State.SCHEDULED
    assert tables.value("select run_at >= %s from headrace.job", after.wakes_at)
    tables.rows("update headrace.step set wakes_at = now()")  # six hours later
    assert await job.retry()
    await drain(app)
    assert await job.result(5) == "awake"
    assert tables.outcomes(job.id) == ["snoozed", "snoozed"]


async def test_handlers_do_not_take_a_wait_for_an_error(app: Headrace) -> None:
    """`except Exception` does not catch it, and `finally` and `async with` blocks run; TaskGroups pass it on."""
    seen = []

    @app.task
    async def careful(ctx: Context) -> str:
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(ctx.sleep(SHORT))
        except* Suspended as group_of:
            seen.append(type(group_of.exceptions[0]).__name__)
            raise
        try:
            await ctx.sleep(SHORT)
        except Exception:  # noqa: BLE001 - the point
            seen.append("taken for an error")
        finally:
            seen.append("finally")
        return "done"

    job = await careful.enqueue()
    async with working(app):
        assert await job.result(PATIENCE_S) == "done"
    assert seen == ["Suspended", "finally", "finally"]


# -- waiting for events --


@pytest.mark.parametrize("executor", ["async", "thread"])
@pytest.mark.parametrize("order", ["before", "after"])
async def test_an_event_before_or_after_the_wait(app: Headrace, tables: Tables, executor: str, order: str) -> None:
    """The job gets the first payload, whichever comes first; while it waits it is blocked, and says by what."""

    async def coroutine(ctx: Context) -> Any:
        return await ctx.wait_for_event("paid:42", timeout=timedelta(days=1))

    def function(ctx: Context) -> Any:
        return ctx.wait_for_event_sync("paid:42", timeout=timedelta(days=1))

    job = await app.task(name="waiting", retry=Retry(attempts=1))(
        coroutine if executor == "async" else function
    ).enqueue()
    if order == "after":
        await drain(app)
        info = await job.info()
        assert (info.state, info.blocked_by, info.attempts) == (State.BLOCKED, "event:paid:42", 0)
        assert [(s.kind, s.name, s.outcome) for s in await job.steps()] == [("event", "paid:42", "waiting")]
    assert await app.emit("paid:42", {"amount": 7})
    assert not await app.emit("paid:42", {"amount": 8})
    await drain(app)
    assert await job.result(5) == {"amount": 7}
    (step,) = await job.steps()
    assert (step.outcome, step.result) == ("done", {"amount": 7})
    assert tables.outcomes(job.id) == (["waiting"] if order == "after" else [])


async def test_an_emit_wakes_a_waiting_job_at_once(app: Headrace) -> None:
    """By a notification: the sweep of this worker would come a minute later."""

    @app.task
    async def waiting(ctx: Context) -> Any:
        return await ctx.wait_for_event("paid")

    job = await waiting.enqueue()
    async with working(app, timings=timings(watch_s=60.0)) as worker:
        await asyncio.wait_for(worker.listener.hearing.wait(), PATIENCE_S)

        async def blocked() -> bool:
            return (await job.info()).state is State.BLOCKED

        await until(blocked, "the job waits")
        await app.emit("paid", 7)
        assert await job.result(PATIENCE_S) == 7


async def test_an_emit_is_found_without_notifications(app: Headrace) -> None:
    """By looking, as everything else (promise 7)."""

    @app.task
    async def waiting(ctx: Context) -> Any:
        return await ctx.wait_for_event("paid")

    job = await waiting.enqueue()
    async with working(app, listen=False):

        async def blocked() -> bool:
            return (await job.info()).state is State.BLOCKED

        await until(blocked, "the job waits")
        await app.emit("paid", 7)
        assert await job.result(PATIENCE_S) == 7


async def test_a_time_out_is_recorded_for_ever(app: Headrace) -> None:
    """The handler gets EventTimeout, and later attempts get it again, although the event has come by then."""
    seen = []

    @app.task(retry=AT_ONCE)
    async def waiting(ctx: Context) -> str:
        try:
            return str(await ctx.wait_for_event("paid", timeout=SHORT))
        except EventTimeout as error:
            assert isinstance(error, TimeoutError)
            seen.append(str(error))
        if ctx.job.attempt == 1:
            await app.emit("paid", "late")
            raise RuntimeError("again")
        return "gave up"

    job = await waiting.enqueue()
    async with working(app):
        assert await job.result(PATIENCE_S) == "gave up"
    assert len(seen) == 2
    assert f'the event "paid" was not emitted in the time that job {job.id} waited' in seen[0]
    assert (await job.steps())[0].outcome == "timed_out"


async def test_a_time_out_that_nobody_catches_fails_the_job(app: Headrace) -> None:
    """At once: every further attempt would get it again."""

    @app.task(retry=AT_ONCE)
    async def waiting(ctx: Context) -> None:
        await ctx.wait_for_event("paid", timeout=0)

    job = await waiting.enqueue()
    await drain(app)
    with pytest.raises(JobFailed, match='"paid" was not emitted'):
        await job.result(5)
    assert (await job.info()).run == 1


async def test_a_blocked_job_can_be_cancelled_deleted_and_hurried(app: Headrace, tables: Tables) -> None:
    """A retry makes it look again, and wait again; the others end it, and leave nothing behind."""

    @app.task
    async def waiting(ctx: Context, n: int) -> None:
        await ctx.wait_for_event(f"event {n}")

    cancelled, deleted, hurried = await app.enqueue_many(waiting.job(n) for n in range(3))
    await drain(app)
    assert await cancelled.cancel("no more") == "cancelled"
    assert (await cancelled.info()).error == {"kind": "cancelled", "message": "no more"}
    assert await deleted.delete()
    assert await deleted.steps() == []
    assert await hurried.retry()
    await drain(app)
    info = await hurried.info()
    assert (info.state, info.run) == (State.BLOCKED, 2)
    assert tables.outcomes(hurried.id) == ["waiting", "waiting"]
    await app.emit("event 2")
    await drain(app)
    assert await hurried.result(5) is None


async def test_cancelling_reaches_a_job_that_is_about_to_wait(app: Headrace, tables: Tables) -> None:
    """What was asked to cancel while it ran does not wait: it ends, and says why."""

    @app.task
    async def waiting(ctx: Context) -> None:
        tables.rows("update headrace.job set cancel_reason = 'asked to'")
        await ctx.wait_for_event("never")

    job = await waiting.enqueue()
    await drain(app)
    assert (await job.info()).error == {"kind": "cancelled", "message": "asked to"}


def test_every_word_of_the_context_has_its_keeper() -> None:
    """The worker's Steps do all that the context promises."""
    words = {"call", "call_in_transaction", "sleep", "wait_for_event"}
    assert words | {f"{word}_sync" for word in words} <= set(dir(Steps))
