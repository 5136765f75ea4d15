"""Limits, schedules, workflows, events, operations, and what operators want to know, over HTTP."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from headrace import Batch, Headrace, Workflow
from headrace._worker.operating import Operating
from tests.web.conftest import ACME, VIEWER, http_client

if TYPE_CHECKING:
    import httpx
    from fastapi import FastAPI

As = Any
OTHER_ID = "018f0000-0000-7000-8000-000000000000"


async def test_limits_and_breakers(client: httpx.AsyncClient) -> None:
    """Each kind is set, listed, changed and removed; a breaker is forced and let go."""
    bodies: list[dict[str, Any]] = [
        {"kind": "concurrency", "slots": 5, "key": "tenant", "queue": "mail", "name": "five"},
        {"kind": "rate", "starts": 10, "per_s": 60, "burst": 3, "tasks": ["add"]},
        {"kind": "order", "key": "a", "on_failure": "skip", "tasks": ["add"]},
        {"kind": "fair", "by": "tenant", "weights": {"acme": 3}, "queue": "mail"},
        {"kind": "ageing", "step_s": 30, "queue": "mail"},
        {"kind": "breaker", "name": "bank", "failure_ratio": 0.3, "cool_down_s": 5, "tasks": ["add"]},
    ]
    made = [(await client.post("limits", json=body)).json() for body in bodies]
    assert [limit["kind"] for limit in made] == [body["kind"] for body in bodies]
    assert made[0] | {"name": "five", "bound": 5, "key": "tenant", "queue": "mail"} == made[0]
    assert (made[1]["bound"], made[1]["span_s"], made[1]["burst"]) == (10, 60.0, 3)
    assert {limit["name"] for limit in (await client.get("limits")).json()["limits"]} == {
        limit["name"] for limit in made
    }
    changed = (await client.post("limits", json=bodies[0] | {"slots": 7})).json()
    assert changed["bound"] == 7
    assert (await client.delete("limits/five")).status_code == 204
    assert (await client.delete("limits/five")).status_code == 404
    assert (await client.post("limits", json={"kind": "concurrency", "slots": 1})).status_code == 422
    assert (await client.post("limits", json={"kind": "nonsense"})).status_code == 422
    forced = (await client.post("breakers/bank/force", json={"state": "open"})).json()
    assert forced["forced"] == "open"
    assert (await client.post("breakers/bank/force", json={"state": None})).json()["forced"] is None
    assert [it["name"] for it in (await client.get("breakers")).json()["breakers"]] == ["bank"]
    assert (await client.post("breakers/no_such/force", json={"state": "open"})).status_code == 404


async def test_the_life_of_a_schedule(client: httpx.AsyncClient, app: Headrace) -> None:
    """Made, looked at, changed, paused, skipped, run, made up for, and deleted."""
    body = {"name": "nightly", "task": "add", "cron": "0 3 * * *", "timezone": "Europe/Berlin", "args": {"a": 1}}
    made = await client.post("schedules", json=body)
    assert (made.status_code, made.json()["declared"]) == (201, False)
    assert (await client.post("schedules", json=body)).status_code == 409
    changed = (await client.patch("schedules/nightly", json={"every_s": 3600, "jitter_s": 60})).json()
    assert (changed["cron"], changed["every_s"], changed["jitter_s"]) == (None, 3600.0, 60.0)
    paused = (await client.post("schedules/nightly/pause", json={"reason": "holidays"})).json()
    assert (paused["paused_reason"], paused["paused_by"]) == ("holidays", "local")
    upcoming = (await client.get("schedules/nightly/next", params={"count": 3})).json()["upcoming"]
    assert [it["held"] for it in upcoming] == ["paused"] * 3
    assert (await client.post("schedules/nightly/resume")).json()["paused_at"] is None
    assert (await client.post("schedules/nightly/skip-next")).json()["skip_next"] is True
    assert (await client.post("schedules/nightly/skip-next", json={"skip": False})).json()["skip_next"] is False
    ran = await client.post("schedules/nightly/run")
    assert (await client.get(f"jobs/{ran.json()['id']}")).json()["task"] == "add"
    (tick,) = (await client.get("schedules/nightly/ticks")).json()["ticks"]
    assert (tick["cause"], tick["job_id"]) == ("run_now", ran.json()["id"])
    past = {"start": "2026-01-01T00:00:00Z", "end": "2026-01-01T05:00:00Z"}
    assert (await client.post("schedules/nightly/backfill", json=past)).json() == {"jobs": 5}
    assert (
        await client.post("schedules/nightly/backfill", json=past | {"end": "2999-01-01T00:00:00Z"})
    ).status_code == 422
    assert [it["name"] for it in (await client.get("schedules")).json()["schedules"]] == ["nightly"]
    assert (await client.delete("schedules/nightly")).status_code == 204
    assert (await client.get("schedules/nightly")).status_code == 404


async def test_what_makes_no_schedule(client: httpx.AsyncClient) -> None:
    """A wrong expression, zone, task or argument is refused, and named."""
    body: dict[str, Any] = {"name": "s", "task": "add", "cron": "0 3 * * *", "args": {"a": 1}}
    for change in (
        {"cron": "nonsense"},
        {"timezone": "Mars/Olympus"},
        {"args": {"a": "x"}},
        {"every_s": 60},
        {"cron": None},
    ):
        assert (await client.post("schedules", json=body | change)).status_code == 422, change
    assert (await client.post("schedules", json=body | {"task": "no_such"})).status_code == 404
    await client.post("schedules", json=body)
    assert (await client.patch("schedules/s", json={"args": {"a": "x"}})).status_code == 422
    assert (await client.patch("schedules/s", json={"overlap": None})).status_code == 422


async def test_tenants_of_a_schedule(client: httpx.AsyncClient) -> None:
    """Added, listed by pages, changed, and removed."""
    await client.post(
        "schedules", json={"name": "s", "task": "add", "cron": "0 3 * * *", "args": {"a": 1}, "per_tenant": True}
    )
    for tenant in ("a", "b", "c"):
        assert (await client.put(f"schedules/s/tenants/{tenant}", json={"timezone": "Asia/Kolkata"})).status_code == 204
    first = (await client.get("schedules/s/tenants", params={"limit": 2})).json()
    second = (await client.get("schedules/s/tenants", params={"limit": 2, "after": first["next"]})).json()
    assert [[it["tenant"] for it in page["tenants"]] for page in (first, second)] == [["a", "b"], ["c"]]
    assert second["next"] is None
    assert (await client.delete("schedules/s/tenants/b")).status_code == 204
    assert (await client.delete("schedules/s/tenants/b")).status_code == 404


async def test_a_tenant_s_schedules(as_caller: As, app: Headrace) -> None:
    """A caller of one tenant sees and changes the schedules of that tenant, and no other exists."""
    await app.schedules.create("theirs", "add", cron="0 3 * * *", args={"a": 1}, tenant="other")
    await app.schedules.create("own", "add", cron="0 3 * * *", args={"a": 1}, tenant="acme")
    await app.schedules.create("everybody's", "add", cron="0 3 * * *", args={"a": 1}, per_tenant=True)
    async with as_caller(ACME) as client:
        assert [it["name"] for it in (await client.get("schedules")).json()["schedules"]] == ["own"]
        assert (await client.post("schedules/own/pause", json={"reason": "x"})).status_code == 200
        assert (await client.patch("schedules/own", json={"tenant": "other"})).status_code == 403
        assert (await client.patch("schedules/own", json={"tenant": None})).status_code == 403
        assert (await client.post("schedules", json={"name": "n", "task": "add", "cron": "@daily"})).status_code == 403
        for name in ("theirs", "everybody's"):
            for method, path, body in (
                ("GET", "", None), ("PATCH", "", {}), ("DELETE", "", None), ("POST", "/pause", {"reason": "x"}),
                ("POST", "/resume", None), ("POST", "/skip-next", {}), ("POST", "/run", None), ("GET", "/ticks", None),
                ("GET", "/next", None), ("POST", "/backfill", {"start": "2026-01-01T00:00:00Z", "end": "2026-01-02T00:00:00Z"}),
            ):  # fmt: skip
                assert (await client.request(method, f"schedules/{name}{path}", json=body)).status_code == 404, path
            assert (await client.put(f"schedules/{name}/tenants/acme", json={})).status_code == 403


async def test_workflows(client: httpx.AsyncClient, app: Headrace) -> None:
    """Listed by pages, looked at with their nodes, cancelled and retried."""
    add, broken = app.find_task("add"), app.find_task("break_down")
    ids = [str((await app.start(Batch([add.job(a=n)], name=f"batch {n}"))).id) for n in range(3)]
    first = (await client.get("workflows", params={"limit": 2})).json()
    second = (await client.get("workflows", params={"limit": 2, "after": first["next"]})).json()
    assert [it["id"] for page in (first, second) for it in page["workflows"]] == ids[::-1]
    workflow = Workflow("one after the other")
    workflow.add("first", broken.options(max_attempts=1).job())
    workflow.add("second", add.job(a=1), after="first")
    started = await app.start(workflow)
    nodes = (await client.get(f"workflows/{started.id}/nodes")).json()["nodes"]
    assert [(node["name"], node["state"]) for node in nodes] == [("first", "queued"), ("second", "blocked")]
    assert nodes[1]["parents"] == [nodes[0]["id"]]
    await app.drain()
    await started.wait(20)
    assert (await client.get(f"workflows/{started.id}")).json()["state"] == "failed"
    assert (await client.post(f"workflows/{started.id}/cancel")).status_code == 409
    assert len((await client.post(f"workflows/{started.id}/retry")).json()["jobs"]) == 2
    cancelled = await client.post(f"workflows/{started.id}/cancel", json={"reason": "enough"})
    assert cancelled.json()["cancel_reason"] == "enough"
    assert (await client.get(f"workflows/{OTHER_ID}")).status_code == 404
    assert (await client.post(f"workflows/{OTHER_ID}/cancel")).status_code == 404


async def test_events(client: httpx.AsyncClient) -> None:
    """The first emit counts; names may have slashes."""
    first = await client.post("events", json={"name": "paid/4711", "payload": {"by": "card"}})
    second = await client.post("events", json={"name": "paid/4711", "payload": 2})
    assert [(it.status_code, it.json()["first"]) for it in (first, second)] == [(201, True), (200, False)]
    assert (await client.get("events/paid/4711")).json()["payload"] == {"by": "card"}
    assert (await client.get("events/other")).status_code == 404
    assert (await client.post("events", json={"name": "large", "payload": "x" * 300_000})).status_code == 422


async def test_operations(client: httpx.AsyncClient, app: Headrace) -> None:
    """Previewed, started, done by a worker, listed by pages; undone before it begins, and not after its end."""
    await app.enqueue_many(app.find_task("break_down").options(max_attempts=1).job() for _ in range(7))
    await app.drain()
    preview = (await client.post("operations/preview", json={"q": "task:break_down", "action": "retry"})).json()
    assert (preview["jobs"], preview["exact"], len(preview["samples"])) == (7, True, 5)
    started = await client.post("operations", json={"q": "task:break_down", "action": "retry", "undo_s": 0})
    assert (started.status_code, started.json()["estimate"]) == (201, 7)
    number = started.json()["id"]
    operating = Operating(await app.database())
    while (await client.get(f"operations/{number}")).json()["state"] not in ("finished", "failed"):
        await operating.operate()
    assert (await client.get(f"operations/{number}")).json()["done"] == 7
    assert (await client.get("count", params={"q": "task:break_down state:queued"})).json() == {
        "jobs": 7,
        "exact": True,
    }
    assert (await client.post(f"operations/{number}/cancel")).status_code == 409
    ids = [job["id"] for job in (await client.get("jobs", params={"limit": 2})).json()["jobs"]]
    waiting = (await client.post("operations", json={"ids": ids, "action": "cancel", "undo_s": 60})).json()
    assert (await client.post(f"operations/{waiting['id']}/cancel")).json()["state"] == "cancelled"
    first = (await client.get("operations", params={"limit": 1})).json()
    second = (await client.get("operations", params={"limit": 1, "after": first["next"]})).json()
    assert [page["operations"][0]["id"] for page in (first, second)] == [waiting["id"], number]
    for wrong in ({"action": "retry"}, {"action": "retry", "q": "x", "ids": ids}, {"action": "move", "ids": ids}):
        assert (await client.post("operations", json=wrong)).status_code == 422
    assert (await client.get("operations/999999")).status_code == 404


async def test_filters(client: httpx.AsyncClient, app: Headrace, as_caller: As) -> None:
    """Lists go on page by page; a wrong filter says where; a tenant's caller finds nothing of others, whatever they ask."""
    add = app.find_task("add")
    jobs = await app.enqueue_many([add.options(tenant="acme" if n % 2 else "other").job(a=n) for n in range(10)])
    found: list[str] = []
    after = None
    while True:
        params: dict[str, Any] = {"q": "task:add", "limit": 3} | ({"after": after} if after else {})
        page = (await client.get("jobs", params=params)).json()
        found += [job["id"] for job in page["jobs"]]
        if (after := page["next"]) is None:
            break
    assert found == [str(job.id) for job in jobs[::-1]]
    wrong = await client.get("jobs", params={"q": "state:nonsense"})
    assert (wrong.status_code, wrong.json()["position"], wrong.json()["errors"][0]["pointer"]) == (422, 6, "query/q")
    assert (await client.get("jobs", params={"after": "nonsense"})).status_code == 422
    assert any(it["text"] for it in (await client.get("completions", params={"q": "sta"})).json()["completions"])
    async with as_caller(ACME) as tenants:
        for q in ("", "tenant:other", "tenant:other tenant:acme", f"id:{jobs[0].id}"):
            seen = (await tenants.get("jobs", params={"q": q})).json()["jobs"]
            assert all(job["tenant"] == "acme" for job in seen), q
        assert (await tenants.get("count")).json()["jobs"] == 5
        started = (await tenants.post("operations", json={"q": "age>0s", "action": "cancel", "undo_s": 60})).json()
        assert started["tenant"] == "acme"
        ids = [str(job.id) for job in jobs]
        done = (await tenants.post("bulk/cancel", json={"ids": ids})).json()
        assert (len(done["done"]), len(done["left"])) == (5, 5)
        assert (await tenants.post("bulk/retry", json={"ids": ids})).json()["done"] == done["done"]
        assert len((await tenants.post("bulk/delete", json={"ids": ids})).json()["done"]) == 5
        for path in (
            "audit",
            "keys",
            "webhooks",
            "history",
            "findings",
            "limits",
            "workflows",
            "workers",
            "events/x",
            "about",
        ):
            params = {"metric": "failed"} if path == "history" else {}
            assert (await tenants.get(path, params=params)).status_code == 403, path
    assert (await client.get("count")).json()["jobs"] == 5


async def test_failures(client: httpx.AsyncClient, app: Headrace) -> None:
    """Failed jobs are grouped, with an example, and the group's name finds them."""
    await app.enqueue_many(app.find_task("break_down").options(max_attempts=1).job() for _ in range(3))
    await app.drain()
    (group,) = (await client.get("failures")).json()["failures"]
    assert (group["count"], group["type"], group["message"]) == (3, "ValueError", "it broke")
    found = (await client.get("jobs", params={"q": f"failure:{group['failure']}"})).json()["jobs"]
    assert group["example"] in [job["id"] for job in found]
    assert len(found) == 3


async def test_what_is_secret_is_shown_nowhere(client: httpx.AsyncClient, app: Headrace) -> None:
    """No answer about a job holds the secret of its arguments, and what is shown instead is not taken for it."""

    @app.task(name="pay", queue="money")
    async def pay(password: str, n: int = 1) -> str:
        raise ValueError(f"cannot pay with {password}")

    body = {"task": "pay", "args": {"password": "canary-1234"}, "max_attempts": 1, "metadata": {"token": "canary-5678"}}
    job_id = (await client.post("jobs", json=body)).json()["id"]
    await client.post(
        "schedules", json={"name": "s", "task": "pay", "cron": "@daily", "args": {"password": "canary-9"}}
    )
    await app.drain()
    for path in ("", "/attempts", "/logs", "/steps", "/result", "/why"):
        answer = await client.get(f"jobs/{job_id}{path}")
        assert (answer.status_code, "canary" in answer.text) == (200, False), path
    for path in ("jobs", "failures", "schedules", "schedules/s", "audit", "tasks"):
        answer = await client.get(path)
        assert (answer.status_code, "canary" in answer.text) == (200, False), path
    shown = (await client.get(f"jobs/{job_id}")).json()["args"]
    refused = await client.post(f"jobs/{job_id}/retry", json={"args": shown | {"n": 2}})
    assert (refused.status_code, refused.json()["type"]) == (422, "urn:headrace:problem:redacted")
    wrong = await client.post("jobs", json={"task": "pay", "args": {"password": ["canary-1234"]}})
    assert (wrong.status_code, "canary" in wrong.text) == (422, False)


async def test_the_audit_log(client: httpx.AsyncClient, app: Headrace, as_caller: As) -> None:
    """What is done over HTTP is recorded with who did it, and is listed by pages, for admins only."""
    job = await app.find_task("add").enqueue(a=1)
    await client.post(f"jobs/{job.id}/cancel", json={"reason": "not needed"})
    await client.post("queues/default/pause", json={"reason": "r"})
    first = (await client.get("audit", params={"limit": 1})).json()
    second = (await client.get("audit", params={"limit": 1, "after": first["next"]})).json()
    assert "entries" in second, (first, second)
    entries = [page["entries"][0] for page in (first, second)]
    assert [(it["action"], it["by"], it["address"]) for it in entries] == [
        ("queue.pause", "local", "127.0.0.1"), ("job.cancel", "local", "127.0.0.1"),
    ]  # fmt: skip
    (only,) = (await client.get("audit", params={"action": "job.cancel", "target": str(job.id)})).json()["entries"]
    assert only["after"]["reason"] == "not needed"
    async with as_caller(VIEWER) as viewer:
        assert (await viewer.get("audit")).status_code == 403


async def test_keys(client: httpx.AsyncClient, web: FastAPI) -> None:
    """A key that is made over HTTP works, until it is revoked; it is not shown again."""
    made = await client.post("keys", json={"name": "checkout", "role": "viewer", "tenant": "acme", "expires_s": 3600})
    key = made.json()["key"]
    assert (await client.post("keys", json={"name": "checkout", "role": "viewer"})).status_code == 409
    assert key not in (await client.get("keys")).text
    headers = {"Authorization": f"Bearer {key}"}
    async with http_client(web, address="192.0.2.7") as stranger:
        me = await stranger.get("me", headers=headers)
        assert me.json() == {"name": "checkout", "role": "viewer", "tenant": "acme"}
        assert (await stranger.post("jobs", json={"task": "add"}, headers=headers)).status_code == 403
        assert (await client.delete("keys/checkout")).status_code == 204
        assert (await stranger.get("me", headers=headers)).status_code == 401
    assert (await client.delete("keys/checkout")).status_code == 404


async def test_health(client: httpx.AsyncClient, web: FastAPI, app: Headrace) -> None:
    """Probes need no key, and say nothing; the details say what is wrong."""
    async with http_client(web, address="192.0.2.7") as stranger:
        assert (await stranger.get("health/live")).json() == {"status": "ok"}
        assert (await stranger.get("health/ready")).json() == {"status": "ok"}
        assert (await stranger.get("health")).status_code == 401
    health = (await client.get("health")).json()
    assert (health["status"], health["workers"]) == ("degraded", {"running": 0, "draining": 0, "silent": 0})
    assert any("no worker is running" in finding for finding in health["findings"])
    worker = app.worker(heartbeat="loop")
    running = asyncio.create_task(worker.run())
    await worker.started.wait()
    healthy = (await client.get("health")).json()
    (shown,) = (await client.get("workers")).json()["workers"]
    worker.stop()
    await running
    assert (healthy["status"], healthy["workers"]["running"], healthy["findings"]) == ("ok", 1, [])
    assert (shown["state"], shown["id"]) == ("running", worker.id)


async def test_about(client: httpx.AsyncClient, url: str) -> None:
    """What runs here, without the database's password; who asks."""
    about = (await client.get("about")).json()
    assert (about["tasks"], about["schema_name"]) == (3, "headrace")
    assert "***" in about["database"] or ":" not in about["database"].partition("@")[0].partition("//")[2]
    assert (await client.get("me")).json() == {"name": "local", "role": "admin", "tenant": None}


async def test_history_and_findings(client: httpx.AsyncClient) -> None:
    """A series for a chart, deploys to mark in it, and what the doctor says."""
    series = (await client.get("history", params={"metric": "succeeded", "last_s": 3600})).json()
    assert (series["unit"], series["step_s"], len(series["points"]) >= 60) == ("jobs", 60.0, True)
    assert (await client.get("history", params={"metric": "nonsense"})).status_code == 422
    assert (await client.post("deploys", json={"label": "v1.4.2"})).status_code == 204
    (deploy,) = (await client.get("deploys")).json()["deploys"]
    assert (deploy["label"], deploy["deployed_by"]) == ("v1.4.2", "local")
    answer = await client.get("findings")
    assert answer.status_code == 200, answer.text
    findings = answer.json()["findings"]
    assert all(finding["severity"] in ("critical", "warning", "info") for finding in findings)
