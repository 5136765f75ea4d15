"""What bounds when jobs may start: slots, rates, order, fair turns, and breakers that stop calling a failing service.

A limit belongs to tasks (``@app.task(limits=[...])``) or to a queue (``app.queue("name", limits=[...])``), and holds
over all workers. Workers write what code declares into the database when they start; `Limits` and ``headrace limits``
change it at run time, and what an operator has changed stays. A job to which several apply starts when all allow it.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

from headrace.errors import ConfigurationError, UnknownLimit, did_you_mean

if TYPE_CHECKING:
    from headrace._store.database import Database

LimitKind = Literal["concurrency", "rate", "order", "fair", "ageing", "breaker"]


@dataclass(frozen=True)
class Concurrency:
    """At most so many jobs run at the same time.

    Attributes:
        slots: How many. 0 lets none start.
        key: Count by key: "tenant" for the job's tenant, else the name of an argument. Jobs without a value share one.
            Default: all are counted together.
        name: Limits of the same name are one limit, shared by their tasks. Default: made of the task or queue.
    """

    slots: int
    key: str | None = None
    name: str | None = None

    def __post_init__(self) -> None:
        _check(self.slots >= 0, f"Concurrency({self.slots}): slots must not be negative")


@dataclass(frozen=True)
class RateLimit:
    """In any window w, at most ``burst + starts / per * w`` jobs start, by the database's clock.

    Attributes:
        starts: How many starts in each `per`.
        per: A second by default.
        burst: So many may start at once after a pause. 1 by default: starts are evenly spaced.
        key: Count by key, as in `Concurrency`.
        name: As in `Concurrency`.
    """

    starts: int
    per: timedelta = timedelta(seconds=1)
    burst: int = 1
    key: str | None = None
    name: str | None = None

    def __post_init__(self) -> None:
        _check(self.starts >= 1, f"RateLimit({self.starts}): starts must be at least 1; to stop a queue, pause it")
        _check(self.per > timedelta(0), f"RateLimit(per={self.per}): must be more than nothing")
        _check(self.burst >= 1, f"RateLimit(burst={self.burst}): must be at least 1")


@dataclass(frozen=True)
class Order:
    """The jobs of a key run one at a time, in the order of the line.

    Attributes:
        key: As in `Concurrency`; None: all jobs are one line.
        on_failure: "hold" (the default): while an attempt is to be retried, or snoozes, the key waits for it. "skip":
            others run meanwhile. A job that has failed for good holds nobody.
        name: As in `Concurrency`.
    """

    key: str | None = None
    on_failure: Literal["hold", "skip"] = "hold"
    name: str | None = None

    def __post_init__(self) -> None:
        _check(self.on_failure in ("hold", "skip"), f'Order(on_failure="{self.on_failure}"): must be "hold" or "skip"')


@dataclass(frozen=True)
class Breaker:
    """Stops jobs that need a service while it fails, for all workers. Jobs that wait spend no attempt.

    Closed, it counts how attempts end. When enough of them failed (an exception, a time-out) it opens, and nothing that
    needs the service starts. After `cool_down` it lets some jobs through, the probes: if all of them succeed it closes;
    if one fails, it opens again.

    Attributes:
        name: The service. Tasks that name the same one share it.
        failure_ratio: It opens when this share of the attempts in a window failed. 0.5 by default.
        minimum: But not before so many attempts have ended in the window. 10 by default: fewer say little.
        window: How long outcomes are counted together, one window after the other. A minute by default.
        cool_down: How long it stays open. 30 seconds by default.
        probes: How many jobs are let through then. 1 by default.
    """

    name: str
    failure_ratio: float = 0.5
    minimum: int = 10
    window: timedelta = timedelta(minutes=1)
    cool_down: timedelta = timedelta(seconds=30)
    probes: int = 1

    def __post_init__(self) -> None:
        _check(0 < self.failure_ratio <= 1, f"Breaker(failure_ratio={self.failure_ratio}): must be in (0, 1]")
        _check(self.minimum >= 1, f"Breaker(minimum={self.minimum}): must be at least 1")
        _check(self.window > timedelta(0), f"Breaker(window={self.window}): must be more than nothing")
        _check(self.cool_down >= timedelta(0), f"Breaker(cool_down={self.cool_down}): must not be negative")
        _check(self.probes >= 1, f"Breaker(probes={self.probes}): must be at least 1")


@dataclass(frozen=True)
class FairShare:
    """The keys of a queue take turns: a key with a million jobs does not delay another's one.

    Attributes:
        by: The key, as in `Concurrency`.
        weights: A key of weight 3 gets three turns where others, of weight 1, get one.
    """

    by: str = "tenant"
    weights: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check(
            all(weight > 0 for weight in self.weights.values()), f"FairShare(weights={self.weights}): must be positive"
        )


@dataclass(frozen=True)
class Ageing:
    """A queued job counts as of one priority more for each `step` that it has waited, so that none waits for ever."""

    step: timedelta

    def __post_init__(self) -> None:
        _check(self.step > timedelta(0), f"Ageing({self.step}): must be more than nothing")


Limit = Concurrency | RateLimit | Order | Breaker | FairShare | Ageing


@dataclass(frozen=True, kw_only=True)
class LimitInfo:
    """A limit as the database has it.

    Attributes:
        name: Unique.
        kind: Which of the classes of this module.
        queue: The queue to whose jobs it applies, or None.
        tasks: The tasks to whose jobs it applies, in whatever queue, or None.
        key: What it counts by.
        bound: Slots, starts for each span, or probes.
        span_s: Seconds: of a rate, the window of a breaker, a step of ageing.
        burst: Of a rate.
        settings: What only some kinds have.
        declared: Whether code declares it.
        edited: Whether an operator has changed it: code does not change it back.
        enabled: False for a declared limit that an operator has removed.
        held: Jobs that run under it now.
        keys: How many keys have started jobs.
    """

    name: str
    kind: LimitKind
    queue: str | None
    tasks: list[str] | None
    key: str | None
    bound: int
    span_s: float
    burst: int
    settings: dict[str, Any]
    declared: bool
    edited: bool
    enabled: bool
    held: int
    keys: int


@dataclass(frozen=True, kw_only=True)
class BreakerInfo:
    """A breaker at one moment.

    Attributes:
        name: The service.
        state: "closed", "open" or "half_open".
        forced: The state that an operator holds it in, or None.
        since: When it came to its state; None if it never left the first one.
        succeeded: Attempts that succeeded in this window, or among the probes.
        failed: Attempts that failed.
    """

    name: str
    state: str
    forced: str | None
    since: datetime | None
    succeeded: int
    failed: int


@dataclass(frozen=True, kw_only=True)
class PauseInfo:
    """A pause.

    Attributes:
        queue: Of which queue; "" for all of them.
        reason: What whoever paused it said.
        paused_at: Since when.
        paused_by: Who paused it, or None.
        until: When it ends by itself, or None.
    """

    queue: str
    reason: str | None
    paused_at: datetime
    paused_by: str | None
    until: datetime | None


class Limits:
    """The limits of an app's database: ``app.limits``."""

    def __init__(self, database: Callable[[], Awaitable[Database]]) -> None:
        self._database = database

    async def set(
        self, limit: Limit, *, queue: str | None = None, tasks: Sequence[str] | None = None, name: str | None = None
    ) -> str:
        """Add a limit, or change the one of its name; workers follow with their next claim.

        Args:
            limit: What it is.
            queue: The queue to whose jobs it applies.
            tasks: Or the tasks to whose jobs it applies, in whatever queue.
            name: Its name, if the limit itself has none. Default: as if code had declared it.

        Returns:
            Its name.
        """
        row = describe(limit if name is None else _named(limit, name), queue=queue, tasks=tasks)
        await (await self._database()).rows("set_limit", **row | {"settings": json.dumps(row["settings"]), "now": None})
        return str(row["name"])

    async def list(self) -> list[LimitInfo]:
        """All of them, by name."""
        return [LimitInfo(**record) for record in await (await self._database()).records("list_limits")]

    async def remove(self, name: str) -> None:
        """Remove a limit; a declared one stays removed until it is set again.

        Raises:
            UnknownLimit: There is none of this name.
        """
        if not await (await self._database()).value("remove_limit", name=name):
            known = [one.name for one in await self.list() if one.enabled]
            raise UnknownLimit(f'there is no limit "{name}". {did_you_mean(name, known)}')


class Breakers:
    """The breakers of an app's database: ``app.breakers``."""

    def __init__(self, database: Callable[[], Awaitable[Database]]) -> None:
        self._database = database

    async def list(self) -> list[BreakerInfo]:
        """All of them, by name."""
        return [BreakerInfo(**record) for record in await (await self._database()).records("list_breakers")]

    async def force(self, name: str, state: Literal["open", "closed"] | None) -> None:
        """Hold a breaker open or closed, whatever attempts say; None: let it judge again, from closed.

        Raises:
            UnknownLimit: There is none of this name.
        """
        if not await (await self._database()).value("force_breaker", name=name, state=state):
            known = [one.name for one in await self.list()]
            raise UnknownLimit(f'there is no breaker "{name}". {did_you_mean(name, known)}')


def describe(limit: Limit, *, queue: str | None = None, tasks: Sequence[str] | None = None) -> dict[str, Any]:
    """The row of a limit: the parameters of set_limit.sql, settings as an object.

    Raises:
        ConfigurationError: It applies to nothing, or cannot apply to this.
    """
    _check(
        (queue is None) != (not tasks),
        f"{limit} must apply either to a queue or to tasks: give queue or tasks (--queue or --task)",
    )
    if isinstance(limit, FairShare | Ageing):
        _check(queue is not None, f"{limit} must apply to a queue")
    kind, row = _row(limit)
    of = f"queue {queue}" if queue is not None else " ".join(tasks or ())
    name = getattr(limit, "name", None) or f"{of}: {kind}" + (f" by {row['key']}" if row.get("key") else "")
    base = {
        "queue": queue,
        "tasks": sorted(tasks) if tasks else None,
        "key": None,
        "bound": 1,
        "span_s": 1.0,
        "burst": 1,
    }
    return base | {"name": name, "kind": kind, "settings": {}} | row


def _row(limit: Limit) -> tuple[LimitKind, dict[str, Any]]:
    match limit:
        case Concurrency():
            return "concurrency", {"key": limit.key, "bound": limit.slots}
        case RateLimit():
            return "rate", {
                "key": limit.key, "bound": limit.starts, "span_s": limit.per.total_seconds(), "burst": limit.burst,
            }  # fmt: skip
        case Order():
            return "order", {"key": limit.key, "settings": {"on_failure": limit.on_failure}}
        case Breaker():
            settings = {
                "ratio": limit.failure_ratio, "minimum": limit.minimum, "cool_down_s": limit.cool_down.total_seconds(),
            }  # fmt: skip
            return "breaker", {"bound": limit.probes, "span_s": limit.window.total_seconds(), "settings": settings}
        case FairShare():
            return "fair", {"key": limit.by, "settings": {"weights": dict(limit.weights)}}
        case Ageing():
            return "ageing", {"span_s": limit.step.total_seconds()}


def _named(limit: Limit, name: str) -> Limit:
    if isinstance(limit, FairShare | Ageing):
        raise ConfigurationError(f"{limit} has no name of its own: a queue has at most one")
    return replace(limit, name=name)


def merge(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The declared limits by name; one that several tasks declare applies to all of them.

    Raises:
        ConfigurationError: Two that differ have the same name.
    """
    merged: dict[str, dict[str, Any]] = {}
    for row in rows:
        known = merged.setdefault(row["name"], row)
        if known | {"tasks": None} != row | {"tasks": None}:
            raise ConfigurationError(f'two limits that differ have the name "{row["name"]}"')
        if known is not row and row["tasks"]:
            known["tasks"] = sorted({*known["tasks"], *row["tasks"]})
    return list(merged.values())


def _check(holds: bool, message: str) -> None:
    if not holds:
        raise ConfigurationError(message)
