"""Queues and tasks over HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import httpx

    from headrace import Headrace


async def test_settings_and_pauses(client: httpx.AsyncClient, app: Headrace) -> None:
    """A queue shows its line, takes settings and gives them back, and is paused and resumed."""
    await app.find_task("add").enqueue(a=1)
    queue = (await client.get("queues/default")).json()
    assert (queue["queued"], queue["concurrency"], queue["paused"]) == (1, None, None)
    changed = (await client.patch("queues/default", json={"concurrency": 3, "max_queued": 10})).json()
    assert (changed["concurrency"], changed["max_queued"]) == (3, 10)
    kept = (await client.patch("queues/default", json={"concurrency": None})).json()
    assert (kept["concurrency"], kept["max_queued"]) == (None, 10)
    paused = (await client.post("queues/default/pause", json={"reason": "mail is down", "for_s": 60})).json()
    assert paused["paused"]["reason"] == "mail is down"
    assert paused["paused"]["until"] is not None
    (job,) = (await client.get("jobs")).json()["jobs"]
    why = (await client.get(f"jobs/{job['id']}/why")).json()
    assert (why["reasons"][0]["kind"], why["reasons"][0]["text"].endswith("mail is down")) == ("paused", True)
    assert why["next"].startswith("it starts when the pause is over")
    assert (await client.post("queues/default/resume")).json() == {"resumed": True}
    assert (await client.post("queues/default/resume")).json() == {"resumed": False}
    assert (await client.get("queues/no_such")).status_code == 404
    assert (await client.post("queues/no_such/pause")).status_code == 404


async def test_all_queues(client: httpx.AsyncClient) -> None:
    """All are paused and resumed at once."""
    paused = (await client.post("pause", json={"reason": "stop the press"})).json()
    assert paused["all_paused"]["reason"] == "stop the press"
    assert (await client.post("resume")).json() == {"resumed": True}
    assert (await client.get("queues")).json()["all_paused"] is None


async def test_tasks_say_what_they_take(client: httpx.AsyncClient) -> None:
    """A task shows its settings, and its arguments as JSON Schema, without what the worker provides."""
    tasks = {task["name"]: task for task in (await client.get("tasks")).json()["tasks"]}
    assert sorted(tasks) == ["add", "break_down", "remember"]
    assert tasks["add"]["description"] == "Add two numbers."
    assert tasks["break_down"]["queue"] == "brittle"
    arguments = tasks["add"]["arguments"]
    assert arguments["properties"] == {"a": {"title": "A", "type": "integer"}, "b": {"title": "B", "type": "integer"}}
    assert (arguments["required"], arguments["additionalProperties"]) == (["a"], False)
    assert tasks["remember"]["arguments"]["properties"] == {"day": {"format": "date", "title": "Day", "type": "string"}}
    assert (await client.get("tasks/add")).json() == tasks["add"]
    assert (await client.get("tasks/no_such")).status_code == 404
