"""An app whose handlers say everything that they know, wherever they can."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any

from pydantic import BaseModel, TypeAdapter

from headrace import Context, Headrace, Retry, Secret

MARKED = "canary-marked-8d1f"
NESTED = "canary-nested-77aa"
IN_A_DATACLASS = "canary-dataclass-1b2c"
NAMED = "canary-named-93e0"
CONFIGURED = "canary-configured-5e5e"
RESULT = "canary-result-6610"
METADATA = "canary-metadata-0c0c"
RETRIED = "canary-retried-abab"
SCHEDULED = "canary-scheduled-2323"
EMITTED = "canary-emitted-4545"
LONG = "canary-long-" + "0123456789abcdef" * 8
CANARIES = [
    MARKED, NESTED, IN_A_DATACLASS, NAMED, CONFIGURED, RESULT, METADATA, RETRIED, SCHEDULED, EMITTED, LONG, "canary-long-0123",
]  # fmt: skip

app = Headrace(secret_names=["iban"])
log = logging.getLogger("shop")
TWICE = Retry(attempts=2, delay=timedelta(0), jitter=0)


class Card(BaseModel):
    """A model with a marked field."""

    number: Annotated[str, Secret]
    owner: str = "o"


@dataclass
class Account:
    """A dataclass with one."""

    pin: Annotated[str, Secret]


def babble(ctx: Context, *values: Any) -> None:
    """Say it everywhere."""
    for value in values:
        ctx.log(f"have {value}")
        ctx.progress(1, 2, f"working with {value!r}")
        log.warning("handler has %s", value)


@app.task(name="charge", retry=TWICE)
async def charge(
    ctx: Context,
    token: Annotated[str, Secret],
    cards: list[Card],
    account: Account,
    options: dict[str, Any],
    long: Annotated[str, Secret],
) -> None:
    """A coroutine that fails with everything in its message."""
    values = [token, cards[0].number, account.pin, options["auth"]["api_key"], options["customer_iban"], long]
    babble(ctx, *values)
    await ctx.step("remember", lambda: {"password": values[0], "text": f"it is {values[1]}"})
    try:
        TypeAdapter(int).validate_python(long)
    except ValueError as error:
        raise RuntimeError(f"cannot charge {values} {{'token': {values[0]!r}}}") from error


@app.task(name="charge_in_a_thread", retry=TWICE)
def charge_in_a_thread(ctx: Context, token: Annotated[str, Secret]) -> None:
    """A function that fails with it."""
    babble(ctx, token)
    raise RuntimeError(token)


@app.task(name="charge_in_a_process", retry=TWICE, executor="process")
def charge_in_a_process(ctx: Context, token: Annotated[str, Secret]) -> None:
    """A process task that fails with it."""
    ctx.log(f"have {token}")
    ctx.progress(1, 2, token)
    raise RuntimeError(token)


@app.task(name="fetch")
async def fetch(token: Annotated[str, Secret]) -> dict[str, Any]:
    """Returns secrets, its own and others."""
    return {"session_token": RESULT, "said": f"used {token}"}


@app.task(name="fetch_marked")
async def fetch_marked() -> Annotated[str, Secret]:
    """Returns nothing else."""
    return RESULT
