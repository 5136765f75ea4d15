"""The SQL of the league, read from the files beside this module."""

from __future__ import annotations

from functools import cache
from pathlib import Path

_HERE = Path(__file__).parent


@cache
def query(name: str) -> bytes:
    """Return the statement (or statements) of `queries/<name>.sql`."""
    return (_HERE / "queries" / f"{name}.sql").read_bytes()


@cache
def schema() -> bytes:
    """Return the statements that make the tables and all functions, in order."""
    files = [_HERE / "schema.sql", *sorted((_HERE / "functions").glob("*.sql"))]
    return b"\n".join(file.read_bytes() for file in files)
