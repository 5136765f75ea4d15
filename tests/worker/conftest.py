"""Workers and databases for the attacks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from headrace import Headrace
from tests.worker.helpers import Tables, WorkerProcess

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator


@pytest.fixture
async def app(database: str) -> AsyncIterator[Headrace]:
    """An app without tasks, on a fresh database."""
    async with Headrace(database) as app:
        yield app


@pytest.fixture
def tables(database: str) -> Iterator[Tables]:
    """The test's database, with a table of what handlers did."""
    tables = Tables(database)
    tables.rows("create table effect (job_id uuid, run integer, what text not null default '')")
    yield tables
    tables.close()


@pytest.fixture
def start_worker(database: str) -> Iterator[Callable[..., WorkerProcess]]:
    """Starts worker processes; whatever a test leaves of them is ended."""
    started: list[WorkerProcess] = []

    def start(**options: Any) -> WorkerProcess:
        started.append(WorkerProcess(options.pop("url", database), **options))
        return started[-1]

    yield start
    for worker in started:
        print(worker.account(f"worker process {worker.pid}"))  # shown if the test failed
        worker.close()
