"""Who did what: `app.audit`, and `acting`, which says who acts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from headrace._store.acting import Actor, Source, acting, current_actor, process_owner
from headrace._store.recording import audit_parameters
from headrace.errors import ConfigurationError

if TYPE_CHECKING:
    from headrace._store.database import Database

__all__ = ["Actor", "Audit", "AuditEntry", "Source", "acting", "current_actor"]

LEAST_KEPT = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """One action of an operator.

    Attributes:
        id: Its number; those of later actions are larger.
        at: When, by the database's clock.
        by: Who: a user's or key's name, or user@host.
        source: The way in: cli, dashboard, api or python.
        address: Where the request came from, if it was one.
        action: What was done: job.cancel, queue.pause, limit.set, …
        kind: What it was done to: job, queue, limit, …
        targets: Their ids or names; of a bulk action the first 1,000.
        count: Of how many.
        before: What they were like before, without secrets. Of jobs: the states of the first 100.
        after: What they were like after it, or what became of them, and what was said, such as the reason.
    """

    id: int
    at: datetime
    by: str
    source: str
    address: str | None
    action: str
    kind: str
    targets: list[str]
    count: int
    before: dict[str, Any] | None
    after: dict[str, Any] | None


class Audit:
    """The audit log of an app's database: ``app.audit``. Whole months go, after a year by default."""

    def __init__(self, database: Callable[[], Awaitable[Database]]) -> None:
        self._database = database

    async def list(
        self,
        *,
        by: str | None = None,
        action: str | None = None,
        kind: str | None = None,
        target: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        before: int | None = None,
        limit: int = 50,
    ) -> Sequence[AuditEntry]:
        """The actions, the latest first.

        Args:
            by: Only those of this name.
            action: Only these, such as "job.cancel".
            kind: Only those on this kind of thing, such as "queue".
            target: Only those on the thing of this id or name.
            since: None before this.
            until: None from this on.
            before: Only those that were recorded before the one with this number: the next page.
            limit: At most so many.
        """
        records = await (await self._database()).records(
            "list_audit", by=by, action=action, kind=kind, target=target, since=since, until=until, before=before,
            limit=limit,
        )  # fmt: skip
        return [AuditEntry(**record) for record in records]

    async def record(
        self,
        action: str,
        kind: str,
        targets: Sequence[str] = (),
        *,
        count: int | None = None,
        before: Mapping[str, Any] | None = None,
        after: Mapping[str, Any] | None = None,
    ) -> int:
        """Record something that headrace does not record by itself, under the name of whoever acts here.

        Args:
            action: What was done, as noun.verb.
            kind: What it was done to.
            targets: Their ids or names; 1,000 are kept.
            count: How many there are, if not all of them are named.
            before: What they were like; what is secret must not be in it.
            after: What they are like now, likewise.

        Returns:
            Its number.
        """
        actor = current_actor() or Actor(process_owner())
        parameters = audit_parameters(actor, action, kind, targets, count=count, before=before, after=after)
        entry: int = await (await self._database()).value("record_audit", **parameters)
        return entry

    async def keep(self, age: timedelta) -> None:
        """Set how long the log is kept, for all processes that share the database; 365 days if nobody does.

        Raises:
            ConfigurationError: It is less than a day.
        """
        if age < LEAST_KEPT:
            raise ConfigurationError(f"the audit log is kept for a day at least, not for {age}")
        await (await self._database()).rows("set_audit_age", seconds=age.total_seconds())
