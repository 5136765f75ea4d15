"""Asking of jobs and events, and acting on them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Sequence
from datetime import datetime, timedelta
from typing import Any, cast
from uuid import UUID

from headrace._app.opening import Opening
from headrace._explaining import explain
from headrace._store.acting import acting_name
from headrace._store.foreign import SyncForeign, adapt, is_async
from headrace._store.sql import query
from headrace.context import is_running_here
from headrace.errors import (
    ConfigurationError,
    JobCancelled,
    JobFailed,
    JobNotFound,
    ResultTimeout,
    UnknownQueue,
    did_you_mean,
)
from headrace.event import KEEP_EVENTS, EventInfo, emit_parameters
from headrace.job import AttemptInfo, JobInfo, LogLine, State, StepInfo, check_words, job_info
from headrace.limits import PauseInfo
from headrace.serving import LOOKED_AT, QueueInfo, RunningJob, WorkerInfo
from headrace.why import BOUND, LEASE_S, Why


class Asking(Opening):
    """Everything that can be asked of jobs and events, and done with them, by whoever has an app."""

    async def emit(self, name: str, payload: Any = None, *, keep: timedelta = KEEP_EVENTS, conn: Any = None) -> bool:
        """Say that something has happened; jobs that wait for it (`Context.wait_for_event`) get the payload and go on.

        Args:
            name: Of the event, up to 300 bytes; for all tenants and tasks, so put in what tells them apart.
            payload: What there is to say of it: anything that JSON holds, 256 KiB at most.
            keep: For how long jobs find it that ask later, and a second emit is ignored. 30 days: more than most waits.
            conn: Emit inside this connection's transaction; see `Task.options`.

        Returns:
            Whether this was the first emit of this name. The first payload stays, a second emit changes nothing.

        Raises:
            InvalidArguments: The payload cannot be stored.
        """
        parameters = emit_parameters(name, payload, keep)
        if conn is None:
            return bool(await (await self._here()).database.value("emit_event", **parameters))
        foreign = adapt(conn)
        answer = foreign.rows(query("emit_event", self.schema), parameters)
        ((first,),) = await cast("Awaitable[Any]", answer) if is_async(foreign) else cast("list[Any]", answer)
        return bool(first)

    def emit_sync(self, name: str, payload: Any = None, *, keep: timedelta = KEEP_EVENTS, conn: Any = None) -> bool:
        """`emit` for code that is not asynchronous."""
        if conn is None:
            return self.run_sync(self.emit(name, payload, keep=keep))
        foreign = adapt(conn)
        if is_async(foreign):
            raise ConfigurationError(
                f"a {type(conn).__name__} is asynchronous: await emit(...) instead of emit_sync(...)"
            )
        parameters = emit_parameters(name, payload, keep)
        ((first,),) = cast("SyncForeign", foreign).rows(query("emit_event", self.schema), parameters)
        return bool(first)

    async def find_event(self, name: str) -> EventInfo | None:
        """An event that was emitted and is not forgotten; None if there is none of this name."""
        records = await (await self._here()).database.records("find_event", event=check_words("event", name))
        return EventInfo(**records[0]) if records else None

    # -- jobs --

    async def find_job(self, job_id: UUID | str) -> JobInfo:
        """A job, finished or not.

        Raises:
            JobNotFound: No job has this id.
        """
        found = await self.find_jobs([job_id])
        if not found:
            raise _not_found(job_id)
        return found[0]

    async def find_jobs(self, job_ids: Sequence[UUID | str]) -> list[JobInfo]:
        """Those of these jobs that exist."""
        records = await (await self._here()).database.records("find_jobs", ids=_job_ids(job_ids))
        return [job_info(record) for record in records]

    async def cancel_jobs(self, job_ids: Sequence[UUID | str], reason: str = "cancelled") -> dict[UUID, str]:
        """Cancel jobs; for each, "cancelled", "requested" (it runs), "finished" or "unknown"."""
        rows = await (await self._here()).database.rows("cancel_jobs", ids=_job_ids(job_ids), reason=reason)
        return {UUID(job_id): outcome for job_id, outcome in rows}

    async def retry_jobs(
        self, job_ids: Sequence[UUID | str], args: dict[str, Any] | None = None, *, from_start: bool = False
    ) -> list[UUID]:
        """Run finished jobs again, and those that wait for a time or an event now; the ids that will run.

        Args:
            job_ids: Which.
            args: Other arguments, all of them.
            from_start: Forget their recorded steps. Otherwise jobs that failed or were cancelled go on after the last
                step that is recorded, with other arguments too; a job that succeeded always starts anew.
        """
        packed = json.dumps(args) if args is not None else None
        rows = await (await self._here()).database.rows(
            "retry_jobs", ids=_job_ids(job_ids), args=packed, from_start=from_start
        )
        return [UUID(row[0]) for row in rows]

    async def delete_jobs(self, job_ids: Sequence[UUID | str]) -> list[UUID]:
        """Delete jobs that do not run; the ids that are gone."""
        rows = await (await self._here()).database.rows("delete_jobs", ids=_job_ids(job_ids))
        return [UUID(row[0]) for row in rows]

    async def why(self, job_id: UUID | str, *, tenant: str | None = None) -> Why:
        """Why a job is where it is, each reason why it does not run, and what happens next.

        Args:
            job_id: Which.
            tenant: Only if it is this tenant's, and without anything of other tenants' jobs. None: whosever it is.

        Raises:
            JobNotFound: No job (of this tenant) has this id.
        """
        records = await (await self._here()).database.records(
            "explain_job", id=_job_ids([job_id])[0], tenant=tenant, lease_s=LEASE_S, bound=BOUND
        )
        if not records:
            raise _not_found(job_id)
        return explain(records[0])

    async def list_attempts(self, job_id: UUID | str) -> list[AttemptInfo]:
        """A job's attempts before its last, oldest first."""
        records = await (await self._here()).database.records("list_attempts", id=_job_ids([job_id])[0])
        return [AttemptInfo(**record) for record in records]

    async def list_steps(self, job_id: UUID | str) -> list[StepInfo]:
        """What a job's attempts recorded of its steps, in the handler's order."""
        records = await (await self._here()).database.records("list_steps", id=_job_ids([job_id])[0])
        return [StepInfo(**record) for record in records]

    async def list_logs(self, job_id: UUID | str, limit: int = 1000) -> list[LogLine]:
        """What a job's handler logged, oldest first."""
        records = await (await self._here()).database.records("list_logs", id=_job_ids([job_id])[0], limit=limit)
        return [LogLine(**record) for record in records]

    async def _wait_for_result(self, job_id: UUID, timeout_s: float | None) -> Any:
        if is_running_here():
            raise ConfigurationError(
                f"a handler waits for job {job_id}: it would keep its own place while it waits, and when all places "
                "are taken by such handlers none of the jobs they wait for can start. Let the job enqueue what is next"
            )
        resources = await self._here()
        try:
            async with asyncio.timeout(timeout_s):
                state, result, error = await resources.results.wait(job_id)
        except TimeoutError:
            raise ResultTimeout(f"job {job_id} had not finished within {timeout_s:g} seconds; it goes on") from None
        match state:
            case State.SUCCEEDED:
                return None if result is None else json.loads(result)
            case State.FAILED:
                raise JobFailed(f"job {job_id} failed: {(error or {}).get('message', 'unknown error')}", error or {})
            case _:
                raise JobCancelled(f"job {job_id} was cancelled: {(error or {}).get('message', 'no reason given')}")

    # -- pausing --

    async def pause(
        self,
        queue: str | None = None,
        *,
        reason: str | None = None,
        until: datetime | timedelta | None = None,
        by: str | None = None,
    ) -> None:
        """Let no worker claim jobs of a queue, from its next claim on; running jobs go on.

        Args:
            queue: Which; None: all of them.
            reason: Kept with the pause.
            until: When it ends by itself; None: when somebody resumes it.
            by: Who pauses it, kept with it; None: who is `acting`.
        """
        await (await self._here()).database.rows(
            "pause_queue",
            queue=queue or "",
            reason=reason,
            until=until if isinstance(until, datetime) else None,
            for_s=until.total_seconds() if isinstance(until, timedelta) else None,
            by=by or acting_name(),
        )

    async def resume(self, queue: str | None = None) -> bool:
        """End the pause of a queue; None: that of all, which leaves pauses of single ones. Whether there was one."""
        rows = await (await self._here()).database.rows("resume_queue", queue=queue or "")
        return bool(rows and rows[0][0])

    async def list_pauses(self) -> list[PauseInfo]:
        """The pauses that last."""
        return [PauseInfo(**record) for record in await (await self._here()).database.records("list_pauses")]

    # -- queues and workers --

    async def now(self) -> datetime:
        """The database's time, by which everything is due."""
        return await (await self._here()).database.value("read_clock")  # type: ignore[no-any-return]

    async def list_queues(self) -> list[QueueInfo]:
        """All queues, by name, with how many unfinished jobs they have and who serves them."""
        database = (await self._here()).database
        pauses = {pause.queue: pause for pause in await self.list_pauses()}
        records = await database.records("list_queues", bound=LOOKED_AT)
        return [QueueInfo(**record, pause=pauses.get(record["name"], pauses.get(""))) for record in records]

    async def set_queue(self, name: str, **settings: int | None) -> None:
        """Change a queue's settings; workers follow within seconds. What is not given stays.

        Args:
            name: The queue.
            settings: `concurrency`, places in each worker (0 stops the queue, None: as workers were started);
                `max_queued`, beyond which enqueueing is refused (None: no bound).

        Raises:
            UnknownQueue: There is none of this name.
            ConfigurationError: A setting is unknown, or negative.
        """
        for setting, bound in settings.items():
            if setting not in ("concurrency", "max_queued"):
                raise ConfigurationError(f'a queue has no setting "{setting}", only concurrency and max_queued')
            if bound is not None and bound < 0:
                raise ConfigurationError(f'queue "{name}": {setting} must not be negative, as {bound} is')
        database = (await self._here()).database
        known = [queue.name for queue in await self.list_queues()]
        if name not in known:
            raise UnknownQueue(f'there is no queue "{name}". {did_you_mean(name, known)}')
        await database.rows(
            "set_queue",
            name=name,
            concurrency=settings.get("concurrency"),
            max_queued=settings.get("max_queued"),
            clear=[setting for setting, bound in settings.items() if bound is None],
        )

    async def list_workers(self) -> list[WorkerInfo]:
        """All workers that hold a lease, the oldest first."""
        return [WorkerInfo(**record) for record in await (await self._here()).database.records("list_workers")]

    async def drain_worker(self, worker_id: int) -> bool:
        """Let a worker claim no more, and end when its jobs have; its supervisor, if it has one, starts another.

        Returns:
            Whether there is one of this id.
        """
        await (await self._here()).database.rows("drain_worker", worker_id=worker_id)
        return any(worker.id == worker_id for worker in await self.list_workers())

    async def list_running(self, *, tenant: str | None = None, limit: int = 500) -> list[RunningJob]:
        """Jobs that run now, those that have run longest first.

        Args:
            tenant: Only those of this tenant.
            limit: At most so many.
        """
        records = await (await self._here()).database.records(
            "list_running", bound=LOOKED_AT, tenant=tenant, limit=limit
        )
        return [RunningJob(**record | {"id": UUID(record["id"])}) for record in records]


def _not_found(job_id: UUID | str) -> JobNotFound:
    return JobNotFound(f"no job has the id {job_id}: it never existed, was deleted, or is out of retention")


def _job_ids(given: Sequence[UUID | str]) -> list[str]:
    """Ids as the database reads them.

    Raises:
        JobNotFound: One is no job's id.
    """
    try:
        return [str(UUID(str(job_id))) for job_id in given]
    except ValueError:
        raise JobNotFound(
            f"not all of these are ids of jobs, which are UUIDs: {', '.join(map(str, given))[:200]}"
        ) from None
