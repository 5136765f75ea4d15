"""Storing a league: what is new, what has changed, and all or nothing."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import psycopg
import pytest

from apps.league.generator import Shape, make_league
from apps.league.model import Appearance, League, Match, Player
from apps.league.storing import store

if TYPE_CHECKING:
    from collections.abc import Sequence

DAY = dt.date(2022, 12, 18)
ADA, BEN, CID = Player("p1", "Ada"), Player("p2", "Ben"), Player("p3", "Cid")
FIRST, SECOND = Match("m1", DAY, "Reds", "Blues", 1, 0), Match("m2", DAY, "Reds", "Blues", 0, 0)


def stored(conn: psycopg.Connection) -> League:
    """Read all that is stored, in the order of the keys."""
    players = conn.execute("select external_id, name from league.players order by player_id")
    matches = conn.execute(
        "select external_id, date, team_a, team_b, score_a, score_b from league.matches order by match_id"
    )
    appearances = conn.execute(
        "select m.external_id, p.external_id, team, goals, own_goals from league.appearances"
        " join league.matches m using (match_id) join league.players p using (player_id)"
        " order by match_id, player_id"
    )
    return League(
        [Player(*row) for row in players],
        [Match(*row) for row in matches],
        [Appearance(*row) for row in appearances],
    )


def in_order(league: League) -> League:
    """The same league with its appearances in the order of the keys."""

    def place(rows: Sequence[Player | Match]) -> dict[str, int]:
        return {row[0]: number for number, row in enumerate(rows)}

    matches, players = place(league.matches), place(league.players)
    appearances = sorted(league.appearances, key=lambda it: (matches[it.match_id], players[it.player_id]))
    return League(league.players, league.matches, appearances)


def test_a_league_is_stored_as_it_is(conn: psycopg.Connection) -> None:
    """Every value arrives, and keys follow the order of the lists; so does a second time."""
    league = make_league(Shape(seasons=2, matches_per_season=12, seed=5))
    store(conn, league)
    assert stored(conn) == in_order(league)
    keys = conn.execute("select min(match_id), max(match_id) from league.matches").fetchone()
    store(conn, league)
    assert stored(conn) == in_order(league)
    assert conn.execute("select min(match_id), max(match_id) from league.matches").fetchone() == keys


def test_what_has_changed_is_updated_and_the_rest_left(conn: psycopg.Connection) -> None:
    """Names, dates, scores and appearances follow the files; keys and other rows stay."""
    store(
        conn,
        League(
            [ADA, BEN],
            [FIRST, SECOND],
            [
                Appearance("m1", "p1", "A", 1, 0),
                Appearance("m1", "p2", "B", 0, 0),
                Appearance("m2", "p1", "A", 0, 0),
            ],
        ),
    )
    changed = FIRST._replace(date=dt.date(2023, 1, 1), team_b="Greens", score_a=0, score_b=2)
    store(
        conn,
        League(
            [ADA._replace(name="Ada L."), CID],
            [changed],
            [Appearance("m1", "p1", "B", 1, 0), Appearance("m1", "p3", "A", 0, 1)],
        ),
    )
    assert stored(conn) == League(
        [ADA._replace(name="Ada L."), BEN, CID],
        [changed, SECOND],
        [
            Appearance("m1", "p1", "B", 1, 0),
            Appearance("m1", "p3", "A", 0, 1),
            Appearance("m2", "p1", "A", 0, 0),
        ],
    )


def test_a_match_without_appearances_loses_those_it_had(conn: psycopg.Connection) -> None:
    """Also the last appearance of a match goes when it is no longer in the file."""
    store(conn, League([ADA], [SECOND], [Appearance("m2", "p1", "A", 0, 0)]))
    store(conn, League([], [SECOND], []))
    assert stored(conn) == League([ADA], [SECOND], [])


def test_all_or_nothing(conn: psycopg.Connection) -> None:
    """An error at the last row leaves nothing of the others, and the connection usable."""
    league = League([ADA], [FIRST], [Appearance("m1", "p1", "C", 1, 0)])  # type: ignore[arg-type]
    with pytest.raises(psycopg.errors.CheckViolation):
        store(conn, league)
    assert stored(conn) == League()


def test_it_joins_the_callers_transaction(conn: psycopg.Connection, empty_database: str) -> None:
    """Nothing is seen by others before the caller commits; twice in one transaction is fine."""
    with psycopg.connect(empty_database, autocommit=True) as other, conn.transaction():
        store(conn, League([ADA], [], []))
        store(conn, League([BEN], [], []))
        assert stored(other) == League()
    assert stored(conn).players == [ADA, BEN]
