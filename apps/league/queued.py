"""Calling the statistics functions through the queue with nothing else running: one job, worked off in this process."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING
from uuid import uuid4

from apps.league.direct import FunctionRun
from apps.league.errors import LeagueError
from apps.league.jobs import OTHER_PRIORITY, QUEUE, app, now, stats_update
from apps.league.sql import query
from apps.league.stats import stats_function
from headrace import JobError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from apps.league.stats import StatsFunction


def run_queued(functions: Sequence[StatsFunction]) -> list[FunctionRun]:
    """Run functions as one job and return how each went, in the order given."""
    return asyncio.run(_run(functions))


async def _run(functions: Sequence[StatsFunction]) -> list[FunctionRun]:
    async with app:
        worker = app.worker(queues=[QUEUE], concurrency=1, heartbeat="loop")
        working = asyncio.create_task(worker.run())
        await worker.started.wait()
        once = stats_update.options(priority=OTHER_PRIORITY, max_attempts=1)
        job = await once.enqueue(
            "admin", timestamp=now(), request_id=str(uuid4()), functions=[f.rpc_name for f in functions]
        )
        with suppress(JobError):  # what failed is in the runs
            await job.result()
        worker.stop()
        await working
        went = await _read_runs(job.id)
    if missing := [f.rpc_name for f in functions if f.rpc_name not in went]:
        raise LeagueError(f"job {job.id} did not run {', '.join(missing)}: see `headrace jobs show {job.id}`")
    return [went[f.rpc_name] for f in functions]


async def _read_runs(job_id: UUID) -> dict[str, FunctionRun]:
    async with (await app.database()).connection("list_runs") as conn:
        cursor = await conn.execute(query("list_runs"), {"job_id": job_id})
        return {
            name: FunctionRun(stats_function(name), (duration_ms or 0) / 1000, rows, error)
            for name, _, duration_ms, rows, error in await cursor.fetchall()
        }
