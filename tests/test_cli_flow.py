"""`headrace queues pause`, `limits` and `breakers`, as operators use them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from headrace import Breaker
from tests.test_cli import Run, enqueue, here, run, shared_url, state_of, url, with_app, work_off

if TYPE_CHECKING:
    from headrace import Headrace

__all__ = ["here", "run", "shared_url", "url"]  # fixtures


@pytest.fixture(autouse=True)
def _leave_nothing(here: Run) -> None:
    """Pauses and limits of earlier tests are gone."""

    async def clear(app: Headrace) -> None:
        for pause in await app.list_pauses():
            await app.resume(pause.queue or None)
        for limit in await app.limits.list():
            await app.limits.remove(limit.name)

    with_app(clear)


def test_a_paused_queue_says_so_until_it_is_resumed(here: Run) -> None:
    """Its jobs wait, the list names the reason, a second resume says that there was nothing to end."""
    assert here("queues", "pause", "default", "--reason", "incident 77").out == 'queue "default" is paused\n'
    job = enqueue(here, "add", "a=1")
    work_off()
    assert state_of(here, job) == "queued"
    assert "incident 77" in here("queues").out
    assert here("queues", "resume", "default").out == 'queue "default": resumed\n'
    work_off()
    assert state_of(here, job) == "succeeded"
    assert here("queues", "resume", "default").out == 'queue "default": was not paused\n'


def test_everything_can_be_paused_for_a_while(here: Run) -> None:
    """Without a name it is all queues, and --for says until when."""
    assert here("queues", "pause", "--for", "1h").out == "all queues are paused\n"
    assert "all queues are paused: until " in here("queues").out
    assert here("queues", "resume").out == "all queues: resumed\n"


@pytest.mark.parametrize(
    ("words", "name", "bound"),
    [
        (
            ("concurrency", "--queue", "mail", "--key", "tenant", "--bound", "3"),
            "queue mail concurrency by tenant",
            "3",
        ),
        (("rate", "--task", "add", "--bound", "100", "--per", "1m", "--burst", "5", "--name", "api"), "api", "100"),
        (("order", "--task", "add", "--key", "a", "--skip", "--name", "one at a time"), "one at a time", ""),
        (("fair", "--queue", "mail", "--weight", "acme=3", "--weight", "x=y=1"), "", ""),
        (("ageing", "--queue", "mail", "--per", "1h"), "", ""),
    ],
)
def test_limits_are_set_listed_and_removed(here: Run, words: tuple[str, ...], name: str, bound: str) -> None:
    """What was said is what is listed; removed, it is not there."""
    said = here("limits", "set", *words).out
    (limit,) = here("limits", "list", "--json").json()
    assert limit["kind"] == words[0]
    assert said == f'limit "{limit["name"]}" is set\n'
    assert limit["name"] == name or not name or name.startswith("queue")
    if bound:
        assert str(limit["bound"]) == bound
    assert limit["name"] in here("limits", "list").out
    assert here("limits", "remove", limit["name"]).out == f'limit "{limit["name"]}" is removed\n'
    assert here("limits", "list", "--json").json() == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("limits", "set", "concurrency", "--bound", "3"), "queue"),
        (("limits", "set", "concurrency", "--queue", "q", "--bound", "-1"), "-1"),
        (("limits", "set", "fair", "--queue", "q", "--weight", "acme"), "KEY=N"),
        (("limits", "remove", "nothing"), "nothing"),
        (("breakers", "open", "nothing"), "nothing"),
    ],
)
def test_what_makes_no_sense_is_wrong_use(here: Run, words: tuple[str, ...], message: str) -> None:
    """It ends with 2, names what is wrong, and sets nothing."""
    ran = here(*words)
    assert ran.status == 2
    assert message in ran.message
    assert here("limits", "list", "--json").json() == []


def test_a_breaker_is_held_open_and_let_go(here: Run) -> None:
    """The list says in what it is held; reset, it judges again."""

    async def declare(app: Headrace) -> None:
        await app.limits.set(Breaker("smtp"), tasks=["add"])

    with_app(declare)
    assert here("breakers", "open", "smtp").out == 'breaker "smtp" is held open\n'
    assert "open (forced)" in here("breakers", "list").out
    assert here("breakers", "reset", "smtp").out == 'breaker "smtp" is closed, and judges again\n'
    job = enqueue(here, "add", "a=1")
    work_off()
    assert state_of(here, job) == "succeeded"
    assert here("breakers", "close", "smtp").out == 'breaker "smtp" is held closed\n'
    (breaker,) = here("breakers", "list", "--json").json()
    assert breaker["forced"] == "closed"
