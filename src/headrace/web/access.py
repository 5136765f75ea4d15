"""Who asks, and what they may do.

Every request passes the `Gate` (gate.py), which finds out who it is from, or refuses it; a route says what it takes:
``who: Annotated[Caller, Depends(require(Role.OPERATOR))]``.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from fastapi import Depends, HTTPException, Request

from headrace.access import Role

if TYPE_CHECKING:
    from headrace.audit import Source

__all__ = ["Caller", "Role", "caller", "require"]

CALLER = "headrace_caller"
"""Where the gate leaves the caller, in the request's state."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sent a request.

    Attributes:
        name: As the audit log shows it.
        role: What they may do.
        tenant: The only tenant whose jobs they may see and touch; None: all.
        address: Where the request came from.
        source: The way in: "api" with a key, "dashboard" with a session or from this machine.
    """

    name: str
    role: Role
    tenant: str | None
    address: str
    source: Source = "api"


async def caller(request: Request) -> Caller:
    """Who the gate has found the request to be from.

    Raises:
        HTTPException: 401: from nobody.
    """
    who: Caller | None = getattr(request.state, CALLER, None)
    if who is None:
        raise HTTPException(401, "sign in, or send an API key", headers={"WWW-Authenticate": "Bearer"})
    return who


def require(role: Role, *, all_tenants: bool = False) -> Callable[..., Awaitable[Caller]]:
    """A dependency that lets callers of at least this role through.

    Args:
        role: The least role.
        all_tenants: Whether those who may only see one tenant are kept out: for what belongs to no tenant, such as
        queues'
            settings, the audit log, users and keys.
    """

    async def check(who: Annotated[Caller, Depends(caller)]) -> Caller:
        if who.role < role:
            raise HTTPException(403, f"this needs the role {role.name.lower()}; {who.name} is {who.role.name.lower()}")
        if all_tenants and who.tenant is not None:
            raise HTTPException(403, f'this is about all tenants; {who.name} may only see "{who.tenant}"')
        return who

    check.role = role  # type: ignore[attr-defined] # for whoever lists the routes and their roles
    return check
