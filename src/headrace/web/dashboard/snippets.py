"""A job as code that enqueues another one like it."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from headrace.job import JobInfo


def as_python(job: JobInfo) -> str:
    """A call that enqueues it."""
    options: dict[str, Any] = {
        "queue": job.queue, "priority": job.priority or None, "tenant": job.tenant, "tags": job.tags,
    }  # fmt: skip
    given = ", ".join(f"{name}={value!r}" for name, value in options.items() if value)
    args = "".join(f"    {name}={value!r},\n" for name, value in job.args.items())
    call = f"app.find_task({job.task!r}).options({given})"
    return f"await {call}.enqueue(\n{args})" if args else f"await {call}.enqueue()"


def as_curl(job: JobInfo, address: str) -> str:
    """A request that enqueues it."""
    request: dict[str, Any] = {"task": job.task, "args": job.args, "queue": job.queue}
    for name in ("priority", "tenant", "tags"):
        if value := getattr(job, name):
            request[name] = value
    return (
        f"curl -X POST {shlex.quote(address + '/api/v1/jobs')} \\\n"
        '  -H "Authorization: Bearer $HEADRACE_KEY" -H "Content-Type: application/json" \\\n'
        f"  -d {shlex.quote(json.dumps(request, ensure_ascii=False))}"
    )
