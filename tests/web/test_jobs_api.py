"""Jobs over HTTP: enqueued, looked at, acted on."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

from headrace import Headrace, State
from headrace.web.access import Caller
from tests.web.conftest import ACME, VIEWER

if TYPE_CHECKING:
    import httpx

As = Any
PROBLEM = "application/problem+json"


async def enqueue(client: httpx.AsyncClient, task: str = "add", **body: Any) -> str:
    """Enqueue one; its id."""
    answer = await client.post("jobs", json={"task": task} | ({"args": {"a": 1}} if task == "add" else {}) | body)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


async def test_the_life_of_a_job(client: httpx.AsyncClient, app: Headrace) -> None:
    """A job that is enqueued runs, and everything that is known of it can be asked for."""
    answer = await client.post(
        "jobs", json={"task": "remember", "args": {"day": "2026-11-26"}, "tags": ["x"], "priority": 3}
    )
    assert answer.status_code == 201
    job_id = answer.json()["id"]
    assert answer.headers["location"] == f"http://localhost/api/v1/jobs/{job_id}"
    before = (await client.get(f"jobs/{job_id}")).json()
    assert (
        before | {"state": "queued", "args": {"day": "2026-11-26"}, "tags": ["x"], "priority": 3, "result": None}
        == before
    )
    await app.drain()
    after = (await client.get(answer.headers["location"])).json()
    assert (
        after | {"state": "succeeded", "result": "Thursday", "progress": {"done": 1, "total": 2, "message": "half way"}}
        == after
    )
    assert (await client.get(f"jobs/{job_id}/result")).json() == {
        "id": job_id, "state": "succeeded", "finished": True, "result": "Thursday", "error": None,
    }  # fmt: skip
    logs = (await client.get(f"jobs/{job_id}/logs")).json()["logs"]
    assert [(line["run"], line["message"]) for line in logs] == [(1, "remembering 2026-11-26")]
    steps = (await client.get(f"jobs/{job_id}/steps")).json()["steps"]
    assert [(step["name"], step["result"]) for step in steps] == [("name the day", "Thursday")]
    assert (await client.get("jobs", params={"q": "state:succeeded"})).json()["jobs"][0]["id"] == job_id


async def test_errors_and_retries(client: httpx.AsyncClient, app: Headrace) -> None:
    """A failed job shows its attempts and error, and can be retried with other arguments, checked against its task."""
    job_id = await enqueue(client, "break_down")
    await app.drain()
    assert (await client.get(f"jobs/{job_id}/result")).json()["error"]["message"] == "it broke"
    (attempt,) = (await client.get(f"jobs/{job_id}/attempts")).json()["attempts"]
    assert (attempt["run"], attempt["outcome"]) == (1, "retried")
    assert (await client.get("jobs")).json()["jobs"][0]["error"] == "it broke"
    refused = await client.post(f"jobs/{job_id}/retry", json={"args": {"message": 42}})
    assert refused.status_code == 422
    assert refused.json()["errors"] == [{"pointer": "/args/message", "detail": "input should be a valid string"}]
    retried = await client.post(f"jobs/{job_id}/retry", json={"args": {"message": "again"}})
    assert retried.json()["state"] == "queued"
    assert retried.json()["args"] == {"message": "again"}
    assert (await client.post(f"jobs/{job_id}/retry")).status_code == 409


async def test_cancelling_and_deleting(client: httpx.AsyncClient) -> None:
    """A waiting job is cancelled with a reason, once; a finished one is deleted, and gone."""
    job_id = await enqueue(client)
    cancelled = await client.post(f"jobs/{job_id}/cancel", json={"reason": "no more"})
    assert cancelled.json() == {"outcome": "cancelled"}
    assert (await client.get(f"jobs/{job_id}")).json()["error"]["message"] == "no more"
    assert (await client.post(f"jobs/{job_id}/cancel")).status_code == 409
    assert (await client.delete(f"jobs/{job_id}")).status_code == 204
    gone = await client.get(f"jobs/{job_id}")
    assert (gone.status_code, gone.headers["content-type"]) == (404, PROBLEM)
    assert gone.json()["type"] == "urn:headrace:problem:job-not-found"
    assert (await client.delete(f"jobs/{job_id}")).status_code == 404


async def test_waiting_for_a_result(client: httpx.AsyncClient, app: Headrace) -> None:
    """A result is answered when it comes; a wait that is over says that it has not come."""
    job_id = await enqueue(client)
    early = await client.get(f"jobs/{job_id}/result", params={"wait_s": 0.05})
    assert (early.status_code, early.json()["finished"]) == (200, False)
    waiting = asyncio.create_task(client.get(f"jobs/{job_id}/result", params={"wait_s": 30}))
    await app.drain()
    assert (await waiting).json()["result"] == 2


async def test_an_idempotency_key_enqueues_once(client: httpx.AsyncClient, app: Headrace) -> None:
    """A repeated request is answered with the first job, finished or not; the key is refused for another request."""
    key = {"Idempotency-Key": "order-1"}
    first = await client.post("jobs", json={"task": "add", "args": {"a": 1}}, headers=key)
    second = await client.post("jobs", json={"task": "add", "args": {"a": 1}}, headers=key)
    assert (first.status_code, second.status_code) == (201, 200)
    assert second.json() == {"id": first.json()["id"], "existed": True}
    await app.drain()
    third = await client.post("jobs", json={"task": "add", "args": {"a": 1}}, headers=key)
    assert third.json() == second.json()
    other = await client.post("jobs", json={"task": "add", "args": {"a": 2}}, headers=key)
    assert (other.status_code, other.json()["type"]) == (422, "urn:headrace:problem:key-reused")
    assert len((await client.get("jobs")).json()["jobs"]) == 1


async def test_bulk_is_all_or_nothing_and_repeatable(client: httpx.AsyncClient) -> None:
    """One wrong job refuses all, and is named; with a key the whole list is answered again."""
    jobs = [{"task": "add", "args": {"a": n}} for n in range(3)]
    wrong = await client.post("bulk/enqueue", json={"jobs": [*jobs, {"task": "add", "args": {"a": "x"}}]})
    assert wrong.status_code == 422
    assert wrong.json()["errors"][0]["pointer"] == "/jobs/3/args/a"
    assert (await client.get("jobs")).json()["jobs"] == []
    key = {"Idempotency-Key": "batch-1"}
    first = (await client.post("bulk/enqueue", json={"jobs": jobs}, headers=key)).json()["jobs"]
    second = (await client.post("bulk/enqueue", json={"jobs": jobs}, headers=key)).json()["jobs"]
    assert [job["id"] for job in first] == [job["id"] for job in second]
    assert [job["existed"] for job in (*first, *second)] == [False] * 3 + [True] * 3


@pytest.mark.parametrize(
    ("body", "status", "pointer"),
    [
        ({"task": "no_such"}, 404, None),
        ({"task": "add", "args": {"a": "x"}}, 422, "/args/a"),
        ({"task": "add", "args": {}}, 422, "/args/a"),
        ({"task": "add", "args": {"a": 1, "c": 2}}, 422, "/args/c"),
        ({"task": "add", "args": {"a": 1}, "surprise": 1}, 422, "/surprise"),
        ({"task": "add", "args": {"a": 1}, "run_at": 0}, 422, "/run_at"),
        ({"task": "add", "args": {"a": 1}, "run_at": "2026-01-01T00:00:00"}, 422, "/run_at"),
        ({"task": "add", "args": {"a": 1}, "priority": "1"}, 422, "/priority"),
        ({"task": "add", "args": {"a": 1}, "delay_s": 1, "run_at": "2030-01-01T00:00:00Z"}, 422, "/delay_s"),
        ({"task": "add", "args": {"a": 1}, "tenant": "x\x00"}, 422, "/tenant"),
        ({"task": "add", "args": {"a": 1}, "tags": ["\ud800"]}, 422, "/tags/0"),
        ({"task": "add", "args": {"a": 1}, "metadata": {"x": "\x00"}}, 422, None),
    ],
)  # fmt: skip
async def test_what_is_wrong_is_named(
    client: httpx.AsyncClient, body: dict[str, Any], status: int, pointer: str | None
) -> None:
    """A request that makes no sense is a problem that points at the place."""
    sent = json.dumps(body)  # httpx would not send half of a surrogate pair
    answer = await client.post("jobs", content=sent, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.headers["content-type"]) == (status, PROBLEM)
    problem = answer.json()
    assert problem["status"] == status
    assert problem["detail"]
    if pointer is not None:
        assert [wrong["pointer"] for wrong in problem["errors"]] == [pointer]


async def test_a_unique_key(client: httpx.AsyncClient) -> None:
    """A second job with the key is the first one, or refused with the first one's id."""
    first = await enqueue(client, unique={"key": "k"})
    second = await client.post("jobs", json={"task": "add", "args": {"a": 2}, "unique": {"key": "k"}})
    assert (second.status_code, second.json()["id"]) == (200, first)
    body = {"task": "add", "args": {"a": 2}, "unique": {"key": "k", "on_conflict": "reject"}}
    refused = await client.post("jobs", json=body)
    assert (refused.status_code, refused.json()["holder"]) == (409, first)
    both = await client.post("jobs", json=body, headers={"Idempotency-Key": "i"})
    assert both.status_code == 422


async def test_a_full_queue(client: httpx.AsyncClient, app: Headrace) -> None:
    """A full queue is 429, and says when to come again."""
    await enqueue(client)
    assert (await client.patch("queues/default", json={"max_queued": 1})).status_code == 200
    refused = await client.post("jobs", json={"task": "add", "args": {"a": 1}})
    assert refused.status_code == 429
    assert int(refused.headers["retry-after"]) > 0


async def test_etags(client: httpx.AsyncClient) -> None:
    """What has not changed is not sent again."""
    job_id = await enqueue(client)
    first = await client.get(f"jobs/{job_id}")
    same = await client.get(f"jobs/{job_id}", headers={"If-None-Match": first.headers["etag"]})
    assert (same.status_code, same.content) == (304, b"")
    await client.post(f"jobs/{job_id}/cancel")
    assert (await client.get(f"jobs/{job_id}", headers={"If-None-Match": first.headers["etag"]})).status_code == 200


async def test_a_tenant_s_caller(as_caller: As, app: Headrace) -> None:
    """A caller of one tenant enqueues for it, and no other tenant's job exists for them, whatever they ask."""
    add = app.find_task("add")
    theirs = await add.options(tenant="other").enqueue(a=1)
    nobodys = await add.enqueue(a=1)
    async with as_caller(ACME) as client:
        own = await enqueue(client)
        assert (await client.get(f"jobs/{own}")).json()["tenant"] == "acme"
        assert (await client.post("jobs", json={"task": "add", "args": {"a": 1}, "tenant": "other"})).status_code == 403
        for job in (theirs, nobodys):
            for method, path in (
                ("GET", ""), ("GET", "/attempts"), ("GET", "/steps"), ("GET", "/logs"), ("GET", "/result"), ("GET", "/why"),
                ("POST", "/retry"), ("POST", "/cancel"), ("DELETE", ""),
            ):  # fmt: skip
                assert (await client.request(method, f"jobs/{job.id}{path}")).status_code == 404, path
        assert [job["id"] for job in (await client.get("jobs")).json()["jobs"]] == [own]
        assert (await client.get("queues")).status_code == 403
        assert (await client.post("queues/default/pause")).status_code == 403
    assert {(await job.info()).state for job in (theirs, nobodys)} == {State.QUEUED}


async def test_the_same_keys_of_two_tenants_are_two(as_caller: As) -> None:
    """Nobody learns of another tenant's job by guessing its key."""
    ids = []
    for who in (ACME, Caller(name="x", role=ACME.role, tenant="other", address="")):
        async with as_caller(who) as client:
            answer = await client.post("jobs", json={"task": "add", "args": {"a": 1}}, headers={"Idempotency-Key": "k"})
            ids.append(answer.json()["id"])
            assert answer.status_code == 201
    assert len(set(ids)) == 2


async def test_viewers_change_nothing(as_caller: As, app: Headrace) -> None:
    """A viewer sees, and is refused everything that changes something."""
    job = await app.find_task("add").enqueue(a=1)
    async with as_caller(VIEWER) as client:
        assert (await client.get(f"jobs/{job.id}")).status_code == 200
        for method, path, body in (
            ("POST", "jobs", {"task": "add", "args": {"a": 1}}), ("POST", "bulk/enqueue", {"jobs": [{"task": "add"}]}),
            ("POST", f"jobs/{job.id}/retry", {}), ("POST", f"jobs/{job.id}/cancel", {}), ("DELETE", f"jobs/{job.id}", None),
            ("PATCH", "queues/default", {"concurrency": 1}), ("POST", "queues/default/pause", {}), ("POST", "pause", {}),
            ("POST", "queues/default/resume", None), ("POST", "resume", None),
        ):  # fmt: skip
            answer = await client.request(method, path, json=body)
            assert answer.status_code == 403, path
            assert answer.headers["content-type"] == PROBLEM


async def test_a_parameter_that_does_not_exist_is_refused(client: httpx.AsyncClient) -> None:
    """A misspelled filter is not answered with everything."""
    await client.post("jobs", json={"task": "add", "args": {"a": 1}})
    answer = await client.get("jobs", params={"filter": "state:failed"})
    assert answer.status_code == 422
    assert 'no query parameter "filter"' in answer.json()["detail"]
    assert (await client.get("jobs", params={"q": "state:failed"})).json()["jobs"] == []


@pytest.mark.parametrize("task", ["headrace.webhook", "headrace.anything"])
async def test_nobody_gives_headrace_s_own_tasks_arguments(client: httpx.AsyncClient, app: Headrace, task: str) -> None:
    """A delivery made by hand would tell, signed, of whatever job its maker names."""
    app.webhooks.enable()
    args = {"webhook": "shop", "job": {"id": "0193a1b2-0000-7000-8000-000000000000", "run": 1, "state": "succeeded"}}
    answers = [
        await client.post("jobs", json={"task": task, "args": args}),
        await client.post("bulk/enqueue", json={"jobs": [{"task": task, "args": args}]}),
    ]
    assert [answer.status_code for answer in answers] == [404, 404]
    assert (await app.search.count("")).jobs == 0
