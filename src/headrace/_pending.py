"""Arguments that are not known yet: the results of other jobs of a workflow."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NoReturn

from headrace.errors import InvalidArguments


class ResultNotKnown(TypeError):
    """Somebody converts a result that does not exist yet."""


class PendingResult:
    """Stands for a result, where a job is made. It is no value: what would turn it into one raises.

    Attributes:
        node: The name of the node whose result it is; None: of what comes before the job.
    """

    __slots__ = ("node",)

    def __init__(self, node: str | None) -> None:
        self.node = node

    def __repr__(self) -> str:
        return "previous()" if self.node is None else f'result("{self.node}")'

    def _refuse(self, *_: Any) -> NoReturn:
        raise ResultNotKnown(f"{self!r} is known only when the job runs: give it to a parameter as it is")

    __str__ = __bool__ = __iter__ = __len__ = __int__ = __float__ = __index__ = __getitem__ = __format__ = _refuse


class PendingArguments(InvalidArguments):
    """Some arguments are results of other jobs, so this call cannot be written as a job that stands alone.

    Attributes:
        known: The other arguments, by name.
        pending: Those.
    """

    def __init__(self, message: str, known: dict[str, Any], pending: dict[str, PendingResult]) -> None:
        super().__init__(message)
        self.known = known
        self.pending = pending

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (str(self), self.known, self.pending)


def holds_pending(value: Any, depth: int = 4) -> bool:
    """Whether there is one inside a list or dictionary, not too deep."""
    match value:
        case PendingResult():
            return True
        case dict():
            items: Iterable[Any] = value.values()
        case list() | tuple() | set() | frozenset():
            items = value
        case _:
            return False
    return depth > 0 and any(holds_pending(item, depth - 1) for item in items)
