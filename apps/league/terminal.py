"""What the league's commands print for people."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from apps.league.direct import FunctionRun
    from apps.league.stats import CacheTag

PIPE_WIDTH = 140
"""Where the output is no terminal, it is as wide as a log's reader can take."""

console = Console(width=None if sys.stdout.isatty() else PIPE_WIDTH)
complaints = Console(stderr=True, width=None if sys.stderr.isatty() else PIPE_WIDTH)


def print_error(message: str) -> None:
    """Say on standard error what went wrong."""
    complaints.print("Error:", style="bold red", end=" ")
    complaints.print(message, markup=False, highlight=False, soft_wrap=True)


def print_results(tag: CacheTag, rows: list[dict[str, Any]], caption: str | None) -> None:
    """Print the rows under a cache tag as a table."""
    table = Table(title=tag.name, caption=caption, box=box.SIMPLE)
    for column in tag.columns:
        is_number = all(isinstance(row[column], int | float | None) for row in rows)
        table.add_column(column.replace("_", " "), justify="right" if is_number else "left")
    for row in rows:
        table.add_row(*(_cell(row[column]) for column in tag.columns))
    console.print(table)


def print_run(run: FunctionRun) -> None:
    """Print what came of one call of a statistics function."""
    if run.error is None:
        console.print(f"[green]ok    [/] {run.function.rpc_name:<46}", end="")
        console.print(f"{run.rows:>9,} rows {run.seconds:>8.3f} s", highlight=False)
    else:
        console.print(f"[red]failed[/] {run.function.rpc_name:<46}", end="")
        console.print(run.error, markup=False, highlight=False, soft_wrap=True)


def _cell(value: object) -> Text:
    """Return a value as plain text: names are nobody's markup."""
    if value is None:
        return Text()
    return Text(f"{round(value, 3):g}" if isinstance(value, float) else str(value))
