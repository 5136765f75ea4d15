"""A schedule as code, the API or the command line says it: checked, and ready to be stored."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

from headrace._arguments import find_unstorable
from headrace._schedule.rules import make_rule
from headrace.errors import ConfigurationError
from headrace.job import check_name

if TYPE_CHECKING:
    from headrace._schedule.catching_up import CatchUp
    from headrace._schedule.rules import Rule

Overlap = Literal["skip", "queue", "cancel", "allow"]
_WORDS = {"catch_up": ("skip", "latest", "all"), "overlap": ("skip", "queue", "cancel", "allow")}
_SHORTEST = timedelta(seconds=1)
_LONGEST_JITTER = timedelta(days=1)


@dataclass(frozen=True, kw_only=True)
class Declaration:
    """All that is said of one schedule; `Headrace.schedule` documents the fields."""

    name: str
    task: str
    args: dict[str, Any] = field(default_factory=dict)
    cron: str | None = None
    every: timedelta | None = None
    at: datetime | None = None
    timezone: str = "UTC"
    start_at: datetime | None = None
    end_at: datetime | None = None
    jitter: timedelta = timedelta(0)
    catch_up: CatchUp = "latest"
    catch_up_limit: int = 100
    overlap: Overlap = "skip"
    queue: str | None = None
    priority: int | None = None
    tenant: str | None = None
    tags: tuple[str, ...] | list[str] | None = None
    per_tenant: bool = False

    def __post_init__(self) -> None:
        try:
            self._check()
        except ConfigurationError as error:
            raise ConfigurationError(f'schedule "{self.name}": {error}') from None

    def _check(self) -> None:
        check_name("schedule", self.name)
        if not self.name:
            raise ConfigurationError("it needs a name")
        self._check_types()
        self._check_when()
        for name, words in _WORDS.items():
            if getattr(self, name) not in words:
                raise ConfigurationError(f'{name} must be one of {", ".join(words)}, not "{getattr(self, name)}"')
        if self.catch_up_limit < 1:
            raise ConfigurationError(f"catch_up_limit must be at least 1, not {self.catch_up_limit}")
        if self.catch_up == "all" and self.overlap not in ("queue", "allow"):
            raise ConfigurationError(
                f'with overlap="{self.overlap}" only one of the jobs that catch_up="all" enqueues would run: '
                'choose overlap="queue" (one after the other) or "allow"'
            )
        if self.per_tenant and self.tenant is not None:
            raise ConfigurationError("give tenant= (one for all its jobs) or per_tenant=True, not both")
        self.rule()

    def _check_types(self) -> None:
        kinds = {"every": timedelta, "jitter": timedelta, "at": datetime, "start_at": datetime, "end_at": datetime}
        for name, kind in kinds.items():
            value = getattr(self, name)
            if value is not None and not isinstance(value, kind):
                raise ConfigurationError(f"{name} must be a {kind.__name__}, not {value!r}")
            if isinstance(value, datetime) and value.tzinfo is None:
                raise ConfigurationError(f"{name} {value} has no time zone: use an aware datetime")
        for name in ("name", "queue", "tenant", "tags"):
            for _, why in find_unstorable(getattr(self, name)):
                raise ConfigurationError(f"{name} {why}")
        for name in ("queue", "tenant"):
            if (value := getattr(self, name)) is not None:
                check_name(name, value)
        if isinstance(self.tags, str):
            raise ConfigurationError(f'tags is a list: write ["{self.tags}"]')
        if self.priority is not None and not -32_768 <= self.priority <= 32_767:
            raise ConfigurationError(f"priority {self.priority} is outside -32768 to 32767")

    def _check_when(self) -> None:
        given = [name for name in ("cron", "every", "at") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ConfigurationError(
                f"say when it is due by one of cron, every and at, not by {' and '.join(given) or 'none'}"
            )
        if self.every is not None and self.every < _SHORTEST:
            raise ConfigurationError(f"every {self.every} is too often: a second is the shortest interval")
        if self.cron is None and self.timezone != "UTC":
            raise ConfigurationError(f"a time zone has no meaning for {given[0]}=, which does not look at clocks")
        longest = min(_LONGEST_JITTER, self.every or _LONGEST_JITTER)
        if not timedelta(0) <= self.jitter <= longest:
            raise ConfigurationError(f"jitter must be between nothing and {longest}, not {self.jitter}")
        if self.start_at is not None and self.end_at is not None and self.start_at >= self.end_at:
            raise ConfigurationError(f"it would end ({self.end_at}) before it starts ({self.start_at})")

    def rule(self, cron: str | None = None, timezone: str | None = None) -> Rule:
        """When it is due; for a tenant, with what is the tenant's own."""
        return make_rule(
            cron=cron or self.cron,
            every=self.every,
            at=self.at,
            timezone=timezone or self.timezone,
            start_at=self.start_at,
            end_at=self.end_at,
        )

    def fields(self) -> dict[str, Any]:
        """Everything as JSON, as headrace.write_schedule takes it."""
        return {name: _as_json(value) for name, value in vars(self).items()}

    def digest(self) -> str:
        """Tells two declarations apart. What is left at its default does not count, so that options may be added."""
        said = {
            f.name: _as_json(getattr(self, f.name))
            for f in dataclasses.fields(self)
            if f.default_factory is not dataclasses.MISSING or getattr(self, f.name) != f.default
        }
        return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:16]


def _as_json(value: Any) -> Any:
    match value:
        case timedelta():
            return f"{value.total_seconds():f} seconds"
        case datetime():
            return value.isoformat()
        case tuple():
            return list(value)
    return value
