"""Who asks, and what they may do."""

from __future__ import annotations

import enum
import ipaddress
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, HTTPException, Request


class Role(enum.IntEnum):
    """What a caller may do; each role may do what those before it may."""

    VIEWER = 1
    OPERATOR = 2
    ADMIN = 3


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sent a request.

    Attributes:
        name: As the audit log shows it.
        role: What they may do.
        tenant: The only tenant whose jobs they may see and touch; None: all.
        address: Where the request came from.
    """

    name: str
    role: Role
    tenant: str | None
    address: str


def caller(request: Request) -> Caller:
    """Whoever is on this machine; nobody else, as long as there is no other way to say who one is."""
    address = request.client.host if request.client else ""
    if not _is_loopback(address):
        raise HTTPException(401, "this address is not this machine's own: sign in")
    return Caller(name="local", role=Role.ADMIN, tenant=None, address=address)


def require(role: Role) -> Callable[..., Caller]:
    """A dependency that lets callers of at least this role through: ``who: Caller = Depends(require(Role.VIEWER))``."""

    def check(who: Annotated[Caller, Depends(caller)]) -> Caller:
        if who.role < role:
            raise HTTPException(403, f"this needs the role {role.name.lower()}; {who.name} is {who.role.name.lower()}")
        return who

    return check


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False
