"""The life of one job, on a page."""

from __future__ import annotations

import dataclasses
from datetime import datetime
from typing import TYPE_CHECKING, Any

from rich.text import Text

from headrace.cli.output import (
    print_json,
    print_table,
    say,
    show_duration,
    show_json,
    show_relative,
    show_time,
    state_text,
    visible,
)
from headrace.job import AttemptInfo, JobInfo, State, StepInfo

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from headrace.job import LogLine
    from headrace.why import Why

ATTEMPT_COLUMNS = ("RUN", "OUTCOME", "STARTED", "TOOK", "WORKER", "ERROR")
STEP_COLUMNS = ("STEP", "NAME", "KIND", "OUTCOME", "RUN", "RECORDED", "TOOK", "RESULT")
RESULT_HEAD_CHARS = 80
_LABEL_WIDTH = 13


def print_job_page(
    job: JobInfo,
    attempts: Sequence[AttemptInfo],
    steps: Sequence[StepInfo],
    logs: Sequence[LogLine],
    now: datetime,
    *,
    why: Why,
    as_json: bool,
) -> None:
    """Print everything that is known of a job.

    Args:
        job: The job.
        attempts: Its attempts before the last.
        steps: What they recorded of its steps.
        logs: What its handler logged.
        now: The database's time.
        why: Why it is where it is.
        as_json: As one document, for programs.
    """
    runs = [_run(attempt) for attempt in attempts]
    if (last := _last_run(job, {attempt.run for attempt in attempts}, now)) is not None:
        runs.append(last)
    if as_json:
        said = {"steps": [_fields(step) for step in steps], "logs": [_fields(line) for line in logs]}
        print_json({**_fields(job), "why": why.as_dict(), "runs": runs, **said})
        return
    _print_facts(job, now)
    if not job.state.final:
        print_why(why)
    _print_runs(runs)
    _print_steps(steps)
    _print_logs(logs)
    _print_traceback(job.error)


def print_why(why: Why) -> None:
    """Print each reason why a job is where it is, and what is next."""
    for label, line in (*(("why", reason.text) for reason in why.reasons), ("next", why.next)):
        say(Text.assemble((f"  {label:{_LABEL_WIDTH}}", "dim"), visible(line)))


def _fields(record: Any) -> dict[str, Any]:
    return {field.name: getattr(record, field.name) for field in dataclasses.fields(record)}


def _run(attempt: AttemptInfo) -> dict[str, Any]:
    return {**_fields(attempt), "duration_s": _duration_s(attempt.started_at, attempt.finished_at)}


def _last_run(job: JobInfo, recorded: set[int], now: datetime) -> dict[str, Any] | None:
    """The attempt that the job itself tells of: the one that runs, or that ended it."""
    if job.run == 0 or job.run in recorded or not (job.state.final or job.state is State.RUNNING):
        return None
    return {
        "run": job.run, "outcome": job.state.value, "worker_id": job.worker_id, "started_at": job.claimed_at,
        "finished_at": job.finished_at, "error": job.error,
        "duration_s": _duration_s(job.claimed_at, job.finished_at or now),
    }  # fmt: skip


def _duration_s(started_at: datetime | None, ended_at: datetime) -> float | None:
    return None if started_at is None else max(0.0, (ended_at - started_at).total_seconds())


def _print_facts(job: JobInfo, now: datetime) -> None:
    say(Text.assemble((f"job {job.id}", "bold"), "  ", state_text(job.state)))
    for label, fact in _facts(job, now):
        say(Text.assemble((f"  {label:{_LABEL_WIDTH}}", "dim"), visible(fact)))


def _facts(job: JobInfo, now: datetime) -> Iterator[tuple[str, str]]:
    yield "task", job.task
    yield "queue", f"{job.queue}, priority {job.priority}"
    yield "attempts", f"{job.attempts} of {job.max_attempts} used"
    yield "created", _moment(job.created_at, now)
    if job.run_at != job.created_at and not job.state.final:
        yield "gives up" if job.state is State.BLOCKED else "due", _moment(job.run_at, now)
    if job.expires_at is not None:
        yield "expires", _moment(job.expires_at, now)
    if job.finished_at is not None:
        yield "finished", _moment(job.finished_at, now)
    if job.workflow_id is not None:
        yield "workflow", str(job.workflow_id)
    if job.cancel_reason is not None:
        yield "asked to stop", job.cancel_reason
    for label, value in (
        ("unique key", job.unique_key), ("tenant", job.tenant), ("correlation", job.correlation_id),
        ("tags", ", ".join(job.tags or [])), ("metadata", show_json(job.metadata) if job.metadata else None),
    ):  # fmt: skip
        if value:
            yield label, value
    yield "arguments", show_json(job.args)
    if job.progress is not None:
        yield "progress", _progress(job.progress)
    if job.state is State.SUCCEEDED:
        yield "result", show_json(job.result)
    if job.error is not None:
        yield "error", _error(job.error)


def _moment(moment: datetime, now: datetime) -> str:
    return f"{show_time(moment)} ({show_relative(moment, now)})"


def _progress(progress: dict[str, Any]) -> str:
    done, total, message = progress["done"], progress.get("total"), progress.get("message")
    share = f"{done:g} of {total:g} ({done / total:.0%})" if total else f"{done:g}"
    return f"{share}: {message}" if message else share


def _error(error: dict[str, Any]) -> str:
    kind = error.get("type") or error.get("kind")
    return f"{kind}: {error.get('message', '')}" if kind else str(error.get("message", ""))


def _print_runs(runs: Sequence[dict[str, Any]]) -> None:
    if not runs:
        return
    say()
    print_table(ATTEMPT_COLUMNS, [_run_row(run) for run in runs], empty="", cut_last=True)


def _run_row(run: dict[str, Any]) -> list[str | Text]:
    took = run["duration_s"]
    return [
        str(run["run"]), state_text(run["outcome"]), show_time(run["started_at"]),
        "" if took is None else show_duration(took), str(run["worker_id"] or ""),
        "" if run["error"] is None else _error(run["error"]).partition("\n")[0],
    ]  # fmt: skip


def _print_steps(steps: Sequence[StepInfo]) -> None:
    if steps:
        say()
        print_table(STEP_COLUMNS, [_step_row(step) for step in steps], empty="", cut_last=True)


def _step_row(step: StepInfo) -> list[str | Text]:
    if step.outcome == "waiting":
        result = f"until {show_time(step.wakes_at)}"
    else:
        result = "" if step.kind == "sleep" or step.outcome == "timed_out" else _head(show_json(step.result))
    return [
        str(step.ordinal), step.name, step.kind, state_text(step.outcome), str(step.run), show_time(step.recorded_at),
        "" if step.took_s is None else show_duration(step.took_s), result,
    ]  # fmt: skip


def _head(text: str) -> str:
    return text if len(text) <= RESULT_HEAD_CHARS else text[: RESULT_HEAD_CHARS - 1] + "…"


def _print_logs(logs: Sequence[LogLine]) -> None:
    if logs:
        say()
    for line in logs:
        say(f"{show_time(line.logged_at)}  run {line.run}  {line.level:7}  {line.message}")


def _print_traceback(error: dict[str, Any] | None) -> None:
    lines = (error or {}).get("traceback", "").strip()
    if "\n" in lines:  # one line only repeats the error
        say()
        say(Text(visible(lines), "dim"))
