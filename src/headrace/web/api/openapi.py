"""The description of the API, as OpenAPI 3.1."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

import headrace
from headrace.web.api.problems import Problem, WrongField
from headrace.web.gate import COOKIE
from headrace.web.paths import API

DESCRIPTION = """\
Background jobs on PostgreSQL: enqueue them, look at them, and act on them.

Times are RFC 3339 with a zone; durations are seconds, in fields that end in `_s`. Errors are problem details
(RFC 9457). Lists that go on have `next`: send it as `after` to get more. A caller of one tenant sees and touches that
tenant's jobs only.
"""
_TAGS = {
    "enqueueing": "Asking for jobs.",
    "jobs": "Looking at jobs, and acting on them.",
    "operations": "What is done with all jobs that match a filter.",
    "tasks": "What can be enqueued.",
    "queues": "The lines, their settings, and pauses.",
    "limits": "What may run at the same time, how often, and in which order; and breakers.",
    "schedules": "When tasks are due by themselves.",
    "workflows": "Jobs that wait for other jobs.",
    "events": "Something named that has happened, and that jobs wait for.",
    "workers": "Every process that runs jobs.",
    "webhooks": "Who is told, over HTTP, of jobs that have finished.",
    "live": "What changes, as it changes.",
    "history": "What became of jobs over time, and what is wrong now.",
    "audit": "Who did what.",
    "keys": "Who may use this API.",
    "health": "For probes, and for people.",
    "about": "What runs here, and who asks.",
}


def install(web: FastAPI) -> None:
    """Let the application describe itself so."""

    def describe() -> dict[str, Any]:
        if web.openapi_schema is None:
            web.openapi_schema = _describe()
        return web.openapi_schema

    web.openapi = describe  # type: ignore[method-assign]


def _api_alone() -> FastAPI:
    """The API without what is beside it."""
    from headrace.web.api import router  # noqa: PLC0415 - it imports the nouns, which import the problems

    alone = FastAPI()
    alone.include_router(router, prefix=API)
    return alone


def _describe() -> dict[str, Any]:
    described = get_openapi(
        title="headrace",
        version=headrace.__version__,
        summary="Background jobs for Python on PostgreSQL",
        description=DESCRIPTION,
        routes=_api_alone().routes,
        tags=[{"name": name, "description": text} for name, text in _TAGS.items()],
        separate_input_output_schemas=True,
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
    )
    described["components"]["securitySchemes"] = {
        "key": {"type": "http", "scheme": "bearer", "description": "An API key, as `headrace keys create` makes."},
        "session": {
            "type": "apiKey",
            "in": "cookie",
            "name": COOKIE,
            "description": "Of the dashboard, after signing in.",
        },
    }
    described["security"] = [{"key": []}, {"session": []}]
    for public in ("live", "ready"):
        described["paths"][f"{API}/health/{public}"]["get"]["security"] = []
    schemas = described["components"]["schemas"]
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    problem = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas["WrongField"] = problem.pop("$defs", {}).get("WrongField") or WrongField.model_json_schema()
    schemas["Problem"] = problem
    return described
