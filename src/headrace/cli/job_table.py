"""How jobs are shown in a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.cli.output import show_relative, state_text
from headrace.job import State

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from rich.text import Text

    from headrace.job import JobInfo

COLUMNS = ("ID", "STATE", "TASK", "QUEUE", "ATTEMPTS", "WHEN", "ERROR")


def job_rows(jobs: Iterable[JobInfo], now: datetime) -> list[list[str | Text]]:
    """The cells of a table of jobs, under `COLUMNS`."""
    return [_row(job, now) for job in jobs]


def _row(job: JobInfo, now: datetime) -> list[str | Text]:
    error = (job.error or {}).get("message", "")
    return [
        str(job.id), state_text(job.state), job.task, job.queue, f"{job.attempts}/{job.max_attempts}", _when(job, now),
        error.strip().partition("\n")[0],
    ]  # fmt: skip


def _when(job: JobInfo, now: datetime) -> str:
    """The moment that matters in this state."""
    match job.state:
        case State.SCHEDULED:
            return show_relative(job.run_at, now)
        case State.RUNNING:
            return "for " + show_relative(job.claimed_at, now).removesuffix(" ago")
        case State.QUEUED | State.BLOCKED:
            return show_relative(job.created_at, now)
        case _:
            return show_relative(job.finished_at, now)
