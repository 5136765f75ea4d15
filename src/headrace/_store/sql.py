"""The SQL files of this folder, loaded once for each schema name.

They are written for the schema "headrace", so that any of them can be pasted into psql; another schema's name is put in
place of the prefix here. The NOTIFY channels carry the schema's name too.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import LiteralString

from headrace.errors import ConfigurationError

_FOLDER = files("headrace") / "_store"
_NAME = re.compile(r"[a-z_][a-z0-9_]{0,40}\Z")
_PREFIX = re.compile(r"\bheadrace(?=\.|_wake\b|_cancel\b|_event\b)")


def check_schema_name(schema: str) -> str:
    """Return the name if it needs no quoting; refuse it otherwise."""
    if not _NAME.match(schema):
        message = f'schema name "{schema}" must be lower case letters, digits and _, at most 41 of them'
        raise ConfigurationError(message)
    return schema


def for_schema(text: str, schema: str) -> str:
    """The same SQL for another schema's tables, functions and channels."""
    return text if schema == "headrace" else _PREFIX.sub(schema, text)


@cache
def query(name: str, schema: str = "headrace") -> LiteralString:
    """The statement in queries/NAME.sql: our own text, so psycopg may take it for a literal."""
    text = (_FOLDER / "queries" / f"{name}.sql").read_text(encoding="utf-8")
    return for_schema(text, schema)


@dataclass(frozen=True)
class Script:
    """One file of SQL that makes or changes the schema."""

    name: str
    text: str


@cache
def migrations() -> tuple[Script, ...]:
    """The versioned migrations, oldest first; version n is the n-th."""
    return _scripts("migrations")


@cache
def functions() -> tuple[Script, ...]:
    """The schema's functions, in the order in which they can be created; replaced by every migration."""
    return _scripts("functions")


def _scripts(folder: str) -> tuple[Script, ...]:
    entries = (entry for entry in (_FOLDER / folder).iterdir() if entry.name.endswith(".sql"))
    return tuple(
        Script(entry.name.removesuffix(".sql"), entry.read_text(encoding="utf-8"))
        for entry in sorted(entries, key=lambda entry: entry.name)
    )
