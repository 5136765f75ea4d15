"""From what explain_job.sql reads of a job to the reasons why it is where it is, which are in why.py."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from headrace.job import State
from headrace.why import (
    BOUND,
    Blocked,
    BreakerOpen,
    Expired,
    Finished,
    InLine,
    NoWorker,
    OrderHeld,
    OthersTurn,
    Parent,
    Paused,
    PlacesTaken,
    RateSpent,
    Reason,
    Running,
    RunsAlone,
    SlotsTaken,
    TaskUnknown,
    WaitsForEvent,
    WaitsForJobs,
    WaitsUntil,
    Why,
    show,
)


def explain(record: dict[str, Any]) -> Why:
    """A row of explain_job.sql, in words."""
    state = State(record["state"])
    match state:
        case State.QUEUED:
            reasons = tuple(_queued(record))
            following = _next_of_queued(reasons)
        case State.SCHEDULED:
            reasons = tuple(_scheduled(record))
            following = _next_of_scheduled(record, reasons)
        case State.BLOCKED:
            reasons = (_blocked(record),)
            following = _next_of_blocked(reasons[0])
        case State.RUNNING:
            reasons = (_running(record),)
            following = _next_of_running(reasons[0])
        case _:
            reasons = (_finished(record, state),)
            following = "nothing more" if state is State.SUCCEEDED else "nothing, unless an operator retries it"
    return Why(
        job_id=UUID(record["id"]), state=state, task=record["task"], queue=record["queue"], at=record["at"],
        reasons=reasons, next=following,
    )  # fmt: skip


# -- queued --


def _queued(record: dict[str, Any]) -> Iterator[Reason]:
    stops = [*_stops(record)]
    yield from stops
    if not record["suspicion"]:
        yield InLine(ahead=min(record["ahead"], BOUND), more=record["ahead"] >= BOUND, stopped=bool(stops))


def _stops(record: dict[str, Any]) -> Iterator[Reason]:
    if record["expired"]:
        yield Expired(expires_at=record["expires_at"])
    yield from _pauses(record)
    yield from _workers(record)
    for gate in record["gates"] or ():
        yield _gate(gate)
    if record["suspicion"]:
        yield RunsAlone(losses=record["suspicion"], ahead=min(record["ahead"], BOUND))
    elif record["workers"]["live"] and record["running"] >= record["workers"]["places"]:
        yield PlacesTaken(queue=record["queue"], running=record["running"], places=record["workers"]["places"])


def _pauses(record: dict[str, Any]) -> Iterator[Reason]:
    for pause in record["pauses"] or ():
        since = _moment(pause["since"])
        assert since is not None
        yield Paused(
            queue=pause["queue"], by=pause["by"], reason=pause["reason"], since=since, until=_moment(pause["until"])
        )


def _workers(record: dict[str, Any]) -> Iterator[Reason]:
    workers = record["workers"]
    if not record["task_known"]:
        yield TaskUnknown(task=record["task"], parked=False)
    if not workers["live"]:
        yield NoWorker(queue=record["queue"], draining=workers["draining"], silent=workers["silent"])


def _gate(gate: dict[str, Any]) -> Reason:
    of = {"name": gate["name"], "key": gate["key"]}
    until = _moment(gate["opens_at"])
    match gate["kind"]:
        case "concurrency":
            return SlotsTaken(**of, held=gate["held"], bound=gate["bound"])
        case "rate":
            assert until is not None
            return RateSpent(**of, until=until)
        case "order":
            holder = gate["holder"]
            return OrderHeld(**of, holder=UUID(holder) if holder else None, holder_state=gate["holder_state"])
        case "breaker":
            return BreakerOpen(**of, state=gate["state"], forced=gate["forced"], until=until)
        case _:
            return OthersTurn(**of)


def _next_of_queued(reasons: tuple[Reason, ...]) -> str:
    if isinstance(reasons[0], Expired):
        return "it is cancelled when a worker takes it"
    conditions = [reason.over for reason in reasons]
    if len(conditions) > 1 and isinstance(reasons[-1], InLine) and not reasons[-1].ahead:
        conditions.pop()  # that it is the next in line is no condition beside others
    return "it starts " + ", and ".join(dict.fromkeys(conditions))


# -- the other states --


def _scheduled(record: dict[str, Any]) -> Iterator[Reason]:
    last = record["last_attempt"] or {}
    causes: dict[str | None, Literal["retry", "snooze"]] = {"retried": "retry", "snoozed": "snooze"}
    cause: Literal["delay", "retry", "snooze", "sleep"] = causes.get(last.get("outcome"), "delay")
    if cause == "snooze" and record["wakes_at"] is not None:
        cause = "sleep"
    yield WaitsUntil(
        until=record["run_at"], cause=cause, error=_message(last.get("error")) if cause == "retry" else None
    )
    yield from _pauses(record)
    yield from _workers(record)


def _next_of_scheduled(record: dict[str, Any], reasons: tuple[Reason, ...]) -> str:
    words = f'at {show(record["run_at"])} it joins the line of queue "{record["queue"]}"'
    conditions = [reason.over for reason in reasons[1:]]
    return words + (f", and starts {', and '.join(dict.fromkeys(conditions))}" if conditions else "")


def _blocked(record: dict[str, Any]) -> Reason:
    blocked_by = record["blocked_by"]
    match (blocked_by or "").partition(":"):
        case ("task", "", _):
            return TaskUnknown(task=record["task"], parked=True)
        case ("parents", "", _):
            parents = record["parents"]
            workflow_id = record["workflow_id"]
            jobs = tuple(
                Parent(id=UUID(one["id"]), name=one["name"], task=one["task"], state=State(one["state"]))
                for one in parents["jobs"]
            )
            return WaitsForJobs(
                workflow_id=UUID(workflow_id) if workflow_id else None, workflow=parents["name"],
                count=parents["count"], jobs=jobs,
            )  # fmt: skip
        case ("event", ":", event):
            return WaitsForEvent(event=event, until=record["run_at"])
        case _:
            return Blocked(blocked_by=blocked_by)


def _next_of_blocked(reason: Reason) -> str:
    match reason:
        case TaskUnknown():
            return f"it joins the line of its queue {reason.over}"
        case WaitsForJobs():
            return (
                "when all of them have finished it joins the line of its queue, or is cancelled, as its workflow says"
            )
        case WaitsForEvent():
            return "it goes on when the event is emitted; if it is not in time, it goes on with EventTimeout"
        case _:
            return "that version knows"


def _running(record: dict[str, Any]) -> Running:
    worker = record["worker"] or {}
    return Running(
        since=record["claimed_at"], attempt=record["attempts"] + 1, max_attempts=record["max_attempts"],
        worker_id=record["worker_id"], host=worker.get("host"), pid=worker.get("pid"), silent_s=worker.get("silent_s"),
        draining=worker.get("draining", False), progress=record["progress"], cancel_reason=record["cancel_reason"],
    )  # fmt: skip


def _next_of_running(running: Running) -> str:
    if running.cancel_reason is not None:
        return f"it is asked to stop ({running.cancel_reason}), and ends as cancelled unless it succeeds"
    if running.lost:
        return "it is taken back within seconds, and runs again alone"
    if running.attempt >= running.max_attempts:
        return "this attempt decides: it is the last one"
    return f"if this attempt fails, it is tried again, as attempt {running.attempt + 1} of {running.max_attempts}"


def _finished(record: dict[str, Any], state: State) -> Finished:
    began = record["claimed_at"] if record["worker_id"] else None
    took_s = None if began is None else max(0.0, (record["finished_at"] - began).total_seconds())
    return Finished(
        state=state, finished_at=record["finished_at"], attempts=record["attempts"], took_s=took_s,
        error=_message(record["error"]),
    )  # fmt: skip


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _message(error: dict[str, Any] | None) -> str | None:
    """The first line of an error; None if there is none."""
    return str(error.get("message", "")).strip().partition("\n")[0] or None if error else None
