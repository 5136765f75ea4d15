"""Signatures of deliveries, as Standard Webhooks has them: HMAC-SHA256 over id, time and body."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
import time
from collections.abc import Mapping, Sequence

from headrace.errors import ConfigurationError, WebhookUntrusted

PREFIX = "whsec_"
TOLERANCE_S = 300
"""A delivery that is older, or from the future, may be somebody's recording."""


def new_secret() -> str:
    """A secret of 32 random bytes."""
    return PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def sign(keys: Sequence[str], message_id: str, at_s: int, body: bytes) -> str:
    """The signatures by each of these secrets."""
    signed = f"{message_id}.{at_s}.".encode() + body
    return " ".join(
        "v1," + base64.b64encode(hmac.digest(_bytes_of(key), signed, hashlib.sha256)).decode() for key in keys
    )


def verify_webhook(secret: str, headers: Mapping[str, str], body: bytes, *, now_s: float | None = None) -> None:
    """Refuse a delivery that headrace did not send, or that is a recording of an earlier one: for receivers.

    Args:
        secret: The webhook's, "whsec_…".
        headers: Of the request; their names in any case.
        body: Of the request, as it came.
        now_s: The time, for tests; None: now.

    Raises:
        WebhookUntrusted: It is not to be trusted.
        ConfigurationError: The secret is none.
    """
    given = {name.lower(): value for name, value in headers.items()}
    message_id, at, signatures = (given.get(f"webhook-{name}", "") for name in ("id", "timestamp", "signature"))
    if not (message_id and at.isascii() and at.isdigit() and signatures):
        raise WebhookUntrusted("webhook-id, webhook-timestamp or webhook-signature is missing, or is none")
    if abs((time.time() if now_s is None else now_s) - int(at)) > TOLERANCE_S:
        raise WebhookUntrusted(f"it was signed more than {TOLERANCE_S} seconds ago, or from now")
    wanted = sign([secret], message_id, int(at), body).encode()
    # All of them, so that the time it takes tells nothing.
    matches = [hmac.compare_digest(wanted, one.encode()) for one in signatures.split(" ")]
    if not any(matches):
        raise WebhookUntrusted("its signature is not by this secret")


def _bytes_of(secret: str) -> bytes:
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except binascii.Error:
        key = b""
    if not key:  # an empty one would let everybody sign
        raise ConfigurationError('a webhook\'s secret is "whsec_" and base64')
    return key
