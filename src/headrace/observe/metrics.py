"""Prometheus metrics: of each worker by itself, and of the database.

``headrace worker --metrics-port 9464`` exposes both, under ``/metrics`` and ``/metrics/database``; `expose` does it for
workers that a program runs itself. `metrics_router` gives FastAPI applications, such as ``headrace serve``, those of
the database. Which metrics there are is in docs/observability.md.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from prometheus_client.exposition import choose_encoder

from headrace.errors import DatabaseUnavailable
from headrace.observe.database_metrics import database_down, database_registry
from headrace.observe.router import metrics_router
from headrace.observe.vitals import DEADLINE_S, CachedVitals
from headrace.observe.worker_metrics import WorkerMetrics

if TYPE_CHECKING:
    from collections.abc import Callable

    from prometheus_client import CollectorRegistry

    from headrace._store.database import Database
    from headrace._worker.worker import Worker

__all__ = ["Exposition", "WorkerMetrics", "expose", "metrics_router"]

BIND_AGAIN_S = 0.5
_log = logging.getLogger("headrace.metrics")


class Exposition:
    """Answers Prometheus, in threads of its own, so that a busy event loop does not silence it.

    Args:
        pages: What to answer, by path.
        host: Where to listen.
        port: Where to listen; 0: any that is free.
    """

    def __init__(self, pages: dict[str, Callable[[], CollectorRegistry]], host: str, port: int) -> None:
        self._pages = pages
        self._address = (host, port)
        self._server: ThreadingHTTPServer | None = None
        self._closed = threading.Event()
        self._bound = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="headrace metrics", daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        """Where it listens, once it does."""
        self._bound.wait()
        assert self._server is not None
        return int(self._server.server_address[1])

    def close(self) -> None:
        """Stop answering."""
        self._closed.set()
        if self._server is not None:
            self._server.shutdown()
        self._thread.join()

    def _serve(self) -> None:
        # A worker process that is being replaced may still have the port for a while.
        complained = False
        while not self._closed.is_set():
            try:
                self._server = ThreadingHTTPServer(self._address, self._handler())
            except OSError as error:
                if not complained:
                    _log.warning("cannot expose metrics on %s:%d, trying again: %s", *self._address, error)
                complained = True
                self._closed.wait(BIND_AGAIN_S)
            else:
                self._bound.set()
                with self._server:
                    if not self._closed.is_set():
                        self._server.serve_forever(poll_interval=0.1)
                return

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        pages = self._pages

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                page = pages.get(self.path.partition("?")[0])
                if page is None:
                    self.send_error(404, f"there are {' and '.join(pages)}")
                    return
                text, kind = render(page(), self.headers.get("Accept"))
                self.send_response(200)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the standard library's name
                """Say nothing."""

        return Handler


def render(registry: CollectorRegistry, accept: str | None) -> tuple[bytes, str]:
    """The text of some metrics, and its content type."""
    encode, kind = choose_encoder(accept or "")
    return encode(registry), kind


def expose(worker: Worker, metrics: WorkerMetrics, port: int, host: str = "127.0.0.1") -> Exposition:
    """Expose a worker that has started, from its own event loop: ``/metrics``, and ``/metrics/database``.

    Args:
        worker: Which.
        metrics: What was made for its app.
        port: Where to listen; 0: any that is free.
        host: Where to listen. This machine only, by default: there is no authentication.

    Returns:
        What answers; close it after the worker.
    """
    metrics.watch(worker)
    loop, cached = asyncio.get_running_loop(), CachedVitals()

    def ask_database() -> CollectorRegistry:
        asked = asyncio.run_coroutine_threadsafe(of_database(worker.database, cached), loop)
        try:
            return asked.result(DEADLINE_S)
        except TimeoutError:  # the loop is stuck
            asked.cancel()
            return database_down()

    return Exposition({"/metrics": lambda: metrics.registry, "/metrics/database": ask_database}, host, port)


async def of_database(database: Database, cached: CachedVitals) -> CollectorRegistry:
    """The database's metrics, or that it does not answer."""
    try:
        return await database_registry(database, cached)
    except DatabaseUnavailable as error:
        _log.warning("the database's metrics are not to be had: %s", error)
        return database_down()
