"""What commands print: tables and colours on a terminal, plain columns when piped, JSON for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from headrace._as_json import as_json

GAP = 2
"""Between columns."""

LEAST_ROOM = 10
"""A column with less is not worth showing."""

UNBROKEN_COLUMNS = 2
"""On a narrow terminal, the columns after these are folded first."""

_STATE_STYLES = {
    "blocked": "magenta", "scheduled": "blue", "queued": "cyan", "running": "yellow",
    "succeeded": "green", "failed": "bold red", "cancelled": "dim",
    "retried": "yellow", "lost": "red", "parked": "magenta", "snoozed": "blue", "handed_back": "blue",
    "waiting": "magenta", "done": "green", "timed_out": "red",
}  # fmt: skip


def stdout() -> Console:
    """Standard output, without markup: what is printed comes from databases."""
    return Console(markup=False, highlight=False, emoji=False)


def stderr() -> Console:
    """Standard error, likewise."""
    return Console(stderr=True, markup=False, highlight=False, emoji=False)


def say(text: str | Text = "") -> None:
    """Print a line."""
    stdout().print(text if isinstance(text, Text) else visible(text), soft_wrap=True)


def note(text: str) -> None:
    """Print a line for people, on standard error."""
    stderr().print(visible(text), soft_wrap=True)


def print_error(message: str) -> None:
    """Print what went wrong, on standard error."""
    stderr().print(Text.assemble(("error: ", "bold red"), visible(message)), soft_wrap=True)


def print_json(document: Any) -> None:
    """Print one JSON document."""
    sys.stdout.write(json.dumps(document, indent=2, ensure_ascii=False, default=as_json) + "\n")


def print_table(
    columns: Sequence[str], rows: Sequence[Sequence[str | Text]], *, empty: str, cut_last: bool = False
) -> None:
    """Print rows under headings; piped, as columns that are never cut.

    Args:
        columns: The headings.
        rows: Their cells.
        empty: What to say if there is none.
        cut_last: On a terminal the last column gets what room is left, or goes if that is none.
    """
    if not rows:
        note(empty)
        return
    console = stdout()
    if not console.is_terminal:
        _print_columns(columns, rows)
        return
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, GAP, 0, 0))
    for number, column in enumerate(columns):
        table.add_column(column, no_wrap=number < UNBROKEN_COLUMNS, overflow="fold")
    for row in rows:
        table.add_row(*(cell if isinstance(cell, Text) else Text(visible(cell)) for cell in row))
    if cut_last:
        _cut_last(table, console.width - sum(_widths([columns, *rows])[:-1]) - GAP * (len(columns) - 1))
    console.print(table)


def _cut_last(table: Table, room: int) -> None:
    *_, last = table.columns
    if room < LEAST_ROOM:
        table.columns.pop()
        return
    last.no_wrap, last.overflow, last.max_width = True, "ellipsis", room


def _widths(lines: Sequence[Sequence[str | Text]]) -> list[int]:
    return [max(cell_len(str(cell)) for cell in column) for column in zip(*lines, strict=True)]


def _print_columns(columns: Sequence[str], rows: Sequence[Sequence[str | Text]]) -> None:
    lines = [list(columns)] + [[" ".join(visible(str(cell)).split()) for cell in row] for row in rows]
    widths = _widths(lines)
    for line in lines:
        say((" " * GAP).join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def visible(text: str) -> str:
    """Text without what would drive the terminal: jobs carry what strangers wrote."""
    return "".join(c if c.isprintable() or c in "\n\t" else "\ufffd" for c in text)


def state_text(state: str) -> Text:
    """A state, or an attempt's outcome, in its colour."""
    return Text(state, _STATE_STYLES.get(state, ""))


def show_time(moment: datetime | None) -> str:
    """A moment in the reader's time zone."""
    return "" if moment is None else moment.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def show_duration(seconds: float) -> str:
    """A duration in its two largest units."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    whole = int(seconds)
    for unit_s, unit, smaller_s, smaller in ((86400, "d", 3600, "h"), (3600, "h", 60, "m"), (60, "m", 1, "s")):
        if whole >= unit_s:
            rest = whole % unit_s // smaller_s
            return f"{whole // unit_s}{unit} {rest}{smaller}" if rest else f"{whole // unit_s}{unit}"
    raise AssertionError("unreachable")


def show_relative(moment: datetime | None, now: datetime) -> str:
    """How long ago, or in how long."""
    if moment is None:
        return ""
    seconds = (moment - now).total_seconds()
    return f"in {show_duration(seconds)}" if seconds > 0 else f"{show_duration(-seconds)} ago"


def show_json(value: Any) -> str:
    """A JSON value in one line."""
    return json.dumps(value, ensure_ascii=False, default=as_json)
