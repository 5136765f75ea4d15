"""An app on an empty database, and a look at the tables from outside.

The database is one for each process of the run, emptied after each test: copying one takes longer than most tests here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, LiteralString

import psycopg
import pytest
from psycopg import sql

from headrace import Headrace, Task

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from contextlib import AbstractContextManager


TABLES = (
    "job", "job_history", "attempt", "job_log", "job_progress", "payload", "enqueue_key", "worker", "queue", "task", "event",
    "schedule", "schedule_due", "schedule_code", "tick",
    "workflow", "workflow_node", "dependency", "workflow_change",
)  # fmt: skip


@pytest.fixture(scope="session")
def shared_url(lend_database: Callable[[], AbstractContextManager[str]]) -> Iterator[str]:
    """The URL of a migrated database that this process's tests share."""
    with lend_database() as url:
        yield url


@pytest.fixture
def database(shared_url: str) -> Iterator[str]:
    """The shared database, empty again at the end."""
    yield shared_url
    with psycopg.connect(shared_url, autocommit=True) as conn:
        for table in TABLES:
            conn.execute(sql.SQL("delete from headrace.{}").format(sql.Identifier(table)))


@pytest.fixture
async def app(database: str) -> AsyncIterator[Headrace]:
    """An app with no tasks yet."""
    async with Headrace(database) as app:
        yield app


@pytest.fixture
def greet(app: Headrace) -> Task[..., ..., str]:
    """A task that most tests enqueue."""

    @app.task(name="greet")
    async def greet(name: str = "you") -> str:
        return f"hello {name}"

    return greet


@pytest.fixture
def rows(database: str) -> Iterator[Callable[..., list[tuple[Any, ...]]]]:
    """Runs a statement and commits: what everybody else can see."""
    with psycopg.connect(database, autocommit=True) as conn:

        def ask(statement: LiteralString, *values: Any) -> list[tuple[Any, ...]]:
            cursor = conn.execute(statement, values or None)
            return cursor.fetchall() if cursor.description else []

        yield ask


@pytest.fixture
def count(rows: Callable[..., list[tuple[Any, ...]]]) -> Callable[[], int]:
    """How many jobs there are, finished or not."""
    return lambda: int(rows("select count(*) from headrace.jobs")[0][0])
