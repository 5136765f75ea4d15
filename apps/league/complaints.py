"""What is wrong with the rows of a league's files."""

from __future__ import annotations

from typing import NamedTuple

from apps.league.errors import LeagueError

SHOWN = 20
"""How many complaints are listed; the others are counted."""


class Complaint(NamedTuple):
    """One reason to refuse an import; line None means the file as a whole."""

    file: str
    line: int | None
    reason: str

    def __str__(self) -> str:
        """Return `file:line: reason`, which editors and terminals turn into a link."""
        place = self.file if self.line is None else f"{self.file}:{self.line}"
        return f"{place}: {self.reason}"


class BadFilesError(LeagueError):
    """The files of a league have bad rows; nothing of them was stored."""

    def __init__(self, complaints: list[Complaint]) -> None:
        self.complaints = complaints
        lines = [str(complaint) for complaint in complaints[:SHOWN]]
        if len(complaints) > SHOWN:
            lines.append(f"... and {len(complaints) - SHOWN} more")
        super().__init__("\n".join(lines))
