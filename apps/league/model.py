"""What a league consists of, as the three CSV files and the generator describe it.

The fields of each tuple are the columns of its file. Ids are the files' own, never database keys.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

Team = Literal["A", "B"]


class Player(NamedTuple):
    """Somebody who may appear in matches."""

    player_id: str
    name: str


class Match(NamedTuple):
    """One match and its score, own goals included."""

    match_id: str
    date: dt.date
    team_a: str
    team_b: str
    score_a: int
    score_b: int


class Appearance(NamedTuple):
    """That a player played for one side of a match, with goals for it and own goals against it."""

    match_id: str
    player_id: str
    team: Team
    goals: int
    own_goals: int


@dataclass(frozen=True)
class League:
    """Players, matches and appearances that belong together, in the order of their files."""

    players: list[Player] = field(default_factory=list)
    matches: list[Match] = field(default_factory=list)
    appearances: list[Appearance] = field(default_factory=list)
