"""Rows straight into headrace's tables, by SQL, where enqueueing and running them would take hours."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bench.server import Database

DAYS = 6
"""How far back they go: less than the seven days after which finished jobs are dropped."""


def add_finished(database: Database, jobs: int) -> None:
    """Finished jobs, spread evenly over the last days, each with an id of its time and in the partition of its day."""
    database.execute(f"select headrace.create_partitions(current_date - {DAYS + 1}, current_date)")
    database.execute(
        f"""
        insert into headrace.job_history (
            id, state, retention, bounded, finished_at, claimed_at, created_at, run_at, worker_id, run, priority,
            attempts, max_attempts, queue, task, args)
        select uuidv7(-age), 'succeeded', 'normal', false, now() - age + interval '2 ms', now() - age + interval '1 ms',
               now() - age, now() - age, 1, 1, 0, 1, 5, 'default', 'noop', jsonb_build_object('n', n)
        from {aged(jobs)}
        """
    )
    settle_down(database)


def add_scheduled(database: Database, jobs: int) -> None:
    """Jobs that were enqueued in the last days, and are due in the next thirty, but not before tomorrow."""
    database.execute(
        f"""
        insert into headrace.job (id, state, position, created_at, run_at, max_attempts, queue, task, args)
        select uuidv7(-age), 'scheduled', null, now() - age, now() + interval '1 day' + interval '29 days' * random(),
               5, 'default', 'noop', jsonb_build_object('n', n)
        from {aged(jobs)}
        """
    )
    settle_down(database)


def add_queued(database: Database, jobs: int) -> None:
    """A backlog that arrives in one commit; its first row wakes the workers, as in an enqueue."""
    database.execute(
        f"""
        insert into headrace.job (id, wake, max_attempts, queue, task, args)
        select uuidv7(), n = 1, 5, 'default', 'noop', jsonb_build_object('n', n - 1)
        from generate_series(1, {jobs}) n
        """
    )


def aged(jobs: int) -> str:
    """The numbers of so many jobs, and their ages: spread evenly over the last days."""
    return f"""(
        select n, interval '{DAYS} days' * (1 - n::float8 / {jobs}) + interval '1 minute' as age
        from generate_series(1, {jobs}) n) g"""


def settle_down(database: Database) -> None:
    """What autovacuum would have done long ago."""
    database.execute("vacuum (analyze)")
    database.execute("checkpoint")
