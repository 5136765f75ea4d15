"""A workflow that was started: how far it is, and what can be done with it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal
from uuid import UUID

from headrace._plan import NOTHING, Ends, Plan
from headrace._store import workflows as store
from headrace.context import is_running_here
from headrace.errors import ConfigurationError, JobNotFound, ResultTimeout, WorkflowFailed, WorkflowNotFound
from headrace.job import Job, NewJob, State

if TYPE_CHECKING:
    from headrace.app import Headrace
    from headrace.workflow import Flow

_FIRST_LOOK_S = 0.003
_LONGEST_LOOK_S = 0.25
_GROWTH = 1.3
_PAGE = 5000
_CHUNK = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowInfo:
    """A workflow as the database has it at one moment: one row, however many jobs there are.

    The counts follow the jobs within milliseconds.

    Attributes:
        id: Its id.
        name: Its name, if it was given one.
        state: running, succeeded, failed (some of its jobs failed) or cancelled (some were cancelled, and none failed).
        policy: "stop" or "continue".
        blocked: How many of its jobs wait for others.
        queued: How many were released and have not finished: they are scheduled, queued or running.
        succeeded: How many have succeeded.
        failed: How many have failed for good.
        cancelled: How many were cancelled.
        created_at: When it was started.
        finished_at: When the last of its jobs had ended; None while it runs.
        cancel_reason: Why all of it was cancelled, if it was.
    """

    id: UUID
    name: str | None
    state: State
    policy: str
    blocked: int
    queued: int
    succeeded: int
    failed: int
    cancelled: int
    created_at: datetime
    finished_at: datetime | None
    cancel_reason: str | None

    @property
    def total(self) -> int:
        """How many jobs it has, callbacks not counted."""
        return self.blocked + self.queued + self.done

    @property
    def done(self) -> int:
        """How many have ended, one way or another."""
        return self.succeeded + self.failed + self.cancelled


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowNode:
    """One node of a workflow.

    Attributes:
        id: Its job's id; a barrier's own.
        name: Its name, if it has one.
        kind: "job", "barrier" (many wait for many through it; it has no job), or the callback that it is.
        state: Its job's.
        task: Its job's; None for a barrier, and when the job is out of retention.
        parents: The nodes that it waits for.
        error: The message of its job's error.
    """

    id: UUID
    name: str | None
    kind: str
    state: State
    task: str | None
    parents: tuple[UUID, ...]
    error: str | None


class StartedWorkflow:
    """A workflow in the database.

    Attributes:
        id: Its id.
    """

    def __init__(self, app: Headrace, workflow_id: UUID, plan: Plan | None = None) -> None:
        self._app = app
        self.id = workflow_id
        self._plan = plan

    async def info(self) -> WorkflowInfo:
        """The workflow as it is now.

        Raises:
            WorkflowNotFound: It does not exist (any more).
        """
        return await self._app.find_workflow(self.id)

    async def nodes(self) -> list[WorkflowNode]:
        """All its nodes, in the order in which they were made; reads each of them."""
        database, nodes = await self._app.database(), []
        after = None
        while records := await database.records("list_nodes", id=self.id, after=after, limit=_PAGE):
            nodes += [_node(record) for record in records]
            after = records[-1]["job_id"]
            if len(records) < _PAGE:
                break
        if not nodes:
            await self.info()
        return nodes

    async def wait(self, timeout: timedelta | float | None = None) -> WorkflowInfo:
        """Wait until it has finished, and give it as it is then.

        Args:
            timeout: How long to wait at most, in seconds if a number; None: as long as it takes.

        Raises:
            ResultTimeout: It had not finished in time. It goes on.
            WorkflowNotFound: It does not exist (any more).
        """
        if is_running_here():
            raise ConfigurationError(
                f"a handler waits for workflow {self.id}: it would keep its own place while it waits, and when all "
                "places are taken by such handlers none of the jobs they wait for can start. Use a callback"
            )
        seconds = timeout.total_seconds() if isinstance(timeout, timedelta) else timeout
        wait_s = _FIRST_LOOK_S
        try:
            async with asyncio.timeout(seconds):
                while (info := await self.info()).finished_at is None:
                    await asyncio.sleep(wait_s)
                    wait_s = min(wait_s * _GROWTH, _LONGEST_LOOK_S)
        except TimeoutError:
            raise ResultTimeout(f"workflow {self.id} had not finished within {seconds:g} seconds; it goes on") from None
        return info

    async def result(self, timeout: timedelta | float | None = None) -> Any:
        """Wait until all its jobs have succeeded, and give the results of those that it ends in.

        Of a chain, the result of its last job; of a group or a batch, a list; of a `Workflow`, those of the nodes
        that no other waits for, by name. (Of a `Workflow` with a flow and without nodes, that of the flow.) Not known
        of one that was looked up by its id.

        Args:
            timeout: As for `wait`.

        Raises:
            WorkflowFailed: Not all of its jobs succeeded.
            JobNotFound: A result is out of its job's retention.
            ResultTimeout: It had not finished in time. It goes on.
            WorkflowNotFound: It does not exist (any more).
        """
        if self._plan is None:
            raise ConfigurationError(
                f"what workflow {self.id} ends in is known where it was started: elsewhere, ask for its nodes()"
            )
        info = await self.wait(timeout)
        if info.state is not State.SUCCEEDED:
            raise WorkflowFailed(
                f"workflow {info.name or info.id} {'failed' if info.state is State.FAILED else 'was cancelled'}: of "
                f"{info.total} jobs {info.succeeded} succeeded, {info.failed} failed and {info.cancelled} were "
                "cancelled",
                info,
            )
        plan = self._plan
        ends = [*plan.outcomes.values(), plan.outcome or NOTHING]
        results = await self._results([job for end in ends for job in end.jobs])
        if plan.outcome is not None and not plan.named:
            return _shaped(plan.outcome, results)
        return {name: _shaped(end, results) for name, end in plan.outcomes.items()}

    async def _results(self, jobs: list[str]) -> dict[str, Any]:
        database = await self._app.database()
        results: dict[str, Any] = {}
        for start in range(0, len(jobs), _CHUNK):
            some = jobs[start : start + _CHUNK]
            for job_id, _, result, _ in await database.rows("find_outcomes", ids=some, oldest=min(some)):
                results[job_id] = None if result is None else json.loads(result)
        if gone := next((job for job in jobs if job not in results), None):
            raise JobNotFound(f"the result of job {gone} is gone: it was deleted, retried, or is out of retention")
        return results

    async def cancel(self, reason: str = "cancelled") -> Literal["cancelled", "finished", "unknown"]:
        """Cancel all its jobs that have not finished: those that wait at once, running ones are asked to stop."""
        database = await self._app.database()
        return await database.value(  # type: ignore[no-any-return]
            "cancel_workflow", store.DEADLINE_S, id=self.id, reason=reason
        )

    async def retry(self) -> list[Job[Any]]:
        """Run again what failed or was cancelled, each job once its parents have succeeded; what succeeded stays.

        Returns:
            The jobs that will run again: not those that were deleted or are out of retention.
        """
        rows = await (await self._app.database()).rows("retry_workflow", store.DEADLINE_S, id=self.id)
        return [Job(self._app, job_id) for (job_id,) in rows]

    async def add(self, *items: NewJob | Flow, after: str | Sequence[str] = (), conn: Any = None) -> list[Job[Any]]:
        """Add jobs, chains and groups while it runs: also from one of its own jobs (``ctx.job.workflow_id``).

        It does not finish before they have. As long as a transaction that adds to it is open it does not finish either.

        Args:
            items: What to add.
            after: The names of nodes that they wait for.
            conn: Add them inside this connection's transaction; see `Task.options`.

        Raises:
            WorkflowOver: It has finished, was cancelled, or does not exist.
            InvalidArguments: It has no node of such a name.
        """
        plan = Plan(after_names=(after,) if isinstance(after, str) else tuple(after))
        for item in items:
            plan.place(item, NOTHING)
        if plan.jobs:
            await store.add(self._app, self.id, plan, conn)
        return [Job(self._app, job.id) for job in plan.jobs]

    def __repr__(self) -> str:
        return f"<StartedWorkflow {self.id}>"


def _shaped(ends: Ends, results: dict[str, Any]) -> Any:
    found = [results[job] for job in ends.jobs]
    return found if ends.is_list else found[0]


def _node(record: dict[str, Any]) -> WorkflowNode:
    return WorkflowNode(
        id=UUID(record["job_id"]),
        name=record["name"],
        kind=record["kind"],
        state=State(record["state"]),
        task=record["task"],
        parents=tuple(UUID(parent) for parent in record["parents"] or ()),
        error=record["error"],
    )


def workflow_info(record: dict[str, Any]) -> WorkflowInfo:
    """A row of find_workflow.sql or list_workflows.sql."""
    return WorkflowInfo(**(record | {"id": UUID(record["id"]), "state": State(record["state"])}))


def not_found(workflow_id: UUID | str) -> WorkflowNotFound:
    """What to raise for an id that no workflow has."""
    return WorkflowNotFound(f"no workflow has the id {workflow_id}: it never existed, or finished too long ago")
