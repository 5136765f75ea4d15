"""What a handler knows and says: context, logs, progress, dependencies, middleware."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import pytest

from headrace import Context, Headrace, JobFailed, Middleware, NewJob, Retry, State, current_context, inject
from tests.worker import sample_app
from tests.worker.helpers import PATIENCE_S, timings, until, working

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from headrace import Job
    from tests.worker.helpers import Tables

ONCE = Retry(attempts=1)
_trace: ContextVar[str] = ContextVar("trace")


async def drain(app: Headrace) -> None:
    await asyncio.wait_for(app.drain(timings=timings()), PATIENCE_S)


async def test_a_handler_knows_its_job(app: Headrace) -> None:
    """Everything the enqueuer said, and which attempt this is, is in the context, in coroutines and in threads."""

    def describe(ctx: Context) -> list[Any]:
        job = ctx.job
        return [str(job.id), job.task, job.queue, job.run, job.attempt, job.max_attempts, job.tenant,
                job.correlation_id,
                list(job.tags), job.metadata]  # fmt: skip

    @app.task(name="coroutine", queue="special")
    async def coroutine(ctx: Context) -> list[Any]:
        return describe(ctx)

    @app.task(name="function", queue="special")
    def function(ctx: Context) -> list[Any]:
        return describe(ctx)

    for task in (coroutine, function):
        options = task.options(
            tenant="acme", correlation_id="req-1", tags=["a", "b"], metadata={"k": [1]}, max_attempts=7
        )
        job = await options.enqueue()
        await drain(app)
        assert await job.result(timeout=5) == [
            str(job.id), task.name, "special", 1, 1, 7, "acme", "req-1", ["a", "b"], {"k": [1]},
        ]  # fmt: skip


async def test_progress_and_logs_are_shown_while_the_job_runs(app: Headrace) -> None:
    """The latest progress and every line are there before the handler returns, and stay with the finished job."""
    finish = asyncio.Event()

    @app.task
    async def talks(ctx: Context) -> None:
        ctx.progress(1, 10, "one")
        ctx.progress(2, 10, "two\x00")
        ctx.log("first")
        ctx.log("second\ud800\x00", level="warning")
        await finish.wait()
        ctx.progress(10, 10)
        ctx.log("last")

    job = await talks.enqueue()
    async with working(app):
        await until(job.logs, "the lines are written")
        assert (await job.info()).progress == {"done": 2, "total": 10, "message": "two\ufffd"}
        finish.set()
        await job.result(timeout=5)
    assert [(line.level, line.message) for line in await job.logs()] == [
        ("info", "first"), ("warning", "second?\ufffd"), ("info", "last"),
    ]  # fmt: skip
    assert (await job.info()).progress == {"done": 10, "total": 10, "message": None}


async def test_logs_are_bounded(app: Headrace) -> None:
    """An attempt keeps 1,000 lines and says that there were more; a line keeps 4,000 characters."""

    @app.task
    async def chatters(ctx: Context) -> None:
        for n in range(1500):
            ctx.log("x" * 5000 if n == 0 else str(n))

    job = await chatters.enqueue()
    await drain(app)
    lines = await job.logs(limit=2000)
    assert len(lines) == 1001
    assert len(lines[0].message) == 4000
    assert "more than 1000" in lines[-1].message


async def test_the_last_words_of_a_handler_are_kept(app: Headrace) -> None:
    """What is logged right before a handler ends is written before its job is settled, for each of many at once."""

    @app.task
    async def whispers(ctx: Context, n: int) -> None:
        ctx.log(f"first {n}")
        await asyncio.sleep(0)
        ctx.log(f"last {n}")

    jobs = await app.enqueue_many(whispers.job(n) for n in range(300))
    await asyncio.wait_for(app.drain(timings=timings(report_s=0.001)), PATIENCE_S)
    for n, job in enumerate(jobs):
        assert sorted(line.message for line in await job.logs()) == [f"first {n}", f"last {n}"]


async def test_reports_in_flight_hold_up_the_settle_of_their_job(app: Headrace, tables: Tables) -> None:
    """A settle waits for log lines that are just being written: otherwise they come too late and are dropped."""
    tables.rows("""
        create function slow() returns trigger language plpgsql as
        $$ begin perform pg_advisory_xact_lock_shared(42); return new; end $$;
        create trigger slow before insert on headrace.job_log for each statement execute function slow()
    """)
    finish = asyncio.Event()

    @app.task
    async def says(ctx: Context) -> None:
        ctx.log("on its way")
        await finish.wait()

    job = await says.enqueue()
    async with working(app):
        tables.rows("select pg_advisory_lock(42)")
        await until(
            lambda: tables.value("select count(*) from pg_stat_activity where wait_event = 'advisory'"),
            "the line is being written",
        )
        finish.set()
        await until(lambda: not tables.value("select count(*) from headrace.job where state = 'queued'"), "it ends")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):  # the settle has all the time it would need
                await job.result()
        tables.rows("select pg_advisory_unlock(42)")
        await job.result(timeout=5)
    assert [line.message for line in await job.logs()] == ["on its way"]


async def test_current_context_and_isolation(app: Headrace) -> None:
    """Deep code finds its own attempt's context; context variables never leak between attempts, nor into the worker."""

    def deep() -> str:
        before = _trace.get("clean")
        _trace.set("dirty")
        return f"{before} {current_context().job.id}"

    @app.task
    async def coroutine() -> str:
        await asyncio.sleep(0)
        return deep()

    @app.task
    def function() -> str:
        return deep()

    jobs = await app.enqueue_many(task.job() for task in (coroutine, function) for _ in range(20))
    await asyncio.wait_for(app.drain(timings=timings(), threads=1), PATIENCE_S)
    assert [await job.result(timeout=5) for job in jobs] == [f"clean {job.id}" for job in jobs]
    with pytest.raises(LookupError, match="no job is running here"):
        current_context()


class Client:
    def __init__(self) -> None:
        self.open = True


class Settings:
    pass


class SpecialClient(Client):
    pass


async def test_the_lifespan_provides_by_type(app: Headrace) -> None:
    """Handlers receive what the lifespan yields, by type or base type.

    Open while they run and closed after the last.
    """
    made: list[Client] = []

    @app.lifespan
    async def lifespan(_: Headrace) -> AsyncIterator[Any]:
        made.append(SpecialClient())
        yield made[0], Settings()
        made[0].open = False

    @app.task
    async def uses(client: Client = inject(), settings: Settings = inject()) -> list[Any]:
        return [client is made[0], client.open, type(settings).__name__]

    @app.task
    def uses_in_thread(number: int, client: Client = inject()) -> list[Any]:
        return [number, client.open]

    @app.task(retry=ONCE)
    async def wants_too_much(number: int = inject()) -> None: ...

    first, second, third = await uses.enqueue(), await uses_in_thread.enqueue(4), await wants_too_much.enqueue()
    await drain(app)
    assert await first.result(timeout=5) == [True, True, "Settings"]
    assert await second.result(timeout=5) == [4, True]
    with pytest.raises(JobFailed, match="nothing provides"):
        await third.result(timeout=5)
    assert not made[0].open


async def _any(job: Job[Any]) -> Any:
    """A result that is not what the handler returned."""
    return await job.result(timeout=5)


async def test_middleware_goes_around_enqueue_and_run(app: Headrace) -> None:
    """The first registered is outermost; it may change what is enqueued, the result, or refuse."""
    trace: list[str] = []

    @app.middleware
    class Outer(Middleware):
        def on_enqueue(self, job: NewJob) -> NewJob:
            job.priority = 5
            return job

        async def run(self, context: Context, call_next: Callable[[], Awaitable[Any]]) -> Any:
            trace.append("outer before")
            try:
                return {"outer": await call_next()}
            finally:
                trace.append("outer after")

    @app.middleware
    class Inner(Middleware):
        async def run(self, context: Context, call_next: Callable[[], Awaitable[Any]]) -> Any:
            trace.append(f"inner {context.job.task}")
            if "refuse" in context.job.tags:
                raise PermissionError("not you")
            return await call_next()

    @app.task(name="work", retry=ONCE)
    async def work() -> int:
        trace.append("work")
        return 1

    @app.task(name="thread", retry=ONCE)
    def thread() -> int:
        return 2

    job = await work.enqueue()
    await drain(app)
    assert await _any(job) == {"outer": 1}
    assert trace == ["outer before", "inner work", "work", "outer after"]
    assert (await job.info()).priority == 5
    in_thread, refused = await thread.enqueue(), await work.options(tags=["refuse"]).enqueue()
    await drain(app)
    assert await _any(in_thread) == {"outer": 2}
    with pytest.raises(JobFailed, match="not you"):
        await refused.result(timeout=5)


async def test_asyncio_works_in_handlers_as_everywhere(app: Headrace) -> None:
    """ENGINE 40: time-outs, cancellation, task groups and shielding inside a handler act on that handler alone."""

    @app.task(retry=ONCE)
    async def times_out() -> str:
        try:
            async with asyncio.timeout(0.01):
                await asyncio.sleep(60)
        except TimeoutError:
            await asyncio.sleep(0)
            return "timed out"
        return "?"

    @app.task(retry=ONCE)
    async def cancels_child() -> str:
        child = asyncio.create_task(asyncio.sleep(60))
        await asyncio.sleep(0)
        child.cancel()
        await asyncio.gather(child, return_exceptions=True)
        return f"{child.cancelled()} {asyncio.current_task().cancelling()}"  # type: ignore[union-attr]

    @app.task(retry=ONCE)
    async def groups() -> int:
        async with asyncio.TaskGroup() as group:
            children = [group.create_task(asyncio.sleep(0, n)) for n in range(3)]
        return sum(child.result() for child in children)

    @app.task(retry=ONCE)
    async def leaks_a_timeout() -> None:
        async with asyncio.timeout(0):
            await asyncio.sleep(60)

    jobs = [await task.enqueue() for task in (times_out, cancels_child, groups, leaks_a_timeout)]
    await drain(app)
    assert [await job.result(timeout=5) for job in jobs[:3]] == ["timed out", "True 0", 3]
    with pytest.raises(JobFailed):
        await jobs[3].result(timeout=5)


@pytest.fixture
async def processes(database: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Headrace]:
    """The sample app in this process, importable by children."""
    async with sample_app.make_app(database) as app:
        monkeypatch.setattr(sample_app, "app", app)
        yield app


@pytest.mark.process
async def test_process_tasks_have_a_context_too(processes: Headrace) -> None:
    """Context, lifespan, middleware, progress.

    Logs and isolated context variables work in the child as in the worker.
    """
    task = processes.tasks["compute"].options(tenant="acme", tags=["wrapped"], metadata={"a": 1})
    jobs = await processes.enqueue_many(task.job(n) for n in range(3))
    coroutine = await processes.tasks["compute_async"].enqueue(7)
    async with working(processes, processes=1):
        results = [await job.result(timeout=20) for job in jobs]
        assert await coroutine.result(timeout=20) == 7
    inside = [result["inside"] for result in results]
    assert [i["number"] for i in inside] == [0, 1, 2]
    assert {i["previous"] for i in inside} == {0}
    assert {(i["tenant"], i["tags"][0], i["metadata"]["a"]) for i in inside} == {("acme", "wrapped", 1)}
    assert {result["pid"] for result in results} == {i["pid"] for i in inside} == {i["lifespan"] for i in inside}
    assert len({i["pid"] for i in inside}) == 1
    for n, job in enumerate(jobs):
        assert [line.message for line in await job.logs()] == ["before", f"computing {n}", "after"]
        info = await job.info()
        assert info.state is State.SUCCEEDED
        assert info.progress == {"done": 1, "total": 2, "message": "half"}
