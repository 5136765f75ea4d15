"""The plans of whatever a connection runs, statements inside functions included, as auto_explain reports them."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from psycopg import Connection, sql
    from psycopg.errors import Diagnostic

SETTINGS = {
    "log_min_duration": "0", "log_nested_statements": "on", "log_format": "json", "log_analyze": "on", "log_timing": "off",
}  # fmt: skip
LARGE_ROWS = 1000
"""Tables up to this size may be read from end to end."""


@dataclass(frozen=True)
class Scan:
    """One table that was read."""

    kind: str
    table: str | None
    index: str | None
    rows_seen: float


class Plans:
    """Listens to one superuser's connection.

    Args:
        conn: Whose statements.
        large: The tables that must not be read from end to end; default: those that are large.
    """

    def __init__(self, conn: Connection, large: set[str] | None = None) -> None:
        self._conn = conn
        self._plans: list[dict[str, Any]] = []
        conn.execute("load 'auto_explain'")
        for name, value in SETTINGS.items():
            conn.execute(f"set auto_explain.{name} = {value}")
        conn.execute("set client_min_messages = log")
        conn.add_notice_handler(self._keep)
        self._large = large or _large_tables(conn)

    def _keep(self, diagnostic: Diagnostic) -> None:
        _, found, plan = (diagnostic.message_primary or "").partition("plan:\n")
        if found:
            self._plans.append(json.loads(plan)["Plan"])

    def of(self, statement: str | sql.Composed, parameters: Any = None) -> list[Scan]:
        """Run the statement, undo it, and return what it read, and how."""
        with self._conn.transaction(force_rollback=True):
            self._conn.execute("select pg_advisory_xact_lock(78)")  # other processes of the run use the same database
            self._plans.clear()
            self._conn.execute(statement, parameters)
            self._conn.execute("select")  # ends the statement before it, which is explained when it ends
            return [scan for plan in self._plans for scan in _scans(plan)]

    def sequential(self, scans: list[Scan]) -> list[Scan]:
        """Those that read a large table from end to end."""
        return [scan for scan in scans if scan.kind == "Seq Scan" and scan.table in self._large]


def _large_tables(conn: Connection) -> set[str]:
    rows = conn.execute(
        "select relname from pg_class where relnamespace = 'headrace'::regnamespace and relkind = 'r' and reltuples > %s",
        [LARGE_ROWS],
    )
    return {name for (name,) in rows}


def _scans(node: dict[str, Any]) -> Iterator[Scan]:
    loops = node.get("Actual Loops", 0)
    if loops and node["Node Type"].endswith("Scan"):
        rows = (node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * loops
        yield Scan(node["Node Type"], node.get("Relation Name"), node.get("Index Name"), rows)
    for child in node.get("Plans", []):
        yield from _scans(child)


def indexes(scans: list[Scan]) -> set[str]:
    """The indexes that were used; those of partitions as table(columns)."""
    name = re.compile(r"^(.+?)(?:_short|_normal|_long)?_\d{8}_(.+)_idx\d*$")
    return {name.sub(r"\1(\2)", scan.index) for scan in scans if scan.index}


def days(scans: list[Scan], parent: str) -> set[str]:
    """The days of the partitions that were read."""
    names = {scan.table or "" for scan in scans} | {scan.index or "" for scan in scans}
    return {day for name in names for day in re.findall(rf"^{parent}\w*_(\d{{8}})", name)}
