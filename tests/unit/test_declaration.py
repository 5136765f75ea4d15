"""What is refused when a schedule is declared, and in what words."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from headrace import ConfigurationError, Headrace, InvalidArguments
from headrace._schedule.catching_up import Jitter
from headrace._schedule.declaration import Declaration
from headrace._schedule.rules import Moment

HOUR = timedelta(hours=1)
AWARE, NAIVE = datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 1)  # noqa: DTZ001 - that is the point

WRONG: list[tuple[dict[str, Any], str]] = [
    ({}, "by one of cron, every and at, not by none"),
    ({"cron": "* * * * *", "every": HOUR}, "not by cron and every"),
    ({"cron": "61 * * * *"}, 'cron "61 * * * *": the minute "61" is wrong: write 0-59'),
    ({"cron": "0 24 * * *"}, 'the hour "24" is wrong: write 0-23'),
    ({"cron": "0 9 * * MONDAY"}, 'the day-of-week "MONDAY" is wrong'),
    ({"cron": "0 9 * *"}, "has 4 fields; it needs five"),
    ({"cron": "0 0 9 * * *"}, "has 6 fields; it needs five"),
    ({"cron": "0 0 31 2 *"}, "never comes true"),
    ({"cron": "0 0 30 2 */8"}, "never comes true"),
    ({"cron": "0 9 * * *", "timezone": "Asia/Calcuta"}, 'there is no time zone "Asia/Calcuta". Did you mean "Asia/Calcutta"'),
    ({"cron": "0 9 * * *", "timezone": "Berlin"}, 'Did you mean "Europe/Berlin"?'),
    ({"cron": "0 9 * * *", "timezone": "../etc/passwd"}, "there is no time zone"),
    ({"every": HOUR, "timezone": "Europe/Berlin"}, "a time zone has no meaning for every="),
    ({"every": timedelta(milliseconds=10)}, "a second is the shortest interval"),
    ({"every": 60}, "every must be a timedelta, not 60"),
    ({"at": NAIVE}, "has no time zone: use an aware datetime"),
    ({"every": HOUR, "start_at": NAIVE}, "start_at .* has no time zone"),
    ({"every": HOUR, "start_at": AWARE, "end_at": AWARE}, "would end .* before it starts"),
    ({"every": HOUR, "jitter": 2 * HOUR}, "jitter must be between nothing and 1:00:00"),
    ({"every": HOUR, "catch_up": "some"}, "catch_up must be one of skip, latest, all"),
    ({"every": HOUR, "overlap": "never"}, "overlap must be one of skip, queue, cancel, allow"),
    ({"every": HOUR, "catch_up": "all"}, 'choose overlap="queue"'),
    ({"every": HOUR, "catch_up_limit": 0}, "catch_up_limit must be at least 1"),
    ({"every": HOUR, "tenant": "a", "per_tenant": True}, "not both"),
    ({"every": HOUR, "tags": "x"}, r'write \["x"\]'),
    ({"every": HOUR, "queue": "a\0b"}, "queue holds a NUL character"),
    ({"every": HOUR, "tags": ["\ud800"]}, "tags holds half of a surrogate pair"),
    ({"every": HOUR, "priority": 70_000}, "priority 70000 is outside"),
]  # fmt: skip


@pytest.mark.parametrize(("options", "message"), WRONG)
def test_what_is_wrong_is_said(options: dict[str, Any], message: str) -> None:
    """With the schedule's name, what is wrong, and what to write instead."""
    with pytest.raises(
        ConfigurationError, match=message.replace("*", r"\*") if "cron" in message else message
    ) as refused:
        Declaration(name="nightly", task="t", **options)
    assert str(refused.value).startswith('schedule "nightly": ')


@pytest.mark.parametrize(
    "cron", ["0 9 * * MON-FRI", "*/5 * * * *", "@daily", "0 0 L * *", "0 0 * * MON#2", "0 0 29 2 *"]
)
def test_what_is_right(cron: str) -> None:
    """Names, steps, nicknames, last days, and a day that comes every four years."""
    assert Declaration(name="n", task="t", cron=cron).rule().after(AWARE)


def test_the_decorator() -> None:
    """It gives the task back, checks the arguments, and several schedules of a task need names."""
    app = Headrace("postgresql://nowhere")

    @app.schedule("0 9 * * *", args={"n": 1})
    @app.schedule(every=HOUR, name="hourly", args={"n": "2"})
    @app.task(name="t")
    def handler(n: int) -> int:
        return n

    assert handler is app.tasks["t"]
    assert {name: it.args for name, it in app.declared_schedules.items()} == {"hourly": {"n": 2}, "t": {"n": 1}}
    with pytest.raises(ConfigurationError, match='"t" is declared already'):
        app.schedule("@daily", args={"n": 1})(handler)
    with pytest.raises(InvalidArguments, match="argument"):
        app.schedule("@daily", name="x", args={"m": 1})(handler)
    with pytest.raises(ConfigurationError, match=r"on top of @app\.task"):
        app.schedule("@daily")(lambda: None)  # type: ignore[type-var]


def test_a_digest_tells_declarations_apart_and_leaves_out_defaults() -> None:
    """The same declaration has the same one in every process and version; anything that is said changes it."""
    plain = Declaration(name="n", task="t", every=HOUR)
    assert plain.digest() == "446a6a89cc89271f"
    assert plain.digest() == Declaration(name="n", task="t", every=HOUR, overlap="skip").digest()
    others: list[dict[str, Any]] = [
        {"args": {"n": 1}},
        {"overlap": "queue"},
        {"every": 2 * HOUR},
        {"tags": ("x",)},
        {"jitter": HOUR},
    ]
    said: dict[str, Any] = {"name": "n", "task": "t", "every": HOUR}
    digests = {Declaration(**said | other).digest() for other in others}
    assert len(digests | {plain.digest()}) == len(others) + 1


def test_jitter_is_within_its_span_and_spread() -> None:
    """A thousand tenants at one moment spread over the whole span; each always has the same place in it."""
    moment = Moment(AWARE, NAIVE)
    put_off = [Jitter(HOUR, "s", f"t{n}").due(moment) - AWARE for n in range(1000)]
    assert put_off == [Jitter(HOUR, "s", f"t{n}").due(moment) - AWARE for n in range(1000)]
    assert all(timedelta(0) <= it < HOUR for it in put_off)
    tenths = [sum(HOUR * n / 10 <= it < HOUR * (n + 1) / 10 for it in put_off) for n in range(10)]
    assert min(tenths) > 60
