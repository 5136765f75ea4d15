"""Hears NOTIFY: that jobs came to a queue, that somebody asked to cancel, that an event came which jobs wait for.

Only an accelerator: everything it announces is also found by looking. Through PgBouncer in transaction mode LISTEN is
accepted and delivers nothing (ENGINE 9), so the listener notifies itself now and then, and says "off" when it does not
hear that. Losing the connection means connecting again, with patience.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

import psycopg
from psycopg import sql

from headrace._store.connect import connect
from headrace.errors import DatabaseUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from psycopg import AsyncConnection

LOOPBACK_EVERY_S = 30.0
LOOPBACK_DEADLINE_S = 5.0
_RECONNECT_S = 1.0
_log = logging.getLogger("headrace.worker")


class Listener:
    """Listens on one connection of its own.

    Args:
        url: The database, or an own URL that goes past the pooler.
        schema: Whose channels.
        on_wake: Called with a queue's name.
        on_cancel: Called when somebody asked a running job to stop.
        on_event: Called when somebody emitted an event that jobs wait for.

    Attributes:
        hearing: Set while notifications are known to arrive.
    """

    def __init__(
        self,
        url: str,
        schema: str,
        on_wake: Callable[[str], None],
        on_cancel: Callable[[], None],
        on_event: Callable[[], None],
    ) -> None:
        self._url = url
        self._wake = f"{schema}_wake"
        self._cancel = f"{schema}_cancel"
        self._event = f"{schema}_event"
        self._on_wake = on_wake
        self._on_cancel = on_cancel
        self._on_event = on_event
        self.hearing = asyncio.Event()
        self._said_deaf = False

    async def run(self) -> None:
        """Listen until cancelled."""
        while True:
            try:
                async with connect(self._url, "headrace listener") as conn:
                    await self._listen(conn)
            except (psycopg.Error, DatabaseUnavailable, TimeoutError, OSError) as error:
                self._deaf(f"lost its connection ({' '.join(str(error).split())})")
            await asyncio.sleep(_RECONNECT_S)

    async def _listen(self, conn: AsyncConnection) -> None:
        loopback = f"{self._wake}_{conn.info.backend_pid}_{id(self)}"
        for channel in (self._wake, self._cancel, self._event, loopback):
            await conn.execute(sql.SQL("listen {}").format(sql.Identifier(channel)))
        self._on_wake("")  # whatever came while nobody listened
        while True:
            await self._notify(loopback)
            if not await self._hear(conn, LOOPBACK_DEADLINE_S, until=loopback):
                self._deaf("does not hear its own notification; is this a pooler? Jobs are found by polling")
            else:
                self._said_deaf = False
                self.hearing.set()
            await self._hear(conn, LOOPBACK_EVERY_S)

    async def _notify(self, channel: str) -> None:
        # On another connection: a pooler passes on what a connection hears while it notifies itself, and nothing else.
        async with connect(self._url, "headrace listener") as conn:
            await conn.execute("select pg_notify(%s, '')", [channel])

    async def _hear(self, conn: AsyncConnection, seconds: float, until: str | None = None) -> bool:
        """Pass on what arrives for so long, or until something arrives on one channel; whether it did."""
        async for notice in conn.notifies(timeout=seconds):
            if notice.channel == until:
                return True
            if notice.channel == self._wake:
                self._on_wake(notice.payload)
            elif notice.channel == self._cancel:
                self._on_cancel()
            elif notice.channel == self._event:
                self._on_event()
        return False

    def _deaf(self, why: str) -> None:
        if not self._said_deaf:
            _log.warning("the listener %s", why)
        self._said_deaf = True
        self.hearing.clear()
