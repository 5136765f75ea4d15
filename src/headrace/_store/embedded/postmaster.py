"""The server process: how it is recognised, launched, waited for and stopped."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
from psycopg import pq
from psycopg.conninfo import make_conninfo

from headrace._store.embedded.home import SOCKET_NAME
from headrace.errors import EmbeddedError

if TYPE_CHECKING:
    from headrace._store.embedded.home import Home
    from headrace._store.embedded.programs import Programs

logger = logging.getLogger("headrace.embedded")

PORT = 5432
"""Only part of the socket's name: the server does not listen on the network."""

POLL_SECONDS = 0.02

ANSWER_TIMEOUT_SECONDS = 60.0
"""A server process that has not opened its socket after this long is stuck."""

RECOVERY_TIMEOUT_SECONDS = 3600.0
"""How long a server may say "starting up": it is replaying its log, which grows with the load."""

STOP_TIMEOUT_SECONDS = 120.0
"""A fast shutdown ends all connections and writes a checkpoint."""

ORPHANS_TIMEOUT_SECONDS = 90.0
"""How long the children of a postmaster that was killed may take to notice."""


class StillRecoveringError(EmbeddedError):
    """Recovery takes longer than we wait. It must not be stopped: it would begin again."""


def find(cluster: Path) -> psutil.Process | None:
    """The running server of this cluster, whoever started it."""
    process = _recorded_process(cluster)
    return process if process is not None and _works_on(process, cluster) else None


def find_ours(cluster: Path, socket_dir: Path) -> psutil.Process | None:
    """The running server of this cluster, if it was launched by us."""
    process = find(cluster)
    return process if process is not None and is_ours(process, socket_dir) else None


def is_ours(process: psutil.Process, socket_dir: Path) -> bool:
    """Whether a server was launched with our socket, rather than by hand."""
    try:
        return process.name() == "postgres" and _socket_argument(socket_dir) in process.cmdline()
    except psutil.Error:
        return False


def launch(cluster: Path, socket_dir: Path, home: Home, programs: Programs) -> int:
    """Start the server; its pid. It accepts connections only later, see `wait_until_ready`.

    It becomes nobody's child, in a session of its own: it outlives us if we are killed, and Ctrl-C
    in our terminal does not reach it before we stop it.
    """
    _wait_for_orphans(cluster)
    _free_socket(cluster, socket_dir)
    _remove_stale_pid_files(cluster, socket_dir)
    log = home.open_log()
    try:
        shell = home.user.run([
            "/bin/sh", "-c", '"$@" </dev/null >&2 & echo $!', "sh",
            programs.path("postgres"), "-D", str(cluster),
            "-c", _socket_argument(socket_dir), "-c", f"port={PORT}",
        ], stderr=log)  # fmt: skip
    finally:
        os.close(log)
    return int(shell.stdout)


def wait_until_ready(pid: int, socket_dir: Path) -> bool:
    """Wait until the server accepts connections; False if it ended instead.

    Raises:
        EmbeddedError: It does neither.
    """
    began = time.monotonic()
    recovering = False
    while is_alive(pid):
        answer = ping(socket_dir)
        if answer == pq.Ping.OK:
            return True
        if answer == pq.Ping.REJECT and not recovering:
            recovering = True
            logger.info("PostgreSQL (pid %d) is starting, or recovering after a crash", pid)
        _give_up_if_late(pid, socket_dir, recovering, time.monotonic() - began)
        time.sleep(POLL_SECONDS)
    return False


def stop(process: psutil.Process) -> None:
    """End all connections, write everything, and wait until the server has ended.

    Raises:
        EmbeddedError: It does not end.
    """
    _end(process, signal.SIGINT)


def ping(socket_dir: Path) -> pq.Ping:
    """What a server on this socket says without a log-in.

    A live server says it at once; the time-out is short because other threads wait meanwhile.
    """
    address = make_conninfo(host=str(socket_dir), port=PORT, dbname="postgres", connect_timeout=2)
    return pq.Ping(pq.PGconn.ping(address.encode()))


def is_alive(pid: int) -> bool:
    """Whether the process runs, and is not dead and waiting for its parent to notice."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def recorded_socket_dir(cluster: Path) -> str:
    """Where the server of this cluster says that its socket is."""
    lines = _pid_file_lines(cluster)
    return lines[4] if len(lines) > 4 and lines[4] else "(none)"


def _socket_argument(socket_dir: Path) -> str:
    # The setting is a list: an entry in double quotes may contain anything.
    quoted = str(socket_dir).replace('"', '""')
    return f'unix_socket_directories="{quoted}"'


def _pid_file_lines(cluster: Path) -> list[str]:
    try:
        return (cluster / "postmaster.pid").read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []


def _recorded_process(cluster: Path) -> psutil.Process | None:
    """Whoever has the pid in the cluster's file now."""
    lines = _pid_file_lines(cluster)
    try:
        return psutil.Process(abs(int(lines[0])))  # negative: a stand-alone backend
    except (IndexError, ValueError, psutil.NoSuchProcess):
        return None


def _works_on(process: psutil.Process, cluster: Path) -> bool:
    """Whether it is PostgreSQL on this cluster: all its processes work in that directory."""
    try:
        return (
            process.name() == "postgres"
            and process.status() != psutil.STATUS_ZOMBIE
            and _working_directory(process).samefile(cluster)
        )
    except (psutil.Error, OSError):
        return False


def _working_directory(process: psutil.Process) -> Path:
    """Where it works: the very directory, not one that has been made anew under the same name."""
    link = Path(f"/proc/{process.pid}/cwd")
    return link if link.is_symlink() else Path(process.cwd())


def _works_nowhere(process: psutil.Process) -> bool:
    """Whether the directory that it works in was removed, or it has ended just now."""
    link = Path(f"/proc/{process.pid}/cwd")
    try:
        if link.is_symlink():
            return str(link.readlink()).endswith(" (deleted)")
        return not Path(process.cwd()).exists()
    except (psutil.NoSuchProcess, FileNotFoundError):
        return True


def _give_up_if_late(pid: int, socket_dir: Path, recovering: bool, waited_seconds: float) -> None:
    if recovering and waited_seconds > RECOVERY_TIMEOUT_SECONDS:
        raise StillRecoveringError(
            f"PostgreSQL (pid {pid}) has been recovering for {waited_seconds:.0f} s and goes on."
            f" Look at server.log, and start again to wait further."
        )
    if not recovering and waited_seconds > ANSWER_TIMEOUT_SECONDS:
        raise EmbeddedError(
            f"PostgreSQL (pid {pid}) runs but does not answer on {socket_dir}. Look at server.log;"
            f" to stop it: kill -INT {pid}"
        )


def _end(process: psutil.Process, how: signal.Signals) -> None:
    deadline = time.monotonic() + STOP_TIMEOUT_SECONDS
    while is_alive(process.pid) and process.is_running():
        # Again and again: a server that is just being launched does not listen to signals yet.
        # psutil makes sure each time that the pid is still that of the same process.
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(how)
        if time.monotonic() > deadline:
            raise EmbeddedError(
                f"PostgreSQL (pid {process.pid}) was told to stop and has not within"
                f" {STOP_TIMEOUT_SECONDS:.0f} s. Look at server.log. To end it at once; it will"
                f" recover at the next start: kill -QUIT {process.pid}"
            )
        time.sleep(POLL_SECONDS)


def _wait_for_orphans(cluster: Path) -> None:
    """The children of a killed postmaster still have its memory; a new one must not start yet."""
    deadline = time.monotonic() + ORPHANS_TIMEOUT_SECONDS
    while orphans := [p.pid for p in psutil.process_iter() if _works_on(p, cluster)]:
        if time.monotonic() > deadline:
            raise EmbeddedError(
                f"the server of {cluster} was killed, but its processes {orphans} still run after"
                f" {ORPHANS_TIMEOUT_SECONDS:.0f} s. End them with `kill`, and start again."
            )
        time.sleep(POLL_SECONDS)


def _free_socket(cluster: Path, socket_dir: Path) -> None:
    """Take the socket's name from the server of a directory that was here before.

    If that directory was removed, its server would notice within a minute, end, and remove the new
    server's socket, which has the same name. If it was moved, its server is still of use.
    """
    for process in psutil.process_iter():
        if not is_ours(process, socket_dir) or _works_on(process, cluster):
            continue
        if not _works_nowhere(process):
            raise EmbeddedError(
                f"PostgreSQL (pid {process.pid}) was started in {socket_dir.parent}, which has been"
                f" moved since, and would disturb a new server there. Stop it first:"
                f" kill -INT {process.pid}"
            )
        _end(process, signal.SIGQUIT)


def _remove_stale_pid_files(cluster: Path, socket_dir: Path) -> None:
    """Free the cluster and the socket from a pid that by now belongs to an unrelated process.

    PostgreSQL sees only that some process of its own user has the pid, or that its dead owner has
    not been cleared away yet, and refuses to start. Where nobody has it, the cluster's file stays:
    it names the memory whose users PostgreSQL looks for. The socket is private, and silent.
    """
    if _recorded_process(cluster) is not None:
        (cluster / "postmaster.pid").unlink()
    (socket_dir / f"{SOCKET_NAME}.lock").unlink(missing_ok=True)
