"""Tasks of every kind that log, in worker processes of their own."""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta
from pathlib import Path

import structlog

from headrace import Breaker, Concurrency, Context, Headrace, Retry, Rollout

app = Headrace()
plain = logging.getLogger("shop.plain")
structured = structlog.get_logger("shop.structured")
AT_ONCE = Retry(attempts=2, delay=timedelta(0), jitter=0)


def _log(number: int) -> None:
    plain.info("plain %d", number)
    structured.info("structured", number=number)


@app.task(name="say.async")
async def say_async(number: int) -> None:
    _log(number)
    await asyncio.sleep(0)
    await asyncio.gather(asyncio.to_thread(plain.info, "in a thread of its own"), _deeper())


async def _deeper() -> None:
    plain.info("in a task of its own")


@app.task(name="say.thread")
def say_thread(number: int) -> None:
    _log(number)


@app.task(name="say.process", executor="process")
def say_process(number: int) -> None:
    _log(number)


@app.task(name="say.failing", retry=AT_ONCE)
async def say_failing(number: int) -> None:
    _log(number)
    raise ValueError(f"no {number}")


@app.task(name="hold", queue="slow")
async def hold(ctx: Context, path: str) -> None:
    while not Path(path).exists():  # noqa: ASYNC110, ASYNC240 - a gate that the test opens
        await asyncio.sleep(0.01)


@app.schedule("0 4 * * *")
@app.task(name="nightly", limits=[Breaker(name="mail"), Concurrency(5, name="mail slots")])
async def nightly() -> None:
    """Has everything that there is a metric of."""


rollout = Rollout(app)
match = rollout.trigger("match", nightly)
