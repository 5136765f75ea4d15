"""Every interval and bound of a worker, in one place; tests shorten them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Timings:
    """Intervals and bounds, in seconds where not said otherwise.

    The default values satisfy: a dead worker's jobs run again within 30 s (20 s until its lease lapses, 2 s until
    somebody looks, and a margin), and a worker is ended by its guardian before anybody else takes its jobs.

    Attributes:
        beat_s: The lease is renewed this often.
        lease_s: A worker whose beat has not moved for this long, by an observer's own clock, is dead.
        look_s: Every worker looks at the others' beats this often.
        stall_s: A worker whose event loop has not answered for this long counts as dead: its guardian beats no more.
        stall_warning_s: A handler that blocks the loop for this long is named in a warning.
        tick_s: The loop shows its guardian that it is alive this often.
        first_poll_s: After activity, the next look for jobs; doubled up to `longest_poll_s` while there are none.
        longest_poll_s: Jobs that no notification announced are found after this at the latest.
        promote_s: Scheduled jobs are looked for at least this often; a known due time is slept until.
        schedule_s: Due schedules are looked for at least this often; a known due time is slept until.
        declare_s: What the code declares of schedules is compared with what is stored this often.
        sweep_s: Workflows that have something to reckon are looked for this often, whoever is to do it.
        watch_s: Requests to cancel and changed settings are looked for this often, without a notification.
        report_s: Progress and logs are written this often.
        history_s: What has ended is counted, for charts, this often.
        housekeeping_s: Retention is enforced this often.
        abandon_s: A coroutine that goes on this long after it was cancelled is given up.
        drain_s: On SIGTERM, running jobs have this long to finish; then they are handed back.
        poison_limit: A job that was running when so many further workers were lost, after the first, is failed. The
            last of them ran it alone. With 2, a job can end three workers.
    """

    beat_s: float = 5.0
    lease_s: float = 20.0
    look_s: float = 2.0
    stall_s: float = 15.0
    stall_warning_s: float = 1.0
    tick_s: float = 1.0
    first_poll_s: float = 0.004
    longest_poll_s: float = 1.0
    promote_s: float = 1.0
    schedule_s: float = 1.0
    declare_s: float = 10.0
    sweep_s: float = 1.0
    watch_s: float = 1.0
    report_s: float = 0.25
    history_s: float = 15.0
    housekeeping_s: float = 60.0
    abandon_s: float = 5.0
    drain_s: float = 30.0
    poison_limit: int = 2
