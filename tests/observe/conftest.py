"""Programs that run beside a test."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from headrace import Headrace
from tests.observe.commands import Command
from tests.worker.helpers import Tables

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator


@pytest.fixture
async def app(database: str) -> AsyncIterator[Headrace]:
    """An app without tasks, on a fresh database."""
    async with Headrace(database) as app:
        yield app


@pytest.fixture
def tables(database: str) -> Iterator[Tables]:
    """The test's database, seen from outside."""
    tables = Tables(database)
    yield tables
    tables.close()


@pytest.fixture
def start(database: str) -> Iterator[Callable[..., Command]]:
    """Starts `headrace …` on the test's database; whatever a test leaves of it is ended."""
    started: list[Command] = []

    def start(*words: str, **environment: Any) -> Command:
        started.append(Command(*words, url=database, **environment))
        return started[-1]

    yield start
    for command in started:
        command.close()
