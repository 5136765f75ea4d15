"""Serves the web application by itself: what `headrace serve` does.

One process: uvicorn on an event loop that is also the app's. SIGTERM or Ctrl-C: no new connections; requests that are
running finish, live streams end; a second signal ends it at once. With a worker beside it, that is a process of its
own, so that no handler can hold up a request; it is told to drain when the requests are over.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import uvicorn
from starlette.applications import Starlette
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.routing import Mount
from uvicorn.config import LOGGING_CONFIG

from headrace._worker.log_lines import LogFormat, log_to_stderr
from headrace._worker.services import run_services
from headrace._worker.supervisor import Supervisor
from headrace._worker.worker import DEFAULT_CONCURRENCY
from headrace._worker.worker_process import WorkerSettings
from headrace.errors import ConfigurationError
from headrace.web.application import web_app

if TYPE_CHECKING:
    from types import FrameType

    from fastapi import FastAPI
    from starlette.types import ASGIApp

    from headrace.access import KeyInfo
    from headrace.app import Headrace

LOOPBACK_HOSTS = ["localhost", "127.0.0.1", "[::1]"]
BACKLOG = 2048
"""Connections that wait to be taken: as many as uvicorn lets."""

_log = logging.getLogger("headrace.web")


@dataclass(frozen=True, kw_only=True)
class Serving:
    """How to serve.

    Attributes:
        target: The app, as MODULE:APP.
        host: The address to listen on; one that is not this machine's own needs somebody who may sign in.
        port: The port; 0 for any that is free.
        prefix: The path under which everything is, without a slash at its end.
        with_worker: Whether to run a worker process beside it.
        cors_origins: Whose pages may call the API.
        drain_s: How long requests may take to finish at the end.
        no_login: Let whoever is on this machine do everything, without signing in.
        log_level: As logging knows it.
        log_format: How lines look: plain is uvicorn's own way; see `headrace.observe.logs` for console and json.
    """

    target: str
    no_login: bool = False
    host: str = "127.0.0.1"
    port: int = 8000
    prefix: str = ""
    with_worker: bool = False
    cors_origins: tuple[str, ...] = ()
    drain_s: float = 10.0
    log_level: str = "info"
    log_format: LogFormat = "plain"

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        if self.host == "localhost":
            return True
        with suppress(ValueError):
            return ipaddress.ip_address(self.host).is_loopback
        return False


def serve_app(app: Headrace, serving: Serving) -> None:
    """Serve until SIGTERM or Ctrl-C.

    Raises:
        ConfigurationError: It would let in whoever can reach it, or cannot listen where it is told to.
        DatabaseError: The database cannot be used.
    """
    asyncio.run(_serve(app, serving))


async def _serve(app: Headrace, serving: Serving) -> None:
    if serving.log_format != "plain":
        log_to_stderr(serving.log_level, "server", serving.log_format)
    async with app:
        await refuse_strangers(app, serving)
        await serve_open_app(app, serving)


async def serve_open_app(app: Headrace, serving: Serving) -> None:
    """Serve an app that is open until SIGTERM or Ctrl-C, in a program of one's own.

    Raises:
        ConfigurationError: It cannot listen where it is told to.
    """
    with _listen(serving) as listening:
        address = "http://{}:{}{}".format(*_shown(listening), serving.prefix)
        _announce(f"serving {serving.target} at {address}/  (API: {address}/api/v1, Ctrl-C stops it)", serving)
        if (link := await first_login(app, address, serving)) is not None:
            _announce(f"nobody can sign in yet; the first administrator, within the hour: {link}", serving)
        services = asyncio.create_task(run_services(app))
        # In a thread: it takes half a second, and a worker may be on this event loop.
        web = await asyncio.to_thread(web_app, app, local=serving.no_login, cors_origins=serving.cors_origins)
        running = server(outermost(web, serving), serving)
        running.on_exit = web.state.live.let_all_go
        try:
            if serving.with_worker:
                await _serve_beside_worker(app, serving, running, listening)
            else:
                await running.serve(sockets=[listening])
        finally:
            await web.state.live.close()
            services.cancel()
            await asyncio.gather(services, return_exceptions=True)


async def _serve_beside_worker(app: Headrace, serving: Serving, running: Server, listening: socket.socket) -> None:
    """Serve while a worker process runs; what ends first ends the other.

    The worker process hears of this one's end, however that comes: see supervisor.py.

    Raises:
        WorkerError: The worker cannot be kept running.
    """
    app.worker()  # refuses apps without tasks
    settings = WorkerSettings(
        target=serving.target,
        concurrency=DEFAULT_CONCURRENCY,
        log_level=serving.log_level,
        log_format=serving.log_format,
    )
    # An embedded server is ours to stop.
    supervisor = Supervisor(settings, environment={"HEADRACE_URL": app.url})
    working = asyncio.create_task(supervisor.run())
    await asyncio.sleep(0)  # it hears signals first, and then the server does in its place
    serving_requests = asyncio.create_task(running.serve(sockets=[listening]))
    await asyncio.wait({working, serving_requests}, return_when=asyncio.FIRST_COMPLETED)
    running.should_exit = True
    await serving_requests
    supervisor.stop()
    await working


async def refuse_strangers(app: Headrace, serving: Serving) -> None:
    """Refuse to serve other machines as long as nobody can say who they are.

    Raises:
        ConfigurationError: Anybody who can reach the address could do anything, or nobody could.
    """
    if serving.is_loopback:
        return
    if serving.no_login:
        raise ConfigurationError(
            f"{serving.host} can be reached from other machines, and nobody would have to sign in: serve 127.0.0.1, or "
            "leave out --no-login"
        )
    if not await app.access.has_users() and not any(_counts(key) for key in await app.access.list_keys()):
        raise ConfigurationError(
            f"{serving.host} can be reached from other machines, and there is nobody who may sign in: add a user with "
            "`headrace users create`, or a key with `headrace keys create`; or serve 127.0.0.1 first"
        )


def _counts(key: KeyInfo) -> bool:
    return key.revoked_at is None and (key.expires_at is None or key.expires_at > datetime.now(UTC))


async def first_login(app: Headrace, address: str, serving: Serving) -> str | None:
    """A link with which the first administrator chooses a password; None if there are users, or nobody signs in."""
    if serving.no_login or await app.access.has_users():
        return None
    return f"{address}/login/first?token={await app.access.invite()}"


class Server(uvicorn.Server):
    """Uvicorn's, which would raise a signal again once it has stopped, and so end the process before its worker.

    Attributes:
        on_exit: Called when it begins to stop.
    """

    on_exit: Callable[[], None] = staticmethod(lambda: None)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to stop."""
        self.on_exit()
        super().handle_exit(sig, frame)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Stop at the first signal, and at once at the second."""
        loop = asyncio.get_running_loop()
        is_main = threading.current_thread() is threading.main_thread()
        numbers = (signal.SIGTERM, signal.SIGINT) if is_main else ()
        for number in numbers:
            loop.add_signal_handler(number, self.handle_exit, number, None)
        try:
            yield
        finally:
            for number in numbers:
                loop.remove_signal_handler(number)


def server(served: ASGIApp, serving: Serving) -> Server:
    """The server, configured."""
    return Server(
        uvicorn.Config(
            served,
            log_level=serving.log_level,
            log_config=LOGGING_CONFIG if serving.log_format == "plain" else None,
            lifespan="off",
            server_header=False,
            proxy_headers=False,  # who asks is who connects: another's word for it lets strangers in
            timeout_graceful_shutdown=max(1, round(serving.drain_s)),
        )
    )


def outermost(web: FastAPI, serving: Serving) -> ASGIApp:
    """The web application, under its prefix; for this machine only it answers to this machine's names only."""
    served: ASGIApp = web
    if serving.prefix:
        served = Starlette(routes=[Mount(serving.prefix, served)])
    if serving.is_loopback:
        # Else a page whose name leads to 127.0.0.1 (DNS rebinding) would be of our own origin.
        served = TrustedHostMiddleware(served, allowed_hosts=LOOPBACK_HOSTS, www_redirect=False)
    return served


def _announce(line: str, serving: Serving) -> None:
    if serving.log_format != "plain":
        _log.info("%s", line)
        return
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def _listen(serving: Serving) -> socket.socket:
    try:
        family, kind, _, _, address = socket.getaddrinfo(serving.host, serving.port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, kind)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(BACKLOG)  # who comes before all is ready waits, and is not refused
    except OSError as error:
        raise ConfigurationError(f"cannot listen on {serving.host}, port {serving.port}: {error.strerror}") from error
    return listening


def _shown(listening: socket.socket) -> tuple[str, int]:
    host, port = listening.getsockname()[:2]
    return (f"[{host}]" if ":" in host else host), port
