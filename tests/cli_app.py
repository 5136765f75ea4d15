"""An app for the tests of the command line and the supervisor: tasks that tell the test what they do."""

from __future__ import annotations

import asyncio
import os
import threading
from datetime import timedelta
from pathlib import Path

from headrace import Context, Headrace, Retry

app = Headrace()
not_an_app = 42
ONCE = Retry(attempts=1)
_LOOK_S = 0.01


@app.task(name="add")
async def add(a: int, b: int = 1) -> int:
    """A job that succeeds."""
    return a + b


@app.task(name="greet", queue="mail")
def greet(name: str, ctx: Context) -> str:
    """A job that reports progress and logs."""
    ctx.progress(1, 2, "half way")
    ctx.log(f"greeting {name}")
    return f"Hello {name}"


@app.task(name="break_down", retry=Retry(attempts=2, delay=timedelta(0), jitter=0))
async def break_down(message: str) -> None:
    """A job that fails twice."""
    raise ValueError(message)


@app.task(name="hold_off", retry=Retry(attempts=2, delay=timedelta(hours=1)))
async def hold_off() -> None:
    """A job that fails, and waits for its second attempt."""
    raise ValueError("not now")


@app.task(name="hold", retry=ONCE)
async def hold(gate: str) -> int:
    """Says that it runs, and in which process, by a file; goes on once there is another file. Its process."""
    _say_started(gate)
    while not _is_open(gate):  # noqa: ASYNC110 - the test is another process
        await asyncio.sleep(_LOOK_S)
    return os.getpid()


@app.task(name="overrun", retry=ONCE, timeout=timedelta(seconds=0.2))
def overrun(gate: str) -> None:
    """Runs in a thread that nothing ends."""
    _say_started(gate)
    threading.Event().wait()


@app.task(name="block_thread", retry=ONCE)
def block_thread(gate: str) -> None:
    """Never returns."""
    _say_started(gate)
    threading.Event().wait()


@app.task(name="block_loop", retry=ONCE)
async def block_loop(gate: str) -> None:
    """Never lets go of the event loop."""
    _say_started(gate)
    threading.Event().wait()


@app.task(name="loop_name")
async def loop_name() -> str:
    """What kind of event loop runs it."""
    return type(asyncio.get_running_loop()).__module__


@app.task(name="loop_name_in_a_process", executor="process")
async def loop_name_in_a_process() -> str:
    """The same in another process."""
    return type(asyncio.get_running_loop()).__module__


@app.task(name="order", retry=ONCE)
async def order(ctx: Context, fails: bool = False) -> str:
    """A job of three steps, one of which waits."""
    await ctx.step("charge", lambda: {"receipt": "x" * 200})
    paid = await ctx.wait_for_event("paid:42", timeout=timedelta(hours=6))
    if fails:
        raise ValueError("after the payment")
    return str(await ctx.step("ship", lambda: f"shipped for {paid}"))


def _say_started(gate: str) -> None:
    Path(f"{gate}.draft").write_text(str(os.getpid()))
    Path(f"{gate}.draft").replace(f"{gate}.started")


def _is_open(gate: str) -> bool:
    return Path(f"{gate}.open").exists()
