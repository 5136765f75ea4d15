"""What operators do with many jobs at once: ``app.operations``.

::

    preview = await app.operations.preview("state:failed task:billing.*", "retry")  # how many, and some of them
    operation = await app.operations.start("state:failed task:billing.*", "retry", by="alice")

An operation is recorded when it is started, and begins after some seconds in which it can be undone. Workers do it, 500
jobs at a time, each such chunk in one transaction with its count: whatever crashes in between, no job is left out and
none is done twice. Only jobs that existed when it was started are touched, if they match when it comes to them.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, get_args
from uuid import UUID

from headrace._filter.terms import Term, Value
from headrace._store.recording import ACTIONS, look_at_nothing
from headrace._store.recording import Action as RecordedAction
from headrace.errors import ConfigurationError, FilterError, UnknownOperation, did_you_mean
from headrace.filter import Filter
from headrace.job import JobInfo, State, check_words

if TYPE_CHECKING:
    from headrace._store.database import Database
    from headrace.search import Estimate, Search

Action = Literal["retry", "cancel", "delete", "run_now", "set_priority", "move"]
UNDO = timedelta(seconds=5)
"""Long enough to see that it was the wrong filter."""

SAMPLES = 5
MOST_IDS = 100_000

_WAITING = (State.BLOCKED, State.SCHEDULED, State.QUEUED)
_FINAL = (State.SUCCEEDED, State.FAILED, State.CANCELLED)
_STATES: dict[str, tuple[State, ...]] = {
    "retry": _FINAL,
    "cancel": (*_WAITING, State.RUNNING),
    "delete": (*_WAITING, *_FINAL),
    "run_now": (State.SCHEDULED, State.BLOCKED),
    "set_priority": _WAITING,
    "move": _WAITING,
}
"""Of which jobs each action can be done at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """What an operation would do.

    Attributes:
        filter: The jobs that it would act on: what was asked for, in the states in which the action can be done.
        estimate: About how many there are.
        samples: The first five of them.
    """

    filter: Filter
    estimate: Estimate
    samples: list[JobInfo]


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """An operation as the database has it.

    Attributes:
        id: Its number.
        state: "waiting" (it can be undone), "running", "finished", "cancelled" or "failed".
        action: What it does.
        settings: What the action needs: "priority", "queue", "reason" or "from_start".
        filter: On the jobs that match this; None: on those of a list.
        listed: The length of that list.
        tenant: On this tenant's jobs only.
        started_by: Who started it.
        created_at: When. On no jobs that are younger.
        starts_at: When it begins, or began.
        estimate: About how many jobs there were to be done.
        done: How many jobs it has done.
        skipped: How many were gone, had changed, or were held by somebody when it came to them.
        failed: How many it could not do.
        finished_at: When it ended.
        cancelled_by: Who stopped it.
        problem: Why it failed, or why the last of its jobs that it could not do did.
    """

    id: int
    state: Literal["waiting", "running", "finished", "cancelled", "failed"]
    action: Action
    settings: dict[str, Any]
    filter: str | None
    listed: int | None
    tenant: str | None
    started_by: str
    created_at: datetime
    starts_at: datetime
    estimate: int | None
    done: int
    skipped: int
    failed: int
    finished_at: datetime | None
    cancelled_by: str | None
    problem: str | None

    @property
    def over(self) -> bool:
        """Whether nothing more will come of it."""
        return self.state not in ("waiting", "running")


class Operations:
    """Bulk operations: ``app.operations``. With a tenant, only that tenant's jobs and operations exist."""

    def __init__(self, database: Callable[[], Awaitable[Database]], search: Search) -> None:
        self._database = database
        self._search = search

    async def preview(self, filter: Filter | str, action: Action, *, tenant: str | None = None) -> Preview:  # noqa: A002
        """What an operation would do, without doing it.

        Raises:
            FilterError: The filter cannot be read, or is empty.
            ConfigurationError: There is no such action.
        """
        narrowed = _narrowed(await self._search.read(filter), _check_action(action))
        page = await self._search.jobs(narrowed, tenant=tenant, limit=SAMPLES)
        return Preview(filter=narrowed, estimate=await self._search.count(narrowed, tenant=tenant), samples=page.jobs)

    async def start(
        self,
        filter: Filter | str | None,  # noqa: A002
        action: Action,
        *,
        by: str,
        ids: Sequence[UUID | str] | None = None,
        tenant: str | None = None,
        undo: timedelta = UNDO,
        priority: int | None = None,
        queue: str | None = None,
        reason: str = "cancelled",
        from_start: bool = False,
    ) -> Operation:
        """Start an operation; workers do the rest.

        Args:
            filter: The jobs to act on. An empty one is refused: for all jobs write ``age>0s``.
            action: "retry" finished jobs, "cancel" unfinished ones, "delete" what does not run, "run_now" what waits
                for a time or an event, or "set_priority" or "move" (to another queue) what waits.
            by: Who starts it: it is stored.
            ids: Instead of a filter, these jobs; at most 100,000.
            tenant: Only this tenant's jobs.
            undo: So long it can be cancelled before anything is done.
            priority: For "set_priority".
            queue: For "move".
            reason: For "cancel": kept with the jobs.
            from_start: For "retry": forget recorded steps; see `Headrace.retry_jobs`.

        Raises:
            FilterError: The filter cannot be read, or is empty.
            ConfigurationError: The action does not exist, or lacks what it needs.
        """
        settings = _settings(_check_action(action), priority, queue, reason, from_start)
        if (filter is None) == (ids is None):
            raise ConfigurationError("an operation needs either a filter or ids")
        parameters: dict[str, Any] = {"filter": None, "ids": None, "estimate": None}
        if ids is not None:
            parameters |= {"ids": _listed(ids), "estimate": len(set(ids))}
        else:
            assert filter is not None
            narrowed = _narrowed(await self._search.read(filter), action)
            parameters["filter"] = str(narrowed)
            parameters["estimate"] = (await self._search.count(narrowed, tenant=tenant)).jobs
        number = await (await self._database()).value(
            "start_operation", action=action, settings=json.dumps(settings), tenant=tenant, by=check_words("by", by),
            undo_s=max(0.0, undo.total_seconds()), **parameters,
        )  # fmt: skip
        return await self.get(number, tenant=tenant)

    async def list(self, *, tenant: str | None = None, before: int | None = None, limit: int = 50) -> list[Operation]:
        """Operations, newest first.

        Args:
            tenant: Whose; None: everybody's.
            before: Those before the one of this number.
            limit: How many.
        """
        records = await (await self._database()).records(
            "list_operations", id=None, before=before, tenant=tenant, limit=limit
        )
        return [Operation(**record) for record in records]

    async def get(self, operation: int, *, tenant: str | None = None) -> Operation:
        """One operation.

        Raises:
            UnknownOperation: There is none of this number.
        """
        records = await (await self._database()).records(
            "list_operations", id=operation, before=None, tenant=tenant, limit=1
        )
        if not records:
            raise UnknownOperation(
                f"there is no operation {operation}: `headrace operations list` shows those there are"
            )
        return Operation(**records[0])

    async def cancel(self, operation: int, *, by: str, tenant: str | None = None) -> Operation:
        """Stop an operation: nothing is done if it still waits; otherwise what is done stays done.

        Returns:
            The operation. One that was over is as it was: look at its `state`.

        Raises:
            UnknownOperation: There is none of this number.
        """
        await (await self._database()).rows("cancel_operation", id=operation, by=check_words("by", by), tenant=tenant)
        return await self.get(operation, tenant=tenant)


def _started(parameters: Any, _: Any, __: Any) -> dict[str, Any]:
    said = {name: parameters[name] for name in ("action", "filter", "tenant", "estimate")}
    said |= {"settings": json.loads(parameters["settings"]) or None, "ids": len(parameters["ids"] or ()) or None}
    return {name: value for name, value in said.items() if value is not None}


def _number(_: Any, rows: Any) -> list[str]:
    return [str(row[0]) for row in rows]


ACTIONS["start_operation"] = RecordedAction(
    "operation.start", "operation", _number, look_at_nothing, _started, looks_again=False
)
ACTIONS["cancel_operation"] = RecordedAction(
    "operation.cancel", "operation", _number, look_at_nothing, looks_again=False
)


def _check_action(action: str) -> Action:
    if action not in get_args(Action):
        raise ConfigurationError(f'there is no action "{action}". {did_you_mean(action, get_args(Action))}')
    return action  # type: ignore[return-value]


def _narrowed(parsed: Filter, action: Action) -> Filter:
    """The filter, in the states in which the action can be done."""
    if not parsed.terms:
        raise FilterError("an operation needs a filter; age>0s is all jobs", str(parsed), 0)
    states = Term("state", ":", tuple(Value(state.value) for state in _STATES[action]))
    return parsed if states in parsed.terms else Filter((*parsed.terms, states))


def _settings(action: Action, priority: int | None, queue: str | None, reason: str, from_start: bool) -> dict[str, Any]:
    match action:
        case "set_priority":
            if priority is None or not -32_768 <= priority <= 32_767:
                raise ConfigurationError('"set_priority" needs a priority from -32768 to 32767')
            return {"priority": priority}
        case "move":
            if queue is None:
                raise ConfigurationError('"move" needs a queue')
            return {"queue": check_words("queue", queue)}
        case "cancel":
            return {"reason": reason}
        case "retry":
            return {"from_start": from_start}
        case _:
            return {}


def _listed(ids: Sequence[UUID | str]) -> list[str]:
    if len(ids) > MOST_IDS:
        raise ConfigurationError(f"an operation takes {MOST_IDS:,} ids at most, not {len(ids):,}: use a filter")
    try:
        return list(dict.fromkeys(str(UUID(str(job_id))) for job_id in ids))
    except ValueError:
        raise ConfigurationError("not all of these are ids of jobs, which are UUIDs") from None
