"""What becomes of a job when its handler returns or raises."""

from __future__ import annotations

import asyncio
import json
import math
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from headrace import Cancel, Context, Fail, Headrace, Job, JobCancelled, JobFailed, Retry, Snooze, State
from tests.worker.helpers import PATIENCE_S, timings, until, working

if TYPE_CHECKING:
    from tests.worker.helpers import Tables

ONCE = Retry(attempts=1)
QUICKLY = Retry(attempts=3, delay=timedelta(0), jitter=0)


async def drain(app: Headrace) -> None:
    await asyncio.wait_for(app.drain(timings=timings()), PATIENCE_S)


async def failure(job: Job[Any]) -> dict[str, Any]:
    with pytest.raises(JobFailed) as failed:
        await job.result(timeout=5)
    return failed.value.error


async def test_what_a_handler_returns_is_the_result(app: Headrace) -> None:
    """A return value comes back as JSON gives it back, from coroutines and threads alike."""

    @app.task
    async def coroutine(value: dict[str, Any]) -> dict[str, Any]:
        return value

    @app.task
    def function(value: dict[str, Any]) -> dict[str, Any]:
        return value

    value = {"a": [1, 2.5, None, True], "ü": "😀", "deep": {"x": []}}
    jobs = [await coroutine.enqueue(value), await function.enqueue(value)]
    await drain(app)
    assert [await job.result(timeout=5) for job in jobs] == [value, value]
    assert [(await job.info()).attempts for job in jobs] == [1, 1]


async def test_nothing_is_a_result_too(app: Headrace) -> None:
    """A handler that returns nothing succeeds, with None."""

    @app.task
    async def nothing() -> None: ...

    job: Job[Any] = await nothing.enqueue()
    await drain(app)
    assert await job.result(timeout=5) is None


@pytest.mark.parametrize("executor", ["async", "thread"])
async def test_an_exception_is_retried_until_the_budget_is_used(app: Headrace, executor: str) -> None:
    """Every attempt is recorded with its error, and the last one fails the job."""

    async def coroutine() -> None:
        raise ValueError("no luck")

    def function() -> None:
        raise ValueError("no luck")

    task = app.task(name="unlucky", retry=QUICKLY)(coroutine if executor == "async" else function)
    job = await task.enqueue()
    await drain(app)
    error = await failure(job)
    assert (error["kind"], error["type"], error["message"]) == ("exception", "ValueError", "no luck")
    assert "in " + ("coroutine" if executor == "async" else "function") in error["traceback"]
    attempts = await job.attempts()
    assert [(a.run, a.outcome, (a.error or {})["message"]) for a in attempts] == [
        (1, "retried", "no luck"),
        (2, "retried", "no luck"),
    ]
    assert (await job.info()).attempts == 3


async def test_a_retry_waits_as_its_policy_says(app: Headrace, tables: Tables) -> None:
    """Back-off doubles from the first delay, with jitter inside its bounds and never above the cap."""
    policy = Retry(attempts=10, delay=timedelta(hours=1), jitter=0.1, cap=timedelta(hours=3))

    @app.task(retry=policy)
    async def broken() -> None:
        raise OSError

    job = await broken.enqueue()
    for run, hours in enumerate((1, 2, 3, 3), start=1):
        async with working(app):
            await until(lambda: tables.value("select count(*) from headrace.attempt") == run, "the attempt is recorded")  # noqa: B023
        wait_s = tables.value(
            "select extract(epoch from run_at - now())::float8 from headrace.job where state = 'scheduled'"
        )
        assert 0.9 * hours * 3600 - 60 <= wait_s <= 1.1 * hours * 3600
        tables.rows("update headrace.job set run_at = now()")
    assert (await job.info()).attempts == 4


async def test_rules_by_exception(app: Headrace) -> None:
    """The most derived matching rule decides: no retry, fewer attempts, or the task's own policy."""
    fewer = Retry(attempts=2, delay=timedelta(0), jitter=0)
    rules = Retry(attempts=4, delay=timedelta(0), jitter=0, on={LookupError: fewer, KeyError: None})

    @app.task(retry=rules)
    async def choosy(kind: str) -> None:
        raise {"key": KeyError, "index": IndexError, "other": ValueError}[kind]()

    jobs = {kind: await choosy.enqueue(kind) for kind in ("key", "index", "other")}
    await drain(app)
    assert {kind: (await job.info()).attempts for kind, job in jobs.items()} == {"key": 1, "index": 2, "other": 4}


async def test_a_broken_policy_harms_nobody(app: Headrace, tables: Tables) -> None:
    """A back-off function that raises is replaced by the default delay: the attempt is recorded, the worker goes on."""

    def broken_backoff(_: int) -> timedelta:
        raise RuntimeError("cannot count")

    @app.task(retry=Retry(attempts=3, backoff=broken_backoff))
    async def broken() -> None:
        raise ValueError("the handler's own")

    @app.task
    async def fine() -> int:
        return 1

    first, second = await broken.enqueue(), await fine.enqueue()
    async with working(app):
        assert await second.result(timeout=5) == 1
        await until(lambda: tables.outcomes(first.id) == ["retried"], "the attempt is recorded")
    assert (await first.info()).state is State.SCHEDULED


@pytest.mark.parametrize("raised", [True, False])
@pytest.mark.parametrize("in_thread", [True, False])
async def test_outcomes_raised_and_returned(app: Headrace, raised: bool, in_thread: bool) -> None:
    """Snooze spends no attempt; Cancel and Fail end the job whatever budget is left.

    Raised or returned, all the same.
    """

    def decide(kind: str, run: int) -> Any:
        if kind == "snooze" and run > 1:
            return run
        outcome = {"snooze": Snooze(0.01), "cancel": Cancel("not needed"), "fail": Fail("hopeless")}[kind]
        if raised:
            raise outcome
        return outcome

    async def coroutine(ctx: Context, kind: str) -> Any:
        return decide(kind, ctx.job.run)

    def function(ctx: Context, kind: str) -> Any:
        return decide(kind, ctx.job.run)

    task = app.task(name="decides")(function if in_thread else coroutine)
    snoozed, cancelled, failed = [await task.enqueue(kind) for kind in ("snooze", "cancel", "fail")]
    async with working(app):
        assert await snoozed.result(timeout=5) == 2
        with pytest.raises(JobCancelled, match="not needed"):
            await cancelled.result(timeout=5)
        assert (await failure(failed))["message"] == "hopeless"
    assert [(a.outcome, a.run) for a in await snoozed.attempts()] == [("snoozed", 1)]
    assert [(await job.info()).attempts for job in (snoozed, cancelled, failed)] == [1, 0, 1]


async def test_results_that_cannot_be_stored(app: Headrace) -> None:
    """An unserialisable or oversized result fails its own job, in words.

    Not-a-number and NUL are stored as they can be.
    """

    @app.task(retry=ONCE)
    async def gives(kind: str) -> Any:
        return {
            "object": object(),
            "large": "x" * (256 * 1024 + 1),
            "surrogate": "\ud800",
            "deep": _nested(5000),
            "number": 10**140_000,
            "nan": [math.nan, math.inf, 1.0],
            "nul": {"a\x00b": "c\x00d", "text": "\\u0000"},
        }[kind]

    kinds = ("object", "large", "surrogate", "deep", "number", "nan", "nul")
    jobs = {kind: await gives.enqueue(kind) for kind in kinds}
    await drain(app)
    for kind in ("object", "large", "surrogate", "deep", "number"):
        error = await failure(jobs[kind])
        assert error["kind"] == "result", error
    assert "256" in (await failure(jobs["large"]))["message"] or "262144" in (await failure(jobs["large"]))["message"]
    assert await jobs["nan"].result(timeout=5) == [None, None, 1.0]
    assert await jobs["nul"].result(timeout=5) == {"a\ufffdb": "c\ufffdd", "text": "\\u0000"}


def _nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


async def test_a_refused_outcome_harms_nobody_else(app: Headrace) -> None:
    """ENGINE 3: one result that PostgreSQL refuses, among hundreds settled with it, fails alone and with the reason."""

    @app.task(retry=ONCE)
    async def number(digits: int) -> Any:
        return 10**digits  # JSON allows it, PostgreSQL's numeric does not

    @app.task(retry=ONCE)
    async def fine(n: int) -> int:
        return n

    bad = await number.enqueue(140_000)
    jobs = await app.enqueue_many(fine.job(n) for n in range(300))
    await drain(app)
    error = await failure(bad)
    assert error["kind"] == "result"
    assert "could not be stored" in error["message"]
    assert [await job.result(timeout=5) for job in jobs] == list(range(300))


async def test_errors_that_cannot_be_stored_or_shown(app: Headrace) -> None:
    """Exceptions with NUL, surrogates, endless messages or a broken __str__ are stored in some readable form."""

    class BrokenError(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no")

    @app.task(retry=ONCE)
    async def raises(kind: str) -> None:
        raise {
            "nul": ValueError("a\x00b"),
            "surrogate": ValueError("\udcff"),
            "long": ValueError("x" * 1_000_000),
            "broken": BrokenError(),
            "group": ExceptionGroup("several", [ValueError("one"), KeyError("two")]),
            "exit": SystemExit(3),
        }[kind]

    jobs = {kind: await raises.enqueue(kind) for kind in ("nul", "surrogate", "long", "broken", "group", "exit")}
    await drain(app)
    errors = {kind: await failure(job) for kind, job in jobs.items()}
    assert errors["nul"]["message"] == "a\ufffdb"
    assert len(json.dumps(errors["long"])) < 30_000
    assert "one" in errors["group"]["traceback"]
    assert errors["exit"]["type"] == "SystemExit"


async def test_an_unknown_task_is_kept_until_a_worker_knows_it(app: Headrace, tables: Tables, database: str) -> None:
    """A job of a task that this worker lacks is parked with the reason, spends nothing.

    And runs where the task is known.
    """

    @app.task(name="known")
    async def known() -> None: ...

    async with Headrace(database) as newer:

        @newer.task(name="new feature")
        async def feature(number: int) -> int:
            return number + 1

        newer.task(name="known")(known.handler)
        job = await feature.enqueue(1)
        async with working(app):
            await until(lambda: tables.states() == {"blocked": 1}, "the job is parked")
        info = await job.info()
        assert (info.blocked_by, info.attempts) == ("task", 0)
        (attempt,) = await job.attempts()
        assert attempt.outcome == "parked"
        assert "new feature" in (attempt.error or {})["message"]
        async with working(newer):
            assert await job.result(timeout=5) == 2


async def test_arguments_that_no_longer_fit(app: Headrace, database: str) -> None:
    """They fail the job at once, with the argument's name; `upcast` makes old ones fit, and one that fails says so."""
    greet: Job[Any]
    mail: Job[Any]
    bill: Job[Any]
    async with Headrace(database) as older:

        @older.task(name="greet")
        async def old_greet(name: str) -> None: ...

        @older.task(name="mail")
        async def old_mail(address: str) -> None: ...

        @older.task(name="bill")
        async def old_bill(amount: str) -> None: ...

        greet, mail, bill = await old_greet.enqueue("Ada"), await old_mail.enqueue("a@b"), await old_bill.enqueue("1")

    @app.task(name="greet")
    async def new_greet(user_id: int) -> None: ...

    @app.task(name="mail", upcast=lambda old: {"addresses": [old["address"]]})
    async def new_mail(addresses: list[str]) -> list[str]:
        return addresses

    @app.task(name="bill", upcast=lambda old: {"cents": old["missing"]})
    async def new_bill(cents: int) -> None: ...

    await drain(app)
    greet, mail, bill = (app_job(app, job) for job in (greet, mail, bill))
    error = await failure(greet)
    assert error["kind"] == "arguments"
    assert "user_id" in error["message"]
    assert (await greet.info()).attempts == 1
    assert await mail.result(timeout=5) == ["a@b"]
    assert "upcast failed" in (await failure(bill))["message"]


def app_job(app: Headrace, job: Job[Any]) -> Job[Any]:
    """The same job, asked for through another app."""
    return Job(app, job.id)


async def test_aliases_run_jobs_of_earlier_names(app: Headrace, database: str) -> None:
    """A job that was enqueued under a task's earlier name runs."""
    async with Headrace(database) as older:

        @older.task(name="old name")
        async def old(n: int) -> None: ...

        enqueued = await old.enqueue(20)

    @app.task(name="new name", aliases=["old name"])
    async def new(n: int) -> int:
        return n + 1

    await drain(app)
    assert await app_job(app, enqueued).result(timeout=5) == 21


async def test_an_expired_job_is_not_started(app: Headrace) -> None:
    """A job that is claimed after its `expires` is cancelled, unstarted."""
    started = []

    @app.task
    async def late() -> None:
        started.append(1)

    job = await late.options(expires=timedelta(seconds=-1)).enqueue()
    fresh = await late.options(expires=timedelta(hours=1)).enqueue()
    await drain(app)
    with pytest.raises(JobCancelled, match="expires"):
        await job.result(timeout=5)
    await fresh.result(timeout=5)
    assert started == [1]
    assert ((await job.info()).error or {})["kind"] == "expired"


async def test_large_arguments_arrive(app: Headrace) -> None:
    """Arguments above 2 kB, which are stored apart, reach the handler."""

    @app.task
    async def length(text: str) -> int:
        return len(text)

    jobs = await app.enqueue_many(length.job("x" * n) for n in (1, 3_000, 900_000))
    await drain(app)
    assert [await job.result(timeout=5) for job in jobs] == [1, 3_000, 900_000]


async def test_a_handler_that_wraps_another_coroutine_function(app: Headrace) -> None:
    """A plain function that returns a coroutine is refused in words, not run half."""

    async def inner() -> int:
        return 1

    @app.task(retry=ONCE)
    def outer() -> Any:
        return inner()

    job = await outer.enqueue()
    await drain(app)
    assert "async def" in (await failure(job))["message"]


async def test_stop_iteration_and_cancelled_error_are_ordinary_failures(app: Headrace) -> None:
    """Exceptions that mean something to Python's machinery still only fail their attempt."""

    @app.task(retry=ONCE)
    def stops() -> None:
        raise StopIteration

    @app.task(retry=ONCE)
    async def cancels() -> None:
        raise asyncio.CancelledError

    jobs = [await stops.enqueue(), await cancels.enqueue()]
    await drain(app)
    for job in jobs:
        await failure(job)
