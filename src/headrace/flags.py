"""Feature flags: where a `Rollout` reads them, and what their values mean."""

from __future__ import annotations

import logging
import os
import re
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from headrace.errors import ConfigurationError, HeadraceError

if TYPE_CHECKING:
    from openfeature.client import OpenFeatureClient
    from openfeature.evaluation_context import EvaluationContext
    from openfeature.event import EventDetails

WHOLE = 10_000
"""A share is a number of places out of so many: hundredths of a percent."""

FlagValue = bool | int | float | str | None
_WORDS = {"": 0, "off": 0, "false": 0, "0": 0, "on": WHOLE, "true": WHOLE, "1": WHOLE}
_PERCENTAGE = re.compile(r"(\d{1,3}(?:\.\d{1,2})?)\s*%?", re.ASCII)
_KINDS = {"boolean": False, "string": "", "integer": 0, "float": 0.0}
"""OpenFeature wants to be told a flag's type before it is read; each with the value that it wants to be given."""

_OTHER_KIND = ("TYPE_MISMATCH", "PARSE_ERROR")
_log = logging.getLogger("headrace.rollout")


class Flags(ABC):
    """Where flags come from. They are read for every decision, so what changes there applies at once."""

    @abstractmethod
    def read(self, name: str, key: str | None) -> FlagValue:
        """The flag's value for this key; None if there is no such flag. May raise anything: it counts as off."""

    async def read_async(self, name: str, key: str | None) -> FlagValue:
        """`read` for asynchronous code; override it if reading waits for something."""
        return self.read(name, key)

    def names(self) -> list[str]:
        """The flags that are set, where that is known: `Rollout.validate` finds misspelt ones in it."""
        return []


class EnvironmentFlags(Flags):
    """Flags from this process's environment variables."""

    def read(self, name: str, key: str | None) -> FlagValue:
        """The variable's value."""
        return os.environ.get(name)

    def names(self) -> list[str]:
        """All variables."""
        return list(os.environ)


class OpenFeatureFlags(Flags):
    """Flags from the provider that is set for an OpenFeature client: ``pip install headrace[flags]``.

    The key goes into the evaluation context as its targeting key, so a provider may decide for each key by itself and
    answer true or false; or it answers with a percentage, a string or a number, and `Rollout` decides.

    Args:
        client: The client to ask. Default: the one without a domain.
    """

    def __init__(self, client: OpenFeatureClient | None = None) -> None:
        try:
            from openfeature import api  # noqa: PLC0415 - an extra
            from openfeature.event import ProviderEvent  # noqa: PLC0415
        except ImportError as error:
            raise ConfigurationError("OpenFeature's SDK is not installed: pip install headrace[flags]") from error
        self._client = client or api.get_client()
        self._kinds: dict[str, str] = {}
        self._client.add_handler(ProviderEvent.PROVIDER_CONFIGURATION_CHANGED, self._on_change)
        self._client.add_handler(ProviderEvent.PROVIDER_STALE, self._on_trouble)
        self._client.add_handler(ProviderEvent.PROVIDER_ERROR, self._on_trouble)

    def read(self, name: str, key: str | None) -> FlagValue:
        """The flag's value, whatever its type.

        Raises:
            HeadraceError: The provider cannot tell.
        """
        details = None
        for kind in self._kinds_to_try(name):
            details = self._evaluation(kind)(name, _KINDS[kind], _context(key))
            if details.error_code not in _OTHER_KIND:
                return self._value(name, kind, details)
        raise self._unreadable(name, details)

    async def read_async(self, name: str, key: str | None) -> FlagValue:
        """`read` that waits for providers that ask somebody."""
        details = None
        for kind in self._kinds_to_try(name):
            details = await self._evaluation(kind, "_async")(name, _KINDS[kind], _context(key))
            if details.error_code not in _OTHER_KIND:
                return self._value(name, kind, details)
        raise self._unreadable(name, details)

    def _kinds_to_try(self, name: str) -> list[str]:
        """All types, the one that was right last time first."""
        return sorted(_KINDS, key=lambda kind: kind != self._kinds.get(name))

    def _evaluation(self, kind: str, suffix: str = "") -> Any:
        return getattr(self._client, f"get_{kind}_details{suffix}")

    def _value(self, name: str, kind: str, details: Any) -> FlagValue:
        if details.error_code == "FLAG_NOT_FOUND":
            return None
        if details.error_code is not None:
            raise self._unreadable(name, details)
        self._kinds[name] = kind
        value: FlagValue = details.value
        return value

    def _unreadable(self, name: str, details: Any) -> HeadraceError:
        provider = self._client.provider.get_metadata().name
        why = " ".join(str(part) for part in (details.error_code, details.error_message) if part)
        return HeadraceError(f'OpenFeature\'s provider "{provider}" gives no value for the flag "{name}": {why}')

    def _on_change(self, details: EventDetails) -> None:
        self._kinds.clear()
        changed = ", ".join(details.flags_changed) if details.flags_changed else "not said which"
        _log.info('OpenFeature\'s provider "%s" has changed flags: %s', details.provider_name, changed)

    def _on_trouble(self, details: EventDetails) -> None:
        _log.warning(
            'OpenFeature\'s provider "%s" has trouble; flags may be old, or off: %s',
            details.provider_name, details.message or "not said what",
        )  # fmt: skip


def _context(key: str | None) -> EvaluationContext:
    from openfeature.evaluation_context import EvaluationContext  # noqa: PLC0415 - an extra

    return EvaluationContext(targeting_key=key)


def share_of(value: FlagValue) -> int:
    """How many of `WHOLE` places a flag's value gives.

    Raises:
        ValueError: It is no value of a flag; the message says which are.
    """
    if value is None or isinstance(value, bool):
        return WHOLE if value else 0
    if isinstance(value, str):
        return _share_of_text(value)
    if isinstance(value, int | float) and 0 <= value <= 100:
        return round(value * 100)
    raise _no_value(value)


def _share_of_text(text: str) -> int:
    word = text.strip().lower()
    if word in _WORDS:
        return _WORDS[word]
    percentage = _PERCENTAGE.fullmatch(word)
    if percentage is None or float(percentage[1]) > 100:
        raise _no_value(text)
    return round(float(percentage[1]) * 100)


def _no_value(value: Any) -> ValueError:
    return ValueError(f"{value!r:.60} is no value: write on, off, or a percentage such as 25% or 0.5%")
