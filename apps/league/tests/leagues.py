"""The leagues that the statistics are checked on; the odd ones are made by hand."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from typing import TYPE_CHECKING

from apps.league.generator import Shape, make_league
from apps.league.model import Appearance, League, Match, Player

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

FIRST_DAY = dt.date(2020, 1, 1)


def league_of(matches: Iterable[tuple[dt.date, str, str]], players: str = "abcdefgh", prefix: str = "m") -> League:
    """Build a league from who scored: (date, side A, side B).

    A side names its players by letters, upper case for each goal, with a `!` behind for each own
    goal: "aBBc!" is a, who did not score, b, who did twice, and c with an own goal.
    """
    league = League(players=[Player(f"p-{letter}", f"Player {letter}") for letter in players])
    for number, (date, *sides) in enumerate(matches):
        match_id = f"{prefix}-{number}"
        goals = [Counter(letter.lower() for letter in side if letter.isupper()) for side in sides]
        own_goals = [Counter(side[i - 1].lower() for i in range(len(side)) if side[i] == "!") for side in sides]
        scores = [goals[0].total() + own_goals[1].total(), goals[1].total() + own_goals[0].total()]
        league.matches.append(Match(match_id, date, f"Reds {number}", "Blues", *scores))
        for index in (0, 1):
            league.appearances.extend(
                Appearance(
                    match_id,
                    f"p-{letter}",
                    "AB"[index],  # type: ignore[arg-type]  # one letter of it
                    goals[index][letter],
                    own_goals[index][letter],
                )
                for letter in dict.fromkeys(sides[index].lower().replace("!", ""))
            )
    return league


def days(*offsets: int) -> list[dt.date]:
    """Return dates so many days after the first."""
    return [FIRST_DAY + dt.timedelta(days=offset) for offset in offsets]


def empty() -> League:
    """Nothing at all."""
    return League()


def never_played() -> League:
    """Players without a match, and a match without players."""
    league = league_of([(FIRST_DAY, "Ab", "cd")], players="abcdxyz")
    league.matches.append(Match("m-nobody", FIRST_DAY + dt.timedelta(days=1), "Nobody", "None", 0, 0))
    return league


def one_match() -> League:
    """The first match of all: no ties, no streaks, no milestones."""
    return league_of([(FIRST_DAY, "AAAb", "Cd")])


def all_draws() -> League:
    """Nobody ever wins."""
    return league_of((date, "Ab", "Cd") for date in days(0, 10, 200, 370, 371))


def one_date() -> League:
    """All ties: every match on one day, and the ids sort the other way round than the keys."""
    league = league_of((FIRST_DAY, *sides) for sides in [("Ab", "c"), ("C", "ab"), ("Ab", "d")] * 4)
    return renamed(league, lambda match_id: f"z-{99 - int(match_id.split('-')[1]):02}")


def backwards() -> League:
    """Files whose order is not that of time."""
    return league_of(
        (date, *sides)
        for date, sides in zip(
            days(900, 800, 10, 5, 400, 400, 3, 2),
            [("Ab", "c"), ("C", "ab"), ("AAb", "d"), ("ad", "BBc")] * 2,
            strict=True,
        )
    )


def own_goals_only() -> League:
    """Wins without scorers."""
    return league_of((date, "ab", "c!d!") for date in days(0, 1, 2, 180, 182))


def uneven_sides() -> League:
    """Sides of different sizes, one of them empty, and players who change sides."""
    return league_of(
        [
            (days(0)[0], "ABC", "d"),
            (days(1)[0], "d", "ABCe"),
            (days(2)[0], "", "A"),
            (days(3)[0], "aefgh", ""),
            (days(4)[0], "DDDD", "a!bc"),
        ]
    )


def half_year_ends() -> League:
    """Matches on both sides of every boundary of the calendar."""
    dates = [(12, 31), (6, 30), (7, 1), (1, 1)]
    return league_of(
        (dt.date(year, month, day), "Ab", "Cd" if year == 2020 else "cd")
        for year in (2019, 2020)
        for month, day in dates
    )


def long_streaks() -> League:
    """Streaks across the turn of a year, equal ones, and milestones reached in the last match."""
    sides = [("Ab", "c"), ("AAb", "c"), ("Ab", "cD"), ("C", "ab")]
    plan = [0, 0, 0, 1, 2, 3, 0, 1, 1, 0, 2, 3, 0, 0, 1, 1, 0, 0, 0, 1]
    return league_of((FIRST_DAY + dt.timedelta(days=30 * number), *sides[index]) for number, index in enumerate(plan))


def milestones() -> League:
    """In the last match one reaches ten games, passes ten goals and passes twenty."""
    return league_of([*((date, "Ab", "CC") for date in days(*range(9))), (days(9)[0], "AAb", "CCd!")])


def usual() -> League:
    """Five seasons as they are generated."""
    return make_league(Shape(seasons=5, seed=4))


def small_sides() -> League:
    """Few players, who all play together often."""
    return make_league(Shape(seasons=6, matches_per_season=15, players=9, players_per_side=2, seed=7))


def busy() -> League:
    """Two seasons with more matches than days."""
    return make_league(Shape(seasons=2, matches_per_season=450, players=14, players_per_side=3, seed=11))


def renamed(league: League, rename: Callable[[str], str]) -> League:
    """The same league with other match ids."""
    return League(
        league.players,
        [match._replace(match_id=rename(match.match_id)) for match in league.matches],
        [it._replace(match_id=rename(it.match_id)) for it in league.appearances],
    )


LEAGUES: dict[str, Callable[[], League]] = {
    make.__name__: make
    for make in (
        *(empty, never_played, one_match, all_draws, one_date, backwards, own_goals_only),
        *(uneven_sides, half_year_ends, long_streaks, milestones, usual, small_sides, busy),
    )
}
