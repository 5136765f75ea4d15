"""What it costs a job to be seen: CPU of the worker process per no-op job.

``python -m bench.observe_cost [JOBS] [ROUNDS] [VARIANT…]``

Each variant drains the same number of jobs, in turns, on an embedded server of its own; the least of the rounds counts,
since other work on the machine only adds.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from headrace import Headrace
from headrace._store.embedded import EmbeddedServer
from headrace._store.migrate import migrate

VARIANT = "OBSERVE_VARIANT"
VARIANTS = {
    "nothing": [],
    "--log-format json": ["--log-format", "json"],
    "--metrics-port": ["--metrics-port", "19464"],
    "traces, not sampled": [],
    "traces, all sampled": [],
    "Sentry": [],
}

app = Headrace()


@app.task(name="noop")
async def noop(n: int) -> None: ...


def _instrument(variant: str) -> None:
    if variant.startswith("traces"):
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
        from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON

        from headrace.observe import traces

        class Nowhere(SpanExporter):
            def export(self, spans: object) -> SpanExportResult:
                return SpanExportResult.SUCCESS

        provider = TracerProvider(sampler=ALWAYS_ON if "all" in variant else ALWAYS_OFF)
        provider.add_span_processor(BatchSpanProcessor(Nowhere()))
        traces.instrument(app, provider)
    if variant == "Sentry":
        import sentry_sdk

        from headrace.observe import sentry

        sentry_sdk.init()
        sentry.instrument(app)


_instrument(os.environ.get(VARIANT, ""))


async def _fill(url: str, jobs: int) -> None:
    """Into a queue that is paused, so that the worker's start is not counted."""
    async with Headrace(url) as filling:
        task = filling.task(name="noop")(noop.handler)
        await (await filling.database()).rows("pause_queue", queue="default", reason=None, until=None, for_s=None)
        await filling.enqueue_many(task.job(n) for n in range(jobs))


async def _drain_with(url: str, worker: psutil.Process, jobs: int) -> float:
    async with Headrace(url) as looking:
        database = await looking.database()
        while not await database.rows("list_workers"):  # noqa: ASYNC110 - another process's
            await asyncio.sleep(0.05)
        await asyncio.sleep(1.0)  # until it has imported what it imports late
        before = worker.cpu_times()
        await database.rows("resume_queue", queue="default")
        while (await database.records("count_queues"))[0]["queued"]:  # noqa: ASYNC110 - the same
            await asyncio.sleep(0.1)
        after = worker.cpu_times()
    return (after.user + after.system - before.user - before.system) / jobs * 1e6


def _drain(url: str, variant: str, jobs: int) -> float:
    asyncio.run(_fill(url, jobs))
    command = [sys.executable, "-m", "headrace", "worker", "bench.observe_cost:app", "-c", "500", *VARIANTS[variant]]
    environment = os.environ | {"HEADRACE_URL": url, VARIANT: variant}
    with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as supervisor:
        try:
            return asyncio.run(_drain_with(url, _find_worker(supervisor), jobs))
        finally:
            supervisor.terminate()


def _find_worker(supervisor: subprocess.Popen[bytes]) -> psutil.Process:
    while True:
        for child in psutil.Process(supervisor.pid).children():
            if "headrace._worker.worker_process" in child.cmdline():
                return child
        time.sleep(0.02)


def main() -> None:
    """Measure, and print a table."""
    jobs, rounds = int(sys.argv[1]) if sys.argv[1:] else 60_000, int(sys.argv[2]) if sys.argv[2:] else 3
    figures: dict[str, list[float]] = {variant: [] for variant in sys.argv[3:] or VARIANTS}
    with tempfile.TemporaryDirectory() as directory, EmbeddedServer.start(Path(directory) / "server") as server:
        migrate(server.url)
        for _ in range(rounds):
            for variant, measured in figures.items():
                measured.append(_drain(server.url, variant, jobs))
    for variant, measured in figures.items():
        print(f"{variant:22} {min(measured):6.1f} µs of CPU a job   ({', '.join(f'{m:.1f}' for m in measured)})")


if __name__ == "__main__":
    main()
