"""The database goes away, loses answers, hangs or sits behind a pooler (promises 7 and 9, ENGINE 1 and 9)."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from headrace import Headrace
from headrace._store.embedded import EmbeddedServer
from headrace._store.migrate import migrate
from tests.worker.helpers import PATIENCE_S, Tables, timings, until, working
from tests.worker.proxy import Proxy, proxied

if TYPE_CHECKING:
    from collections.abc import Iterator

    from headrace.task import Task

CLAIM = b'{"default"}'
"""Arguments: the text of a statement is sent once, when it is prepared."""
SETTLE = b"{succeeded"


def tiny(app: Headrace) -> Task[..., ..., Any]:
    """A task that takes a moment."""

    @app.task(name="tiny")
    async def tiny(number: int) -> int:
        await asyncio.sleep(0.001)
        return number

    return tiny


async def all_done(tables: Tables, jobs: int) -> None:
    """Every job is finished, each once."""
    await until(lambda: tables.states() == {"succeeded": jobs}, f"{jobs} jobs succeed", 2 * PATIENCE_S)
    assert tables.value("select count(distinct id) from headrace.job_history") == jobs


# -- without LISTEN --


async def test_everything_works_without_listen(app: Headrace, tables: Tables) -> None:
    """Promise 7: jobs are found, due ones promoted and running ones cancelled by looking alone."""
    task = tiny(app)
    started = asyncio.Event()

    @app.task
    async def hangs() -> None:
        started.set()
        await asyncio.sleep(600)

    async with working(app, listen=False):
        jobs = [await task.enqueue(1), await task.options(delay=_seconds(0.2)).enqueue(2)]
        assert [await job.result(timeout=5) for job in jobs] == [1, 2]
        hanging = await hangs.enqueue()
        await asyncio.wait_for(started.wait(), 5)
        await hanging.cancel()
        await until(lambda: _state(app, hanging.id, "cancelled"), "it is cancelled")


def _seconds(seconds: float) -> Any:
    from datetime import timedelta

    return timedelta(seconds=seconds)


async def _state(app: Headrace, job_id: Any, state: str) -> bool:
    return (await app.find_job(job_id)).state == state


# -- connections that break --


async def test_all_connections_are_terminated_again_and_again(app: Headrace, tables: Tables) -> None:
    """Under load, five times: the worker connects again, everything is worked off, nothing twice."""
    task = tiny(app)
    async with working(app, concurrency=20):
        await app.enqueue_many(task.job(n) for n in range(1000))
        for rest in (900, 700, 500, 300, 100):
            await until(lambda: tables.unfinished() <= rest, "work goes on")  # noqa: B023
            tables.rows("""select pg_terminate_backend(pid) from pg_stat_activity
                           where datname = current_database() and pid <> pg_backend_pid()
                             and backend_type = 'client backend'""")
        await all_done(tables, 1000)
    assert tables.value("select count(*) from headrace.job_history where run > 1") < 500


async def test_a_claim_whose_answer_is_lost(database: str, tables: Tables) -> None:
    """ENGINE 1: the server has committed the claim, the worker never hears of it: the jobs are handed back and run."""
    async with Proxy(database) as proxy, Headrace(database) as app:
        task = tiny(app)
        await app.enqueue_many(task.job(n) for n in range(50))
        proxy.cut_at(CLAIM)
        worker_app = Headrace(proxy.url)
        worker_app.task(name="tiny")(task.handler)
        async with working(worker_app):
            await asyncio.wait_for(proxy.cut.wait(), PATIENCE_S)
            await all_done(tables, 50)
        await worker_app.close()
    assert tables.value("select min(run) from headrace.job_history") == 2
    assert tables.value("select max(attempts) from headrace.job_history") == 1


async def test_a_claim_that_commits_after_it_was_given_up(database: str, tables: Tables) -> None:
    """ENGINE 1: the connection breaks while the server is still at the claim, which commits later.

    Whether the worker looks for what it does not hold before or after that: the job is found while the lease lives, and
    the heart beats meanwhile.
    """
    tables.rows("""
        create function slow_claim() returns trigger language plpgsql as
        $$ begin perform pg_advisory_xact_lock_shared(42); return new; end $$;
        create trigger slow_claim before update on headrace.job for each row
            when (new.run = 1 and new.state = 'running') execute function slow_claim()
    """)
    tables.rows("select pg_advisory_lock(42)")
    async with Proxy(database) as proxy, Headrace(database) as app:
        task = tiny(app)
        worker_app = Headrace(proxy.url)
        worker_app.task(name="tiny")(task.handler)
        proxy.cut_at(CLAIM, wait_for_answer=False)
        first = await task.enqueue(1)
        async with working(worker_app):
            await asyncio.wait_for(proxy.cut.wait(), PATIENCE_S)
            waiting = "select count(*) from pg_locks where locktype = 'advisory' and not granted"
            await until(lambda: tables.value(waiting), "the server is at the claim")
            looking = """select count(*) from pg_stat_activity
                         where query like '%hand_back_unheld%' and pid <> pg_backend_pid()"""
            await until(lambda: tables.value(looking), "the worker looks for what it does not hold")
            beat = tables.value("select beat from headrace.worker")
            await until(lambda: tables.value("select beat from headrace.worker") > beat + 2, "the heart beats")
            tables.rows("select pg_advisory_unlock(42)")
            assert await first.result(timeout=PATIENCE_S) == 1
        await worker_app.close()


async def test_a_settle_whose_answer_is_lost(database: str, tables: Tables) -> None:
    """The server has committed it: asked again, it says so, nothing is reported lost, and nothing runs twice."""
    async with Proxy(database) as proxy, Headrace(database) as app:
        task = tiny(app)
        await app.enqueue_many(task.job(n) for n in range(50))
        proxy.cut_at(SETTLE)
        worker_app = Headrace(proxy.url)
        worker_app.task(name="tiny")(task.handler)
        async with working(worker_app) as worker:
            await asyncio.wait_for(proxy.cut.wait(), PATIENCE_S)
            await all_done(tables, 50)
            assert worker.settles.lost == 0
        await worker_app.close()
    assert tables.value("select max(run) from headrace.job_history") == 1


async def test_a_server_that_accepts_and_never_answers(
    database: str, tables: Tables, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Every call ends at its named deadline, the worker lives, and goes on where it was when answers come again."""
    for name in ("headrace._store.database.DEADLINE_S", "headrace._worker.claims.CLAIM_DEADLINE_S"):
        monkeypatch.setattr(name, 0.5)
    monkeypatch.setattr("headrace._store.database.Database.rows.__defaults__", (0.5,))
    async with Proxy(database) as proxy, Headrace(database) as app:
        task = tiny(app)
        worker_app = Headrace(proxy.url)
        worker_app.task(name="tiny")(task.handler)
        async with working(worker_app, timings=timings(lease_s=60.0)):
            await (await task.enqueue(0)).result(timeout=5)
            proxy.hold()
            jobs = [await task.enqueue(n) for n in range(1, 10)]
            for loop in ("cannot claim jobs", "looking for dead workers: list_beats", "promoting scheduled jobs"):
                await until(lambda: re.search(f"{loop}.*got no answer", caplog.text), f"the deadline of {loop}", 30)  # noqa: B023
            proxy.release()
            assert [await job.result(timeout=30) for job in jobs] == list(range(1, 10))
        await worker_app.close()


# -- PostgreSQL restarts --


@pytest.fixture
def private_server() -> Iterator[EmbeddedServer]:
    """A server that a test may kill."""
    directory = Path(tempfile.mkdtemp(prefix="headrace-restart-"))
    directory.chmod(0o711)
    try:
        with EmbeddedServer.start(directory / "server") as server:
            yield server
    finally:
        shutil.rmtree(directory)


async def test_postgresql_is_killed_and_comes_back(private_server: EmbeddedServer) -> None:
    """Kill -9 of the postmaster under load: after recovery the worker goes on by itself, and loses nothing."""
    await asyncio.to_thread(migrate, private_server.url)
    async with Headrace(private_server.url) as app:
        task = tiny(app)
        async with working(app, concurrency=20, timings=timings(lease_s=60.0)):
            await app.enqueue_many(task.job(n) for n in range(1000))
            tables = Tables(private_server.url)
            await until(lambda: tables.unfinished() < 800, "work goes on")
            tables.close()
            os.kill(private_server.pid, signal.SIGKILL)
            again = await asyncio.to_thread(EmbeddedServer.start, private_server.data_dir)
            tables = Tables(private_server.url)
            await all_done(tables, 1000)
            tables.close()
        await asyncio.to_thread(again.stop)


# -- through PgBouncer --


class Bouncer:
    """Debian's PgBouncer in transaction mode, with few server connections."""

    def __init__(self, url: str, directory: Path) -> None:
        target = conninfo_to_dict(url)
        user, password = target["user"], target["password"]
        (directory / "users").write_text(f'"{user}" "{password}"\n')
        (directory / "pgbouncer.ini").write_text(
            f"[databases]\n* = host={target['host']} port={target.get('port', 5432)}\n"
            f"[pgbouncer]\nlisten_port = 6432\nunix_socket_dir = {directory}\nauth_type = plain\n"
            f"auth_file = {directory}/users\npool_mode = transaction\ndefault_pool_size = 4\nmax_client_conn = 200\n"
            "ignore_startup_parameters = extra_float_digits\n"
        )
        self.url = proxied(url, directory, 6432)
        command = ["pgbouncer", str(directory / "pgbouncer.ini")]
        as_user = {"user": "nobody", "group": "nogroup"} if os.geteuid() == 0 else {}
        if as_user:
            for path in (directory, *directory.iterdir()):
                shutil.chown(path, "nobody")
        self.process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL, **as_user)  # type: ignore[call-overload]

    async def ready(self) -> None:
        await until(self._answers, "PgBouncer answers")

    def _answers(self) -> bool:
        with contextlib.suppress(psycopg.OperationalError), psycopg.connect(self.url):
            return True
        return False

    def close(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture
def bouncer(database: str) -> Iterator[Bouncer]:
    """PgBouncer before the test's database."""
    if shutil.which("pgbouncer") is None:
        pytest.skip("needs Debian's pgbouncer")
    directory = Path(tempfile.mkdtemp(prefix="headrace-bouncer-"))
    bouncer = Bouncer(database, directory)
    yield bouncer
    bouncer.close()
    shutil.rmtree(directory)


async def test_through_pgbouncer(bouncer: Bouncer, tables: Tables, caplog: pytest.LogCaptureFixture) -> None:
    """Promise 7: in transaction mode everything works by polling; the listener notices that it is deaf, and says so."""
    await bouncer.ready()
    caplog.set_level(logging.INFO)
    async with Headrace(bouncer.url) as app:
        task = tiny(app)

        @app.task(name="writes")
        async def writes(ctx: Any) -> None: ...

        async with working(app) as worker:
            await app.enqueue_many(task.job(n) for n in range(200))
            later = await task.options(delay=_seconds(0.2)).enqueue(200)
            assert await later.result(timeout=PATIENCE_S) == 200
            await all_done(tables, 201)
            await until(lambda: "does not hear" in caplog.text, "the listener says that it is deaf")
            assert not worker.listener.hearing.is_set()
            assert await (await task.enqueue(1)).result(timeout=5) == 1


async def test_the_listener_may_go_past_the_pooler(bouncer: Bouncer, database: str) -> None:
    """With `listen_url`, notifications arrive although everything else goes through PgBouncer."""
    await bouncer.ready()
    async with Headrace(bouncer.url) as app:
        task = tiny(app)
        async with working(app, listen_url=database, timings=timings(longest_poll_s=60.0)) as worker:
            await asyncio.wait_for(worker.listener.hearing.wait(), PATIENCE_S)
            for n in range(5):
                assert await (await task.enqueue(n)).result(timeout=5) == n
