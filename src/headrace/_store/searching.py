"""Looks for jobs that match a filter, newest first, a bounded part of the tables at a time.

The order is: first the jobs that were unfinished when the search began, by id (the time of their creation), then those
that had finished, by the time of their end. A `Place` says how far a search has come; it names a job, not a number of
rows, so what comes and goes meanwhile moves nothing. A job that was unfinished and finishes while somebody pages is
still found where it was.

There is no index for most of what can be asked. So each statement looks at a window: the next so many rows in that
order, which it finds out first, in an index. The windows grow while there is time. When it is over, what was found so
far is the answer, with the place behind the last whole window: whoever wants more goes on from there.
"""

from __future__ import annotations

import base64
import dataclasses
import json
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from headrace._filter.scope import Scope
from headrace._store.conditions import Conditions
from headrace._store.sql import query
from headrace.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headrace._store.database import Database
    from headrace.filter import Filter

OPEN_WINDOWS = (20_000, 1_000_000)
WHOLE = 2_000_000
"""So many unfinished jobs are read from end to end, by several processes, sooner than by an index."""

FINISHED_WINDOWS = (20_000, 200_000, 1_000_000)
"""Rows; the last is repeated. The first takes milliseconds, and finds a page of whatever is not rare."""

FIRST_DAYS = 1
"""Where the history's summaries help, the windows behind the first are days, twice as many each time."""

SPARSE_S = 0.6
"""If they take longer than this, the summaries do not help."""

ANY_WAY = {"seqscan": "on", "indexscan": "on"}
FROM_END_TO_END = {"seqscan": "on", "indexscan": "off"}
BY_SUMMARIES = {"seqscan": "off", "indexscan": "off"}
"""How a statement may find its rows. The planner has no idea of the summaries' worth, nor of where rare rows are."""

NEWEST_ID = "ffffffff-ffff-ffff-ffff-ffffffffffff"
OLDEST_ID = "00000000-0000-0000-0000-000000000000"
_EVER = "-infinity"
_LONGEST_DAYS = 400
_GRACE_S = 5.0
"""A statement that is cut off by the server's clock gets this much longer by ours."""


@dataclass(frozen=True, slots=True)
class Place:
    """How far a search has come.

    Attributes:
        as_of: When it began, by the database's clock.
        finished_at: In the finished jobs: before the job that finished then; None: still in the unfinished ones.
        id: Before this job.
    """

    as_of: datetime
    finished_at: datetime | None = None
    id: str = NEWEST_ID

    def encode(self) -> str:
        """As a word that fits into a URL."""
        parts = [self.as_of.isoformat(), self.finished_at.isoformat() if self.finished_at else None, self.id]
        return base64.urlsafe_b64encode(json.dumps(parts).encode()).decode().rstrip("=")

    @classmethod
    def decode(cls, text: str) -> Place:
        """Read such a word.

        Raises:
            ConfigurationError: It is none.
        """
        try:
            as_of, finished_at, job_id = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
            place = cls(_moment(as_of), _moment(finished_at) if finished_at is not None else None, str(UUID(job_id)))
        except (ValueError, TypeError, AttributeError):
            raise ConfigurationError(
                f'"{text[:80]}" is not where a search can go on: give what a page has as `after`'
            ) from None
        return place

    def in_history(self, finished_at: datetime, job_id: str = NEWEST_ID) -> Place:
        """A place in the finished jobs."""
        return Place(self.as_of, finished_at, job_id)


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("a moment needs a time zone")
    return moment


class OutOfTime(Exception):
    """The statement was cut off: its time was over."""


class Look:
    """One search, as far as it has come.

    Args:
        database: Where.
        wanted: What for.
        tenant: Whose jobs; None: everybody's.
        place: Where to begin.
        ids_only: Whether ids are enough, and only those of jobs that existed when it began: for operations.

    Attributes:
        place: Where to go on; None: there is no more.
        rows: How many rows have been looked at, about.
        back_to: How far back in the history that was; None: not at all.
    """

    def __init__(
        self,
        database: Database,
        wanted: Filter,
        tenant: str | None,
        place: Place,
        *,
        ids_only: bool = False,
    ) -> None:
        self._database = database
        self._names = ("pick_open", "pick_finished") if ids_only else ("search_open", "search_finished")
        self._scope = Scope.of(wanted, tenant)
        self._conditions = Conditions(database.schema, place.as_of)
        self._open = self._conditions.of(wanted, tenant, finished=False)
        self._finished = self._conditions.of(wanted, tenant, finished=True)
        self._sparse = self._scope.sparse and not self._scope.rare_states
        self._windows = 0
        self._days = FIRST_DAYS
        self.place: Place | None = place
        self.rows = 0
        self.back_to: datetime | None = None
        self._until = min(self._scope.finished_before(place.as_of), place.as_of)
        self._since = self._scope.finished_after(place.as_of)
        if place.finished_at is None and not self._scope.open:
            self.place = place.in_history(self._until)
        if self.place is not None and self.place.finished_at is not None and not self._scope.finished:
            self.place = None

    async def find(self, limit: int, seconds: float) -> list[dict[str, Any]]:
        """So many of the next that match, or those that are found in the time."""
        found: list[dict[str, Any]] = []
        over_at = time.monotonic() + seconds
        self._windows, self._days = 0, FIRST_DAYS
        while self.place is not None and len(found) < limit and time.monotonic() < over_at:
            try:
                found += await self._look(self.place, limit - len(found), over_at)
            except OutOfTime:
                if not self._sparse or self._windows == 0:
                    break
                self._sparse = False  # the summaries do not help here
        return found

    async def _look(self, place: Place, limit: int, over_at: float) -> list[dict[str, Any]]:
        if place.finished_at is None:
            return await self._look_at_open(place, limit, over_at)
        return await self._look_at_finished(place, place.finished_at, limit, over_at)

    async def _look_at_open(self, place: Place, limit: int, over_at: float) -> list[dict[str, Any]]:
        window = OPEN_WINDOWS[min(self._windows, len(OPEN_WINDOWS) - 1)]
        whole = self._scope.by_id or (self._windows > 0 and await self._is_small())
        bound = None if whole else await self._bound("bound_open", over_at, before_id=place.id, window=window)
        rows = await self._ask(
            self._names[0], over_at, {"open": self._open, "finished": self._finished}, as_of=place.as_of,
            until=place.as_of + timedelta(days=1), before_id=place.id, down_to_id=bound or OLDEST_ID, limit=limit,
            way=FROM_END_TO_END if whole and not self._scope.by_id else ANY_WAY,
        )  # fmt: skip
        self._looked(window)
        if len(rows) == limit:
            self.place = dataclasses.replace(place, id=rows[-1]["id"])
        elif bound is not None:
            self.place = dataclasses.replace(place, id=bound)
        else:
            self._windows = 0
            self.place = place.in_history(self._until) if self._scope.finished else None
        return rows

    async def _look_at_finished(
        self, place: Place, finished_at: datetime, limit: int, over_at: float
    ) -> list[dict[str, Any]]:
        window = FINISHED_WINDOWS[min(self._windows, len(FINISHED_WINDOWS) - 1)]
        bases: list[sql.Composable] = [
            sql.SQL("j.state = {}").format(sql.Literal(state.value)) for state in self._scope.rare_states
        ] or [sql.SQL("true")]
        by_days = self._sparse and self._windows > 0
        if by_days:
            over_at = min(over_at, time.monotonic() + SPARSE_S)
        bound = await self._finished_bound(finished_at, bases, window, over_at)
        if self._since is not None and (bound is None or bound < self._since):
            bound, ends = self._since, True
        else:
            ends = bound is None
        found: list[dict[str, Any]] = []
        for base in bases:
            finished = sql.SQL("{} and {}").format(base, self._finished)
            found += await self._ask(
                self._names[1], over_at, {"finished": finished}, before=finished_at, before_id=place.id,
                down_to=bound or _EVER, limit=limit, way=BY_SUMMARIES if by_days else ANY_WAY,
            )  # fmt: skip
        found.sort(key=lambda row: (row["finished_at"], row["id"]), reverse=True)
        rows = found[:limit]
        self._looked(window)
        if len(rows) == limit:
            self.place = place.in_history(rows[-1]["finished_at"], rows[-1]["id"])
        else:
            self.place = place.in_history(bound, OLDEST_ID) if bound is not None and not ends else None
        self.back_to = self.place.finished_at if self.place else datetime.fromtimestamp(0, UTC)
        return rows

    async def _finished_bound(
        self, finished_at: datetime, bases: Sequence[sql.Composable], window: int, over_at: float
    ) -> datetime | None:
        if self._scope.by_id:
            return None
        if self._sparse and self._windows > 0:
            days, self._days = self._days, self._days * 2
            if days > _LONGEST_DAYS:
                return None
            midnight = finished_at.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
            return midnight - timedelta(days=days - 1 if midnight < finished_at else days)
        bounds = [
            await self._bound("bound_finished", over_at, base=base, before=finished_at, window=window) for base in bases
        ]
        return max((bound for bound in bounds if bound is not None), default=None)

    async def _is_small(self) -> bool:
        return bool(0 <= await self._database.value("estimate_unfinished") <= WHOLE)

    def _looked(self, window: int) -> None:
        self.rows += window
        self._windows += 1

    # -- statements --

    async def _bound(self, name: str, over_at: float, *, base: sql.Composable | None = None, **parameters: Any) -> Any:
        rows = await self._ask(name, over_at, {"base": base} if base is not None else {}, way=ANY_WAY, **parameters)
        return next(iter(rows[0].values())) if rows else None

    async def _ask(
        self, name: str, over_at: float, parts: dict[str, sql.Composable], *, way: dict[str, str], **parameters: Any
    ) -> list[dict[str, Any]]:
        seconds = over_at - time.monotonic()
        return await ask(self._database, name, seconds, parts, self._conditions.parameters | parameters, way)


async def ask(
    database: Database,
    name: str,
    seconds: float,
    parts: dict[str, sql.Composable],
    parameters: dict[str, Any],
    way: dict[str, str] = ANY_WAY,
) -> list[dict[str, Any]]:
    """The rows of queries/NAME.sql with these parts put in.

    Raises:
        OutOfTime: The server has not finished it in the time.
    """
    statement = sql.SQL(query(name, database.schema)).format(**parts)
    timeout_ms = max(1, round(seconds * 1000))
    async with (
        database.connection(name, max(0.0, seconds) + _GRACE_S) as conn,
        conn.transaction(),
        conn.cursor(row_factory=dict_row) as cursor,
    ):
        try:
            await cursor.execute(query("bound_time", database.schema), {"timeout_ms": str(timeout_ms)} | way)
            await cursor.execute(statement, parameters)
            return await cursor.fetchall()
        except psycopg.errors.QueryCanceled as error:
            raise OutOfTime from error
