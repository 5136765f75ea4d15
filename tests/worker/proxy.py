"""A proxy between a client and PostgreSQL that loses, cuts and holds what it carries."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Self
from urllib.parse import quote

from psycopg.conninfo import conninfo_to_dict

if TYPE_CHECKING:
    from types import TracebackType

PORT = "5432"


@dataclass(eq=False)
class _Link:
    """One client's connection and the one that it leads to."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter | None = None
    deaf: bool = False
    """Whether the client hears nothing any more."""
    answered: asyncio.Event = field(default_factory=asyncio.Event)

    def cut(self) -> None:
        for end in (self.client, self.server):
            if end is not None:
                end.transport.abort()


class Proxy:
    """Carries connections from a socket of its own to the server's.

    Attributes:
        url: The same database, through the proxy.
        connections: How many were accepted.
        cut: Set when `cut_at` has struck.
    """

    def __init__(self, url: str) -> None:
        self._target = conninfo_to_dict(url)
        self._directory = Path(tempfile.mkdtemp(prefix="headrace-proxy-"))
        self.url = proxied(url, self._directory, PORT)
        self.connections = 0
        self.cut = asyncio.Event()
        self._pattern: bytes | None = None
        self._forward = self._wait_for_answer = True
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._links: dict[_Link, asyncio.Task[None]] = {}
        self._server: asyncio.Server | None = None

    def cut_at(self, pattern: bytes, *, forward: bool = True, wait_for_answer: bool = True) -> None:
        """Cut the next connection that sends this.

        Args:
            pattern: What to look for.
            forward: Whether the server receives it: then its answer is what gets lost.
            wait_for_answer: Whether to cut only when the answer has come, so that the server is surely done.
        """
        self._pattern, self._forward, self._wait_for_answer = pattern, forward, wait_for_answer

    def hold(self) -> None:
        """Accept everything, carry nothing."""
        self._flowing.clear()

    def release(self) -> None:
        """Carry again, what was held included."""
        self._flowing.set()

    def cut_all(self) -> None:
        """Cut every connection now."""
        for link in list(self._links):
            link.cut()

    def stop(self) -> None:
        """Cut every connection and refuse new ones, like a server that is stopped."""
        assert self._server is not None
        self._server.close()
        self.cut_all()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_unix_server(self._serve, self._directory / f".s.PGSQL.{PORT}")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        self.release()
        self.cut_all()
        await asyncio.gather(*self._links.values())
        shutil.rmtree(self._directory)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = _Link(writer)
        task = asyncio.current_task()
        assert task is not None
        self._links[link] = task
        self.connections += 1
        try:
            await self._flowing.wait()
            server_reader, link.server = await self._connect()
            ends = {
                asyncio.create_task(self._carry_requests(link, reader)),
                asyncio.create_task(self._carry_answers(link, server_reader)),
            }
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            for end in ends:
                end.cancel()
            await asyncio.gather(*ends, return_exceptions=True)
        finally:
            link.cut()
            del self._links[link]

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        host, port = str(self._target["host"]), self._target.get("port", PORT)
        if host.startswith("/"):
            return await asyncio.open_unix_connection(f"{host}/.s.PGSQL.{port}")
        return await asyncio.open_connection(host, int(port or PORT))

    async def _carry_answers(self, link: _Link, reader: asyncio.StreamReader) -> None:
        with suppress(OSError):
            while data := await reader.read(1 << 16):
                await self._flowing.wait()
                if link.deaf:
                    link.answered.set()
                    continue
                link.client.write(data)
                await link.client.drain()

    async def _carry_requests(self, link: _Link, reader: asyncio.StreamReader) -> None:
        assert link.server is not None
        with suppress(OSError):
            while data := await reader.read(1 << 16):
                await self._flowing.wait()
                strikes = self._pattern is not None and self._pattern in data
                if strikes:
                    self._pattern = None
                    link.deaf = True
                if not strikes or self._forward:
                    link.server.write(data)
                    await link.server.drain()
                if strikes:
                    if self._forward and self._wait_for_answer:
                        await link.answered.wait()
                    self.cut.set()
                    return


def proxied(url: str, host: Path | str, port: str | int) -> str:
    """The same database and role, at another address."""
    target = conninfo_to_dict(url)
    password = quote(str(target.get("password", "")), safe="")
    return f"postgresql://{target['user']}:{password}@/{target['dbname']}?host={host}&port={port}"
