"""Stores to attack: one database for each process of the run, emptied after each test, or a new one if it matters."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from psycopg import sql

from tests.store.harness import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from conftest import DatabaseServer


def pytest_configure(config: pytest.Config) -> None:
    """Name the tests that cannot run through PgBouncer."""
    config.addinivalue_line(
        "markers", "direct: needs a session of its own: settings, LISTEN, or what it sees of its locks"
    )


@pytest.fixture(scope="session")
def shared_url(server: DatabaseServer, lend_database: Callable[[], AbstractContextManager[str]]) -> Iterator[str]:
    """The URL of a migrated database that this process's tests share: making a thousand takes too long."""
    with lend_database() as url:
        with server.admin() as admin:
            name = sql.Identifier(urlsplit(url).path.removeprefix("/"))
            admin.execute(sql.SQL("alter database {} set synchronous_commit to off").format(name))
        with Store(url) as store:
            _drop_later_partitions(store)
        yield url


def _drop_later_partitions(store: Store) -> None:
    """Planning takes its time for each of them, a thousand times over."""
    for (name,) in store.ask("select name from headrace.list_partitions() where day > current_date + 2"):
        store.ask(f"drop table headrace.{name}")


@pytest.fixture(scope="session")
def connections(shared_url: str) -> Iterator[tuple[Store, Store, Store]]:
    """Three connections to the shared database, for all tests: to connect takes longer than most of them."""
    with Store(shared_url) as first, Store(shared_url) as second, Store(shared_url) as third:
        yield first, second, third


@pytest.fixture
def store(connections: tuple[Store, Store, Store]) -> Iterator[Store]:
    """The shared database, without jobs, workers and settings."""
    yield connections[0]
    for connection in connections:
        connection.conn.rollback()
    connections[0].empty()


@pytest.fixture
def other(store: Store, connections: tuple[Store, Store, Store]) -> Store:
    """A second connection to it."""
    return connections[1]


@pytest.fixture
def observer(store: Store, connections: tuple[Store, Store, Store]) -> Store:
    """A third one, to look at the other two."""
    return connections[2]


@pytest.fixture
def fresh(database: str) -> Iterator[Store]:
    """A new database, for tests that change more than jobs."""
    with Store(database) as store:
        yield store
