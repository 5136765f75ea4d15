"""Says in plain sentences what the figures mean: what limits a drain, what limits a single job, and what is not safe.

The bounds below which something is not worth a sentence are judgement, not measurement.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from headrace._bench.figures import Figures

SLOW_S = 0.001
"""A round trip, or a flush, that takes this long is more than all that headrace does for a single job."""

FULLY = 0.8
"""A worker that computes for this share of a drain uses its core fully: the rest is between two batches."""

MUCH = 0.3
GAIN = 1.2
"""A second process that gives this much more is worth its place."""


def verdict(figures: Figures) -> list[str]:
    """What limits draining a backlog, and what limits a single job."""
    return [_of_drain(figures), _of_single_job(figures)]


def warnings(figures: Figures) -> list[str]:
    """What the settings make unsafe, or slower than need be."""
    settings = figures.server.settings
    found = []
    if settings["fsync"] == "off":
        found.append(
            "fsync is off: a crash of the machine can destroy the database, and a safe server's commits are slower"
        )
    if settings["synchronous_commit"] == "off":
        found.append(
            "synchronous_commit is off: a crash of the server loses the last commits, enqueued jobs among them"
        )
    if settings["synchronous_standby_names"] is not None and settings["synchronous_commit"] not in ("off", "local"):
        found.append(f"each commit waits for a standby too ({settings['synchronous_standby_names']})")
    if not figures.server.hears:
        found.append(
            "notifications do not arrive, as through a pooler in transaction mode: an idle worker finds jobs by "
            "polling, within a second; give workers a --listen-url that goes past the pooler"
        )
    return found


def _of_drain(figures: Figures) -> str:
    one, two = figures.drain_one, figures.drain_two
    gain = two.jobs_per_s / one.jobs_per_s
    if _is_starved(figures):
        return (
            f"The worker process had no core for {one.without_core:.0%} of the drain: it shares "
            f"{_cores(figures.cores)} of this machine with everything else that runs here, the server perhaps."
        )
    if one.busy + (one.without_core or 0.0) >= FULLY:
        return f"The worker process uses one core fully, {one.cpu_us_per_job:.0f} µs a job: {_more_processes(gain)}."
    if one.waiting >= MUCH:
        return f"The worker waited for the database for {one.waiting:.0%} of the drain{_why(figures, gain)}."
    return f"Worker and database take turns, {one.busy:.0%} to {one.waiting:.0%}: {_more_processes(gain)}."


def _more_processes(gain: float) -> str:
    if gain >= GAIN:
        return f"add --processes (two drain {gain:.1f} times as much)"
    return f"two drain {gain:.1f} times as much, so the server, or the cores that it shares, is the next limit"


def _why(figures: Figures, gain: float) -> str:
    round_trip_s, flush_s = figures.round_trip.median, figures.flush_s
    larger = f"a --concurrency above {figures.concurrency} makes fewer and larger batches"
    if round_trip_s >= SLOW_S and round_trip_s >= flush_s:
        return f", and a round trip takes {show_time(round_trip_s)}: run workers nearer to it; {larger}"
    if flush_s >= SLOW_S:
        return f", and each batch waits for the disk, {show_time(flush_s)}: {larger}"
    if gain >= GAIN:
        return f": {_more_processes(gain)}"
    return f"; {_more_processes(gain)}"


def _of_single_job(figures: Figures) -> str:
    round_trip_s, commit_s, flush_s = figures.round_trip.median, figures.commit.median, figures.flush_s
    if _is_starved(figures):
        return (
            f"A commit takes {show_time(commit_s)}, a single enqueue {show_time(figures.enqueue_one.median)}: with "
            "cores as busy as these that says little of the disk and the network."
        )
    if round_trip_s >= SLOW_S and round_trip_s >= flush_s:
        return (
            f"The round trip of {show_time(round_trip_s)} is in every single enqueue, and twice in the latency: run "
            "both ends nearer to the server, and enqueue many jobs in one call."
        )
    if flush_s >= SLOW_S:
        return (
            f"A commit takes {show_time(commit_s)}: single enqueues and latency are bound by the disk's flush, which "
            "jobs that are enqueued in one call share."
        )
    return (
        f"A commit takes {show_time(commit_s)}, a single enqueue {show_time(figures.enqueue_one.median)}: neither the "
        "disk nor the network holds up single jobs."
    )


def _is_starved(figures: Figures) -> bool:
    """Whether something else than the database kept the worker from computing."""
    without_core = figures.drain_one.without_core
    return without_core is not None and without_core >= max(MUCH, figures.drain_one.waiting)


def _cores(count: int) -> str:
    return "the only core" if count == 1 else f"the {count} cores"


def show_time(seconds: float) -> str:
    """Milliseconds, to two digits or so."""
    thousandths = seconds * 1000
    digits = 0 if thousandths >= 10 else 1 if thousandths >= 1 else 2
    return f"{thousandths:.{digits}f} ms"
