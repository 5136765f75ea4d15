"""One delivery: a job that has finished, told to whoever wants to know."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import httpx

from headrace._webhook.addresses import Network, check_url, find_address
from headrace._webhook.signing import sign
from headrace.errors import ConfigurationError, WebhookRefused
from headrace.outcomes import Cancel

if TYPE_CHECKING:
    from headrace.app import Headrace

ANSWER_S = 15.0
"""A receiver has so long to answer, all in all. It should note the delivery down, and work later."""

MAX_ANSWER_BYTES = 4096
"""So much of an answer is read, to say what was wrong."""

MAX_BODY_BYTES = 256 * 1024
"""A job whose result makes the delivery larger is told without it."""

GONE = 410


async def deliver(
    app: Headrace, message_id: str, webhook: str, job: dict[str, Any], allowed: Sequence[Network]
) -> dict[str, Any]:
    """Send a delivery; what came of it.

    Raises:
        WebhookRefused: It was not accepted, or not sent.
        Cancel: There is nobody to send it to any more.
    """
    database = await app.database()
    found = await database.records("find_webhook", name=webhook)
    if not found or not found[0]["enabled"]:
        raise Cancel(f'there is no webhook "{webhook}" any more, or it is disabled')
    keys = [key for key in (found[0]["secret"], found[0]["previous"]) if key]
    body = await _body(app, job)
    status, said = await send(found[0]["url"], headers(keys, message_id, body), body, allowed)
    if status == GONE:
        await database.rows("disable_webhook", name=webhook, reason="its receiver answered 410: it is gone")
        raise Cancel("the receiver answered 410: the webhook is disabled")
    if not 200 <= status < 300:
        raise WebhookRefused(f"{webhook}: the receiver answered {status}: {said}" if said else f"{webhook}: {status}")
    return {"status": status}


async def _body(app: Headrace, job: dict[str, Any]) -> bytes:
    """What is told: the job as it ended, with its result or error if it has not run again since; without secrets."""
    found = [info for info in await app.find_jobs([job["id"]]) if info.run == job["run"] and info.state == job["state"]]
    # What is gone cannot be asked for its arguments, and so not what in its texts is secret.
    job = {name: value for name, value in job.items() if name not in ("tags", "correlation_id")}
    outcome: dict[str, Any] = {}
    if found:
        shown = (await app.redactor()).job(found[0])
        outcome = {
            "result": shown.result, "error": shown.error, "tags": shown.tags, "correlation_id": shown.correlation_id,
        }  # fmt: skip
    told = {"type": f"job.{job['state']}", "timestamp": job["finished_at"], "data": job | outcome}
    body = json.dumps(told).encode()
    if len(body) > MAX_BODY_BYTES:
        body = json.dumps(told | {"data": job | {"too_large": True}}).encode()
    return body


def headers(keys: Sequence[str], message_id: str, body: bytes) -> dict[str, str]:
    """What says who sends it."""
    at_s = int(time.time())
    return {
        "content-type": "application/json",
        "user-agent": "headrace-webhook",
        "webhook-id": message_id,
        "webhook-timestamp": str(at_s),
        "webhook-signature": sign(keys, message_id, at_s, body),
    }


async def send(url: str, told: dict[str, str], body: bytes, allowed: Sequence[Network]) -> tuple[int, str]:
    """Send it to the address that its name was found to lead to; the status, and the beginning of what is wrong.

    Raises:
        WebhookRefused: Nobody answered, or it may not be sent there.
    """
    try:
        parts = check_url(url, allowed)
    except ConfigurationError as error:
        raise WebhookRefused(str(error)) from None
    host = parts.hostname or ""
    port = parts.port or (443 if parts.scheme == "https" else 80)
    address = await find_address(host, port, allowed)
    target = httpx.URL(url).copy_with(host=str(address))
    extensions = {"sni_hostname": host}  # whose certificate it must be
    try:
        async with (
            asyncio.timeout(ANSWER_S),
            # Neither a proxy of the environment's nor a redirect may lead elsewhere.
            httpx.AsyncClient(trust_env=False, follow_redirects=False, timeout=ANSWER_S) as client,
            client.stream(
                "POST", target, content=body, headers=told | {"host": parts.netloc}, extensions=extensions
            ) as answer,
        ):
            said = "" if answer.is_success else await _beginning(answer)
            return answer.status_code, said
    except TimeoutError:
        raise WebhookRefused(f"{host} did not answer within {ANSWER_S:g} seconds") from None
    except httpx.HTTPError as error:
        raise WebhookRefused(f"{host}: {type(error).__name__}: {error}") from None


async def _beginning(answer: httpx.Response) -> str:
    read = b""
    async for chunk in answer.aiter_raw():
        read += chunk
        if len(read) >= MAX_ANSWER_BYTES:
            break
    return " ".join(read[:MAX_ANSWER_BYTES].decode("utf-8", "replace").split())[:300]
