"""Ticks schedules when they are due: in every worker, without a leader.

1. Ask what is due, by the database's clock, with the stored moment and the row's revision.
2. Plan, here: which moments have come, which of them run, and what is next. Time zones and cron are Python's.
3. Tell the database. A plan counts if the row still has that revision; its ticks, its jobs and what is next are one
   transaction. Any number of workers may do this at the same time: one wins each row, nobody waits (ENGINE 32).

Nothing is held between 1 and 3, so a worker may die at any point: nothing has happened, or all of it.

What this worker cannot plan, because its tzdata does not know the zone, is put off by itself, and so is what cannot be
ticked: the other schedules of the chunk go on.

Each tick leaves a dead entry at the head of the index of what is due, which stays as long as some transaction may see
it (ENGINE 14). So a look that follows one that found nothing looks only a little further back than that one's time.
What appears before (a schedule that was made in a long transaction, a clock that was set forward) is found by a look
at everything, every `FULL_LOOK_S`.
"""

from __future__ import annotations

import json
import logging
import time
from typing import TYPE_CHECKING, Any

import psycopg

from headrace._schedule.catching_up import DueMoment, Jitter, Plan, plan
from headrace._schedule.rules import Moment, make_rule
from headrace.errors import ConfigurationError, DatabaseUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from headrace._schedule.rules import Rule
    from headrace._store.database import Database
    from headrace._worker.timings import Timings

CHUNK = 250
"""Schedules, or tenants of one, for one statement: about 50 ms."""

FULL_LOOK_S = 5.0
MARGIN_S = 5.0
RELEASE_CHUNK = 500
RETRY_S = 60.0
_WAITING_LOOK_S = 0.2
_SHORTEST_WAIT_S = 0.001
_BEATEN_WAIT_S = 0.05
"""When other workers hold what is due."""

_BEFORE_ALL = ("", "")
_log = logging.getLogger("headrace.worker")


class Ticker:
    """One worker's turn at ticking.

    Args:
        clock: The time that the statements are told; None: the database's. Tests step it.
        monotonic: For how long ago something was; tests step it.
    """

    def __init__(
        self,
        database: Database,
        timings: Timings,
        clock: Callable[[], datetime | None] = lambda: None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._timings = timings
        self._clock = clock
        self._monotonic = monotonic
        self._full_look_at = float("-inf")
        self._nothing_at: float | None = None
        self._released_to = _BEFORE_ALL

    async def tick(self) -> float:
        """Tick a chunk of what is due; how many seconds to wait before the next."""
        waiting = await self._release()
        now = self._clock()
        rows = await self._look(now)
        due = [row for row in rows if row["due_in_s"] <= 0]
        longest = _WAITING_LOOK_S if waiting else self._timings.schedule_s
        if due:
            ticked = await self._tick_all(due, now)
            return 0.0 if ticked else _BEATEN_WAIT_S
        first_s: float = min([longest, *(row["due_in_s"] for row in rows)])
        return max(_SHORTEST_WAIT_S, first_s)

    async def _look(self, now: datetime | None) -> list[dict[str, Any]]:
        """What is due, or will be before the next look."""
        looked_at, nothing_at = self._monotonic(), self._nothing_at
        self._nothing_at = None  # until this has been answered
        behind_s = None
        if nothing_at is None or looked_at - self._full_look_at > FULL_LOOK_S:
            self._full_look_at = looked_at
        else:
            behind_s = looked_at - nothing_at + MARGIN_S
        rows = await self._database.records(
            "list_due_schedules", now=now, ahead_s=self._timings.schedule_s, behind_s=behind_s, chunk=CHUNK
        )
        if not any(row["due_in_s"] <= 0 for row in rows):
            self._nothing_at = looked_at
        return rows

    async def _tick_all(self, due: list[dict[str, Any]], now: datetime | None) -> int:
        planned = [(row, said) for row in due if (said := await self._plan(row, now)) is not None]
        try:
            return await self._send([said for _, said in planned], now)
        except DatabaseUnavailable:
            raise
        except psycopg.Error as error:
            _log.warning("ticking %d schedules: %s; now one by one", len(planned), error)
        return sum([await self._tick_one(row, said, now) for row, said in planned])

    async def _plan(self, row: dict[str, Any], now: datetime | None) -> dict[str, Any] | None:
        try:
            return plan_row(row)
        except ConfigurationError as error:
            await self._postpone(row, now, error)
            return None

    async def _tick_one(self, row: dict[str, Any], said: dict[str, Any], now: datetime | None) -> int:
        try:
            return await self._send([said], now)
        except DatabaseUnavailable:
            raise
        except psycopg.Error as error:
            await self._postpone(row, now, error)
            return 0

    async def _send(self, plans: list[dict[str, Any]], now: datetime | None) -> int:
        if not plans:
            return 0
        return len(await self._database.rows("tick_schedules", plans=json.dumps(plans), now=now))

    async def _postpone(self, row: dict[str, Any], now: datetime | None, error: Exception) -> None:
        which = ("schedule", "tenant", "revision")
        problem = str(error).strip()
        _log.warning('schedule "%s"%s: %s; again in %g s', row["schedule"], _of(row["tenant"]), problem, RETRY_S)
        await self._database.rows(
            "postpone_schedule", **{name: row[name] for name in which}, problem=problem, wait_s=RETRY_S, now=now
        )

    async def _release(self) -> bool:
        """Enqueue what waited for an earlier job; whether anything waited."""
        after_schedule, after_tenant = self._released_to
        looked = await self._database.rows(
            "release_waiting_ticks",
            after_schedule=after_schedule, after_tenant=after_tenant, chunk=RELEASE_CHUNK, now=self._clock(),
        )  # fmt: skip
        self._released_to = looked[-1] if len(looked) == RELEASE_CHUNK else _BEFORE_ALL
        return bool(looked)


def _of(tenant: str) -> str:
    return f' of tenant "{tenant}"' if tenant else ""


def plan_row(row: dict[str, Any]) -> dict[str, Any]:
    """The plan for a row of list_due_schedules, as headrace.tick_schedules takes it.

    Raises:
        ConfigurationError: Its rule cannot be read here.
    """
    said = {name: row[name] for name in ("schedule", "tenant", "revision")}
    if row["catch_up"] is None:  # its schedule was deleted meanwhile
        return said | {"moments": []}
    rule = rule_of(row)
    jitter = Jitter(row["jitter"], row["schedule"], row["tenant"])
    made = _plan(row, rule, jitter)
    said["moments"] = [_moment(due) for due in made.due]
    if made.next is None:
        return said
    return said | {
        "next_due": jitter.due(made.next).isoformat(),
        "next_at": made.next.at.isoformat(),
        "next_nominal": made.next.nominal.isoformat(),
        "next_fold": made.next.fold,
    }


def rule_of(row: dict[str, Any]) -> Rule:
    """The rule of a row."""
    return make_rule(**{name: row[name] for name in ("cron", "every", "at", "timezone", "start_at", "end_at")})


def _plan(row: dict[str, Any], rule: Rule, jitter: Jitter) -> Plan:
    if row["next_nominal"] is None:
        return Plan([], rule.after(row["next_at"]))
    first = Moment(row["next_at"], row["next_nominal"], row["next_fold"])
    return plan(rule, jitter, first, row["now"], row["catch_up"], row["catch_up_limit"])


def _moment(due: DueMoment) -> dict[str, Any]:
    return {
        "nominal": due.moment.nominal.isoformat(),
        "fold": due.moment.fold,
        "due_at": due.due_at.isoformat(),
        "runs": due.runs,
        "through": None if due.through is None else due.through.isoformat(),
    }
