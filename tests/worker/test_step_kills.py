"""Steps when workers are killed, stopped and taken for dead: real processes, in the middle of a step (ENGINE 25)."""

from __future__ import annotations

import signal
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from tests.worker.helpers import PATIENCE_S, until
from tests.worker.sample_app import make_app

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from headrace import Headrace
    from tests.worker.helpers import Tables, WorkerProcess

pytestmark = pytest.mark.process


@pytest.fixture
async def app(database: str) -> AsyncIterator[Headrace]:
    """The worker processes' app, for enqueueing."""
    async with make_app(database) as app:
        yield app


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    """A file that handlers wait for."""
    return tmp_path / "gate"


def open_gate(gate: Path) -> None:
    """Let the third step go on."""
    gate.touch()


def effects(tables: Tables, job_id: Any) -> Counter[str]:
    """How often each step of a job has had its effect."""
    return Counter(what for (what,) in tables.rows("select what from effect where job_id = %s", job_id))


@pytest.mark.parametrize("task", ["five_steps", "five_in_a_thread"])
async def test_a_worker_that_is_killed_in_the_third_of_five_steps(
    app: Headrace, tables: Tables, start_worker: Callable[..., WorkerProcess], gate: Path, task: str
) -> None:
    """SIGKILL: the steps before are not called again, the third is, those after it once; the results are the first ones."""
    job = await app.tasks[task].enqueue(str(gate))
    worker = start_worker()
    worker.wait_for("IN STEP")
    worker.kill()
    assert [step.name for step in await job.steps()] == ["step 1", "step 2"]
    open_gate(gate)
    start_worker()
    assert await job.result(PATIENCE_S) == [f"step {n} by run {1 if n < 3 else 2}" for n in range(1, 6)]
    assert effects(tables, job.id) == {"step 1": 1, "step 2": 1, "step 3": 2, "step 4": 1, "step 5": 1}
    assert [(step.ordinal, step.run) for step in await job.steps()] == [(1, 1), (2, 1), (3, 2), (4, 2), (5, 2)]


async def test_a_worker_that_is_killed_in_a_step_s_transaction(
    app: Headrace, tables: Tables, start_worker: Callable[..., WorkerProcess], gate: Path
) -> None:
    """What the step wrote is rolled back with its record: every effect is there exactly once."""
    job = await app.tasks["five_in_transactions"].enqueue(str(gate))
    worker = start_worker()
    worker.wait_for("IN STEP")
    worker.kill()
    open_gate(gate)
    start_worker()
    assert await job.result(PATIENCE_S) == [1, 2, 3, 4, 5]
    assert effects(tables, job.id) == dict.fromkeys((f"step {n}" for n in range(1, 6)), 1)


@pytest.mark.parametrize("task", ["five_steps", "five_in_transactions", "five_in_a_thread"])
async def test_a_zombie_records_no_step(
    app: Headrace, tables: Tables, start_worker: Callable[..., WorkerProcess], gate: Path, task: str
) -> None:
    """SIGSTOP beyond the lease, in the third step, and SIGCONT: its job has gone on elsewhere, and what it does is not recorded."""
    job = await app.tasks[task].enqueue(str(gate))
    zombie = start_worker()
    zombie.wait_for("IN STEP")
    guardian = zombie.guardian()
    guardian.suspend()
    zombie.signal(signal.SIGSTOP)
    heir = start_worker().ready()
    heir.wait_for("IN STEP")
    open_gate(gate)
    zombie.signal(signal.SIGCONT)
    result = await job.result(PATIENCE_S)
    guardian.resume()
    assert zombie.end() in (-signal.SIGKILL, 1)
    assert [(step.ordinal, step.run) for step in await job.steps()] == [(1, 1), (2, 1), (3, 2), (4, 2), (5, 2)]
    assert result == [step.result for step in await job.steps()]
    counted = effects(tables, job.id)
    assert counted["step 1"] == counted["step 2"] == counted["step 4"] == counted["step 5"] == 1
    assert counted["step 3"] == (1 if task == "five_in_transactions" else 2)


async def test_a_sleep_outlives_its_worker(
    app: Headrace, tables: Tables, start_worker: Callable[..., WorkerProcess]
) -> None:
    """Steps, sleeps and waits of a process task, over attempts and over workers: each step was done once."""
    job = await app.tasks["steps_in_a_process"].enqueue()
    first = start_worker()

    async def waits() -> bool:
        return (await job.info()).blocked_by == "event:go on"

    await until(waits, "the job waits for its event")
    assert first.terminate() == 0
    await app.emit("go on", "now")
    start_worker()
    pid, run, payload = await job.result(PATIENCE_S)
    assert (run, payload) == (1, "now")
    assert effects(tables, job.id) == {"in a transaction": 1}
    assert pid not in (first.pid, None)
    assert tables.outcomes(job.id) == ["snoozed", "retried", "waiting"]
    assert (await job.info()).attempts == 2


async def test_steps_of_a_coroutine_in_a_process(app: Headrace, start_worker: Callable[..., WorkerProcess]) -> None:
    """They start together, and keep their order."""
    job = await app.tasks["steps_in_a_process_async"].enqueue()
    start_worker()
    assert await job.result(PATIENCE_S) == [0, 1, 2]
    assert [(step.ordinal, step.run) for step in await job.steps()] == [(1, 1), (2, 1), (3, 1)]
