"""What the store is to do, in as few words as Python allows: the measure for test_model.py."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf

POISON_LIMIT = 2
FINAL = ("succeeded", "failed", "cancelled")
WAITING = ("queued", "scheduled")


class KeyHeld(Exception):
    """A unique key is held, and the enqueuer wants to be told."""


@dataclass
class ModelJob:
    """A job as the store should have it."""

    id: str
    state: str
    priority: int
    due_s: float
    args: dict[str, int]
    position: float | None = None
    run: int = 0
    attempts: int = 0
    suspicion: int = 0
    worker: int = 0
    key: str | None = None
    key_while_queued: bool = False
    cancel_requested: bool = False


@dataclass
class Model:
    """All jobs of one queue, and who recorded which attempt."""

    jobs: dict[str, ModelJob] = field(default_factory=dict)
    deleted: set[str] = field(default_factory=set)
    periods: dict[str, str] = field(default_factory=dict)
    recorded: set[tuple[int, str, int]] = field(default_factory=set)

    # -- enqueueing --

    def holder(self, key: str, scope: str) -> str | None:
        """The job that keeps this key from others; it may have been deleted since."""
        if scope == "period":
            return self.periods.get(key)
        return next((job.id for job in self.jobs.values() if job.key == key), None)

    def enqueue(
        self, job_id: str, *, priority: int, delay_s: float, args: dict[str, int], key: str | None, scope: str,
        on_conflict: str,
    ) -> str:  # fmt: skip
        """The id of the new job, or of the one that holds the key."""
        if key is not None and (held_by := self.holder(key, scope)):
            if on_conflict == "reject":
                raise KeyHeld(held_by)
            held = self.jobs.get(held_by)
            if on_conflict != "keep" and held is not None and held.state in WAITING:
                held.due_s = delay_s
                held.args = args if on_conflict == "replace" else held.args
                if delay_s > 0:
                    held.state, held.position = "scheduled", None
                elif held.state == "scheduled":
                    self.queue(held)
            return held_by
        job = self.jobs[job_id] = ModelJob(job_id, "scheduled", priority, delay_s, args)
        if delay_s <= 0:
            self.queue(job)
        if key is not None and scope == "period":
            self.periods[key] = job_id
        elif key is not None:
            job.key, job.key_while_queued = key, scope == "queued"
        return job_id

    def queue(self, job: ModelJob) -> None:
        """To the end of the line: the store says which place that is."""
        job.state, job.position = "queued", inf

    # -- attempts --

    def line(self, *, suspects: bool) -> list[ModelJob]:
        """What can be claimed, in the order in which it must be."""
        waiting = [job for job in self.jobs.values() if job.state == "queued" and (job.suspicion > 0) == suspects]
        return sorted(waiting, key=lambda job: (-job.priority, job.position or 0))

    def claim(self, worker: int, places: int, *, suspects: bool = False) -> list[tuple[str, int]]:
        """The first in the line, and their runs."""
        claimed = self.line(suspects=suspects)[:places]
        for job in claimed:
            job.state, job.worker, job.run = "running", worker, job.run + 1
            if job.key_while_queued:
                job.key = None
        return [(job.id, job.run) for job in claimed]

    def settle(self, worker: int, job_id: str, run: int, outcome: str, wait_s: float) -> bool:
        """Whether the attempt was this worker's to settle."""
        job = self.jobs.get(job_id)
        if job is None or (job.state, job.worker, job.run) != ("running", worker, run):
            return False
        self.recorded.add((worker, job_id, run))
        if outcome in FINAL or job.cancel_requested:
            self.finish(job, outcome)
        else:
            self.release(job, outcome, wait_s)
        return True

    def finish(self, job: ModelJob, outcome: str) -> None:
        """The job's end."""
        counts = outcome == "succeeded" or (outcome == "failed" and not job.cancel_requested)
        job.state = outcome if counts else "cancelled"
        job.attempts += counts
        job.key, job.position, job.worker, job.cancel_requested = None, None, 0, False

    def release(self, job: ModelJob, outcome: str, wait_s: float) -> None:
        """The attempt's end; the job goes on."""
        job.worker = 0
        match outcome:
            case "handed_back":
                job.state = "queued"
            case "lost":
                job.state, job.suspicion = "queued", job.suspicion + 1
            case "parked":
                job.state, job.position, job.suspicion = "blocked", None, 0
            case "retried" | "snoozed":
                job.attempts += outcome == "retried"
                job.suspicion, job.due_s = 0, wait_s
                job.state, job.position = "scheduled", None
                if wait_s <= 0:
                    self.queue(job)

    def rescue(self, live: set[int]) -> dict[str, str]:
        """Every attempt without a lease ends."""
        outcomes = {}
        for job in self.jobs.values():
            if job.state == "running" and job.worker not in live:
                poison = job.suspicion >= POISON_LIMIT
                outcomes[job.id] = "finished" if poison or job.cancel_requested else "lost"
                self.settle(job.worker, job.id, job.run, "failed" if poison else "lost", 0)
        return outcomes

    # -- what operators and time do --

    def cancel(self, job_id: str) -> str:
        """What becomes of the wish."""
        job = self.jobs.get(job_id)
        if job is None:
            return "unknown"
        if job.state in FINAL:
            return "finished"
        if job.state == "running":
            job.cancel_requested = True
            return "requested"
        self.finish(job, "cancelled")
        return "cancelled"

    def retry(self, job_id: str) -> bool:
        """Whether it will run."""
        job = self.jobs.get(job_id)
        if job is None or job.state not in (*FINAL, "scheduled"):
            return False
        if job.state in FINAL:
            job.attempts = job.suspicion = 0
            job.key_while_queued = False
        self.queue(job)
        return True

    def delete(self, job_id: str) -> bool:
        """Whether it is gone."""
        job = self.jobs.get(job_id)
        if job is None or job.state == "running":
            return False
        del self.jobs[job_id]
        self.deleted.add(job_id)
        self.recorded = {record for record in self.recorded if record[1] != job_id}
        return True

    def promote(self, now_s: float) -> int:
        """How many were due."""
        due = [job for job in self.jobs.values() if job.state == "scheduled" and job.due_s <= now_s]
        for job in due:
            self.queue(job)
        return len(due)

    def unpark(self) -> set[str]:
        """What waited for its task."""
        parked = [job for job in self.jobs.values() if job.state == "blocked"]
        for job in parked:
            self.queue(job)
        return {job.id for job in parked}
