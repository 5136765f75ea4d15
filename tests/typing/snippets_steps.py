"""Calls of steps as users write them, for mypy only: nothing here runs. See snippets.py."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, assert_type

from headrace import Context, Headrace

if TYPE_CHECKING:
    import psycopg

app = Headrace()


async def charge(order_id: int, *, amount: int = 1) -> str:
    """A coroutine function."""
    return str(order_id * amount)


def count(text: str) -> int:
    """A function."""
    return len(text)


async def book(conn: psycopg.AsyncConnection[Any], amount: int) -> float:
    """With a connection."""
    return float(amount)


def book_sync(conn: psycopg.Connection[Any], amount: int) -> float:
    """The same."""
    return float(amount)


async def coroutines(ctx: Context) -> None:
    """A step is what its function returns, awaited; and takes its arguments."""
    assert_type(await ctx.step("charge", charge, 7, amount=2), str)
    assert_type(await ctx.step("count", count, "x"), int)
    assert_type(await ctx.step_in_transaction("book", book, 7), float)
    await ctx.sleep(timedelta(hours=1))
    await ctx.sleep(1.5)
    await ctx.wait_for_event("paid", timeout=timedelta(days=1))
    await ctx.step("charge", charge, "x")  # type: ignore[call-overload]
    await ctx.step("charge", charge)  # type: ignore[call-overload]
    await ctx.step_in_transaction("book", book_sync, 7)  # type: ignore[arg-type]
    assert_type(await app.emit("paid", {"amount": 7}), bool)


def functions(ctx: Context) -> None:
    """Likewise."""
    assert_type(ctx.step_sync("count", count, "x"), int)
    assert_type(ctx.step_in_transaction_sync("book", book_sync, 7), float)
    ctx.sleep_sync(timedelta(hours=1))
    ctx.step_sync("count", count, 7)  # type: ignore[arg-type]
    assert_type(app.emit_sync("paid"), bool)
