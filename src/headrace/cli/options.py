"""Options and arguments that several commands share, and how their values are read."""

from __future__ import annotations

import enum
import json
import re
from datetime import timedelta
from typing import Annotated, Any
from uuid import UUID

import typer

Target = Annotated[
    str,
    typer.Argument(metavar="MODULE:APP", help="The app, such as shop.jobs:app for the variable app in shop/jobs.py."),
]
Url = Annotated[
    str | None,
    typer.Option(
        "--url", metavar="URL", help="The database. Default: HEADRACE_URL, else the embedded server of this directory."
    ),
]
Schema = Annotated[str, typer.Option("--schema", metavar="NAME", help="The schema that holds headrace's tables.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document, for programs.")]


class LogLevel(enum.StrEnum):
    """How much workers say."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class LogFormat(enum.StrEnum):
    """How lines on standard error look."""

    PLAIN = "plain"
    CONSOLE = "console"
    JSON = "json"


LineFormat = Annotated[
    LogFormat,
    typer.Option(
        "--log-format", help="Lines for people (plain; console, with colours and fields) or for programs (json)."
    ),
]
Level = Annotated[LogLevel, typer.Option("--log-level", help="How much the workers say on standard error.")]

_UNITS_S = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|s|m|h|d|w))+")
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d|w)")


def read_duration(text: str | timedelta) -> timedelta:
    """30s, 5m, 1h30m, 2d; a plain number is seconds."""
    if isinstance(text, timedelta):
        return text
    compact = text.replace(" ", "")
    if re.fullmatch(r"\d+(?:\.\d+)?", compact):
        compact += "s"
    if not _DURATION.fullmatch(compact):
        raise typer.BadParameter(f'"{text}" is not a duration: write 30s, 5m, 1h30m or 2d')
    try:
        return timedelta(seconds=sum(float(number) * _UNITS_S[unit] for number, unit in _PART.findall(compact)))
    except OverflowError:
        raise typer.BadParameter(f'"{text}" is too long') from None


def read_job_id(text: str | UUID) -> UUID:
    """A job's id."""
    return _read_id(text, "job")


def read_workflow_id(text: str | UUID) -> UUID:
    """A workflow's id."""
    return _read_id(text, "workflow")


def _read_id(text: str | UUID, noun: str) -> UUID:
    if isinstance(text, UUID):
        return text
    try:
        return UUID(text)
    except ValueError:
        raise typer.BadParameter(
            f'"{text}" is not a {noun}\'s id: those are UUIDs, as `headrace {noun}s list` shows'
        ) from None


def read_json(text: str, what: str) -> Any:
    """Any JSON; `what` begins the sentence that says that it is none."""
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise typer.BadParameter(f"{what} not JSON: {error.msg} at character {error.pos + 1} of {text}") from None


def read_arguments_object(text: str) -> dict[str, Any]:
    """The value of --args."""
    value = read_json(text, "--args is")
    if not isinstance(value, dict):
        raise typer.BadParameter(f"--args must be a JSON object of the task's parameters, not {text}")
    return value


def read_bound(text: str | int) -> int | None:
    """A number, or "none" for no bound."""
    if text == "none":
        return None
    if not str(text).isdecimal():
        raise typer.BadParameter(f'"{text}" is neither a number nor "none"')
    return int(text)


JobIds = Annotated[
    list[UUID] | None, typer.Argument(metavar="ID...", parser=read_job_id, help="Ids of jobs.", show_default=False)
]
FilterText = Annotated[
    str,
    typer.Argument(metavar="FILTER", help="Which jobs, such as 'state:failed task:billing.*'; see docs/filters.md."),
]
WorkflowId = Annotated[UUID, typer.Argument(metavar="ID", parser=read_workflow_id, help="The workflow's id.")]
