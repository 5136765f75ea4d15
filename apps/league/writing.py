"""Writing a league as the three CSV files that `reading` understands."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

from apps.league.model import Appearance, Match, Player

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from apps.league.model import League


def write_league(league: League, directory: Path) -> None:
    """Write `players.csv`, `matches.csv` and `appearances.csv`; makes the directory if need be."""
    directory.mkdir(parents=True, exist_ok=True)
    _write(directory / "players.csv", Player._fields, league.players)
    _write(directory / "matches.csv", Match._fields, league.matches)
    _write(directory / "appearances.csv", Appearance._fields, league.appearances)


def _write(file: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    with file.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
