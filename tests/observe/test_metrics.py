"""What metrics say is what happened, and their number is bounded."""

from __future__ import annotations

import asyncio
import urllib.request
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from fastapi import FastAPI
from httpx import ASGITransport, AsyncClient
from prometheus_client.parser import text_string_to_metric_families

from headrace import Concurrency, Context, Headrace, Retry, Rollout, Snooze
from headrace.errors import DatabaseUnavailable
from headrace.observe import vitals
from headrace.observe.database_metrics import MOST_NAMES, OTHER, database_registry
from headrace.observe.metrics import WorkerMetrics, expose, metrics_router, render
from headrace.observe.vitals import CachedVitals
from headrace.web import web_app
from headrace.web.access import Role
from tests.observe.commands import free_port
from tests.worker.helpers import until, working

if TYPE_CHECKING:
    from collections.abc import Callable

    from prometheus_client import CollectorRegistry

    from tests.observe.commands import Command
    from tests.worker.helpers import Tables

AT_ONCE = Retry(attempts=2, delay=timedelta(0), jitter=0)
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def samples(text: str) -> Samples:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def of(registry: CollectorRegistry) -> Samples:
    return samples(render(registry, None)[0].decode())


def value(found: Samples, name: str, **labels: str) -> float | None:
    return found.get((name, frozenset(labels.items())))


async def get(url: str) -> str:
    def ask() -> str:
        with urllib.request.urlopen(url, timeout=20) as answer:
            return str(answer.read().decode())

    return await asyncio.to_thread(ask)


async def test_attempts_are_counted_by_outcome_with_their_times(app: Headrace) -> None:
    """Each attempt is in one counter and in each histogram once; waits are by the database's clock, from when it was due."""

    @app.task(name="good")
    async def good() -> None: ...

    @app.task(name="bad", retry=AT_ONCE)
    async def bad() -> None:
        raise ValueError

    @app.task(name="lazy")
    async def lazy(ctx: Context) -> None:
        if ctx.job.run == 1:
            raise Snooze(0)

    @app.task(name="plain")
    def plain() -> None: ...

    metrics = WorkerMetrics(app)
    assert value(of(metrics.registry), "headrace_attempts_total", queue="default", task="bad", outcome="failed") == 0
    async with working(app, time_waits=True) as worker:
        metrics.watch(worker)
        due = datetime.now(UTC) - timedelta(seconds=100)
        jobs = [await task.options(run_at=due).enqueue() for task in (good, bad, lazy, plain)]
        for job in jobs:
            await until(lambda job=job: _final(job), "it ends")  # type: ignore[misc]
        found = of(metrics.registry)
    expected = {("good", "succeeded"): 1, ("bad", "retried"): 1, ("bad", "failed"): 1, ("lazy", "snoozed"): 1, ("lazy", "succeeded"): 1, ("plain", "succeeded"): 1}  # fmt: skip
    counted = {
        (dict(labels)["task"], dict(labels)["outcome"]): number
        for (name, labels), number in found.items()
        if name == "headrace_attempts_total" and number
    }
    assert counted == expected
    assert value(found, "headrace_run_seconds_count", queue="default", task="bad") == 2
    assert value(found, "headrace_wait_seconds_count", queue="default") == 6
    assert value(found, "headrace_wait_seconds_bucket", queue="default", le="60.0") == 2, "retried and snoozed to now"
    assert value(found, "headrace_wait_seconds_bucket", queue="default", le="300.0") == 6
    assert value(found, "headrace_claimed_jobs_total") == 6
    assert value(found, "headrace_settled_jobs_total") == 6
    assert value(found, "headrace_places_taken", queue="default") == 0
    assert value(found, "headrace_places", queue="default") == 100


async def _final(job: object) -> bool:
    return (await job.info()).state.final  # type: ignore[attr-defined, no-any-return]


async def test_the_claim_of_limited_jobs_times_them_too(app: Headrace) -> None:
    """Whatever the claim, the wait is known."""

    @app.task(name="narrow", limits=[Concurrency(1, name="one")])
    async def narrow() -> None: ...

    metrics = WorkerMetrics(app)
    async with working(app, time_waits=True):
        for job in [await narrow.enqueue() for _ in range(3)]:
            await job.result(timeout=20)
    assert value(of(metrics.registry), "headrace_wait_seconds_count", queue="default") == 3


async def test_names_that_enqueuers_make_up_do_not_become_series(app: Headrace, tables: Tables) -> None:
    """Queues beyond a bound are added up; jobs of tasks that nobody registers here count as one task."""

    @app.task(name="known")
    async def known(number: int) -> None: ...

    await app.enqueue_many(known.options(queue=f"q{n}").job(n) for n in range(MOST_NAMES + 50))
    await app.enqueue_many(known.options(queue="q0").job(n) for n in range(10))
    found = of(await database_registry(await app.database(), CachedVitals()))
    queued = {dict(labels)["queue"]: number for (name, labels), number in found.items() if name == "headrace_jobs" and dict(labels)["state"] == "queued"}  # fmt: skip
    assert len(queued) == MOST_NAMES + 1
    assert queued["q0"] == 11
    assert queued[OTHER] == 50
    assert sum(queued.values()) == MOST_NAMES + 60

    metrics = WorkerMetrics(app)
    tables.rows("update headrace.job set task = 'made up ' || id, queue = 'default' where queue = 'q0'")
    async with working(app, queues=["default"]):
        await until(
            lambda: tables.value("select count(*) from headrace.job where blocked_by is not null") == 11,
            "all are parked",
        )
        names = {dict(labels)["task"] for (name, labels) in of(metrics.registry) if name == "headrace_attempts_total"}
    assert names == {"known", "(unknown)"}


async def test_the_database_is_asked_once_for_all(app: Headrace) -> None:
    """However many ask, and however often, within some seconds."""
    cached, database = CachedVitals(), await app.database()
    first, *others = await asyncio.gather(*(cached.read(database) for _ in range(20)))
    assert all(other is first for other in others)


async def test_the_state_of_the_system_is_seen(app: Headrace, tables: Tables) -> None:
    """Queues, pauses, workers, lost workers, limits, the horizon and the tables, each from what is in the database."""

    @app.task(name="narrow", limits=[Concurrency(3, name="three")])
    async def narrow() -> None: ...

    async with working(app):
        pass
    await narrow.options(delay=timedelta(hours=1)).enqueue()
    tables.rows("insert into headrace.pause (queue) values ('default')")
    tables.rows(
        "insert into headrace.worker (host, pid, version, queues, beaten_at) values ('h', 1, '', '{}', now() - interval '1 min')"
    )
    tables.rows("insert into headrace.lost_worker (worker_id, host, pid) values (7, 'h', 1)")
    tables.rows("insert into headrace.schedule (name, task, every) values ('late', 'narrow', '1 s')")
    tables.rows(
        "insert into headrace.schedule_due (schedule, next_due, next_at) values ('late', now() - interval '1 min', now())"
    )
    tables.rows(
        "insert into headrace.tick (schedule, nominal, fold, due_at, fired_at, outcome) values ('late', now(), 0, now(), now(), 'missed')"
    )
    tables.rows("begin isolation level repeatable read")
    tables.rows("select count(*) from headrace.job")
    found = of(await database_registry(await app.database(), CachedVitals()))
    tables.rows("commit")
    assert value(found, "headrace_database_up") == 1
    assert value(found, "headrace_jobs", queue="default", state="scheduled") == 1
    assert value(found, "headrace_queue_paused", queue="default") == 1
    assert value(found, "headrace_workers", state="working") == 1
    assert 60 <= (value(found, "headrace_heartbeat_age_seconds") or 0) < 100
    assert value(found, "headrace_lost_workers") == 1
    assert value(found, "headrace_limit_slots", limit="three") == 3
    assert value(found, "headrace_limit_slots_used", limit="three") == 0
    assert 60 <= (value(found, "headrace_schedule_lateness_seconds") or 0) < 100
    assert value(found, "headrace_schedules_overdue") == 1
    assert value(found, "headrace_missed_ticks") == 1
    assert (value(found, "headrace_horizon_age_seconds") or 0) > 0
    assert value(found, "headrace_table_bytes", table="job")


@pytest.mark.process
async def test_each_worker_process_has_a_port_of_its_own(app: Headrace, start: Callable[..., Command]) -> None:
    """Two processes answer on two ports, each for itself, and both for the database."""
    port = free_port()
    command = start("worker", "tests.observe.sample_app:app", "--metrics-port", str(port), "--processes", "2")
    command.wait_for(lambda lines: sum("started; queues" in line for line in lines) == 2, "both start")
    workers = set()
    for number in (port, port + 1):
        text = await until(lambda number=number: _try(f"http://127.0.0.1:{number}/metrics"), "it answers")  # type: ignore[misc]
        workers |= {dict(labels)["worker"] for name, labels in samples(text) if name == "headrace_worker_info"}
        database = samples(await get(f"http://127.0.0.1:{number}/metrics/database"))
        assert value(database, "headrace_workers", state="working") == 2
    assert len(workers) == 2


async def _try(url: str) -> str:
    try:
        return await get(url)
    except OSError:
        return ""


async def test_a_port_that_is_taken_is_waited_for(app: Headrace) -> None:
    """As when a worker process is replaced by another while it ends."""

    @app.task(name="good")
    async def good() -> None: ...

    metrics = WorkerMetrics(app)
    async with working(app) as worker:
        first = expose(worker, metrics, 0)
        second = expose(worker, WorkerMetrics(app), first.port)
        first.close()
        text = await until(lambda: _try(f"http://127.0.0.1:{second.port}/metrics/database"), "the second one answers")
        assert value(samples(text), "headrace_database_up") == 1
        second.close()


async def test_the_router_answers_for_the_database_and_rollouts(app: Headrace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also when the database is away, which it says."""

    @app.task(name="good")
    async def good() -> None: ...

    monkeypatch.delenv("USE_BG_JOBS_GLOBAL", raising=False)
    await Rollout(app).trigger("match", good).run()
    away = Headrace("postgresql://nobody:x@127.0.0.1:1/nothing")
    for one, up in ((app, 1), (away, 0)):
        web = FastAPI()
        web.include_router(metrics_router(one))
        async with AsyncClient(transport=ASGITransport(web), base_url="http://test") as client:
            answer = await client.get("/metrics")
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/plain")
        assert value(samples(answer.text), "headrace_database_up") == up
        if up:
            assert value(samples(answer.text), "headrace_rollout_calls_total", trigger="match", mode="direct") == 1
    await away.close()


async def test_what_is_dear_is_asked_seldom(app: Headrace, monkeypatch: pytest.MonkeyPatch) -> None:
    """A look that took a second is not repeated for 50; nor is one that failed."""
    clock, asked = [0.0], 0

    async def slow(_: object) -> object:
        nonlocal asked
        asked += 1
        clock[0] += 1.0
        if asked == 2:
            raise DatabaseUnavailable("it took too long")
        return object()

    monkeypatch.setattr(vitals, "read_vitals", slow)
    cached, database = CachedVitals(lambda: clock[0]), await app.database()
    first = await cached.read(database)
    clock[0] += 49.9
    assert await cached.read(database) is first
    clock[0] += 0.2
    with pytest.raises(DatabaseUnavailable):
        await cached.read(database)
    clock[0] += 49.9
    with pytest.raises(DatabaseUnavailable):
        await cached.read(database)
    assert asked == 2
    clock[0] += 0.2
    assert await cached.read(database) is not first
    assert asked == 3


async def test_serve_has_them_for_who_may_look(app: Headrace) -> None:
    """Under /metrics, with a viewer's key of all tenants; for nobody else."""
    web = web_app(app)
    key = await app.access.create_key("prometheus", role=Role.VIEWER)
    of_acme = await app.access.create_key("acme", role=Role.VIEWER, tenant="acme")
    async with AsyncClient(transport=ASGITransport(web), base_url="http://test") as client:
        assert (await client.get("/metrics")).status_code == 401
        answer = await client.get("/metrics", headers={"Authorization": f"Bearer {key}"})
        assert value(samples(answer.text), "headrace_database_up") == 1
        refused = await client.get("/metrics", headers={"Authorization": f"Bearer {of_acme}"})
        assert refused.status_code == 403
