"""Starting workflows and adding to them, on our own connection or the caller's.

Ids are made by the client, and what is there already is left alone: a call whose answer was lost is made again, once,
and may be made again by the caller.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, cast

from headrace._store.enqueue import as_json
from headrace._store.foreign import SyncForeign, adapt, is_async
from headrace._store.sql import query
from headrace.errors import ConfigurationError, DatabaseUnavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable
    from uuid import UUID

    from headrace._plan import Plan
    from headrace.app import Headrace
    from headrace.workflow import Workflow

DEADLINE_S = 300.0
"""For statements over all jobs of a workflow."""


async def start(app: Headrace, workflow: Workflow, plan: Plan, conn: Any) -> None:
    """Start it: all of it, or nothing."""
    await _run(app, "start_workflow", start_parameters(workflow, plan), conn)


def start_sync(app: Headrace, workflow: Workflow, plan: Plan, conn: Any) -> None:
    """The same on a synchronous connection of the caller."""
    foreign = adapt(conn)
    if is_async(foreign):
        raise ConfigurationError(
            f"a {type(conn).__name__} is asynchronous: await start(...) instead of calling start_sync(...)"
        )
    cast("SyncForeign", foreign).rows(query("start_workflow", app.schema), start_parameters(workflow, plan))


async def add(app: Headrace, workflow_id: UUID, plan: Plan, conn: Any) -> None:
    """Add to one that runs."""
    await _run(app, "add_to_workflow", {"id": str(workflow_id), **_packed(plan)}, conn)


async def _run(app: Headrace, name: str, parameters: dict[str, Any], conn: Any) -> None:
    if conn is not None:
        foreign = adapt(conn)
        answer = foreign.rows(query(name, app.schema), parameters)
        if is_async(foreign):
            await cast("Awaitable[Any]", answer)
        return
    database = await app.database()
    try:
        await database.rows(name, DEADLINE_S, **parameters)
    except DatabaseUnavailable:
        await database.rows(name, DEADLINE_S, **parameters)


def start_parameters(workflow: Workflow, plan: Plan) -> dict[str, Any]:
    """The parameters of start_workflow.sql: texts, which every driver can carry."""
    callbacks = [f"{json.dumps(kind)}: {as_json([job])[1:-1]}" for kind, job in workflow.callbacks.items()]
    return {
        "id": str(workflow.id),
        "name": workflow.name,
        "policy": workflow.policy,
        "callbacks": "{" + ", ".join(callbacks) + "}" if callbacks else None,
        **_packed(plan),
    }


def _packed(plan: Plan) -> dict[str, str]:
    return {"jobs": as_json(plan.jobs), "nodes": json.dumps(list(plan.nodes.values()))}
