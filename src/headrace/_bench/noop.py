"""The app that the bench's worker processes run: jobs that do nothing, so that what is measured is headrace."""

from __future__ import annotations

import os
import time

from headrace.app import Headrace

TARGET = "headrace._bench.noop:app"
SCHEMA = "HEADRACE_BENCH_SCHEMA"
"""Tells worker processes the name of the bench's schema."""

SERVED = "served"
ASIDE = "aside"
"""A queue that no worker serves: jobs that were enqueued to measure that alone."""


async def nothing(number: int) -> None:
    """Do nothing."""


async def tell_time() -> int:
    """When the handler started, by this machine's monotonic clock, which its processes share."""
    return time.monotonic_ns()


def make_app(url: str | None, schema: str) -> Headrace:
    """An app with these two tasks."""
    made = Headrace(url, schema=schema)
    for handler in (nothing, tell_time):
        made.task(name=handler.__name__, queue=SERVED)(handler)
    return made


app = make_app(None, os.environ.get(SCHEMA, "headrace_bench"))
