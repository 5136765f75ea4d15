"""Bodies that are too large are refused before they are in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import HTTPException

from headrace.web.api.problems import respond

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send


class BodyLimit:
    """Refuses bodies that say they are larger, and stops reading those that turn out to be.

    Args:
        app: What is inside.
        max_bytes: The limit.
    """

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer why not."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if self._declared(scope) > self._max_bytes:
            await respond(413, "too-large", self._why)(scope, receive, send)
            return
        read_bytes = 0

        async def counted() -> Message:
            nonlocal read_bytes
            message = await receive()
            read_bytes += len(message.get("body", b""))
            if read_bytes > self._max_bytes:
                raise HTTPException(413, self._why)  # what reads the body lets these through
            return message

        await self._app(scope, counted, send)

    @property
    def _why(self) -> str:
        return f"the body is larger than {self._max_bytes} bytes: send less at a time"

    def _declared(self, scope: Scope) -> int:
        for name, value in scope["headers"]:
            if name == b"content-length" and value.isdigit():
                return int(value)
        return 0
