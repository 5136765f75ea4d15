"""What Prometheus sees of one worker: attempts and how long they took, places, claims, settles, rescues.

Attempts are counted as they end, by a middleware. Everything else the worker counts anyway, and it is read when
somebody asks, in whatever thread.

Labels are bounded: a worker serves the queues that it was started with, and runs the tasks that its app registers.
"""

from __future__ import annotations

from collections import Counter as Sum
from typing import TYPE_CHECKING

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily
from prometheus_client.registry import Collector

from headrace.middleware import Ending, Middleware
from headrace.trigger import RolloutMode

if TYPE_CHECKING:
    from collections.abc import Iterable

    from prometheus_client.metrics_core import Metric

    from headrace._worker.worker import Worker
    from headrace.app import Headrace

WAIT_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 3600, 6 * 3600)
RUN_BUCKETS_S = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 3600)
UNKNOWN = "(unknown)"
"""Jobs of tasks that are not registered here: their names are whatever an enqueuer wrote."""


class WorkerMetrics(Middleware):
    """Counts what a worker does. Make it before the worker, and show it the worker with `watch`.

    Args:
        app: The worker's app, whose middlewares this joins.

    Attributes:
        registry: What is exposed; the program's own metrics may be registered in it too.
    """

    def __init__(self, app: Headrace) -> None:
        self.registry = CollectorRegistry(auto_describe=True)
        self._app = app
        self._attempts = Counter(
            "headrace_attempts", "Attempts that have ended.", ["queue", "task", "outcome"], registry=self.registry
        )
        self._run_s = Histogram(
            "headrace_run_seconds",
            "How long handlers ran.",
            ["queue", "task"],
            buckets=RUN_BUCKETS_S,
            registry=self.registry,
        )
        self._wait_s = Histogram(
            "headrace_wait_seconds",
            "How long jobs of attempts that have ended had been due when they were claimed.",
            ["queue"],
            buckets=WAIT_BUCKETS_S,
            registry=self.registry,
        )
        self._children: dict[tuple[str, str, str], tuple[Counter, Histogram, Histogram]] = {}
        for collector in (
            prometheus_client.ProcessCollector,
            prometheus_client.PlatformCollector,
            prometheus_client.GCCollector,
        ):
            collector(registry=self.registry)
        self.registry.register(RolloutCollector(app))
        for task in app.tasks.values():  # a counter that begins with its first failure has no increase to alert on
            for outcome in ("succeeded", "retried", "failed"):
                self._of(task.settings.queue, task.name, outcome)
        app.middlewares.append(self)

    def watch(self, worker: Worker) -> None:
        """Show this worker's places, claims, settles and rescues too, once it has started."""
        self.registry.register(_WorkerCollector(worker))

    def on_end(self, ending: Ending) -> None:
        """Count it."""
        task = ending.task if ending.task in self._app.tasks else UNKNOWN
        attempts, run_s, wait_s = self._of(ending.queue, task, ending.outcome)
        attempts.inc()
        if ending.run_s is not None:
            run_s.observe(ending.run_s)
        if ending.wait_s is not None:
            wait_s.observe(ending.wait_s)

    def _of(self, queue: str, task: str, outcome: str) -> tuple[Counter, Histogram, Histogram]:
        key = (queue, task, outcome)
        children = self._children.get(key)
        if children is None:  # looking it up by its labels takes longer than counting
            children = self._children[key] = (
                self._attempts.labels(queue, task, outcome),
                self._run_s.labels(queue, task),
                self._wait_s.labels(queue),
            )
        return children


class RolloutCollector(Collector):
    """What became of this process's calls of triggers."""

    def __init__(self, app: Headrace) -> None:
        self._app = app

    def describe(self) -> Iterable[Metric]:
        """Its names, without asking."""
        return [CounterMetricFamily("headrace_rollout_calls", "")]

    def collect(self) -> Iterable[Metric]:
        """The counts of all rollouts."""
        calls = CounterMetricFamily("headrace_rollout_calls", "Calls of triggers.", labels=["trigger", "mode"])
        counts: Sum[tuple[str, str]] = Sum()
        for rollout in self._app.rollouts:
            counts.update({(trigger, mode): 0 for trigger in rollout.triggers for mode in RolloutMode})
            counts.update(rollout.counts())
        for (trigger, mode), count in counts.items():
            calls.add_metric([trigger, str(mode)], count)
        yield calls


class _WorkerCollector(Collector):
    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    def describe(self) -> Iterable[Metric]:
        return [GaugeMetricFamily("headrace_places", "")]

    def collect(self) -> Iterable[Metric]:
        worker = self._worker
        claims, settles, maintenance = worker.claims, worker.settles, worker.maintenance
        info = {"worker": str(worker.id), "version": worker.version}
        yield InfoMetricFamily("headrace_worker", "Which worker this is.", value=info)
        places = GaugeMetricFamily("headrace_places", "Jobs that may run here at the same time.", labels=["queue"])
        taken = GaugeMetricFamily("headrace_places_taken", "Jobs that are claimed here and not over.", labels=["queue"])
        in_use = claims.taken()
        for queue, count in claims.places.items():
            places.add_metric([queue], count)
            taken.add_metric([queue], in_use.get(queue, 0))
        yield from (places, taken)
        yield GaugeMetricFamily(
            "headrace_unsettled_jobs", "Outcomes that wait to be recorded.", value=len(settles.unsettled_ids())
        )
        for name, text, value in (
            ("claims", "Statements that claimed.", claims.calls),
            ("claimed_jobs", "Jobs that were claimed.", claims.claimed),
            ("settles", "Statements that settled.", settles.calls),
            ("settled_jobs", "Outcomes that were recorded.", settles.settled),
            ("lost_attempts", "Attempts whose outcome came too late, when they were somebody else's.", settles.lost),
            ("rescued_jobs", "Jobs of dead workers that this one took back.", maintenance.rescued),
            ("dead_workers", "Dead workers that this one found first.", maintenance.dead_workers),
            ("abandoned_attempts", "Coroutines that went on after they were cancelled.", worker.runner.abandoned),
        ):
            yield CounterMetricFamily(f"headrace_{name}", text, value=value)
