"""The two roles' passwords, kept in a file that libpq understands (``PGPASSFILE``)."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from headrace.errors import EmbeddedError

if TYPE_CHECKING:
    from pathlib import Path

    from headrace._store.embedded.home import Home

ADMIN = "postgres"
APPLICATION = "headrace"


@dataclass(frozen=True)
class Passwords:
    """What each role logs in with."""

    admin: str
    application: str


def read_or_create(home: Home, cluster: Path) -> Passwords:
    """The passwords; new ones only while there is no cluster that would know others.

    Raises:
        EmbeddedError: The file is lost or damaged.
    """
    if not home.passwords.exists() and not cluster.exists():
        new = Passwords(secrets.token_urlsafe(32), secrets.token_urlsafe(32))
        home.keeper.write_private(home.passwords, _format(new))
    return _read(home.passwords, cluster)


def _format(passwords: Passwords) -> str:
    return f"*:*:*:{ADMIN}:{passwords.admin}\n*:*:*:{APPLICATION}:{passwords.application}\n"


def _read(path: Path, cluster: Path) -> Passwords:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        lines = []
    found = dict(line.split(":")[3:5] for line in lines if line.count(":") == 4)
    if not {ADMIN, APPLICATION} <= found.keys():
        raise EmbeddedError(
            f"{path} is missing or damaged, so nobody can log in to the cluster in {cluster}. Put"
            f" the file back; or, if the data is of no value, remove both and start again."
        )
    return Passwords(found[ADMIN], found[APPLICATION])
