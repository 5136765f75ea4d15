"""Secrets cannot be found out by searching for them, a letter at a time."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any

import pytest
from pydantic import BaseModel

from headrace import FilterError, Headrace, Secret

if TYPE_CHECKING:
    from collections.abc import Callable


class Card(BaseModel):
    number: Annotated[str, Secret]
    owner: str


@pytest.fixture
async def jobs(url: str) -> Any:
    """An app of another process, that knows what is stored, and two jobs that have finished."""
    async with Headrace(url, secret_names=["iban"]) as app:

        @app.task(name="pay")
        async def pay(card: Card, customer: int = 0) -> Annotated[str, Secret]:
            return "canary"

        @app.task(name="other")
        async def other(options: dict[str, Any]) -> dict[str, Any]:
            return options

        await pay.enqueue(Card(number="canary", owner="ada"), 42)
        await other.options(metadata={"token": "canary", "note": "ada"}).enqueue(
            {"who": {"password": "canary", "name": "ada"}, "list": ["ada", {"customer_iban": "canary"}], "max": 42}
        )
        await app.drain(listen=False)
    async with Headrace(url) as app:
        yield app


@pytest.mark.parametrize(
    "text",
    [
        'args.card.number~"c"', "args.card.number:c*", "args.card.number>c", "-args.card.number:canary", "task:pay args.card.number=x",
        "args.options.who.password~c", "meta.token~c", "args.options.api_key:x", 'args."apiKey"=x', "args.customerIban=1",
        "result.session_token~c",
    ],
)  # fmt: skip
async def test_what_is_secret_cannot_be_asked_for(jobs: Headrace, text: str) -> None:
    """Neither by a mark, nor by a name; wherever filters are taken."""
    ask: list[Callable[[], Any]] = [
        lambda: jobs.search.jobs(text), lambda: jobs.search.count(text), lambda: jobs.search.failures(text),
        lambda: jobs.operations.preview(text, "delete"), lambda: jobs.operations.start(text, "delete", by="mallory"),
    ]  # fmt: skip
    for each in ask:
        with pytest.raises(FilterError, match="secret") as refused:
            await each()
    assert re.match(r"-?(args|result|meta)", text[refused.value.position :])
    assert await jobs.operations.list() == []


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("args.customer=42", 1), ("args.card.owner~ad", 1), ("args.options.who.name~ad", 1), ("args.options.max=42", 1), ("meta.note:a*", 1),
        ("args.card~canary", 0), ("args.card:*canary*", 0), ("args.options.who~canary", 0), ("args.options.list~canary", 0),
        ("args.options.list.1~canary", 0), ("error~canary", 0),
    ],
)  # fmt: skip
async def test_the_rest_can(jobs: Headrace, text: str, count: int) -> None:
    """What is not secret; and nothing is found in what has parts, of which one may be."""
    assert len((await jobs.search.jobs(text)).jobs) == count
