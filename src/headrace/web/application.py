"""The ASGI application: its routers, and what every request passes through."""

from __future__ import annotations

import asyncio
import importlib.util
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fastapi import Depends, FastAPI
from starlette.middleware.cors import CORSMiddleware

from headrace.observe.router import metrics_router
from headrace.web import sessions
from headrace.web.access import Role, require
from headrace.web.api import openapi, problems
from headrace.web.api import router as api_router
from headrace.web.api.dependencies import all_tenants
from headrace.web.dashboard import router as dashboard_router
from headrace.web.gate import protect
from headrace.web.live import Hub
from headrace.web.paths import API

if TYPE_CHECKING:
    from headrace.app import Headrace

MAX_BODY_BYTES = 8 << 20
"""Room for some thousand jobs in bulk, or one with the largest arguments there are."""


def web_app(
    app: Headrace, *, local: bool = False, cors_origins: Sequence[str] = (), max_body_bytes: int = MAX_BODY_BYTES
) -> FastAPI:
    """The API under ``/api/v1`` and the dashboard beside it, for one app.

    Mount it under any path: ``main.mount("/jobs", web_app(app))``. Who mounts it opens and closes the app.

    Args:
        app: Whose jobs.
        local: Whether whoever is on this machine may do everything, without signing in. For development: see
            `headrace.web.gate`.
        cors_origins: Origins (``https://shop.example``) whose pages may call the API from a browser, with a key. None
            by default.
        max_body_bytes: Larger bodies are refused. 8 MiB: some thousand jobs in bulk.
    """
    web = FastAPI(title="headrace", version="1", docs_url=None, redoc_url=None, openapi_url=f"{API}/openapi.json")
    web.state.headrace = app
    web.state.running_once = asyncio.Lock()
    web.state.live = Hub(app)
    web.include_router(sessions.router)
    web.include_router(api_router, prefix=API)
    web.include_router(dashboard_router)
    if importlib.util.find_spec("prometheus_client") is not None:
        web.include_router(metrics_router(app, [Depends(require(Role.VIEWER)), all_tenants("metrics")]))
    problems.install(web)
    openapi.install(web)
    # The last one added sees a request first.
    protect(web, app, local=local, most_body_bytes=max_body_bytes)
    if cors_origins:
        web.add_middleware(CORSMiddleware, **_cors(cors_origins))
    return web


def _cors(origins: Sequence[str]) -> dict[str, Any]:
    return {
        "allow_origins": list(origins),
        "allow_methods": ["GET", "POST", "PUT", "PATCH", "DELETE"],
        "allow_headers": ["Authorization", "Content-Type", "Idempotency-Key", "If-None-Match", "Last-Event-ID"],
        "expose_headers": ["ETag", "Location", "Retry-After"],
    }
