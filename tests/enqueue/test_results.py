"""Waiting for results, and what can be asked of and done to a job."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from headrace import (
    AppClosed,
    Cancel,
    Context,
    Fail,
    Headrace,
    InvalidArguments,
    Job,
    JobCancelled,
    JobFailed,
    JobNotFound,
    ResultTimeout,
    Retry,
    State,
    Task,
)
from headrace._store.database import Database

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager

    Greet = Task[..., ..., str]
    Ask = Callable[..., list[tuple[Any, ...]]]

NOBODY = UUID("01890000-0000-7000-8000-000000000000")


@pytest.fixture
def unlucky(app: Headrace) -> Task[..., ..., None]:
    """Fails, unless told otherwise."""

    @app.task(name="unlucky", retry=Retry(attempts=1))
    async def unlucky(lucky: bool = False) -> None:
        if not lucky:
            raise ValueError("no luck")

    return unlucky


class TestWaiting:
    async def test_two_hundred_wait_over_a_few_connections(
        self, app: Headrace, greet: Greet, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """All waiters of an event loop share one question: never more connections than one at a time."""
        connection: Callable[..., AbstractAsyncContextManager[Any]] = Database.connection
        busy, most = 0, 0

        @asynccontextmanager
        async def counting(self: Database, name: str, deadline_s: float = 10) -> AsyncIterator[Any]:
            nonlocal busy, most
            asking = name in ("find_outcomes", "find_ids")
            busy += asking
            most = max(most, busy)
            try:
                async with connection(self, name, deadline_s) as conn:
                    yield conn
            finally:
                busy -= asking

        monkeypatch.setattr(Database, "connection", counting)
        jobs = await app.enqueue_many(greet.job(str(n)) for n in range(200))
        waiting = asyncio.gather(*(job.result(60) for job in jobs))
        await app.drain()
        assert await waiting == [f"hello {n}" for n in range(200)]
        assert most == 1

    async def test_a_time_out_says_that_the_job_goes_on(self, greet: Greet) -> None:
        """In seconds or as a timedelta; the job is still there."""
        job = await greet.enqueue()
        for timeout in (0.01, timedelta(milliseconds=10), 0):
            with pytest.raises(ResultTimeout, match=f"job {job.id} had not finished within .* seconds; it goes on"):
                await job.result(timeout)
        assert (await job.info()).state is State.QUEUED

    async def test_a_failed_job_raises_what_is_stored(self, app: Headrace, unlucky: Task[..., ..., None]) -> None:
        """Kind, type, message and traceback."""
        job = await unlucky.enqueue()
        await app.drain()
        with pytest.raises(JobFailed, match=f"job {job.id} failed: no luck") as failed:
            await job.result(5)
        assert (failed.value.error["kind"], failed.value.error["type"]) == ("exception", "ValueError")
        assert 'raise ValueError("no luck")' in failed.value.error["traceback"]

    async def test_a_cancelled_job_raises_with_the_reason(self, app: Headrace, greet: Greet) -> None:
        """Whether an operator or its handler said so."""

        @app.task(name="gives_up")
        async def gives_up() -> None:
            raise Cancel("nothing to do")

        by_hand, by_itself = await greet.enqueue(), await gives_up.enqueue()
        await by_hand.cancel("not wanted")
        await app.drain()
        for job, reason in ((by_hand, "not wanted"), (by_itself, "nothing to do")):
            with pytest.raises(JobCancelled, match=f"job {job.id} was cancelled: {reason}"):
                await job.result(5)

    async def test_a_job_that_is_not_there_is_not_awaited(self, app: Headrace) -> None:
        """Not for ever: without a time-out, it is an error."""
        with pytest.raises(JobNotFound, match=f"no job has the id {NOBODY}"):
            await Job[Any](app, NOBODY).result()

    async def test_a_job_that_is_deleted_meanwhile_is_not_awaited(self, greet: Greet) -> None:
        """Whoever waits hears of it."""
        job = await greet.enqueue()
        waiting = asyncio.create_task(job.result())
        await asyncio.sleep(0)
        assert await job.delete()
        with pytest.raises(JobNotFound, match="deleted, or out of retention"):
            await asyncio.wait_for(waiting, 20)

    async def test_who_waits_when_the_app_is_closed_hears_of_it(self, database: str) -> None:
        """Nobody waits for ever on an app that no longer asks."""
        app = Headrace(database)
        job = await app.task(name="greet")(lambda: None).enqueue()
        waiting = asyncio.create_task(job.result())
        with pytest.raises(ResultTimeout):
            await job.result(0.01)
        await app.close()
        with pytest.raises(AppClosed):
            await asyncio.wait_for(waiting, 20)

    async def test_two_wait_for_one_job(self, app: Headrace, greet: Greet) -> None:
        """One giving up takes nothing from the other."""
        job = await greet.enqueue("Ada")
        patient, impatient = asyncio.create_task(job.result()), asyncio.create_task(job.result())
        await asyncio.sleep(0)
        impatient.cancel()
        await app.drain()
        assert await asyncio.wait_for(patient, 20) == "hello Ada"


class TestFinished:
    async def test_a_failed_job_runs_again_with_other_arguments(
        self, app: Headrace, unlucky: Task[..., ..., None]
    ) -> None:
        """Same id, next run; the failed attempt is kept."""
        job = await unlucky.enqueue()
        await app.drain()
        assert (await job.info()).state is State.FAILED
        assert await app.retry_jobs([job.id], args={"lucky": True}) == [job.id]
        await app.drain()
        info = await job.info()
        assert (info.state, info.args, info.run, info.attempts) == (State.SUCCEEDED, {"lucky": True}, 2, 1)
        assert [(attempt.run, attempt.outcome) for attempt in await job.attempts()] == [(1, "failed")]

    @pytest.mark.parametrize("size", [10, 5_000])
    async def test_edited_arguments_may_have_any_size(self, app: Headrace, greet: Greet, size: int) -> None:
        """Large ones are kept beside the job, as at the enqueue."""
        job = await greet.enqueue("x" * 5_000)
        await app.drain()
        await app.retry_jobs([job.id], args={"name": "y" * size})
        assert (await job.info()).args == {"name": "y" * size}
        await app.drain()
        assert await job.result(5) == "hello " + "y" * size

    async def test_edited_arguments_must_be_an_object(self, app: Headrace, greet: Greet) -> None:
        """What no handler could take is refused as our own error."""
        job = await greet.enqueue()
        with pytest.raises(InvalidArguments, match="must be a JSON object"):
            await app.retry_jobs([job.id], args=[1])  # type: ignore[arg-type]

    async def test_a_scheduled_job_runs_now(self, greet: Greet) -> None:
        """A retry of what waits for a time is "now"; of what is queued already, nothing."""
        job = await greet.options(delay=timedelta(hours=1)).enqueue()
        assert await job.retry()
        assert (await job.info()).state is State.QUEUED
        assert not await job.retry()

    async def test_every_final_state_can_be_retried(self, app: Headrace, greet: Greet) -> None:
        """Succeeded, failed and cancelled."""

        @app.task(name="fails")
        async def fails() -> None:
            raise Fail("no")

        jobs: list[Job[Any]] = [await greet.enqueue(), await fails.enqueue(), await greet.enqueue()]
        await jobs[2].cancel()
        await app.drain()
        assert [(await job.info()).state for job in jobs] == [State.SUCCEEDED, State.FAILED, State.CANCELLED]
        assert [await job.retry() for job in jobs] == [True] * 3
        assert [(await job.info()).state for job in jobs] == [State.QUEUED] * 3

    async def test_cancelling_says_what_it_did(self, app: Headrace, greet: Greet) -> None:
        """A waiting job is cancelled at once; a finished or unknown one is named so."""
        waiting, done = await greet.enqueue(), await greet.options(queue="done").enqueue()
        app.queue("done")
        await app.drain(queues=["done"])
        answers = await app.cancel_jobs([waiting.id, done.id, NOBODY], "enough")
        assert answers == {waiting.id: "cancelled", done.id: "finished", NOBODY: "unknown"}
        info = await waiting.info()
        assert (info.state, info.error) == (State.CANCELLED, {"kind": "cancelled", "message": "enough"})

    async def test_a_deleted_job_leaves_nothing(self, app: Headrace, rows: Ask) -> None:
        """Waiting or finished, with its attempts, logs, progress and large arguments."""

        @app.task(name="talks", retry=Retry(attempts=2, delay=timedelta(0)))
        async def talks(ctx: Context, name: str) -> None:
            ctx.log("a line")
            ctx.progress(1, 2)
            raise ValueError(name)

        done = await talks.enqueue("x" * 5_000)
        await app.drain()
        waiting = await talks.enqueue("y" * 5_000)
        assert sorted(await app.delete_jobs([done.id, waiting.id, NOBODY])) == sorted([done.id, waiting.id])
        for table in ("job", "job_history", "attempt", "job_log", "job_progress", "payload"):
            assert rows(f"select count(*) from headrace.{table}") == [(0,)], table
        with pytest.raises(JobNotFound, match=f"no job has the id {done.id}: it never existed, was deleted, or is out"):
            await done.info()
        assert not await done.delete()

    async def test_what_a_job_says_is_read_back(self, app: Headrace) -> None:
        """Logs in their order, and its progress."""

        @app.task(name="talks")
        async def talks(ctx: Context) -> str:
            ctx.log("first")
            ctx.log("second", level="warning")
            ctx.progress(3, 4, "nearly")
            return "done"

        job = await talks.enqueue()
        await app.drain()
        assert [(line.run, line.level, line.message) for line in await job.logs()] == [
            (1, "info", "first"), (1, "warning", "second")
        ]  # fmt: skip
        assert len(await job.logs(limit=1)) == 1
        assert (await job.info()).progress == {"done": 3, "total": 4, "message": "nearly"}
