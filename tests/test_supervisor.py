"""The supervisor and its worker processes, as real processes that are signalled and killed."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import uuid
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import psycopg
import pytest

from headrace._worker.supervisor import Restarts, Supervisor
from headrace._worker.timings import Timings
from headrace._worker.worker_process import ORPHAN_LIMIT_S, WorkerSettings
from headrace.errors import WorkerError
from tests.store.harness import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.process

REPOSITORY = Path(__file__).parents[1]
TARGET = "tests.cli_app:app"
PATIENCE_S = 60.0
"""How long a test waits for what must happen: only a failing test takes this long."""

NOWHERE = "postgresql://nobody@127.0.0.1:1/nothing"


class Program:
    """`headrace` with these words, in a process of its own.

    Whatever belongs to it, however it came to be, has its marker in the environment.
    """

    def __init__(self, words: list[str], log: Path, environment: dict[str, str]) -> None:
        self.marker = uuid.uuid4().hex
        self._log = log
        with log.open("w") as stderr:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "headrace", *words],
                cwd=REPOSITORY,
                env=os.environ | environment | {"HEADRACE_TEST_MARKER": self.marker},
                stdin=subprocess.DEVNULL,
                stdout=stderr,
                stderr=stderr,
            )

    @property
    def log(self) -> str:
        """What it and its workers wrote so far."""
        return self._log.read_text()

    def says(self, text: str, count: int = 1) -> None:
        """Wait until it has written this so often."""
        wait_until(
            lambda: self.log.count(text) >= count or self.process.poll() is not None, f"{text!r} in the log", PATIENCE_S
        )
        assert self.log.count(text) >= count, self.log

    def workers(self) -> list[psutil.Process]:
        """Its worker processes."""
        return [child for child in psutil.Process(self.process.pid).children() if "worker_process" in _command(child)]

    def family(self) -> list[psutil.Process]:
        """Every process that it, or what it started, has started and that is there."""
        return [process for process in psutil.process_iter() if self._is_mine(process)]

    def _is_mine(self, process: psutil.Process) -> bool:
        with suppress(psutil.Error):
            return (
                process.status() != psutil.STATUS_ZOMBIE
                and process.environ().get("HEADRACE_TEST_MARKER") == self.marker
            )
        return False

    def ends(self) -> int:
        """Wait for its end, and give its status."""
        return self.process.wait(PATIENCE_S)

    def is_gone(self) -> None:
        """Wait until nothing of it is left."""
        wait_until(lambda: not self.family(), f"every process has ended: {self.log}", PATIENCE_S)

    def clear_up(self) -> None:
        """After a test that failed."""
        for process in self.family():
            with suppress(psutil.Error):
                process.kill()
        self.process.wait(PATIENCE_S)


class Queue:
    """The jobs of a test, seen from the database."""

    def __init__(self, url: str) -> None:
        self.conn = psycopg.connect(url, autocommit=True)

    def enqueue(self, task: str, **args: Any) -> str:
        """The id of a new job with one attempt."""
        row = self.conn.execute(
            "select headrace.enqueue(%s, %s, max_attempts => 1::smallint)", [task, json.dumps(args)]
        ).fetchone()
        assert row is not None
        return str(row[0])

    def job(self, job_id: str) -> dict[str, Any]:
        """Its state, result and error."""
        row = self.conn.execute(
            "select state, result, error, run from headrace.jobs where id = %s", [job_id]
        ).fetchone()
        assert row is not None
        return dict(zip(("state", "result", "error", "run"), row, strict=True))

    def becomes(self, job_id: str, state: str) -> dict[str, Any]:
        """Wait until it has this state."""
        wait_until(lambda: self.job(job_id)["state"] == state, f"job is {state}", PATIENCE_S)
        return self.job(job_id)

    def leases(self) -> int:
        """How many workers there are."""
        row = self.conn.execute("select count(*) from headrace.worker").fetchone()
        assert row is not None
        return int(row[0])


class Gate:
    """A job in progress: it says that it runs, and goes on when it may."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def started(self, *, in_another_than: int = 0) -> int:
        """Wait until the job runs; its process."""
        wait_until(lambda: self._pid() not in (0, in_another_than), "the job runs", PATIENCE_S)
        return self._pid()

    def _pid(self) -> int:
        with suppress(FileNotFoundError):
            return int(Path(f"{self.path}.started").read_text())
        return 0

    def open(self) -> None:
        """Let it go on."""
        Path(f"{self.path}.open").touch()


@pytest.fixture
def queue(database: str) -> Iterator[Queue]:
    """The jobs of this test."""
    queue = Queue(database)
    yield queue
    queue.conn.close()


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    """A closed gate."""
    return Gate(tmp_path / "gate")


class Starter:
    """Starts programs and clears up after them."""

    def __init__(self, tmp_path: Path, url: str) -> None:
        self._tmp_path = tmp_path
        self._url = url
        self.programs: list[Program] = []

    def worker(self, *words: str) -> Program:
        """`headrace worker`, once each of its processes has started."""
        program = self.start("worker", TARGET, *words)
        count = int(words[words.index("--processes") + 1]) if "--processes" in words else 1
        program.says("started; queues", count)
        return program

    def start(self, *words: str, **environment: str) -> Program:
        """Any command."""
        log = self._tmp_path / f"{len(self.programs)}.log"
        program = Program(list(words), log, {"HEADRACE_URL": self._url} | environment)
        self.programs.append(program)
        return program


@pytest.fixture
def start(tmp_path: Path, database: str) -> Iterator[Starter]:
    """Starts programs on this test's database."""
    starter = Starter(tmp_path, database)
    yield starter
    for program in starter.programs:
        program.clear_up()


# -- working and stopping --


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains(start: Starter, queue: Queue, gate: Gate, number: signal.Signals) -> None:
    """SIGTERM or Ctrl-C lets a running job finish, starts no other, ends with 0, and leaves no process and no lease."""
    program = start.worker("--processes", "2", "--concurrency", "1")
    assert len(program.workers()) == queue.leases() == 2
    running = queue.enqueue("hold", gate=str(gate.path))
    gate.started()
    program.process.send_signal(number)
    program.says("stopping: running jobs have 30 s to finish", 2)
    wait_until(lambda: len(program.workers()) == 1, "the idle worker process has ended", PATIENCE_S)
    late = queue.enqueue("add", a=1)
    gate.open()
    assert program.ends() == 0, program.log
    assert queue.job(running)["state"] == "succeeded"
    assert queue.job(late)["state"] == "queued"
    assert queue.leases() == 0
    assert program.family() == []


def test_a_job_that_does_not_finish_in_time_is_handed_back(start: Starter, queue: Queue, gate: Gate) -> None:
    """After --drain the job is queued again, without a used attempt, and the command has ended with 0."""
    program = start.worker("--drain", "200ms")
    job_id = queue.enqueue("hold", gate=str(gate.path))
    gate.started()
    program.process.send_signal(signal.SIGTERM)
    assert program.ends() == 0, program.log
    assert queue.job(job_id)["state"] == "queued"
    assert program.family() == []


def test_a_thread_that_does_not_finish_does_not_keep_the_process(start: Starter, queue: Queue, gate: Gate) -> None:
    """A thread job is handed back once its process is gone, which it cannot hold up; nothing is left."""
    program = start.worker("--drain", "200ms")
    job_id = queue.enqueue("block_thread", gate=str(gate.path))
    gate.started()
    program.process.send_signal(signal.SIGTERM)
    assert program.ends() == 0, program.log
    assert queue.job(job_id)["state"] == "queued"
    assert program.family() == []


def test_a_second_signal_ends_everything_at_once(start: Starter, queue: Queue, gate: Gate) -> None:
    """Told twice, the supervisor kills its worker processes; it ends with 1, and the job can run again."""
    program = start.worker()
    job_id = queue.enqueue("hold", gate=str(gate.path))
    gate.started()
    program.process.send_signal(signal.SIGINT)
    program.says("stopping; running jobs")
    program.process.send_signal(signal.SIGINT)
    assert program.ends() == 1
    assert "error: not every worker process stopped cleanly: Worker process" in program.log
    assert queue.job(job_id)["state"] == "queued"
    assert program.family() == []


def test_a_signal_to_every_process_still_drains(start: Starter, queue: Queue, gate: Gate) -> None:
    """A service manager that signals the supervisor and each worker process does not cut the drain short."""
    program = start.worker()
    job_id = queue.enqueue("hold", gate=str(gate.path))
    gate.started()
    for process in (*program.workers(), psutil.Process(program.process.pid)):
        process.send_signal(signal.SIGTERM)
    program.says("supervisor: SIGTERM: stopping")
    gate.open()
    assert program.ends() == 0, program.log
    assert queue.job(job_id)["state"] == "succeeded"


def test_a_command_can_wait_for_a_worker(start: Starter, queue: Queue) -> None:
    """`headrace enqueue --wait` prints what the worker's handler returned, and exits with 1 if the job failed."""
    start.worker()
    waiting = start.start("enqueue", TARGET, "add", "a=2", "b=40", "--wait", "--json")
    assert waiting.ends() == 0
    assert json.loads(waiting.log)["result"] == 42
    failing = start.start("enqueue", TARGET, "break_down", "message=broken", "--wait")
    assert failing.ends() == 1
    assert failing.log.endswith("failed: broken\n")
    assert queue.leases() == 1


def test_workers_run_on_uvloop_where_it_is_installed(start: Starter, queue: Queue) -> None:
    """With the "fast" extra, handlers run on uvloop, and process tasks work there."""
    pytest.importorskip("uvloop")
    start.worker()
    names = queue.enqueue("loop_name"), queue.enqueue("loop_name_in_a_process")
    assert "uvloop" in queue.becomes(names[0], "succeeded")["result"]
    queue.becomes(names[1], "succeeded")


# -- replacing --


def test_a_killed_worker_process_is_replaced(start: Starter, queue: Queue, gate: Gate) -> None:
    """After SIGKILL another worker process takes the place, and the job runs again there."""
    program = start.worker()
    job_id = queue.enqueue("hold", gate=str(gate.path))
    first = gate.started()
    os.kill(first, signal.SIGKILL)
    second = gate.started(in_another_than=first)
    gate.open()
    job = queue.becomes(job_id, "succeeded")
    assert (job["result"], job["run"]) == (second, 2)
    assert [worker.pid for worker in program.workers()] == [second]
    assert f"Worker process {first} was killed by signal 9 (Killed); starting another in 0.5 s" in program.log
    program.process.send_signal(signal.SIGTERM)
    assert program.ends() == 0, program.log
    assert program.family() == []


def test_a_thread_past_its_time_out_costs_the_process(start: Starter, queue: Queue, gate: Gate) -> None:
    """The worker process is replaced, the attempt is recorded as timed out after its end, and other jobs go on."""
    program = start.worker()
    job_id = queue.enqueue("overrun", gate=str(gate.path))
    stuck = gate.started()
    job = queue.becomes(job_id, "failed")
    assert not psutil.pid_exists(stuck)
    assert job["error"]["kind"] == "timeout"
    assert queue.becomes(queue.enqueue("add", a=1), "succeeded")["result"] == 2
    program.says("runs on in a thread past its time-out: this process must be replaced; starting another")


# -- the supervisor's own death --


@pytest.mark.parametrize("task", ["hold", "block_thread", "block_loop"])
def test_nothing_outlives_a_killed_supervisor(start: Starter, queue: Queue, gate: Gate, task: str) -> None:
    """After SIGKILL its worker processes and guardians end within seconds, whatever runs, and the job is free again."""
    program = start.worker("--processes", "2")
    job_id = queue.enqueue(task, gate=str(gate.path))
    gate.started()
    family = len(program.family())
    assert family >= 5  # the supervisor, two worker processes, two guardians
    program.process.kill()
    program.ends()
    wait_until(lambda: not program.family(), f"all have ended: {program.log}", ORPHAN_LIMIT_S + PATIENCE_S)
    assert queue.job(job_id)["state"] == "queued", program.log
    assert queue.leases() == 0


# -- giving up, and not --


def settings(target: str = TARGET) -> WorkerSettings:
    """For worker processes that are not to work."""
    return WorkerSettings(target=target, concurrency=1, timings=Timings(drain_s=1))


def test_a_supervisor_that_cannot_make_progress_gives_up() -> None:
    """When worker processes cannot start again and again, it raises with the last one's reason instead of going on."""
    quick = Restarts(first_wait_s=0.01, give_up_after=2)

    async def run() -> None:
        await Supervisor(settings("tests.cli_app:gone"), 2, restarts=quick).run()

    with pytest.raises(
        WorkerError, match=r'2 worker processes in a row could not start.*"tests.cli_app" has no "gone"'
    ):
        asyncio.run(run())


def test_the_command_that_gives_up_says_why_and_fails(start: Starter, tmp_path: Path) -> None:
    """A module that imports in the supervisor but not in worker processes ends the command with 1 and the reason."""
    (tmp_path / "moody_app.py").write_text(
        "import sys\nfrom tests.cli_app import app\nassert 'worker_process' not in sys.argv[0], 'not in the mood'\n"
    )
    program = start.start("worker", "moody_app:app", PYTHONPATH=str(tmp_path))
    assert program.ends() == 1
    assert "error: giving up: 5 worker processes in a row could not start." in program.log
    assert "AssertionError: not in the mood" in program.log.splitlines()[-1]
    assert program.family() == []


def test_a_database_that_is_away_is_no_reason_to_give_up(caplog: pytest.LogCaptureFixture) -> None:
    """Worker processes that find no database are started again and again; stopping works meanwhile."""
    patient = Restarts(first_wait_s=0.01, longest_wait_s=0.01, give_up_after=1)

    async def run() -> None:
        supervising = asyncio.create_task(
            Supervisor(settings(), environment={"HEADRACE_URL": NOWHERE}, restarts=patient).run()
        )
        while caplog.text.count("starting another") < 2:
            assert not supervising.done()
            await asyncio.wait({supervising}, timeout=0.01)
        os.kill(os.getpid(), signal.SIGTERM)
        await supervising

    asyncio.run(run())
    assert "cannot connect to postgresql://nobody@127.0.0.1:1/nothing" in caplog.text


def test_pauses_grow_up_to_a_bound() -> None:
    """Each early end doubles the pause before the next start."""
    restarts = Restarts()
    assert [restarts.wait_s(ends) for ends in (0, 1, 2, 3, 4, 50, 5000)] == [0.5, 0.5, 1, 2, 4, 30, 30]


# -- headrace dev --


@pytest.fixture
def data_directory() -> Iterator[Path]:
    """A directory that the embedded server can use when root runs the tests."""
    directory = Path(os.environ["HEADRACE_TEST_RUN"]) / f"dev-{uuid.uuid4().hex}"
    yield directory
    shutil.rmtree(directory, ignore_errors=True)


def test_dev_is_everything_and_stops_as_one(start: Starter, data_directory: Path) -> None:
    """`headrace dev` starts a server, migrates it and runs jobs; Ctrl-C ends it all with 0, PostgreSQL too."""
    environment = {"HEADRACE_URL": "", "HEADRACE_DATA": str(data_directory)}
    program = start.start("dev", TARGET, **environment)
    program.says("started; queues")
    assert "database  postgresql://headrace:***@/headrace?host=" in program.log
    waiting = start.start("enqueue", TARGET, "add", "a=1", "--wait", "--json", **environment)
    assert waiting.ends() == 0, waiting.log
    program.process.send_signal(signal.SIGINT)
    assert program.ends() == 0, program.log
    assert program.family() == []
    assert not [process for process in psutil.process_iter() if str(data_directory) in _command(process)]


def _command(process: psutil.Process) -> str:
    with suppress(psutil.Error):
        return " ".join(process.cmdline())
    return ""
