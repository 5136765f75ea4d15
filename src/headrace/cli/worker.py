"""`headrace worker`: run jobs."""

from __future__ import annotations

import importlib.util
from datetime import timedelta
from typing import Annotated

import typer

from headrace._worker.importing import import_app
from headrace._worker.timings import Timings
from headrace._worker.worker import DEFAULT_CONCURRENCY
from headrace._worker.worker_process import WorkerSettings
from headrace.cli.options import Level, LineFormat, LogFormat, LogLevel, Target, read_duration
from headrace.cli.running import run_workers
from headrace.errors import ConfigurationError

Queue = Annotated[
    list[str] | None,
    typer.Option(
        "--queue", "-q", metavar="QUEUE", help="Serve this queue; may be repeated. Default: all of the app's."
    ),
]
Concurrency = Annotated[
    int, typer.Option("--concurrency", "-c", min=1, help="How many jobs of each queue run in each process at once.")
]


def worker(
    target: Target,
    queue: Queue = None,
    queues: Annotated[str | None, typer.Option(metavar="A,B", help="Serve these queues.")] = None,
    concurrency: Concurrency = DEFAULT_CONCURRENCY,
    processes: Annotated[int, typer.Option("--processes", "-p", min=1, help="How many worker processes.")] = 1,
    threads: Annotated[
        int | None,
        typer.Option(
            min=1, help="How many handlers run in threads in each process. Default: as --concurrency, at most 40."
        ),
    ] = None,
    no_listen: Annotated[bool, typer.Option("--no-listen", help="Find jobs by polling, without LISTEN.")] = False,
    listen_url: Annotated[
        str | None, typer.Option(metavar="URL", help="Where to LISTEN, if the app's URL leads through a pooler.")
    ] = None,
    drain: Annotated[
        timedelta,
        typer.Option(
            parser=read_duration,
            metavar="DURATION",
            show_default="30s",
            help="How long running jobs may take to finish when told to stop.",
        ),
    ] = timedelta(seconds=Timings.drain_s),
    metrics_port: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=65_535,
            metavar="PORT",
            help="Answer Prometheus here; with --processes, the others do on the ports that follow.",
        ),
    ] = None,
    metrics_host: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Where to listen for that; 0.0.0.0 for every interface.")
    ] = "127.0.0.1",
    log_level: Level = LogLevel.INFO,
    log_format: LineFormat = LogFormat.PLAIN,
) -> None:
    """Run worker processes until SIGTERM or Ctrl-C; running jobs then finish first. Twice ends them at once."""
    if metrics_port is not None:
        require_extra("prometheus_client", "--metrics-port")
    settings = WorkerSettings(
        target=target,
        queues=[*(queue or []), *split_names(queues)] or None,
        concurrency=concurrency,
        threads=threads,
        listen=not no_listen,
        listen_url=listen_url,
        log_level=log_level,
        log_format=log_format.value,
        metrics_host=metrics_host,
        metrics_port=metrics_port,
        timings=Timings(drain_s=drain.total_seconds()),
    )
    run_workers(import_app(target), settings, processes)


def require_extra(module: str, option: str) -> None:
    """Refuse an option whose library is not installed, before anything starts.

    Raises:
        ConfigurationError: It is not.
    """
    if importlib.util.find_spec(module) is None:
        raise ConfigurationError(f"{option} needs {module}: pip install 'headrace[observe]'")


def split_names(text: str | None) -> list[str]:
    """The names in a list with commas."""
    return [name for part in (text or "").split(",") if (name := part.strip())]
