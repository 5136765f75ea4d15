"""The rules for the work: lines that nobody serves, jobs that are stuck, and counts that do not agree."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from headrace._doctor.words import critical, info, jobs, not_seen, show_age, warning
from headrace.why import show

if TYPE_CHECKING:
    from headrace._doctor.reading import Work
    from headrace.doctor import DatabaseReport, Finding

LONG_WAIT = timedelta(minutes=15)
COUNTING_BEHIND = timedelta(minutes=10)


def judge_work(work: Work, report: DatabaseReport) -> Iterator[Finding]:
    """What is wrong with the work."""
    now = report.server.now
    yield from _schema(work)
    for line in work.jobs:
        yield from _line(line, now)
    for gate in work.gates:
        of = f'limit "{gate["name"]}"' + (f' for "{gate["key"]}"' if gate["key"] else "")
        yield (critical if gate["held"] > gate["running"] else warning)(
            "gates",
            f"{of} counts {gate['held']} that run, and {gate['running']} do",
            "with a count that is too large too few jobs start, with one that is too small too many",
            f"select {report.schema}.recount_gates();",
        )
    if work.rest is not None:
        yield from _workers(work.rest)
        yield from _schedules(work.rest)
        yield from _breakers(work.rest)
        yield from _positions(work, report.schema)
        yield from _counting(work.rest, now)
    for what in work.unreadable:
        if what not in report.unreadable:
            yield not_seen(what)


def _schema(work: Work) -> Iterator[Finding]:
    for problem in work.drift:
        if problem.startswith("tables and indexes could not be compared"):
            yield info("schema", problem)
        else:
            yield critical("schema", problem, remedy="headrace migrate --verify, and then headrace migrate")


def _line(line: dict[str, Any], now: datetime) -> Iterator[Finding]:
    queue, queued = line["queue"], line["queued"]
    waits = now - line["oldest"] if line["oldest"] is not None else timedelta(0)
    if queued and not line["workers"]:
        yield critical(
            "unserved",
            f'no live worker serves queue "{queue}", in which {jobs(queued)} wait{"s" if queued == 1 else ""}',
            remedy=f"headrace worker MODULE:APP --queue {queue}",
        )
    elif waits > LONG_WAIT:
        yield (info if line["paused"] else warning)(
            "stuck",
            f'the oldest of {jobs(queued)} in queue "{queue}" has been due for {show_age(waits)}',
            "the queue is paused" if line["paused"] else "",
            f"headrace jobs list --state queued --queue {queue}, and then: headrace why ID",
        )
    if line["lost"]:
        yield critical(
            "lost",
            f'{jobs(line["lost"])} of queue "{queue}" run under no lease, for more than a minute',
            "live workers take them back within seconds: none is live, or each of them fails to",
            "start a worker, and read its log",
        )
    if line["parked"]:
        yield warning(
            "unknown_tasks",
            f'{jobs(line["parked"])} of queue "{queue}" wait for a worker that knows their task',
            f"tasks: {', '.join((line['parked_tasks'] or [])[:10])}",
            "deploy workers whose app registers these tasks, or delete the jobs",
        )
    if line["overdue"] is not None:
        yield critical(
            "overdue",
            f'scheduled jobs of queue "{queue}" have been due since {show(line["overdue"])}, and nobody queues them',
            remedy="start a worker: any worker does it, for all queues",
        )


def _workers(rest: dict[str, Any]) -> Iterator[Finding]:
    for worker in rest["silent"] or ():
        yield warning(
            "silent_worker",
            f"worker {worker['id']} (process {worker['pid']} on {worker['host']}) has been silent for "
            f"{show_age(timedelta(seconds=worker['silent_s']))}",
            "live workers end its lease within seconds" if rest["live"] else "no live worker is there to end its lease",
            "" if rest["live"] else "start a worker",
        )


def _schedules(rest: dict[str, Any]) -> Iterator[Finding]:
    for one in rest["schedules"] or ():
        of = f'schedule "{one["schedule"]}"' + (f" of tenant {one['tenant']}" if one["tenant"] else "")
        if one["problem"]:
            remedy = f"headrace schedules edit {one['schedule']}"
            yield critical("schedule", f"{of} cannot be planned: {one['problem']}", remedy=remedy)
        else:
            due = show(datetime.fromisoformat(one["due"]))
            yield critical("schedule", f"{of} has been due since {due}", remedy="start a worker that knows its task")


def _breakers(rest: dict[str, Any]) -> Iterator[Finding]:
    for breaker in rest["breakers"] or ():
        held = "held " if breaker["forced"] else ""
        what = f'breaker "{breaker["name"]}" is {held}open: nothing that needs it starts'
        yield warning("breaker", what, remedy=f"headrace breakers reset {breaker['name']}")


def _positions(work: Work, schema: str) -> Iterator[Finding]:
    assert work.rest is not None
    used = max((line["last_position"] or 0 for line in work.jobs), default=0)
    if work.rest["last_position"] is not None and used > work.rest["last_position"]:
        yield critical(
            "positions",
            f"the sequence of positions is at {work.rest['last_position']:,}, and a job is at {used:,}",
            "after a failover or restore: workers that ran meanwhile may pass over new jobs until they scan anew",
            f"select setval('{schema}.job_position', {used});",
        )


def _counting(rest: dict[str, Any], now: datetime) -> Iterator[Finding]:
    until = rest["counted_until"]
    if rest["live"] and until is not None and now - until > COUNTING_BEHIND:
        what = f"what ends was last counted at {show(until)}, although workers are live"
        yield warning("history", what, "a worker counts every 15 seconds; charts stand still", "read the workers' logs")
