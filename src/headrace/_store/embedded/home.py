"""The data directory: which one, who owns it, and where each thing in it is."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path

from headrace._store.embedded import programs
from headrace._store.embedded.owner import Owner, user_for_server
from headrace.errors import EmbeddedError

DEFAULT_DATA_DIR = Path(".headrace")
LOCK_FILES = {"start.lock", "users.lock"}

SOCKET_NAME = ".s.PGSQL.5432"
SOCKET_PATH_LIMIT_BYTES = 103  # Linux takes 107, macOS 103

LOG_LIMIT_BYTES = 10_000_000
LOG_TAIL_LINES = 15


@dataclass(frozen=True)
class Home:
    """One data directory, checked and ready to hold a server."""

    data_dir: Path
    """The directory as the user knows it."""
    path: Path
    """Where everything but the locks is: the same, or a place in root's store."""
    keeper: Owner
    """Owns our own files."""
    user: Owner
    """Runs the server and owns its files; the same as `keeper` unless that is root."""

    def cluster(self, major: int) -> Path:
        """The cluster of this major version."""
        return self.path / f"postgres-{major}"

    @property
    def passwords(self) -> Path:
        """The passwords of both roles."""
        return self.path / "passwords"

    @property
    def log(self) -> Path:
        """What PostgreSQL says."""
        return self.path / "server.log"

    def open_log(self) -> int:
        """The log, for the server to append to."""
        return self.keeper.open_private(self.log, os.O_WRONLY | os.O_APPEND)

    def log_size_bytes(self) -> int:
        """How long the log is now."""
        return self.log.stat().st_size if self.log.exists() else 0

    def log_tail(self, since_byte: int) -> str:
        """The last lines, of those written after that point."""
        lines = self._read_log(since_byte).splitlines()
        return "\n".join(f"  {line}" for line in lines[-LOG_TAIL_LINES:])

    def bound_log(self) -> None:
        """Once it is long, keep its newest part aside and start again, under the running server."""
        size = self.log_size_bytes()
        if size > LOG_LIMIT_BYTES:
            newest = self._read_log(size - LOG_LIMIT_BYTES)
            self.keeper.write_private(self.path / "server.log.1", newest)
            os.truncate(self.log, 0)

    def _read_log(self, since_byte: int) -> str:
        with self.log.open("rb") as file:
            file.seek(since_byte)
            return file.read().decode(errors="replace")


def choose_data_dir(asked: Path | str | None) -> Path:
    """The directory that was asked for, else the environment's, else ``./.headrace``."""
    chosen = asked or os.environ.get("HEADRACE_DATA") or DEFAULT_DATA_DIR
    return Path(chosen).expanduser().resolve()


def make_data_dir(data_dir: Path) -> None:
    """Create the data directory if it does not exist.

    Raises:
        EmbeddedError: It is something else than a directory.
    """
    try:
        data_dir.mkdir(mode=_data_dir_mode(), parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise EmbeddedError(
            f"{error.filename} is not a directory, so the server's data cannot be kept in"
            f" {data_dir}. Set HEADRACE_DATA to a directory of your own."
        ) from error


def settle(data_dir: Path) -> Home:
    """Make sure that the server can live in the data directory, or find it another place.

    The caller holds the directory's ``start.lock``.

    Raises:
        EmbeddedError: It is not safe, or the server's user cannot reach it.
    """
    keeper = Owner.of(data_dir)
    if _is_new(data_dir) and keeper.uid == os.geteuid():
        data_dir.chmod(_data_dir_mode())  # whatever the umask, or whoever made it empty for us
    if data_dir.stat().st_mode & stat.S_IWOTH:
        raise EmbeddedError(
            f"everybody may write to {data_dir}, so the server's files would not be safe there."
            f" Run `chmod o-w {data_dir}`, or set HEADRACE_DATA to a directory of your own."
        )
    user = user_for_server(keeper)
    place = _place_for(user, data_dir) if os.geteuid() == 0 else data_dir
    return Home(data_dir, place, keeper, user)


def socket_directory(home: Home) -> Path:
    """The private directory of the server's socket; created, and verified to be private.

    Raises:
        EmbeddedError: Something else is in its place.
    """
    direct = home.path / "socket"
    if not _suits_a_socket(direct):
        return _short_socket_directory(direct, home.user)
    if direct.is_symlink():
        direct.unlink()  # the data directory's path was longer once
    if not direct.exists():
        home.user.make_directory(direct)
    if not _is_private(direct, home.user):
        raise EmbeddedError(
            f"{direct} is to hold the server's socket, but it is not a directory that only the"
            f" user with uid {home.user.uid} may enter. Remove it and start again."
        )
    return direct


def remove_short_socket_directory(home: Home, socket_dir: Path) -> None:
    """Leave nothing in the system's temporary directory after the server has stopped."""
    record = home.path / "socket"
    if socket_dir != record:
        shutil.rmtree(socket_dir, ignore_errors=True)
        record.unlink(missing_ok=True)


def _data_dir_mode() -> int:
    """Nobody passes through it, except, under root, the server's user to its own directories."""
    return 0o711 if os.geteuid() == 0 else 0o700


def _is_new(data_dir: Path) -> bool:
    return {entry.name for entry in data_dir.iterdir()} <= LOCK_FILES


def _place_for(user: Owner, data_dir: Path) -> Path:
    """Where this user can keep a cluster: here, or where it was put before, or in root's store."""
    record = data_dir / "location"
    if record.exists() and Owner.of(record).uid == 0:
        return _recorded_place(record)
    barrier = user.barrier_to(data_dir)
    if barrier is None:
        return data_dir
    if any(data_dir.glob("postgres-*")):
        raise EmbeddedError(
            f"the user with uid {user.uid}, who runs PostgreSQL (root cannot), is no longer able"
            f" to enter {barrier}, and so cannot reach the cluster in {data_dir}. Let that user"
            f" pass (`chmod o+x {barrier}`), or move {data_dir} and set HEADRACE_DATA to it."
        )
    return _new_place(user, record, barrier)


def _recorded_place(record: Path) -> Path:
    place = Path(record.read_text(encoding="utf-8").strip())
    if not (place.is_dir() and place.parent == programs.ROOT_STORE):
        raise EmbeddedError(
            f"{record} says that the server's data is in {place}, which is not there. Restore it,"
            f" or remove {record} to start with an empty database."
        )
    if not _is_for(record, place):
        raise EmbeddedError(
            f"the server's data in {place} belongs to {_user_of(place)}, of which {record.parent}"
            f" is a copy. Remove {record} to start with an empty database; or, if it was moved"
            f" here, run: ln -sfn {record} {place}/for"
        )
    return place


def _new_place(user: Owner, record: Path, barrier: Path) -> Path:
    """A place in root's store, written down in the data directory."""
    store = programs.ROOT_STORE
    store.mkdir(mode=0o755, parents=True, exist_ok=True)
    if user.barrier_to(store) is not None:
        raise EmbeddedError(
            f"the user with uid {user.uid}, who is to run PostgreSQL (root cannot), may not enter"
            f" {barrier}. Set HEADRACE_DATA to a directory that every user can reach."
        )
    place = Path(tempfile.mkdtemp(prefix="data-", dir=store))
    place.chmod(_data_dir_mode())
    (place / "for").symlink_to(record)
    Owner.current().write_private(record, f"{place}\n")
    return place


def _is_for(record: Path, elsewhere: Path) -> bool:
    """Whether that directory was made for this record, not for another of which it is a copy."""
    back = elsewhere / "for"
    return back.is_symlink() and back.readlink() == record


def _user_of(place: Path) -> Path:
    back = place / "for"
    return back.readlink().parent if back.is_symlink() else Path("another data directory")


def _suits_a_socket(directory: Path) -> bool:
    # libpq takes a comma for the end of one host and the beginning of the next.
    short = len(os.fsencode(directory / SOCKET_NAME)) <= SOCKET_PATH_LIMIT_BYTES
    return short and "," not in str(directory)


def _is_private(directory: Path, user: Owner) -> bool:
    try:
        status = directory.lstat()
    except FileNotFoundError:
        return False
    return stat.S_ISDIR(status.st_mode) and status.st_uid == user.uid and stat.S_IMODE(status.st_mode) == 0o700


def _short_socket_directory(record: Path, user: Owner) -> Path:
    """The recorded directory with a short path if it is still ours alone, else a new one."""
    if record.is_symlink():
        recorded = record.readlink()
        if _is_private(recorded, user) and _is_for(record, recorded):
            return recorded
    # mkdtemp makes its directories private, so the shared parent is safe.
    for parent in dict.fromkeys((tempfile.gettempdir(), "/tmp")):  # noqa: S108
        directory = Path(tempfile.mkdtemp(prefix="headrace-", dir=parent))
        if _suits_a_socket(directory) and user.barrier_to(directory.parent) is None:
            (directory / "for").symlink_to(record)
            user.give(directory)
            if record.is_dir() and not record.is_symlink():
                shutil.rmtree(record)  # the data directory's path was shorter once
            record.unlink(missing_ok=True)
            record.symlink_to(directory)
            return directory
        directory.rmdir()
    raise EmbeddedError(
        f"the path of {record} is too long for a unix socket, or has a comma; and"
        f" {tempfile.gettempdir()} is no better, or the user with uid {user.uid} may not enter it."
        f" Set HEADRACE_DATA or TMPDIR to a directory with a short, plain path."
    )
