"""The application: its tasks, its database, and everything that can be asked of it."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID

from headrace._app.asking import Asking
from headrace._app.declaring import Declaring
from headrace._doctor.database_rules import judge_database
from headrace._doctor.reading import Reader
from headrace._doctor.work_rules import judge_work
from headrace._redact import Redactor, Secrets
from headrace._store import enqueue as enqueue_store
from headrace._store import workflows as workflow_store
from headrace._store.foreign import SyncForeign, adapt, is_async
from headrace._store.sql import query
from headrace._store.stream import Stream, check_new
from headrace.access import Access
from headrace.audit import Audit
from headrace.doctor import SEVERITIES, DatabaseReport, Finding
from headrace.errors import ConfigurationError
from headrace.history import History
from headrace.job import Job, NewJob, State
from headrace.limits import Breakers, Limits
from headrace.middleware import enqueueing
from headrace.operations import Operations
from headrace.search import Search
from headrace.started import StartedWorkflow, WorkflowInfo, not_found, workflow_info
from headrace.webhooks import Webhooks
from headrace.workflow import as_workflow

if TYPE_CHECKING:
    from headrace._worker.worker import Worker
    from headrace.workflow import Flow, Workflow

IMPORTING = "HEADRACE_IMPORTING"
"""Set in a process for process tasks while it imports the app."""


class Headrace(Declaring, Asking):
    """An application's background jobs.

    Args:
        url: The PostgreSQL database, as postgresql://user:password@host:port/database. Without one: the environment's
            HEADRACE_URL, else an embedded PostgreSQL that starts by itself (``pip install headrace[embedded]``).
        schema: The schema that holds headrace's tables. Change it to have several in one database.
        max_connections: How many connections enqueueing and asking may use in each process. 4: enqueueing takes one for
            a fraction of a millisecond.
        handler_connections: How many connections `ctx.transaction()` may use in each worker process. 10: handlers that
            want more wait for each other.
        secret_names: Names of arguments, and of fields of results and metadata, that are secret beside the usual ones
            (password, token, api_key, …): they are shown nowhere. "iban" is also found in customer_iban and ibanOld.

    Nothing is opened before it is needed. `close` (or ``async with app``) closes everything.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        schema: str = "headrace",
        max_connections: int = 4,
        handler_connections: int = 10,
        secret_names: Sequence[str] = (),
    ) -> None:
        super().__init__(
            url,
            schema=schema,
            max_connections=max_connections,
            handler_connections=handler_connections,
            secret_names=secret_names,
        )
        self.limits = Limits(self.database)
        self.breakers = Breakers(self.database)
        self.search = Search(self.database, self.redactor)
        self.webhooks = Webhooks(self)
        self.operations = Operations(self.database, self.search)
        self.history = History(self.database)
        self.audit = Audit(self.database)
        self.access = Access(self.database)

    # -- looking after it --

    async def database_report(self) -> DatabaseReport:
        """The server, what holds its horizon, tables, indexes, partitions and slots: read only, as any role.

        Reads the sizes of all tables: some ten milliseconds.
        """
        return await Reader(await self.database()).report()

    async def diagnose(self) -> list[Finding]:
        """What is wrong, or about to be, and what to do about it; the worst first. Changes nothing.

        Reads every unfinished job once (a million: half a second), and compares the schema with this version's.
        """
        reader = Reader(await self.database())
        report = await reader.report()
        work = await reader.work()
        found = [*judge_database(report), *judge_work(work, report)]
        return sorted(found, key=lambda finding: SEVERITIES.index(finding.severity))

    # -- working --

    def worker(self, **options: Any) -> Worker:
        """A worker for this process; ``await worker.run()`` works until ``worker.stop()``. For options see `Worker`."""
        from headrace._worker.worker import Worker  # noqa: PLC0415 - enqueuers do without

        if IMPORTING in os.environ:
            raise ConfigurationError(
                "this program starts a worker while a process for process tasks imports it: put what it runs under "
                '`if __name__ == "__main__":`'
            )
        return Worker(self, **options)

    async def drain(self, **options: Any) -> None:
        """Work off all that is queued and not paused, here and now, and return: for tests and one-off commands."""
        await self._here()
        await self.worker(**({"heartbeat": "loop"} | options)).run_until_idle()

    # -- showing --

    async def redactor(self) -> Redactor:
        """What hides secrets in jobs that are shown: ``(await app.redactor()).job(job)``.

        It knows what workers have registered, and what this app's own code says. Make a new one for each answer: what
        tasks keep secret may change with every deploy.
        """
        stored: dict[str, Secrets] = {}
        for name, aliases, marks in await (await self._here()).database.rows("list_secrets"):
            stored |= dict.fromkeys((name, *aliases), Secrets.from_json(marks))
        declared = {name: self.find_task(name).secrets for name in self.task_names()}
        return Redactor(stored, declared, self.secret_names)

    # -- enqueueing --

    async def enqueue_many(self, jobs: Iterable[NewJob], *, conn: Any = None) -> list[Job[Any]]:
        """Enqueue jobs made by `task.job(...)`, all or none, in one transaction.

        Args:
            jobs: Any number. While the server stores some, a generator makes the next; a slow one makes all of them
                first, so that it holds no transaction open.
            conn: Enqueue inside this connection's transaction; see `Task.options`.
        """
        with enqueueing(self.middlewares, None):
            return [Job(self, job_id, existed=existed) for job_id, existed in await self._place(jobs, conn)]

    async def _place(self, jobs: Iterable[NewJob], conn: Any) -> Sequence[enqueue_store.Placed]:
        if conn is None:
            stream = Stream(jobs)
            limited = self._wants_lanes(stream.first)
            return await enqueue_store.enqueue((await self._here()).database, stream, lanes=limited)
        new = _new_jobs(jobs)
        if not new:
            return []
        foreign = adapt(conn)
        answer = foreign.rows(query("enqueue_jobs", self.schema), {"jobs": enqueue_store.as_json(new)})
        rows = await cast("Awaitable[Any]", answer) if is_async(foreign) else cast("list[Any]", answer)
        return [(str(job_id), existed) for _, job_id, existed in rows]

    def _wants_lanes(self, jobs: Sequence[NewJob]) -> bool:
        """Whether declared limits apply to some of these jobs: then they are put in their lanes as they come."""
        if not self.queue_limits and not self._limited_tasks:
            return False
        return any(job.task in self._limited_tasks or self.queue_limits.get(job.queue) for job in jobs)

    def enqueue_many_sync(self, jobs: Iterable[NewJob], *, conn: Any = None) -> list[Job[Any]]:
        """`enqueue_many` for code that is not asynchronous."""
        if conn is not None and is_async(adapt(conn)):
            raise ConfigurationError(
                f"a {type(conn).__name__} is asynchronous: await enqueue(...) instead of calling enqueue_sync(...)"
            )
        if conn is None:
            return self.run_sync(self.enqueue_many(jobs))
        with enqueueing(self.middlewares, None):
            new = _new_jobs(jobs)
            foreign = cast("SyncForeign", adapt(conn))
            rows = foreign.rows(query("enqueue_jobs", self.schema), {"jobs": enqueue_store.as_json(new)}) if new else []
        return [Job(self, str(job_id), existed=existed) for _, job_id, existed in rows]

    # -- workflows --

    async def start(self, workflow: Workflow | Flow, *, conn: Any = None) -> StartedWorkflow:
        """Start a workflow: all its jobs, or none, in one transaction. Starting the same object again changes nothing.

        Args:
            workflow: A `Workflow` or `Batch`, or what `chain` or `group` makes.
            conn: Start it inside this connection's transaction; see `Task.options`.

        Raises:
            ConfigurationError: It makes no sense: a job is in it twice, or takes the result of one that is not there.
            EnqueueError: A job was refused.
            DatabaseError: The database cannot be used.
        """
        workflow = as_workflow(workflow)
        plan = workflow.plan()
        with enqueueing(self.middlewares, None):
            await workflow_store.start(self, workflow, plan, conn)
        return StartedWorkflow(self, workflow.id, plan)

    def start_sync(self, workflow: Workflow | Flow, *, conn: Any = None) -> StartedWorkflow:
        """`start` for code that is not asynchronous: through the given connection, or the app's own thread."""
        if conn is None:
            return self.run_sync(self.start(workflow))
        workflow = as_workflow(workflow)
        plan = workflow.plan()
        with enqueueing(self.middlewares, None):
            workflow_store.start_sync(self, workflow, plan, conn)
        return StartedWorkflow(self, workflow.id, plan)

    def workflow(self, workflow_id: UUID | str) -> StartedWorkflow:
        """A workflow that was started, to act on; whether it exists is found out when something is asked of it.

        Raises:
            WorkflowNotFound: That is no id.
        """
        try:
            return StartedWorkflow(self, UUID(str(workflow_id)))
        except ValueError:
            raise not_found(workflow_id) from None

    async def find_workflow(self, workflow_id: UUID | str) -> WorkflowInfo:
        """A workflow and how far it is; reads one row.

        Raises:
            WorkflowNotFound: No workflow has this id (any more).
        """
        records = await (await self._here()).database.records("find_workflow", id=self.workflow(workflow_id).id)
        if not records:
            raise not_found(workflow_id)
        return workflow_info(records[0])

    async def list_workflows(
        self, *, states: Sequence[State] | None = None, before: UUID | None = None, limit: int = 50
    ) -> list[WorkflowInfo]:
        """Workflows, the newest first.

        Args:
            states: Only those in one of these states: running, succeeded, failed, cancelled.
            before: Only those that were started before this one: the next page.
            limit: At most so many.
        """
        wanted = [state.value for state in states] if states else None
        records = await (await self._here()).database.records(
            "list_workflows", before=before, states=wanted, limit=limit
        )
        return [workflow_info(record) for record in records]


def _new_jobs(jobs: Iterable[NewJob]) -> list[NewJob]:
    new = list(jobs)
    for job in new:
        check_new(job)
    return new
