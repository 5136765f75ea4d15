"""What every request passes through, and how the application is mounted and served."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from headrace import ConfigurationError, Headrace
from headrace.access import Role
from headrace.web import web_app
from headrace.web.serving import Serving, outermost, refuse_strangers
from tests.web.conftest import http_client

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import httpx
    from fastapi import FastAPI

PROBLEM = "application/problem+json"


async def test_other_machines_are_refused(web: FastAPI) -> None:
    """As long as nobody can say who they are, only this machine is let in."""
    async with http_client(web, address="192.0.2.7") as stranger:
        answer = await stranger.get("queues")
    assert (answer.status_code, answer.headers["content-type"]) == (401, PROBLEM)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "example.com"])
async def test_other_machines_are_not_served(app: Headrace, host: str) -> None:
    """The server does not start where strangers could reach it."""
    with pytest.raises(ConfigurationError, match=r"127\.0\.0\.1"):
        await refuse_strangers(app, Serving(target="x:y", host=host))


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "127.3.2.1"])
async def test_this_machine_is_served(app: Headrace, host: str) -> None:
    """Loopback addresses need no authentication."""
    await refuse_strangers(app, Serving(target="x:y", host=host))


async def test_names_that_lead_here_are_refused(app: Headrace) -> None:
    """A page whose name was made to lead to 127.0.0.1 is no page of ours (DNS rebinding)."""
    served = outermost(web_app(app, local=True), Serving(target="x:y"))
    async with http_client(served) as client:
        assert (await client.get("queues")).status_code == 200
        assert (await client.get("queues", headers={"Host": "evil.example"})).status_code == 400


async def test_pages_of_other_origins_change_nothing(client: httpx.AsyncClient) -> None:
    """A browser that shows a foreign page says so, and is refused; our own pages, and programs, are not."""
    foreign = await client.post("pause", headers={"Origin": "https://evil.example"})
    assert (foreign.status_code, foreign.headers["content-type"]) == (403, PROBLEM)
    assert (await client.post("pause", headers={"Origin": "null"})).status_code == 403
    assert (await client.post("pause", headers={"Origin": "http://localhost:9"})).status_code == 403
    assert (await client.post("resume", headers={"Origin": "http://localhost"})).json() == {"resumed": False}
    assert (await client.post("resume")).status_code == 200


async def test_cors_is_closed_unless_it_is_opened(app: Headrace, client: httpx.AsyncClient) -> None:
    """No other origin's page may read; one that is named may, and may act with a key."""
    origin = {"Origin": "https://shop.example", "Access-Control-Request-Method": "POST"}
    closed = await client.options("jobs", headers=origin)
    assert "access-control-allow-origin" not in closed.headers
    assert "access-control-allow-origin" not in (await client.get("queues", headers=origin)).headers
    async with http_client(web_app(app, local=True, cors_origins=["https://shop.example"])) as opened:
        asked = await opened.options("jobs", headers=origin)
        assert asked.headers["access-control-allow-origin"] == "https://shop.example"
        key = {"Authorization": f"Bearer {await app.access.create_key('page', role=Role.OPERATOR)}"}
        acted = await opened.post("resume", headers={"Origin": "https://shop.example"} | key)
        assert (acted.status_code, acted.headers["access-control-allow-origin"]) == (200, "https://shop.example")
        assert (await opened.post("resume", headers={"Origin": "https://shop.example"})).status_code == 403
        assert (await opened.post("resume", headers={"Origin": "https://evil.example"})).status_code == 403


async def test_large_bodies_are_refused(app: Headrace) -> None:
    """A body over the limit is 413, whether it says its length or not, and is not read to its end."""
    sent = 0

    async def stream() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(100):
            sent += 1
            yield b" " * 100

    async with http_client(web_app(app, local=True, max_body_bytes=1000)) as client:
        declared = await client.post("jobs", content=b" " * 1001, headers={"Content-Type": "application/json"})
        streamed = await client.post("jobs", content=stream(), headers={"Content-Type": "application/json"})
        for answer in (declared, streamed):
            assert (answer.status_code, answer.headers["content-type"]) == (413, PROBLEM)
    assert sent < 20


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "no_such", 404), ("PUT", "jobs", 405), ("POST", "jobs", 422), ("GET", "jobs/nonsense", 422)],
)
async def test_every_error_is_a_problem(client: httpx.AsyncClient, method: str, path: str, status: int) -> None:
    """Also those that no route raises."""
    answer = await client.request(method, path)
    assert (answer.status_code, answer.headers["content-type"]) == (status, PROBLEM)
    assert answer.json()["status"] == status


@pytest.mark.parametrize("body", ["{", "nonsense", "[" * 100_000, '{"task": NaN'])
async def test_what_is_no_json(client: httpx.AsyncClient, body: str) -> None:
    """A body that is not JSON is 400."""
    answer = await client.post("jobs", content=body, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.headers["content-type"]) == (400, PROBLEM)


async def test_mounted_under_a_path(app: Headrace) -> None:
    """Below another path all is the same: links lead there, and errors are problems."""
    outer = Starlette(routes=[Mount("/admin/jobs", web_app(app, local=True))])
    async with http_client(outer) as client:
        client.base_url = "http://localhost/admin/jobs/api/v1/"
        answer = await client.post("jobs", json={"task": "add", "args": {"a": 1}})
        assert answer.headers["location"].startswith("http://localhost/admin/jobs/api/v1/jobs/")
        assert (await client.get(answer.headers["location"])).json()["id"] == answer.json()["id"]
        missing = await client.get("no_such")
        assert (missing.status_code, missing.headers["content-type"]) == (404, PROBLEM)
        described = (await client.get("openapi.json")).json()
        assert described["servers"] == [{"url": "/admin/jobs"}]


async def test_the_database_is_away(url: str) -> None:
    """Without a database the answer is 503, and says when to come again."""
    async with http_client(web_app(Headrace("postgresql://x:y@127.0.0.1:1/none"), local=True)) as client:
        answer = await client.get("queues")
    assert (answer.status_code, answer.headers["content-type"]) == (503, PROBLEM)
    assert int(answer.headers["retry-after"]) > 0
    assert ":y@" not in answer.text
