"""Every wait has a deadline, and says what it waited for."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_for(what: str, condition: Callable[[], T], deadline_s: float = 60.0, every_s: float = 0.01) -> T:
    """The first true answer of the condition.

    Raises:
        TimeoutError: There was none in time.
    """
    deadline = time.monotonic() + deadline_s
    while not (answer := condition()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {deadline_s:g} s in vain until {what}")
        time.sleep(every_s)
    return answer
