"""Bringing the league's tables and functions into a database."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from psycopg import sql

from apps.league.sql import query, schema

if TYPE_CHECKING:
    import psycopg


def install(conn: psycopg.Connection) -> None:
    """Make the schema `league`, or bring it up to date, in one transaction.

    Many sessions may do so at once. A database that has this version already is left alone; the
    version is the schema's comment.
    """
    version = hashlib.sha256(schema()).hexdigest()[:16]
    if installed_version(conn) == version:
        return
    with conn.transaction():
        conn.execute(query("lock_installation"))
        if installed_version(conn) != version:
            conn.execute(schema())
            conn.execute(sql.SQL("comment on schema league is {}").format(version))


def installed_version(conn: psycopg.Connection) -> str | None:
    """Return the version that the database has, None where it has none."""
    row = conn.execute(query("read_installed_version")).fetchone()
    return row[0] if row else None
