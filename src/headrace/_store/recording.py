"""Which statements are operators' actions, and what the audit log says of them.

`Database` sends every statement by its name. Those that are named in `ACTIONS` get company: in one transaction the
state of what they act on is read, the statement runs, and the action is recorded with that state, before and after,
without secrets. So nobody who acts has to think of the log, and nothing can be done that it does not know of.

What is not a statement of ours, such as a failed sign-in, is recorded with `record`.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from headrace._redact import NOTHING_KNOWN, Secrets
from headrace._store.acting import Actor, current_actor, process_owner
from headrace._store.sql import query

if TYPE_CHECKING:
    from psycopg import AsyncConnection

MOST_TARGETS = 1000
"""So many ids of a bulk action are kept, and the count of all."""

MOST_STATES = 100
"""Of so many jobs the states before and after are kept."""

Parameters = Mapping[str, Any]
Rows = Sequence[Any]


@dataclass(frozen=True)
class Look:
    """What a target is like, for the log.

    Attributes:
        state: As it may be shown.
        secrets: What the task that it belongs to keeps secret.
    """

    state: dict[str, Any] | None = None
    secrets: Secrets = field(default_factory=Secrets)


@dataclass(frozen=True)
class Action:
    """How one statement is recorded.

    Attributes:
        name: What the log calls it; None from a function: this call is no operator's action.
        kind: What it acts on.
        targets: Their ids or names.
        look: Reads what they are like.
        said: What else there is to say of it afterwards, from parameters and rows.
        setting: Whether it changes how the system works for everybody: then it is recorded even if nobody has said who
            acts.
        looks_again: Whether the state afterwards is read as well.
    """

    name: str | Callable[[Parameters], str | None]
    kind: str
    targets: Callable[[Parameters, Rows], Sequence[str]]
    look: Callable[[AsyncConnection, str, Parameters], Awaitable[Look]]
    said: Callable[[Parameters, Rows, Look], dict[str, Any]] = lambda *_: {}
    setting: bool = False
    looks_again: bool = True


@dataclass(frozen=True)
class Recording:
    """One call that is recorded.

    Attributes:
        action: How.
        name: What the log calls it.
        actor: Who acts.
        parameters: Those of the statement.
    """

    action: Action
    name: str
    actor: Actor
    parameters: Parameters

    async def look(self, conn: AsyncConnection, schema: str) -> Look:
        """What the targets are like now."""
        return await self.action.look(conn, schema, self.parameters)

    async def write(self, conn: AsyncConnection, schema: str, before: Look, rows: Rows) -> None:
        """Record that it was done."""
        action = self.action
        after = (await self.look(conn, schema)).state if action.looks_again else None
        said = action.said(self.parameters, rows, before)
        targets = action.targets(self.parameters, rows)
        await record(
            conn, schema, self.actor, self.name, action.kind, targets, before=before.state,
            after={**(after or {}), **said} if after is not None or said else None,
        )  # fmt: skip


def recording(statement: str, parameters: Parameters) -> Recording | None:
    """How this call of a statement is to be recorded, if it is."""
    action = ACTIONS[statement]
    actor = current_actor()
    if actor is None and not action.setting:
        return None
    name = action.name if isinstance(action.name, str) else action.name(parameters)
    return None if name is None else Recording(action, name, actor or Actor(process_owner()), parameters)


def took_effect(rows: Rows | None) -> bool:
    """Whether a statement did something: None is a statement that answers nothing."""
    if rows is None:
        return True
    if not rows:
        return False
    first = next(iter(rows[0].values())) if isinstance(rows[0], dict) else rows[0][0]
    return first is not None and first is not False


async def record(
    conn: AsyncConnection,
    schema: str,
    actor: Actor,
    action: str,
    kind: str,
    targets: Sequence[str],
    *,
    count: int | None = None,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
) -> None:
    """Record an action in the connection's transaction."""
    parameters = audit_parameters(actor, action, kind, targets, count=count, before=before, after=after)
    await conn.execute(query("record_audit", schema), parameters)


def audit_parameters(
    actor: Actor,
    action: str,
    kind: str,
    targets: Sequence[str],
    *,
    count: int | None = None,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The parameters of record_audit.sql."""
    return {
        "by": _storable(actor.by)[:200],
        "source": actor.source,
        "address": actor.address,
        "action": action,
        "kind": kind,
        "targets": [_storable(target)[:300] for target in targets[:MOST_TARGETS]],
        "count": len(targets) if count is None else count,
        "before": _packed(before),
        "after": _packed(after),
    }


def _packed(state: Mapping[str, Any] | None) -> str | None:
    return None if state is None else json.dumps(state, default=_as_json).replace("\\u0000", "\\ufffd")


def _storable(text: str) -> str:
    return text.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()


def _as_json(value: Any) -> Any:
    match value:
        case datetime() | date():
            return value.isoformat()
        case timedelta():
            return value.total_seconds()
        case Decimal():
            return float(value)
    return str(value)


# -- what is read of the targets --


async def _rows(conn: AsyncConnection, schema: str, name: str, parameters: Parameters) -> list[tuple[Any, ...]]:
    return await (await conn.execute(query(name, schema), parameters)).fetchall()


async def _look_at_jobs(conn: AsyncConnection, schema: str, parameters: Parameters) -> Look:
    rows = await _rows(conn, schema, "look_at_jobs", {"ids": list(parameters["ids"])[:MOST_STATES]})
    secrets = Secrets()
    for _, _, _, known, marks in rows:
        if not known:
            return Look({"state": {row[0]: row[1] for row in rows}}, NOTHING_KNOWN)
        secrets = secrets.joined(Secrets.from_json(marks))
    return Look({"state": {row[0]: row[1] for row in rows}}, secrets)


async def _look_at_queue(conn: AsyncConnection, schema: str, parameters: Parameters) -> Look:
    name = parameters["queue"] if "queue" in parameters else parameters["name"]
    ((state,),) = await _rows(conn, schema, "look_at_queue", {"queue": name})
    return Look(state)


async def _look_at_limit(conn: AsyncConnection, schema: str, parameters: Parameters) -> Look:
    rows = await _rows(conn, schema, "look_at_limit", {"name": parameters["name"]})
    return Look(rows[0][0] if rows else None)


async def _look_at_schedule(conn: AsyncConnection, schema: str, parameters: Parameters) -> Look:
    wanted = {"name": _schedule_name(parameters), "tenant": parameters.get("tenant")}
    rows = await _rows(conn, schema, "look_at_schedule", wanted)
    if not rows:
        return Look()
    state, _, known, marks = rows[0]
    secrets = Secrets.from_json(marks) if known else NOTHING_KNOWN
    state["args"] = secrets.redact_args(state["args"])
    return Look({name: value for name, value in state.items() if value is not None}, secrets)


async def _look_at_workflow(conn: AsyncConnection, schema: str, parameters: Parameters) -> Look:
    rows = await _rows(conn, schema, "look_at_workflow", {"id": str(parameters["id"])})
    return Look(rows[0][0] if rows else None)


async def _look_at_instance(conn: AsyncConnection, schema: str, _: Parameters) -> Look:
    rows = await _rows(conn, schema, "look_at_instance", {})
    return Look(rows[0][0] if rows else None)


async def look_at_nothing(*_: Any) -> Look:
    """For actions whose `said` says all."""
    return Look()


# -- what is said of them afterwards --


def _job_ids(parameters: Parameters, _: Rows) -> Sequence[str]:
    return [str(job_id) for job_id in parameters["ids"]]


def _named(parameters: Parameters, _: Rows) -> Sequence[str]:
    return [str(parameters["name"])]


def _of_queue(parameters: Parameters, _: Rows) -> Sequence[str]:
    return [parameters["queue"] if "queue" in parameters else parameters["name"]]


def _of_workflow(parameters: Parameters, _: Rows) -> Sequence[str]:
    return [str(parameters["id"])]


def _schedule_name(parameters: Parameters) -> str:
    return str(json.loads(parameters["fields"])["name"] if "fields" in parameters else parameters["name"])


def _of_schedule(parameters: Parameters, _: Rows) -> Sequence[str]:
    name, tenant = _schedule_name(parameters), parameters.get("tenant")
    return [name, f"{name}:{tenant}"] if tenant else [name]


def _cancelled(parameters: Parameters, rows: Rows, _: Look) -> dict[str, Any]:
    return {"outcome": {str(row[0]): row[1] for row in rows[:MOST_STATES]}, "reason": parameters["reason"]}


def _retried(parameters: Parameters, rows: Rows, before: Look) -> dict[str, Any]:
    said: dict[str, Any] = {"outcome": {str(row[0]): "retried" for row in rows[:MOST_STATES]}}
    if parameters["args"] is not None:
        said["args"] = before.secrets.redact_args(json.loads(parameters["args"]))
    return said | ({"from_start": True} if parameters["from_start"] else {})


def _deleted(_: Parameters, rows: Rows, __: Look) -> dict[str, Any]:
    return {"outcome": {str(row[0]): "deleted" for row in rows[:MOST_STATES]}}


def _tenants(parameters: Parameters, _: Rows, __: Look) -> dict[str, Any]:
    given = parameters["tenants"]
    names = [each["tenant"] for each in json.loads(given)] if isinstance(given, str) else list(given)
    return {"tenants": names[:MOST_STATES], "count": len(names)}


def _backfilled(parameters: Parameters, rows: Rows, _: Look) -> dict[str, Any]:
    moments = json.loads(parameters["moments"])
    ends = {"first": moments[0]["due_at"], "last": moments[-1]["due_at"]} if moments else {}
    return {"filled": rows[0][0], **ends}


def _added(parameters: Parameters, _: Rows, __: Look) -> dict[str, Any]:
    tasks = [job["task"] for job in json.loads(parameters["jobs"])]
    return {"added": len(tasks), "tasks": sorted(set(tasks))[:MOST_STATES]}


def _written(parameters: Parameters) -> str | None:
    """Schedules that code declares are written by the code, not by an operator."""
    if parameters["editor"] is not None:
        return "schedule.edit"
    return "schedule.create" if parameters["only_new"] and parameters["digest"] is None else None


ACTIONS: dict[str, Action] = {
    "cancel_jobs": Action("job.cancel", "job", _job_ids, _look_at_jobs, _cancelled, looks_again=False),
    "retry_jobs": Action("job.retry", "job", _job_ids, _look_at_jobs, _retried, looks_again=False),
    "delete_jobs": Action("job.delete", "job", _job_ids, _look_at_jobs, _deleted, looks_again=False),
    "pause_queue": Action("queue.pause", "queue", _of_queue, _look_at_queue, setting=True),
    "resume_queue": Action("queue.resume", "queue", _of_queue, _look_at_queue, setting=True),
    "set_queue": Action("queue.set", "queue", _of_queue, _look_at_queue, setting=True),
    "set_limit": Action("limit.set", "limit", _named, _look_at_limit, setting=True),
    "remove_limit": Action("limit.remove", "limit", _named, _look_at_limit, setting=True),
    "force_breaker": Action("breaker.force", "breaker", _named, _look_at_limit, setting=True),
    "write_schedule": Action(_written, "schedule", _of_schedule, _look_at_schedule, setting=True),
    "pause_schedule": Action("schedule.pause", "schedule", _of_schedule, _look_at_schedule, setting=True),
    "resume_schedule": Action("schedule.resume", "schedule", _of_schedule, _look_at_schedule, setting=True),
    "delete_schedule": Action("schedule.delete", "schedule", _of_schedule, _look_at_schedule, setting=True),
    "skip_next_tick": Action("schedule.skip", "schedule", _of_schedule, _look_at_schedule, setting=True),
    "run_schedule": Action(
        "schedule.run", "schedule", _of_schedule, look_at_nothing, lambda _, rows, __: {"job": rows[0][0]}
    ),
    "backfill_schedule": Action("schedule.backfill", "schedule", _of_schedule, look_at_nothing, _backfilled),
    "write_schedule_tenants": Action("schedule.set_tenants", "schedule", _of_schedule, look_at_nothing, _tenants),
    "delete_schedule_tenants": Action("schedule.remove_tenants", "schedule", _of_schedule, look_at_nothing, _tenants),
    "cancel_workflow": Action("workflow.cancel", "workflow", _of_workflow, _look_at_workflow),
    "retry_workflow": Action(
        "workflow.retry", "workflow", _of_workflow, _look_at_workflow, lambda _, rows, __: {"retried": len(rows)}
    ),
    "add_to_workflow": Action("workflow.add", "workflow", _of_workflow, _look_at_workflow, _added),
    "set_audit_age": Action(
        "audit.keep", "audit", lambda *_: [], _look_at_instance, setting=True
    ),
}  # fmt: skip
"""By statement. Modules whose statements are actions add theirs."""
