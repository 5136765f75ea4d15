"""A shop with a past, its dashboard, and a browser."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from playwright.async_api import expect

from headrace.web import web_app
from tests.dashboard.browsing import PATIENCE_MS, chromium, serving
from tests.dashboard.shop import fill, make_app, seed
from tests.worker.helpers import working

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from playwright.async_api import Browser

    from headrace import Headrace

expect.set_options(timeout=PATIENCE_MS)


@dataclass
class Shop:
    """The app, where its dashboard is, the gate that its videos wait at, and what can be charged."""

    app: Headrace
    address: str
    gate: asyncio.Event
    currencies: set[str]


@pytest.fixture
async def shop(database: str) -> AsyncIterator[Shop]:
    """A shop that has worked off 120 orders, with a worker that goes on."""
    gate, currencies = asyncio.Event(), {"EUR", "USD", "GBP"}
    app = make_app(database, gate, currencies)
    async with app:
        await seed(app, jobs=60)
        await fill(app)
        async with working(app, concurrency=8), serving(web_app(app, local=True)) as address:
            yield Shop(app, address, gate, currencies)
            gate.set()


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    """Debian's Chromium."""
    async with chromium() as opened:
        yield opened
