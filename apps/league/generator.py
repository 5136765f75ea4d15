"""A made-up league, the same for the same arguments: careers, skill, goals, and own goals."""

from __future__ import annotations

import datetime as dt
import math
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

from apps.league.errors import LeagueError
from apps.league.model import Appearance, League, Match, Player
from apps.league.names import TEAMS, full_name
from apps.league.storing import store_all

if TYPE_CHECKING:
    import psycopg

    from apps.league.model import Team

OWN_GOAL_SHARE = 0.03
SHORTEST_CAREER = 3
"""Seasons."""


@dataclass(frozen=True)
class Shape:
    """How large a generated league is, and where its chances start."""

    seasons: int = 20
    matches_per_season: int = 40
    players: int = 60
    players_per_side: int = 11
    first_season: int = 2006
    seed: int = 1

    def __post_init__(self) -> None:
        if min(self.seasons, self.matches_per_season, self.players_per_side) < 1:
            raise LeagueError("a league has at least one season, one match and one player per side")
        if self.players < 2 * self.players_per_side:
            raise LeagueError(f"{self.players} players cannot fill two sides of {self.players_per_side}")
        if not dt.MINYEAR <= self.first_season <= dt.MAXYEAR - self.seasons:
            raise LeagueError(f"there are no {self.seasons} years from {self.first_season} on")


MILLION = Shape(matches_per_season=2500, players=2000, players_per_side=10)
"""20 seasons x 2,500 matches x 20 players: 1,000,000 appearances."""


@dataclass(frozen=True)
class _Talent:
    """What decides a player's part in a match."""

    player_id: str
    skill: float
    """How much the side gains by the player; around 0."""
    attack: float
    """The player's weight among those who may score for the side."""
    seasons: range
    eagerness: int
    """How often the player turns up, from 1 to 3."""


def generate(conn: psycopg.Connection, shape: Shape) -> League:
    """Make a league and store it."""
    league = make_league(shape)
    store_all(conn, league)
    return league


def make_league(shape: Shape) -> League:
    """Return the league of this shape."""
    chance = random.Random(shape.seed)  # noqa: S311 -- not for secrets
    talents = [_talent(number, shape, chance) for number in range(shape.players)]
    league = League(players=[Player(talent.player_id, full_name(number)) for number, talent in enumerate(talents)])
    for season in range(shape.first_season, shape.first_season + shape.seasons):
        pool = _pool(talents, season, shape, chance)
        for number, date in enumerate(_dates(season, shape.matches_per_season, chance), start=1):
            _play(league, f"GM-{season}-{number:02}", date, _sides(pool, shape, chance), chance)
    return league


def _talent(number: int, shape: Shape, chance: random.Random) -> _Talent:
    end = shape.first_season + shape.seasons
    start = chance.randrange(shape.first_season - SHORTEST_CAREER, end)
    length = chance.randrange(SHORTEST_CAREER, max(shape.seasons, SHORTEST_CAREER) + 1)
    return _Talent(
        player_id=f"GP-{number + 1:05}",
        skill=chance.gauss(0, 1),
        attack=math.exp(chance.gauss(0, 1)),
        seasons=range(start, start + length),
        eagerness=chance.randint(1, 3),
    )


def _pool(talents: list[_Talent], season: int, shape: Shape, chance: random.Random) -> list[_Talent]:
    """Return those who play in a season, each as often as they are eager."""
    active = [talent for talent in talents if season in talent.seasons]
    missing = 2 * shape.players_per_side - len(active)
    if missing > 0:
        active += chance.sample([talent for talent in talents if talent not in active], missing)
    return [talent for talent in active for _ in range(talent.eagerness)]


def _dates(season: int, count: int, chance: random.Random) -> list[dt.date]:
    """Return the dates of a season's matches in order; some days have more than one."""
    first = dt.date(season, 1, 1)
    return sorted(first + dt.timedelta(days=chance.randrange(365)) for _ in range(count))


def _sides(pool: list[_Talent], shape: Shape, chance: random.Random) -> tuple[list[_Talent], list[_Talent]]:
    drawn: dict[str, _Talent] = {}
    while len(drawn) < 2 * shape.players_per_side:
        talent = chance.choice(pool)
        drawn[talent.player_id] = talent
    talents = list(drawn.values())
    return talents[: shape.players_per_side], talents[shape.players_per_side :]


def _play(
    league: League,
    match_id: str,
    date: dt.date,
    sides: tuple[list[_Talent], list[_Talent]],
    chance: random.Random,
) -> None:
    """Add one match and its appearances to the league."""
    side_a, side_b = sides
    edge = (_strength(side_a) - _strength(side_b)) / 4
    score_a, score_b = (
        _poisson(1.6 * math.exp(edge), chance),
        _poisson(1.6 * math.exp(-edge), chance),
    )
    goals: dict[str, int] = {}
    own_goals: dict[str, int] = {}
    for score, scorers, others in ((score_a, side_a, side_b), (score_b, side_b, side_a)):
        for _ in range(score):
            _score(scorers, others, goals, own_goals, chance)
    league.matches.append(Match(match_id, date, *TEAMS, score_a, score_b))
    teams: tuple[tuple[Team, list[_Talent]], ...] = (("A", side_a), ("B", side_b))
    league.appearances.extend(
        Appearance(
            match_id,
            talent.player_id,
            team,
            goals.get(talent.player_id, 0),
            own_goals.get(talent.player_id, 0),
        )
        for team, side in teams
        for talent in side
    )


def _strength(side: list[_Talent]) -> float:
    return sum(talent.skill for talent in side) / math.sqrt(len(side))


def _score(
    scorers: list[_Talent],
    others: list[_Talent],
    goals: dict[str, int],
    own_goals: dict[str, int],
    chance: random.Random,
) -> None:
    """Give one goal of a side to one of its players, or as an own goal to one of the others."""
    if chance.random() < OWN_GOAL_SHARE:
        unlucky = chance.choice(others).player_id
        own_goals[unlucky] = own_goals.get(unlucky, 0) + 1
    else:
        scorer = chance.choices(scorers, [talent.attack for talent in scorers])[0].player_id
        goals[scorer] = goals.get(scorer, 0) + 1


def _poisson(mean: float, chance: random.Random) -> int:
    """Draw how often something happens that happens `mean` times on average (Knuth's method)."""
    limit, product, count = math.exp(-mean), chance.random(), 0
    while product > limit:
        product *= chance.random()
        count += 1
    return count
