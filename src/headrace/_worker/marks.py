"""Where a worker's scans of the claim index start: a low-water mark for each lane (queue, priority).

Finished jobs leave dead entries at the head of the index. As long as some transaction may still see them, in whatever
database of the server, nothing removes them, and a scan from the start walks over all of them: after 300,000 jobs a
claim takes 30 ms instead of 0.3. So each scan starts at a mark, and the mark has to be safe: jobs become visible in the
order of their commits, not of their positions.

1. **Checkpoint.** The worker notes the furthest position that it has claimed in each lane, *then* asks which
   transactions have written to the job table and not ended (by their locks: queries/list_writers.sql). A position is
   drawn under that lock. So whatever has a smaller position than the noted one is visible, or belongs to one of them.
2. **Seal.** When none of those transactions is left, everything before the noted positions is visible.
3. **Evidence.** A scan of the lane that *began* after the seal and found nothing before the noted position shows that
   nothing waits there: the position becomes the mark. Without this, jobs that became visible between the last claim and
   the seal would be passed over.

Jobs that return to the line do so with a new position, or at its head with a negative one, which every scan looks at. A
row that was locked during the scan, and whose transaction was rolled back, is still in its place: so the mark only
saves work, it is not a promise. A scan from the start runs first, after every connection error (a failover or a restore
may have set the sequence back), and every `FULL_SCAN_S`; it resets the lanes in which it finds something before the
mark.

Between the known lanes each claim also looks at the ranges of priorities in which nothing is known to wait; what turns
up there makes a new lane.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

LOOK_S = 0.1
"""Writers are asked for this often, under load; it takes half a millisecond."""
FULL_SCAN_S = 5.0
MAX_LANES = 32
"""In each queue; jobs of further priorities are found too, by scans without a mark."""
LOWEST, HIGHEST = -32_768, 32_767
FIRST, LAST = -(1 << 63), (1 << 63) - 1
_QUEUE, _RANK, _POSITION = 2, 8, 9


@dataclass(slots=True)
class Lane:
    """One queue's jobs of one priority.

    Attributes:
        mark: Nothing waits up to this position.
        furthest: The largest position that was claimed.
        sealed: Everything up to this position is visible; nothing is said of whether it was claimed.
    """

    mark: int = 0
    furthest: int = 0
    sealed: int = 0


@dataclass(slots=True)
class _Checkpoint:
    writers: frozenset[str]
    positions: list[tuple[Lane, int]]


@dataclass(slots=True)
class Marks:
    """The lanes of one worker, and how far each is known to be done.

    Args:
        queues: The queues that it serves.
        clock: Monotonic; tests step it.

    Attributes:
        lanes: By queue and priority.
        discovered: Whether the last claim found a lane that was not known: it looked no further in that range.
    """

    queues: Iterable[str]
    clock: Callable[[], float] = time.monotonic
    lanes: dict[str, dict[int, Lane]] = field(init=False)
    discovered: bool = field(init=False, default=False)
    _checkpoint: _Checkpoint | None = field(init=False, default=None)
    _looked_at: float = field(init=False, default=float("-inf"))
    _full_scan_at: float = field(init=False, default=float("-inf"))
    _is_full: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Know nothing, after an error: the next scan runs from the start."""
        self.lanes = {queue: {0: Lane()} for queue in self.queues}
        self._checkpoint = None
        self._full_scan_at = float("-inf")

    # -- claiming --

    def segments(self, queues: Iterable[str]) -> dict[str, list[Any]]:
        """What the next claim scans: parameters of claim_jobs.sql."""
        self._is_full = self.clock() - self._full_scan_at > FULL_SCAN_S
        rows = [row for queue in queues for row in self._segments(queue)]
        names = ("segment_queues", "lows", "highs", "afters", "befores")
        return {name: list(column) for name, column in zip(names, zip(*rows, strict=True), strict=True)}

    def _segments(self, queue: str) -> Iterable[tuple[str, int, int, int, int]]:
        unknown = HIGHEST
        for priority, lane in sorted(self.lanes[queue].items(), reverse=True):
            if priority < unknown:
                yield queue, priority + 1, unknown, FIRST, LAST
            if lane.mark and not self._is_full:
                yield queue, priority, priority, FIRST, 0
                yield queue, priority, priority, lane.mark, LAST
            else:
                yield queue, priority, priority, FIRST, LAST
            unknown = priority - 1
        if unknown >= LOWEST:
            yield queue, LOWEST, unknown, FIRST, LAST

    def claimed(self, places: Mapping[str, int], rows: Sequence[tuple[Any, ...]]) -> None:
        """Learn from what the claim of these places found; the rows are in the order of their lines."""
        self.discovered = False
        first: dict[tuple[str, int], int] = {}
        counts = dict.fromkeys(places, 0)
        for row in rows:
            queue, priority, position = row[_QUEUE], -row[_RANK], row[_POSITION]
            counts[queue] += 1
            lane = self._lane(queue, priority)
            if position > 0:
                first.setdefault((queue, priority), position)
                lane.furthest = max(lane.furthest, position)
        self._learn_all(places, counts, first)

    def sorted(self, chunks: Mapping[str, int], found: Sequence[tuple[str, int, int | None, int, int]]) -> None:
        """The same for jobs that were put in lanes of limits (limited.py).

        Args:
            chunks: How many of each queue were looked for.
            found: Queue, rank, the smallest positive and the largest position, and how many.
        """
        self.discovered = False
        firsts: dict[tuple[str, int], int] = {}
        counts = dict.fromkeys(chunks, 0)
        for queue, rank, first, last, count in found:
            counts[queue] += count
            lane = self._lane(queue, -rank)
            if first is not None:
                firsts[queue, -rank] = first
                lane.furthest = max(lane.furthest, last)
        self._learn_all(chunks, counts, firsts)

    def _learn_all(
        self, places: Mapping[str, int], counts: Mapping[str, int], first: Mapping[tuple[str, int], int]
    ) -> None:
        for queue, count in counts.items():
            for priority, lane in self.lanes[queue].items():
                self._learn(lane, first.get((queue, priority)), whole=count < places[queue])
        if self._is_full:
            self._full_scan_at = self.clock()

    def _lane(self, queue: str, priority: int) -> Lane:
        lanes = self.lanes[queue]
        if priority in lanes:
            return lanes[priority]
        lane = Lane()
        if len(lanes) < MAX_LANES:
            lanes[priority] = lane
        self.discovered = True
        return lane

    @staticmethod
    def _learn(lane: Lane, first: int | None, *, whole: bool) -> None:
        """Move one lane's mark.

        Args:
            lane: The lane.
            first: The smallest position that was found.
            whole: Whether the scan went to the end of the queue.
        """
        if first is not None and first <= lane.mark:
            lane.mark = lane.sealed = 0
        elif lane.sealed > lane.mark and (whole if first is None else first > lane.sealed):
            lane.mark = lane.sealed

    # -- checkpoints --

    @property
    def wants_look(self) -> bool:
        """Whether it is time to ask who writes."""
        return self.clock() - self._looked_at > LOOK_S and any(
            lane.furthest > lane.mark for lanes in self.lanes.values() for lane in lanes.values()
        )

    def positions(self) -> list[tuple[Lane, int]]:
        """The furthest positions: to be noted before writers are asked for."""
        return [(lane, lane.furthest) for lanes in self.lanes.values() for lane in lanes.values()]

    def saw_writers(self, positions: list[tuple[Lane, int]], writers: Iterable[str]) -> None:
        """Seal the checkpoint if its writers are gone, and take the next.

        Args:
            positions: What `positions` said before writers were asked for.
            writers: Transactions that have written to the job table and not ended.
        """
        self._looked_at = self.clock()
        now_writing = frozenset(writers)
        if self._checkpoint is not None:
            if self._checkpoint.writers & now_writing:
                return
            for lane, position in self._checkpoint.positions:
                lane.sealed = max(lane.sealed, position)
        self._checkpoint = _Checkpoint(now_writing, positions)
