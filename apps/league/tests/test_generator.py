"""The generated league is believable, adds up, and is the same each time."""

from __future__ import annotations

from collections import Counter, defaultdict

import pytest

from apps.league.errors import LeagueError
from apps.league.generator import MILLION, Shape, make_league
from apps.league.names import full_name

SMALL = Shape(seasons=3, matches_per_season=30, players=40, players_per_side=7, seed=2)


def test_the_same_seed_makes_the_same_league() -> None:
    """Equal shapes give equal leagues, another seed another one."""
    assert make_league(SMALL) == make_league(SMALL)
    assert make_league(SMALL) != make_league(Shape(3, 30, 40, 7, seed=3))


def test_it_has_the_shape_asked_for() -> None:
    """Seasons, matches, players and sides are as many as were asked for."""
    league = make_league(SMALL)
    assert len(league.players) == 40
    assert Counter(it.date.year for it in league.matches) == {2006: 30, 2007: 30, 2008: 30}
    sides = Counter((it.match_id, it.team) for it in league.appearances)
    assert len(sides) == 2 * len(league.matches)
    assert set(sides.values()) == {7}
    assert len({(it.match_id, it.player_id) for it in league.appearances}) == 3 * 30 * 14


def test_the_large_form_has_a_million_appearances() -> None:
    """By its numbers; making it takes seconds that this test does not spend."""
    sides = 2 * MILLION.players_per_side
    assert MILLION.seasons * MILLION.matches_per_season * sides == 1_000_000


def test_scores_add_up_and_all_kinds_of_results_occur() -> None:
    """Each score is the goals of the side and the own goals of the other; some are own goals."""
    league = make_league(Shape(seasons=4, seed=9))
    goals: defaultdict[tuple[str, str], int] = defaultdict(int)
    for it in league.appearances:
        goals[it.match_id, it.team] += it.goals
        goals[it.match_id, "B" if it.team == "A" else "A"] += it.own_goals
    assert all((goals[it.match_id, "A"], goals[it.match_id, "B"]) == (it.score_a, it.score_b) for it in league.matches)
    assert any(it.own_goals for it in league.appearances)
    assert {(it.score_a > it.score_b) - (it.score_a < it.score_b) for it in league.matches} == {
        -1,
        0,
        1,
    }
    assert len({it.date for it in league.matches}) < len(league.matches)


def test_the_better_players_win_more() -> None:
    """Results come from skill: win shares lie further apart than chance alone puts them."""
    league = make_league(Shape(seasons=10, matches_per_season=100, seed=1))
    winner = {it.match_id: "A" if it.score_a > it.score_b else "B" for it in league.matches}
    games, wins = Counter[str](), Counter[str]()
    for it in league.appearances:
        games[it.player_id] += 1
        wins[it.player_id] += winner[it.match_id] == it.team
    shares = [wins[player] / count for player, count in games.items() if count >= 100]
    mean = sum(shares) / len(shares)
    variance = sum((share - mean) ** 2 for share in shares) / len(shares)
    by_chance = sum(0.25 / count for count in games.values() if count >= 100) / len(shares)
    assert variance > 2 * by_chance


def test_no_two_players_have_the_same_name() -> None:
    """Also where there are more players than pairs of names."""
    assert len({full_name(number) for number in range(20_000)}) == 20_000


@pytest.mark.parametrize(
    "numbers",
    [
        {"seasons": 0},
        {"matches_per_season": 0},
        {"players_per_side": 0},
        {"players": 21},
        {"first_season": 9990},
    ],
)
def test_a_league_that_cannot_be_is_refused(numbers: dict[str, int]) -> None:
    """Impossible numbers are an error with words, not a crash later on."""
    with pytest.raises(LeagueError):
        Shape(**numbers)
