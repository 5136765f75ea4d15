"""A match is played: its rows and the job that brings the statistics up to date commit together, or not at all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import uuid4

from apps.league.jobs import POST_MATCH_PRIORITY, now, stats_update
from apps.league.model import League
from apps.league.sql import query
from apps.league.storing import store

if TYPE_CHECKING:
    from collections.abc import Sequence

    import psycopg

    from apps.league.model import Appearance, Match
    from headrace import Job


def record_match(
    conn: psycopg.Connection, match: Match, appearances: Sequence[Appearance]
) -> Job[list[dict[str, Any]]]:
    """Store a match of known players and enqueue its `stats_update` job, in one transaction."""
    with conn.transaction():
        store(conn, League([], [match], list(appearances)))
        row = conn.execute(query("find_match"), {"external_id": match.match_id}).fetchone()
        assert row is not None
        return stats_update.options(conn=conn, priority=POST_MATCH_PRIORITY).enqueue_sync(
            "post-match", match_id=row[0], timestamp=now(), request_id=str(uuid4())
        )
