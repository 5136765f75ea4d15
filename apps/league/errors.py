"""The errors that the league's users see; everything else that is raised is a defect."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class LeagueError(Exception):
    """Something that the user can put right; the message says how."""


class UnknownNameError(LeagueError):
    """A name that is none of those there are; the message suggests the nearest."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        names = list(known)
        nearest = difflib.get_close_matches(name, names, n=1)
        hint = f"did you mean {nearest[0]}?" if nearest else f"there are: {', '.join(names)}"
        super().__init__(f"there is no {kind} {name!r}; {hint}")
