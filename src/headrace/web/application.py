"""The ASGI application: its routers, and what every request passes through."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import FastAPI

from headrace.web import sessions
from headrace.web.api import router as api_router
from headrace.web.dashboard import router as dashboard_router
from headrace.web.gate import protect

if TYPE_CHECKING:
    from headrace.app import Headrace


def web_app(app: Headrace, *, local: bool = False) -> FastAPI:
    """The API under ``/api/v1`` and the dashboard beside it, for one app.

    Mount it under any path: ``main.mount("/jobs", web_app(app))``. Who mounts it opens and closes the app.

    Args:
        app: The app.
        local: Whether whoever is on this machine may do everything, without signing in. For development: see
            `headrace.web.gate`.
    """
    web = FastAPI(title="headrace", version="1", docs_url=None, redoc_url=None, openapi_url="/api/v1/openapi.json")
    web.state.headrace = app
    web.include_router(sessions.router)
    web.include_router(api_router, prefix="/api/v1")
    web.include_router(dashboard_router)
    protect(web, app, local=local)
    return web
