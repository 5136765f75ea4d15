"""The database's metrics, for FastAPI applications."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from headrace.errors import DatabaseUnavailable
from headrace.observe.vitals import CachedVitals

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastapi import APIRouter

    from headrace.app import Headrace


def metrics_router(app: Headrace, dependencies: Sequence[Any] = ()) -> APIRouter:
    """A FastAPI router with ``GET /metrics``: those of the database, and of this process's rollouts.

    Args:
        app: Whose database.
        dependencies: FastAPI's, such as who may ask.
    """
    from fastapi import APIRouter, Request, Response  # noqa: PLC0415 - of another extra

    router = APIRouter(dependencies=list(dependencies))
    cached = CachedVitals()

    async def metrics(request: Request) -> Response:
        """Answer Prometheus."""
        from headrace.observe.database_metrics import database_down  # noqa: PLC0415 - when it is asked for
        from headrace.observe.metrics import of_database, render  # noqa: PLC0415
        from headrace.observe.worker_metrics import RolloutCollector  # noqa: PLC0415

        try:
            registry = await of_database(await app.database(), cached)
        except DatabaseUnavailable:  # when it is opened
            registry = database_down()
        registry.register(RolloutCollector(app))
        text, kind = render(registry, request.headers.get("accept"))
        return Response(text, media_type=kind, headers={"Cache-Control": "no-store"})

    metrics.__annotations__ = {"request": Request, "return": Response}  # names of this function, for FastAPI
    router.add_api_route("/metrics", metrics, methods=["GET"], response_class=Response, include_in_schema=False)
    return router
