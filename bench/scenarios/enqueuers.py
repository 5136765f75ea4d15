"""Many connections that enqueue at the same time. NOTIFY takes a lock of the whole cluster at COMMIT: what is left of
the commits without it?"""

from __future__ import annotations

import statistics
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg

from bench.processes import running_operation
from bench.waiting import wait_for

if TYPE_CHECKING:
    from bench.context import Context, Row

PEER = "headrace"
PROCESSES = 4
READY_DEADLINE_S = 120.0
END_DEADLINE_S = 60.0
TRIGGER = "job_wake"


def own(context: Context) -> Row:
    """Enqueues on headrace's own connections."""
    return _pairs(context, "own")


def callers(context: Context) -> Row:
    """Enqueues inside transactions of the callers, which write a row of their own."""
    return _pairs(context, "callers")


def _pairs(context: Context, whose: str) -> Row:
    pairs: list[tuple[float, float]] = []
    for number in range(context.sizes.enqueuers_pairs):
        if number % 2 == 0:
            notified = _commits_per_s(context, whose, notify=True)
            pairs.append((notified, _commits_per_s(context, whose, notify=False)))
        else:
            silent = _commits_per_s(context, whose, notify=False)
            pairs.append((_commits_per_s(context, whose, notify=True), silent))
    return {
        "commits_per_s": [notified for notified, _ in pairs],
        "silent_commits_per_s": [silent for _, silent in pairs],
        "rate_ratio": statistics.median(notified / silent for notified, silent in pairs),
    }


def _commits_per_s(context: Context, whose: str, *, notify: bool) -> float:
    sizes = context.sizes
    with context.installed(PEER) as database, ExitStack() as stack:
        if not notify:
            database.execute(f"alter table headrace.job disable trigger {TRIGGER}")
        # Somebody must listen, or NOTIFY is cheaper than it is; a worker would take the cores that are measured.
        listener = stack.enter_context(psycopg.connect(database.url, autocommit=True))
        listener.execute("listen headrace_wake")
        listener.execute("create table orders (n integer)")
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="headrace-bench-")))
        connections = sizes.enqueuer_connections // PROCESSES
        words = ("enqueuers", database.url, folder, whose, connections, sizes.enqueuers_s)
        running = [stack.enter_context(running_operation("bench.producers", *words)) for _ in range(PROCESSES)]

        def all_are_enqueueing() -> bool:
            return all(process.is_running() for process in running) and len(list(folder.glob("ready.*"))) == PROCESSES

        wait_for("all enqueuers are connected", all_are_enqueueing, READY_DEADLINE_S)
        (folder / "go").touch()
        deadline_s = sizes.enqueuers_s + END_DEADLINE_S
        return sum(float(process.answer(deadline_s)["commits_per_s"]) for process in running)
