"""One module for each family."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from bench.scenarios import drain, endurance, enqueue, enqueuers, flat, late_backlog, latency, limited, steady

if TYPE_CHECKING:
    from bench.context import Context, Row

COMPARED: dict[str, Callable[[Context, str], Row]] = {
    "enqueue_one": enqueue.enqueue_one,
    "enqueue_many": enqueue.enqueue_many,
    "drain": drain.drain,
    "drain_two": drain.drain_two,
    "drain_sync": drain.drain_sync,
    "latency": latency.latency,
}
"""Run for every peer, several times, in turn."""

ALONE: dict[str, Callable[[Context], Row]] = {
    "flat_finished": flat.finished,
    "flat_scheduled": flat.scheduled,
    "flat_both": flat.both,
    "flat_held": flat.held,
    "flat_open_write": flat.open_write,
    "drain_limited": limited.drain_limited,
    "late_backlog": late_backlog.late_backlog,
    "enqueuers_own": enqueuers.own,
    "enqueuers_callers": enqueuers.callers,
    "steady": steady.steady,
    "endurance": endurance.endurance,
}
"""Of headrace alone; long, so run once, and what is compared is measured in turn inside."""
