"""What headrace promises to reach: where it is measured, what is asked, and how the figure is found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bench.results import OURS, RAW, Results, Spread

RATE = "jobs_per_s"
WAL = "enqueue_wal_bytes_per_job+drain_wal_bytes_per_job"


@dataclass(frozen=True)
class Bar:
    """One promise.

    Attributes:
        subject: What is measured.
        asked: What is promised, in words.
        limit: The same as a number.
        at_least: Whether the figure must reach the limit; else it must not pass it.
        figure: How it is found, and beside whom.
        show: How it is written.
    """

    subject: str
    asked: str
    limit: float
    at_least: bool
    figure: Callable[[Results], tuple[Spread | None, str]]
    show: str = "{:.2f} x"

    def is_met(self, measured: float) -> bool:
        """Whether this figure will do."""
        return measured >= self.limit if self.at_least else measured <= self.limit


def _by_best(scenario: str, metric: str, *, largest: bool) -> Callable[[Results], tuple[Spread | None, str]]:
    def figure(results: Results) -> tuple[Spread | None, str]:
        best = results.best_peer(scenario, metric, largest=largest)
        return (results.ratio(scenario, metric, best) if best else None), best or ""

    return figure


def _by(scenario: str, metric: str, other: str) -> Callable[[Results], tuple[Spread | None, str]]:
    return lambda results: (results.ratio(scenario, metric, other), other)


def _own(scenario: str, metric: str) -> Callable[[Results], tuple[Spread | None, str]]:
    return lambda results: (results.spread(scenario, OURS, metric), "")


def _faster(scenario: str, subject: str, times: float) -> Bar:
    best = _by_best(scenario, RATE, largest=True)
    return Bar(subject, f"≥ {times} x the fastest peer", times, at_least=True, figure=best)


def _share(scenario: str, subject: str, share: float, other: str, whose: str) -> Bar:
    figure = _by(scenario, RATE, other)
    return Bar(subject, f"≥ {share:.0%} of {whose}", share, at_least=True, figure=figure, show="{:.0%}")


def _below_each(scenario: str, subject: str, metric: str) -> Bar:
    best = _by_best(scenario, metric, largest=False)
    return Bar(subject, "below every peer", 1.0, at_least=False, figure=best)


def _at_most(scenario: str, subject: str, metric: str, times: float, other: str, whose: str) -> Bar:
    figure = _by(scenario, metric, other)
    return Bar(subject, f"≤ {times:g} x {whose}", times, at_least=False, figure=figure)


def _keeps(scenario: str, subject: str, metric: str, share: float, of: str) -> Bar:
    figure = _own(scenario, metric)
    return Bar(subject, f"≥ {share:.0%} of {of}", share, at_least=True, figure=figure, show="{:.0%}")


BARS = (
    _faster("drain", "drain", 2.0),
    _share("drain", "drain", 0.20, RAW, "raw PostgreSQL"),
    _faster("drain_two", "drain, two processes", 1.6),
    _faster("drain_sync", "drain, sync functions", 2.0),
    _faster("enqueue_many", "enqueue many", 2.5),
    _share("enqueue_many", "enqueue many", 0.30, "copy_floor", "COPY alone"),
    _at_most("enqueue_one", "enqueue one", "us_per_job", 1.4, "insert_floor", "a bare INSERT"),
    _at_most("enqueue_one", "enqueue one", "us_per_job", 1.4, "insert_wake_floor", "an INSERT that wakes workers"),
    _at_most("latency", "latency, median", "p50_ms", 2.0, RAW, "raw PostgreSQL"),
    _at_most("latency", "latency, p99", "p99_ms", 2.0, RAW, "raw PostgreSQL"),
    _below_each("latency", "latency, median", "p50_ms"),
    _below_each("latency", "latency, p99", "p99_ms"),
    Bar("WAL, enqueue to history", "≤ 850 B a job", 850, at_least=False, figure=_own("drain", WAL), show="{:.0f} B"),
    _below_each("drain", "database CPU a job", "database_cpu_us_per_job"),
    _keeps("flat_finished", "drain beside finished jobs", "rate_ratio", 0.95, "the rate without"),
    _keeps("flat_scheduled", "drain beside scheduled jobs", "rate_ratio", 0.95, "the rate without"),
    _keeps("flat_both", "drain beside both", "rate_ratio", 0.95, "the rate without"),
    _keeps("flat_open_write", "drain beside an open transaction", "rate_ratio", 0.95, "the rate without"),
    _keeps("drain_limited", "drain, 1,000 keys with a limit each", "rate_ratio", 0.60, "the rate without"),
    _keeps("flat_held", "drain under a held snapshot", "rate_ratio", 0.85, "the rate without"),
    _keeps("flat_held", "its last fifth", "last_to_first_fifth", 0.95, "its first"),
)
