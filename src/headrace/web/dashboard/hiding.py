"""Secrets in forms: what was hidden when a form was filled comes back as it was hidden, and means what it was."""

from __future__ import annotations

from typing import Any

from headrace._redact import HIDDEN, UNKNOWN


def restore_hidden(given: Any, original: Any) -> Any:
    """What somebody has edited, with the original in each place that was hidden from them and left as it was."""
    match given:
        case str() if given in (HIDDEN, UNKNOWN):
            return original
        case dict():
            known = original if isinstance(original, dict) else {}
            return {key: restore_hidden(value, known.get(key, value)) for key, value in given.items()}
        case list():
            items = original if isinstance(original, list) else []
            return [restore_hidden(value, items[n] if n < len(items) else value) for n, value in enumerate(given)]
        case _:
            return given
