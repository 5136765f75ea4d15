"""The ways in for new jobs.

* One job without a unique key on our own connection: a plain INSERT (insert_job.sql, insert_due_job.sql).
* Many of them: COPY, while the caller's iterable makes those that follow.
* Everything else (unique keys, limits that the app declares, arguments above 2 kB, delays in bulk, connections of the
  caller): headrace.enqueue_jobs, with the jobs as one JSON text, so that any driver can carry it.

An answer that is lost is not an enqueue that is lost, and not one to repeat either: ids are made here, so the next try,
ours or the caller's, looks for them first. Where that cannot be asked either, `AnswerLost` says so: it is the one error
after which jobs may be there.
"""

from __future__ import annotations

import json
from contextlib import nullcontext
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import psycopg

from headrace._store.sql import query
from headrace._store.stream import IterableFailed
from headrace.errors import AnswerLost, DatabaseUnavailable
from headrace.job import DEFAULT_OPTIONS, NewJob, Unique

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from headrace._store.database import Database
    from headrace._store.stream import Stream

INLINE_ARGS_BYTES = 2048
"""Arguments up to this size live in the job's row; larger ones are written once, elsewhere (ENGINE 21)."""

COPY_DEADLINE_S = 300.0
Buffer = bytes | bytearray | memoryview
Placed = tuple[str, bool]
"""A job's id, and whether it existed before."""


async def enqueue(database: Database, stream: Stream, *, lanes: bool = False) -> list[Placed]:
    """Enqueue on our own connection, in one transaction; again, once, if the connection breaks on the way.

    Args:
        database: Where.
        stream: Which.
        lanes: Whether to put them in the lanes of limits, which only the function can; a worker would do it later.
    """
    try:
        return await _enqueue_surely(database, stream, lanes=lanes)
    except IterableFailed as failure:
        error = failure.error
    raise error  # out here, so that it keeps its own cause and context


async def _enqueue_surely(database: Database, stream: Stream, *, lanes: bool) -> list[Placed]:
    try:
        return await (_call_function(database, stream.everything()) if lanes else _enqueue(database, stream))
    except (DatabaseUnavailable, psycopg.errors.UniqueViolation) as error:
        may_be_there = not isinstance(error, DatabaseUnavailable) or error.unanswered
    everything = stream.everything()
    try:
        return await _enqueue_missing(database, everything)
    except DatabaseUnavailable as error:
        if may_be_there or error.unanswered:
            raise AnswerLost(_lost(everything), everything) from error
        raise


def _lost(jobs: Sequence[NewJob]) -> str:
    which = f"job {jobs[0].id}" if len(jobs) == 1 else f"{len(jobs)} jobs, the first of them {jobs[0].id},"
    return (
        f"the answer to the enqueue of {which} was lost, and it could not be looked up: it is there, or not. "
        "Give this error's `jobs` to enqueue_many later: what is there is not enqueued again"
    )


async def _enqueue_missing(database: Database, jobs: Sequence[NewJob]) -> list[Placed]:
    """Enqueue those that an earlier try did not: all, or those that found their unique key held."""
    there = {job_id for (job_id,) in await database.rows("find_ids", ids=[job.id for job in jobs])}
    missing = [job for job in jobs if UUID(job.id) not in there]
    # Not INSERT or COPY: the earlier try may still be at work, and this waits for it.
    placed = iter(await _call_function(database, missing) if missing else [])
    return [next(placed) if UUID(job.id) not in there else (job.id, False) for job in jobs]


async def _call_function(database: Database, jobs: Sequence[NewJob]) -> list[Placed]:
    rows = await database.rows("enqueue_jobs", COPY_DEADLINE_S, jobs=as_json(jobs))
    return [(str(job_id), existed) for _, job_id, existed in rows]


async def _enqueue(database: Database, stream: Stream) -> list[Placed]:
    first = stream.first
    if stream.slow or any(map(_is_no_row, first)):
        first = stream.everything()
    if len(first) == 1 and not _needs_function(first[0]):
        await _insert(database, first[0])
        return [(first[0].id, False)]
    if any(map(_is_no_row, first)):
        return await _call_function(database, first)
    return await _copy(database, stream, first) if first else []


async def _insert(database: Database, job: NewJob) -> None:
    if job.options is DEFAULT_OPTIONS:
        await database.rows(
            "insert_due_job", id=job.id, task=job.task, queue=job.queue, args=job.args, priority=job.priority,
            max_attempts=job.max_attempts,
        )  # fmt: skip
    else:
        await database.rows("insert_job", **_row(job))


def _needs_function(job: NewJob) -> bool:
    options = job.options
    if options.unique is not None or len(job.args) > INLINE_ARGS_BYTES // 2:
        return options.unique is not None or len(job.args.encode()) > INLINE_ARGS_BYTES
    return False


def _is_no_row(job: NewJob) -> bool:
    """Whether COPY cannot say it: times that are counted from the database's clock, and what needs the function."""
    options = job.options
    return _needs_function(job) or (
        options is not DEFAULT_OPTIONS
        and (options.delay is not None or options.run_at is not None or isinstance(options.expires, timedelta))
    )


async def _copy(database: Database, stream: Stream, chunk: Sequence[NewJob]) -> list[Placed]:
    """COPY the chunk and those that follow: while the server reads one, the caller's iterable makes the next.

    From the first job on that is no row, the rest goes through the function, in the same transaction.
    """
    copied = 0
    async with (
        database.connection("copy_jobs", COPY_DEADLINE_S) as conn,
        nullcontext() if stream.ended else conn.transaction(),
        conn.cursor() as cursor,
    ):
        async with cursor.copy(query("copy_jobs", database.schema)) as copy:
            woken: set[str] = set()
            while chunk and not any(map(_is_no_row, chunk)):
                for filled in _format(chunk, woken, copy.formatter.write_row):
                    await copy.writer.write(filled)
                copied += len(chunk)
                chunk = stream.take()
        rest = stream.everything()[copied:]
        if rest:
            await cursor.execute(query("enqueue_jobs", database.schema), {"jobs": as_json(rest)}, prepare=False)
            placed = [(str(job_id), existed) for _, job_id, existed in await cursor.fetchall()]
    return [(job.id, False) for job in stream.everything()[:copied]] + (placed if rest else [])


def _format(jobs: Sequence[NewJob], woken: set[str], write_row: Callable[[Sequence[Any]], Buffer]) -> Iterator[Buffer]:
    """The jobs as COPY reads them, some kilobytes at a time; AsyncCopy.write_row would make a coroutine of each."""
    for job in jobs:
        wake = job.queue not in woken
        if wake:
            woken.add(job.queue)
        options = job.options
        filled = write_row((
            job.id, job.queue, job.task, job.args, job.priority, job.max_attempts, wake, options.expires,
            options.tenant, options.correlation_id, list(options.tags) if options.tags is not None else None,
            json.dumps(options.metadata) if options.metadata is not None else None,
        ))  # fmt: skip
        if filled:
            yield filled


def _row(job: NewJob) -> dict[str, Any]:
    options = job.options
    return {
        "id": job.id,
        "task": job.task,
        "queue": job.queue,
        "args": job.args,
        "priority": job.priority,
        "max_attempts": job.max_attempts,
        "run_at": options.run_at,
        "delay_s": options.delay.total_seconds() if options.delay else 0,
        "expires_at": options.expires if isinstance(options.expires, datetime) else None,
        "expires_s": options.expires.total_seconds() if isinstance(options.expires, timedelta) else None,
        "tenant": options.tenant,
        "correlation_id": options.correlation_id,
        "tags": list(options.tags) if options.tags is not None else None,
        "metadata": json.dumps(options.metadata) if options.metadata is not None else None,
    }


def as_json(jobs: Sequence[NewJob]) -> str:
    """The array that headrace.enqueue_jobs takes; arguments go in as the JSON text that they are."""
    return "[" + ",".join(_object(job) for job in jobs) + "]"


def _object(job: NewJob) -> str:
    row = {name: value for name, value in _row(job).items() if value is not None}
    args, metadata = row.pop("args"), row.pop("metadata", "null")
    for name in ("run_at", "expires_at"):
        if name in row:
            row[name] = row[name].isoformat()
    row |= _unique(job.options.unique)
    return f'{json.dumps(row)[:-1]}, "args": {args}, "metadata": {metadata}}}'


def _unique(unique: str | Unique | None) -> dict[str, Any]:
    if unique is None:
        return {}
    if isinstance(unique, str):
        unique = Unique(unique)
    fields: dict[str, Any] = {"unique_key": unique.key, "on_conflict": unique.on_conflict}
    if isinstance(unique.scope, timedelta):
        return fields | {"unique_scope": "period", "unique_for_s": unique.scope.total_seconds()}
    return fields | {"unique_scope": unique.scope}
