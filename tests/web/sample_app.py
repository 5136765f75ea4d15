"""Tasks for the tests of the API."""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING

from headrace import Context, Headrace, Retry

if TYPE_CHECKING:
    from headrace import Task


def declare_tasks(app: Headrace) -> None:
    """Register them."""

    @app.task(name="add")
    async def add(a: int, b: int = 1) -> int:
        """Add two numbers.

        Only the first paragraph describes it.
        """
        return a + b

    @app.task(name="break_down", queue="brittle", retry=Retry(attempts=2, delay=timedelta(0), jitter=0))
    async def break_down(message: str = "it broke") -> None:
        raise ValueError(message)

    @app.task(name="remember", queue="days")
    async def remember(day: date, ctx: Context) -> str:
        ctx.log(f"remembering {day}")
        ctx.progress(1, 2, "half way")
        return await ctx.step("name the day", _name, day)


async def _name(day: date) -> str:
    return day.strftime("%A")


def task(app: Headrace, name: str) -> Task[..., ..., object]:
    """One of them."""
    return app.find_task(name)
