"""Where things are, below whatever path the application is mounted at."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.types import Scope

API = "/api/v1"


def own_path(scope: Scope) -> str:
    """The request's path, without the path at which the application is mounted."""
    path, root = str(scope["path"]), str(scope.get("root_path", ""))
    return path[len(root) :] if root and path.startswith(root) else path


def is_api(scope: Scope) -> bool:
    """Whether a program asks."""
    return own_path(scope).startswith("/api/")
