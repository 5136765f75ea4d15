"""Writes docs/observability/grafana.json: ``python tools/make_grafana.py``.

A dashboard's JSON is three quarters repetition; here is what is to be seen, and in which order.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parents[1] / "docs" / "observability" / "grafana.json"
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
Panel = tuple[str, str, str, list[tuple[str, str]]]

ROWS: list[tuple[str, list[Panel]]] = [
    (
        "Now",
        [
            ("stat", "Queued", "short", [('sum(max by (queue) (headrace_jobs{state="queued"}))', "queued")]),
            ("stat", "Oldest wait", "s", [("max(headrace_oldest_wait_seconds)", "oldest")]),
            ("stat", "Workers", "short", [('max(headrace_workers{state="working"})', "working")]),
            (
                "stat",
                "Failing for good",
                "percentunit",
                [
                    (
                        'sum(rate(headrace_attempts_total{outcome="failed"}[5m])) / '
                        'sum(rate(headrace_attempts_total{outcome=~"succeeded|failed"}[5m]))',
                        "failed",
                    )
                ],
            ),
            ("stat", "Lost workers, 1 h", "short", [("max(headrace_lost_workers)", "lost")]),
            ("stat", "Missed ticks, 1 h", "short", [("max(headrace_missed_ticks)", "missed")]),
        ],
    ),
    (
        "Jobs",
        [
            (
                "timeseries",
                "Attempts",
                "ops",
                [("sum by (outcome) (rate(headrace_attempts_total[$__rate_interval]))", "{{outcome}}")],
            ),
            (
                "timeseries",
                "Attempts by task",
                "ops",
                [("topk(15, sum by (task) (rate(headrace_attempts_total[$__rate_interval])))", "{{task}}")],
            ),
            (
                "timeseries",
                "Failures and retries by task",
                "ops",
                [
                    (
                        'sum by (task, outcome) (rate(headrace_attempts_total{outcome=~"failed|retried"}'
                        "[$__rate_interval]))",
                        "{{task}} {{outcome}}",
                    )
                ],
            ),
            (
                "timeseries",
                "Unfinished jobs",
                "short",
                [("max by (queue, state) (headrace_jobs)", "{{queue}} {{state}}")],
            ),
        ],
    ),
    (
        "Waiting and running",
        [
            ("timeseries", "Oldest wait", "s", [("max by (queue) (headrace_oldest_wait_seconds)", "{{queue}}")]),
            (
                "timeseries",
                "Wait",
                "s",
                [
                    (
                        f"histogram_quantile({q}, sum by (le, queue) (rate(headrace_wait_seconds_bucket"
                        "[$__rate_interval])))",
                        f"{{{{queue}}}} p{q * 100:g}",
                    )
                    for q in (0.5, 0.95, 0.99)
                ],
            ),
            (
                "timeseries",
                "Run",
                "s",
                [
                    (
                        f"histogram_quantile({q}, sum by (le, task) (rate(headrace_run_seconds_bucket"
                        "[$__rate_interval])))",
                        f"{{{{task}}}} p{q * 100:g}",
                    )
                    for q in (0.5, 0.95)
                ],
            ),
            (
                "timeseries",
                "Places taken",
                "percentunit",
                [("sum by (queue) (headrace_places_taken) / sum by (queue) (headrace_places)", "{{queue}}")],
            ),
        ],
    ),
    (
        "Workers",
        [
            ("timeseries", "Workers", "short", [("max by (state) (headrace_workers)", "{{state}}")]),
            ("timeseries", "Longest silence", "s", [("max(headrace_heartbeat_age_seconds)", "heartbeat")]),
            (
                "timeseries",
                "Rescues",
                "short",
                [
                    ("sum(increase(headrace_rescued_jobs_total[$__rate_interval]))", "jobs taken back"),
                    ("sum(increase(headrace_dead_workers_total[$__rate_interval]))", "dead workers"),
                    ("sum(increase(headrace_lost_attempts_total[$__rate_interval]))", "outcomes too late"),
                    ("sum(increase(headrace_abandoned_attempts_total[$__rate_interval]))", "coroutines given up"),
                ],
            ),
            (
                "timeseries",
                "Jobs for each statement",
                "short",
                [
                    (
                        "sum(rate(headrace_settled_jobs_total[$__rate_interval])) / "
                        "sum(rate(headrace_settles_total[$__rate_interval]))",
                        "settled",
                    ),
                    (
                        "sum(rate(headrace_claimed_jobs_total[$__rate_interval])) / "
                        "sum(rate(headrace_claims_total[$__rate_interval]))",
                        "claimed",
                    ),
                ],
            ),
            (
                "timeseries",
                "Outcomes that wait",
                "short",
                [("sum by (instance) (headrace_unsettled_jobs)", "{{instance}}")],
            ),
            (
                "timeseries",
                "CPU",
                "percentunit",
                [('rate(process_cpu_seconds_total{job=~"headrace.*"}[$__rate_interval])', "{{instance}}")],
            ),
            (
                "timeseries",
                "Memory",
                "bytes",
                [('process_resident_memory_bytes{job=~"headrace.*"}', "{{instance}}")],
            ),
            (
                "table",
                "Versions",
                "short",
                [("count by (version) (headrace_worker_info)", "{{version}}")],
            ),
        ],
    ),
    (
        "Limits, schedules, rollouts",
        [
            (
                "timeseries",
                "Slots taken",
                "percentunit",
                [("max by (limit) (headrace_limit_slots_used / (headrace_limit_slots > 0))", "{{limit}}")],
            ),
            (
                "timeseries",
                "Breakers that are not closed",
                "short",
                [('max by (breaker, state) (headrace_breaker_state{state!="closed"})', "{{breaker}} {{state}}")],
            ),
            ("timeseries", "Paused queues", "short", [("max by (queue) (headrace_queue_paused)", "{{queue}}")]),
            (
                "timeseries",
                "Schedules",
                "s",
                [
                    ("max(headrace_schedule_lateness_seconds)", "lateness"),
                    ("max(headrace_schedules_overdue)", "overdue"),
                ],
            ),
            (
                "timeseries",
                "Rollouts",
                "ops",
                [
                    (
                        "sum by (trigger, mode) (rate(headrace_rollout_calls_total[$__rate_interval]))",
                        "{{trigger}} {{mode}}",
                    )
                ],
            ),
        ],
    ),
    (
        "Database",
        [
            ("timeseries", "Horizon held for", "s", [("max(headrace_horizon_age_seconds)", "oldest transaction")]),
            ("timeseries", "Horizon in transactions", "short", [("max(headrace_horizon_age_transactions)", "age")]),
            ("timeseries", "Dead rows", "short", [("max by (table) (headrace_dead_rows)", "{{table}}")]),
            ("timeseries", "Size", "bytes", [("max by (table) (headrace_table_bytes)", "{{table}}")]),
            (
                "timeseries",
                "Connections",
                "short",
                [
                    ("max by (state) (headrace_database_connections)", "{{state}}"),
                    ("max(headrace_database_connections_max)", "allowed"),
                ],
            ),
            (
                "timeseries",
                "Asking takes",
                "s",
                [("max(headrace_vitals_seconds)", "one look"), ("min(headrace_database_up)", "up")],
            ),
        ],
    ),
]


def dashboard() -> dict[str, Any]:
    """The dashboard as Grafana imports it."""
    panels: list[dict[str, Any]] = []
    y = 0
    for title, row in ROWS:
        panels.append({"type": "row", "title": title, "gridPos": {"x": 0, "y": y, "w": 24, "h": 1}, "panels": []})
        y += 1
        width, height = (4, 4) if row[0][0] == "stat" else (12, 8)
        for number, panel in enumerate(row):
            column = number * width % 24
            panels.append(_panel(*panel) | {"gridPos": {"x": column, "y": y, "w": width, "h": height}})
            if column + width == 24 or number == len(row) - 1:
                y += height
    for number, made in enumerate(panels, 1):
        made["id"] = number
    return {
        "uid": "headrace",
        "title": "headrace",
        "tags": ["headrace"],
        "schemaVersion": 39,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "timezone": "browser",
        "templating": {
            "list": [{"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Prometheus"}]
        },
        "panels": panels,
    }


def _panel(kind: str, title: str, unit: str, queries: list[tuple[str, str]]) -> dict[str, Any]:
    return {
        "type": kind,
        "title": title,
        "datasource": SOURCE,
        "fieldConfig": {"defaults": {"unit": unit, "min": 0}, "overrides": []},
        "options": {"legend": {"displayMode": "list", "placement": "bottom"}} if kind == "timeseries" else {},
        "targets": [
            {"refId": chr(ord("A") + number), "datasource": SOURCE, "expr": expression, "legendFormat": legend}
            | ({"instant": True} if kind != "timeseries" else {})
            for number, (expression, legend) in enumerate(queries)
        ],
    }


if __name__ == "__main__":
    HERE.write_text(json.dumps(dashboard(), indent=1) + "\n")
    sys.stdout.write(f"{HERE.name}: {len(dashboard()['panels'])} panels\n")
