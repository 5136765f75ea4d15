"""The claims of limited queues: what one worker remembers between them.

Jobs of a queue to which limits apply wait in lanes, one for each combination of limits and keys, and one worker at a
time starts what the limits allow (functions/091_claim_limited_jobs.sql). The claim says in its first row how it went:
whether somebody else was at it, where it stopped looking, and when something that is shut opens by itself.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from headrace._store.arrays import array, text_array
from headrace._worker.marks import Marks

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

SORT_CHUNK = 1000
"""Jobs that one claim puts in their lanes: some 20 ms during which no other worker claims limited jobs."""
LEAST_LANES = 50
"""Lanes that one claim looks at, about a millisecond. With more of them, the next goes on where this one stopped."""
LEAST_BREADTH = 0.2
"""Lanes that one claim looks at for each free place. What a lane costs is shared by the jobs that start from it, so few
are best while each has several places; where they have one each, or are shut, claims become broader."""
_NOWHERE = ("", 0)


class Limited:
    """The limited queues of one worker.

    Attributes:
        queues: Those that are known to be limited.
        marks: How far the lines of these queues are sorted into lanes; see marks.py.
        again: Whether the last claim should be followed by another at once, though it was short.
        opens_s: In how many seconds something opens that was shut; None if nothing does by itself.
    """

    def __init__(self, queues: Collection[str]) -> None:
        self.queues: frozenset[str] = frozenset()
        self.marks = Marks(list(queues))
        self.again = False
        self.opens_s: float | None = None
        self._breadth = LEAST_BREADTH
        self._cursors: dict[str, tuple[str, int]] = {}

    def parameters(self, places: dict[str, int], *, suspects: bool = False) -> dict[str, Any]:
        """The parameters of claim_limited_jobs.sql but the worker."""
        segments = self.marks.segments(places) if not suspects else dict.fromkeys(_SEGMENTS, ())
        cursors = [self._cursors.get(queue, _NOWHERE) for queue in places]
        return {
            "queues": text_array(list(places)),
            "places": array(map(str, places.values())),
            "suspects": suspects,
            "segment_queues": text_array(segments.pop("segment_queues")),
            **{name: array(map(str, numbers)) for name, numbers in segments.items()},
            "cursor_lanes": [lane for lane, _ in cursors],
            "cursor_ranks": [rank for _, rank in cursors],
            "chunk": SORT_CHUNK,
            "most_lanes": max(LEAST_LANES, *(int(self._breadth * count) for count in places.values())),
            "now": None,
        }

    def learn(self, told: Sequence[Any] | None, *, filled: bool) -> None:
        """Learn from a claim's answer.

        Args:
            told: Its first row, which is no job; None if there was no answer at all.
            filled: Whether it found as many jobs as there were places.
        """
        self.again, self.opens_s = False, None
        if told is None:
            return
        said = json.loads(told[-1])
        if said.get("busy"):
            self.opens_s = 0.0
            return
        self.opens_s = said["opens_s"]
        found = [(queue, *lane) for queue, how in said["queues"].items() for lane in how["sorted"]]
        self.marks.sorted(dict.fromkeys(said["queues"], SORT_CHUNK), found)
        for queue, how in said["queues"].items():
            self._cursors[queue] = tuple(how["cursor"] or _NOWHERE)
            self.again |= not how["whole"]
        wider, narrower = min(1.0, self._breadth * 2), max(LEAST_BREADTH, self._breadth * 0.9)
        self._breadth = wider if self.again and not filled else narrower
        self.again |= self.marks.discovered

    def forget(self) -> None:
        """After an error: know nothing."""
        self.marks.forget()
        self._cursors.clear()


_SEGMENTS = ("segment_queues", "lows", "highs", "afters", "befores")
