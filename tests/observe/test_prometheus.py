"""A real Prometheus scrapes a real worker: the dashboard and the alert rules show something."""

from __future__ import annotations

import json
import math
import re
import runpy
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.observe.commands import free_port
from tests.observe.prometheus import CHECKER, Prometheus, installed

if TYPE_CHECKING:
    from collections.abc import Callable

    from headrace import Headrace
    from tests.observe.commands import Command

DOCS = Path(__file__).parents[2] / "docs" / "observability"
GRAFANA = Path(__file__).parents[2] / "tools" / "make_grafana.py"
needs_prometheus = pytest.mark.skipif(not installed(), reason="Debian's package prometheus is not installed")
COMPARISON = re.compile(r"\s(?:>=|==|>|<)\s[\d.]+")


def expressions_of_dashboard() -> list[str]:
    panels = json.loads((DOCS / "grafana.json").read_text())["panels"]
    return [target["expr"] for panel in panels for target in panel.get("targets", [])]


def rules() -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load((DOCS / "alerts.yml").read_text())["groups"] for rule in group["rules"]]


@pytest.fixture
async def prometheus(app: Headrace, start: Callable[..., Command], tmp_path: Path) -> Any:
    """One that has seen a worker run, fail and retry jobs."""
    port = free_port()
    worker = start("worker", "tests.observe.sample_app:app", "--metrics-port", str(port))
    target = f"127.0.0.1:{port}"
    running = Prometheus(tmp_path, free_port(), {"/metrics": [target], "/metrics/database": [target]})
    try:
        worker.wait_for(lambda lines: any("started; queues" in line for line in lines), "the worker starts")
        running.until("count(up == 1) == 2")
        for name in ("say.async", "say.failing", "nightly"):
            task = app.task(name=name)(_stub if name != "nightly" else _stub_nightly)
            await app.enqueue_many(
                task.options(max_attempts=2).job(**{} if name == "nightly" else {"number": n}) for n in range(50)
            )
        running.until('sum(rate(headrace_attempts_total{outcome="failed"}[1m])) > 0')
        running.until('sum(increase(headrace_attempts_total{task="nightly",outcome="succeeded"}[1m])) > 0')
        yield running
    finally:
        running.close()


@pytest.mark.process
@needs_prometheus
async def test_every_expression_gives_data(prometheus: Prometheus) -> None:
    """No panel of the dashboard stays empty, and no rule watches a series that does not exist."""
    empty = []
    for expression in expressions_of_dashboard():
        found = prometheus.query(expression.replace("$__rate_interval", "1m"))
        if not any(math.isfinite(float(series["value"][1])) for series in found):
            empty.append(expression)
    for rule in rules():
        prometheus.query(rule["expr"])  # a mistake in it raises
        watched = COMPARISON.sub("", rule["expr"])
        assert watched != rule["expr"], f"{rule['alert']} has no threshold"
        if not prometheus.query(watched):
            empty.append(rule["expr"])
    assert empty == []


@needs_prometheus
def test_the_rules_are_valid() -> None:
    """Prometheus's own checker accepts them, templates included."""
    checked = subprocess.run(
        [CHECKER, "check", "rules", DOCS / "alerts.yml"], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_the_dashboard_is_what_its_program_writes() -> None:
    """grafana.json is not edited by hand."""
    assert json.loads((DOCS / "grafana.json").read_text()) == runpy.run_path(str(GRAFANA))["dashboard"]()


def test_every_metric_is_documented() -> None:
    """The page has all the names that the dashboard and the rules use."""
    page = (DOCS.parent / "observability.md").read_text()
    text = " ".join([*expressions_of_dashboard(), *(rule["expr"] for rule in rules())])
    names = {re.sub(r"_(bucket|total|info)$", "", name) for name in re.findall(r"\bheadrace_\w+", text)}
    assert {name for name in names if f"`{name}" not in page} == set()


async def _stub(number: int) -> None:
    raise AssertionError("another process runs it")


async def _stub_nightly() -> None:
    raise AssertionError("another process runs it")
