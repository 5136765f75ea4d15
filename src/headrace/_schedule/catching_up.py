"""What a ticker does about a schedule that is due: which moments run, which were missed, and what is next.

Most often one moment is due. After a time without workers there may be a million: the last `KEPT` are told one by one,
those before them as one row, and neither takes longer than a few ten milliseconds to find out.
"""

from __future__ import annotations

import hashlib
from collections import deque
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice, takewhile
from typing import TYPE_CHECKING, Literal

from headrace._schedule.rules import Moment, Rule, moments

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

CatchUp = Literal["skip", "latest", "all"]
KEPT = 1000
GRACE = timedelta(minutes=1)
"""A tick that is this late is still on time: workers restart, databases fail over."""

_FIRST_WINDOW = timedelta(hours=1)


@dataclass(frozen=True)
class Jitter:
    """Puts off each moment by its own part of a span: the same in every worker, and for ever.

    Attributes:
        span: Each is put off by less than this.
        schedule: Whose moments.
        tenant: Of which tenant.
    """

    span: timedelta
    schedule: str
    tenant: str = ""

    def due(self, moment: Moment) -> datetime:
        """When a moment is due."""
        if not self.span:
            return moment.at
        name = f"{self.schedule}\0{self.tenant}\0{moment.nominal.isoformat()}\0{moment.fold}"
        part = int.from_bytes(hashlib.sha256(name.encode()).digest()[:7]) / (1 << 56)
        return moment.at + self.span * part


@dataclass(frozen=True)
class DueMoment:
    """One moment of a plan.

    Attributes:
        moment: Which.
        due_at: When it was due, jitter included.
        runs: Whether it gets a job; else it was missed.
        through: If it stands for all missed moments from it on: the last of them.
    """

    moment: Moment
    due_at: datetime
    runs: bool
    through: datetime | None = None


@dataclass(frozen=True)
class Plan:
    """What to do with a schedule.

    Attributes:
        due: The moments that have come, oldest first.
        next: The first that has not; None: there will be none.
    """

    due: Sequence[DueMoment]
    next: Moment | None


def plan(rule: Rule, jitter: Jitter, first: Moment, now: datetime, catch_up: CatchUp, limit: int) -> Plan:
    """Plan a schedule whose first moment is due.

    Args:
        rule: Its rule.
        jitter: Its jitter.
        first: The stored moment: it counts as it is stored, whatever the rule says today.
        now: The database's clock.
        catch_up: What is done about moments that are late.
        limit: Of "all", how many at most.
    """
    told, untold_through = _due_moments(rule, jitter, first, now)
    running = _running(told, jitter, now, catch_up, limit)
    due = [DueMoment(moment, jitter.due(moment), runs=moment in running) for moment in told]
    if untold_through is not None:
        due.insert(0, DueMoment(first, jitter.due(first), runs=False, through=untold_through))
    return Plan(due, rule.after(told[-1].at))


def _running(told: Sequence[Moment], jitter: Jitter, now: datetime, catch_up: CatchUp, limit: int) -> set[Moment]:
    match catch_up:
        case "all":
            return set(told[-limit:])
        case "latest":
            return {told[-1]}
        case "skip":
            return {told[-1]} if now - jitter.due(told[-1]) <= GRACE else set()


def _due_moments(rule: Rule, jitter: Jitter, first: Moment, now: datetime) -> tuple[list[Moment], datetime | None]:
    """The moments from the first to now, at most `KEPT`; and the last before them, if they are more."""
    found = [first, *islice(_due(rule, jitter, first.at, now), KEPT)]
    if len(found) <= KEPT:
        return found, None
    window = _FIRST_WINDOW
    while (start := now - window) > first.at:
        last = deque(_due(rule, jitter, start, now), maxlen=KEPT + 1)
        if len(last) > KEPT:
            return list(last)[1:], last[0].at
        window *= 2
    last = deque(_due(rule, jitter, first.at, now), maxlen=KEPT + 1)
    return list(last)[1:], last[0].at


def _due(rule: Rule, jitter: Jitter, after: datetime, now: datetime) -> Iterator[Moment]:
    """Stops at the first that is not due: a large jitter must not let later ones overtake it."""
    return takewhile(lambda moment: jitter.due(moment) <= now, moments(rule, after, now))
