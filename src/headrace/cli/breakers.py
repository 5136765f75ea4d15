"""`headrace breakers`: the switches that stop calling a failing service."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from headrace.cli.opening import with_app
from headrace.cli.options import AsJson, Schema, Url  # noqa: TC001 - typer reads annotations
from headrace.cli.output import print_json, print_table, say, show_time

if TYPE_CHECKING:
    from headrace.limits import BreakerInfo

COLUMNS = ("BREAKER", "STATE", "SINCE", "SUCCEEDED", "FAILED")
Name = Annotated[str, typer.Argument(help="The breaker.")]
group = typer.Typer(help="List breakers, and hold them open or closed.", no_args_is_help=True)


@group.command("list")
def list_breakers(url: Url = None, schema: Schema = "headrace", as_json: AsJson = False) -> None:
    """List the breakers, and what they have counted since they came to their state."""
    breakers = with_app(url, schema, lambda app: app.breakers.list())
    if as_json:
        print_json(breakers)
    else:
        print_table(COLUMNS, [_row(breaker) for breaker in breakers], empty="there are no breakers")


def _row(breaker: BreakerInfo) -> list[str]:
    state = f"{breaker.forced} (forced)" if breaker.forced else breaker.state.replace("_", " ")
    since = "" if breaker.since is None else show_time(breaker.since)
    return [breaker.name, state, since, str(breaker.succeeded), str(breaker.failed)]


@group.command("open")
def open_breaker(name: Name, url: Url = None, schema: Schema = "headrace") -> None:
    """Hold a breaker open: no job that needs the service starts."""
    _force(name, "open", url, schema)


@group.command("close")
def close_breaker(name: Name, url: Url = None, schema: Schema = "headrace") -> None:
    """Hold a breaker closed, whatever fails."""
    _force(name, "closed", url, schema)


@group.command("reset")
def reset_breaker(name: Name, url: Url = None, schema: Schema = "headrace") -> None:
    """Close a breaker and let it judge again."""
    _force(name, None, url, schema)


def _force(name: str, state: Literal["open", "closed"] | None, url: str | None, schema: str) -> None:
    with_app(url, schema, lambda app: app.breakers.force(name, state))
    say(f'breaker "{name}" ' + (f"is held {state}" if state else "is closed, and judges again"))
