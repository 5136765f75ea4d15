"""The errors: one tree, as its page says, and messages that help."""

from __future__ import annotations

import copy
import pickle
import re
from uuid import UUID

import pytest

import headrace
from headrace import (
    AnswerLost,
    Cancel,
    DuplicateJob,
    Fail,
    HeadraceError,
    JobFailed,
    NewJob,
    ResultTimeout,
    Snooze,
    errors,
)
from headrace.errors import did_you_mean


def documented() -> dict[str, str | None]:
    """Each error of the module docstring's tree, with its parent."""
    parents: dict[str, str | None] = {}
    path: list[str] = []
    for indent, name in re.findall(r"^    ((?:[│├└─ ]{4})*)(\w+)(?:  .*)?$", errors.__doc__ or "", re.MULTILINE):
        depth = len(indent) // 4
        path = [*path[:depth], name]
        parents[name] = path[depth - 1] if depth else None
    return parents


def defined() -> dict[str, type[HeadraceError]]:
    """Every error class of the module."""
    return {n: c for n, c in vars(errors).items() if isinstance(c, type) and issubclass(c, HeadraceError)}


def test_the_docstring_s_tree_is_the_tree() -> None:
    """Every error is in the module docstring under its parent, and nothing else is."""
    parents = {name: kind.__mro__[1].__name__ for name, kind in defined().items()}
    assert documented() == parents | {"HeadraceError": None}


def test_every_error_can_be_caught_by_its_name_from_the_package() -> None:
    """What headrace raises is public."""
    for name, kind in defined().items():
        assert getattr(headrace, name) is kind
        assert name in headrace.__all__


def test_everything_public_exists_and_is_documented() -> None:
    """`__all__` names real things, each with a docstring."""
    for name in headrace.__all__:
        thing = getattr(headrace, name)
        assert name == "__version__" or thing.__doc__, name


def test_a_result_s_time_out_is_a_timeout_error() -> None:
    """`except TimeoutError` catches it too."""
    assert issubclass(ResultTimeout, TimeoutError)


@pytest.mark.parametrize(
    "error",
    [
        AnswerLost("lost", [NewJob("id", "task", "{}", "default", 0, 5)]),
        DuplicateJob("held", UUID(int=7)),
        JobFailed("no", {"kind": "exception"}),
        Snooze(2.5),
        Cancel("why"),
        Fail("why"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_errors_survive_pickling_and_copying(error: Exception) -> None:
    """They may pass through process pools; what they carry goes with them."""
    for twin in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert (type(twin), str(twin), vars(twin)) == (type(error), str(error), vars(error))


@pytest.mark.parametrize(
    ("name", "known", "sentence"),
    [
        ("mial", ["mail", "report"], 'Did you mean "mail"?'),
        ("task_a", ["task_c", "task_b", "other"], 'Did you mean "task_c" or "task_b"?'),
        ("x", ["b", "a"], "Known: a, b."),
        ("x", [], "Known: none."),
    ],
)
def test_did_you_mean(name: str, known: list[str], sentence: str) -> None:
    """The closest names, else all of them."""
    assert did_you_mean(name, known) == sentence
