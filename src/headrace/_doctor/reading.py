"""Reads what there is to know of the database and the work in it; what the role may not read is named and left out."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from psycopg.errors import InsufficientPrivilege

from headrace._store.migrate import DAYS_AHEAD, verify
from headrace._store.sql import migrations, query
from headrace.doctor import DatabaseReport, Index, Partitions, Server, Slot, Table, Transaction
from headrace.why import LEASE_S

if TYPE_CHECKING:
    from headrace._store.database import Database

DEADLINE_S = 60.0
"""For one look at all unfinished jobs, or at the sizes of all tables."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """The lines, who serves them, and what else the engine's tables say; rows as the statements answer them."""

    jobs: list[dict[str, Any]]
    gates: list[dict[str, Any]]
    rest: dict[str, Any] | None
    drift: list[str]
    unreadable: tuple[str, ...]


class Reader:
    """Reads through one app's database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._unreadable: list[str] = []

    async def report(self) -> DatabaseReport:
        """What the server says of itself."""
        server = await self._server()
        return DatabaseReport(
            server=server,
            transactions=tuple(Transaction(**row) for row in await self._rows("inspect_transactions")),
            tables=tuple(Table(**row) for row in await self._rows("inspect_tables")),
            indexes=tuple(Index(**row) for row in await self._rows("inspect_indexes")),
            partitions=tuple(
                Partitions(**row | {"missing": tuple(row["missing"])})
                for row in await self._rows("inspect_partitions", days=DAYS_AHEAD)
            ),
            slots=tuple(Slot(**row) for row in await self._rows("inspect_slots")),
            schema=self._database.schema,
            schema_version=await self._database.value("read_version"),
            schema_expected=len(migrations()),
            unreadable=tuple(self._unreadable),
        )

    async def work(self) -> Work:
        """What the engine's tables say, and how the schema differs from this version's."""
        jobs = await self._rows("inspect_jobs", lease_s=LEASE_S)
        gates = await self._rows("inspect_gates")
        rest = await self._rows("inspect_rest", lease_s=LEASE_S)
        drift = await asyncio.to_thread(verify, self._database.url, self._database.schema)
        return Work(
            jobs=jobs, gates=gates, rest=rest[0] if rest else None, drift=drift, unreadable=tuple(self._unreadable)
        )

    async def _server(self) -> Server:
        asked_at = datetime.now(UTC)
        row = (await self._database.records("inspect_server"))[0]
        answered_at = datetime.now(UTC)
        async with self._database.connection("read_backend_pid") as conn:
            found = await (await conn.execute(query("read_backend_pid", self._database.schema))).fetchone()
            pooled = found != (conn.info.backend_pid,)
        # The server read its clock some time between.
        error = (answered_at - asked_at) / 2
        return Server(
            **row, pooled=pooled, clock_ahead_s=(asked_at + error - row["now"]).total_seconds(),
            clock_error_s=error.total_seconds(),
        )  # fmt: skip

    async def _rows(self, name: str, **parameters: Any) -> list[dict[str, Any]]:
        try:
            return await self._database.records(name, DEADLINE_S, **parameters)
        except InsufficientPrivilege as error:
            what = name.removeprefix("inspect_").replace("_", " ")
            self._unreadable.append(f"{what}: {error.diag.message_primary}")
            return []
