"""What Prometheus sees of the database: the same from whichever process it asks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily as Gauge
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from collections.abc import Iterable

    from headrace._store.database import Database
    from headrace.observe.vitals import CachedVitals, Vitals

STATES = ("blocked", "scheduled", "queued", "running")
BREAKER_STATES = ("closed", "half_open", "open")
MOST_NAMES = 200
"""Of queues, limits and breakers: enqueuers may name queues as they like, and each name is some ten series for ever."""
OTHER = "(others)"


async def database_registry(database: Database, cached: CachedVitals) -> CollectorRegistry:
    """The metrics of the database as it is now, or was some seconds ago.

    `headrace_database_up` is 1; a database that does not answer is for the caller to tell (`database_down`).

    Raises:
        DatabaseUnavailable: It does not answer.
    """
    return _registry(_DatabaseCollector(await cached.read(database)))


def database_down() -> CollectorRegistry:
    """What there is to say of a database that does not answer."""
    return _registry(_Down())


def _registry(collector: Collector) -> CollectorRegistry:
    registry = CollectorRegistry(auto_describe=False)
    registry.register(collector)
    return registry


class _Down(Collector):
    def collect(self) -> Iterable[Gauge]:
        yield Gauge("headrace_database_up", "Whether the database answers.", value=0)


class _DatabaseCollector(Collector):
    def __init__(self, vitals: Vitals) -> None:
        self._vitals = vitals

    def collect(self) -> Iterable[Gauge]:
        yield Gauge("headrace_database_up", "Whether the database answers.", value=1)
        yield Gauge(
            "headrace_vitals_seconds", "How long it took to ask the database for these.", value=self._vitals.took_s
        )
        yield from self._queues()
        yield from self._workers()
        yield from self._limits()
        yield from self._schedules()
        yield from self._server()

    def _queues(self) -> Iterable[Gauge]:
        jobs = Gauge("headrace_jobs", "Unfinished jobs.", labels=["queue", "state"])
        oldest = Gauge(
            "headrace_oldest_wait_seconds",
            "How long the oldest queued job has been due; 0 without one.",
            labels=["queue"],
        )
        paused = Gauge("headrace_queue_paused", "Whether the queue is paused.", labels=["queue"])
        ranked = sorted(self._vitals.queues, key=lambda queue: -sum(queue["jobs"].values()))
        for queue in ranked[:MOST_NAMES]:
            for state in STATES:
                jobs.add_metric([queue["name"], state], queue["jobs"].get(state, 0))
            oldest.add_metric([queue["name"]], queue["oldest_s"])
            paused.add_metric([queue["name"]], queue["paused"])
        if rest := ranked[MOST_NAMES:]:
            for state in STATES:
                jobs.add_metric([OTHER, state], sum(queue["jobs"].get(state, 0) for queue in rest))
            oldest.add_metric([OTHER], max(queue["oldest_s"] for queue in rest))
            paused.add_metric([OTHER], any(queue["paused"] for queue in rest))
        yield from (jobs, oldest, paused)

    def _workers(self) -> Iterable[Gauge]:
        workers, vitals = Gauge("headrace_workers", "Leases.", labels=["state"]), self._vitals
        workers.add_metric(["working"], sum(not worker["draining"] for worker in vitals.workers))
        workers.add_metric(["draining"], sum(worker["draining"] for worker in vitals.workers))
        yield workers
        yield Gauge(
            "headrace_heartbeat_age_seconds",
            "How long ago the worker that has been silent for longest renewed its lease; 0 without workers.",
            value=max((worker["silent_s"] for worker in vitals.workers), default=0),
        )
        yield Gauge(
            "headrace_lost_workers", "Workers whose lease lapsed within the last hour.", value=len(vitals.lost_workers)
        )

    def _limits(self) -> Iterable[Gauge]:
        state = Gauge("headrace_breaker_state", "1 for the state that the breaker is in.", labels=["breaker", "state"])
        for breaker in self._vitals.breakers[:MOST_NAMES]:
            for one in BREAKER_STATES:
                state.add_metric([breaker["name"], one], breaker["state"] == one)
        used = Gauge("headrace_limit_slots_used", "Slots that are taken, of all keys.", labels=["limit"])
        slots = Gauge("headrace_limit_slots", "Slots, of all keys that are in use.", labels=["limit"])
        for limit in self._vitals.limits[:MOST_NAMES]:
            used.add_metric([limit["name"]], limit["used"])
            slots.add_metric([limit["name"]], limit["bound"] * max(1, limit["keys"]))
        yield from (state, used, slots)

    def _schedules(self) -> Iterable[Gauge]:
        schedules = self._vitals.schedules
        yield Gauge(
            "headrace_schedule_lateness_seconds",
            "How long the schedule that is most overdue has been due; 0 if none is.",
            value=schedules["lateness_s"],
        )
        yield Gauge("headrace_schedules_overdue", "Schedules that are due and not ticked.", value=schedules["overdue"])
        yield Gauge(
            "headrace_missed_ticks",
            "Moments of schedules within the last hour that got no job: nobody ticked in time, or the job was refused.",
            value=sum(missed["ticks"] for missed in self._vitals.missed),
        )

    def _server(self) -> Iterable[Gauge]:
        vitals = self._vitals
        yield Gauge(
            "headrace_horizon_age_seconds",
            "For how long the oldest transaction that dead rows are kept for has been open.",
            value=max((holder["age_s"] or 0.0 for holder in vitals.holders), default=0.0),
        )
        yield Gauge(
            "headrace_horizon_age_transactions",
            "How many transactions began since the oldest snapshot or slot that dead rows are kept for.",
            value=max((holder["transactions"] or 0 for holder in vitals.holders), default=0),
        )
        connections = Gauge("headrace_database_connections", "The server's connections.", labels=["state"])
        for state, count in vitals.connections.items():
            connections.add_metric([state], count)
        yield connections
        yield Gauge("headrace_database_connections_max", "How many it allows.", value=vitals.max_connections)
        dead = Gauge("headrace_dead_rows", "Rows that vacuum has to remove, as PostgreSQL estimates.", labels=["table"])
        size = Gauge("headrace_table_bytes", "With indexes.", labels=["table"])
        for table in vitals.tables:
            dead.add_metric([table["name"]], table["dead"])
            size.add_metric([table["name"]], table["bytes"])
        yield from (dead, size)
