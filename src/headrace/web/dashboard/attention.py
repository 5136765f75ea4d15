"""What needs somebody's attention, from everything that is known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from headrace.web.dashboard.showing import quoted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headrace import Headrace, QueueInfo, WorkerInfo


@dataclass(frozen=True)
class Note:
    """One thing to look at.

    Attributes:
        kind: How bad it is: "error", "warning" or "info".
        what: In a few words.
        more: The rest.
        path: Where to look.
    """

    kind: str
    what: str
    more: str
    path: str


async def attention(app: Headrace, queues: Sequence[QueueInfo], workers: Sequence[WorkerInfo]) -> list[Note]:
    """What can be known at once, the worst first; `Headrace.diagnose` takes longer."""
    found = [_queues(queues), _workers(workers), await _breakers(app)]
    order = {"error": 0, "warning": 1, "info": 2}
    return sorted((note for notes in found for note in notes), key=lambda note: order[note.kind])


def _queues(queues: Sequence[QueueInfo]) -> list[Note]:
    notes = []
    for queue in queues:
        path = f"/queues/{quoted(queue.name)}"
        if queue.pause is not None and queue.pause.queue:
            reason = queue.pause.reason or "no reason given"
            notes.append(Note("warning", f"Queue {queue.name} is paused", reason, path))
        elif not queue.workers and queue.queued:
            notes.append(Note("error", f"No worker serves queue {queue.name}", f"{queue.queued:,} jobs wait", path))
        if queue.max_queued is not None and queue.queued >= queue.max_queued:
            notes.append(Note("error", f"Queue {queue.name} is full", "enqueueing is refused", path))
    if any(queue.pause is not None and not queue.pause.queue for queue in queues):
        notes.append(Note("error", "All queues are paused", "no job starts", "/queues"))
    return notes


def _workers(workers: Sequence[WorkerInfo]) -> list[Note]:
    if not workers:
        return [Note("error", "No worker is running", "jobs wait", "/workers")]
    return [
        Note("warning", f"Worker {worker.id} is silent", f"process {worker.pid} on {worker.host}", "/workers")
        for worker in workers
        if worker.state == "silent"
    ]


async def _breakers(app: Headrace) -> list[Note]:
    return [
        Note(
            "warning", f"Breaker {breaker.name} is {(breaker.forced or breaker.state).replace('_', ' ')}",
            "held by an operator" if breaker.forced else f"{breaker.failed} attempts failed", "/limits",
        )
        for breaker in await app.breakers.list()
        if (breaker.forced or breaker.state) != "closed"
    ]  # fmt: skip
