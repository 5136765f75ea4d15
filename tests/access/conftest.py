"""An app on a database of this process's own, emptied after each test; and what was recorded since the test began."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg import sql

from headrace import Headrace

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from headrace import AuditEntry

TABLES = (
    "job", "job_history", "attempt", "job_log", "job_progress", "payload", "enqueue_key", "worker", "queue", "task", "event",
    "schedule", "schedule_due", "schedule_code", "tick", "workflow", "workflow_node", "dependency", "workflow_change",
    "flow_limit", "flow_queue", "flow_gate", "pause", "step", "operation",
    "access_link", "access_session", "access_key", "access_user", "access_try",
)  # fmt: skip


@pytest.fixture(scope="session")
def shared_url(lend_database: Callable[[], AbstractContextManager[str]]) -> Iterator[str]:
    """The URL of a migrated database that this process's tests share."""
    with lend_database() as url:
        yield url


@pytest.fixture
def url(shared_url: str) -> Iterator[str]:
    """The shared database, empty again at the end, but for the audit log, of which nothing can be deleted."""
    yield shared_url
    with psycopg.connect(shared_url, autocommit=True) as conn:
        for table in TABLES:
            conn.execute(sql.SQL("delete from headrace.{}").format(sql.Identifier(table)))


@pytest.fixture
async def app(url: str) -> AsyncIterator[Headrace]:
    """An app without tasks."""
    async with Headrace(url) as app:
        yield app


@pytest.fixture
async def entries(app: Headrace) -> Callable[..., Awaitable[Sequence[AuditEntry]]]:
    """What was recorded since the test began, the first first."""
    before = [entry.id for entry in await app.audit.list(limit=1)]

    async def list_entries(**filters: Any) -> Sequence[AuditEntry]:
        found = await app.audit.list(limit=1000, **filters)
        return [entry for entry in reversed(found) if not before or entry.id > before[0]]

    return list_entries
