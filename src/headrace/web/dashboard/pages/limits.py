"""Limits and breakers: what bounds when jobs may start, and how far it is used."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Literal

from fastapi import APIRouter, Form, Request, Response

from headrace.errors import ConfigurationError, UnknownLimit
from headrace.limits import Ageing, Concurrency, FairShare, Limit, LimitInfo, Order, RateLimit
from headrace.web.dashboard.reading import read_duration, write_duration
from headrace.web.dashboard.rendering import page
from headrace.web.dashboard.requests import App, Controller, Overseer, PageRoute, back

router = APIRouter(route_class=PageRoute)
Text = Annotated[str, Form()]
KINDS = (("concurrency", "Concurrency: so many at once"), ("rate", "Rate: so many starts in a time"),
         ("order", "Order: one at a time for each key"), ("fair", "Fair: keys take turns"),
         ("ageing", "Ageing: waiting raises priority"))  # fmt: skip


@router.get("/limits")
async def list_limits(request: Request, who: Overseer, app: App) -> Response:
    """All limits, and all breakers."""
    limits = await app.limits.list()
    return page(
        request, who, "limits.html", title="Limits", active="limits", now=await app.now(), kinds=KINDS,
        limits=[limit for limit in limits if limit.kind != "breaker"], breakers=await app.breakers.list(),
        of_breaker={limit.name: limit for limit in limits if limit.kind == "breaker"}, as_text=write_duration,
        tasks=app.task_names(), queues=[queue.name for queue in await app.list_queues()], timedelta=timedelta,
    )  # fmt: skip


@router.post("/limits/create")
async def create_limit(
    request: Request, who: Controller, app: App, kind: Text, of: Text, bound: Annotated[int, Form()] = 1,
    per: Text = "1s", burst: Annotated[int, Form()] = 1, key: Text = "",
) -> Response:  # fmt: skip
    """Adds one."""
    limit = _limit(kind, bound=bound, per=read_duration(per or "1s"), burst=burst, key=key or None, name=None)
    what, _, name = of.partition(":")
    if what not in ("queue", "task") or not name:
        raise ConfigurationError('a limit applies to "queue:NAME" or "task:NAME"')
    said = await app.limits.set(
        limit, queue=name if what == "queue" else None, tasks=[name] if what == "task" else None
    )
    return back(request, f'Limit "{said}" is set. Workers follow with their next claim.')


@router.post("/limits/{name:path}/edit")
async def edit_limit(
    request: Request, who: Controller, app: App, name: str, bound: Annotated[int, Form()] = 1, per: Text = "1s",
    burst: Annotated[int, Form()] = 1,
) -> Response:  # fmt: skip
    """Changes one."""
    found = await _find(app, name)
    limit = _limit(
        found.kind, bound=bound, per=read_duration(per or "1s"), burst=burst, key=found.key, name=found.name,
        settings=found.settings,
    )  # fmt: skip
    await app.limits.set(limit, queue=found.queue, tasks=found.tasks)
    return back(request, f'Limit "{name}" is changed. Workers follow with their next claim.')


@router.post("/limits/{name:path}/remove")
async def remove_limit(request: Request, who: Controller, app: App, name: str) -> Response:
    """Removes one."""
    await app.limits.remove(name)
    return back(request, f'Limit "{name}" is removed.')


@router.post("/breakers/{name:path}/force")
async def force_breaker(
    request: Request, who: Controller, app: App, name: str, state: Annotated[Literal["open", "closed", ""], Form()] = ""
) -> Response:
    """Holds one open or closed, or lets it judge again."""
    await app.breakers.force(name, state or None)
    return back(request, f'Breaker "{name}" ' + (f"is held {state}." if state else "is closed, and judges again."))


async def _find(app: App, name: str) -> LimitInfo:
    found = next((limit for limit in await app.limits.list() if limit.name == name), None)
    if found is None:
        raise UnknownLimit(f'there is no limit "{name}"')
    return found


def _limit(
    kind: str, *, bound: int, per: timedelta, burst: int, key: str | None, name: str | None,
    settings: dict[str, object] | None = None,
) -> Limit:  # fmt: skip
    match kind:
        case "concurrency":
            return Concurrency(bound, key=key, name=name)
        case "rate":
            return RateLimit(bound, per, burst, key=key, name=name)
        case "order":
            on_failure = "skip" if (settings or {}).get("on_failure") == "skip" else "hold"
            return Order(key, on_failure, name=name)  # type: ignore[arg-type]
        case "fair":
            return FairShare(key or "tenant", (settings or {}).get("weights") or {})  # type: ignore[arg-type]
        case "ageing":
            return Ageing(per)
        case _:
            raise ConfigurationError(f'there is no kind of limit "{kind}" that can be set here')
