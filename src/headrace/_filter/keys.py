"""What a filter can ask of a job: the keys, what kind of value each has, and what can be done with it."""

from __future__ import annotations

import enum
from dataclasses import dataclass

IS, EQUALS, CONTAINS = ":", "=", "~"
COMPARISONS = (">=", "<=", ">", "<")
OPERATORS = (*COMPARISONS, "!=", IS, EQUALS, CONTAINS)
"""Longer ones first: as they are looked for."""


class Kind(enum.Enum):
    """What the values of a key are."""

    TEXT = enum.auto()
    STATE = enum.auto()
    ID = enum.auto()
    FAILURE = enum.auto()
    NUMBER = enum.auto()
    MOMENT = enum.auto()
    DURATION = enum.auto()
    JSON = enum.auto()
    ERROR = enum.auto()

    @property
    def operators(self) -> tuple[str, ...]:
        """Those that a term of this kind may have."""
        return _OPERATORS_OF[self]


_OPERATORS_OF = {
    Kind.TEXT: (IS, EQUALS, CONTAINS),
    Kind.STATE: (IS, EQUALS),
    Kind.ID: (IS, EQUALS),
    Kind.FAILURE: (IS, EQUALS),
    Kind.NUMBER: (IS, EQUALS, *COMPARISONS),
    Kind.MOMENT: (IS, *COMPARISONS),
    Kind.DURATION: (IS, *COMPARISONS),
    Kind.JSON: (IS, EQUALS, CONTAINS, *COMPARISONS),
    Kind.ERROR: (IS, EQUALS, CONTAINS),
}


@dataclass(frozen=True, slots=True)
class Key:
    """One of them.

    Attributes:
        name: As it is written.
        kind: What its values are.
        means: For people.
        paths: Whether a path may follow: ``args.customer``.
        final: Whether only finished jobs have it.
        whole: Whether it can be asked for without a path.
    """

    name: str
    kind: Kind
    means: str
    paths: bool = False
    final: bool = False
    whole: bool = True


KEYS = {
    key.name: key
    for key in (
        Key("state", Kind.STATE, "the job's state"),
        Key("task", Kind.TEXT, "the task's name"),
        Key("queue", Kind.TEXT, "the queue's name"),
        Key("tag", Kind.TEXT, "one of its tags"),
        Key("tenant", Kind.TEXT, "whom it belongs to"),
        Key("correlation", Kind.TEXT, "the correlation id"),
        Key("unique", Kind.TEXT, "the unique key that it holds, or held when it finished"),
        Key("id", Kind.ID, "the job's id"),
        Key("workflow", Kind.ID, "the id of its workflow"),
        Key("worker", Kind.NUMBER, "the number of the worker that ran it last"),
        Key("attempts", Kind.NUMBER, "attempts used"),
        Key("priority", Kind.NUMBER, "its priority"),
        Key("created", Kind.MOMENT, "when it was enqueued"),
        Key("run", Kind.MOMENT, "when it is, or was, to run"),
        Key("started", Kind.MOMENT, "when it was claimed last"),
        Key("finished", Kind.MOMENT, "when it finished", final=True),
        Key("age", Kind.DURATION, "the time since it was enqueued"),
        Key("took", Kind.DURATION, "the time from its last claim to its end", final=True),
        Key("args", Kind.JSON, "its arguments", paths=True, whole=False),
        Key("meta", Kind.JSON, "its metadata", paths=True, whole=False),
        Key("result", Kind.JSON, "what its handler returned", paths=True, final=True),
        Key("error", Kind.ERROR, "why its last attempt failed: type and message", paths=True, final=True),
        Key("failure", Kind.FAILURE, "the group of failures that it belongs to", final=True),
    )
}
