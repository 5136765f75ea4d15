"""Finds the app that a command line names as MODULE:APP."""

from __future__ import annotations

import importlib
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headrace.app import Headrace
from headrace.errors import ConfigurationError, did_you_mean

if TYPE_CHECKING:
    from types import ModuleType

_EXAMPLE = 'write MODULE:APP, such as "shop.jobs:app" for the variable app in shop/jobs.py'


def import_app(target: str) -> Headrace:
    """Import the app; modules in the current directory are found too.

    Raises:
        ConfigurationError: There is none; the message says what was found instead.
    """
    module_name, _, path = target.partition(":")
    if not module_name or not path or "/" in module_name:
        raise ConfigurationError(f'"{target}" does not name an app: {_EXAMPLE}')
    found: Any = _import_module(module_name)
    for name in path.split("."):
        if not hasattr(found, name):
            raise ConfigurationError(f'"{module_name}" has no "{name}". {_suggest(name, found)}')
        found = getattr(found, name)
    if not isinstance(found, Headrace):
        suggestion = _suggest(path, sys.modules[module_name])
        raise ConfigurationError(f'"{target}" is of type {type(found).__qualname__}, not a Headrace. {suggestion}')
    return found


def _import_module(name: str) -> ModuleType:
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{name}.".startswith(f"{error.name}."):
            raise ConfigurationError(
                f'there is no module "{error.name}" in {here} or where Python looks for modules: {_EXAMPLE}'
            ) from error
        raise _import_failed(name, error) from error
    except SystemExit as error:
        raise ConfigurationError(
            f'importing "{name}" ended the program: put what it runs under `if __name__ == "__main__":`'
        ) from error
    except Exception as error:
        raise _import_failed(name, error) from error


def _import_failed(name: str, error: Exception) -> ConfigurationError:
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return ConfigurationError(
        f'importing "{name}" failed: {type(error).__name__}: {error} ({frame.filename}, line {frame.lineno})'
    )


def _suggest(name: str, where: Any) -> str:
    apps = [known for known, value in vars(where).items() if isinstance(value, Headrace)]
    return did_you_mean(name, apps) if apps else f"No variable of it is a Headrace: {_EXAMPLE}"
