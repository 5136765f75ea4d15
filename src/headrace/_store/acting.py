"""Who is acting: a context variable that the audit log reads."""

from __future__ import annotations

import getpass
import os
import socket
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator

Source = Literal["cli", "dashboard", "api", "python"]
_actor: ContextVar[Actor | None] = ContextVar("headrace_actor", default=None)


@dataclass(frozen=True, slots=True)
class Actor:
    """Who does something, and from where.

    Attributes:
        by: A user's or key's name, or user@host.
        source: The way in.
        address: Where the request came from, if it was one.
    """

    by: str
    source: Source = "python"
    address: str | None = None


@contextmanager
def acting(by: str, *, source: Source = "python", address: str | None = None) -> Iterator[Actor]:
    """Every operator's action through the app inside of this block is recorded in the audit log under this name.

    In the same transaction as what it does: both happen, or neither. Outside of such a block, changes of settings
    (queues, limits, breakers, schedules, who may do what) are recorded under the name of the process's user; what a
    program does to jobs and workflows is its own work, and not recorded.

    Args:
        by: Who.
        source: The way in.
        address: Where the request came from.
    """
    actor = Actor(by, source, address)
    token = _actor.set(actor)
    try:
        yield actor
    finally:
        _actor.reset(token)


def become(actor: Actor | None) -> None:
    """The same for the rest of this context, such as the request that is answered in it."""
    _actor.set(actor)


def current_actor() -> Actor | None:
    """Who acts here, if somebody has said so."""
    return _actor.get()


def acting_name() -> str | None:
    """The name of who acts here, if somebody has said so."""
    actor = current_actor()
    return None if actor is None else actor.by


def process_owner() -> str:
    """user@host, as far as the system knows."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError, ImportError):  # no such user: containers
        user = str(os.getuid()) if hasattr(os, "getuid") else "unknown"
    return f"{user}@{socket.gethostname()}"
