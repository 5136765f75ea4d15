"""Bring a database's schema to this code's version: plan, apply, verify.

A version is one file in migrations/, applied once and recorded with its checksum. The functions in functions/ belong to
the newest version and are replaced whenever their checksum differs. Everything happens in one transaction under an
advisory lock, so two processes may migrate at once, and a migration that fails leaves nothing behind.

Workers of version N run on schemas N and N+1: a migration only adds, and what it removes was unused by the version
before.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import TYPE_CHECKING

import psycopg
from psycopg import sql

from headrace._store.connect import connect_sync
from headrace._store.sql import Script, check_schema_name, for_schema, functions, migrations, query
from headrace.errors import SchemaError

if TYPE_CHECKING:
    from psycopg import Connection

DAYS_AHEAD = 14
"""Partitions are created this far ahead, so that two weeks without any worker hurt nobody."""

_LOCK = 0x68656164  # "head": one migration at a time in a database


@dataclass(frozen=True)
class Plan:
    """What `migrate` would do.

    Attributes:
        current: The schema's version; 0 if it does not exist.
        target: This code's version.
        pending: Names of the migrations to apply, oldest first.
        functions_differ: Whether the schema's functions would be replaced.
    """

    current: int
    target: int
    pending: tuple[str, ...]
    functions_differ: bool

    @property
    def up_to_date(self) -> bool:
        """Whether there is nothing to do."""
        return not self.pending and not self.functions_differ


def plan(url: str, schema: str = "headrace") -> Plan:
    """Compare the database's schema with this code's, changing nothing.

    Raises:
        SchemaError: The schema is newer than this code.
        DatabaseUnavailable: The database does not answer.
    """
    with connect_sync(url) as conn:
        return _plan(conn, check_schema_name(schema))


def migrate(url: str, schema: str = "headrace") -> Plan:
    """Bring the schema up to date and return what was done; safe to call from many processes at once.

    Raises:
        SchemaError: The schema is newer than this code, or an applied migration has been edited since.
        DatabaseUnavailable: The database does not answer.
    """
    check_schema_name(schema)
    with connect_sync(url) as conn, conn.transaction():
        conn.execute("set local client_min_messages = warning")
        conn.execute(query("lock_migrations", schema), {"lock": _LOCK})
        done = _plan(conn, schema)
        _apply(conn, schema, done)
    return done


def repair(url: str, schema: str = "headrace") -> None:
    """Create all functions again, whatever became of them in the database.

    Raises:
        SchemaError: The schema has not this code's version: migrating it is what it needs.
        DatabaseUnavailable: The database does not answer.
    """
    check_schema_name(schema)
    with connect_sync(url) as conn, conn.transaction():
        conn.execute(query("lock_migrations", schema), {"lock": _LOCK})
        if _plan(conn, schema).pending:
            raise SchemaError(f'schema "{schema}" is not at this version: run `headrace migrate`')
        _create_functions(conn, schema)


def verify(url: str, schema: str = "headrace") -> list[str]:
    """List what differs between the database's schema and this code's; empty if nothing does."""
    with connect_sync(url) as conn:
        try:
            found = _plan(conn, check_schema_name(schema))
        except SchemaError as error:
            return [str(error)]
        problems = [f"migration {name} has not been applied" for name in found.pending]
        if found.functions_differ:
            problems.append("the schema's functions are not those of this version")
        if not found.pending:
            problems += _edited_functions(conn, schema)
            problems += _missing_objects(conn, schema)
        return problems


def _plan(conn: Connection, schema: str) -> Plan:
    applied = _applied(conn, schema)
    known = migrations()
    if len(applied) > len(known):
        raise SchemaError(
            f'schema "{schema}" has version {len(applied)}, this headrace knows versions up to {len(known)}: '
            "upgrade headrace, or use the version that migrated the database"
        )
    for number, (script, checksum) in enumerate(zip(known, applied, strict=False), 1):
        if checksum != _checksum(script):
            raise SchemaError(
                f'migration {script.name} was applied to schema "{schema}" as version {number} with another content: '
                "the database was migrated by a modified headrace"
            )
    pending = tuple(script.name for script in known[len(applied) :])
    differ = not applied or _functions_checksum(conn, schema) != _checksum(*functions())
    return Plan(len(applied), len(known), pending, differ)


def _apply(conn: Connection, schema: str, todo: Plan) -> None:
    if todo.up_to_date:
        return
    if todo.current == 0:
        conn.execute(sql.SQL("create schema if not exists {}").format(sql.Identifier(schema)))
        conn.execute(query("create_version_table", schema))
    for number, script in enumerate(migrations(), 1):
        if number > todo.current:
            _run(conn, script, schema)
            _record(conn, schema, number, script.name, _checksum(script))
    _create_functions(conn, schema)
    today = datetime.now(UTC).date()
    days = {"first_day": today - timedelta(days=1), "last_day": today + timedelta(days=DAYS_AHEAD)}
    conn.execute(query("create_partitions", schema), days)


def _create_functions(conn: Connection, schema: str) -> None:
    for script in functions():
        _run(conn, script, schema)
    conn.execute(sql.SQL("revoke execute on all functions in schema {} from public").format(sql.Identifier(schema)))
    _record(conn, schema, 0, "functions", _checksum(*functions()))


def _run(conn: Connection, script: Script, schema: str) -> None:
    # Our own files: not a string that anybody else composes.
    conn.execute(for_schema(script.text, schema).encode())


def _record(conn: Connection, schema: str, version: int, name: str, checksum: str) -> None:
    conn.execute(query("record_version", schema), {"version": version, "name": name, "checksum": checksum})


def _applied(conn: Connection, schema: str) -> list[str]:
    """The checksums of the applied migrations, oldest first."""
    if conn.execute(query("has_version_table", schema)).fetchone() == (False,):
        return []
    return [checksum for (checksum,) in conn.execute(query("list_checksums", schema))]


def _functions_checksum(conn: Connection, schema: str) -> str | None:
    row = conn.execute(query("read_functions_checksum", schema)).fetchone()
    return row[0] if row else None


def _edited_functions(conn: Connection, schema: str) -> list[str]:
    """Functions whose body in the database is not the file's: somebody replaced them by hand."""
    bodies = conn.execute(query("list_function_bodies", schema), {"schema": schema}).fetchall()
    stored: dict[str, str] = dict(bodies)
    problems = []
    for script in functions():
        name = script.name.split("_", 1)[1]
        body = for_schema(script.text, schema).split("$$")[1]
        if name not in stored:
            problems.append(f"function {schema}.{name} is missing: run `headrace migrate`")
        elif stored[name] != body:
            problems.append(f"function {schema}.{name} was changed by hand: run `headrace migrate --repair`")
    return problems


def _missing_objects(conn: Connection, schema: str) -> list[str]:
    """What the migrations make and this schema lacks: they are run beside it, and undone."""
    beside = f"{schema[:30]}_verify"
    try:
        with conn.transaction(force_rollback=True):
            conn.execute(sql.SQL("create schema {}").format(sql.Identifier(beside)))
            conn.execute(query("create_version_table", beside))
            for script in (*migrations(), *functions()):
                _run(conn, script, beside)
            expected, found = _objects(conn, beside), _objects(conn, schema)
    except psycopg.errors.InsufficientPrivilege as error:
        return [
            f"tables and indexes could not be compared ({error.diag.message_primary}): verify as the schema's owner"
        ]
    return [f"{what} is missing in schema {schema}: restore it from a backup" for what in sorted(expected - found)]


def _objects(conn: Connection, schema: str) -> set[str]:
    return {what for (what,) in conn.execute(query("list_objects", schema), {"schema": schema})}


def _checksum(*scripts: Script) -> str:
    digest = sha256()
    for script in scripts:
        digest.update(script.text.encode())
    return digest.hexdigest()[:16]


def check_version(applied: int, schema: str) -> None:
    """Refuse a schema that this code cannot run on: older than its own, or more than one version newer."""
    known = len(migrations())
    if applied == 0:
        raise SchemaError(f'the database has no schema "{schema}": run `headrace migrate`')
    if applied < known:
        raise SchemaError(
            f'schema "{schema}" has version {applied}, this headrace needs {known}: run `headrace migrate`'
        )
    if applied > known + 1:
        raise SchemaError(
            f'schema "{schema}" has version {applied}, this headrace knows versions up to {known + 1}: upgrade headrace'
        )
