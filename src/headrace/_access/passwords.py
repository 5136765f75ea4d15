"""Passwords: argon2id, with the parameters that pwdlib recommends.

A check takes tens of milliseconds and 64 MiB by design: in a thread, two at a time, so that a crowd at the door does
not take the machine.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, TypeVar

from headrace.errors import ConfigurationError, InvalidPassword

if TYPE_CHECKING:
    from pwdlib import PasswordHash

T = TypeVar("T")
LEAST_CHARS = 12
MOST_CHARS = 1024
_AT_ONCE = threading.BoundedSemaphore(2)


@cache
def _hasher() -> PasswordHash:
    try:
        from pwdlib import PasswordHash  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise ConfigurationError("users need argon2: pip install headrace[web]") from error
    return PasswordHash.recommended()


@cache
def _nobodys() -> str:
    """The hash of a password that nobody has: whether a name exists must not show in the time of an answer."""
    return _hasher().hash("nobody has this password")


def check_new(password: str) -> None:
    """Refuse a password that is too short to be one.

    Raises:
        InvalidPassword: It is.
    """
    if len(password) < LEAST_CHARS:
        raise InvalidPassword(f"a password has at least {LEAST_CHARS} characters; take a few words")
    if len(password) > MOST_CHARS:
        raise InvalidPassword(f"a password has at most {MOST_CHARS} characters")


async def hash_password(password: str) -> str:
    """What is kept of a password.

    Raises:
        InvalidPassword: It is too short, or too long.
    """
    check_new(password)
    return await asyncio.to_thread(_one_of_two, lambda: _hasher().hash(password))


async def verify(password: str, kept: str | None) -> tuple[bool, str | None]:
    """Whether this is the password of which that is kept, and what to keep instead if today's parameters are others.

    It takes as long if nothing is kept, and is then false.
    """
    if not password or len(password) > MOST_CHARS:
        password, kept = "", None
    return await asyncio.to_thread(_one_of_two, lambda: _verify(password, kept))


def _verify(password: str, kept: str | None) -> tuple[bool, str | None]:
    fits, better = _hasher().verify_and_update(password, kept or _nobodys())
    return (fits, better) if kept else (False, None)


def _one_of_two(work: Callable[[], T]) -> T:
    with _AT_ONCE:
        return work()
