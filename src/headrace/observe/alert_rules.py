"""What counts as wrong. Each rule looks at the vitals, and says what it has found and of what."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:
    from headrace._store.database import Database
    from headrace.observe.vitals import Vitals

Severity = Literal["warning", "critical"]
SAMPLE = 5000
"""Of the latest finished jobs, so many are counted at most."""


class Finding(NamedTuple):
    """Something that is wrong.

    Attributes:
        subject: Which queue, task, breaker, …; "" where there is only one. Findings of one subject are one alert.
        detail: What is wrong, in words.
    """

    subject: str
    detail: str


class Seen:
    """What rules may look at.

    Attributes:
        vitals: See `Vitals`.
    """

    def __init__(self, vitals: Vitals, database: Database) -> None:
        self.vitals = vitals
        self._database = database
        self._failures: dict[timedelta, list[dict[str, Any]]] = {}

    async def failures(self, window: timedelta) -> list[dict[str, Any]]:
        """The jobs that have finished within this time, the latest 5,000 of them: task, finished, failed."""
        if window not in self._failures:
            self._failures[window] = await self._database.records(
                "count_failures", window_s=window.total_seconds(), sample=SAMPLE, now=None
            )
        return self._failures[window]


@dataclass(frozen=True, kw_only=True)
class Rule(ABC):
    """The base of all rules; a rule of your own overrides `find`.

    Attributes:
        name: Tells it from other rules, in messages too. Default: what it looks at.
        severity: "critical" wakes people, where the destination knows the difference.
        lasting: How long it must have been found at every look before it is an alert.
        to: The names of its destinations; None: all.
    """

    name: str = ""
    severity: Severity = "warning"
    lasting: timedelta = timedelta(0)
    to: Sequence[str] | None = None

    @abstractmethod
    async def find(self, seen: Seen) -> list[Finding]:
        """What is wrong now."""


@dataclass(frozen=True, kw_only=True)
class FailureRate(Rule):
    """Too many of a task's jobs fail for good.

    Attributes:
        share: More than this share of them. 0.1: one in ten.
        window: Of those that finished within this time.
        minimum: If so many finished at least.
        tasks: Of these tasks; None: of any.
    """

    name: str = "failure rate"
    share: float = 0.1
    window: timedelta = timedelta(minutes=10)
    minimum: int = 20
    tasks: Collection[str] | None = None

    async def find(self, seen: Seen) -> list[Finding]:
        """Tasks."""
        return [
            Finding(
                row["task"], f"{row['failed']} of the last {row['finished']} jobs of task {row['task']} failed for good"
            )
            for row in await seen.failures(self.window)
            if row["finished"] >= self.minimum
            and row["failed"] > self.share * row["finished"]
            and (self.tasks is None or row["task"] in self.tasks)
        ]


@dataclass(frozen=True, kw_only=True)
class OldestWait(Rule):
    """A job has been due for too long. Paused queues are left out.

    Attributes:
        over: Longer than this.
        queues: In these queues; None: in any.
    """

    name: str = "oldest wait"
    over: timedelta = timedelta(minutes=5)
    queues: Collection[str] | None = None

    async def find(self, seen: Seen) -> list[Finding]:
        """Queues."""
        return [
            Finding(queue["name"], f"a job of queue {queue['name']} has waited for {in_words(queue['oldest_s'])}")
            for queue in seen.vitals.queues
            if queue["oldest_s"] > self.over.total_seconds()
            and not queue["paused"]
            and (self.queues is None or queue["name"] in self.queues)
        ]


@dataclass(frozen=True, kw_only=True)
class MissedTick(Rule):
    """A moment of a schedule got no job, since nobody ticked in time or the job was refused; or nobody ticks now.

    Attributes:
        late: A schedule that has been due for longer than this is late.
    """

    name: str = "missed tick"
    late: timedelta = timedelta(minutes=1)

    async def find(self, seen: Seen) -> list[Finding]:
        """Schedules."""
        found = [
            Finding(
                row["schedule"], f"{row['ticks']} moments of schedule {row['schedule']} got no job within the last hour"
            )
            for row in seen.vitals.missed
        ]
        schedules = seen.vitals.schedules
        if schedules["lateness_s"] > self.late.total_seconds():
            lateness = in_words(schedules["lateness_s"])
            found.append(
                Finding(
                    "", f"{schedules['overdue']} schedules are due, {schedules['latest']} for {lateness}; nobody ticks"
                )
            )
        return found


@dataclass(frozen=True, kw_only=True)
class DeadWorker(Rule):
    """Workers died, or hung for so long that others took their jobs back.

    Attributes:
        within: In so long a time; an hour at most.
    """

    name: str = "dead worker"
    within: timedelta = timedelta(minutes=10)

    async def find(self, seen: Seen) -> list[Finding]:
        """All of them together."""
        lost = [one for one in seen.vitals.lost_workers if one["lost_s_ago"] <= self.within.total_seconds()]
        if not lost:
            return []
        names = ", ".join(f"{one['id']} on {one['host']} (pid {one['pid']})" for one in lost[:5])
        return [Finding("", f"{len(lost)} died or hung within {in_words(self.within.total_seconds())}: worker {names}")]


@dataclass(frozen=True, kw_only=True)
class HorizonHeld(Rule):
    """An old transaction keeps dead rows from being removed.

    Attributes:
        over: Older than this.
    """

    name: str = "horizon held"
    over: timedelta = timedelta(hours=1)

    async def find(self, seen: Seen) -> list[Finding]:
        """The oldest transaction."""
        old = [one for one in seen.vitals.holders if (one["age_s"] or 0.0) > self.over.total_seconds()]
        oldest = max(old, key=lambda one: float(one["age_s"]), default=None)
        if oldest is None:
            return []
        what = f"{oldest['kind']} {oldest['name']}"
        return [Finding("", f"{what} has been in one transaction for {in_words(oldest['age_s'])}: dead rows pile up")]


@dataclass(frozen=True, kw_only=True)
class BreakerOpen(Rule):
    """A breaker is open: the service behind it fails, and its jobs wait."""

    name: str = "breaker open"

    async def find(self, seen: Seen) -> list[Finding]:
        """Breakers."""
        return [
            Finding(breaker["name"], f"the breaker {breaker['name']} is open: its jobs wait")
            for breaker in seen.vitals.breakers
            if breaker["state"] == "open"
        ]


DEFAULT_RULES: tuple[Rule, ...] = (
    FailureRate(),
    OldestWait(),
    MissedTick(),
    DeadWorker(),
    HorizonHeld(),
    BreakerOpen(),
)


def in_words(seconds: float) -> str:
    """A duration for people: 45 s, 7 min, 3.5 h, 2.1 days."""
    for unit, size in (("days", 86_400.0), ("h", 3600.0)):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds / 60:.0f} min" if seconds >= 120 else f"{seconds:.0f} s"
