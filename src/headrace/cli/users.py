"""`headrace users`: who may sign in to the dashboard."""

from __future__ import annotations

import dataclasses
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from headrace.access import Role
from headrace.cli.access_options import RoleName, Tenant  # noqa: TC001 - typer reads them
from headrace.cli.opening import with_app
from headrace.cli.options import AsJson, Schema, Url  # noqa: TC001 - typer reads them
from headrace.cli.output import note, print_json, print_table, say, show_time

if TYPE_CHECKING:
    from headrace.access import UserInfo
    from headrace.app import Headrace

COLUMNS = ("NAME", "ROLE", "TENANT", "PASSWORD", "SESSIONS", "CREATED", "BY", "LAST SIGNED IN")
Name = Annotated[str, typer.Argument(metavar="NAME", help="The user.")]
group = typer.Typer(help="Who may sign in to the dashboard.", no_args_is_help=True)


@group.command("create")
def create_user(
    name: Name,
    role: RoleName,
    tenant: Tenant = None,
    password: Annotated[
        bool, typer.Option("--password", help="Ask for a password here, instead of printing a link to choose one.")
    ] = False,
    url: Url = None,
    schema: Schema = "headrace",
) -> None:
    """Add a user, and print what to open to choose a password, once, within an hour."""
    chosen = _ask_password() if password else None

    async def create(app: Headrace) -> str:
        await app.access.create_user(name, role=Role.named(role), tenant=tenant, password=chosen)
        return "" if password else await app.access.invite(name)

    token = with_app(url, schema, create)
    note(f'user "{name}", {role}' + (f', of tenant "{tenant}"' if tenant else ""))
    if token:
        _print_link(token)


@group.command("invite")
def invite_user(name: Name, url: Url = None, schema: Schema = "headrace") -> None:
    """Print what to open to choose a password, once, within an hour; for somebody who has forgotten theirs, too."""
    _print_link(with_app(url, schema, lambda app: app.access.invite(name)))


@group.command("list")
def list_users(url: Url = None, schema: Schema = "headrace", as_json: AsJson = False) -> None:
    """List the users."""
    users = with_app(url, schema, lambda app: app.access.list_users())
    if as_json:
        print_json([dataclasses.asdict(user) | {"role": user.role.name.lower()} for user in users])
        return
    print_table(COLUMNS, [_row(user) for user in users], empty="there are no users: `headrace users create` adds one")


def _row(user: UserInfo) -> list[str]:
    return [
        user.name, user.role.name.lower(), user.tenant or "", "chosen" if user.has_password else "none yet",
        str(user.sessions), show_time(user.created_at), user.created_by, show_time(user.signed_in_at),
    ]  # fmt: skip


@group.command("passwd")
def set_password(name: Name, url: Url = None, schema: Schema = "headrace") -> None:
    """Give a user another password; it is asked for, or read from standard input. Signs them out everywhere."""
    chosen = _ask_password()
    with_app(url, schema, lambda app: app.access.set_password(name, chosen))
    say(f'user "{name}" has another password')


@group.command("remove")
def remove_user(name: Name, url: Url = None, schema: Schema = "headrace") -> None:
    """Remove a user, and sign them out everywhere."""
    with_app(url, schema, lambda app: app.access.remove_user(name))
    say(f'user "{name}" is removed')


def _ask_password() -> str:
    """Never an argument: those are in the shell's history, and in the list of processes."""
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\n")
    chosen: str = typer.prompt("New password", hide_input=True, confirmation_prompt=True, err=True)
    return chosen


def _print_link(token: str) -> None:
    note("Open this path where `headrace serve` serves, once, within an hour:")
    say(f"/login/first?token={token}")
