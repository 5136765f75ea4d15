"""Events: something named that has happened, once, and that jobs wait for."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from pydantic_core import PydanticSerializationError, to_json

from headrace._arguments import find_unstorable
from headrace.errors import ConfigurationError, InvalidArguments
from headrace.job import check_words

MAX_PAYLOAD_BYTES = 256 * 1024
KEEP_EVENTS = timedelta(days=30)


@dataclass(frozen=True, slots=True, kw_only=True)
class EventInfo:
    """An event that was emitted.

    Attributes:
        name: What has happened.
        payload: What its first emitter said of it.
        emitted_at: When that was.
        expires_at: It is forgotten after this, and may be emitted anew.
    """

    name: str
    payload: Any
    emitted_at: datetime
    expires_at: datetime


def emit_parameters(name: str, payload: Any, keep: timedelta) -> dict[str, Any]:
    """The parameters of emit_event.sql, all as text, so that any driver can carry them.

    Raises:
        InvalidArguments: The payload cannot be stored.
        ConfigurationError: The name cannot, or `keep` is no time.
    """
    if keep <= timedelta(0):
        raise ConfigurationError(f'event "{name}": keep must be more than nothing, not {keep}')
    return {"event": check_words("event", name), "payload": _pack(name, payload), "keep_s": str(keep.total_seconds())}


def _pack(name: str, payload: Any) -> str:
    for path, why in find_unstorable(payload):
        where = "".join(f".{part}" for part in path).encode("utf-8", "backslashreplace").decode()
        raise InvalidArguments(f'event "{name}": payload{where} {why}')
    try:
        packed = to_json(payload)
    except (PydanticSerializationError, ValueError, RecursionError) as error:
        raise InvalidArguments(f'event "{name}": the payload cannot be written as JSON: {error}') from None
    if len(packed) > MAX_PAYLOAD_BYTES:
        raise InvalidArguments(
            f'event "{name}": the payload is {len(packed)} bytes long, at most {MAX_PAYLOAD_BYTES} are allowed: '
            "store it elsewhere and pass its key"
        )
    return packed.decode()
