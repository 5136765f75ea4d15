"""Limits on what may run at the same time, how often, and in which order; and breakers."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path
from pydantic import Field

from headrace.errors import UnknownLimit, did_you_mean
from headrace.limits import Ageing, Breaker, Concurrency, FairShare, Limit, LimitKind, Order, RateLimit
from headrace.web.api.dependencies import Admin, App, Operator, Viewer, all_tenants
from headrace.web.api.fields import Answer, Count, MoreThanNothing, Name, Seconds, Whole
from headrace.web.api.fields import Request as Body
from headrace.web.api.problems import answers

router = APIRouter(tags=["limits"], dependencies=[all_tenants("limits and breakers")])
LimitName = Annotated[str, Path(max_length=1000, description="The limit.", examples=["mail"])]
AtLeastOne = Annotated[Whole, Field(ge=1, le=2**31 - 1)]


class LimitAnswer(Answer):
    """A limit."""

    name: str
    kind: LimitKind
    queue: str | None = Field(description="The queue to whose jobs it applies.")
    tasks: list[str] | None = Field(description="Or the tasks to whose jobs it applies, in whatever queue.")
    key: str | None = Field(description="What it counts by: tenant, or the name of an argument.")
    bound: int = Field(description="Slots, starts for each span, or probes.")
    span_s: float = Field(description="Of a rate; the window of a breaker; a step of ageing.")
    burst: int
    settings: dict[str, Any] = Field(description="What only some kinds have.")
    declared: bool = Field(description="Whether code declares it.")
    edited: bool = Field(description="Whether an operator has changed it: code does not change it back.")
    enabled: bool
    held: int = Field(description="Jobs that run under it now.")
    keys: int = Field(description="How many keys have started jobs.")


class LimitList(Answer):
    """All limits, by name."""

    limits: list[LimitAnswer]


class _Applies(Body):
    name: Name | None = Field(default=None, description="Default: made of the queue or tasks, the kind and the key.")
    queue: Name | None = Field(default=None, description="The queue to whose jobs it applies.", examples=["mail"])
    tasks: list[Name] | None = Field(
        default=None, min_length=1, description="Or the tasks to whose jobs it applies, in whatever queue."
    )


class _Keyed(_Applies):
    key: Name | None = Field(
        default=None, description="Count by key: tenant, or the name of an argument. Default: all together."
    )


class ConcurrencyBody(_Keyed):
    """At most so many jobs run at the same time."""

    kind: Literal["concurrency"]
    slots: Count = Field(description="How many. 0 lets none start.", examples=[5])


class RateBody(_Keyed):
    """So many jobs start in each span of time."""

    kind: Literal["rate"]
    starts: AtLeastOne = Field(description="How many starts in each span.")
    per_s: MoreThanNothing = Field(default=1.0, description="The span.")
    burst: AtLeastOne = Field(default=1, description="So many may start at once after a pause.")


class OrderBody(_Keyed):
    """The jobs of a key run one at a time, in the order of the line."""

    kind: Literal["order"]
    on_failure: Literal["hold", "skip"] = Field(
        default="hold", description="Whether the key waits for an attempt that is to be retried."
    )


class FairBody(_Applies):
    """The keys of a queue take turns."""

    kind: Literal["fair"]
    by: Name = Field(default="tenant", description="The key.")
    weights: dict[str, MoreThanNothing] = Field(
        default_factory=dict, description="How many turns a key gets where others get one."
    )


class AgeingBody(_Applies):
    """A queued job counts as of one priority more for each step that it has waited."""

    kind: Literal["ageing"]
    step_s: MoreThanNothing


class BreakerBody(_Applies):
    """Stops jobs that need a service while it fails."""

    kind: Literal["breaker"]
    failure_ratio: Annotated[float, Field(strict=True, gt=0, le=1)] = 0.5
    minimum: AtLeastOne = 10
    window_s: MoreThanNothing = 60.0
    cool_down_s: Seconds = 30.0
    probes: AtLeastOne = 1


LimitBody = Annotated[
    ConcurrencyBody | RateBody | OrderBody | FairBody | AgeingBody | BreakerBody, Field(discriminator="kind")
]


class BreakerAnswer(Answer):
    """A breaker."""

    name: str
    state: Literal["closed", "open", "half_open"]
    forced: Literal["closed", "open"] | None = Field(description="The state that an operator holds it in.")
    since: datetime | None
    succeeded: int = Field(description="Attempts that succeeded in this window, or among the probes.")
    failed: int


class BreakerList(Answer):
    """All breakers, by name."""

    breakers: list[BreakerAnswer]


class ForceBody(Body):
    """What to hold a breaker in."""

    state: Literal["open", "closed"] | None = Field(
        description="Whatever attempts say; null: let it judge again, from closed.", examples=["open"]
    )


@router.get("/limits", operation_id="list_limits", responses=answers())
async def list_limits(app: App, who: Viewer) -> LimitList:
    """List the limits, and how much of each is taken."""
    return LimitList(limits=[LimitAnswer.model_validate(limit) for limit in await app.limits.list()])


@router.post("/limits", operation_id="set_limit", responses=answers(404))
async def set_limit(body: LimitBody, app: App, who: Admin) -> LimitAnswer:
    """Add a limit, or change the one of its name; workers follow with their next claim."""
    name = await app.limits.set(_limit(body), queue=body.queue, tasks=body.tasks)
    found = {limit.name: limit for limit in await app.limits.list()}
    return LimitAnswer.model_validate(found[name])


@router.delete("/limits/{name:path}", operation_id="remove_limit", status_code=204, responses=answers(404))
async def remove_limit(name: LimitName, app: App, who: Admin) -> None:
    """Remove a limit; one that code declares stays removed until it is set again."""
    await app.limits.remove(name)


@router.get("/breakers", operation_id="list_breakers", responses=answers())
async def list_breakers(app: App, who: Viewer) -> BreakerList:
    """List the breakers, and how they stand."""
    return BreakerList(breakers=[BreakerAnswer.model_validate(it) for it in await app.breakers.list()])


@router.post("/breakers/{name}/force", operation_id="force_breaker", responses=answers(404))
async def force_breaker(name: LimitName, body: ForceBody, app: App, who: Operator) -> BreakerAnswer:
    """Hold a breaker open or closed, or let it judge again."""
    await app.breakers.force(name, body.state)
    found = {breaker.name: breaker for breaker in await app.breakers.list()}
    if name not in found:  # somebody has removed it since
        raise UnknownLimit(f'there is no breaker "{name}". {did_you_mean(name, found)}')
    return BreakerAnswer.model_validate(found[name])


def _limit(body: LimitBody) -> Limit:
    match body:
        case ConcurrencyBody():
            return Concurrency(body.slots, body.key, body.name)
        case RateBody():
            return RateLimit(body.starts, timedelta(seconds=body.per_s), body.burst, body.key, body.name)
        case OrderBody():
            return Order(body.key, body.on_failure, body.name)
        case FairBody():
            return FairShare(body.by, body.weights)
        case AgeingBody():
            return Ageing(timedelta(seconds=body.step_s))
        case BreakerBody():
            return Breaker(
                body.name or f"{body.queue or ' '.join(body.tasks or ())}: breaker",
                body.failure_ratio,
                body.minimum,
                timedelta(seconds=body.window_s),
                timedelta(seconds=body.cool_down_s),
                body.probes,
            )
