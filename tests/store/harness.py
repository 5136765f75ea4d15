"""The store without workers: plain connections that run the statements of queries/ by name."""

from __future__ import annotations

import json
import threading
import time
from typing import TYPE_CHECKING, Any, NamedTuple, Self, cast
from urllib.parse import urlsplit
from uuid import UUID

import psycopg
from uuid_utils import uuid7

from headrace._store.sql import query
from headrace._worker.attempt import Settle
from headrace._worker.claims import LINE_ORDER
from headrace._worker.marks import Marks
from headrace._worker.settles import settle_parameters

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from conftest import DatabaseServer

DEADLINE_S = 20.0
POISON_LIMIT = 2


def wait_until(condition: Callable[[], bool], what: str, deadline_s: float = DEADLINE_S) -> None:
    """Ask again and again until the condition holds; the test fails if it never does."""
    give_up_at = time.monotonic() + deadline_s
    while not condition():
        if time.monotonic() > give_up_at:
            raise AssertionError(f"not within {deadline_s:g} s: {what}")
        time.sleep(0.002)


def waiting(observer: Store) -> int:
    """How many connections to this database wait for a lock."""
    return int(observer.one(
        "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
    ))  # fmt: skip


class Claimed(NamedTuple):
    """An attempt in a worker's hands."""

    id: str
    run: int


class Store:
    """One connection to a schema of headrace."""

    def __init__(self, url: str, schema: str = "headrace") -> None:
        self.url = url
        self.schema = schema
        self.conn = psycopg.connect(url, autocommit=True, prepare_threshold=None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.conn.close()

    def another(self) -> Store:
        """A second connection to the same schema."""
        return Store(self.url, self.schema)

    # -- statements --

    def rows(self, name: str, /, **parameters: Any) -> list[tuple[Any, ...]]:
        """All rows of queries/NAME.sql."""
        cursor = self.conn.execute(query(name, self.schema), parameters)
        return cursor.fetchall() if cursor.description is not None else []

    def value(self, name: str, /, **parameters: Any) -> Any:
        """The first column of the first row of queries/NAME.sql."""
        rows = self.rows(name, **parameters)
        return rows[0][0] if rows else None

    def ask(self, statement: str, parameters: Any = None) -> list[tuple[Any, ...]]:
        """All rows of a test's own statement."""
        cursor = self.conn.execute(statement, parameters)
        return cursor.fetchall() if cursor.description is not None else []

    def one(self, statement: str, parameters: Any = None) -> Any:
        """The only column of the only row of a test's own statement."""
        ((value,),) = self.ask(statement, parameters)
        return value

    def explained(self, name: str, options: str, parameters: dict[str, Any]) -> Any:
        """EXPLAIN of queries/NAME.sql, as one value."""
        return self.one(f"explain ({options}) {query(name, self.schema)}", parameters)

    # -- what a test does all the time --

    def worker(self) -> int:
        """A new lease."""
        return int(self.value("register_worker", host="test", pid=1, version="0", queues="{}"))

    def new_id(self) -> str:
        """A job's id, as clients make them."""
        return str(uuid7())

    def enqueue(self, task: str = "task", **fields: Any) -> str:
        """One job, through headrace.enqueue_jobs."""
        return self.place(task, **fields)[0]

    def place(self, task: str = "task", **fields: Any) -> tuple[str, bool]:
        """One job's id, and whether it existed before."""
        ((_, job_id, existed),) = self.rows("enqueue_jobs", jobs=json.dumps([{"task": task, "queue": "q", **fields}]))
        return str(job_id), existed

    def claim(self, worker: int, places: int = 1, queue: str = "q") -> list[Claimed]:
        """Up to so many jobs of one queue, in the order of its line."""
        return in_order(self.claimed_rows(worker, {queue: places}))

    def claimed_rows(self, worker: int, places: dict[str, int]) -> list[tuple[Any, ...]]:
        """A claim as the driver gives it, in any order."""
        return self.rows("claim_jobs", worker_id=worker, places=list(places.values()), **scan_of(*places))

    def claim_limited(
        self, worker: int, places: int = 1, queue: str = "q", *, suspects: bool = False, now: str | None = None,
        cursor: tuple[str, int] = ("", 0), chunk: int = 1000, most_lanes: int = 500,
    ) -> tuple[list[Claimed], dict[str, Any]]:  # fmt: skip
        """A claim of one limited queue, and what else it says."""
        rows = self.rows(
            "claim_limited_jobs", worker_id=worker, places=[places], suspects=suspects, **scan_of(queue),
            cursor_lanes=[cursor[0]], cursor_ranks=[cursor[1]], chunk=chunk, most_lanes=most_lanes, now=now,
        )  # fmt: skip
        told, claimed = rows[:1], rows[1:]
        return in_order(claimed), json.loads(told[0][-1]) if told else {}

    def limit(
        self, name: str, kind: str, *, queue: str | None = None, tasks: list[str] | None = None, key: str | None = None,
        bound: int = 1, span_s: float = 1, burst: int = 1, now: str | None = None, **settings: Any,
    ) -> None:  # fmt: skip
        """Set a limit, as an operator does."""
        self.rows(
            "set_limit", name=name, kind=kind, queue=queue, tasks=tasks, key=key, bound=bound, span_s=span_s, burst=burst,
            settings=json.dumps(settings), now=now,
        )  # fmt: skip

    def claim_suspect(self, worker: int, queue: str = "q") -> list[Claimed]:
        """A job that was running when a lease was lost, if there is one."""
        return in_order(self.rows("claim_suspect", worker_id=worker, queues=[queue]))

    def settle(self, worker: int, *settles: Settle, again: bool = False) -> list[str]:
        """Record outcomes; the ids that this worker no longer held."""
        return [row[0] for row in self.rows("settle_jobs", **settle_parameters(worker, settles, again=again))]

    def end_lease(self, worker: int) -> bool:
        """Whether there was a lease to end."""
        return bool(self.rows("end_lease", worker_id=worker, beat=None))

    def rescue(self) -> dict[str, str]:
        """Take back what runs under no lease: the outcome for each job."""
        return dict(self.rows("rescue_jobs", poison_limit=POISON_LIMIT, chunk=1000))

    def cancel(self, *ids: str, reason: str = "asked to") -> dict[str, str]:
        """What became of the wish to cancel each job."""
        return dict(self.rows("cancel_jobs", ids=list(ids), reason=reason))

    def retry(self, *ids: str, args: dict[str, Any] | None = None, from_start: bool = False) -> list[str]:
        """An operator's retry: the ids that will run."""
        packed = None if args is None else json.dumps(args)
        return [row[0] for row in self.rows("retry_jobs", ids=list(ids), args=packed, from_start=from_start)]

    def delete(self, *ids: str) -> list[str]:
        """The ids that are gone."""
        return [row[0] for row in self.rows("delete_jobs", ids=list(ids))]

    def promote(self, now: str | None = None, chunk: int = 1000) -> int | None:
        """How many scheduled jobs joined the line."""
        return cast("int | None", self.value("promote_jobs", now=now, chunk=chunk, **FROM_START))

    def next_due_s(self) -> float | None:
        """Seconds until the next scheduled job is due."""
        return cast("float | None", self.value("next_due", now=None, after="-infinity"))

    # -- steps and events --

    def record(
        self, worker: int, attempt: Claimed, ordinal: int, *, kind: str = "call", name: str = "step",
        result: str | None = None, wait_s: float | None = None, again: bool = False, patient: bool = False,
        now: str | None = None,
    ) -> bool:  # fmt: skip
        """Whether the attempt's step was recorded."""
        return bool(self.value(
            "record_step", worker_id=worker, id=attempt.id, run=attempt.run, ordinal=ordinal, kind=kind, name=name,
            result=result, took_s=None, wait_s=wait_s, patient=patient, again=again, now=now,
        ))  # fmt: skip

    def steps(self, job_id: str, now: str | None = None) -> list[tuple[Any, ...]]:
        """What an attempt finds recorded: ordinal, kind, name, run, outcome, result, seconds left."""
        return self.rows("load_steps", id=job_id, now=now)

    def await_event(
        self, worker: int, attempt: Claimed, ordinal: int, event: str, timeout_s: float = 3600.0, now: str | None = None
    ) -> tuple[str, str | None] | None:
        """What came of the wait: an outcome and a payload; None if the attempt is somebody else's."""
        rows = self.rows(
            "await_event", worker_id=worker, id=attempt.id, run=attempt.run, ordinal=ordinal, event=event,
            timeout_s=timeout_s, now=now,
        )  # fmt: skip
        return (rows[0][0], rows[0][1]) if rows else None

    def emit(self, event: str, payload: Any = None, keep_s: float = 86400.0) -> bool:
        """Whether it was the first of its name."""
        return bool(self.value("emit_event", event=event, payload=json.dumps(payload), keep_s=str(keep_s)))

    def release_waiting(self, now: str | None = None, chunk: int = 1000) -> int | None:
        """How many jobs wait no more; None if somebody else is at it."""
        return cast("int | None", self.value(
            "release_waiting", events_after="-infinity", looks_after="-infinity", looks_after_id=str(UUID(int=0)),
            chunk=chunk, now=now,
        ))  # fmt: skip

    def state(self, job_id: str) -> str | None:
        """Where a job is, finished or not; None if there is no such job."""
        rows = self.ask(f"select state::text from {self.schema}.jobs where id = %s", [job_id])
        return rows[0][0] if rows else None

    def find(self, job_id: str) -> dict[str, Any]:
        """Everything that a reader sees of a job."""
        cursor = self.conn.cursor(row_factory=psycopg.rows.dict_row)
        (record,) = cursor.execute(query("find_jobs", self.schema), {"ids": [job_id]}).fetchall()
        return record

    def empty(self) -> None:
        """Forget unfinished jobs, workers and settings, for the next test; finished jobs disturb nobody."""
        for table in (
            "job", "job_progress", "enqueue_key", "worker", "queue", "task", "event", "schedule", "schedule_due", "schedule_code",
            "tick", "workflow", "workflow_node", "dependency", "workflow_change", "pause", "flow_limit", "flow_queue", "flow_gate",
            "flow_release", "operation", "rollup", "rollup_seen", "queue_sample", "deploy",
        ):  # fmt: skip
            self.ask(f"delete from {self.schema}.{table}")
        self.ask(
            f"update {self.schema}.rollup_look set source = null, began_at = null, began_with = null, looked_ats = '{{}}', sampled_at = '-infinity', "
            "sample_took = '0'"
        )


FROM_START = {"after": "-infinity", "after_id": str(UUID(int=0))}
"""Where a promoter's scan starts that knows nothing yet."""


def superuser_url(server: DatabaseServer, url: str) -> str:
    """A superuser's way into the database of this URL."""
    admin = urlsplit(server.admin_url)
    return f"postgresql://{admin.netloc}{urlsplit(url).path}" + (f"?{admin.query}" if admin.query else "")


def scan_of(*queues: str) -> dict[str, Any]:
    """What a worker that knows nothing yet scans of these queues."""
    return {"queues": list(queues), **Marks(queues).segments(queues)}


def in_order(rows: list[tuple[Any, ...]]) -> list[Claimed]:
    """A claim's rows come in any order: larger priority first, then position."""
    return [Claimed(row[0], row[1]) for row in sorted(rows, key=LINE_ORDER)]


def waits(attempt: Claimed, event: str, wait_s: float = 3600.0) -> Settle:
    """An attempt that ended because its job waits for an event."""
    return ended(attempt, "waiting", wait_s=wait_s, error=json.dumps({"event": event}))


def ended(
    attempt: Claimed, outcome: str = "succeeded", *, wait_s: float = 0, result: str | None = None,
    error: str | None = None, progress: str | None = None,
) -> Settle:  # fmt: skip
    """How an attempt ended."""
    return Settle(attempt.id, attempt.run, outcome, wait_s, result, error, progress)


class InThread:
    """A statement that another connection runs meanwhile: it may have to wait for us."""

    def __init__(self, store: Store, act: Callable[[], Any]) -> None:
        self.store = store
        self._act = act
        self._answer: Any = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run)

    def start(self) -> None:
        """Send the statement."""
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None and self._thread.is_alive():
            self.store.conn.cancel()
        if self._thread.ident is not None:
            self._thread.join(DEADLINE_S)

    def _run(self) -> None:
        try:
            self._answer = self._act()
        except BaseException as error:  # noqa: BLE001 - it is raised in `answer`
            self._error = error

    def waits(self, observer: Store) -> bool:
        """Return once the statement waits for a lock (true) or is over (false)."""
        wait_until(lambda: not self._thread.is_alive() or waiting(observer) > 0, "it waits or is over")
        return self._thread.is_alive()

    def answer(self) -> Any:
        """What the statement answered; raises what it raised."""
        self._thread.join(DEADLINE_S)
        if self._thread.is_alive():
            raise AssertionError("the statement never came back")
        if self._error is not None:
            raise self._error
        return self._answer
