"""Types of fields that several requests share: each refuses what cannot be stored, and says so in the documentation."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, Any

from fastapi import Query
from pydantic import (
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    StringConstraints,
)

MAX_SECONDS = 10 * 366 * 86_400
"""Ten years: longer waits are mistakes."""

_RFC3339 = re.compile(r"\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}(:\d{2}(\.\d+)?)?([Zz]|[+-]\d{2}:?\d{2})", re.ASCII)
NO_NUL = r"^[^\x00]*$"


def _is_rfc3339(value: Any) -> Any:
    if isinstance(value, str) and not _RFC3339.fullmatch(value):
        raise ValueError("must be a time with its zone, such as 2026-11-25T08:00:00Z")
    if isinstance(value, int | float):
        raise ValueError("must be a time as text, such as 2026-11-25T08:00:00Z")
    return value


def _is_number(value: Any) -> Any:
    if isinstance(value, str | bool):
        raise ValueError("must be a whole number")
    return value


Whole = Annotated[int, BeforeValidator(_is_number)]
"""JSON's whole numbers: 23.0 is one, "23" and true are none."""

Name = Annotated[str, StringConstraints(min_length=1, max_length=300, pattern=NO_NUL)]
Text = Annotated[str, StringConstraints(max_length=2000, pattern=NO_NUL)]
Moment = Annotated[AwareDatetime, BeforeValidator(_is_rfc3339)]
Seconds = Annotated[float, Field(strict=True, ge=0, le=MAX_SECONDS, allow_inf_nan=False)]
MoreThanNothing = Annotated[float, Field(strict=True, ge=0.001, le=MAX_SECONDS, allow_inf_nan=False)]
Number = Annotated[Whole, Field(ge=-(2**31), le=2**31 - 1)]
Count = Annotated[Whole, Field(ge=0, le=2**31 - 1)]
Priority = Annotated[Whole, Field(ge=-32_768, le=32_767)]
Yes = StrictBool
Json = Annotated[Any, Field()]
Object = dict[str, Any]


FilterText = Annotated[
    str,
    Query(
        max_length=2000,
        description="Which jobs, in the filter language: `state:failed task:billing.* args.customer=42 age<1d`. "
        "Default: all.",
        examples=["state:failed age<1d"],
    ),
]


class Request(BaseModel):
    """A body that was sent: fields that nobody knows are refused, since they are mistakes."""

    model_config = ConfigDict(extra="forbid")


class Answer(BaseModel):
    """A body that is sent back."""

    model_config = ConfigDict(from_attributes=True)


def seconds(given: float | None) -> timedelta | None:
    """A duration."""
    return None if given is None else timedelta(seconds=given)


def total(given: timedelta | None) -> float | None:
    """A duration, as a number of seconds."""
    return None if given is None else given.total_seconds()
