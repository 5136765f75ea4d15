"""How an app opens and closes its database."""

from __future__ import annotations

import asyncio
import atexit
import dataclasses
import os
import threading
from collections.abc import Coroutine
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self, TypeVar
from weakref import WeakKeyDictionary, WeakSet

from headrace._results import ResultWaiter
from headrace._store.database import Database
from headrace._store.sql import check_schema_name
from headrace.errors import (
    AppClosed,
    ConfigurationError,
)

if TYPE_CHECKING:
    from headrace._store.embedded import EmbeddedServer

T = TypeVar("T")

_apps: WeakSet[Opening] = WeakSet()
_CLOSED = "the app is closed: make a new Headrace, or close it later"


@dataclasses.dataclass
class _LoopResources:
    """What is bound to one event loop."""

    database: Database
    results: ResultWaiter


class Opening:
    """The app's connections, and the embedded server: opened when they are needed, for each event loop."""

    def __init__(self, url: str | None, *, schema: str, max_connections: int, handler_connections: int) -> None:
        self._url = url
        self.schema = check_schema_name(schema)
        self.max_connections = max_connections
        self.handler_connections = handler_connections
        self._server: EmbeddedServer | None = None
        self._resources: WeakKeyDictionary[asyncio.AbstractEventLoop, _LoopResources] = WeakKeyDictionary()
        self._opening: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = WeakKeyDictionary()
        self._own_loop: asyncio.AbstractEventLoop | None = None
        self._start_lock = threading.Lock()
        self._closed = False
        _apps.add(self)

    @property
    def url(self) -> str:
        """The database's URL; starts the embedded server if there is no other."""
        if self._closed:
            raise AppClosed(_CLOSED)
        if url := self._url or os.environ.get("HEADRACE_URL"):
            return url
        with self._start_lock:
            if self._server is None:
                self._server = _start_embedded()
            return self._server.url

    def use_database(self, url: str) -> None:
        """Use this database instead of the one that was given when the app was made; before anything is opened.

        For programs that learn the URL late: command lines, tests, process tasks.
        """
        if self._resources or self._server is not None:
            raise ConfigurationError("the app is open: choose its database before it is used")
        self._url = url

    async def open(self) -> Self:
        """Connect; with the embedded server, bring its schema up to date too. Everything else calls it when needed."""
        await self._here()
        return self

    async def close(self) -> None:
        """Close all connections; stop the embedded server if nobody else uses it. Calls after it raise `AppClosed`."""
        self._closed = True
        resources = self._resources.pop(asyncio.get_running_loop(), None)
        if resources:
            await resources.results.close()
            await resources.database.close()
        await asyncio.to_thread(self._close_outside)

    def close_sync(self) -> None:
        """`close` for code that is not asynchronous."""
        self._closed = True
        self._close_outside()

    def _close_outside(self) -> None:
        self._close_own_loop()
        if self._server is not None:
            self._server.stop()
            self._server = None

    def _close_own_loop(self) -> None:
        loop, self._own_loop = self._own_loop, None
        if loop is not None:
            resources = self._resources.pop(loop, None)
            if resources:
                asyncio.run_coroutine_threadsafe(resources.results.close(), loop).result()
                asyncio.run_coroutine_threadsafe(resources.database.close(), loop).result()
            loop.call_soon_threadsafe(loop.stop)

    async def __aenter__(self) -> Self:
        return await self.open()

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _here(self) -> _LoopResources:
        """What is opened for the running event loop."""
        if self._closed:
            raise AppClosed(_CLOSED)
        loop = asyncio.get_running_loop()
        if resources := self._resources.get(loop):
            return resources
        async with self._opening.setdefault(loop, asyncio.Lock()):
            if resources := self._resources.get(loop):
                return resources
            url = await asyncio.to_thread(lambda: self.url)
            if self._server is not None:
                await asyncio.to_thread(self.migrate)
            database = Database(url, self.schema, max_connections=self.max_connections)
            await database.open()
            self._resources[loop] = _LoopResources(database, ResultWaiter(database))
            return self._resources[loop]

    def _forget_after_fork(self) -> None:
        """In a forked child: connections and the thread of the own loop are the parent's."""
        self._resources = WeakKeyDictionary()
        self._opening = WeakKeyDictionary()
        self._own_loop = None
        self._start_lock = threading.Lock()

    def migrate(self) -> None:
        """Bring the database's schema to this version; does nothing if it is there."""
        from headrace._store.migrate import migrate  # noqa: PLC0415 - only those who migrate load it

        migrate(self.url, self.schema)

    def run_sync(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine of this app (`job.result()`, `app.find_job(...)`) from code that is not asynchronous."""
        if self._closed:
            coroutine.close()
            raise AppClosed(_CLOSED)
        with self._start_lock:
            if self._own_loop is None:
                self._own_loop = asyncio.new_event_loop()
                threading.Thread(target=_run_and_close, args=[self._own_loop], name="headrace", daemon=True).start()
            loop = self._own_loop
        return asyncio.run_coroutine_threadsafe(coroutine, loop).result()

    async def database(self) -> Database:
        """Our own statements, for the command line and other parts of headrace."""
        return (await self._here()).database


def _forget_all_after_fork() -> None:
    for app in list(_apps):
        app._forget_after_fork()  # noqa: SLF001


os.register_at_fork(after_in_child=_forget_all_after_fork)


def _close_own_loops() -> None:
    """At the end of a program that did not close its apps: what still runs in our threads would complain."""
    for app in list(_apps):
        with suppress(Exception):
            app._close_own_loop()  # noqa: SLF001


atexit.register(_close_own_loops)


def _run_and_close(loop: asyncio.AbstractEventLoop) -> None:
    loop.run_forever()
    loop.close()


def _start_embedded() -> EmbeddedServer:
    from headrace._store.embedded import EmbeddedServer  # noqa: PLC0415 - an extra

    return EmbeddedServer.start()
