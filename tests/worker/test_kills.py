"""Real worker processes are killed, stopped, starved and asked to end (promises 1 to 3, ENGINE 26 to 28)."""

from __future__ import annotations

import random
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from headrace import Headrace, State
from tests.worker import sample_app
from tests.worker.helpers import PATIENCE_S, WorkerProcess, gone, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from tests.worker.helpers import Tables

    StartWorker = Callable[..., WorkerProcess]

pytestmark = pytest.mark.process


@pytest.fixture
async def app(database: str) -> AsyncIterator[Headrace]:
    """The app of the worker processes."""
    async with sample_app.make_app(database) as app:
        yield app


def open_gate(gate: Path) -> None:
    """Let the handlers that wait for this file go on."""
    gate.touch()


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    """A file that does not exist: tests create it to let handlers go on."""
    return tmp_path / "open"


# -- promises 1 to 3: SIGKILL --


async def kill_at_random(
    app: Headrace, tables: Tables, start_worker: StartWorker, *, jobs: int, kills: int, poison_limit: int = 100
) -> None:
    """Work off so many jobs with four workers, one of which is killed again and again, and look at what is left."""
    half = jobs // 2
    fenced, plain = app.tasks["exactly_once"], app.tasks["at_least_once"]
    options: dict[str, Any] = {"timings": {"poison_limit": poison_limit}, "concurrency": 20}
    workers = [start_worker(**options).ready() for _ in range(4)]
    enqueued = await app.enqueue_many(
        [*(fenced.job(n) for n in range(half)), *(plain.job(n) for n in range(half, jobs))]
    )
    chance = random.Random(jobs)
    step = jobs // (kills + 2)
    for kill in range(kills):
        await until(lambda: tables.unfinished() <= jobs - (kill + 1) * step, "work goes on", 60)  # noqa: B023
        victim = chance.randrange(4)
        workers[victim].kill()
        workers[victim] = start_worker(**options)
    await until(lambda: tables.unfinished() == 0, "all jobs are finished", 90)
    assert tables.states() == {"succeeded": jobs}
    finals = tables.rows("select id, count(*) from headrace.job_history group by 1 having count(*) <> 1")
    assert finals == []
    assert tables.value("select count(distinct id) from headrace.job_history") == len(enqueued)
    counts = dict(
        tables.rows("""
        select what, array[count(*), count(distinct job_id), max(n)]
        from (select what, job_id, count(*) over (partition by job_id) as n from effect) e group by what
    """)
    )
    assert counts["fenced"] == [half, half, 1]
    assert counts["plain"][1] == jobs - half
    lost = tables.value("select count(*) from headrace.attempt where outcome = 'lost'")
    assert lost > 0, "no kill hit a running job: this test attacked nothing"
    results = tables.rows("select (args ->> 'number')::int, result::int from headrace.job_history")
    assert all(number == result for number, result in results)


async def test_nothing_is_lost_and_nothing_settled_twice(
    app: Headrace, tables: Tables, start_worker: StartWorker
) -> None:
    """500 jobs, four workers, random SIGKILLs.

    Every job has exactly one final record, every fenced effect happened once.
    """
    await kill_at_random(app, tables, start_worker, jobs=500, kills=4)


@pytest.mark.soak
@pytest.mark.timeout(600)
async def test_nothing_is_lost_and_nothing_settled_twice_long(
    app: Headrace, tables: Tables, start_worker: StartWorker
) -> None:
    """The same with 2,000 jobs and 20 kills."""
    await kill_at_random(app, tables, start_worker, jobs=2000, kills=20)


async def test_one_poison_job_among_a_hundred_innocents(
    app: Headrace, tables: Tables, start_worker: StartWorker
) -> None:
    """A job that kills its worker is failed after three of them; the innocents that were claimed with it succeed."""
    short, poison = app.tasks["sleep_short"], app.tasks["poison"]
    innocents = await app.enqueue_many(short.job(0.05) for _ in range(50))
    culprit = await poison.enqueue()
    innocents += await app.enqueue_many(short.job(0.05) for _ in range(50))
    worker = start_worker(concurrency=200)
    for _ in range(2):
        worker.end()
        worker = start_worker(concurrency=200)
    worker.end()
    start_worker(concurrency=200).ready()
    await until(lambda: tables.unfinished() == 0, "all jobs are finished", 40)
    assert tables.states() == {"succeeded": 100, "failed": 1}
    info = await culprit.info()
    assert info.state is State.FAILED
    assert (info.error or {})["kind"] == "lost"
    assert tables.outcomes(culprit.id) == ["lost", "lost"]
    assert info.run == 3


async def test_a_killed_worker_leaves_nothing_behind_and_its_jobs_run_at_once(
    app: Headrace, tables: Tables, start_worker: StartWorker, gate: Path
) -> None:
    """After SIGKILL its guardian ends what is left (children and grandchildren), returns the jobs, and goes.

    At once: the lease of this test would last a minute.
    """
    slow_lease = {"timings": {"lease_s": 60.0}}
    held = await app.tasks["hold"].enqueue(str(gate))
    grandparent = await app.tasks["with_grandchild"].enqueue()
    worker = start_worker(**slow_lease)
    worker.wait_for("HOLDING")
    (pids,) = worker.wait_for("GRANDCHILD")
    guardian = worker.guardian()
    worker.kill()
    for pid in map(int, pids.split()):
        await until(lambda: gone(pid), "what the worker started is gone")  # noqa: B023
    await until(lambda: gone(guardian.pid), "the guardian is gone")
    assert tables.states() == {"queued": 2}
    assert tables.value("select count(*) from headrace.worker") == 0
    assert [tables.outcomes(job.id) for job in (held, grandparent)] == [["lost"], ["lost"]]
    await app.cancel_jobs([grandparent.id])
    open_gate(gate)
    start_worker(**slow_lease)
    assert await held.result(timeout=PATIENCE_S) == "held"


async def test_worker_and_guardian_killed_together(
    app: Headrace, tables: Tables, start_worker: StartWorker, gate: Path
) -> None:
    """When nobody is left to clean up the lease lapses and another worker takes the jobs back.

    Children end by themselves.
    """
    held = await app.tasks["hold"].enqueue(str(gate))
    await app.tasks["with_grandchild"].options(max_attempts=1).enqueue()
    worker = start_worker()
    worker.wait_for("HOLDING")
    (pids,) = worker.wait_for("GRANDCHILD")
    guardian = worker.guardian()
    guardian.suspend()
    worker.kill()
    guardian.kill()
    for pid in map(int, pids.split()):
        await until(lambda: gone(pid), "what the worker started is gone")  # noqa: B023
    assert tables.states() == {"running": 2}
    open_gate(gate)
    start_worker()
    assert await held.result(timeout=PATIENCE_S) == "held"
    assert tables.outcomes(held.id) == ["lost"]


# -- zombies --


async def test_a_zombie_settles_nothing_and_is_ended(
    app: Headrace, tables: Tables, start_worker: StartWorker, gate: Path
) -> None:
    """Promise 2: SIGSTOP of a worker and its guardian beyond the lease. Its job runs elsewhere; it is ended unheard.

    The job's handler may finish the moment the zombie wakes; only the second run is recorded.
    """
    job = await app.tasks["hold"].enqueue(str(gate))
    zombie = start_worker()
    zombie.wait_for("HOLDING")
    guardian = zombie.guardian()
    guardian.suspend()
    zombie.signal(signal.SIGSTOP)
    heir = start_worker().ready()
    heir.wait_for("HOLDING")
    open_gate(gate)
    assert await job.result(timeout=PATIENCE_S) == "held"
    zombie.signal(signal.SIGCONT)
    guardian.resume()
    assert zombie.end() in (-signal.SIGKILL, 1)  # by its guardian, or by itself when it finds its lease gone
    info = await job.info()
    assert (info.state, info.run) == (State.SUCCEEDED, 2)
    assert tables.value("select count(*) from headrace.job_history") == 1
    assert tables.outcomes(job.id) == ["lost"]


async def test_a_stopped_worker_is_ended_by_its_guardian(
    app: Headrace, tables: Tables, start_worker: StartWorker, gate: Path
) -> None:
    """SIGSTOP of the worker alone.

    Its loop shows no life, so the guardian ends it and returns its jobs, without others.
    """
    await app.tasks["hold"].enqueue(str(gate))
    worker = start_worker()
    worker.wait_for("HOLDING")
    worker.signal(signal.SIGSTOP)
    assert worker.end() == -signal.SIGKILL
    await until(lambda: tables.states() == {"queued": 1}, "the job is back")
    assert tables.value("select count(*) from headrace.worker") == 0


async def test_a_worker_whose_lease_was_ended_is_ended(
    app: Headrace, tables: Tables, start_worker: StartWorker, gate: Path
) -> None:
    """Whoever ends a lease ends the worker: it hears of it with its next beat."""
    await app.tasks["hold"].enqueue(str(gate))
    worker = start_worker()
    worker.wait_for("HOLDING")
    tables.rows("delete from headrace.worker")
    assert worker.end() == -signal.SIGKILL
    await until(lambda: tables.states() == {"queued": 1}, "the job is back")


async def test_a_worker_outlives_its_guardian(
    app: Headrace, tables: Tables, start_worker: StartWorker, gate: Path
) -> None:
    """The guardian alone is killed: the worker starts another one, which keeps the lease, and loses nothing."""
    job = await app.tasks["hold"].enqueue(str(gate))
    worker = start_worker().ready()
    worker.wait_for("HOLDING")
    first = worker.guardian()
    first.kill()
    second = await until(lambda: _other_guardian(worker, first.pid), "another guardian")
    beat = tables.value("select beat from headrace.worker")
    await until(lambda: tables.value("select beat from headrace.worker") > beat + 1, "it beats")
    open_gate(gate)
    assert await job.result(timeout=PATIENCE_S) == "held"
    assert (await job.info()).run == 1
    assert worker.terminate() == 0
    await until(lambda: gone(second), "the second guardian goes with its worker")


def _other_guardian(worker: WorkerProcess, pid: int) -> int | None:
    try:
        found = worker.guardian().pid
    except LookupError:
        return None
    return found if found != pid else None


# -- a loop that hangs --


async def test_a_handler_that_blocks_the_loop(app: Headrace, tables: Tables, start_worker: StartWorker) -> None:
    """It is named in a warning; what had finished is settled meanwhile; then the worker counts as dead, and is ended.

    `short` is claimed with the blocker and ends in the loop's last turn before the block, so that the loop itself
    cannot settle it. (The blocker's own second run returns at once.)
    """
    short = await app.tasks["instant"].options(priority=2).enqueue()
    blocker = await app.tasks["block_loop"].options(priority=1).enqueue(60)
    worker = start_worker()
    (warning,) = worker.wait_for("has blocked the event loop", log=True)
    assert f"task block_loop (job {blocker.id})" in warning
    await until(lambda: tables.value("select state::text from headrace.jobs where id = %s", short.id) == "succeeded",
                "the watchdog settles for the loop")  # fmt: skip
    assert worker.end() == -signal.SIGKILL
    await until(lambda: tables.outcomes(blocker.id) == ["lost"], "the job is taken back")
    start_worker()
    assert await blocker.result(timeout=PATIENCE_S) is None
    assert (await short.info()).run == 1


async def test_holding_the_gil_does_not_stop_the_heart(
    app: Headrace, tables: Tables, start_worker: StartWorker
) -> None:
    """ENGINE 27: a regular expression that backtracks for longer than a lease.

    With a loop that may stall for longer still.
    """
    job = await app.tasks["hold_gil"].enqueue(2.5)
    worker = start_worker(timings={"lease_s": 2.0, "stall_s": 30.0}).ready()
    start_worker(timings={"lease_s": 2.0}).ready()
    assert await job.result(timeout=30) >= 2.5
    assert (await job.info()).run == 1
    assert worker.process.poll() is None


# -- SIGTERM --


async def test_sigterm_lets_running_jobs_finish(
    app: Headrace, tables: Tables, start_worker: StartWorker, gate: Path
) -> None:
    """Drain: nothing more is claimed, what runs finishes and is recorded, the lease ends, the exit status is 0."""
    job = await app.tasks["hold"].enqueue(str(gate))
    worker = start_worker(timings={"drain_s": 60.0})
    worker.wait_for("HOLDING")
    worker.signal(signal.SIGTERM)
    await until(lambda: tables.value("select draining from headrace.worker"), "it drains")
    later = await app.tasks["sleep_short"].enqueue(0)
    open_gate(gate)
    assert worker.end() == 0
    assert await job.result(timeout=5) == "held"
    assert (await later.info()).state is State.QUEUED
    assert tables.value("select count(*) from headrace.worker") == 0
    assert worker.lines[-1] == "ENDED"


async def test_at_the_drains_deadline_jobs_are_handed_back(
    app: Headrace, tables: Tables, start_worker: StartWorker, gate: Path
) -> None:
    """Coroutines are cancelled, processes killed; their jobs go back at once and have spent no attempt."""
    coroutine = await app.tasks["hold"].enqueue(str(gate))
    process = await app.tasks["with_grandchild"].enqueue()
    worker = start_worker(timings={"drain_s": 0.2})
    worker.wait_for("HOLDING")
    worker.wait_for("GRANDCHILD")
    assert worker.terminate() == 0
    worker.wait_for("CANCELLED")
    for job in (coroutine, process):
        info = await job.info()
        assert (info.state, info.attempts, info.run) == (State.QUEUED, 0, 1)
        assert tables.outcomes(job.id) == ["handed_back"]
    assert tables.value("select count(*) from headrace.worker") == 0


async def test_a_thread_is_handed_back_only_when_its_process_is_gone(
    app: Headrace, tables: Tables, start_worker: StartWorker, gate: Path
) -> None:
    """At the deadline a thread runs on.

    Its job stays the worker's until the process has ended; the guardian returns it.
    """
    job = await app.tasks["hold_thread"].enqueue(str(gate))
    worker = start_worker(timings={"drain_s": 0.2})
    worker.wait_for("HOLDING")
    seen: list[tuple[str, bool]] = []
    worker.signal(signal.SIGTERM)

    def returned() -> bool:
        # The process is looked at first: a job that is back while it lives must not be missed.
        alive = not gone(worker.pid)
        state = tables.value("select state::text from headrace.job where id = %s", job.id)
        seen.append((state, alive))
        return bool(state == "queued")

    await until(returned, "the job is back")
    assert seen[-1] == ("queued", False)
    assert tables.outcomes(job.id) == ["handed_back"]
    assert (await job.info()).attempts == 0
    await until(lambda: tables.value("select count(*) from headrace.worker") == 0, "the lease is ended")


async def test_a_thread_past_its_time_out_is_recorded_after_its_end(
    app: Headrace, tables: Tables, start_worker: StartWorker, gate: Path
) -> None:
    """ENGINE 26: the process drains and fails; the guardian records the time-out, which is retried, once it is gone."""
    job = await app.tasks["stuck_thread"].enqueue(str(gate))
    other = await app.tasks["compute_async"].enqueue(1)
    worker = start_worker(timings={"drain_s": 10.0})
    worker.wait_for("HOLDING")
    assert await other.result(timeout=PATIENCE_S) == 1
    assert worker.end() == 1
    worker.wait_for("FAILED")
    await until(lambda: tables.outcomes(job.id), "the guardian records it")
    (attempt,) = await job.attempts()
    assert (attempt.outcome, (attempt.error or {})["kind"]) == ("retried", "timeout")
    open_gate(gate)
    start_worker()
    assert await job.result(timeout=PATIENCE_S) == "held"


async def test_what_is_to_be_buried_outlives_the_guardian(
    app: Headrace, tables: Tables, start_worker: StartWorker, gate: Path
) -> None:
    """A guardian that dies with an outcome to record is replaced by one that is told of it again."""
    job = await app.tasks["stuck_thread"].enqueue(str(gate))
    holding = await app.tasks["hold"].enqueue(str(gate) + ".other")
    worker = start_worker(timings={"drain_s": 30.0}).ready()
    worker.wait_for("HOLDING", 2)
    worker.wait_for("past its time-out", log=True)
    first = worker.guardian()
    first.kill()
    await until(lambda: _other_guardian(worker, first.pid), "another guardian")
    open_gate(Path(str(gate) + ".other"))
    assert await holding.result(timeout=PATIENCE_S) == "held"
    assert worker.end() == 1
    await until(lambda: tables.outcomes(job.id), "the guardian records it")
    (attempt,) = await job.attempts()
    assert (attempt.outcome, (attempt.error or {})["kind"]) == ("retried", "timeout")


async def test_a_worker_that_cannot_reach_the_database_is_ended(
    tables: Tables, app: Headrace, start_worker: StartWorker, gate: Path
) -> None:
    """No beat reaches the database for most of a lease: the guardian ends the worker before anybody takes its jobs."""
    from tests.worker.proxy import Proxy

    job = await app.tasks["hold"].enqueue(str(gate))
    async with Proxy(app.url) as proxy:
        worker = start_worker(url=proxy.url)
        await until(lambda: [line for line in worker.lines if line.startswith("HOLDING")], "the job runs")
        guardian = worker.guardian()
        proxy.hold()
        status = await until(worker.process.poll, "the worker is ended")
        assert status == -signal.SIGKILL
        assert (await job.info()).state is State.RUNNING
        proxy.release()
        await until(lambda: tables.states() == {"queued": 1}, "the guardian returns the job when it can")
        await until(lambda: gone(guardian.pid), "the guardian ends")
