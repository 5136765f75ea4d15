"""The tasks of worker processes. Handlers print what tests wait for."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextvars import ContextVar
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg

from headrace import Context, Headrace, Middleware, Retry, current_context, inject

AT_ONCE = Retry(attempts=5, delay=timedelta(0), jitter=0)
_seen: ContextVar[int] = ContextVar("seen", default=0)


class Resource:
    """What the lifespan provides."""

    def __init__(self) -> None:
        self.pid = os.getpid()


class Envelope(Middleware):
    """Leaves a trace of itself with every job that asks for it."""

    async def run(self, context: Context, call_next: Any) -> Any:
        if "wrapped" not in context.job.tags:
            return await call_next()
        context.log("before")
        result = await call_next()
        context.log("after")
        return {"inside": result, "pid": os.getpid()}


def say(*words: object) -> None:
    """One line for the test, whole even if several processes share the pipe."""
    os.write(1, (" ".join(str(word) for word in words) + "\n").encode())


async def wait_for_file(path: str) -> None:
    """A gate that a test opens by creating a file."""
    while not Path(path).exists():  # noqa: ASYNC110, ASYNC240 - nobody can tell us
        await asyncio.sleep(0.01)


# -- coroutines --


async def exactly_once(ctx: Context, number: int) -> None:
    ctx.set_result(number)
    async with ctx.transaction() as conn:
        await conn.execute("insert into effect values (%s, %s, 'fenced')", [ctx.job.id, ctx.job.run])


async def at_least_once(ctx: Context, number: int) -> int:
    async with await psycopg.AsyncConnection.connect(os.environ["HEADRACE_URL"]) as conn:
        await conn.execute("insert into effect values (%s, %s, 'plain')", [ctx.job.id, ctx.job.run])
    return number


async def sleep_short(ctx: Context, seconds: float) -> None:
    await asyncio.sleep(seconds)


async def instant() -> None:
    """Ends before the loop turns."""


async def poison(ctx: Context) -> None:
    say("POISON", ctx.job.run)
    os.kill(os.getpid(), signal.SIGKILL)


async def hold(ctx: Context, path: str) -> str:
    """Runs until the file exists."""
    say("HOLDING", ctx.job.id, ctx.job.run)
    try:
        await wait_for_file(path)
    except asyncio.CancelledError:
        say("CANCELLED", ctx.job.id)
        raise
    return "held"


async def block_loop(ctx: Context, seconds: float) -> None:
    if ctx.job.run > 1:
        return
    say("BLOCKING", ctx.job.id)
    time.sleep(seconds)  # noqa: ASYNC251 - the point


async def hold_gil(seconds: float) -> float:
    """Keeps the interpreter to itself: a regular expression that backtracks, in steps until the time is over."""
    began = time.monotonic()
    size = 20
    while time.monotonic() - began < seconds:
        re.match(r"(a+)+$", "a" * size + "b")
        size += 1
    return time.monotonic() - began


async def work_step(ctx: Context, number: int, path: str) -> str:
    """One step's effect, which everybody can count; the third step waits for the file."""
    async with await psycopg.AsyncConnection.connect(os.environ["HEADRACE_URL"]) as conn:
        await conn.execute("insert into effect values (%s, %s, %s)", [ctx.job.id, ctx.job.run, f"step {number}"])
    if number == 3:
        say("IN STEP", number, ctx.job.run)
        await wait_for_file(path)
    return f"step {number} by run {ctx.job.run}"


async def five_steps(ctx: Context, path: str) -> list[str]:
    return [await ctx.step(f"step {n}", work_step, ctx, n, path) for n in range(1, 6)]


async def five_in_transactions(ctx: Context, path: str) -> list[int]:
    async def insert(conn: psycopg.AsyncConnection[Any], number: int) -> int:
        await conn.execute("insert into effect values (%s, %s, %s)", [ctx.job.id, ctx.job.run, f"step {number}"])
        if number == 3:
            say("IN STEP", number, ctx.job.run)
            await wait_for_file(path)
        return number

    return [await ctx.step_in_transaction(f"step {n}", insert, n) for n in range(1, 6)]


# -- threads --


def five_in_a_thread(ctx: Context, path: str) -> list[str]:
    def work(number: int) -> str:
        with psycopg.connect(os.environ["HEADRACE_URL"]) as conn:
            conn.execute("insert into effect values (%s, %s, %s)", [ctx.job.id, ctx.job.run, f"step {number}"])
        if number == 3:
            say("IN STEP", number, ctx.job.run)
            while not Path(path).exists():
                time.sleep(0.01)
        return f"step {number} by run {ctx.job.run}"

    return [ctx.step_sync(f"step {n}", work, n) for n in range(1, 6)]


def hold_thread(ctx: Context, path: str) -> str:
    say("HOLDING", ctx.job.id, ctx.job.run)
    while not Path(path).exists():
        time.sleep(0.01)
    return "held"


def until_told(ctx: Context) -> str:
    """A well-behaved thread: looks at its flag."""
    say("HOLDING", ctx.job.id, ctx.job.run)
    while not ctx.cancelled:
        time.sleep(0.01)
    return f"stopped: {ctx.cancel_reason}"


# -- processes --


def steps_in_a_process(ctx: Context) -> list[Any]:
    def insert(conn: psycopg.Connection[Any]) -> int:
        conn.execute("insert into effect values (%s, %s, 'in a transaction')", [ctx.job.id, ctx.job.run])
        return os.getpid()

    first = ctx.step_in_transaction_sync("insert", insert)
    second = ctx.step_sync("look", lambda: ctx.job.run)
    ctx.sleep_sync(0.05)
    if ctx.job.attempt == 1:
        raise ValueError("after two steps and a sleep")
    return [first, second, ctx.wait_for_event_sync("go on", timeout=60)]


async def steps_in_a_process_async(ctx: Context) -> list[Any]:
    async def one(number: int) -> int:
        await asyncio.sleep(0)
        return number

    numbers = await asyncio.gather(*(ctx.step(f"step {n}", one, n) for n in range(3)))
    if ctx.job.attempt == 1:
        raise ValueError("after three steps")
    return numbers


def compute(ctx: Context, number: int, resource: Resource = inject()) -> dict[str, Any]:
    previous = _seen.get()
    _seen.set(number)
    assert current_context() is ctx
    ctx.progress(1, 2, "half")
    ctx.log(f"computing {number}")
    return {
        "number": number, "pid": os.getpid(), "lifespan": resource.pid, "previous": previous,
        "tenant": ctx.job.tenant, "tags": list(ctx.job.tags), "metadata": ctx.job.metadata,
    }  # fmt: skip


async def compute_async(number: int) -> int:
    async with asyncio.timeout(5):
        await asyncio.sleep(0)
    return number


def with_grandchild(ctx: Context) -> None:
    grandchild = subprocess.Popen(["sleep", "600"])
    say("GRANDCHILD", grandchild.pid, os.getpid())
    ctx.progress(grandchild.pid)
    grandchild.wait()


def hoard(megabytes: int) -> None:
    hoarded = [bytearray(os.urandom(1 << 20)) for _ in range(megabytes)]
    time.sleep(600)
    del hoarded


def crash(how: str) -> None:
    if how == "exit":
        os._exit(3)
    if how == "leave another" and os.fork() == 0:
        time.sleep(600)  # and keeps the pipe to the worker open
    if how in ("kill", "leave another"):
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "sys.exit":
        sys.exit(4)
    raise ValueError(how)


def report_oddly(ctx: Context) -> str:
    ctx.progress(float("nan"), float("inf"), "half\x00way")
    ctx.log("x" * 5_000_000 + "\ud800")
    return "done"


def die_once(ctx: Context) -> int:
    if ctx.job.run == 1:
        os._exit(9)
    return ctx.job.run


def process_transaction(ctx: Context, how: str) -> str:
    ctx.log("in the process")
    with ctx.transaction() as conn:
        conn.execute("insert into effect values (%s, %s, 'process')", [ctx.job.id, ctx.job.run])
        if how == "raise":
            raise ValueError("inside")
    if how == "raise after":
        raise ValueError("after")
    return "too late for the result"


def soft(ctx: Context) -> str:
    while not ctx.cancelled:
        time.sleep(0.01)
    return str(ctx.cancel_reason)


async def lifespan(_: Headrace) -> Any:
    yield Resource()


HERE: list[Callable[..., Any]] = [
    exactly_once, at_least_once, sleep_short, instant, poison, hold, block_loop, hold_gil, hold_thread, until_told,
    five_steps, five_in_transactions, five_in_a_thread,
]  # fmt: skip
APART: list[Callable[..., Any]] = [
    compute,
    compute_async,
    with_grandchild,
    crash,
    die_once,
    report_oddly,
    process_transaction,
    steps_in_a_process,
    steps_in_a_process_async,
]


def make_app(url: str | None = None) -> Headrace:
    """The app, for HEADRACE_URL unless told otherwise."""
    made = Headrace(url)
    made.lifespan(lifespan)
    made.middleware(Envelope)
    for handler in HERE:
        made.task(name=handler.__name__, retry=AT_ONCE)(handler)
    for handler in APART:
        made.task(name=handler.__name__, retry=AT_ONCE, executor="process")(handler)
    once = Retry(attempts=1)
    made.task(name="stuck_thread", retry=AT_ONCE, timeout=timedelta(seconds=0.3))(hold_thread)
    made.task(name="soft", executor="process", soft_timeout=timedelta(seconds=0.1))(soft)
    made.task(name="late_grandchild", executor="process", timeout=timedelta(seconds=1), retry=once)(with_grandchild)
    made.task(name="hoard", executor="process", memory_limit_bytes=200 << 20, retry=once)(hoard)
    return made


app = make_app()
