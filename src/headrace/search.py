"""Finding jobs by what they are like: ``app.search``.

::

    page = await app.search.jobs("state:failed task:billing.* args.customer=42")
    more = await app.search.jobs("state:failed task:billing.* args.customer=42", after=page.after)

Every call answers within about two seconds, and says what it searched if that was not everything.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from psycopg import sql

from headrace._filter.completion import Completion, Known, complete
from headrace._filter.scope import Scope
from headrace._filter.secrecy import asks_for_parts, check_secrets
from headrace._store.conditions import Conditions
from headrace._store.searching import Look, OutOfTime, Place, ask
from headrace.filter import Filter
from headrace.job import JobInfo, State, job_info

if TYPE_CHECKING:
    from headrace._redact import Redactor
    from headrace._store.database import Database

SEARCH_S = 1.5
"""How long a search goes on."""

MOST_JOBS = 1000
"""Of a page."""

COUNT_CAP = 10_000
"""Beyond it the number of jobs is estimated."""

_COUNT_S = 0.4
_SAMPLE = 5_000
_FAILURES = (20_000, 2_000)
"""How many failed jobs are grouped; the second if there is no time for the first."""
_EPOCH = datetime.fromtimestamp(0, UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Searched:
    """How far a search has looked; as a string in words.

    Attributes:
        jobs: At about so many.
        back_to: At those that finished since then; None: only at unfinished ones.
        all: At all there are.
    """

    jobs: int
    back_to: datetime | None
    all: bool

    def __str__(self) -> str:
        if self.all:
            return "all jobs"
        back_to = f", back to {self.back_to.astimezone(UTC):%Y-%m-%d %H:%M} UTC" if self.back_to else ""
        return f"the latest {self.jobs:,} jobs{back_to}"


@dataclass(frozen=True, slots=True, kw_only=True)
class JobPage:
    """Jobs that match a filter: unfinished ones first, newest on top, then those that finished, last on top.

    Attributes:
        jobs: The page.
        after: Where the next one begins: give it to `Search.jobs`. None: there are no more.
        searched: What was looked at for this page.
        partial: Whether the time was over before the page was full: there may be more further back, `after` goes on.
    """

    jobs: list[JobInfo]
    after: str | None
    searched: Searched
    partial: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """How many jobs match; as a string with "≈" unless it was counted.

    Attributes:
        jobs: So many.
        exact: Whether they were counted; otherwise the database's statistics say so.
    """

    jobs: int
    exact: bool

    def __str__(self) -> str:
        return f"{self.jobs:,}" if self.exact else f"≈ {_rounded(self.jobs):,}"


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureGroup:
    """Failed jobs whose last attempt ended with the same exception at the same place.

    Attributes:
        failure: Its name, of twelve digits: ``failure:…`` finds its jobs.
        type: The exception's type; of what is no exception its kind, such as "timeout".
        place: Where it was raised, as ``folder/file.py in function``; the task, if that is not known.
        message: What the latest said.
        count: How many jobs.
        first_seen_at: When the first of them failed.
        last_seen_at: When the last of them failed.
        tasks: Their tasks' names.
        example: The id of the latest.
    """

    failure: str
    type: str
    place: str
    message: str | None
    count: int
    first_seen_at: datetime
    last_seen_at: datetime
    tasks: list[str]
    example: UUID


class Failures(list[FailureGroup]):
    """Groups of failures, the largest first.

    Attributes:
        searched: What was looked at.
        partial: Whether there are failed jobs further back.
    """

    def __init__(self, groups: list[FailureGroup], searched: Searched) -> None:
        super().__init__(groups)
        self.searched = searched
        self.partial = not searched.all


class Search:
    """Finding jobs: ``app.search``. With a tenant, nothing but that tenant's jobs is seen, whatever the filter says."""

    def __init__(
        self, database: Callable[[], Awaitable[Database]], redactor: Callable[[], Awaitable[Redactor]]
    ) -> None:
        self._database = database
        self._redactor = redactor

    async def read(self, filter: Filter | str) -> Filter:  # noqa: A002 - the word
        """A filter that may be asked.

        Raises:
            FilterError: It cannot be read, or asks for what is secret.
        """
        text = str(filter)
        parsed = Filter.parse(text)
        if asks_for_parts(parsed):
            check_secrets(parsed, text, (await self._redactor()).all())
        return parsed

    async def jobs(
        self,
        filter: Filter | str = "",  # noqa: A002 - the word
        *,
        tenant: str | None = None,
        after: str | None = None,
        limit: int = 50,
    ) -> JobPage:
        """A page of jobs that match.

        Args:
            filter: Which; see docs/filters.md. Default: all.
            tenant: Whose; None: everybody's.
            after: What the page before has as `after`; None: the first page.
            limit: How many; at most 1,000.

        Raises:
            FilterError: The filter cannot be read, or asks for what is secret.
            ConfigurationError: `after` is nothing that a page has.
        """
        parsed = await self.read(filter)
        database = await self._database()
        place = Place.decode(after) if after is not None else Place(await database.value("read_clock"))
        look = Look(database, parsed, tenant, place)
        rows = await look.find(max(1, min(limit, MOST_JOBS)), SEARCH_S)
        return JobPage(
            jobs=[job_info(row) for row in rows],
            after=look.place.encode() if look.place else None,
            searched=Searched(jobs=look.rows, back_to=look.back_to, all=look.place is None and after is None),
            partial=look.place is not None and len(rows) < limit,
        )

    async def count(self, filter: Filter | str = "", *, tenant: str | None = None) -> Estimate:  # noqa: A002
        """About how many jobs match: counted up to 10,000, beyond it what the database's statistics say."""
        parsed = await self.read(filter)
        database = await self._database()
        scope = Scope.of(parsed, tenant)
        conditions = Conditions(database.schema, await database.value("read_clock"))
        counts = [
            await self._count(
                database, name, {name: conditions.of(parsed, tenant, finished=name == "finished")}, conditions
            )
            for name, wanted in (("open", scope.open), ("finished", scope.finished))
            if wanted
        ]
        return Estimate(jobs=sum(each.jobs for each in counts), exact=all(each.exact for each in counts))

    async def _count(
        self, database: Database, name: str, parts: dict[str, sql.Composable], conditions: Conditions
    ) -> Estimate:
        counted = 0
        try:
            rows = await ask(database, f"count_{name}", _COUNT_S, parts, conditions.parameters | {"cap": COUNT_CAP + 1})
            counted = rows[0]["count"]
            if counted <= COUNT_CAP:
                return Estimate(jobs=counted, exact=True)
        except OutOfTime:
            pass
        return Estimate(jobs=max(counted, await self._estimate(database, name, parts, conditions)), exact=False)

    async def _estimate(
        self, database: Database, name: str, parts: dict[str, sql.Composable], conditions: Conditions
    ) -> int:
        """What the statistics say; of what they know nothing about, as many as among the newest."""
        rows = await ask(database, f"estimate_{name}", SEARCH_S, parts, conditions.parameters)
        planned = int(rows[0]["QUERY PLAN"][0]["Plan"]["Plan Rows"])
        if not conditions.opaque:
            return planned
        everything = await ask(database, f"estimate_{name}", SEARCH_S, {name: sql.SQL("true")}, {})
        total = int(everything[0]["QUERY PLAN"][0]["Plan"]["Plan Rows"])
        try:
            (sample,) = await ask(
                database, f"sample_{name}", _COUNT_S, parts, conditions.parameters | {"window": _SAMPLE}
            )
        except OutOfTime:
            return planned
        return round(total * int(sample["matching"]) / max(1, int(sample["jobs"])))

    async def failures(
        self,
        filter: Filter | str = "",  # noqa: A002 - the word
        *,
        tenant: str | None = None,
        limit: int = 100,
    ) -> Failures:
        """The failed jobs that match, by what went wrong and where; of the latest 20,000 failed jobs.

        Args:
            filter: Which. Default: all.
            tenant: Whose; None: everybody's.
            limit: How many groups.
        """
        parsed = await self.read(filter)
        database = await self._database()
        now = await database.value("read_clock")
        conditions = Conditions(database.schema, now)
        finished = conditions.of(parsed, tenant, finished=True)
        over_at = time.monotonic() + SEARCH_S
        if State.FAILED not in Scope.of(parsed, tenant).states:
            return Failures([], Searched(jobs=0, back_to=None, all=True))
        for window in _FAILURES:
            base = sql.SQL("j.state = 'failed'")
            try:
                bound = await ask(
                    database,
                    "bound_finished",
                    over_at - time.monotonic(),
                    {"base": base},
                    {"before": now, "window": window},
                )
                down_to = bound[0]["finished_at"] if bound else None
                rows = await ask(
                    database, "group_failures", over_at - time.monotonic(), {"finished": finished},
                    conditions.parameters | {"before": now, "down_to": down_to or "-infinity", "limit": limit},
                )  # fmt: skip
            except OutOfTime:
                over_at = time.monotonic() + SEARCH_S / 3
                continue
            searched = Searched(jobs=window, back_to=down_to or _EPOCH, all=down_to is None)
            return Failures([_group(row) for row in rows], searched)
        return Failures([], Searched(jobs=0, back_to=now, all=False))

    async def complete(self, text: str, position: int | None = None, *, tenant: str | None = None) -> list[Completion]:
        """What may stand at a place of a filter that is being written, the likeliest first.

        Args:
            text: The filter so far.
            position: Where; None: at its end.
            tenant: For whom: nobody hears of others' tenants.
        """
        database = await self._database()
        known = Known(**(await database.records("list_names", tenant=tenant))[0])
        return complete(text, len(text) if position is None else position, known)


def _group(row: dict[str, Any]) -> FailureGroup:
    return FailureGroup(**row | {"example": UUID(row["example"])})


def _rounded(number: int) -> int:
    """To two digits: the rest is not known."""
    digits = max(0, len(str(number)) - 2)
    return round(number, -digits)
