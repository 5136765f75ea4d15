"""Moving work to the background step by step, and back at once.

Flags decide for each call of a `Trigger` (trigger.py has what happens then):

* Two flags are read: the master switch and the trigger's own. The smaller share counts.
* A share between nothing and everything is compared with the key's place, which never changes: who is in at 10 % is in
  at 20 %. Without a key the place is drawn for this call.
* What a flag or its provider does wrong never reaches the caller: it is logged, and the flag is off.
"""

from __future__ import annotations

import inspect
import logging
import random
import re
import threading
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, overload

from headrace.errors import ConfigurationError, HeadraceError, did_you_mean
from headrace.flags import WHOLE, EnvironmentFlags, Flags, FlagValue, share_of
from headrace.trigger import RolloutMode, Trigger

if TYPE_CHECKING:
    from headrace.app import Headrace
    from headrace.task import Task

P = ParamSpec("P")
R = TypeVar("R")
D = TypeVar("D")

_NAME = re.compile(r"[a-z][a-z0-9_]*", re.ASCII)
_MASTER = "global"
_log = logging.getLogger("headrace.rollout")


@dataclass(frozen=True, slots=True)
class _Reading:
    """One flag, read."""

    share: int
    said: str


class Rollout:
    """Flags that decide, trigger by trigger, whether work goes to the background.

    Args:
        app: Whose tasks these are.
        prefix: What the names of the flags start with: USE_BG_JOBS_GLOBAL is the master switch, USE_BG_JOBS_MATCH the
            flag of the trigger "match". A flag that is not set is off.
        flags: Where they are read. Default: the environment.

    Attributes:
        triggers: Those that are declared, by name.
    """

    def __init__(self, app: Headrace, prefix: str = "USE_BG_JOBS", flags: Flags | None = None) -> None:
        self.app = app
        self.prefix = prefix
        self.triggers: dict[str, Trigger[..., Any, Any]] = {}
        self._flags = flags or EnvironmentFlags()
        self._counts: Counter[tuple[str, str]] = Counter()
        self._lock = threading.Lock()
        self._complaints: dict[str, str] = {}
        app.rollouts.append(self)

    # -- declaring --

    @overload
    def trigger(self, name: str, task: Task[P, P, R], *, key: str | None = None) -> Trigger[P, R, R]: ...
    @overload
    def trigger(
        self, name: str, task: Task[..., ..., R], *, direct: Callable[P, Coroutine[Any, Any, D]], key: str | None = None
    ) -> Trigger[P, R, D]: ...
    @overload
    def trigger(
        self, name: str, task: Task[..., ..., R], *, direct: Callable[P, D], key: str | None = None
    ) -> Trigger[P, R, D]: ...

    def trigger(
        self, name: str, task: Task[..., ..., Any], *, direct: Callable[..., Any] | None = None, key: str | None = None
    ) -> Trigger[..., Any, Any]:
        """Declare a place where work starts.

        Args:
            name: Its name, such as "match"; its flag is PREFIX_MATCH.
            task: What is enqueued in the background.
            direct: The direct path: a function of the same arguments, which it gets as the caller gave them. Default:
                the task's own function, which gets what a worker would give it: the arguments as they are stored.
            key: The task's argument by which a percentage is stable. For keys that are no argument: `Trigger.by`.

        Raises:
            ConfigurationError: The declaration makes no sense, or the name is taken.
        """
        self._check_trigger_name(name)
        filled = [*task.arguments.context_names, *task.arguments.injected]
        given = [argument for argument in inspect.signature(task.handler).parameters if argument not in filled]
        if key is not None and key not in given:
            raise ConfigurationError(f'trigger "{name}": "{key}" is no argument of {task}. {did_you_mean(key, given)}')
        if direct is None and filled:
            raise ConfigurationError(
                f'trigger "{name}": only a worker can give {task} its {", ".join(filled)}: say direct=, a function for '
                "the direct path"
            )
        if direct is not None:
            _check_direct(name, task, given, direct)
        trigger: Trigger[..., Any, Any] = Trigger(self, name, task, direct, key)
        self.triggers[name] = trigger
        return trigger

    def _check_trigger_name(self, name: str) -> None:
        if not _NAME.fullmatch(name) or name == _MASTER:
            raise ConfigurationError(
                f'"{name}" cannot name a trigger: write small letters, digits and _, such as "match"; "{_MASTER}" is '
                "the master switch"
            )
        if name in self.triggers:
            raise ConfigurationError(f'a trigger named "{name}" is declared already: give this one another name')

    def flag_of(self, name: str) -> str:
        """The name of a trigger's flag; of the master switch for "global"."""
        return f"{self.prefix}_{name.upper()}"

    def validate(self) -> None:
        """Read all flags once, at the start of the program. Later, a flag with a wrong value is logged, and off.

        Raises:
            ConfigurationError: Some have values that mean nothing.
        """
        flags = [self.flag_of(name) for name in (_MASTER, *self.triggers)]
        wrong = [problem for flag in flags if (problem := self._problem_of(flag))]
        if wrong:
            raise ConfigurationError("; ".join(wrong))
        for name in self._flags.names():
            if name.startswith(f"{self.prefix}_") and name not in flags:
                _log.warning("no trigger here reads the flag %s. %s", name, did_you_mean(name, flags))

    def _problem_of(self, flag: str) -> str | None:
        try:
            share_of(self._flags.read(flag, None))
        except ValueError as error:
            return f"the flag {flag}: {error}"
        except Exception as error:  # noqa: BLE001 - a provider that is away must not keep the program from starting
            self._off(flag, error)
        return None

    # -- deciding --

    def decide(self, trigger: str, key: str | None) -> tuple[bool, str]:
        """Whether a call goes to the background, and why; counts nothing."""
        return _weigh(trigger, key, self._read(_MASTER, key), self._read(trigger, key))

    async def decide_async(self, trigger: str, key: str | None) -> tuple[bool, str]:
        """`decide` that waits for providers that ask somebody."""
        return _weigh(trigger, key, await self._read_async(_MASTER, key), await self._read_async(trigger, key))

    def _read(self, name: str, key: str | None) -> _Reading:
        flag = self.flag_of(name)
        try:
            return self._understood(flag, self._flags.read(flag, key))
        except Exception as error:  # noqa: BLE001 - whatever it is, the caller's request goes on
            return self._off(flag, error)

    async def _read_async(self, name: str, key: str | None) -> _Reading:
        flag = self.flag_of(name)
        try:
            return self._understood(flag, await self._flags.read_async(flag, key))
        except Exception as error:  # noqa: BLE001 - whatever it is, the caller's request goes on
            return self._off(flag, error)

    def _understood(self, flag: str, value: FlagValue) -> _Reading:
        share = share_of(value)
        self._complaints.pop(flag, None)
        return _Reading(share, f"{flag} is {_in_words(value, share)}")

    def _off(self, flag: str, error: Exception) -> _Reading:
        """What a flag is that cannot be read: off. Logged once, until something else is wrong with it."""
        problem = str(error) if isinstance(error, HeadraceError | ValueError) else repr(error)
        if self._complaints.get(flag) != problem:
            self._complaints[flag] = problem
            _log.error("the flag %s cannot be read and is off: %s", flag, problem)
        return _Reading(0, f"{flag} cannot be read and is off")

    # -- counting --

    def record(self, trigger: str, mode: RolloutMode, reason: str) -> None:
        """Count and log what becomes of a call."""
        with self._lock:
            self._counts[trigger, mode] += 1
        level = logging.INFO if mode in (RolloutMode.BACKGROUND, RolloutMode.DIRECT) else logging.WARNING
        _log.log(level, 'trigger "%s", %s: %s', trigger, mode, reason)

    def counts(self) -> Counter[tuple[str, str]]:
        """How many calls there were in this process, by (trigger, `RolloutMode`)."""
        with self._lock:
            return self._counts.copy()


def _check_direct(name: str, task: Task[..., ..., Any], given: list[str], direct: Callable[..., Any]) -> None:
    """Refuse a function that would take arguments for others; type checkers do not see it."""
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    takes = [p.name for p in inspect.signature(direct).parameters.values() if p.kind in kinds]
    if takes != [argument for argument in given if argument in takes]:
        raise ConfigurationError(
            f'trigger "{name}": the direct path takes ({", ".join(takes)}), {task} takes ({", ".join(given)}): give '
            "them the same names, in the same order"
        )


def place_of(trigger: str, key: str) -> int:
    """A key's place among the `WHOLE` of a trigger: it is in while the share is larger.

    docs/rollout.md has the same in SQL.
    """
    digest = sha256(f"{trigger}:{key}".encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:4]) % WHOLE


def _weigh(trigger: str, key: str | None, master: _Reading, own: _Reading) -> tuple[bool, str]:
    smaller = master if master.share < own.share or master.share == 0 else own
    if smaller.share in (0, WHOLE):
        return smaller.share == WHOLE, smaller.said
    # Without a key there is nothing to be stable by; the share holds for many calls.
    place = random.randrange(WHOLE) if key is None else place_of(trigger, key)  # noqa: S311 - it hides nothing
    whose = "this call, which has no key, drew" if key is None else "this key has"
    return place < smaller.share, f"{smaller.said}, and {whose} place {place / 100:.2f} of 100"


def _in_words(value: FlagValue, share: int) -> str:
    if value is None or (isinstance(value, str) and not value.strip()):
        return "not set"
    return {0: "off", WHOLE: "on"}.get(share, f"{share / 100:g}%")
