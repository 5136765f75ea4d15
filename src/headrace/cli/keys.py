"""`headrace keys`: API keys for programs."""

from __future__ import annotations

import dataclasses
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from headrace.access import Role
from headrace.cli.access_options import RoleName, Tenant  # noqa: TC001 - typer reads them
from headrace.cli.opening import with_app
from headrace.cli.options import AsJson, Schema, Url, read_duration
from headrace.cli.output import note, print_json, print_table, say, show_time

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headrace.access import KeyInfo
    from headrace.app import Headrace

COLUMNS = ("NAME", "PREFIX", "ROLE", "TENANT", "COUNTS", "CREATED", "BY", "LAST USED")
group = typer.Typer(help="API keys: what programs send as Authorization: Bearer KEY.", no_args_is_help=True)


@group.command("create")
def create_key(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What it is for.")],
    role: RoleName,
    tenant: Tenant = None,
    expires: Annotated[
        timedelta | None,
        typer.Option(
            "--expires", metavar="DURATION", parser=read_duration, help="From when on it does not count: 12h, 90d."
        ),
    ] = None,
    url: Url = None,
    schema: Schema = "headrace",
) -> None:
    """Make an API key and print it, this once: it is not kept."""
    key = with_app(
        url, schema, lambda app: app.access.create_key(name, role=Role.named(role), tenant=tenant, expires=expires)
    )
    note(f'key "{name}", {role}' + (f', of tenant "{tenant}"' if tenant else "") + ". It is shown this once:")
    say(key)


@group.command("list")
def list_keys(url: Url = None, schema: Schema = "headrace", as_json: AsJson = False) -> None:
    """List the API keys, those that do not count any more, too."""

    async def read(app: Headrace) -> tuple[Sequence[KeyInfo], datetime]:
        return await app.access.list_keys(), await (await app.database()).value("read_clock")

    keys, now = with_app(url, schema, read)
    if as_json:
        print_json([dataclasses.asdict(key) | {"role": key.role.name.lower()} for key in keys])
        return
    print_table(COLUMNS, [_row(key, now) for key in keys], empty="there are no keys: `headrace keys create` makes one")


def _row(key: KeyInfo, now: datetime) -> list[str]:
    if key.revoked_at is not None:
        counts = "revoked"
    elif key.expires_at is None:
        counts = "until revoked"
    else:
        counts = "expired" if key.expires_at <= now else f"until {show_time(key.expires_at)}"
    return [
        key.name, key.prefix, key.role.name.lower(), key.tenant or "", counts, show_time(key.created_at),
        key.created_by, show_time(key.used_at),
    ]  # fmt: skip


@group.command("revoke")
def revoke_key(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Its name, or its prefix.")],
    url: Url = None,
    schema: Schema = "headrace",
) -> None:
    """Let a key count no more, from the next request on."""
    with_app(url, schema, lambda app: app.access.revoke_key(name))
    say(f'key "{name}" counts no more')
