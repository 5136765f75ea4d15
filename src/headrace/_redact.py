"""What must not leave the database in clear, and how it is hidden: the one place for it.

Three things say that a value is secret:

* a mark: ``Annotated[str, Secret]`` on a parameter of a task, on its return value, or on a field of a model, dataclass
  or typed dictionary below them;
* its name: ``password``, ``api_key``, ``accessToken`` … (`DEFAULT_NAMES`), in arguments, results and metadata, however
  deep;
* ``Headrace(secret_names=[...])``: further names.

What tasks mark is stored with the registered task (`Secrets.as_json`), so that a dashboard or a command line without
the app knows it. Values that are secret are also looked for in what was said while the job ran: errors, tracebacks, log
lines, progress, results. Workers do that before they store it; whoever shows a job passes it through `Redactor.job`.

Where it is not sure, it hides: a value of another shape than the mark expects, and all arguments of a task that no
worker has registered yet and this app does not know.

A job that succeeds without saying anything costs nothing here. The first line or error of an attempt costs a look at
its arguments as text, and only if that finds something, at the arguments themselves.
"""

from __future__ import annotations

import dataclasses
import json
import re
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, Union, get_args, get_origin, get_type_hints
from urllib.parse import quote, quote_plus

from pydantic import BaseModel, RootModel, SecretBytes, SecretStr
from typing_extensions import TypeAliasType, is_typeddict

if TYPE_CHECKING:
    from headrace.job import AttemptInfo, JobInfo, LogLine, StepInfo
    from headrace.schedule import Schedule
    from headrace.task import Task

HIDDEN = "[redacted]"
UNKNOWN = "[redacted: no worker has registered this task yet]"

DEFAULT_NAMES = (
    "password", "passwd", "passphrase", "pwd", "secret", "token", "authorization", "credential", "cookie", "api_key",
    "access_key", "private_key", "encryption_key", "signing_key", "connection_string", "card_number", "cvv", "cvc",
)  # fmt: skip
"""Words with which a name ends, or that stand in it: ``api_key`` is found in stripe_api_key, apiKey2, X-API-Key-Old."""

ANY_ITEM = "*"
ANY_DEPTH = "**"
_MOST_DEPTH = 200
_SHORT_CHARS = 4
"""Shorter secrets are hidden in texts only where they stand alone: they would be found in every word."""
_ELLIPSES = ("...", "…")
_LEAST_OF_CUT_CHARS = 4
_LEAST_LINE_CHARS = 12
_URL_PASSWORD = re.compile(r"(://[^:/?#@\s]*):[^/?#\s]+@")
_BEARER = re.compile(r"\b(Bearer|Basic)\s+[\w.~+/=-]{8,}", re.IGNORECASE)
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_OTHER = re.compile(r"[^a-z0-9]+")

Path = tuple[str, ...]


class Secret:
    """Marks a value that must not be shown: ``token: Annotated[str, Secret]``.

    On a parameter of a task, its return value, or a field of a model below them. The handler gets the value as ever,
    and it is stored for it; logs, errors, the command line, the API, pages, traces and the audit log show "[redacted]".
    """


@dataclass(frozen=True, slots=True)
class Secrets:
    """What one task keeps secret.

    Attributes:
        args: Where in its arguments: names, "*" for every item, "**" for any depth.
        result: Where in its result.
        names: Names that are secret beside `DEFAULT_NAMES`.
        everything: Nothing is known of the task: all its arguments and its result count as secret.
    """

    args: tuple[Path, ...] = ()
    result: tuple[Path, ...] = ()
    names: tuple[str, ...] = ()
    everything: bool = False

    @classmethod
    def of(cls, parameters: Mapping[str, Any], returns: Any = None, names: Sequence[str] = ()) -> Secrets:
        """Read the annotations of a handler."""
        args = {(name, *path) for name, kind in parameters.items() for path in find_marks(kind)}
        return cls(tuple(sorted(args)), tuple(sorted(set(find_marks(returns)))), tuple(map(_words, names)))

    def as_json(self) -> dict[str, Any] | None:
        """What is stored with the task; None where there is nothing."""
        fields = {"args": self.args, "result": self.result, "names": self.names}
        return {name: value for name, value in fields.items() if value} or None

    @classmethod
    def from_json(cls, stored: Mapping[str, Any] | None) -> Secrets:
        """What `as_json` made."""
        if not stored:
            return NO_MARKS
        args, result = (tuple(tuple(path) for path in stored.get(name, ())) for name in ("args", "result"))
        return cls(args, result, tuple(stored.get("names", ())))

    def joined(self, other: Secrets) -> Secrets:
        """What either keeps secret."""
        return Secrets(
            tuple(sorted({*self.args, *other.args})),
            tuple(sorted({*self.result, *other.result})),
            tuple(dict.fromkeys((*self.names, *other.names))),
            self.everything and other.everything,
        )

    def redact_args(self, args: Any) -> Any:
        """Arguments as they may be shown."""
        if not args:
            return args
        if self.everything:
            return dict.fromkeys(args, UNKNOWN) if isinstance(args, dict) else UNKNOWN
        return _Walk(self.names).hide(args, self.args)

    def redact_result(self, result: Any, texts: Texts | None = None) -> Any:
        """A result, or that of a step, as it may be shown.

        Args:
            result: It.
            texts: Of the job's arguments: their secrets are hidden in it, too.
        """
        if self.everything:
            return None if result is None else UNKNOWN
        return _in_texts(_Walk(self.names).hide(result, self.result), texts)

    def redact_named(self, value: Any, texts: Texts | None = None) -> Any:
        """Anything else that is JSON, such as metadata: what has a secret name is hidden."""
        return _in_texts(_Walk(self.names).hide(value, ()), texts)

    def hides(self, of: str, path: Path) -> bool:
        """Whether what is at a path of the arguments ("args"), the result or anything else may not be shown.

        Then it may not be searched for either: whoever can ask whether it begins with an "a" can read it.
        """
        pattern = strict(self.names)
        if any(is_secret_name(pattern, part) for part in path):
            return True
        marks = _active(self.args if of == "args" else self.result if of == "result" else ())
        for part in path:
            if () in marks:
                return True
            marks = _below(marks, part) | _below(marks, None)
        return () in marks

    def texts(self, args: Any, result: Any = None) -> Texts:
        """What hides the secrets of these arguments, and of this result, in texts."""
        found = _Walk(self.names).secrets_of(args, self.args)
        return Texts(found | _Walk(self.names).secrets_of(result, self.result))

    def texts_of(self, packed: str | None) -> Texts:
        """`texts`, of arguments as JSON: they are only read if there may be something secret in them."""
        if not packed or not (self.args or loose(self.names).search(packed)):
            return NO_TEXTS
        try:
            return self.texts(json.loads(packed))
        except (ValueError, RecursionError):
            return NO_TEXTS  # no handler has seen them


NO_MARKS = Secrets()
NOTHING_KNOWN = Secrets(everything=True)


def redact(task: Task[..., ..., Any] | Secrets, args: Any) -> Any:
    """A task's arguments as they may be shown."""
    return (task if isinstance(task, Secrets) else task.secrets).redact_args(args)


class Redactor:
    """What all tasks keep secret: `Headrace.redactor` makes it. Whatever shows jobs passes them through one.

    Args:
        stored: What workers have registered, by task name, aliases included.
        declared: What this app's own code says.
        names: The app's further names.
    """

    def __init__(
        self, stored: Mapping[str, Secrets], declared: Mapping[str, Secrets] | None = None, names: Sequence[str] = ()
    ) -> None:
        self._stored = stored
        self._declared = declared or {}
        self._names = Secrets(names=tuple(names))

    def of(self, task: str) -> Secrets:
        """What one task keeps secret; all, if nobody knows the task."""
        known = [known[task] for known in (self._stored, self._declared) if task in known]
        if not known:
            return NOTHING_KNOWN
        secrets = self._names
        for each in known:
            secrets = secrets.joined(each)
        return secrets

    def all(self) -> Secrets:
        """What any task keeps secret."""
        secrets = self._names
        for each in (*self._stored.values(), *self._declared.values()):
            secrets = secrets.joined(each)
        return secrets

    def job(self, job: JobInfo) -> JobInfo:
        """A job as it may be shown."""
        secrets = self.of(job.task)
        texts = secrets.texts(job.args, job.result)
        return dataclasses.replace(
            job,
            args=secrets.redact_args(job.args),
            result=secrets.redact_result(job.result, texts),
            error=texts.everywhere(job.error),
            progress=texts.everywhere(job.progress),
            metadata=secrets.redact_named(job.metadata, texts),
            cancel_reason=texts.optional(job.cancel_reason),
            unique_key=texts.optional(job.unique_key),
            correlation_id=texts.optional(job.correlation_id),
            tags=texts.everywhere(job.tags),
        )

    def life(
        self, job: JobInfo, attempts: Sequence[AttemptInfo], steps: Sequence[StepInfo], logs: Sequence[LogLine]
    ) -> tuple[JobInfo, list[AttemptInfo], list[StepInfo], list[LogLine]]:
        """A job, with what is kept of its attempts, as it may be shown."""
        secrets = self.of(job.task)
        texts = secrets.texts(job.args, job.result)
        return (
            self.job(job),
            [dataclasses.replace(attempt, error=texts.everywhere(attempt.error)) for attempt in attempts],
            [dataclasses.replace(step, result=secrets.redact_result(step.result, texts)) for step in steps],
            [dataclasses.replace(line, message=texts(line.message)) for line in logs],
        )

    def schedule(self, schedule: Schedule) -> Schedule:
        """A schedule as it may be shown."""
        return dataclasses.replace(schedule, args=self.args(schedule.task, schedule.args))

    def named(self, value: Any) -> Any:
        """What belongs to no task, such as an event's payload, as it may be shown: by the names that any app has."""
        return self.all().redact_named(value)

    def args(self, task: str, args: Any) -> Any:
        """A task's arguments as they may be shown: of a job, a schedule, a workflow's node."""
        return self.of(task).redact_args(args)

    def result(self, task: str, result: Any, args: Any = None) -> Any:
        """A result, or that of a step, as it may be shown; the secrets among the arguments are hidden in it."""
        secrets = self.of(task)
        return secrets.redact_result(result, secrets.texts(args))

    def texts(self, task: str, args: Any, result: Any = None) -> Texts:
        """What hides the secrets of one job's arguments and result in its errors, log lines and other texts."""
        return self.of(task).texts(args, result)


# -- texts --


class Texts:
    """Hides given secrets where they occur in texts: as they are, escaped, quoted for a URL, or cut by an ellipsis."""

    __slots__ = ("_alone", "_anywhere")

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        found = {secret for secret in secrets if secret.strip()}
        anywhere = {form for secret in found if len(secret) >= _SHORT_CHARS for form in _forms(secret)}
        self._anywhere = sorted(anywhere, key=len, reverse=True)
        short = sorted((re.escape(s) for s in found if len(s) < _SHORT_CHARS), key=len, reverse=True)
        self._alone = re.compile(rf"(?<!\w)(?:{'|'.join(short)})(?!\w)") if short else None

    def __bool__(self) -> bool:
        return bool(self._anywhere) or self._alone is not None

    def __call__(self, text: str) -> str:
        """The text as it may be shown."""
        if "://" in text:
            text = _URL_PASSWORD.sub(rf"\1:{HIDDEN}@", text)
        if "Bearer " in text or "Basic " in text:
            text = _BEARER.sub(rf"\1 {HIDDEN}", text)
        for secret in self._anywhere:
            if secret in text:
                text = text.replace(secret, HIDDEN)
        if self._anywhere and any(ellipsis in text for ellipsis in _ELLIPSES):
            text = self._without_cut(text)
        return text if self._alone is None else self._alone.sub(HIDDEN, text)

    def optional(self, text: str | None) -> str | None:
        """The same of what may be missing."""
        return None if text is None else self(text)

    def everywhere(self, value: Any) -> Any:
        """The same of every text in a JSON value."""
        return _map_texts(value, self) if value else value

    def _without_cut(self, text: str) -> str:
        """Libraries shorten values that they quote, as 'abcd...wxyz': the parts are hidden, too."""
        for ellipsis in _ELLIPSES:
            parts = text.split(ellipsis)
            for place in range(len(parts) - 1):
                for secret in self._anywhere:
                    left, right = parts[place], parts[place + 1]
                    if head := _overlap(left, secret):
                        parts[place] = left[: len(left) - head] + HIDDEN
                    if tail := _overlap(secret, right):
                        parts[place + 1] = HIDDEN + right[tail:]
            text = ellipsis.join(parts)
        return text


NO_TEXTS = Texts()


def _overlap(ends: str, starts: str) -> int:
    """How long the longest end of one text is that the other starts with; 0 if that says nothing."""
    for length in range(min(len(ends), len(starts)), _LEAST_OF_CUT_CHARS - 1, -1):
        if ends.endswith(starts[:length]):
            return length
    return 0


def _forms(secret: str) -> Iterator[str]:
    """How a secret may be written in a text."""
    yield secret
    yield repr(secret)[1:-1]
    yield json.dumps(secret)[1:-1]
    yield json.dumps(secret, ensure_ascii=False)[1:-1]
    yield quote(secret, safe="")
    yield quote_plus(secret)
    if "\n" in secret:  # a key file: tracebacks and logs show it line by line
        yield from (line.strip() for line in secret.splitlines() if len(line.strip()) >= _LEAST_LINE_CHARS)


def _map_texts(value: Any, change: Callable[[str], str], depth: int = 0) -> Any:
    if isinstance(value, str):
        return change(value)
    if depth > _MOST_DEPTH:
        return HIDDEN
    if isinstance(value, dict):
        return {key: _map_texts(item, change, depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_map_texts(item, change, depth + 1) for item in value]
    return value


def _in_texts(value: Any, texts: Texts | None) -> Any:
    return value if texts is None or not texts else texts.everywhere(value)


# -- values --


class _Walk:
    """Goes through a JSON value, and hides what is marked or has a secret name."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = strict(tuple(names))
        self._found: set[str] | None = None

    def hide(self, value: Any, marks: Iterable[Path]) -> Any:
        """A copy in which it is hidden."""
        return self._hide(value, _active(marks), 0)

    def secrets_of(self, value: Any, marks: Iterable[Path]) -> set[str]:
        """The texts and numbers that are hidden."""
        self._found = set()
        self.hide(value, marks)
        return self._found

    def _hide(self, value: Any, marks: frozenset[Path], depth: int) -> Any:
        if value is None:
            return None
        if () in marks or depth > _MOST_DEPTH or (marks and _is_unexpected(value, marks)):
            self._collect(value)
            return HIDDEN
        if isinstance(value, dict):
            return {key: self._hide_item(str(key), item, marks, depth) for key, item in value.items()}
        if isinstance(value, list | tuple):
            below = _below(marks, None)
            return [self._hide(item, below, depth + 1) for item in value]
        return value

    def _hide_item(self, key: str, item: Any, marks: frozenset[Path], depth: int) -> Any:
        if is_secret_name(self._names, key, item):
            self._collect(item)
            return None if item is None else HIDDEN
        return self._hide(item, _below(marks, key), depth + 1)

    def _collect(self, value: Any) -> None:
        if self._found is None:
            return
        waiting = [value]
        while waiting:
            match waiting.pop():
                case str(text):
                    self._found.add(text)
                case bool() | None:
                    pass
                case int() | float() as number:
                    self._found.add(json.dumps(number))
                case dict() as items:
                    waiting += items.values()
                case list() | tuple() as items:
                    waiting += items


def _active(marks: Iterable[Path]) -> frozenset[Path]:
    """Marks as they count at one place: "any depth" includes this one."""
    active = set()
    for mark in marks:
        active.add(mark)
        if mark and mark[0] == ANY_DEPTH:
            active.add(mark[1:])
    return frozenset(active)


def _below(marks: frozenset[Path], key: str | None) -> frozenset[Path]:
    """The marks that count inside of an item; of a list, if it has no key."""
    if not marks:
        return marks
    further = set()
    for mark in marks:
        if mark[0] == ANY_DEPTH:
            further.add(mark)
        elif mark[0] == ANY_ITEM or mark[0] == key:
            further.add(mark[1:])
    return _active(further)


def _is_unexpected(value: Any, marks: frozenset[Path]) -> bool:
    """Whether a mark expects an object or a list with something secret in it, and this is something else."""
    if isinstance(value, dict):
        return False
    expected = {mark[0] for mark in marks if mark[0] != ANY_DEPTH}
    below_any_depth = {mark[1] for mark in marks if mark[0] == ANY_DEPTH and len(mark) > 1}
    expected -= below_any_depth
    return bool(expected - {ANY_ITEM}) if isinstance(value, list | tuple) else bool(expected)


# -- names --


@cache
def strict(names: tuple[str, ...]) -> re.Pattern[str]:
    """What finds a secret name among words joined by underscores; group 1 is the s of a plural."""
    words = sorted({_words(name).replace("_", "_?") for name in (*DEFAULT_NAMES, *names) if _words(name)})
    return re.compile(rf"(?:{'|'.join(words)})(s?)\d*(?:_|$)")


@cache
def loose(names: tuple[str, ...]) -> re.Pattern[str]:
    """What finds every text in which `strict` could find a name, and others."""
    words = sorted({re.escape(_words(name).partition("_")[0]) for name in (*DEFAULT_NAMES, *names) if _words(name)})
    return re.compile("|".join(words), re.IGNORECASE)


def is_secret_name(pattern: re.Pattern[str], name: str, value: Any = "") -> bool:
    """Whether what has this name is secret. Booleans are not, nor numbers under a plural: max_tokens is a count."""
    found = _find_name(pattern, name[:200])
    if found is None or isinstance(value, bool):
        return False
    return not (found and isinstance(value, int | float))


@lru_cache(maxsize=4096)
def _find_name(pattern: re.Pattern[str], name: str) -> bool | None:
    """None: it is no secret name; else whether it is one in the plural."""
    found = pattern.search(_words(name))
    return None if found is None else bool(found[1])


def _words(name: str) -> str:
    """apiKey, API-Key and api.key as api_key."""
    return _OTHER.sub("_", _CAMEL.sub("_", name).lower()).strip("_")


# -- marks --


def find_marks(kind: Any) -> list[Path]:
    """Where a type holds something that is marked as secret."""
    return list(_Marks().find(kind))


class _Marks:
    """Reads annotations. A type that holds itself has its marks at any depth."""

    def __init__(self) -> None:
        self._open: list[type] = []
        self._recursive: set[type] = set()

    def find(self, kind: Any) -> Iterator[Path]:
        origin, args = get_origin(kind), get_args(kind)
        if _is_mark(kind) or kind in (SecretStr, SecretBytes):
            yield ()
        elif origin is Annotated:
            yield from [()] if any(map(_is_mark, args[1:])) else self.find(args[0])
        elif isinstance(kind, TypeAliasType) or type(kind).__name__ == "TypeAliasType":
            yield from self.find(kind.__value__)
        elif hasattr(kind, "__supertype__"):
            yield from self.find(kind.__supertype__)
        elif origin in (Union, UnionType) or type(origin).__name__ == "_SpecialForm":  # Required, NotRequired, ClassVar
            for arg in args:
                yield from self.find(arg)
        elif isinstance(kind, type) and origin is None:
            yield from self._of_class(kind)
        elif isinstance(origin, type) and (self._has_fields(origin)):
            yield from self._of_class(kind if isinstance(kind, type) else origin)
            for arg in args:  # of a generic dataclass: where in it is not known
                yield from [()] if any(True for _ in self.find(arg)) else []
        else:
            yield from self._of_container(origin, args)

    def _of_container(self, origin: Any, args: tuple[Any, ...]) -> Iterator[Path]:
        if isinstance(origin, type) and issubclass(origin, Mapping) and len(args) == 2:
            if any(True for _ in self.find(args[0])):
                yield ()
            args = args[1:]
        for arg in args:
            if arg is not Ellipsis and arg is not NoneType and not isinstance(arg, str | int | TypeVar):
                yield from ((ANY_ITEM, *path) for path in self.find(arg))

    @staticmethod
    def _has_fields(kind: type) -> bool:
        return (
            issubclass(kind, BaseModel)
            or dataclasses.is_dataclass(kind)
            or is_typeddict(kind)
            or typing.is_typeddict(kind)
            or (issubclass(kind, tuple) and hasattr(kind, "_fields"))
        )

    def _of_class(self, kind: type) -> Iterator[Path]:
        if not self._has_fields(kind):
            return
        if kind in self._open:
            self._recursive.add(kind)
            return
        self._open.append(kind)
        found = list(self._of_fields(kind))
        self._open.pop()
        yield from found
        if kind in self._recursive:
            yield from ((ANY_DEPTH, *path) for path in found if path)

    def _of_fields(self, kind: type) -> Iterator[Path]:
        if issubclass(kind, BaseModel):
            yield from self._of_model(kind)
            return
        is_tuple = issubclass(kind, tuple)
        for name, annotation in _hints(kind).items():
            for path in self.find(annotation):
                yield (ANY_ITEM if is_tuple else name, *path)

    def _of_model(self, kind: type[BaseModel]) -> Iterator[Path]:
        for name, field in kind.model_fields.items():
            names = {name, field.alias, field.serialization_alias} - {None}
            for path in [()] if any(map(_is_mark, field.metadata)) else self.find(field.annotation):
                if issubclass(kind, RootModel):
                    yield path
                else:
                    yield from ((str(each), *path) for each in names)
        for name, computed in kind.model_computed_fields.items():
            yield from ((name, *path) for path in self.find(computed.return_type))


def _is_mark(annotation: Any) -> bool:
    return annotation is Secret or isinstance(annotation, Secret)


def _hints(kind: type) -> dict[str, Any]:
    try:
        return get_type_hints(kind, include_extras=True)
    except (NameError, TypeError):
        # A name that only the function knows in which the class was made: what looks like a mark counts as one.
        hints = {
            name: hint for each in reversed(kind.__mro__) for name, hint in getattr(each, "__annotations__", {}).items()
        }
        return {name: Secret if isinstance(hint, str) and "Secret" in hint else hint for name, hint in hints.items()}
