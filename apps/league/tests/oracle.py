"""The statistics once more, in plain Python from the definitions in README.md.

Each function returns what `show TAG --json` should print for a league that was stored into an empty
database: there the keys of players and matches follow the order of the lists.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from fractions import Fraction
from itertools import groupby
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from apps.league.model import League, Match

    Rows = list[dict[str, Any]]


class Game(NamedTuple):
    """One player's part in one match."""

    key: int
    player_id: str
    name: str
    match_no: int
    match: Match
    season: int
    half: int
    team: str
    goals: int
    own_goals: int
    result: str

    @property
    def points(self) -> int:
        return {"W": 3, "D": 1, "L": 0}[self.result]

    @property
    def match_id(self) -> str:
        return self.match.match_id

    @property
    def who(self) -> dict[str, Any]:
        return {"player_id": self.player_id, "name": self.name}


def games_of(league: League) -> list[Game]:
    """All appearances in the order of the matches."""
    keys = {player.player_id: key for key, player in enumerate(league.players)}
    matches = ordered_matches(league)
    numbers = {match.match_id: number for number, match in enumerate(matches)}
    games = []
    for appearance in league.appearances:
        number = numbers[appearance.match_id]
        match = matches[number]
        key = keys[appearance.player_id]
        ahead = match.score_a - match.score_b
        if appearance.team == "B":
            ahead = -ahead
        games.append(
            Game(
                key,
                appearance.player_id,
                league.players[key].name,
                number,
                match,
                match.date.year,
                1 if match.date.month < 7 else 2,
                appearance.team,
                appearance.goals,
                appearance.own_goals,
                "W" if ahead > 0 else "L" if ahead < 0 else "D",
            )
        )
    return sorted(games, key=lambda game: (game.match_no, game.key))


def ordered_matches(league: League) -> list[Match]:
    """By date; matches of one date in the order in which they came."""
    return sorted(league.matches, key=lambda match: match.date)


def by_player(games: Iterable[Game]) -> list[list[Game]]:
    """The games of each player, in order; the players in the order of their keys."""
    careers: defaultdict[int, list[Game]] = defaultdict(list)
    for game in games:
        careers[game.key].append(game)
    return [careers[key] for key in sorted(careers)]


def percentage(part: int, whole: int) -> float:
    """Rounded half up to two decimals."""
    return math.floor(Fraction(part * 10_000, whole) + Fraction(1, 2)) / 100


def record(games: Sequence[Game]) -> dict[str, Any]:
    """Games, results, goals and win percentage."""
    results = Counter(game.result for game in games)
    return {
        "games_played": len(games),
        "wins": results["W"],
        "draws": results["D"],
        "losses": results["L"],
        "goals": sum(game.goals for game in games),
        "win_percentage": percentage(results["W"], len(games)),
    }


def points(games: Iterable[Game]) -> int:
    """Three for a win, one for a draw."""
    return sum(game.points for game in games)


def runs(games: Sequence[Game], holds: Callable[[Game], bool]) -> list[list[Game]]:
    """The longest possible stretches of games for which something holds."""
    return [list(run) for is_run, run in groupby(games, key=holds) if is_run]


def all_time_stats(league: League) -> Rows:
    """`record` of each career."""
    rows = [(game[0].key, {**game[0].who, **record(game)}) for game in by_player(games_of(league))]
    rows.sort(key=lambda row: (-row[1]["goals"], row[1]["games_played"], row[0]))
    return [row for _, row in rows]


def period_stats(league: League, period: Callable[[Game], dict[str, int]]) -> Rows:
    """`record` and points of each player in each period."""
    rows = []
    for career in by_player(games_of(league)):
        for when, group in groupby(career, key=period):
            games = list(group)
            rows.append((career[0].key, when | career[0].who | record(games) | {"points": points(games)}))
    rows.sort(
        key=lambda row: (
            -row[1]["season"],
            -row[1].get("half", 0),
            -row[1]["points"],
            -row[1]["goals"],
            row[0],
        )
    )
    return [row for _, row in rows]


def season_stats(league: League) -> Rows:
    """By calendar year."""
    return period_stats(league, lambda game: {"season": game.season})


def half_season_stats(league: League) -> Rows:
    """By January to June and July to December."""
    return period_stats(league, lambda game: {"season": game.season, "half": game.half})


def hall_of_fame(league: League) -> Rows:
    """The ten best in each category."""
    careers = by_player(games_of(league))
    entries: dict[str, list[tuple[Any, ...]]] = {
        "games_played": [],
        "goals": [],
        "win_percentage": [],
    }
    for career in careers:
        total = record(career)
        last = career[-1].match_no
        who = career[0]
        entries["games_played"].append((-len(career), last, who.key, len(career), who))
        if total["goals"]:
            reached = max(game.match_no for game in career if game.goals)
            entries["goals"].append((-total["goals"], reached, who.key, total["goals"], who))
        if len(career) >= 10:
            share = Fraction(total["wins"], len(career))
            entries["win_percentage"].append((-share, last, who.key, total["win_percentage"], who))
    return [
        {"category": category, "rank": rank, **who.who, "value": value}
        for category, listed in entries.items()
        for rank, (*_, value, who) in enumerate(sorted(listed)[:10], start=1)
    ]


def recent_performance(league: League) -> Rows:
    """The last five games."""
    rows = []
    for career in by_player(games_of(league)):
        recent = career[-5:][::-1]
        row = {
            **career[0].who,
            "games_played": len(recent),
            "results": "".join(game.result for game in recent),
            "points": points(recent),
            "goals": sum(game.goals for game in recent),
            "goals_per_match": [game.goals for game in recent],
            "match_ids": [game.match_id for game in recent],
        }
        rows.append((-row["points"], -row["goals"], career[0].key, row))
    return [row for *_, row in sorted(rows)]


def headline(match: Match) -> str:
    """As `Reds 2-1 Blues`."""
    return f"{match.team_a} {match.score_a}-{match.score_b} {match.team_b}"


def honour_roll(league: League) -> Rows:
    """Winner, top scorer, biggest win and longest winning streak of each season."""
    matches = ordered_matches(league)
    games = games_of(league)
    rows = []
    for season in sorted({match.date.year for match in matches}, reverse=True):
        # Of each honour: (what decides, the best being the least ..., player, value, first match)
        winners, scorers, wins, streaks = [], [], [], []
        for career in by_player(game for game in games if game.season == season):
            who = career[0]
            total, goals = points(career), sum(game.goals for game in career)
            if total:
                standing = max(game.match_no for game in career if game.points or game.goals)
                winners.append((-total, -goals, standing, who.key, who, total, None))
            if goals:
                reached = max(game.match_no for game in career if game.goals)
                scorers.append((-goals, 0, reached, who.key, who, goals, None))
            streaks += [
                (-len(run), 0, run[-1].match_no, who.key, who, len(run), run[0].match_id)
                for run in runs(career, lambda game: game.result == "W")
            ]
        for number, match in enumerate(matches):
            margin = abs(match.score_a - match.score_b)
            if match.date.year == season and margin:
                wins.append((-margin, 0, number, 0, None, margin, None))
        for honour, candidates in (
            ("winner", winners),
            ("top_scorer", scorers),
            ("biggest_win", wins),
            ("longest_streak", streaks),
        ):
            if candidates:
                _, _, number, _, who_or_none, value, first = min(candidates, key=lambda it: it[:4])
                match = matches[number]
                rows.append(
                    {
                        "season": season,
                        "honour": honour,
                        "player_id": who_or_none and who_or_none.player_id,
                        "name": who_or_none and who_or_none.name,
                        "value": value,
                        "first_match_id": first,
                        "match_id": match.match_id,
                        "date": match.date.isoformat(),
                        "match": headline(match),
                    }
                )
    return rows


def match_report(league: League) -> Rows:
    """The last match."""
    if not league.matches:
        return []
    last = ordered_matches(league)[-1]
    kinds = (
        *("result", "goals", "own_goals", "winning_streak", "unbeaten_streak", "losing_streak"),
        *("scoring_streak", "games_milestone", "goals_milestone"),
    )
    winner = "A" if last.score_a > last.score_b else "B" if last.score_b > last.score_a else None
    lines: list[tuple[str, int, int, str | None, Game | None]] = [
        ("result", abs(last.score_a - last.score_b), 0, winner, None)
    ]
    for career in by_player(games_of(league)):
        game = career[-1]
        if game.match_id != last.match_id:
            continue
        goals_now = sum(game.goals for game in career)
        goals_before = goals_now - game.goals
        streaks = {
            "winning_streak": trailing(career, lambda game: game.result == "W"),
            "unbeaten_streak": trailing(career, lambda game: game.result != "L"),
            "losing_streak": trailing(career, lambda game: game.result == "L"),
            "scoring_streak": trailing(career, lambda game: game.goals > 0),
        }
        if streaks["unbeaten_streak"] == streaks["winning_streak"]:
            del streaks["unbeaten_streak"]
        values = {kind: length for kind, length in streaks.items() if length >= 3}
        values["goals"] = game.goals
        values["own_goals"] = game.own_goals
        if len(career) % 10 == 0:
            values["games_milestone"] = len(career)
        passed = [mark for mark in range(10, goals_now + 1, 10) if mark > goals_before]
        if passed:
            values["goals_milestone"] = passed[-1]
        lines += [(kind, value, game.key, game.team, game) for kind, value in values.items() if value]
    lines.sort(key=lambda line: (kinds.index(line[0]), -line[1], line[2]))
    return [
        {
            "match_id": last.match_id,
            "date": last.date.isoformat(),
            "match": headline(last),
            "team_a": last.team_a,
            "team_b": last.team_b,
            "score_a": last.score_a,
            "score_b": last.score_b,
            "kind": kind,
            "team": team,
            "player_id": who and who.player_id,
            "name": who and who.name,
            "value": value,
        }
        for kind, value, _, team, who in lines
    ]


def trailing(games: Sequence[Game], holds: Callable[[Game], bool]) -> int:
    """For how many games up to the last one something has held."""
    count = 0
    for game in reversed(games):
        if not holds(game):
            break
        count += 1
    return count


def personal_bests(league: League) -> Rows:
    """The best match and the longest streaks."""
    rows = []
    for career in by_player(games_of(league)):
        # max() returns the first of equals: the earliest match, the streak that ended first.
        best = max(career, key=lambda game: game.goals)
        winning = max(runs(career, lambda game: game.result == "W"), key=len, default=[])
        scoring = max(runs(career, lambda game: game.goals > 0), key=len, default=[])
        row = {
            **career[0].who,
            "best_match_id": best.match_id if best.goals else None,
            "best_match_goals": best.goals,
            "longest_win_streak": len(winning),
            "win_streak_first_match_id": winning[0].match_id if winning else None,
            "win_streak_last_match_id": winning[-1].match_id if winning else None,
            "longest_scoring_streak": len(scoring),
            "scoring_streak_first_match_id": scoring[0].match_id if scoring else None,
            "scoring_streak_last_match_id": scoring[-1].match_id if scoring else None,
        }
        rows.append((-best.goals, -len(winning), -len(scoring), career[0].key, row))
    return [row for *_, row in sorted(rows)]


def player_profile_stats(league: League) -> Rows:
    """Totals, best season and commonest team-mates."""
    games = games_of(league)
    sides: defaultdict[tuple[int, str], list[Game]] = defaultdict(list)
    for game in games:
        sides[game.match_no, game.team].append(game)
    rows = []
    for career in by_player(games):
        seasons = [list(group) for _, group in groupby(career, key=lambda game: game.season)]
        best = max(seasons, key=lambda season: (points(season), sum(it.goals for it in season)))
        together: defaultdict[int, list[Game]] = defaultdict(list)
        for game in career:
            for mate in sides[game.match_no, game.team]:
                if mate.key != game.key:
                    together[mate.key].append(mate)
        mates = sorted(together.values(), key=lambda shared: (-len(shared), shared[-1].match_no, shared[0].key))
        team_mates = [{**mate[0].who, "games_together": len(mate)} for mate in mates[:5]]
        row = {
            **career[0].who,
            **record(career),
            "own_goals": sum(game.own_goals for game in career),
            "points": points(career),
            "seasons_played": len(seasons),
            "first_match_id": career[0].match_id,
            "last_match_id": career[-1].match_id,
            "best_season": best[0].season,
            "best_season_points": points(best),
            "best_season_goals": sum(game.goals for game in best),
            "commonest_team_mate": team_mates[0]["name"] if team_mates else None,
            "team_mates": team_mates,
        }
        rows.append((-len(career), -row["points"], career[0].key, row))
    return [row for *_, row in sorted(rows)]


def season_race_data(league: League) -> Rows:
    """Points and games so far, by date."""
    rows = []
    for career in by_player(games_of(league)):
        for season, group in groupby(career, key=lambda game: game.season):
            total = played = 0
            for date, day in groupby(group, key=lambda game: game.match.date):
                games = list(day)
                total += points(games)
                played += len(games)
                row = {
                    "season": season,
                    "date": date.isoformat(),
                    **career[0].who,
                    "points": total,
                    "games_played": played,
                }
                rows.append((-season, -date.toordinal(), -total, career[0].key, row))
    return [row for *_, row in sorted(rows)]


def player_power_rating(league: League) -> Rows:
    """The rating now and after each match."""
    rows = []
    for career in by_player(games_of(league)):
        performances = [game.points + game.goals - game.own_goals for game in career]
        ratings = [power_rating(performances[: number + 1]) for number in range(len(career))]
        row = {
            **career[0].who,
            "rating": round(ratings[-1], 4),
            "games_played": len(career),
            "last_match_id": career[-1].match_id,
            "per_match": [
                {
                    "match_id": game.match_id,
                    "date": game.match.date.isoformat(),
                    "performance": performance,
                    "rating": round(rating, 4),
                }
                for game, performance, rating in zip(career, performances, ratings, strict=True)
            ],
        }
        rows.append((-ratings[-1], career[0].key, row))
    return [row for *_, row in sorted(rows)]


def power_rating(performances: Sequence[int]) -> float:
    """The definition written out: what is left of the start, and the weight of each match."""
    played = len(performances)
    weights = [2 ** (-(played - number) / 10) for number in range(1, played + 1)]
    step = 1 - 2 ** (-1 / 10)
    return 1.5 * 2 ** (-played / 10) + step * math.fsum(
        weight * performance for weight, performance in zip(weights, performances, strict=True)
    )


ORACLE: dict[str, Callable[[League], Rows]] = {
    function.__name__: function
    for function in (
        season_stats,
        half_season_stats,
        all_time_stats,
        hall_of_fame,
        recent_performance,
        honour_roll,
        match_report,
        personal_bests,
        player_profile_stats,
        season_race_data,
        player_power_rating,
    )
}
