"""Writing a league to the database."""

from __future__ import annotations

from typing import TYPE_CHECKING

from apps.league.sql import query

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import psycopg

    from apps.league.model import League


def store(conn: psycopg.Connection, league: League) -> None:
    """Add what is new and update what has changed, in one transaction (or the caller's).

    The appearances of a match become exactly those in `league`; players and matches that are not in
    it stay as they are. Ids that are new get their keys in the order of the lists.
    """
    with conn.transaction(), conn.cursor() as cursor:
        cursor.execute(query("create_incoming"))
        _copy(cursor, "copy_players", league.players)
        _copy(cursor, "copy_matches", league.matches)
        _copy(cursor, "copy_appearances", league.appearances)
        cursor.execute(query("merge_incoming"))


def store_all(conn: psycopg.Connection, league: League) -> None:
    """Store a whole league and let the planner count it."""
    with conn.transaction():
        store(conn, league)
        conn.execute(query("analyze_league"))


def _copy(cursor: psycopg.Cursor, name: str, rows: Iterable[Sequence[object]]) -> None:
    with cursor.copy(query(name)) as copy:
        for row in rows:
            copy.write_row(row)
