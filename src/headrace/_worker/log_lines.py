"""How worker processes and their supervisor write to standard error: time, level, who, message."""

from __future__ import annotations

import logging
import sys

from headrace.context import hide_secrets


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


def log_to_stderr(level: str, who: str) -> LogLines:
    """Send every logger's records of this level and above to standard error."""
    lines = LogLines(who)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(lines)
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    return lines
