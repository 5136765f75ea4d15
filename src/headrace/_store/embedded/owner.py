"""The users of the operating system that own the files and run the server.

Every file that is created goes through here: without following symbolic links, because root may
be working in a directory that belongs to somebody else, and with its mode from the first moment.
"""

from __future__ import annotations

import os
import pwd
import secrets
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:
    from pathlib import Path

FALLBACK_UID = 65534  # "nobody" on every system that lacks the name

# The server gets nothing of our environment: it may hold secrets, and under root another user
# could read them from /proc.
SERVER_ENVIRONMENT = {"PATH": os.defpath, "LC_ALL": "C"}


class _Identity(TypedDict, total=False):
    user: int
    group: int
    extra_groups: list[int]


@dataclass(frozen=True)
class Owner:
    """A user of the operating system."""

    uid: int
    gid: int

    @classmethod
    def of(cls, path: Path) -> Owner:
        """The owner of an existing file or directory."""
        status = path.lstat()
        return cls(status.st_uid, status.st_gid)

    @classmethod
    def current(cls) -> Owner:
        """The user that this process runs as."""
        return cls(os.geteuid(), os.getegid())

    def run(self, command: list[str], stderr: int = subprocess.STDOUT) -> subprocess.CompletedProcess[str]:
        """Run a program as this user, with nothing of our terminal, environment or directory."""
        identity = _Identity()
        if os.geteuid() == 0:
            identity = _Identity(user=self.uid, group=self.gid, extra_groups=[])
        return subprocess.run(  # noqa: S603 - our own programs and arguments, no shell
            command, check=False, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=stderr,
            text=True, cwd="/", env=SERVER_ENVIRONMENT, start_new_session=True, umask=0o077,
            **identity,
        )  # fmt: skip

    def can_run(self, command: list[str]) -> bool:
        """Whether the command succeeds for this user."""
        try:
            return self.run(command).returncode == 0
        except OSError:
            return False

    def barrier_to(self, directory: Path) -> Path | None:
        """The outermost directory on the way that this user cannot enter, if any."""
        if self._can_enter(directory):
            return None
        way = [*reversed(directory.parents), directory]
        return next((step for step in way if not self._can_enter(step)), directory)

    def give(self, path: Path) -> None:
        """Make this user the owner of something that we have just created."""
        if os.geteuid() == 0:
            os.chown(path, self.uid, self.gid, follow_symlinks=False)

    def make_directory(self, path: Path) -> None:
        """Create a directory that only this user may use."""
        path.mkdir(mode=0o700)
        self.give(path)

    def open_private(self, path: Path, flags: int = os.O_RDWR) -> int:
        """Open a file that only this user may use, creating it if need be."""
        flags |= os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(path, flags, mode=0o600)
        if os.geteuid() == 0:
            os.fchown(descriptor, self.uid, self.gid)
        return descriptor

    def write_private(self, path: Path, text: str) -> None:
        """Write a whole file that only this user may use; it is there entirely or not at all."""
        draft = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
        descriptor = self.open_private(draft, os.O_WRONLY | os.O_EXCL)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)

    def _can_enter(self, directory: Path) -> bool:
        """Asked of the kernel, which knows about access lists and mount options."""
        return self.can_run(["/bin/sh", "-c", 'cd -- "$1"', "sh", str(directory)])


def user_for_server(keeper: Owner) -> Owner:
    """Who runs the server on this owner's data: the owner, unless that is root."""
    if os.geteuid() != 0:
        return Owner.current()
    try:
        entry = pwd.getpwnam("nobody") if keeper.uid == 0 else pwd.getpwuid(keeper.uid)
    except KeyError:  # initdb insists on a user with a name
        return Owner(FALLBACK_UID, FALLBACK_UID)
    return Owner(entry.pw_uid, entry.pw_gid)
