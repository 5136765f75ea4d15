"""The steps of the bench, one after the other.

Each is repeated until it has its number of samples or its time is used up, whatever comes first: so a slow server gives
fewer samples, not a longer bench. The first of them is left out where it pays for what comes once, such as connecting.

A drain starts from an idle, warm worker: the whole backlog becomes visible with one COMMIT. Its seconds are the
server's, from the first claim to the last settle.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, LiteralString, Protocol

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from headrace._bench.figures import Drain, Figures, Round, Server, Times
from headrace._bench.noop import ASIDE, SERVED, make_app, nothing, tell_time
from headrace._bench.statements import statement
from headrace._bench.workers import bench_worker
from headrace._store.connect import connect
from headrace.errors import WorkerError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine
    from contextlib import AbstractAsyncContextManager

    from psycopg import AsyncConnection

    from headrace._bench.workers import BenchWorker
    from headrace.app import Headrace
    from headrace.task import Task

HEARING_DEADLINE_S = 2.0
DRAIN_DEADLINE_S = 120.0
START_DEADLINE_S = 30.0
WARM_UP_JOBS = 500
ROUNDS = 3
PAUSE_S = 0.1
"""A worker that hears of jobs is idle this long after the last one."""

PAUSE_WITHOUT_LISTEN_S = 1.0, 2.0
"""One that does not looks for them every second by then; uneven, so as not to fall in step with it."""

_LOOK_S = 0.02


class Progress(Protocol):
    """Is told of every step."""

    def begin(self, what: str) -> None:
        """A step begins, and may take seconds."""

    def show(self, name: str, figures: Figures) -> None:
        """A step is over: this field of the figures is known."""


@dataclass(frozen=True)
class Sizes:
    """How much is measured.

    Attributes:
        jobs: In one round of a drain.
        concurrency: The worker processes' places.
    """

    jobs: int
    concurrency: int

    @property
    def singles(self) -> int:
        """How often something small is measured."""
        return max(5, min(200, self.jobs // 50))

    @property
    def latencies(self) -> int:
        """How often a job is waited for."""
        return max(5, min(40, self.jobs // 100))


async def samples(work: Callable[[], Awaitable[float]], count: int, seconds: float) -> list[float]:
    """What `work` measures, `count` times, or as often as fits in so many seconds; at least once."""
    give_up_at = time.monotonic() + seconds
    found = [await work()]
    while len(found) < count and time.monotonic() < give_up_at:
        found.append(await work())
    return found


async def measure(url: str, schema: str, sizes: Sizes, progress: Progress) -> Figures:
    """Measure everything; the schema exists and is empty."""
    progress.begin("connecting")
    async with connect(url, "headrace bench") as conn, make_app(url, schema) as app:
        server = await _look_at_server(url, schema, conn)
        figures = Figures(server, os.cpu_count() or 1, sizes.concurrency)
        progress.show("server", figures)
        await Bench(app, conn, sizes, figures, progress).run()
        progress.begin("dropping the schema")
        return figures


async def _look_at_server(url: str, schema: str, conn: AsyncConnection) -> Server:
    async with conn.cursor(row_factory=dict_row) as cursor:
        found = await (await cursor.execute(statement("list_settings"))).fetchone()
    assert found is not None
    # A pooler makes up the process id that it tells its clients.
    has_pooler = found.pop("backend_pid") != conn.info.backend_pid
    return Server(found, has_pooler, await _hears(url, schema, conn))


async def _hears(url: str, schema: str, conn: AsyncConnection) -> bool:
    """Whether a notification from one connection arrives at another, as from an enqueuer at a worker."""
    channel = f"{schema}_hears"
    async with connect(url, "headrace bench") as listener:
        await listener.execute(sql.SQL("listen {}").format(sql.Identifier(channel)))
        await conn.execute(statement("notify"), {"channel": channel})
        async for _ in listener.notifies(timeout=HEARING_DEADLINE_S, stop_after=1):
            return True
    return False


class Bench:
    """One run.

    Args:
        app: On the bench's schema.
        conn: A connection for what is not headrace's own.
        sizes: How much.
        figures: Filled in by `run`.
        progress: Told of every step.
    """

    def __init__(
        self, app: Headrace, conn: AsyncConnection, sizes: Sizes, figures: Figures, progress: Progress
    ) -> None:
        self._app = app
        self._conn = conn
        self._sizes = sizes
        self._figures = figures
        self._progress = progress
        self._nothing: Task[..., ..., Any] = app.find_task(nothing.__name__)
        self._tell_time: Task[..., ..., Any] = app.find_task(tell_time.__name__)
        self._aside = self._nothing.options(queue=ASIDE)
        self._add_number = statement("add_number", app.schema)

    async def run(self) -> None:
        """Every step."""
        singles = self._sizes.singles
        await self._step("round_trip", "asking for nothing", self._repeat(self._round_trip, singles, 1.5))
        await self._conn.execute(statement("create_numbers", self._app.schema))
        await self._step("commit", "committing", self._repeat(self._commit, singles, 3.0))
        await self._step("enqueue_one", "enqueueing one by one", self._repeat(self._enqueue_one, singles, 4.0))
        await self._step("enqueue_many", "enqueueing many", self._repeat(self._enqueue_many, ROUNDS, 5.0))
        self._progress.begin("starting a worker process")
        async with self._worker() as worker:
            await self._step("drain_one", "draining with one process", self._drain([worker]))
            self._progress.begin("starting another")
            async with self._worker() as second:
                await self._step("drain_two", "draining with two", self._drain([worker, second]))
                self._progress.begin("stopping it")
            await self._step("latency", "waiting for single jobs", self._latency())

    async def _step(self, name: str, what: str, work: Coroutine[Any, Any, Times | Drain]) -> None:
        self._progress.begin(what)
        setattr(self._figures, name, await work)
        self._progress.show(name, self._figures)

    async def _repeat(self, work: Callable[[], Awaitable[float]], count: int, seconds: float) -> Times:
        await work()
        return Times(await samples(work, count, seconds))

    def _worker(self) -> AbstractAsyncContextManager[BenchWorker]:
        return bench_worker(self._app.url, self._app.schema, self._sizes.concurrency)

    # -- without a worker --

    async def _round_trip(self) -> float:
        started = time.perf_counter()
        await self._conn.execute(statement("answer"))
        return time.perf_counter() - started

    async def _commit(self) -> float:
        started = time.perf_counter()
        await self._conn.execute(self._add_number)
        return time.perf_counter() - started

    async def _enqueue_one(self) -> float:
        started = time.perf_counter()
        await self._aside.enqueue(1)
        return time.perf_counter() - started

    async def _enqueue_many(self) -> float:
        """Seconds for each job."""
        jobs = self._sizes.jobs
        started = time.perf_counter()
        await self._app.enqueue_many(self._aside.job(number) for number in range(jobs))
        return (time.perf_counter() - started) / jobs

    # -- with workers --

    async def _drain(self, workers: list[BenchWorker]) -> Drain:
        await self._work_off(min(WARM_UP_JOBS, self._sizes.jobs))
        rounds: list[Round] = []

        async def one_round() -> float:
            rounds.append(await self._round(workers))
            return rounds[-1].seconds

        await samples(one_round, ROUNDS, 6.0)
        return Drain(len(workers), rounds)

    async def _round(self, workers: list[BenchWorker]) -> Round:
        jobs = self._sizes.jobs
        (since,) = await self._row(statement("read_clock"))
        wal, cpu_s, core_wait_s = await self._wal_position(), _cpu_s(workers), _core_wait_s(workers)
        await self._work_off(jobs)
        cpu_s, waited_s = _cpu_s(workers) - cpu_s, _core_wait_s(workers)
        wal_after = await self._wal_position()
        finished, seconds = await self._row(statement("time_drain", self._app.schema), {"since": since})
        if finished != jobs:
            raise WorkerError(f"of {jobs} jobs that do nothing, {jobs - finished} did not succeed")
        return Round(
            jobs, seconds, cpu_s,
            None if core_wait_s is None or waited_s is None else waited_s - core_wait_s,
            None if wal is None or wal_after is None else wal_after - wal,
        )  # fmt: skip

    async def _work_off(self, jobs: int) -> None:
        """Enqueue so many, and wait until the workers are through with them."""
        await self._app.enqueue_many(self._nothing.job(number) for number in range(jobs))
        database = await self._app.database()
        try:
            async with asyncio.timeout(DRAIN_DEADLINE_S):
                while await database.value("has_work", queues=[SERVED]):  # noqa: ASYNC110 - nobody can tell us
                    await asyncio.sleep(_LOOK_S)
        except TimeoutError:
            raise WorkerError(
                f"{jobs} jobs that do nothing were not finished within {DRAIN_DEADLINE_S:g} s: give a smaller --jobs"
            ) from None

    async def _latency(self) -> Times:
        hears = self._figures.server.hears

        async def one_job() -> float:
            pause_s = PAUSE_S if hears else random.uniform(*PAUSE_WITHOUT_LISTEN_S)  # noqa: S311 - spreads
            await asyncio.sleep(pause_s)
            called = time.monotonic_ns()
            job = await self._tell_time.enqueue()
            return (int(await job.result(timeout=START_DEADLINE_S)) - called) / 1e9

        return Times(await samples(one_job, self._sizes.latencies if hears else 5, 5.0 if hears else 10.0))

    # -- asking the server --

    async def _row(self, question: LiteralString, parameters: dict[str, Any] | None = None) -> tuple[Any, ...]:
        row = await (await self._conn.execute(question, parameters)).fetchone()
        assert row is not None
        return row

    async def _wal_position(self) -> float | None:
        """None where the server does not say: not everybody may ask."""
        try:
            (position,) = await self._row(statement("read_wal_position"))
        except (
            psycopg.errors.InsufficientPrivilege,
            psycopg.errors.FeatureNotSupported,
            psycopg.errors.UndefinedFunction,
        ):
            return None
        return float(position)


def _cpu_s(workers: list[BenchWorker]) -> float:
    return sum(worker.cpu_s() for worker in workers)


def _core_wait_s(workers: list[BenchWorker]) -> float | None:
    waits = [worker.core_wait_s() for worker in workers]
    return None if None in waits else sum(wait for wait in waits if wait is not None)
