"""Every figure of every function, against the same definitions in plain Python."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apps.league.model import Appearance, League, Match, Player
from apps.league.stats import CACHE_TAGS, CacheTag
from apps.league.storing import store
from apps.league.tests.conftest import compute_all
from apps.league.tests.leagues import LEAGUES
from apps.league.tests.oracle import ORACLE

if TYPE_CHECKING:
    from collections.abc import Callable

    import psycopg

    from apps.league.model import Team
    from apps.league.tests.conftest import Results

TAG_NAMES = [tag.name for tag in CACHE_TAGS]


@pytest.mark.parametrize("tag", TAG_NAMES)
@pytest.mark.parametrize("league", LEAGUES)
def test_each_statistic_is_as_defined(league: str, tag: str, computed: Callable[[str], tuple[League, Results]]) -> None:
    """On generated and on odd leagues every row, its values and the order are as defined."""
    played, results = computed(league)
    assert results[tag] == ORACLE[tag](played)


@pytest.mark.parametrize("tag", TAG_NAMES)
def test_each_statistic_of_the_real_data_is_as_defined(
    tag: str, computed: Callable[[str], tuple[League, Results]]
) -> None:
    """On four real World Cups every row, its values and the order are as defined."""
    played, results = computed("real")
    assert results[tag] == ORACLE[tag](played)


def test_the_leagues_reach_every_kind_of_line(
    computed: Callable[[str], tuple[League, Results]],
) -> None:
    """The leagues make every category, honour and kind of line: none goes unchecked."""
    results = [computed(league)[1] for league in LEAGUES]
    kinds = {row["kind"] for result in results for row in result["match_report"]}
    honours = {row["honour"] for result in results for row in result["honour_roll"]}
    categories = {row["category"] for result in results for row in result["hall_of_fame"]}
    assert kinds == {
        *("result", "goals", "own_goals", "winning_streak", "unbeaten_streak", "losing_streak"),
        *("scoring_streak", "games_milestone", "goals_milestone"),
    }
    assert honours == {"winner", "top_scorer", "biggest_win", "longest_streak"}
    assert categories == {"games_played", "goals", "win_percentage"}


def test_the_top_scorers_of_four_world_cups(
    computed: Callable[[str], tuple[League, Results]],
) -> None:
    """The real data gives what the record books say of 2010 to 2022."""
    _, results = computed("real")
    scorers = [(row["name"], row["goals"]) for row in results["all_time_stats"][:3]]
    assert sorted(scorers) == [("Kylian Mbappé", 12), ("Lionel Messi", 12), ("Thomas Müller", 10)]
    golden_boots = {
        row["season"]: (row["name"], row["value"]) for row in results["honour_roll"] if row["honour"] == "top_scorer"
    }
    assert golden_boots == {
        2010: ("David Villa", 5),
        2014: ("James Rodríguez", 6),
        2018: ("Harry Kane", 6),
        2022: ("Kylian Mbappé", 8),
    }


@pytest.mark.parametrize("tag", CACHE_TAGS, ids=TAG_NAMES)
def test_a_terminal_shows_columns_that_there_are(
    tag: CacheTag, computed: Callable[[str], tuple[League, Results]]
) -> None:
    """What a cache tag lists for the terminal is a part of each of its rows."""
    _, results = computed("usual")
    assert results[tag.name]
    assert all(set(tag.columns) <= set(row) for row in results[tag.name])


@st.composite
def leagues(draw: st.DrawFn) -> League:
    """Small leagues with many ties: few dates, few players, few goals, any order."""
    players = [Player(f"p{number}", f"Player {number}") for number in range(draw(st.integers(2, 6)))]
    league = League(players=players)
    dates = st.dates(dt.date(2019, 12, 30), dt.date(2020, 1, 2)) | st.dates(dt.date(2020, 6, 29), dt.date(2020, 7, 2))
    for number in range(draw(st.integers(1, 14))):
        sides: dict[str, Team | None] = {
            player.player_id: draw(st.sampled_from(["A", "B", None])) for player in players
        }
        appearances = [
            Appearance(
                f"m{number}",
                player_id,
                team,
                draw(st.integers(0, 2)),
                draw(st.sampled_from([0, 0, 1])),
            )
            for player_id, team in sides.items()
            if team is not None
        ]
        league.matches.append(
            Match(
                f"m{number}",
                draw(dates),
                *("Reds", "Blues"),
                sum(it.goals if it.team == "A" else it.own_goals for it in appearances),
                sum(it.goals if it.team == "B" else it.own_goals for it in appearances),
            )
        )
        league.appearances.extend(appearances)
    return league


def test_every_small_league_is_computed_as_defined(conn: psycopg.Connection) -> None:
    """Whatever is played, all ten functions agree with the definitions."""

    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
    @given(leagues())
    def check(league: League) -> None:
        with conn.transaction(force_rollback=True):
            store(conn, league)
            results = compute_all(conn)
        expected: dict[str, Any] = {tag: compute(league) for tag, compute in ORACLE.items()}
        assert results == expected

    check()
