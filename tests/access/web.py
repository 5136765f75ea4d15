"""Requests without a network: who sends them, from where, and all routes that there are."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

import httpx
from fastapi.routing import iter_route_contexts

if TYPE_CHECKING:
    from fastapi import FastAPI

    from headrace.access import Role

ADDRESS = "192.0.2.1"
HOST = "jobs.example"
NOBODY_S = str(UUID(int=7))
OURS = {"sec-fetch-site": "same-origin"}
ENDLESS = re.compile(r"/(live|stream)\b")
"""Answers that go on until the caller leaves."""
UNSAFE = {"POST", "PUT", "PATCH", "DELETE"}


def client(
    web: Any, *, address: str = ADDRESS, host: str = HOST, scheme: str = "http", **options: Any
) -> httpx.AsyncClient:
    """Somebody at an address, who asks for a host."""
    transport = httpx.ASGITransport(web, client=(address, 4711), raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url=f"{scheme}://{host}", **options)


@dataclass(frozen=True)
class Operation:
    """One method of one route.

    Attributes:
        method: Which.
        path: With something in the place of its parameters.
        role: The least role; None: it does not say.
    """

    method: str
    path: str
    role: Role | None

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


def operations(web: FastAPI) -> Iterator[Operation]:
    """All there are, those of routers in routers, too."""
    for route in iter_route_contexts(web.routes):
        if route.path is None or not route.methods:
            continue
        path = re.sub(r"\{[^}]*\}", NOBODY_S, route.path)
        for method in sorted(route.methods):
            yield Operation(method, path, _role(getattr(route, "dependant", None)))


def pages(web: FastAPI, names: Iterable[str]) -> Iterator[str]:
    """The paths of everything that can be looked at, with each of these names in the place of a parameter."""
    for route in iter_route_contexts(web.routes):
        if route.path is None or "GET" not in (route.methods or ()) or ENDLESS.search(route.path):
            continue
        for name in names if "{" in route.path else [""]:
            yield re.sub(r"\{[^}]*\}", name, route.path)


def _role(dependant: Any) -> Role | None:
    if dependant is None:
        return None
    own = getattr(dependant.call, "role", None)
    found = [own, *map(_role, dependant.dependencies)]
    return max((role for role in found if role is not None), default=None)
