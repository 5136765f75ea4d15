"""`headrace bench`: it measures, says what it found, and leaves nothing behind, however it ends."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import psutil
import psycopg
import pytest
from psycopg import sql

from headrace._bench.figures import Drain, Figures, Round, Server, Times
from headrace._bench.throw_away import new_name, throw_away_schema
from headrace._bench.verdict import verdict, warnings
from headrace.errors import DatabaseError
from tests.store.harness import Store, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import DatabaseServer

PATIENCE_S = 60.0
"""How long a test waits for what must happen: only a failing test takes this long."""

FIGURES = {
    "round trip": "ms", "commit": "ms", "enqueue one": "ms", "enqueue many": "jobs/s", "drain, 1 process": "jobs/s",
    "worker CPU": "µs/job", "waiting": "%", "WAL": "B/job", "drain, 2 processes": "jobs/s", "latency": "ms",
}  # fmt: skip
BENCHES = "select nspname from pg_namespace where nspname like 'headrace_bench_%'"
SETTLED = "select from {}.job_history limit 1"


class Bench:
    """`headrace bench` in a process of its own; what it starts has its marker in the environment."""

    def __init__(self, *words: str) -> None:
        self.marker = uuid.uuid4().hex
        environment = {name: value for name, value in os.environ.items() if not name.startswith("HEADRACE_URL")}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "headrace", "bench", *words],
            env=environment | {"HEADRACE_TEST_MARKER": self.marker, "COLUMNS": "200"},
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def end(self) -> tuple[int, str, str]:
        """Wait for its end: its status, and what it printed."""
        try:
            out, err = self.process.communicate(timeout=PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise AssertionError(f"did not end: {self.process.communicate()}") from None
        return self.process.returncode, out, err

    def left_behind(self) -> list[psutil.Process]:
        """Processes that it has started and that run."""
        return [process for process in psutil.process_iter() if self._is_mine(process)]

    def _is_mine(self, process: psutil.Process) -> bool:
        try:
            return (
                process.environ().get("HEADRACE_TEST_MARKER") == self.marker
                and process.status() != psutil.STATUS_ZOMBIE
            )
        except psutil.Error:
            return False


@contextmanager
def benching(*words: str) -> Iterator[Bench]:
    """A bench that runs; killed if the test fails."""
    bench = Bench(*words)
    try:
        yield bench
    finally:
        bench.process.kill()
        bench.process.communicate()


def bench(*words: str) -> tuple[int, str, str]:
    """A whole run."""
    with benching(*words) as running:
        return running.end()


@pytest.fixture
def store(database: str) -> Iterator[Store]:
    """A database that somebody works with: there is a job in it."""
    with Store(database) as store:
        store.enqueue()
        yield store


@contextmanager
def untouched(store: Store) -> Iterator[None]:
    """What was in the database is there afterwards, and nothing else."""
    tables = ["pg_catalog.pg_namespace", "headrace.job", "headrace.task", "headrace.queue", "headrace.worker"]
    looks = [f"select t::text from {table} t order by 1" for table in tables]
    before = [store.ask(look) for look in looks]
    yield
    assert [store.ask(look) for look in looks] == before


@pytest.mark.process
def test_it_prints_figures_and_a_verdict(store: Store) -> None:
    """Every step has its figure, then follow two sentences; the schema is gone, and the user's own is as it was."""
    with untouched(store):
        status, out, err = bench("--url", store.url, "--jobs", "100")
    assert (status, err) == (0, "")
    for label, unit in FIGURES.items():
        assert re.search(rf"^ *{label} +[\d,.]+ ?{unit}( |$)", out, re.MULTILINE), f"{label} in {out}"
    assert re.search(r"^server +PostgreSQL \d+", out, re.MULTILINE)
    assert re.search(
        r"^settings +fsync \w+, synchronous_commit \w+, .*max_wal_size \w+, shared_buffers \w+$", out, re.M
    )
    assert re.search(r"^connection +direct; notifications arrive$", out, re.MULTILINE)
    _, conclusion = out.split("\n\n")
    assert len(conclusion.splitlines()) >= 2
    assert all(line.endswith(".") for line in conclusion.splitlines())
    assert str(psycopg.conninfo.conninfo_to_dict(store.url)["password"]) not in out


@pytest.mark.process
def test_it_speaks_json(store: Store) -> None:
    """--json prints one document with the same figures and sentences, and nothing else."""
    with untouched(store):
        status, out, err = bench("--url", store.url, "--jobs", "100", "--json")
    assert (status, err) == (0, "")
    document = json.loads(out)
    for name in ("round_trip", "commit", "enqueue_one", "latency"):
        assert 0 < document[name]["median_ms"] <= document[name]["p95_ms"]
        assert document[name]["samples"] >= 1
    assert document["enqueue_many"]["jobs_per_s"] > 0
    for name in ("drain_one_process", "drain_two_processes"):
        drain = document[name]
        assert drain["jobs_per_s"] > 0
        assert drain["wal_bytes_per_job"] > 0
        assert 0 <= drain["share_computing"] <= 1
        assert 0 <= drain["share_waiting_for_the_database"] <= 1
    assert document["settings"]["fsync"] in ("on", "off")
    assert (document["through_pooler"], document["notifications_arrive"]) == (False, True)
    assert len(document["verdict"]) == 2


@pytest.mark.process
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_bench_leaves_nothing(store: Store, number: signal.Signals) -> None:
    """Told to end while its worker processes drain a backlog, it takes them and its schema along, and says so."""

    def drains() -> bool:
        return any(store.ask(SETTLED.format(name)) for (name,) in store.ask(BENCHES))

    with untouched(store), benching("--url", store.url, "--jobs", "5000") as running:
        wait_until(drains, "a worker process settles jobs", PATIENCE_S)
        running.process.send_signal(number)
        status, out, err = running.end()
        wait_until(lambda: running.left_behind() == [], "all its processes have ended")
    assert status != 0
    assert "enqueue many" in out
    assert "latency" not in out
    assert re.search(r"interrupted: schema headrace_bench_\w+ is gone again", err)
    assert "Traceback" not in err


@pytest.mark.process
def test_a_bench_that_is_interrupted_while_it_makes_its_schema_leaves_nothing(store: Store) -> None:
    """Told to end before anything is measured, it has nothing to leave, and still ends in order."""
    with untouched(store), benching("--url", store.url) as running:
        assert running.process.stdout is not None
        assert "in schema headrace_bench_" in running.process.stdout.readline()
        running.process.send_signal(signal.SIGINT)
        status, _, err = running.end()
    assert status != 0
    assert "Traceback" not in err


def test_a_failure_leaves_nothing(store: Store) -> None:
    """Whatever goes wrong inside, the schema is dropped, and what went wrong is told."""

    def fail() -> None:
        with throw_away_schema(store.url, new_name(), note=pytest.fail):
            assert len(store.ask(BENCHES)) == 1
            raise ZeroDivisionError

    with untouched(store), pytest.raises(ZeroDivisionError):
        fail()


def test_the_schema_of_a_killed_bench_is_named(store: Store) -> None:
    """A schema that an earlier bench left is not dropped, since its bench may run; how to drop it is said."""
    store.ask("create schema headrace_bench_0123abcd")
    notes: list[str] = []
    with throw_away_schema(store.url, new_name(), note=notes.append):
        pass
    assert len(notes) == 1
    assert "drop schema headrace_bench_0123abcd cascade" in notes[0]
    assert store.ask(BENCHES) == [("headrace_bench_0123abcd",)]


def test_a_schema_that_cannot_be_dropped_is_named(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """If somebody holds on to it, the user is told what is left and how to drop it."""
    monkeypatch.setattr("headrace._bench.throw_away.LOCK_TIMEOUT_MS", 10)
    schema = new_name()

    def hold_on() -> None:
        with throw_away_schema(store.url, schema, note=pytest.fail):
            store.ask("begin")
            store.ask(f"select from {schema}.job")

    with pytest.raises(DatabaseError, match=f"could not be dropped.*drop schema {schema} cascade"):
        hold_on()
    store.ask("rollback")


@pytest.fixture
def visitor(server: DatabaseServer, database: str) -> Iterator[str]:
    """The database's URL for a role that may connect, and nothing more."""
    name = f"visitor_{uuid.uuid4().hex}"
    role = sql.Identifier(name)
    with server.admin() as admin:
        admin.execute(sql.SQL("create role {} login password 'guest'").format(role))
    yield re.sub(r"//[^@]*@", f"//{name}:guest@", database)
    with server.admin() as admin:
        admin.execute(sql.SQL("drop role {}").format(role))


def test_without_the_right_to_create_a_schema_it_refuses(visitor: str, database: str) -> None:
    """It says who may not do what, and how to change that, before anything is measured; and makes nothing."""
    status, _, err = bench("--url", visitor)
    assert status == 1
    name = psycopg.conninfo.conninfo_to_dict(visitor)["user"]
    assert f'error: role "{name}" may not create a schema in database "' in err
    assert f'to "{name}"' in err
    assert "Traceback" not in err
    with psycopg.connect(database) as conn:
        assert conn.execute(BENCHES).fetchall() == []


def test_where_nothing_can_be_written_it_refuses(database: str) -> None:
    """A standby, or a role that may only read, is told apart from missing rights."""
    with psycopg.connect(database, autocommit=True) as conn:
        name = sql.Identifier(conn.info.dbname)
        conn.execute(sql.SQL("alter database {} set default_transaction_read_only to on").format(name))
    status, _, err = bench("--url", database)
    assert status == 1
    assert "may only be read here" in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (["--url", "mysql://root:secret@localhost/shop"], 2, "is not a PostgreSQL URL: write postgresql://"),
        (
            ["--url", "postgresql://me:secret@127.0.0.1:1/shop"],
            1,
            "cannot connect to postgresql://me:***@127.0.0.1:1/shop",
        ),
        (["--jobs", "0"], 2, "--jobs"),
    ],
)
def test_what_cannot_be_measured_is_refused_in_words(words: list[str], status: int, message: str) -> None:
    """A wrong URL is wrong use, a server that does not answer is named without its password."""
    ended, out, err = bench(*words)
    assert ended == status
    assert message in err
    assert "secret" not in out + err
    assert "Traceback" not in err


# -- the verdict --


def figures(
    *, round_trip_ms: float = 0.1, commit_ms: float = 0.3, busy: float = 0.5, without_core: float | None = 0.0,
    gain: float = 1.5, hears: bool = True, **settings: str | None,
) -> Figures:  # fmt: skip
    """Figures as a bench could have found them."""
    known = {"fsync": "on", "synchronous_commit": "on", "synchronous_standby_names": None} | settings
    found = Figures(Server(known, not hears, hears), cores=4, concurrency=100)
    found.round_trip, found.commit = Times([round_trip_ms / 1000]), Times([commit_ms / 1000])
    found.enqueue_one, found.enqueue_many = Times([(commit_ms + 0.1) / 1000]), Times([2e-5])
    found.latency = Times([0.002])
    waited_s = None if without_core is None else without_core
    found.drain_one = Drain(1, [Round(10_000, 1.0, busy, waited_s, None)])
    found.drain_two = Drain(2, [Round(10_000, 1.0 / gain, busy, waited_s, None)])
    return found


@pytest.mark.parametrize(
    ("found", "of_drain", "of_single_job"),
    [
        (figures(busy=0.95), "The worker process uses one core fully, 95 µs a job: add --processes", "neither the disk nor"),
        (figures(busy=0.95, gain=1.0), "the server, or the cores that it shares, is the next limit", "neither the disk nor"),
        (figures(busy=0.95, without_core=None), "uses one core fully", "neither the disk nor"),
        (figures(commit_ms=9.2), "each batch waits for the disk, 9.1 ms", "A commit takes 9.2 ms: single enqueues and latency"),
        (figures(round_trip_ms=14, commit_ms=15), "a round trip takes 14 ms: run workers nearer", "The round trip of 14 ms"),
        (figures(busy=0.3), "waited for the database for 70% of the drain: add --processes", "neither the disk nor"),
        (figures(busy=0.75), "Worker and database take turns, 75% to 25%", "neither the disk nor"),
        (figures(busy=0.3, without_core=0.6, commit_ms=9.2), "had no core for 60% of the drain", "says little of the disk"),
    ],
)  # fmt: skip
def test_the_verdict_names_the_limit(found: Figures, of_drain: str, of_single_job: str) -> None:
    """What takes the time is named with its figure, and with what to do about it."""
    drain, single_job = verdict(found)
    assert of_drain in drain
    assert of_single_job in single_job
    assert warnings(found) == []


@pytest.mark.parametrize(
    ("found", "warning"),
    [
        (figures(fsync="off"), "fsync is off"),
        (figures(synchronous_commit="off"), "synchronous_commit is off"),
        (figures(synchronous_standby_names="other"), "waits for a standby too (other)"),
        (figures(hears=False), "notifications do not arrive"),
    ],
)
def test_unsafe_and_slow_settings_are_named(found: Figures, warning: str) -> None:
    """What makes figures look better than they should, or jobs later than they could be, is said."""
    assert [text for text in warnings(found) if warning in text] == warnings(found) != []


def test_times_are_medians() -> None:
    """One slow sample among many does not show in the median, and shows in the other figure."""
    document: dict[str, Any] = Times([0.001] * 9 + [0.5]).as_json()
    assert document == {"median_ms": 1.0, "p95_ms": 500.0, "samples": 10}
