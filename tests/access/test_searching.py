"""Secrets cannot be found out by searching for them, a letter at a time."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any

import psycopg
import pytest
from pydantic import BaseModel

from headrace import FilterError, Headrace, Secret
from headrace._redact import DEFAULT_NAMES, Secrets, _overlap_of, loose

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
        'args.card.number~"c"', "args.card.number:c*", "args.card.number>c", "-args.card.number:canary", "args.card~c", "args.card:c*",
        "args~c", "task:pay args~c", "task:p* args~c", "result~c", "task:pay result:c*", "args.options.who.password~c", "meta.token~c",
        "args.options.api_key:x", "task:other,pay args~c", "-task:pay args~c", 'args."apiKey"=x', "args.customerIban=1",
    ],
)  # fmt: skip
async def test_what_is_secret_cannot_be_asked_for(jobs: Headrace, text: str) -> None:
    """Neither by a mark, nor by a name, nor by way of what it is in; wherever filters are taken."""
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
        ("args.customer=42", 1), ("args.card.owner~ad", 1), ("task:other args~canary", 0), ("task:other args~ada", 1),
        ("task:other args.options.who:*canary*", 0), ("task:other args.options.list~can", 0), ("task:other args.options.list~ada", 1),
        ("task:other args.options.max=42", 1), ("task:other result~canary", 0), ("meta~canary", 0), ("meta~ada", 1),
        ("meta.note:a*", 1), ("error~canary", 0),
    ],
)  # fmt: skip
async def test_the_rest_can(jobs: Headrace, text: str, count: int) -> None:
    """What is not secret; in what has parts, what they are, but for those with a secret name."""
    assert len((await jobs.search.jobs(text)).jobs) == count


def test_the_database_knows_the_same_names(url: str) -> None:
    """As a worker that shows; and an app's own."""
    with psycopg.connect(url, autocommit=True) as conn:
        ((names,),) = conn.execute("select headrace.secret_names()").fetchall()
        assert set(names.split("|")) == set(loose(()).pattern.split("|"))
        marks = Secrets.of({}, names=["customerIban", "Tax-Id"]).as_json()
        assert marks == {"names": ("customer_iban", "tax_id")}
        conn.execute(
            "insert into headrace.task (name, queue, priority, max_attempts, succeeded_age, failed_age, cancelled_age, secrets) "
            "values ('t', 'q', 0, 1, '1 day', '1 day', '1 day', '{\"names\": [\"customer_iban\", \"tax_id\"]}')"
        )
        ((more,),) = conn.execute("select headrace.secret_names()").fetchall()
        assert set(more.split("|")) == set(loose(("customer_iban", "tax_id")).pattern.split("|"))
        for name in DEFAULT_NAMES:
            assert conn.execute(
                "select headrace.shown_text(jsonb_build_object(%s::text, 'canary', 'x', 'seen'), headrace.secret_names())",
                [name],
            ).fetchone() == ("seen",)


@pytest.mark.parametrize(
    ("path", "mark", "expected"),
    [
        ("a", "a", True), ("a", "b", False), ("a.b", "a", True), ("a", "a.b", True), ("", "a", True), ("a.0.b", "a.*.b", True),
        ("a.0.c", "a.*.b", False), ("a.0", "a.*.b", True), ("t.children.0.key", "t.**.key", True), ("t.key", "t.**.key", True),
        ("t.name", "t.**.key", True), ("x.key", "t.**.key", False),
    ],
)  # fmt: skip
def test_what_is_inside_of_what(path: str, mark: str, expected: bool) -> None:
    """A part overlaps with a mark if one is inside of the other; with "any depth" in it, anything may be."""
    assert _overlap_of(tuple(filter(None, path.split("."))), tuple(mark.split("."))) is expected
