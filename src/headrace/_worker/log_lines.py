"""How worker processes, their children and their supervisor write to standard error.

Plain lines (time, level, who, message, job) need nothing but the standard library; the other formats are those of
`headrace.observe.logs`. A worker process hands its settings on to the processes for process tasks in the environment.
"""

from __future__ import annotations

import logging
import os
import sys
from typing import Literal, Protocol

from headrace.context import current_context, hide_secrets, is_running_here
from headrace.errors import ConfigurationError

LogFormat = Literal["plain", "console", "json"]
HANDED_ON = "HEADRACE_LOGS"
"""FORMAT:LEVEL, in the environment."""


class Who(Protocol):
    """What says which process wrote a line; may change."""

    who: str


class LogLines(logging.Formatter):
    """One line for each record.

    Attributes:
        who: Says which process wrote it; may change.
    """

    def __init__(self, who: str) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(who)s: %(message)s", "%Y-%m-%d %H:%M:%S")
        self.who = who

    def format(self, record: logging.LogRecord) -> str:
        """The line, and the traceback if there is one; what a handler says, without its arguments' secrets."""
        record.who = self.who
        return hide_secrets(super().format(record))

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the standard library's name
        """The line; one that a handler wrote ends with its job."""
        line = super().formatMessage(record)
        if not is_running_here() or hasattr(record, "headrace_job"):  # which says it already
            return line
        job = current_context().job
        return f"{line} [job {job.id}, task {job.task}, attempt {job.attempt}]"


def log_to_stderr(level: str, who: str, log_format: LogFormat = "plain") -> Who:
    """Send every logger's records of this level and above to standard error.

    Raises:
        ConfigurationError: The format is not plain, and structlog is not installed.
    """
    os.environ[HANDED_ON] = f"{log_format}:{level}"
    if log_format != "plain":
        try:
            from headrace.observe.logs import configure  # noqa: PLC0415 - an extra
        except ImportError as error:
            raise ConfigurationError(
                f"the log format {log_format} needs structlog: pip install 'headrace[observe]' ({error})"
            ) from error
        return configure(log_format, level=level, who=who)
    lines = LogLines(who)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(lines)
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    return lines


def log_as_told() -> None:
    """In a process for process tasks: write as the worker does."""
    log_format, _, level = os.environ.get(HANDED_ON, "").partition(":")
    if level:
        log_to_stderr(level, f"process {os.getpid()}", log_format)  # type: ignore[arg-type] # what was handed on
