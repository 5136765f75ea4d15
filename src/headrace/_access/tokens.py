"""Random secrets: how they are made, and what is kept of them.

All have 256 random bits, so SHA-256 is the right digest: there is no list of likely values that a slow hash would have
to protect, and a request should not pay for one. (Passwords, which people choose, are another matter: `passwords`.)
"""

from __future__ import annotations

import hmac
import secrets
from hashlib import sha256

_BYTES = 32
_KEY = "hr"
_PREFIX_BYTES = 6


def new_token() -> str:
    """A secret for a cookie or a link."""
    return secrets.token_urlsafe(_BYTES)


def new_key() -> tuple[str, str]:
    """A key, and the prefix by which it is found."""
    prefix = secrets.token_hex(_PREFIX_BYTES)
    return f"{_KEY}_{prefix}_{new_token()}", prefix


def prefix_of(key: str) -> str | None:
    """The prefix of a key; None if it has not the form of one."""
    parts = key.split("_", 2)
    if len(parts) != 3 or parts[0] != _KEY or len(parts[1]) != 2 * _PREFIX_BYTES or not parts[2]:
        return None
    return parts[1]


def digest(secret: str) -> bytes:
    """What is kept of a secret."""
    return sha256(secret.encode("utf-8", "surrogatepass")).digest()


def matches(secret: str, kept: bytes | None) -> bool:
    """Whether this is the secret of which that is kept, in a time that says nothing of either.

    Nothing matches an empty secret, or where nothing is kept.
    """
    return hmac.compare_digest(digest(secret), kept or bytes(32)) and bool(secret) and bool(kept)
