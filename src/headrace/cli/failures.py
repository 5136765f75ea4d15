"""`headrace failures`: failed jobs by what went wrong, and where."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from headrace.cli.opening import with_app
from headrace.cli.options import AsJson, FilterText, Schema, Url  # noqa: TC001 - typer reads them
from headrace.cli.output import note, print_json, print_table, show_relative

if TYPE_CHECKING:
    from datetime import datetime

    from headrace.app import Headrace
    from headrace.search import Failures

COLUMNS = ("FAILURE", "JOBS", "TYPE", "PLACE", "FIRST", "LAST", "TASKS", "EXAMPLE", "MESSAGE")


def failures(
    filter_text: FilterText = "",
    limit: Annotated[int, typer.Option("--limit", min=1, help="At most so many groups.")] = 20,
    url: Url = None,
    schema: Schema = "headrace",
    as_json: AsJson = False,
) -> None:
    """Group failed jobs by exception and place, the most frequent first.

    `headrace jobs list failure:…` lists the jobs of one, `headrace jobs retry --matching failure:…` retries them.
    """

    async def read(app: Headrace) -> tuple[Failures, datetime]:
        return await app.search.failures(filter_text, limit=limit), await (await app.database()).value("read_clock")

    groups, now = with_app(url, schema, read)
    if as_json:
        print_json(list(groups))
    else:
        rows = [
            [
                each.failure, f"{each.count:,}", each.type, each.place, show_relative(each.first_seen_at, now),
                show_relative(each.last_seen_at, now), ", ".join(each.tasks), str(each.example),
                (each.message or "").strip().partition("\n")[0],
            ]
            for each in groups
        ]  # fmt: skip
        print_table(COLUMNS, rows, empty="no failed jobs", cut_last=True)
    if groups.partial:
        note(f"searched {groups.searched}")
