"""ETags: a client that has a thing already is told so, instead of being sent it again."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import Header
from fastapi.responses import Response

if TYPE_CHECKING:
    from pydantic import BaseModel

IfNoneMatch = Annotated[str | None, Header(description="The ETag of what the client has; 304 if it is the same.")]
UNCHANGED: dict[int | str, dict[str, Any]] = {304: {"description": "It is as the client has it."}}


def tagged(answer: BaseModel, known: str | None) -> Response:
    """The answer with its ETag, or 304 if the client has it."""
    body = answer.model_dump_json().encode()
    tag = f'"{hashlib.blake2b(body, digest_size=12).hexdigest()}"'
    headers = {"ETag": tag, "Cache-Control": "private, no-cache"}
    if known is not None and ("*" in known or tag in known):
        return Response(status_code=304, headers=headers)
    return Response(body, media_type="application/json", headers=headers)
