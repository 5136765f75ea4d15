"""Middlewares hear of every attempt's end, and stand around every enqueue."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from headrace import Cancel, Context, Fail, Headrace, Middleware, Retry, Snooze, chain
from headrace._worker.runner import Runner
from headrace.middleware import Ending, overriding
from headrace.middleware import Middleware as Base
from tests.worker.helpers import until, working

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.worker.helpers import Tables

ONCE = Retry(attempts=1)
AT_ONCE = Retry(attempts=2, delay=timedelta(0), jitter=0)


class Listening(Middleware):
    """Keeps what it hears."""

    def __init__(self) -> None:
        self.endings: list[Ending] = []
        self.blocks: list[tuple[str, str | None]] = []

    @contextmanager
    def enqueueing(self, task: str | None) -> Iterator[None]:
        self.blocks.append(("enter", task))
        yield
        self.blocks.append(("leave", task))

    def on_end(self, ending: Ending) -> None:
        self.endings.append(ending)

    def outcomes(self) -> list[tuple[str, str]]:
        return [(ending.task, ending.outcome) for ending in self.endings]


@pytest.fixture
def listening(app: Headrace) -> Listening:
    listening = Listening()
    app.middlewares.append(listening)
    return listening


async def final(job: Any) -> bool:
    return bool((await job.info()).state.final)


async def test_every_outcome_is_heard_once(app: Headrace, listening: Listening, tables: Tables) -> None:
    """Whatever ends an attempt: the handler, its time-out, a kill, an operator, arguments that do not fit."""

    @app.task(name="moody", retry=AT_ONCE)
    async def moody(ctx: Context, mood: str) -> str:
        match mood:
            case "snooze" if ctx.job.run == 1:
                raise Snooze(0)
            case "cancel":
                raise Cancel
            case "fail":
                raise Fail("no use")
            case "retry":
                raise ValueError("again")
            case "hang":
                await asyncio.sleep(60)
        return mood

    @app.task(name="slow", timeout=timedelta(seconds=0.05), retry=ONCE)
    async def slow() -> None:
        await asyncio.sleep(60)

    @app.task(name="fenced")
    async def fenced(ctx: Context) -> None:
        async with ctx.transaction():
            pass
        raise ValueError("after the success")

    async with working(app):
        jobs: list[Any] = [await moody.enqueue(mood) for mood in ("good", "snooze", "cancel", "fail", "retry")]
        jobs += [await slow.enqueue(), await fenced.enqueue()]
        hanging = await moody.enqueue("hang")
        tables.rows("select headrace.enqueue('moody', '{\"mood\": {}}')")
        tables.rows("select headrace.enqueue('nobody knows it')")
        for job in jobs:
            await until(lambda job=job: final(job), "it ends")  # type: ignore[misc]
        await until(lambda: tables.value("select count(*) from headrace.job where state = 'running'") == 1, "one hangs")
        await hanging.cancel()
        await until(lambda: final(hanging), "it is cancelled")
        await until(lambda: ("nobody knows it", "parked") in listening.outcomes(), "it is parked")
    assert sorted(listening.outcomes()) == [
        ("fenced", "succeeded"),
        ("moody", "cancelled"),
        ("moody", "cancelled"),
        ("moody", "failed"),
        ("moody", "failed"),
        ("moody", "failed"),
        ("moody", "retried"),
        ("moody", "snoozed"),
        ("moody", "succeeded"),
        ("moody", "succeeded"),
        ("nobody knows it", "parked"),
        ("slow", "failed"),
    ]
    by_kind = {ending.error["kind"]: ending for ending in listening.endings if ending.error}
    assert not by_kind["arguments"].started
    assert by_kind["arguments"].run_s is None
    assert 0.04 < (by_kind["timeout"].run_s or 0) < 20
    assert all(ending.wait_s is None for ending in listening.endings), "nobody asked for it"
    assert by_kind["timeout"].job.task == "slow"


async def test_an_ear_that_fails_does_no_harm(app: Headrace, listening: Listening) -> None:
    """The attempt is settled, and the other middlewares hear of it."""

    class Deaf(Middleware):
        def on_end(self, ending: Ending) -> None:
            raise RuntimeError("deaf")

    @app.task(name="work")
    async def work() -> int:
        return 1

    app.middlewares.insert(0, Deaf())
    async with working(app):
        assert await (await work.enqueue()).result(timeout=20) == 1
    assert listening.outcomes() == [("work", "succeeded")]


async def test_it_stands_around_every_way_in(app: Headrace, listening: Listening) -> None:
    """One block for each call, with the task where one job is made; left when the jobs are stored."""

    @app.task(name="work")
    async def work(n: int) -> None: ...

    await work.enqueue(1)
    assert listening.blocks == [("enter", "work"), ("enter", None), ("leave", None), ("leave", "work")]
    listening.blocks.clear()
    await app.enqueue_many(work.job(n) for n in range(3))
    assert listening.blocks == [("enter", None), ("leave", None)]
    listening.blocks.clear()
    await app.start(chain(work.job(1), work.job(2)))
    assert listening.blocks == [("enter", None), ("leave", None)]
    listening.blocks.clear()
    await asyncio.to_thread(work.enqueue_sync, 1)
    assert listening.blocks == [("enter", "work"), ("enter", None), ("leave", None), ("leave", "work")]


async def test_what_is_not_overridden_is_not_called(app: Headrace, monkeypatch: pytest.MonkeyPatch) -> None:
    """A middleware that only looks at enqueues costs an attempt nothing."""

    class OnlyEnqueues(Middleware):
        def on_enqueue(self, job: Any) -> Any:
            return job

    def never(*_: object) -> None:
        raise AssertionError("called")

    @app.task(name="work")
    async def work() -> int:
        return 1

    app.middlewares.append(OnlyEnqueues())
    monkeypatch.setattr(Base, "run", never)
    monkeypatch.setattr(Runner, "_tell_end", never)
    assert overriding(app.middlewares, "on_end") == []
    async with working(app):
        assert await (await work.enqueue()).result(timeout=20) == 1
