"""The static files: in the wheel, named with a digest of what is in them, compressed once."""

from __future__ import annotations

import gzip
import hashlib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from fastapi import APIRouter, HTTPException, Request, Response

_TYPES = {"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8", "svg": "image/svg+xml"}
_FOREVER = "public, max-age=31536000, immutable"
_DIGEST_CHARS = 10
_FOLDER = files("headrace.web") / "dashboard" / "static"

router = APIRouter()


@dataclass(frozen=True)
class Asset:
    """One static file."""

    content: bytes
    compressed: bytes
    media_type: str
    digest: str


@cache
def assets() -> dict[str, Asset]:
    """The static files by name; read once."""
    return {entry.name: _asset(entry.name, entry.read_bytes()) for entry in _FOLDER.iterdir() if entry.is_file()}


def _asset(name: str, content: bytes) -> Asset:
    return Asset(
        content=content,
        compressed=gzip.compress(content, mtime=0),
        media_type=_TYPES[name.rpartition(".")[2]],
        digest=hashlib.sha256(content).hexdigest()[:_DIGEST_CHARS],
    )


def asset_path(name: str) -> str:
    """Where a static file is, below the dashboard's own path."""
    return f"/static/{assets()[name].digest}/{name}"


@router.get("/static/{digest}/{name}")
async def static_file(request: Request, digest: str, name: str) -> Response:
    """A static file, for ever if it is asked for by its digest. There is nothing in it to protect."""
    asset = assets().get(name)
    if asset is None:
        raise HTTPException(404, f"there is no file {name}")
    headers = {
        "Cache-Control": _FOREVER if digest == asset.digest else "no-cache",
        "X-Content-Type-Options": "nosniff",
        "Vary": "Accept-Encoding",
    }
    if "gzip" in request.headers.get("accept-encoding", ""):
        return Response(asset.compressed, media_type=asset.media_type, headers=headers | {"Content-Encoding": "gzip"})
    return Response(asset.content, media_type=asset.media_type, headers=headers)
