"""Emitting events: on our own connections and inside the caller's transaction, on every kind of connection."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import BaseModel

from headrace import ConfigurationError, Headrace, InvalidArguments
from tests.enqueue.connections import ASYNC, SYNC

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Ask = Callable[..., list[tuple[Any, ...]]]

ODD = {"text": "ü %s :name '", "list": [1, None, True]}


class Payment(BaseModel):
    """A payload with a type."""

    amount: int
    at: datetime


@pytest.fixture
def sync_app(database: str) -> Iterator[Headrace]:
    """An app that synchronous code uses."""
    app = Headrace(database)
    yield app
    app.close_sync()


@pytest.mark.parametrize("kind", SYNC)
def test_a_synchronous_caller_s_transaction(sync_app: Headrace, database: str, rows: Ask, kind: str) -> None:
    """What is rolled back never happened; what is committed did, once."""
    with SYNC[kind](database) as conn:
        assert sync_app.emit_sync("odd %s :x", ODD, conn=conn)
        conn.rollback()
        assert sync_app.emit_sync("odd %s :x", ODD, conn=conn, keep=timedelta(hours=1.5))
        assert rows("select * from headrace.event") == []
        conn.commit()
        assert not sync_app.emit_sync("odd %s :x", "second", conn=conn)
        conn.commit()
    assert rows("select name, payload, expires_at - emitted_at from headrace.event") == [
        ("odd %s :x", ODD, timedelta(hours=1.5))
    ]


@pytest.mark.parametrize("kind", ASYNC)
async def test_an_asynchronous_caller_s_transaction(app: Headrace, database: str, rows: Ask, kind: str) -> None:
    """Likewise."""
    async with ASYNC[kind](database) as caller:
        assert await app.emit("odd %s :x", ODD, conn=caller.conn)
        assert rows("select * from headrace.event") == []
        await caller.commit()
    assert rows("select name, payload from headrace.event") == [("odd %s :x", ODD)]
    assert not await app.emit("odd %s :x")


async def test_our_own_connection(app: Headrace) -> None:
    """First wins; everybody can look."""
    assert await app.find_event("paid") is None
    assert await app.emit("paid", Payment(amount=7, at=datetime(2026, 11, 25, tzinfo=UTC)))
    assert not await app.emit("paid", "second")
    event = await app.find_event("paid")
    assert event is not None
    assert (event.name, event.payload) == ("paid", {"amount": 7, "at": "2026-11-25T00:00:00Z"})
    assert event.expires_at - event.emitted_at == timedelta(days=30)


def test_without_a_connection_in_synchronous_code(sync_app: Headrace) -> None:
    """Through the app's own thread."""
    assert sync_app.emit_sync("paid", [1])
    assert not sync_app.emit_sync("paid")


async def test_an_asynchronous_connection_in_synchronous_code_is_refused(app: Headrace, database: str) -> None:
    """With the word to use instead."""
    async with ASYNC["psycopg"](database) as caller:
        with pytest.raises(ConfigurationError, match=r"await emit\(...\) instead of emit_sync"):
            app.emit_sync("paid", conn=caller.conn)


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        ({"a": {"b": "x\x00"}}, r'event "paid": payload.a.b holds a NUL'),
        (float("nan"), r'event "paid": payload is nan'),
        (object(), "cannot be written as JSON"),
        ("x" * 300_000, "is 300002 bytes long, at most 262144"),
    ],
)
async def test_payloads_that_cannot_be_stored(app: Headrace, payload: Any, message: str) -> None:
    """Are refused before anything is written."""
    with pytest.raises(InvalidArguments, match=message):
        await app.emit("paid", payload)
    assert await app.find_event("paid") is None


@pytest.mark.parametrize("name", ["", "x" * 301, "a\x00b", "\ud800", 7])
async def test_names_that_cannot_be_stored(app: Headrace, name: Any) -> None:
    """By whoever emits or looks."""
    with pytest.raises(ConfigurationError, match="event"):
        await app.emit(name)
    with pytest.raises(ConfigurationError, match="event"):
        await app.find_event(name)


async def test_nothing_is_kept_for_no_time(app: Headrace) -> None:
    """It could never be found."""
    with pytest.raises(ConfigurationError, match="keep must be more than nothing"):
        await app.emit("paid", keep=timedelta(0))
