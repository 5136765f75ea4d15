"""Pages of other origins may not act here.

A browser sends cookies, and reaches this machine's loopback address, on behalf of whatever page it shows; a form or a
`fetch` without special headers asks nobody first. But it says in `Origin` whose page it is. Whoever sends no `Origin`
is no page.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from headrace.web.api.problems import respond

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.types import ASGIApp, Receive, Scope, Send

_READING = frozenset({"GET", "HEAD", "OPTIONS"})


class OwnOrigin:
    """Refuses requests that change something and come from a page of another origin.

    Args:
        app: What is inside.
        allowed: Other origins that may.
    """

    def __init__(self, app: ASGIApp, allowed: Sequence[str] = ()) -> None:
        self._app = app
        self._allowed = frozenset(allowed)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer why not."""
        if scope["type"] == "http" and scope["method"] not in _READING:
            headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
            origin = headers.get(b"origin")
            if origin is not None and origin not in self._allowed and not _is_own(origin, headers.get(b"host", "")):
                answer = respond(403, "other-origin", f"pages of {origin} may not change anything here")
                await answer(scope, receive, send)
                return
        await self._app(scope, receive, send)


def _is_own(origin: str, host: str) -> bool:
    """Whether the page is ours: its host and port are those that the request was sent to (a proxy may end TLS)."""
    parts = urlsplit(origin)
    return parts.scheme in ("http", "https") and bool(host) and parts.netloc.lower() == host.lower()
