"""The league's background work: one `stats_update` job runs the ten statistics functions.

All run at the same time, each in a transaction of its own that also records how it went, so that what has succeeded is
never run again by a retry. One that fails does not stop the others; it fails the attempt when all are over.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any, Literal

import psycopg
from psycopg import AsyncConnection, sql
from psycopg_pool import AsyncConnectionPool
from pydantic import StringConstraints

from apps.league.sql import query
from apps.league.stats import STATS_FUNCTIONS, StatsFunction, stats_function
from headrace import Context, Headrace, Retry, inject

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from uuid import UUID

QUEUE = "stats-update-queue"
POST_MATCH_PRIORITY = 2
OTHER_PRIORITY = 1
Trigger = Literal["post-match", "admin", "cron"]

app = Headrace()


@app.lifespan
async def connections(app: Headrace) -> AsyncIterator[AsyncConnectionPool]:
    """One connection for each function, so that all ten can run at once."""
    async with AsyncConnectionPool(
        app.url, min_size=0, max_size=len(STATS_FUNCTIONS), kwargs={"autocommit": True, "application_name": "league"}
    ) as pool:
        yield pool


class StatsFunctionsFailedError(Exception):
    """Some of the functions failed; the others' results stand."""


@dataclass(frozen=True)
class StatsRun:
    """How one function went."""

    function: str
    status: Literal["completed", "failed"]
    duration_ms: float
    rows: int | None
    error: str | None


@app.task(name="stats_update", queue=QUEUE, retry=Retry(attempts=4), timeout=timedelta(minutes=10))
async def stats_update(
    ctx: Context,
    triggered_by: Trigger,
    match_id: int | None = None,
    timestamp: datetime | None = None,
    request_id: Annotated[str, StringConstraints(max_length=200)] | None = None,
    user_id: str | None = None,
    functions: list[str] | None = None,
    pool: AsyncConnectionPool = inject(),
) -> list[dict[str, Any]]:
    """Bring all statistics up to date, or those of `functions`.

    Returns:
        How each function went, those of earlier attempts included.

    Raises:
        StatsFunctionsFailedError: Some failed; a retry runs only those.
    """
    wanted = [stats_function(name) for name in functions] if functions else list(STATS_FUNCTIONS)
    done = await _completed(pool, ctx.job.id)
    todo = [function for function in wanted if function.rpc_name not in done]
    ctx.progress(len(done), len(wanted))

    async def run(function: StatsFunction) -> StatsRun:
        went = await _run_function(pool, ctx.job.id, function)
        done[went.function] = went
        ctx.progress(
            sum(r.status == "completed" for r in done.values()), len(wanted), f"{went.function}: {went.status}"
        )
        ctx.log(f"{went.function}: {went.status} in {went.duration_ms:.0f} ms, {went.error or f'{went.rows} rows'}")
        return went

    await asyncio.gather(*(run(function) for function in todo))
    if failed := [run for run in done.values() if run.status == "failed"]:
        raise StatsFunctionsFailedError("; ".join(f"{run.function}: {run.error}" for run in failed))
    return [vars(done[function.rpc_name]) for function in wanted]


async def _completed(pool: AsyncConnectionPool, job_id: UUID) -> dict[str, StatsRun]:
    async with pool.connection() as conn:
        cursor = await conn.execute(query("list_completed_runs"), {"job_id": job_id})
        return {row[0]: StatsRun(*row) for row in await cursor.fetchall()}


async def _run_function(pool: AsyncConnectionPool, job_id: UUID, function: StatsFunction) -> StatsRun:
    async with pool.connection() as conn:
        await conn.execute(query("start_run"), {"job_id": job_id, "function": function.rpc_name})
        started = time.perf_counter()
        try:
            async with conn.transaction():
                rows = await _call(conn, function)
                run = StatsRun(function.rpc_name, "completed", _ms_since(started), rows, None)
                await conn.execute(query("end_run"), {"job_id": job_id, **vars(run)})
        except psycopg.Error as error:
            message = error.diag.message_primary or str(error)
            run = StatsRun(function.rpc_name, "failed", _ms_since(started), None, message)
            if conn.broken:
                raise
            await conn.execute(query("end_run"), {"job_id": job_id, **vars(run)})
    return run


async def _call(conn: AsyncConnection, function: StatsFunction) -> int:
    cursor = await conn.execute(sql.SQL("select league.{}()").format(sql.Identifier(function.rpc_name)))
    row = await cursor.fetchone()
    assert row is not None
    return int(row[0])


def _ms_since(started: float) -> float:
    return round((time.perf_counter() - started) * 1000, 1)


def now() -> datetime:
    """The `timestamp` of a payload."""
    return datetime.now(UTC)
