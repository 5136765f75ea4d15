"""The file of results: what was measured, by scenario and peer, and under which circumstances."""

from __future__ import annotations

import json
import statistics
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import peers

if TYPE_CHECKING:
    from bench.context import Row

OURS = "headrace"
RAW = "raw_postgres"

CAVEATS = (
    "Producer, worker and server share the cores of one machine: trust ratios within one run, not figures.",
    "No-op jobs show overhead; real jobs hide most of the differences.",
    "Guarantees differ. raw_postgres keeps no retries, priorities, schedules, leases or indexes on history; the floors"
    " only enqueue.",
    "Workers are configured as their projects say, and by a short sweep of their concurrency: a specialist may do"
    " better.",
    "A checkpoint precedes each enqueueing and each drain. The first change of a page after it logs the whole page: a"
    " longer run would share these images among more jobs, so they are reported apart. An image takes the place of the"
    " first record's data, which makes what is left a per cent or two too low.",
    "A virtual disk may acknowledge a flush sooner than a real one.",
)


class OtherCircumstances(Exception):
    """Results that cannot be in one file."""


@dataclass(frozen=True)
class Spread:
    """A figure over the repetitions."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: list[float]) -> Spread | None:
        return cls(statistics.median(values), min(values), max(values)) if values else None


@dataclass
class Results:
    """Results of one or more runs.

    Attributes:
        runs: The circumstances of each run.
        rows: By scenario and peer; each row names its run and repetition.
        errors: What failed, in words.
    """

    runs: list[dict[str, Any]] = field(default_factory=list)
    rows: dict[str, dict[str, list[Row]]] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)

    @classmethod
    def load(cls, path: Path) -> Results:
        data = json.loads(path.read_text(encoding="utf-8"))
        return cls(data["runs"], data["results"], data["errors"])

    def save(self, path: Path) -> None:
        """Write the file whole or not at all."""
        data = {"runs": self.runs, "results": self.rows, "errors": self.errors}
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(path.name + ".new")
        fresh.write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        fresh.replace(path)

    def begin_run(self, circumstances: dict[str, Any]) -> None:
        """A run begins; what `add` adds is its.

        Raises:
            OtherCircumstances: The file holds results that were measured otherwise.
        """
        for what in ("sizes", "server", "versions") if self.runs else ():
            if _comparable(self.runs[-1][what]) != _comparable(circumstances[what]):
                raise OtherCircumstances(f"the file holds results of other {what}: give --out another name")
        self.runs.append(circumstances)

    def add(self, scenario: str, peer: str, repetition: int, row: Row) -> None:
        """Take in what one run of a scenario measured."""
        place = {"run": len(self.runs) - 1, "repetition": repetition}
        self.rows.setdefault(scenario, {}).setdefault(peer, []).append(row | place)

    def has(self, scenario: str, peer: str = OURS) -> bool:
        """Whether there is any row."""
        return bool(self.rows.get(scenario, {}).get(peer))

    def last(self, scenario: str, peer: str = OURS) -> Row:
        """The newest row."""
        return self.rows[scenario][peer][-1]

    def spread(self, scenario: str, peer: str, metric: str) -> Spread | None:
        """A figure over its repetitions; several joined by "+" are added."""
        return Spread.of([_figure(row, metric) for row in self.rows.get(scenario, {}).get(peer, [])])

    def ratio(self, scenario: str, metric: str, other: str, ours: str = OURS) -> Spread | None:
        """Ours by theirs, each repetition for itself, since the machine wanders from one to the next."""
        theirs = {_place(row): _figure(row, metric) for row in self.rows.get(scenario, {}).get(other, [])}
        mine = {_place(row): _figure(row, metric) for row in self.rows.get(scenario, {}).get(ours, [])}
        return Spread.of([mine[place] / theirs[place] for place in mine if place in theirs])

    def best_peer(self, scenario: str, metric: str, *, largest: bool) -> str | None:
        """The product that is best at it; None if there is none."""
        found = {
            name: spread.median
            for name in self.rows.get(scenario, {})
            if peers.find(name).role == "peer" and (spread := self.spread(scenario, name, metric))
        }
        return (max if largest else min)(found, key=found.__getitem__) if found else None


def _comparable(circumstances: dict[str, Any]) -> dict[str, Any]:
    """All but the size that has a flag of its own: its scenario runs once, and its row tells it."""
    return {name: value for name, value in circumstances.items() if name != "endurance_jobs"}


def _figure(row: Row, metric: str) -> float:
    return sum(float(row[name]) for name in metric.split("+"))


def _place(row: Row) -> tuple[int, int]:
    return row["run"], row["repetition"]
