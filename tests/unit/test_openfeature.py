"""Flags of a real OpenFeature provider."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from openfeature import api
from openfeature.event import ProviderEventDetails
from openfeature.exception import TargetingKeyMissingError
from openfeature.flag_evaluation import FlagResolutionDetails
from openfeature.provider.in_memory_provider import InMemoryFlag, InMemoryProvider

from headrace import ConfigurationError, Headrace, OpenFeatureFlags, Rollout
from headrace.rollout import place_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from openfeature.evaluation_context import EvaluationContext
    from openfeature.provider import AbstractProvider

DOMAIN = "headrace-tests"
PATIENCE_S = 10


def flags(**values: Any) -> dict[str, InMemoryFlag[Any]]:
    """A provider's flags, the master switch on."""
    named = {f"USE_BG_JOBS_{name}": value for name, value in ({"GLOBAL": True} | values).items()}
    return {
        name: value if isinstance(value, InMemoryFlag) else InMemoryFlag("only", {"only": value})
        for name, value in named.items()
    }


def provide(provider: AbstractProvider) -> None:
    """Set the provider of this module's domain, and wait until it is ready."""
    api.set_provider_and_wait(provider, DOMAIN)


@pytest.fixture
def rollout() -> Iterator[Rollout]:
    """A rollout that asks the provider of this module's domain."""
    app = Headrace("postgresql://u@127.0.0.1:1/db")
    yield Rollout(app, flags=OpenFeatureFlags(api.get_client(DOMAIN)))
    app.close_sync()
    api.shutdown()


def decides(rollout: Rollout, key: str | None = None) -> tuple[bool, str]:
    """The decision for the trigger "match"; synchronous and asynchronous code must agree."""
    answer = rollout.decide("match", key)
    assert asyncio.run(rollout.decide_async("match", key)) == answer
    return answer


@pytest.mark.parametrize(
    ("value", "said", "is_in"),
    [
        (True, "on", True), (False, "off", False), ("on", "on", True), ("off", "off", False), (100, "on", True),
        (0, "off", False), (100.0, "on", True), ("25%", "25%", False), (25, "25%", False), (25.5, "25.5%", False),
    ],
)  # fmt: skip
def test_flags_of_every_type(rollout: Rollout, value: Any, said: str, is_in: bool) -> None:
    """Booleans, strings, whole numbers and others."""
    key = next(str(n) for n in range(1_000) if place_of("match", str(n)) >= 2_550)
    provide(InMemoryProvider(flags(MATCH=value)))
    for _ in range(2):
        decided, reason = decides(rollout, key)
        assert decided == is_in
        assert reason.startswith(f"USE_BG_JOBS_MATCH is {said}")


def test_the_key_is_the_targeting_key(rollout: Rollout) -> None:
    """A provider may decide for each key by itself."""

    def evaluate(flag: InMemoryFlag[bool], context: EvaluationContext) -> FlagResolutionDetails[bool]:
        return FlagResolutionDetails(value=context.targeting_key == "7")

    provide(InMemoryProvider(flags(MATCH=InMemoryFlag("on", {"on": True}, context_evaluator=evaluate))))
    assert [decides(rollout, key)[0] for key in ("7", "8", None)] == [True, False, False]


def test_a_flag_that_is_not_there_is_off(rollout: Rollout, caplog: pytest.LogCaptureFixture) -> None:
    """As in the environment: no error."""
    provide(InMemoryProvider(flags()))
    assert decides(rollout) == (False, "USE_BG_JOBS_MATCH is not set")
    assert not caplog.records


def test_without_a_provider_everything_is_direct(rollout: Rollout) -> None:
    """OpenFeature then answers with the default that it is given."""
    assert decides(rollout) == (False, "USE_BG_JOBS_GLOBAL is off")


def test_another_provider_applies_at_once(rollout: Rollout) -> None:
    """Flags are evaluated for every decision, and may change their type."""
    provide(InMemoryProvider(flags(MATCH=True)))
    assert decides(rollout)[0]
    provide(InMemoryProvider(flags(MATCH="off")))
    assert not decides(rollout)[0]
    provide(InMemoryProvider(flags(MATCH=True, GLOBAL=0)))
    assert not decides(rollout)[0]


def until(condition: Callable[[], bool]) -> None:
    """Wait for handlers, which run in threads of OpenFeature's."""
    deadline = threading.Event()
    for _ in range(PATIENCE_S * 100):
        if condition():
            return
        deadline.wait(0.01)
    raise AssertionError("it did not happen")


def test_changes_are_logged(rollout: Rollout, caplog: pytest.LogCaptureFixture) -> None:
    """A provider that says which of its flags have changed; the next decision follows."""
    caplog.set_level(logging.INFO, "headrace.rollout")
    provider = InMemoryProvider(flags(MATCH=True))
    provide(provider)
    assert decides(rollout)[0]
    provider._flags.update(flags(MATCH="off"))
    provider.emit_provider_configuration_changed(ProviderEventDetails(flags_changed=["USE_BG_JOBS_MATCH"]))
    until(
        lambda: 'OpenFeature\'s provider "In-Memory Provider" has changed flags: USE_BG_JOBS_MATCH' in caplog.messages
    )
    assert not decides(rollout)[0]


def test_a_provider_in_trouble_is_logged(rollout: Rollout, caplog: pytest.LogCaptureFixture) -> None:
    """Once, when it says so; until it is well again its old values count, if it still has any."""
    provider = InMemoryProvider(flags(MATCH=True))
    provide(provider)
    provider.emit_provider_stale(ProviderEventDetails(message="the connection is gone"))
    trouble = (
        'OpenFeature\'s provider "In-Memory Provider" has trouble; flags may be old, or off: the connection is gone'
    )
    until(lambda: trouble in caplog.messages)
    assert decides(rollout)[0]


class Broken(InMemoryProvider):
    """Fails at whatever it is asked."""

    def _resolve(self, *args: Any) -> Any:
        raise OSError("down")


@pytest.mark.parametrize(
    ("provider", "problem"),
    [
        (Broken(flags()), "GENERAL down"),
        (InMemoryProvider(flags(MATCH={"a": 1})), "TYPE_MISMATCH Expected type <class 'float'> but got <class 'dict'>"),
        (InMemoryProvider(flags(MATCH="maybe")), "'maybe' is no value: write on, off, or a percentage such as 25% or 0.5%"),
    ],
    ids=["broken", "object", "word"],
)  # fmt: skip
def test_what_cannot_be_read_is_off(
    rollout: Rollout, caplog: pytest.LogCaptureFixture, provider: InMemoryProvider, problem: str
) -> None:
    """And logged, once."""
    provide(provider)
    for _ in range(2):
        decided, reason = decides(rollout)
        assert not decided
        assert reason.endswith("cannot be read and is off")
    errors = [r.message for r in caplog.records if (r.name, r.levelname) == ("headrace.rollout", "ERROR")]
    own = [message for message in errors if "USE_BG_JOBS_MATCH" in message]
    assert len(own) == 1
    assert own[0].endswith(problem)


def test_a_provider_that_needs_a_key(rollout: Rollout) -> None:
    """Without one its flag is off."""

    def evaluate(flag: InMemoryFlag[bool], context: EvaluationContext) -> FlagResolutionDetails[bool]:
        if context.targeting_key is None:
            raise TargetingKeyMissingError
        return FlagResolutionDetails(value=True)

    provide(InMemoryProvider(flags(MATCH=InMemoryFlag("on", {"on": True}, context_evaluator=evaluate))))
    assert [decides(rollout, key)[0] for key in ("7", None)] == [True, False]


def test_a_provider_that_is_not_ready(rollout: Rollout) -> None:
    """Everything is direct until it is."""
    ready = threading.Event()

    class Slow(InMemoryProvider):
        def initialize(self, evaluation_context: EvaluationContext) -> None:
            ready.wait(PATIENCE_S)

    api.set_provider(Slow(flags(MATCH=True)), DOMAIN)
    assert not decides(rollout)[0]
    ready.set()
    until(lambda: rollout.decide("match", None)[0])


async def test_asynchronous_code_waits_without_blocking(rollout: Rollout) -> None:
    """The provider's asynchronous methods are used: it may ask a server."""
    asked: list[str] = []

    class Remote(InMemoryProvider):
        async def _resolve_async(self, flag_key: str, default_value: Any, evaluation_context: Any) -> Any:
            await asyncio.sleep(0)
            asked.append(flag_key)
            return super()._resolve(flag_key, default_value, evaluation_context)

        def _resolve(self, *args: Any) -> Any:
            raise AssertionError("it would block the event loop")

    provide(Remote(flags(MATCH=True)))
    assert (await rollout.decide_async("match", None))[0]
    assert asked == ["USE_BG_JOBS_GLOBAL", "USE_BG_JOBS_MATCH"]


def test_the_right_type_is_remembered(rollout: Rollout) -> None:
    """A flag is asked for once, after it has been found out what it is."""
    asked: list[Any] = []

    class Counting(InMemoryProvider):
        def _resolve(self, flag_key: str, default_value: Any, evaluation_context: Any) -> Any:
            asked.append(default_value)
            return super()._resolve(flag_key, default_value, evaluation_context)

    provide(Counting(flags(MATCH=0.5)))
    rollout.decide("match", None)
    asked.clear()
    rollout.decide("match", None)
    assert asked == [False, 0.0]


def test_values_at_the_start(rollout: Rollout) -> None:
    """`validate` asks the provider, too."""
    rollout.trigger("match", rollout.app.task(name="task")(lambda: None))
    provide(InMemoryProvider(flags(MATCH="maybe")))
    with pytest.raises(ConfigurationError, match="USE_BG_JOBS_MATCH: 'maybe' is no value"):
        rollout.validate()
    provide(Broken(flags()))
    rollout.validate()


def test_without_the_sdk(monkeypatch: pytest.MonkeyPatch) -> None:
    """What to install; everything else works without it."""
    monkeypatch.setitem(sys.modules, "openfeature", None)
    with pytest.raises(ConfigurationError, match=r"pip install headrace\[flags\]"):
        OpenFeatureFlags()
