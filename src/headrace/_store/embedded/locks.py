"""File locks that end with their process and that forked children do not keep.

A ``flock`` belongs to the open file, which a fork shares: as long as a child has it open, the lock
outlives the parent. So every open lock is closed in every forked child. Releasing always unlocks
explicitly, because closing alone does not unlock while somebody else still has the file open.
"""

from __future__ import annotations

import fcntl
import os
import time
from typing import TYPE_CHECKING

from headrace.errors import EmbeddedError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

POLL_SECONDS = 0.02

_open_locks: set[FileLock] = set()


class FileLock:
    """One open lock file. Two of them exclude each other within a process, too."""

    def __init__(self, path: Path, opener: Callable[[Path], int]) -> None:
        self._path = path
        self._descriptor: int | None = opener(path)
        _open_locks.add(self)

    @property
    def is_open(self) -> bool:
        """Whether this process still has it: neither closed nor inherited by a fork."""
        return self._descriptor is not None

    @property
    def is_in_place(self) -> bool:
        """Whether the locked file is still the one that others find under its name."""
        try:
            return os.path.samestat(os.fstat(self._opened()), self._path.stat())
        except FileNotFoundError:
            return False

    def take_exclusive(self, timeout_seconds: float) -> None:
        """Wait until nobody else has it. Polls, so that Ctrl-C and the time-out work."""
        deadline = time.monotonic() + timeout_seconds
        while not self.try_exclusive():
            if time.monotonic() > deadline:
                raise EmbeddedError(
                    f"another process has been starting or stopping the server for more than"
                    f" {timeout_seconds:.0f} s: it holds {self._path}. Look at server.log in the"
                    f" same directory, or end that process (`fuser {self._path}` names it)."
                )
            time.sleep(POLL_SECONDS)

    def take_shared(self) -> None:
        """Take it beside others who have it shared; the caller has excluded exclusive takers."""
        if not self._try(fcntl.LOCK_SH):
            raise EmbeddedError(
                f"{self._path} is locked by a program other than headrace"
                f" (`fuser {self._path}` names it). End it, or set HEADRACE_DATA to another"
                f" directory."
            )

    def try_exclusive(self) -> bool:
        """Whether nobody else has it; if so it is now ours alone, otherwise it is not ours."""
        return self._try(fcntl.LOCK_EX)

    def close(self) -> None:
        """Unlock and close; harmless if already closed."""
        if self.is_open:
            fcntl.flock(self._opened(), fcntl.LOCK_UN)
            self.abandon()

    def abandon(self) -> None:
        """Close, but leave it locked for whoever else has it open: the parent, after a fork."""
        _open_locks.discard(self)
        descriptor, self._descriptor = self._opened(), None
        os.close(descriptor)

    def _try(self, how: int) -> bool:
        try:
            fcntl.flock(self._opened(), how | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _opened(self) -> int:
        if self._descriptor is None:
            raise EmbeddedError(f"{self._path} was closed, or opened before this process forked")
        return self._descriptor


def _abandon_all() -> None:
    for lock in list(_open_locks):
        lock.abandon()


os.register_at_fork(after_in_child=_abandon_all)
