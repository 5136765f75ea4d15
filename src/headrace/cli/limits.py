"""`headrace limits`: what bounds when jobs may start, and changes of it at run time."""

from __future__ import annotations

import enum
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from headrace.cli.opening import with_app
from headrace.cli.options import AsJson, Schema, Url, read_duration
from headrace.cli.output import print_json, print_table, say, show_duration
from headrace.limits import Ageing, Concurrency, FairShare, Order, RateLimit

if TYPE_CHECKING:
    from headrace.limits import Limit, LimitInfo

COLUMNS = ("LIMIT", "KIND", "OF", "BY", "BOUND", "RUNNING", "KEYS", "SET BY")
group = typer.Typer(help="List limits, and change them at run time.", no_args_is_help=True)


class Kind(enum.StrEnum):
    """What can be set from here; breakers are declared in code."""

    CONCURRENCY = "concurrency"
    RATE = "rate"
    ORDER = "order"
    FAIR = "fair"
    AGEING = "ageing"


@group.command("list")
def list_limits(url: Url = None, schema: Schema = "headrace", as_json: AsJson = False) -> None:
    """List the limits, and how many jobs run under each."""
    limits = with_app(url, schema, lambda app: app.limits.list())
    if as_json:
        print_json(limits)
    else:
        print_table(COLUMNS, [_row(limit) for limit in limits], empty="there are no limits")


def _row(limit: LimitInfo) -> list[str]:
    of = f"queue {limit.queue}" if limit.queue is not None else ", ".join(limit.tasks or [])
    by = "operator" if limit.edited else "code"
    return [
        limit.name, limit.kind, of, limit.key or "", _bound(limit), str(limit.held), str(limit.keys),
        by if limit.enabled else "removed by operator",
    ]  # fmt: skip


def _bound(limit: LimitInfo) -> str:
    span = show_duration(limit.span_s)
    match limit.kind:
        case "concurrency":
            return str(limit.bound)
        case "rate":
            return f"{limit.bound} in {span}, burst {limit.burst}"
        case "order":
            return str(limit.settings["on_failure"])
        case "breaker":
            return f"{limit.settings['ratio']:.0%} of {limit.settings['minimum']} in {span}"
        case "fair":
            return ", ".join(f"{key}: {weight:g}" for key, weight in limit.settings["weights"].items())
        case _:
            return span


@group.command("set")
def set_limit(
    kind: Annotated[Kind, typer.Argument(help="What it bounds.")],
    queue: Annotated[str | None, typer.Option("--queue", metavar="QUEUE", help="For the jobs of this queue.")] = None,
    task: Annotated[
        list[str] | None, typer.Option("--task", metavar="TASK", help="Or of this task; may be repeated.")
    ] = None,
    key: Annotated[str | None, typer.Option("--key", metavar="KEY", help='By "tenant", or by this argument.')] = None,
    bound: Annotated[int, typer.Option("--bound", metavar="N", help="Slots; starts of a rate.")] = 1,
    per: Annotated[
        timedelta, typer.Option("--per", metavar="DURATION", parser=read_duration, help="Of a rate; a step of ageing.")
    ] = timedelta(seconds=1),
    burst: Annotated[int, typer.Option("--burst", metavar="N", help="Of a rate: so many at once after a pause.")] = 1,
    skip: Annotated[bool, typer.Option("--skip", help="Of an order: a retry does not hold its key.")] = False,
    weight: Annotated[
        list[str] | None, typer.Option("--weight", metavar="KEY=N", help="Of fair turns; may be repeated.")
    ] = None,
    name: Annotated[str | None, typer.Option("--name", metavar="NAME", help="Default: as code would name it.")] = None,
    url: Url = None,
    schema: Schema = "headrace",
) -> None:
    """Add a limit, or change the one of the same name; workers follow with their next claim."""
    limit: Limit
    match kind:
        case Kind.CONCURRENCY:
            limit = Concurrency(bound, key=key, name=name)
        case Kind.RATE:
            limit = RateLimit(bound, per, burst, key=key, name=name)
        case Kind.ORDER:
            limit = Order(key, "skip" if skip else "hold", name=name)
        case Kind.FAIR:
            limit = FairShare(key or "tenant", dict(_read_weight(text) for text in weight or []))
        case Kind.AGEING:
            limit = Ageing(per)
    said = with_app(url, schema, lambda app: app.limits.set(limit, queue=queue, tasks=task))
    say(f'limit "{said}" is set')


def _read_weight(text: str) -> tuple[str, float]:
    key, _, weight = text.rpartition("=")
    try:
        return key, float(weight)
    except ValueError:
        raise typer.BadParameter(f'"{text}" is not KEY=N') from None


@group.command("remove")
def remove_limit(
    name: Annotated[str, typer.Argument(help="The limit.")], url: Url = None, schema: Schema = "headrace"
) -> None:
    """Remove a limit. One that code declares stays removed until it is set again."""
    with_app(url, schema, lambda app: app.limits.remove(name))
    say(f'limit "{name}" is removed')
