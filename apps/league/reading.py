"""Reading a league from `players.csv`, `matches.csv` and `appearances.csv`, all or nothing.

A directory stands for itself: its appearances refer to its own players and matches. A row is
refused for the first thing that is wrong with it, and not for a mistake in a row that it refers to.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Generic, TypeVar

from apps.league.complaints import BadFilesError, Complaint
from apps.league.csv_table import BadRowError, CsvTable, Row
from apps.league.errors import LeagueError
from apps.league.model import Appearance, League, Match, Player, Team

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

T = TypeVar("T")


def read_league(directory: Path) -> League:
    """Return the league that a directory describes.

    Raises:
        BadFilesError: With every complaint about its files.
    """
    if not directory.is_dir():
        raise LeagueError(f"{directory} is not a directory")
    players = _Keyed(CsvTable(directory / "players.csv", Player._fields), _player)
    matches = _Keyed(CsvTable(directory / "matches.csv", Match._fields), _match)
    appearances = _Appearances(CsvTable(directory / "appearances.csv", Appearance._fields), players, matches)
    appearances.check_scores()
    complaints = [
        complaint
        for table in (players.table, matches.table, appearances.table)
        for complaint in sorted(table.complaints, key=_line)
    ]
    if complaints:
        raise BadFilesError(complaints)
    return League(
        [player for _, player in players.good],
        [match for _, match in matches.good],
        appearances.good,
    )


class _Keyed(Generic[T]):
    """The rows of a file whose first column is their id."""

    def __init__(self, table: CsvTable, make: Callable[[Row], T]) -> None:
        self.table = table
        self.good: list[tuple[int, T]] = []
        """Good rows with their lines."""
        self._lines: dict[str, int] = {}
        """Where each id came first, be its row good or bad."""
        key = table.columns[0]
        for row in table.rows():
            try:
                self._note(row.values.get(key, ""), row.line, key)
                self.good.append((row.line, make(row)))
            except BadRowError as error:
                table.complain(row.line, str(error))

    def __contains__(self, key: str) -> bool:
        """Tell whether an id may be referred to; any may, where the file could not be read."""
        return key in self._lines or not self.table.was_read

    def _note(self, key: str, line: int, column: str) -> None:
        first = self._lines.setdefault(key, line)
        if first != line:
            raise BadRowError(f"duplicate {column} {key!r}, first on line {first}")


class _Appearances:
    """The appearances, held against the players and matches they refer to."""

    def __init__(self, table: CsvTable, players: _Keyed[Player], matches: _Keyed[Match]) -> None:
        self.table = table
        self.good: list[Appearance] = []
        self._players = players
        self._matches = matches
        self._first: dict[tuple[str, str], tuple[Team, int]] = {}
        """Team and line of each match and player."""
        self._doubtful: set[str] = set()
        """Matches with a bad appearance: whether their scores add up is not known."""
        for row in table.rows():
            try:
                self.good.append(self._appearance(row))
            except BadRowError as error:
                table.complain(row.line, str(error))
                self._doubtful.add(row.values.get("match_id", ""))

    def check_scores(self) -> None:
        """Complain about each match whose score is not that of its appearances."""
        if not self.table.was_read:
            return
        goals: defaultdict[tuple[str, Team], int] = defaultdict(int)
        own_goals: defaultdict[tuple[str, Team], int] = defaultdict(int)
        for appearance in self.good:
            goals[appearance.match_id, appearance.team] += appearance.goals
            own_goals[appearance.match_id, appearance.team] += appearance.own_goals
        sides: tuple[tuple[Team, Team], ...] = (("A", "B"), ("B", "A"))
        for line, match in self._matches.good:
            if match.match_id in self._doubtful:
                continue
            for (team, other), score in zip(sides, (match.score_a, match.score_b), strict=True):
                scored, given = goals[match.match_id, team], own_goals[match.match_id, other]
                if scored + given != score:
                    self._matches.table.complain(
                        line,
                        f"score_{team.lower()} of {match.match_id!r} is {score},"
                        f" but its appearances add up to {scored + given}:"
                        f" {scored} goals of {team} and {given} own goals of {other}",
                    )

    def _appearance(self, row: Row) -> Appearance:
        match_id, player_id = row.text("match_id"), row.text("player_id")
        if match_id not in self._matches:
            raise BadRowError(f"unknown match {match_id!r}: it is not in {self._matches.table.name}")
        if player_id not in self._players:
            raise BadRowError(f"unknown player {player_id!r}: it is not in {self._players.table.name}")
        team = _team(row)
        first_team, first_line = self._first.setdefault((match_id, player_id), (team, row.line))
        if first_team != team:
            raise BadRowError(
                f"player {player_id!r} plays for both teams of match {match_id!r},"
                f" for {first_team} on line {first_line}"
            )
        if first_line != row.line:
            raise BadRowError(f"duplicate: player {player_id!r} is in match {match_id!r} already on line {first_line}")
        return Appearance(match_id, player_id, team, row.number("goals"), row.number("own_goals"))


def _player(row: Row) -> Player:
    return Player(row.text("player_id"), row.text("name"))


def _match(row: Row) -> Match:
    return Match(
        row.text("match_id"),
        row.date("date"),
        row.text("team_a"),
        row.text("team_b"),
        row.number("score_a"),
        row.number("score_b"),
    )


def _team(row: Row) -> Team:
    match row.text("team"):
        case "A":
            return "A"
        case "B":
            return "B"
        case other:
            raise BadRowError(f"team is {other!r}, neither A nor B")


def _line(complaint: Complaint) -> int:
    return complaint.line or 0
