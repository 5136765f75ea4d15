"""Which way a call goes, without a database: decisions, the direct path, and a database that is not there."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import Counter
from math import sqrt
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace import (
    ConfigurationError,
    Context,
    DatabaseUnavailable,
    Flags,
    Headrace,
    InvalidArguments,
    Rollout,
    RolloutMode,
    inject,
)
from headrace.flags import WHOLE, FlagValue
from headrace.rollout import place_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NOWHERE = "postgresql://u:s3cr3t@127.0.0.1:1/db"
LOG = "headrace.rollout"


class Fixed(Flags):
    """Flags that a test sets."""

    def __init__(self, **values: Any) -> None:
        self.values = {f"USE_BG_JOBS_{name}": value for name, value in ({"GLOBAL": True} | values).items()}

    def read(self, name: str, key: str | None) -> FlagValue:
        value = self.values.get(name)
        if isinstance(value, Exception):
            raise value
        return value


@pytest.fixture
def app() -> Iterator[Headrace]:
    """An app whose server refuses connections."""
    app = Headrace(NOWHERE)
    yield app
    app.close_sync()


def rollout_of(app: Headrace, **values: Any) -> Rollout:
    """A rollout with fixed flags, the master switch on."""
    return Rollout(app, flags=Fixed(**values))


def decides(rollout: Rollout, trigger: str = "match", key: str | None = None) -> bool:
    """Whether it is in; both ways of asking must agree where nothing is drawn."""
    answer = rollout.decide(trigger, key)
    assert asyncio.run(rollout.decide_async(trigger, key)) == answer
    return answer[0]


# -- the flags of the league's specification --


@pytest.mark.parametrize("trigger", ["admin", "cron", "match"])
@pytest.mark.parametrize("master", ["true", "false", None])
@pytest.mark.parametrize("own", ["true", "false", None])
def test_master_and_trigger_switches(
    app: Headrace, monkeypatch: pytest.MonkeyPatch, trigger: str, master: str | None, own: str | None
) -> None:
    """USE_BG_JOBS_GLOBAL and the trigger's flag must both be on; what is not set is off; others do not matter."""
    for name, value in (("GLOBAL", master), (trigger.upper(), own)):
        monkeypatch.delenv(f"USE_BG_JOBS_{name}", raising=False)
        if value:
            monkeypatch.setenv(f"USE_BG_JOBS_{name}", value)
    monkeypatch.setenv("USE_BG_JOBS_OTHER", "true")
    assert decides(Rollout(app), trigger) == (master == own == "true")


def test_the_environment_changes_while_the_program_runs(app: Headrace, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next decision follows; the master switch turns everything off at once."""
    rollout = Rollout(app)
    monkeypatch.setenv("USE_BG_JOBS_GLOBAL", "on")
    monkeypatch.setenv("USE_BG_JOBS_MATCH", "on")
    assert decides(rollout)
    monkeypatch.setenv("USE_BG_JOBS_GLOBAL", "off")
    assert not decides(rollout)
    monkeypatch.setenv("USE_BG_JOBS_GLOBAL", "on")
    assert decides(rollout)
    monkeypatch.delenv("USE_BG_JOBS_MATCH")
    assert not decides(rollout)


def test_another_prefix(app: Headrace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Several rollouts in one program."""
    rollout = Rollout(app, prefix="SHOP")
    monkeypatch.setenv("SHOP_GLOBAL", "on")
    monkeypatch.setenv("SHOP_MATCH", "on")
    assert decides(rollout)
    assert app.rollouts == [rollout]


def test_the_master_switch_may_be_a_share(app: Headrace) -> None:
    """It is a ceiling for every trigger: the smaller share counts, whichever it is."""
    keys = [str(n) for n in range(300)]
    ins = {
        (master, own): {key for key in keys if decides(rollout_of(app, GLOBAL=master, MATCH=own), key=key)}
        for master, own in (("30%", "on"), ("on", "30%"), ("30%", "60%"), ("60%", "30%"))
    }
    assert len(set(map(frozenset, ins.values()))) == 1


# -- percentages --


def test_places_never_change(app: Headrace) -> None:
    """Not in any version: users who are in stay in."""
    assert [place_of("match", "7"), place_of("match", "8"), place_of("cron", "7")] == [150, 9930, 9903]
    assert 0 <= place_of("match", "\ud800\0ü") < WHOLE


@given(st.text(), st.integers(0, WHOLE), st.integers(0, WHOLE))
def test_who_is_in_stays_in(key: str, one: int, other: int) -> None:
    """A larger share adds keys and removes none, and the same question has the same answer."""
    rollout = rollout_of(Headrace(NOWHERE))

    def is_in(share: int) -> bool:
        rollout._flags.values["USE_BG_JOBS_MATCH"] = f"{share / 100:.2f}%"  # type: ignore[attr-defined]
        return decides(rollout, key=key)

    smaller, larger = sorted((one, other))
    assert is_in(smaller) <= is_in(larger)
    assert is_in(one) == is_in(one)
    assert is_in(WHOLE)
    assert not is_in(0)


@given(st.from_regex(r"\A[a-z][a-z0-9_]{0,9}\Z"), st.integers(0, WHOLE), st.integers(0, 1_000_000))
def test_a_share_is_that_share_of_the_keys(trigger: str, share: int, start: int) -> None:
    """Of a thousand keys in a row, within six standard deviations."""
    keys = 1_000
    count = sum(place_of(trigger, str(start + n)) < share for n in range(keys))
    expected = keys * share / WHOLE
    assert abs(count - expected) <= 6 * sqrt(expected * (1 - share / WHOLE)) + 1


@given(st.lists(st.from_regex(r"\A[a-z][a-z0-9_]{0,9}\Z"), min_size=2, max_size=2, unique=True))
def test_triggers_are_independent(triggers: list[str]) -> None:
    """Half of those who are in for one trigger are in for another, both at 50 %: nobody is always first."""
    one, other = triggers
    keys = [str(n) for n in range(2_000) if place_of(one, str(n)) < WHOLE / 2]
    both = sum(place_of(other, key) < WHOLE / 2 for key in keys)
    assert abs(both - len(keys) / 2) <= 6 * sqrt(len(keys) / 4)


def test_without_a_key_the_place_is_drawn(app: Headrace) -> None:
    """Each call for itself: the share holds for many calls."""
    rollout = rollout_of(app, MATCH="25%")
    went = Counter(rollout.decide("match", None)[0] for _ in range(4_000))
    assert abs(went[True] - 1_000) < 6 * sqrt(4_000 * 0.25 * 0.75)
    assert "this call, which has no key, drew place" in rollout.decide("match", None)[1]


# -- keys --


async def test_the_key_is_an_argument(app: Headrace) -> None:
    """As it is stored: the same match has the same place, whatever type the caller gave."""
    rollout = rollout_of(app, MATCH="0.01%")
    trigger = rollout.trigger("match", app.task(name="numbered")(_numbered), key="match_id")
    text: Any = "7"
    for key in (7, text):
        assert f"place {place_of('match', '7') / 100:.2f} of" in (await trigger.run(key)).reason
    assert "has no key" in (await trigger.run(None)).reason
    assert "has no key" in trigger.run_sync().reason


def _numbered(match_id: int | None = None) -> int | None:
    """A task whose argument is a number."""
    return match_id


async def test_the_key_is_said_by_the_caller(app: Headrace) -> None:
    """Numbers and UUIDs, too; it wins over the argument, and belongs to that call alone."""
    rollout = rollout_of(app, MATCH="0.01%")
    trigger = rollout.trigger("match", app.task(name="numbered")(_numbered), key="match_id")
    for key in ("x", 7, UUID(int=7)):
        reason = (await trigger.by(key).run(8)).reason
        assert f"place {place_of('match', str(key)) / 100:.2f} of" in reason
    assert f"place {place_of('match', '8') / 100:.2f} of" in (await trigger.run(8)).reason


# -- the direct path --


async def test_the_task_itself_is_the_direct_path(app: Headrace) -> None:
    """It gets what a worker would give it, coroutine or not."""
    rollout = rollout_of(app)

    @app.task(name="one")
    async def one(number: int, /, *, double: bool = False) -> int:
        return number * (1 + double)

    @app.task(name="two")
    def two(number: int) -> tuple[int, str]:
        return number, threading.current_thread().name

    text: Any = "7"
    done = await rollout.trigger("one", one).run(text, double=True)
    assert (done.mode, done.value, done.job, done.reason) == ("direct", 14, None, "USE_BG_JOBS_ONE is not set")
    number, thread = (await rollout.trigger("two", two).run(text)).value or (0, "")
    assert number == 7
    assert thread != threading.current_thread().name


async def test_a_direct_path_of_its_own(app: Headrace) -> None:
    """It gets what the caller gave; whatever returns a coroutine is awaited."""
    rollout = rollout_of(app)
    task = app.task(name="task")(lambda number: number)

    async def later(number: int) -> str:
        return f"later {number}"

    ways: list[Callable[..., Any]] = [
        lambda number: f"now {number}",
        later,
        lambda number: later(number),  # noqa: PLW0108 - it is no coroutine function
        app.task(later),
    ]
    values = [
        (await rollout.trigger(f"way{n}", task, direct=direct).run(number=7)).value for n, direct in enumerate(ways)
    ]
    assert values == ["now 7", "later 7", "later 7", "later 7"]


def test_synchronous_code(app: Headrace) -> None:
    """The direct path runs in the caller's own thread, where its connection is; a coroutine on the app's loop."""
    rollout = rollout_of(app)

    async def later(number: int) -> str:
        return threading.current_thread().name

    @app.task(name="task")
    def task(number: int) -> str:
        return threading.current_thread().name

    here = threading.current_thread().name
    assert rollout.trigger("one", task).run_sync(7).value == here
    assert rollout.trigger("two", task, direct=later).run_sync(7).value == "headrace"


async def test_arguments_are_refused_whatever_the_flags_say(app: Headrace) -> None:
    """So that a wrong call does not come out only when the flag is on; nothing is counted, since nothing was decided."""
    rollout = rollout_of(app, ON=True)

    @app.task(name="task")
    def task(number: int) -> None: ...

    wrong: Any = "x"
    for name in ("on", "off"):
        trigger = rollout.trigger(name, task)
        with pytest.raises(InvalidArguments, match='argument "number"'):
            await trigger.run(wrong)
        with pytest.raises(InvalidArguments, match='argument "number"'):
            trigger.run_sync(wrong)
    assert not rollout.counts()


async def test_what_the_direct_path_raises_is_the_caller_s(app: Headrace) -> None:
    """As it was before there was a queue; the decision is counted."""
    rollout = rollout_of(app)
    trigger = rollout.trigger("match", app.task(name="task")(lambda: 1 / 0))
    with pytest.raises(ZeroDivisionError):
        await trigger.run()
    with pytest.raises(ZeroDivisionError):
        trigger.run_sync()
    assert rollout.counts() == {("match", "direct"): 2}


# -- the database is not there --


async def test_no_database_no_harm(app: Headrace, caplog: pytest.LogCaptureFixture) -> None:
    """The work is done directly; the result, the log and the counts say so, and no password."""
    rollout = rollout_of(app, MATCH=True)
    trigger = rollout.trigger("match", app.task(name="task")(_numbered))
    done = await trigger.run(7)
    assert (done.mode, done.value, done.job) == (RolloutMode.FALLBACK, 7, None)
    assert done.reason.startswith(
        "enqueueing failed: DatabaseUnavailable: cannot connect to postgresql://u:***@127.0.0.1"
    )
    assert (await asyncio.to_thread(trigger.run_sync, 8)).value == 8
    warnings = [record for record in caplog.records if record.name == LOG]
    assert [(record.levelname, record.message) for record in warnings] == [
        ("WARNING", f'trigger "match", fallback: {done.reason}')
    ] * 2
    assert "s3cr3t" not in caplog.text
    assert rollout.counts() == {("match", "fallback"): 2}


async def test_a_hanging_database_is_given_up_soon(app: Headrace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody may be waiting for the caller."""
    monkeypatch.setattr("headrace.trigger.REACH_S", 0.05)
    monkeypatch.setattr(app, "database", lambda: asyncio.sleep(60))
    rollout = rollout_of(app, MATCH=True)
    done = await rollout.trigger("match", app.task(name="task")(lambda: "done")).run()
    assert (done.mode, done.value) == ("fallback", "done")
    assert "no connection to the database was to be had within 0.05 seconds" in done.reason


async def test_an_app_that_is_set_up_wrongly_is_not_hidden() -> None:
    """Nor one that is closed: somebody has to mend the program."""
    app = Headrace("mysql://u@h/d")
    rollout = rollout_of(app, MATCH=True)
    trigger = rollout.trigger("match", app.task(name="task")(lambda: "done"))
    with pytest.raises(ConfigurationError, match="not a PostgreSQL URL"):
        await trigger.run()
    assert rollout.counts() == {("match", "error"): 1}


# -- flags that are wrong --


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("maybe", "'maybe' is no value: write on, off, or a percentage such as 25% or 0.5%"),
        (KeyError("down"), "KeyError('down')"),
        (DatabaseUnavailable("down"), "down"),
    ],
)
@pytest.mark.parametrize("flag", ["GLOBAL", "MATCH"])
async def test_a_flag_that_cannot_be_read_is_off(
    app: Headrace, caplog: pytest.LogCaptureFixture, flag: str, value: Any, problem: str
) -> None:
    """The request goes on, directly. It is logged once, and again after it was right meanwhile."""
    flags = Fixed(**{"MATCH": True, flag: value})
    trigger = Rollout(app, flags=flags).trigger("match", app.task(name="task")(lambda: "done"))

    def complaints() -> list[str]:
        return [record.message for record in caplog.records if record.levelname == "ERROR"]

    for _ in range(2):
        done = await trigger.run()
        assert (done.mode, done.value) == ("direct", "done")
        assert done.reason == f"USE_BG_JOBS_{flag} cannot be read and is off"
    trigger.run_sync()
    assert complaints() == [f"the flag USE_BG_JOBS_{flag} cannot be read and is off: {problem}"]
    flags.values[f"USE_BG_JOBS_{flag}"] = True
    await trigger.run()
    flags.values[f"USE_BG_JOBS_{flag}"] = value
    await trigger.run()
    assert len(complaints()) == 2


def test_wrong_values_are_found_at_the_start(app: Headrace, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of them, by name."""
    rollout = Rollout(app)
    for name in ("match", "cron", "admin"):
        rollout.trigger(name, app.task(name=name)(lambda: None))
    monkeypatch.setenv("USE_BG_JOBS_GLOBAL", "true")
    monkeypatch.setenv("USE_BG_JOBS_MATCH", "25%")
    monkeypatch.delenv("USE_BG_JOBS_CRON", raising=False)
    rollout.validate()
    monkeypatch.setenv("USE_BG_JOBS_MATCH", "25 percent")
    monkeypatch.setenv("USE_BG_JOBS_CRON", "110%")
    with pytest.raises(ConfigurationError) as wrong:
        rollout.validate()
    assert str(wrong.value) == (
        "the flag USE_BG_JOBS_MATCH: '25 percent' is no value: write on, off, or a percentage such as 25% or 0.5%; "
        "the flag USE_BG_JOBS_CRON: '110%' is no value: write on, off, or a percentage such as 25% or 0.5%"
    )


def test_misspelt_flags_are_found_at_the_start(
    app: Headrace, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A warning only: the environment may be shared with another program."""
    rollout = Rollout(app)
    rollout.trigger("match", app.task(name="task")(lambda: None))
    monkeypatch.setenv("USE_BG_JOBS_MACTH", "on")
    monkeypatch.setenv("USE_BG_JOBSMATCH", "on")
    rollout.validate()
    (warning,) = caplog.messages
    assert warning.startswith('no trigger here reads the flag USE_BG_JOBS_MACTH. Did you mean "USE_BG_JOBS_MATCH"')


def test_a_provider_that_is_away_does_not_keep_the_program_from_starting(
    app: Headrace, caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged."""
    Rollout(app, flags=Fixed(GLOBAL=OSError("down"))).validate()
    assert "the flag USE_BG_JOBS_GLOBAL cannot be read and is off: OSError('down')" in caplog.text


# -- counting and logging --


async def test_every_decision_is_counted_and_logged(app: Headrace, caplog: pytest.LogCaptureFixture) -> None:
    """By trigger and mode, with the reason and without the key, which may be a person's."""
    caplog.set_level(logging.INFO, LOG)
    rollout = rollout_of(app, MATCH="0.01%")
    task = app.task(name="task")(lambda: None)
    match, cron = rollout.trigger("match", task), rollout.trigger("cron", task)
    for _ in range(2):
        await match.by("ada@example.org").run()
    cron.run_sync()
    counts = rollout.counts()
    assert counts == {("match", "direct"): 2, ("cron", "direct"): 1}
    assert counts["match", "background"] == 0
    counts["match", "direct"] = 99
    assert rollout.counts()["match", RolloutMode.DIRECT] == 2
    place = place_of("match", "ada@example.org")
    assert [record.message for record in caplog.records if record.name == LOG] == [
        f'trigger "match", direct: USE_BG_JOBS_MATCH is 0.01%, and this key has place {place / 100:.2f} of 100',
        f'trigger "match", direct: USE_BG_JOBS_MATCH is 0.01%, and this key has place {place / 100:.2f} of 100',
        'trigger "cron", direct: USE_BG_JOBS_CRON is not set',
    ]


def test_counts_of_many_threads(app: Headrace) -> None:
    """None is lost."""
    rollout = rollout_of(app)
    trigger = rollout.trigger("match", app.task(name="task")(lambda: None))

    def run() -> None:
        for _ in range(200):
            trigger.run_sync()

    threads = [threading.Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert rollout.counts() == {("match", "direct"): 1_600}


# -- declarations --


@pytest.mark.parametrize("name", ["", "Match", "goal-scored", "7", "a b", "mätch", "match\n", "global"])
def test_names_that_cannot_be_flags(app: Headrace, name: str) -> None:
    """Nor the master switch's."""
    with pytest.raises(ConfigurationError, match="cannot name a trigger: write small letters"):
        Rollout(app).trigger(name, app.task(name="task")(lambda: None))


def test_declarations_that_make_no_sense(app: Headrace) -> None:
    """Each says what is wrong, and what to write."""
    rollout = Rollout(app)
    task = app.task(name="task")(_numbered)
    other = app.task(name="other")(_numbered)

    @app.task(name="needy")
    def needy(ctx: Context, number: int, http: Rollout = inject()) -> None: ...

    trigger = rollout.trigger("match", task)
    with pytest.raises(ConfigurationError, match='"match" is declared already'):
        rollout.trigger("match", task)
    with pytest.raises(ConfigurationError, match=r'"matchid" is no argument of <Task task>\. Did you mean "match_id"'):
        rollout.trigger("cron", task, key="matchid")
    with pytest.raises(ConfigurationError, match=r'"ctx" is no argument of <Task needy>\. Known: number'):
        rollout.trigger("cron", needy, direct=_numbered, key="ctx")
    with pytest.raises(
        ConfigurationError, match=r"the direct path takes \(ctx, number, http\), <Task needy> takes \(number\)"
    ):
        rollout.trigger("cron", needy, direct=needy.handler)
    unfit: Any = needy
    with pytest.raises(ConfigurationError, match="only a worker can give <Task needy> its ctx, http: say direct="):
        rollout.trigger("cron", unfit)
    with pytest.raises(ConfigurationError, match='trigger "match" enqueues <Task task>, not <Task other>'):
        trigger.using(other)
    assert list(rollout.triggers) == ["match"]
    assert trigger.using(task.options(priority=3)).task._options.priority == 3
