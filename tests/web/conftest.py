"""An app, its web application, and clients of it: this machine's admin, and callers of other roles and tenants.

The database is one for each process of the run, emptied after each test.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import httpx
import psycopg
import pytest
from psycopg import sql

from headrace import Headrace
from headrace.web import web_app
from headrace.web.access import Caller, Role, caller
from tests.web.sample_app import declare_tasks

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from contextlib import AbstractAsyncContextManager, AbstractContextManager

    from fastapi import FastAPI


KEPT = ("instance", "schema_version", "audit", "rollup_look")
ADMIN = Caller(name="ann", role=Role.ADMIN, tenant=None, address="127.0.0.1")
OPERATOR = replace(ADMIN, name="otto", role=Role.OPERATOR)
VIEWER = replace(ADMIN, name="vera", role=Role.VIEWER)
ACME = replace(OPERATOR, name="of acme", tenant="acme")


@pytest.fixture(scope="session")
def shared_url(lend_database: Callable[[], AbstractContextManager[str]]) -> Iterator[str]:
    """The URL of a migrated database that this process's tests share."""
    with lend_database() as url:
        yield url


@pytest.fixture
def url(shared_url: str) -> Iterator[str]:
    """The shared database, empty again at the end."""
    yield shared_url
    with psycopg.connect(shared_url, autocommit=True) as conn:
        for (table,) in conn.execute(
            "select c.relname from pg_class c where c.relnamespace = 'headrace'::regnamespace "
            "and c.relkind in ('r', 'p') and not c.relispartition"
        ).fetchall():
            if table not in KEPT:
                conn.execute(sql.SQL("delete from headrace.{}").format(sql.Identifier(table)))


@pytest.fixture
async def app(url: str) -> AsyncIterator[Headrace]:
    """An app with tasks."""
    async with Headrace(url) as app:
        declare_tasks(app)
        yield app


@pytest.fixture
def web(app: Headrace) -> FastAPI:
    """Its web application, which lets in whoever is on this machine."""
    return web_app(app, local=True)


@pytest.fixture
def as_caller(web: FastAPI) -> Callable[[Caller], AbstractAsyncContextManager[httpx.AsyncClient]]:
    """A client of whoever it is; one at a time."""

    @asynccontextmanager
    async def client(who: Caller) -> AsyncIterator[httpx.AsyncClient]:
        web.dependency_overrides[caller] = lambda: who
        try:
            async with http_client(web) as made:
                yield made
        finally:
            del web.dependency_overrides[caller]

    return client


def http_client(web: Any, address: str = "127.0.0.1") -> httpx.AsyncClient:
    """A client that comes from an address."""
    transport = httpx.ASGITransport(app=web, client=(address, 4711))
    return httpx.AsyncClient(transport=transport, base_url="http://localhost/api/v1/", timeout=30)


@pytest.fixture
async def client(web: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """This machine's admin."""
    async with http_client(web) as made:
        yield made
