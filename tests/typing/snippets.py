"""Calls as users write them, for mypy only: nothing here runs.

Lines with an ignore must be errors of exactly that kind: mypy reports an ignore that it does not need.
"""

from __future__ import annotations

from datetime import timedelta
from typing import assert_type

from headrace import Context, Headrace, Job, NewJob, Retry, Unique, inject

app = Headrace()


class Client: ...


@app.schedule("0 9 * * *", timezone="Asia/Kolkata", args={"n": 1})
@app.schedule(every=timedelta(hours=1), name="hourly", overlap="queue", args={"n": 2})
@app.task
async def scheduled(n: int) -> str:
    """A task with schedules is the same task."""
    return str(n)


async def schedules() -> None:
    """Options are typed."""
    assert_type(await scheduled.enqueue(1), Job[str])
    await app.schedules.create("s", scheduled, cron="* * * * *", catch_up="latest")
    await app.schedules.create("s", scheduled, cron=5)  # type: ignore[arg-type]
    await app.schedules.edit("s", overlap="maybe")  # type: ignore[arg-type]
    await app.schedules.edit("s", crom="")  # type: ignore[call-arg]
    app.schedule("* * * * *")(len)  # type: ignore[type-var]


@app.task
async def bare(user_id: int, name: str = "") -> str:
    """The simplest task."""
    return name * user_id


@app.task(queue="mail", retry=Retry(attempts=5), timeout=timedelta(seconds=30))
async def with_options(user_id: int) -> dict[str, int]:
    """The decorator with options."""
    return {"id": user_id}


@app.task
def in_a_thread(user_id: int, *, loud: bool) -> list[int]:
    """A plain function with a keyword-only parameter."""
    return [user_id] * loud


@app.task
async def with_context(ctx: Context, user_id: int) -> int:
    """A context first."""
    return user_id


@app.task(executor="process")
def in_a_process(ctx: Context, user_id: int) -> int:
    """The same, in a process."""
    return user_id


@app.task
async def with_client(user_id: int, client: Client = inject()) -> None:
    """Something from the lifespan."""


async def results() -> None:
    """`await job.result()` is what the handler returns."""
    assert_type(await bare.enqueue(1), Job[str])
    assert_type(await (await bare.enqueue(1, name="x")).result(), str)
    assert_type(await (await with_options.enqueue(1)).result(timeout=timedelta(seconds=1)), dict[str, int])
    assert_type(await (await in_a_thread.enqueue(1, loud=True)).result(timeout=1.5), list[int])
    assert_type(await (await with_context.enqueue(1)).result(), int)
    assert_type(in_a_process.enqueue_sync(1), Job[int])
    assert_type(app.run_sync(in_a_process.enqueue_sync(user_id=1).result()), int)


async def options() -> None:
    """Options keep the task's types, and have their own."""
    assert_type(await bare.options(delay=timedelta(hours=1), unique="k", tags=["a"]).enqueue(1, "x"), Job[str])
    assert_type(bare.options(unique=Unique("k", "queued", "reject")).job(1), NewJob)
    bare.options(delay=5)  # type: ignore[arg-type]
    bare.options(dely=timedelta(1))  # type: ignore[call-arg]
    Unique("k", "always")  # type: ignore[arg-type]
    Unique("k", on_conflict="ignore")  # type: ignore[arg-type]
    await bare.options(priority=1).enqueue("x")  # type: ignore[arg-type]


async def wrong_calls() -> None:
    """Wrong types, too many, too few and misspelt arguments are errors in every way in."""
    await bare.enqueue("x")  # type: ignore[arg-type]
    await bare.enqueue()  # type: ignore[call-arg]
    await bare.enqueue(1, "x", 2)  # type: ignore[call-arg]
    await bare.enqueue(1, nmae="x")  # type: ignore[call-arg]
    await with_options.enqueue(user_id="x")  # type: ignore[arg-type]
    await in_a_thread.enqueue(1, True)  # type: ignore[call-arg]
    bare.enqueue_sync("x")  # type: ignore[arg-type]
    bare.job()  # type: ignore[call-arg]


async def what_the_worker_fills_in() -> None:
    """A leading context and injected parameters are not asked for."""
    await with_context.enqueue(1)
    await with_client.enqueue(1)
    in_a_process.job(1)
    await with_context.enqueue()  # type: ignore[call-arg]
    await with_context.enqueue("x")  # type: ignore[arg-type]


async def many() -> None:
    """`enqueue_many` takes jobs of any tasks."""
    assert_type(await app.enqueue_many(bare.job(n) for n in range(3)), list[Job[object]])  # type: ignore[assert-type]
    await app.enqueue_many([bare.job(1), with_context.job(2)])
    await app.enqueue_many([bare])  # type: ignore[list-item]


def declarations() -> None:
    """Options of a task are checked too."""

    @app.task(executor="fibre")  # type: ignore[call-overload, untyped-decorator]
    def fibre() -> None: ...

    @app.task(timeout=30)  # type: ignore[call-overload, untyped-decorator]
    def seconds() -> None: ...
