"""The bench's own SQL, in queries/, for the schema that it made."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import LiteralString

from headrace._store.sql import for_schema

_FOLDER = files("headrace") / "_bench" / "queries"


@cache
def statement(name: str, schema: str = "headrace") -> LiteralString:
    """The statement in queries/NAME.sql."""
    return for_schema((_FOLDER / f"{name}.sql").read_text(encoding="utf-8"), schema)
