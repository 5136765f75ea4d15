"""Runs worker processes under a supervisor, for `headrace worker` and `headrace dev`."""

from __future__ import annotations

import asyncio
import signal
import sys
from typing import TYPE_CHECKING, NoReturn

from headrace._worker.log_lines import log_to_stderr
from headrace._worker.supervisor import Supervisor
from headrace.app import Headrace

if TYPE_CHECKING:
    from collections.abc import Callable

    from headrace._worker.worker_process import WorkerSettings


def run_workers(
    app: Headrace,
    settings: WorkerSettings,
    processes: int,
    *,
    migrate: bool = False,
    introduce: Callable[[str], None] = lambda _: None,
) -> None:
    """Keep worker processes running until SIGTERM or Ctrl-C; what cannot work is refused before one is started.

    Args:
        app: What `settings.target` names.
        settings: For every worker process.
        processes: How many.
        migrate: Whether to bring the schema to this version first, whatever server it is on.
        introduce: Called with the database's URL before the first one starts.
    """
    app.worker(
        queues=settings.queues, concurrency=settings.concurrency
    )  # refuses unknown queues, and apps without tasks
    log_to_stderr(settings.log_level, "supervisor", settings.log_format)
    signal.signal(signal.SIGTERM, _leave)
    try:
        url = app.url
        embedded = is_embedded(app)
        if migrate or embedded:
            app.migrate()
        asyncio.run(_check(url, app.schema))
        introduce(url)
        # The supervisor is the server's user: a worker process that is killed must not stop it.
        environment = {"HEADRACE_URL": url} if embedded else {}
        asyncio.run(_supervise(settings, processes, environment))
    finally:
        app.close_sync()


async def _supervise(settings: WorkerSettings, processes: int, environment: dict[str, str]) -> None:
    await Supervisor(settings, processes, environment=environment).run()


async def _check(url: str, schema: str) -> None:
    """Refuse a database that the workers could not use."""
    async with Headrace(url, schema=schema):
        pass


def is_embedded(app: Headrace) -> bool:
    """Whether the app's URL is that of an embedded server that this process uses."""
    return app._server is not None  # noqa: SLF001 - nobody else needs to know


def _leave(*_: object) -> NoReturn:
    """SIGTERM before the workers run: go the way that closes things."""
    sys.exit(128 + signal.SIGTERM)
