"""Requests that the API's own description allows, and some that it does not, against a server on a real database.

schemathesis makes them; it finds answers that are not described, errors of the server, wrong data that is taken, and right
data that is refused. HEADRACE_EXAMPLES sets how many there are for each operation.
"""

from __future__ import annotations

import asyncio
import os
import socket
import threading
import uuid
from typing import TYPE_CHECKING, Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import CHECKS

from headrace import Headrace
from headrace.access import Role
from headrace.web import web_app
from headrace.web.gate import Gate
from headrace.web.serving import Serving, server
from tests.web.sample_app import declare_tasks

if TYPE_CHECKING:
    from collections.abc import Iterator

EXAMPLES = int(os.environ.get("HEADRACE_EXAMPLES", "3"))
SAYS_MORE = {
    "enqueue", "enqueue_bulk", "retry_job",  # arguments fit the task, or do not
    "set_limit",  # of a queue, or of tasks
    "create_schedule", "edit_schedule", "backfill_schedule", "set_schedule_tenant",  # cron expressions, zones, ranges
    "pause_queue", "pause_all",  # until or for_s
    "list_workflows", "list_schedule_tenants", "list_operations", "list_audit",  # cursors
    "list_jobs", "count_jobs", "list_failures", "preview_operation", "start_operation",  # filters
    "get_history",  # no depths by task
    "set_webhook", "create_key",  # addresses, and names that can be seen
}  # fmt: skip
"""Operations that may refuse, with 422, what their schema allows: JSON Schema has no words for the reason."""


@pytest.fixture(scope="module")
def served(shared_url: str) -> Iterator[tuple[str, str]]:
    """The address of a server in a thread of its own, and a key for it."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        address = f"http://127.0.0.1:{listening.getsockname()[1]}"
        app = Headrace(shared_url)
        declare_tasks(app)
        app.webhooks.enable()
        serving = server(unlimited(app), Serving(target="tests:app", log_level="warning", drain_s=1))
        started = threading.Event()
        keys: list[str] = []

        async def run() -> None:
            async with app:
                keys.append(await app.access.create_key(uuid.uuid4().hex, role=Role.ADMIN))
                await app.find_task("add").enqueue(a=1)
                await app.drain()
                running = asyncio.create_task(serving.serve(sockets=[listening]))
                while not serving.started:  # noqa: ASYNC110 - uvicorn says it with a flag
                    await asyncio.sleep(0.01)
                started.set()
                await running

        thread = threading.Thread(target=lambda: asyncio.run(run()))
        thread.start()
        assert started.wait(30)
        yield address, keys[0]
        serving.should_exit = True
        thread.join(30)
        assert not thread.is_alive()


def unlimited(app: Headrace) -> Any:
    """The application, without a bound on how often a caller may ask."""
    web = web_app(app)
    for middleware in web.user_middleware:
        if middleware.cls is Gate:  # type: ignore[comparison-overlap]
            middleware.kwargs.update(requests_per_s=1e6, burst=10**6)
    return web


def describe() -> dict[str, Any]:
    """The API as it describes itself."""
    app = Headrace("postgresql://nobody@127.0.0.1:1/none")
    declare_tasks(app)
    return web_app(app).openapi()


schema = schemathesis.openapi.from_dict(describe()).exclude(
    operation_id=["live", "run_once"]
)  # the one does not end, the other may take long
accepts_right_data = CHECKS.get_one("positive_data_acceptance")


@schema.parametrize()
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate],
)
def test_the_api_is_as_described(case: schemathesis.Case[Any], served: tuple[str, str]) -> None:
    """Every answer is a described one, and nothing makes the server fail."""
    says_more = case.operation.definition.raw["operationId"] in SAYS_MORE
    address, key = served
    headers = {"Authorization": f"Bearer {key}"}
    answer = case.call(base_url=address, headers=headers, timeout=30)
    excluded: list[Any] = [accepts_right_data] if says_more and answer.status_code == 422 else []
    case.validate_response(answer, headers=headers, excluded_checks=excluded)
