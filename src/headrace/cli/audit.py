"""`headrace audit`: who did what."""

from __future__ import annotations

import dataclasses
import json
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from headrace.cli.opening import with_app
from headrace.cli.options import AsJson, Schema, Url, read_duration
from headrace.cli.output import note, print_json, print_table, say, show_duration, show_time

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headrace.app import Headrace
    from headrace.audit import AuditEntry

COLUMNS = ("NUMBER", "WHEN", "WHO", "SOURCE", "ACTION", "ON", "CHANGE")
group = typer.Typer(help="Who did what, from where, and what was it like before.")


@dataclasses.dataclass(frozen=True)
class _Where:
    url: str | None
    schema: str


@group.callback(invoke_without_command=True)
def list_audit(
    context: typer.Context,
    by: Annotated[str | None, typer.Option("--by", metavar="NAME", help="Only what they did.")] = None,
    action: Annotated[str | None, typer.Option("--action", metavar="ACTION", help="Only this: job.cancel.")] = None,
    kind: Annotated[str | None, typer.Option("--kind", metavar="KIND", help="Only what was done to: queue.")] = None,
    target: Annotated[str | None, typer.Option("--target", metavar="ID", help="Only what was done to this.")] = None,
    since: Annotated[
        timedelta | None,
        typer.Option("--since", metavar="DURATION", parser=read_duration, help="Not before: 2h."),
    ] = None,
    before: Annotated[
        int | None, typer.Option("--before", metavar="NUMBER", help="Only what came before this one: the next page.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="At most so many.")] = 20,
    url: Url = None,
    schema: Schema = "headrace",
    as_json: AsJson = False,
) -> None:
    """List what operators did, the latest first."""
    context.obj = _Where(url, schema)
    if context.invoked_subcommand is not None:
        return

    async def read(app: Headrace) -> Sequence[AuditEntry]:
        now: datetime = await (await app.database()).value("read_clock")
        return await app.audit.list(
            by=by, action=action, kind=kind, target=target, since=None if since is None else now - since,
            before=before, limit=limit,
        )  # fmt: skip

    entries = with_app(url, schema, read)
    if as_json:
        print_json(entries)
        return
    print_table(COLUMNS, [_row(entry) for entry in entries], empty="nothing was done", cut_last=True)
    if len(entries) == limit:
        note(f"more: --before {entries[-1].id}")


def _row(entry: AuditEntry) -> list[str]:
    source = f"{entry.source} {entry.address}" if entry.address else entry.source
    targets = f"{entry.count} {entry.kind}s" if entry.count > 1 and entry.kind == "job" else ", ".join(entry.targets)
    return [
        str(entry.id), show_time(entry.at), entry.by, source, entry.action, targets or entry.kind,
        _change(entry.before or {}, entry.after or {}),
    ]  # fmt: skip


def _change(before: dict[str, Any], after: dict[str, Any]) -> str:
    """What differs: name: before → after."""
    changed = [name for name in {**before, **after} if before.get(name) != after.get(name)]
    return ", ".join(f"{name}: {_show(before.get(name))} → {_show(after.get(name))}" for name in changed)


def _show(value: Any) -> str:
    return "-" if value is None else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


@group.command("keep")
def keep_audit(
    context: typer.Context,
    age: Annotated[timedelta, typer.Argument(metavar="DURATION", parser=read_duration, help="Such as 90d.")],
    url: Url = None,
    schema: Annotated[str | None, typer.Option("--schema", metavar="NAME")] = None,
) -> None:
    """Set how long the audit log is kept, 365 days if nobody does; whole months go."""
    with_app(url or context.obj.url, schema or context.obj.schema, lambda app: app.audit.keep(age))
    say(f"the audit log is kept for {show_duration(age.total_seconds())}")
