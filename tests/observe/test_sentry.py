"""Sentry gets each failure once, with its job, and as an error only when the job has failed for good."""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
import sentry_sdk
from sentry_sdk.transport import Transport

from headrace import Cancel, Context, Fail, Headrace, Retry, Snooze
from headrace.observe import sentry
from tests.worker.helpers import until, working

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sentry_sdk.envelope import Envelope

    from tests.worker.helpers import Tables

AT_ONCE = Retry(attempts=2, delay=timedelta(0), jitter=0)
Event = dict[str, Any]


@pytest.fixture
def events(app: Headrace) -> Iterator[list[Event]]:
    """What would have been sent."""
    caught: list[Event] = []

    class Catch(Transport):
        def capture_envelope(self, envelope: Envelope) -> None:
            if (event := envelope.get_event()) is not None:
                caught.append(dict(event))

    sentry_sdk.init(dsn="http://key@127.0.0.1:9/1", transport=Catch)
    sentry.instrument(app)
    yield caught
    sentry_sdk.init()  # without a DSN: off again


async def ended(job: Any) -> Any:
    async def final() -> bool:
        return bool((await job.info()).state.final)

    await until(final, "it ends")
    return job


async def test_a_warning_while_it_is_tried_again_and_an_error_at_last(app: Headrace, events: list[Event]) -> None:
    """Two attempts, two events, of one issue: the levels differ, the tags say which."""

    @app.task(name="pay", retry=AT_ONCE)
    async def pay(card: str) -> None:
        raise ValueError("declined")

    async with working(app):
        job = await ended(await pay.options(tenant="acme", correlation_id="r1").enqueue("4111"))
    assert [event["level"] for event in events] == ["warning", "error"]
    assert [event["tags"] for event in events] == [
        {"job_id": str(job.id), "task": "pay", "queue": "default", "attempt": n, "tenant": "acme"} for n in (1, 2)
    ]
    (exception,) = events[1]["exception"]["values"]
    assert (exception["type"], exception["value"]) == ("ValueError", "declined")
    assert "pay" in [frame["function"] for frame in exception["stacktrace"]["frames"]]
    assert events[1]["transaction"] == "pay"
    assert events[1]["contexts"]["job"]["correlation_id"] == "r1"


async def test_nothing_is_reported_twice(app: Headrace, events: list[Event]) -> None:
    """Neither by the handler's own log line of the exception, nor by headrace's line about the attempt."""

    @app.task(name="careful", retry=Retry(attempts=1))
    async def careful() -> None:
        try:
            raise ValueError("no")
        except ValueError:
            logging.getLogger("shop").exception("it broke")
            raise

    @app.task(name="slow", timeout=timedelta(seconds=0.05), retry=Retry(attempts=1))
    async def slow() -> None:
        await asyncio.sleep(60)

    @app.task(name="stubborn", timeout=timedelta(seconds=0.05), retry=Retry(attempts=1))
    async def stubborn() -> None:
        for _ in range(20):
            try:
                await asyncio.sleep(0.05)
            except asyncio.CancelledError:
                pass

    async with working(app):
        await ended(await careful.enqueue())
        await ended(await slow.enqueue())
        await ended(await stubborn.enqueue())
    reported = [(event["tags"]["task"], event["level"]) for event in events]
    assert reported == [("careful", "error"), ("slow", "error"), ("stubborn", "error")]
    assert [event["exception"]["values"][-1]["type"] for event in events] == [
        "ValueError",
        "TimeoutError",
        "TimeoutError",
    ]


async def test_what_is_no_failure_is_not_reported(app: Headrace, events: list[Event]) -> None:
    """Snoozing, cancelling, waiting and success are none; `Fail` is one."""

    @app.task(name="moody")
    async def moody(ctx: Context, mood: str) -> None:
        if mood == "snooze" and ctx.job.run == 1:
            raise Snooze(0)
        if mood == "cancel":
            raise Cancel
        if mood == "sleep":
            await ctx.sleep(0.01)
        if mood == "event":
            await ctx.wait_for_event("never", timeout=3600)
        if mood == "fail":
            raise Fail("no use")

    async with working(app):
        for mood in ("snooze", "cancel", "sleep", "good", "fail"):
            await ended(await moody.enqueue(mood))
        waiting = await moody.enqueue("event")

        async def waits() -> bool:
            return (await waiting.info()).state == "blocked"

        await until(waits, "it waits")
    assert [(event["level"], event["exception"]["values"][0]["value"]) for event in events] == [("error", "no use")]


async def test_failures_before_and_after_the_handler_are_reported(
    app: Headrace, events: list[Event], tables: Tables
) -> None:
    """Arguments that do not fit, and results that cannot be stored, are errors of the program too."""

    @app.task(name="strict", retry=Retry(attempts=1))
    async def strict(number: int) -> object:
        return object()

    async with working(app):
        (job_id,) = tables.rows("select headrace.enqueue('strict', '{\"number\": \"x\"}')")[0]
        await until(
            lambda: tables.value("select state::text from headrace.jobs where id = %s", job_id) == "failed", "it fails"
        )
        await ended(await strict.enqueue(1))
    assert [(event["level"], event["exception"]["values"][0]["type"]) for event in events] == [
        ("error", "arguments"), ("error", "result"),
    ]  # fmt: skip
    assert events[0]["tags"]["job_id"] == str(job_id)


async def test_scopes_do_not_mix(app: Headrace, events: list[Event]) -> None:
    """Jobs that run at the same time, in coroutines and threads, keep their own tags and breadcrumbs."""
    gate = asyncio.Event()

    @app.task(name="one", retry=Retry(attempts=1))
    async def one(number: int) -> None:
        sentry_sdk.set_tag("number", number)
        if number == 9:
            gate.set()
        await gate.wait()
        raise ValueError(number)

    @app.task(name="two", retry=Retry(attempts=1))
    def two(number: int) -> None:
        sentry_sdk.set_tag("number", number)
        raise ValueError(number)

    async with working(app):
        jobs = [await one.enqueue(n) for n in range(10)] + [await two.enqueue(n) for n in range(10)]
        for job in jobs:
            await ended(job)
    assert len(events) == 20
    for event in events:
        assert event["tags"]["number"] == int(event["exception"]["values"][0]["value"])
    assert {event["tags"]["job_id"] for event in events} == {str(job.id) for job in jobs}
