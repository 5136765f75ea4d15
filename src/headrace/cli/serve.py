"""`headrace serve`: the HTTP API and the dashboard."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

import typer

from headrace._worker.importing import import_app
from headrace.cli.options import Level, LineFormat, LogFormat, LogLevel, Target, read_duration
from headrace.errors import ConfigurationError

DRAIN = timedelta(seconds=10)


def serve(
    target: Target,
    host: Annotated[str, typer.Option(metavar="ADDRESS", help="Where to listen.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65_535, help="And on which port; 0: any that is free.")] = 8000,
    prefix: Annotated[str, typer.Option(metavar="PATH", help="Serve everything under this path, such as /jobs.")] = "",
    with_worker: Annotated[
        bool, typer.Option("--with-worker", help="Run a worker process beside it, as `headrace worker` does.")
    ] = False,
    no_login: Annotated[
        bool, typer.Option("--no-login", help="Let whoever is on this machine do everything, without signing in.")
    ] = False,
    cors_origin: Annotated[
        list[str] | None,
        typer.Option(metavar="ORIGIN", help="Pages of this origin may call the API; may be repeated. Default: none."),
    ] = None,
    drain: Annotated[
        timedelta,
        typer.Option(
            parser=read_duration, metavar="DURATION", show_default="10s", help="How long requests may take to finish."
        ),
    ] = DRAIN,
    log_level: Level = LogLevel.INFO,
    log_format: LineFormat = LogFormat.PLAIN,
) -> None:
    """Serve the HTTP API and the dashboard until SIGTERM or Ctrl-C; requests that are running then finish first.

    Prints a link for the first administrator. Other machines are served only if somebody may sign in: see `headrace
    users` and `headrace keys`.
    """
    try:
        from headrace.web.serving import Serving, serve_app  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise ConfigurationError(f"serving needs more packages ({error}): pip install headrace[web]") from error
    serve_app(
        import_app(target),
        Serving(
            target=target,
            host=host,
            port=port,
            prefix=read_prefix(prefix),
            with_worker=with_worker,
            no_login=no_login,
            cors_origins=tuple(cors_origin or ()),
            drain_s=drain.total_seconds(),
            log_level=log_level.value,
            log_format=log_format.value,
        ),
    )


def read_prefix(text: str) -> str:
    """A path to serve under: "/jobs", or "" for none."""
    prefix = "/" + text.strip("/") if text.strip("/") else ""
    if any(c in prefix for c in "?#{} ") or "//" in prefix:
        raise typer.BadParameter(f'"{text}" is no path: write one such as /jobs')
    return prefix
