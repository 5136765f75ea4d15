"""Results as Markdown."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator
from typing import Any

from bench import peers
from bench.bars import BARS, RATE
from bench.results import CAVEATS, OURS, Results, Spread
from bench.scenarios.flat import COUNTS

Column = tuple[str, str, str, str]
"""Its heading, the scenario, the metric, and how a figure is written."""

SPEED: tuple[Column, ...] = (
    ("drain, jobs/s", "drain", RATE, ",.0f"),
    ("two processes", "drain_two", RATE, ",.0f"),
    ("sync functions", "drain_sync", RATE, ",.0f"),
    ("enqueue many, jobs/s", "enqueue_many", RATE, ",.0f"),
    ("enqueue one, µs", "enqueue_one", "us_per_job", ",.0f"),
    ("latency p50, ms", "latency", "p50_ms", ".2f"),
    ("p99, ms", "latency", "p99_ms", ".2f"),
)
COSTS: tuple[Column, ...] = (
    ("WAL enqueue, B", "drain", "enqueue_wal_bytes_per_job", ",.0f"),
    ("WAL drain, B", "drain", "drain_wal_bytes_per_job", ",.0f"),
    ("page images, B", "drain", "enqueue_wal_page_image_bytes_per_job+drain_wal_page_image_bytes_per_job", ",.0f"),
    ("database CPU, µs", "drain", "database_cpu_us_per_job", ",.1f"),
    ("worker CPU, µs", "drain", "worker_cpu_us_per_job", ",.1f"),
    ("commits", "drain", "commits_per_job", ",.3f"),
    ("statements", "drain", "statements_per_job", ",.3f"),
    ("buffers hit", "drain", "buffers_hit_per_job", ",.1f"),
    ("index tuples", "drain", "index_tuples_per_job", ",.1f"),
    ("started again", "drain", "extra_starts", ",.0f"),
)
FLAT = {
    "flat_finished": "finished jobs in history",
    "flat_scheduled": "jobs scheduled for later",
    "flat_both": "both",
    "flat_open_write": "an open write transaction elsewhere",
    "flat_held": "a held snapshot",
}
ROLES = ("ours", "peer", "reference")
"""The order of rows."""

LONG_RUNS = {
    "late_backlog": (
        "* **Late backlog**: {jobs:,} jobs at once before a worker that had been idle. The first {first_jobs:,} started"
        " within {first_s:.2f} s; as many took {steady_s:.2f} s later. A claim took {first_claim_ms:.1f} ms at first,"
        " {later_claim_ms:.1f} ms later, {longest_claim_ms:.0f} ms at most."
    ),
    "steady": (
        "* **Steady**: {jobs:,} jobs at {enqueued_per_s:,.0f} a second, {jobs_per_call:.2f} a call, beside three long"
        " readers. Backlog {backlog_median:,.0f} (median), {backlog_most:,} (at most), {backlog_last:,} (at the end)."
        " From enqueue to start, first minute and last: p50 {first_minute_p50_ms:.1f} and {last_minute_p50_ms:.1f} ms,"
        " p99 {first_minute_p99_ms:.1f} and {last_minute_p99_ms:.1f} ms. Dead rows at most {dead_rows_most:,}."
    ),
    "endurance": (
        "* **Endurance**: {jobs:,} jobs in {seconds:,.0f} s beside their producer, {jobs_per_s:,.0f} a second. Second"
        " tenth and last: {second_tenth_per_s:,.0f} and {last_tenth_per_s:,.0f} jobs/s, resident"
        " {second_tenth_resident_mib:.0f} and {last_tenth_resident_mib:.0f} MiB, open files"
        " {second_tenth_open_files:.0f} and {last_tenth_open_files:.0f}, connections {second_tenth_connections:.0f} and"
        " {last_tenth_connections:.0f}."
    ),
}


def report(results: Results) -> str:
    """All of it."""
    parts = [
        _circumstances(results),
        _section("Bars", _bars(results)),
        _section("Speed", _comparison(results, SPEED)),
        _section("What a drained job costs", _comparison(results, COSTS)),
        _section("Flat: beside what else is there", _flat(results)),
        _section("Enqueuers", _enqueuers(results)),
        _section("Long runs", _long_runs(results)),
        _section("Failed", [f"* {error.splitlines()[0][:300]}" for error in results.errors]),
        _section("Caveats", [f"* {caveat}" for caveat in CAVEATS]),
    ]
    return "\n\n".join(part for part in parts if part)


def _section(title: str, lines: Iterable[str]) -> str:
    text = "\n".join(lines)
    return f"### {title}\n\n{text}" if text else ""


def table(heads: Iterable[str], rows: Iterable[Iterable[str]], side: str = "---:") -> Iterator[str]:
    """The lines of a Markdown table; the first column is words, the others are figures, or stand on another side."""
    first, *others = heads
    body = [f"| {' | '.join(row)} |" for row in rows]
    if body:
        yield f"| {' | '.join([first, *others])} |"
        yield f"|---|{f'{side}|' * len(others)}"
        yield from body


def _circumstances(results: Results) -> str:
    run = results.runs[-1]
    machine, server = run["machine"], run["server"]
    dates = dict.fromkeys(each["date"][:10] for each in results.runs)
    commits = dict.fromkeys(
        each["commit"] + (f" with {each['changed_files']} changed files" if each["changed_files"] else "")
        for each in results.runs
    )
    lines = [
        f"{', '.join(dates)}; commit {', '.join(commits)}. {machine['cores']} cores"
        f" ({machine['processor']}), {machine['memory_bytes'] / 2**30:.0f} GiB, {machine['system']}.",
        f"PostgreSQL: {_list(server)}.",
        f"Versions: {_list(run['versions'])}.",
    ]
    if run["smoke"]:
        lines.insert(0, "**A smoke run: it shows that everything works; its figures mean little.**")
    return "\n".join(lines)


def _list(values: dict[str, str]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items())


def _bars(results: Results) -> Iterator[str]:
    rows = []
    for bar in BARS:
        spread, beside = bar.figure(results)
        if spread is None:
            rows.append((bar.subject, bar.asked, "", "not measured"))
            continue
        verdict = "met" if bar.is_met(spread.median) else "**not met**"
        rows.append((bar.subject, bar.asked, _spread(spread, bar.show) + (f" ({beside})" if beside else ""), verdict))
    return table(("", "bar", "measured: median, and lowest to highest", ""), rows, side="---")


def _spread(spread: Spread, show: str) -> str:
    text = show.format(spread.median)
    if spread.low == spread.high:
        return text
    return f"{text}, {show.format(spread.low)} to {show.format(spread.high)}"


def _comparison(results: Results, columns: tuple[Column, ...]) -> Iterator[str]:
    used = [column for column in columns if results.rows.get(column[1])]
    ordered = sorted(peers.NAMES, key=lambda name: ROLES.index(peers.find(name).role))
    names = [name for name in ordered if any(results.has(scenario, name) for _, scenario, _, _ in used)]
    rows = []
    for name in names:
        cells = [results.spread(scenario, name, metric) for _, scenario, metric, _ in used]
        shown = [format(cell.median, how) if cell else "" for cell, (_, _, _, how) in zip(cells, used, strict=True)]
        rows.append((f"**{name}**" if name == OURS else name, *shown))
    rows.append(("headrace / best peer", *(_by_best(results, column) for column in used)))
    return table(("", *(head for head, _, _, _ in used)), rows if names else [])


def _by_best(results: Results, column: Column) -> str:
    _, scenario, metric, _ = column
    if metric == "extra_starts":
        return ""
    best = results.best_peer(scenario, metric, largest=metric == RATE)
    ratio = results.ratio(scenario, metric, best) if best else None
    return f"{ratio.median:.2f} ({best})" if ratio else ""


def _flat(results: Results) -> Iterator[str]:
    heads = (
        "drain beside", "jobs", "jobs/s without", "jobs/s with", "ratio", "last fifth / first, without", "with",
        *(f"{count.replace('_', ' ').replace('drain wal bytes', 'WAL').replace(' us', '')}, ratio" for count in COUNTS),
    )  # fmt: skip
    rows = []
    for scenario, words in FLAT.items():
        if results.has(scenario):
            row = results.last(scenario)
            rates = [f"{statistics.median(row[name]):,.0f}" for name in ("free_jobs_per_s", "jobs_per_s")]
            shares = [f"{row[name]:.0%}" for name in ("rate_ratio", "free_last_to_first_fifth", "last_to_first_fifth")]
            counts = [f"{row[f'{count}_ratio']:.2f}" for count in COUNTS]
            rows.append((words, _jobs(results, row, scenario), *rates, *shares, *counts))
    return table(heads, rows)


def _jobs(results: Results, row: dict[str, Any], scenario: str) -> str:
    sizes = results.runs[row["run"]]["sizes"]
    there = {
        "flat_finished": sizes["finished_jobs"],
        "flat_scheduled": sizes["scheduled_jobs"],
        "flat_both": sizes["finished_jobs"] + sizes["scheduled_jobs"],
    }.get(scenario, 0)
    return f"{sizes['flat_jobs']:,} beside {there:,}" if there else f"{sizes['flat_jobs']:,}"


def _enqueuers(results: Results) -> Iterator[str]:
    words = {"enqueuers_own": "headrace's connections", "enqueuers_callers": "inside callers' transactions"}
    rows = []
    for scenario, text in words.items():
        if results.has(scenario):
            row = results.last(scenario)
            connections = results.runs[row["run"]]["sizes"]["enqueuer_connections"]
            rates = [f"{statistics.median(row[name]):,.0f}" for name in ("commits_per_s", "silent_commits_per_s")]
            rows.append((f"{connections} {text}", *rates, f"{row['rate_ratio']:.0%}"))
    return table(("enqueues/s through", "NOTIFY on", "off", "on / off"), rows)


def _long_runs(results: Results) -> Iterator[str]:
    for scenario, words in LONG_RUNS.items():
        if results.has(scenario):
            yield words.format_map(results.last(scenario))
