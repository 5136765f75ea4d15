"""Opens the database of a command that needs no app."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

from headrace import Headrace
from headrace.errors import DatabaseUnavailable

if TYPE_CHECKING:
    from headrace._store.database import Database

T = TypeVar("T")


def unopened_app(url: str | None, schema: str) -> Headrace:
    """An app without tasks on the database that was asked for.

    Raises:
        DatabaseUnavailable: None was asked for, and this directory has no embedded server: looking must not create one.
    """
    app = Headrace(url, schema=schema)
    if url is None and not os.environ.get("HEADRACE_URL") and not _has_embedded_server():
        raise DatabaseUnavailable(
            "no database: give --url, or set HEADRACE_URL; or start an embedded one in this directory with "
            "`headrace dev MODULE:APP`"
        )
    return app


def _has_embedded_server() -> bool:
    from headrace._store.embedded.home import choose_data_dir  # noqa: PLC0415 - only where there is no URL

    return choose_data_dir(None).is_dir()


def with_app(url: str | None, schema: str, work: Callable[[Headrace], Awaitable[T]]) -> T:
    """Do something with the database that was asked for."""

    async def run() -> T:
        async with unopened_app(url, schema) as app:
            return await work(app)

    return asyncio.run(run())


def with_database(url: str | None, schema: str, work: Callable[[Database], Awaitable[T]]) -> T:
    """The same for those who speak in statements."""

    async def run(app: Headrace) -> T:
        return await work(await app.database())

    return with_app(url, schema, run)
