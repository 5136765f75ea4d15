"""Reading what the statistics functions have computed."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.rows import dict_row

from apps.league.sql import query

if TYPE_CHECKING:
    from apps.league.stats import CacheTag


def read_results(conn: psycopg.Connection, tag: CacheTag, limit: int | None = None) -> list[dict[str, Any]]:
    """Return the rows under a cache tag as JSON values, with the ids of the imported files.

    Empty where nothing has been computed, be it that the database has no league at all.
    """
    try:
        with conn.transaction(), conn.cursor(row_factory=dict_row) as cursor:
            cursor.execute(query(f"show_{tag.name}"), {"limit": limit})
            return [{name: _json(value) for name, value in row.items()} for row in cursor]
    except psycopg.errors.UndefinedTable:
        return []


def _json(value: object) -> object:
    if isinstance(value, Decimal):
        return float(value) if "." in str(value) else int(value)
    if isinstance(value, dt.date):
        return value.isoformat()
    return value
