"""What changes, told to everybody who listens, from one look at the database for all of them.

While anybody listens, the hub looks twice a second: at what came and what finished in the last seconds, at the jobs
that somebody has on a page, and, as seldom as it costs little, at how long the queues are. What is new since the last
look becomes one change, with a number. Nothing here depends on NOTIFY, and nothing is looked at while nobody listens.

A client that comes back says which change it saw last, and gets those that it missed; if they are not known any more
(a minute is kept), or were another process's, it is told to load its page again. A client that does not read falls
behind; it is let go, comes back, and catches up in the same way.
"""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal
from uuid import UUID

import psycopg

from headrace.errors import HeadraceError
from headrace.job import State

if TYPE_CHECKING:
    from headrace.app import Headrace

LOOK_S = 0.5
"""Changes are told at most so often."""

LOOK_BACK_S = 5.0
"""What was committed so long after its time is missed; so that a busy second is not read ten times, no longer."""

MOST_JOBS = 200
"""Of one change; more than that nobody reads one by one."""

COUNTING_SHARE = 0.05
"""Of one connection's time, that counting the queues may take: a million jobs are counted every few seconds."""

KEPT = 120
"""Changes that are kept for those who come back: a minute's."""

BACKLOG = 32
"""A client with so many unread changes is let go."""

LINGER_S = 30.0
"""The hub looks on for so long after the last one has left: they may come back, and ask what they missed."""

MOST_WATCHED = 200
"""Jobs that one client may watch."""

Kind = Literal["hello", "reset", "change"]
_log = logging.getLogger("headrace.web")


@dataclass(frozen=True)
class Changed:
    """A job that has changed."""

    id: str
    state: str
    run: int
    task: str
    queue: str
    tenant: str | None


@dataclass(frozen=True, kw_only=True)
class Change:
    """What changed between two looks.

    Attributes:
        number: One more than the change before.
        jobs: Jobs that came, finished, or are watched and differ.
        more: Whether more changed than these.
        queues: Unfinished jobs by queue and state, of the queues in which that differs.
    """

    number: int
    jobs: tuple[Changed, ...]
    more: bool
    queues: dict[str, dict[str, int]]


@dataclass(eq=False)
class Listener:
    """Somebody who listens.

    Attributes:
        watched: Jobs of which every change is told.
        unread: Changes that were not taken yet; None: it has fallen behind, or the hub has closed.
    """

    watched: frozenset[str]
    unread: asyncio.Queue[Change | None] = field(default_factory=lambda: asyncio.Queue(BACKLOG + 1))


class Hub:
    """Looks for all who listen in this process, on one event loop.

    Args:
        app: Whose jobs.
        look_s: How often.
        clock: Monotonic; tests step it.
    """

    def __init__(self, app: Headrace, *, look_s: float = LOOK_S, clock: Callable[[], float] = time.monotonic) -> None:
        self._app = app
        self._look_s = look_s
        self._clock = clock
        self._name = uuid.uuid4().hex[:8]
        self._number = 0
        self._kept: deque[Change] = deque(maxlen=KEPT)
        self._listeners: set[Listener] = set()
        self._looking: asyncio.Task[None] | None = None
        self._looked = asyncio.Event()
        self._known: dict[str, tuple[int, str]] = {}
        self._counts: dict[str, dict[str, int]] = {}
        self._count_at = float("-inf")
        self._left_at = float("-inf")

    # -- listening --

    async def listen(
        self, watched: Iterable[UUID] = (), last_id: str | None = None
    ) -> AsyncIterator[tuple[Kind, str, Change | None]]:
        """What happens, with ids: "hello" once everything from now on is told, and then every "change".

        Before the changes come those that were missed since `last_id`, or "reset" if they are not known any more. Ends
        when the listener has fallen behind, or the hub closes.
        """
        since = last_id or self._last_id
        listener = Listener(frozenset(map(str, watched)))
        missed = self._since(since)
        self._listeners.add(listener)
        self._start()
        try:
            await self._looked.wait()
            yield "hello", since, None
            if missed is None:
                yield "reset", self._last_id, None
            for change in missed or ():
                yield "change", self._id_of(change), change
            while (following := await listener.unread.get()) is not None:
                yield "change", self._id_of(following), following
        finally:
            self._listeners.discard(listener)
            self._left_at = self._clock()

    def _id_of(self, change: Change) -> str:
        return f"{self._name}-{change.number}"

    @property
    def _last_id(self) -> str:
        return f"{self._name}-{self._number}"

    def _since(self, last_id: str) -> list[Change] | None:
        name, _, number = last_id.rpartition("-")
        if name != self._name or not number.isdecimal():
            return None
        seen = int(number)
        if seen < self._number and (not self._kept or self._kept[0].number > seen + 1):
            return None
        return [change for change in self._kept if change.number > seen]

    def let_all_go(self) -> None:
        """Tell everybody who listens that this process stops."""
        for listener in list(self._listeners):
            self._let_go(listener)

    async def close(self) -> None:
        """Let everybody go, and look no more."""
        self.let_all_go()
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)

    # -- looking --

    def _start(self) -> None:
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._keep_looking(), name="headrace live")

    async def _keep_looking(self) -> None:
        while self._listeners or self._clock() - self._left_at < LINGER_S:
            try:
                await self._look(tell=self._looked.is_set())
                self._looked.set()
            except (HeadraceError, psycopg.Error) as error:
                _log.warning("cannot look for changes, trying again: %s", error)
            await asyncio.sleep(self._look_s)
        self._looked.clear()
        self._number += 1  # what changes from now on is missed: whoever comes back has to be told
        self._kept.clear()

    async def _look(self, *, tell: bool) -> None:
        database = await self._app.database()
        records = await database.records("list_changes", seconds=LOOK_BACK_S, limit=MOST_JOBS + 1)
        finished = sum(State(record["state"]).final for record in records)
        more = max(finished, len(records) - finished) > MOST_JOBS
        if watched := set().union(*(listener.watched for listener in self._listeners)):
            records += await database.records("list_states", ids=sorted(watched))
        found = {r["id"]: Changed(*(r[name] for name in Changed.__dataclass_fields__)) for r in records}
        new = [it for it in found.values() if self._known.get(it.id) != (it.run, it.state)]
        self._known = {it.id: (it.run, it.state) for it in found.values()}
        queues = await self._count()
        if tell and (new or queues):
            self._tell(new, more=more and bool(new), queues=queues)

    async def _count(self) -> dict[str, dict[str, int]]:
        """The queues whose numbers differ from the last count, if it is time for one."""
        if self._clock() < self._count_at:
            return {}
        began = self._clock()
        records = await (await self._app.database()).records("count_queues")
        took_s = self._clock() - began
        self._count_at = self._clock() + took_s / COUNTING_SHARE
        states = ("queued", "running", "scheduled", "blocked")
        counts = {record["queue"]: {state: record[state] for state in states} for record in records}
        changed = {name: count for name, count in counts.items() if self._counts.get(name) != count}
        self._counts = counts
        return changed

    def _tell(self, new: list[Changed], *, more: bool, queues: dict[str, dict[str, int]]) -> None:
        self._number += 1
        change = Change(number=self._number, jobs=tuple(new), more=more, queues=queues)
        self._kept.append(change)
        for listener in list(self._listeners):
            if listener.unread.qsize() >= BACKLOG:
                self._let_go(listener)
            else:
                listener.unread.put_nowait(change)

    def _let_go(self, listener: Listener) -> None:
        self._listeners.discard(listener)
        listener.unread.put_nowait(None)


def as_seen(change: Change, tenant: str | None, watched: Iterable[UUID] = ()) -> dict[str, Any] | None:
    """A change as a caller may see it; None if there is nothing in it for them."""
    jobs = [job for job in change.jobs if tenant is None or job.tenant == tenant]
    if tenant is not None and not jobs and not change.more:
        return None
    told = [{"id": it.id, "state": it.state, "task": it.task, "queue": it.queue} for it in jobs[:MOST_JOBS]]
    return {
        "jobs": told,
        "more": change.more or len(jobs) > MOST_JOBS,
        "queues": change.queues if tenant is None else {},
    }
