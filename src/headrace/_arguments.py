"""A task's parameters: which of them callers give, how they become JSON when enqueued, and values again when run."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import json
import math
from collections.abc import Callable, Iterable, Iterator
from typing import Annotated, Any, NotRequired, Required, get_args, get_origin

from pydantic import BaseModel, ConfigDict, PydanticUserError, TypeAdapter, ValidationError, with_config
from pydantic.errors import PydanticInvalidForJsonSchema
from pydantic_core import PydanticSerializationError, to_json
from typing_extensions import TypedDict

from headrace._pending import PendingArguments, PendingResult, ResultNotKnown, holds_pending
from headrace.context import Context, Injected
from headrace.errors import ConfigurationError, InvalidArguments

MAX_ARGS_BYTES = 1 << 20
_READER_DIGITS = 4300
_READER_DEPTH = 200
"""What pydantic reads is bounded more tightly than what it writes: larger or deeper arguments are read back at once."""

_CONFIG = ConfigDict(extra="forbid", arbitrary_types_allowed=False, ser_json_inf_nan="constants")


class Arguments:
    """The stored arguments of one task.

    Attributes:
        context_names: Parameters that receive the `Context`.
        injected: Parameters that receive what the app's lifespan provides, by type.
        kinds: The annotations of the parameters that callers give.
        returns: The annotation of what the handler returns.
    """

    def __init__(self, task_name: str, handler: Callable[..., Any]) -> None:
        self.task_name = task_name
        self.context_names: list[str] = []
        self.injected: dict[str, Any] = {}
        self.kinds: dict[str, Any] = {}
        self._names: list[str] = []
        self._positional_only: dict[str, Any] = {}
        fields: dict[str, Any] = {}
        signature = _signature(task_name, handler)
        self.returns = signature.return_annotation
        for parameter in signature.parameters.values():
            self._add(parameter, fields)
        self._fields = fields
        self._partial: dict[frozenset[str], Arguments] = {}
        self._adapt(fields)

    def _adapt(self, fields: dict[str, Any]) -> None:
        try:
            adapter: TypeAdapter[dict[str, Any]] = TypeAdapter(_typed_dict(fields))
        except PydanticUserError as error:
            raise ConfigurationError(
                f'task "{self.task_name}": a parameter\'s type cannot be stored as JSON: '
                f"{error.message.splitlines()[0]}. If the app's lifespan provides it, write `name: Type = inject()`"
            ) from error
        self._validate_python = adapter.validator.validate_python
        self._validate_json = adapter.validator.validate_json
        self._to_json = adapter.serializer.to_json

    def _add(self, parameter: inspect.Parameter, fields: dict[str, Any]) -> None:
        name, annotation = parameter.name, parameter.annotation
        if parameter.kind is parameter.POSITIONAL_ONLY:
            self._positional_only[name] = parameter.default
        if annotation is Context:
            self.context_names.append(name)
            return
        if isinstance(parameter.default, Injected) or _is_injected(annotation):
            self.injected[name] = _plain(annotation)
            return
        if parameter.kind is not parameter.KEYWORD_ONLY:
            self._names.append(name)
        annotation = self.kinds[name] = Any if annotation is parameter.empty else annotation
        required = parameter.default is parameter.empty
        fields[name] = Required[annotation] if required else NotRequired[annotation]

    def pack(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
        """Validate a call's arguments and write them as JSON.

        Raises:
            InvalidArguments: They do not fit, cannot be written as JSON that PostgreSQL stores, or are too large.
            PendingArguments: Some are results of other jobs; `pack_known` packs the others.
        """
        given = self._name_positional(args, kwargs) if args else kwargs
        try:
            values = self._validate_python(given)
        except ValidationError as error:
            raise self._pending(given) or self._invalid(error) from None
        except ResultNotKnown as error:
            raise self._pending(given) or error from None
        try:
            packed = self._to_json(values)
        except (PydanticSerializationError, RecursionError) as error:
            raise self._pending(given) or self._unwritable(values, error) from None
        if len(packed) > MAX_ARGS_BYTES:
            raise InvalidArguments(
                f'task "{self.task_name}": the arguments are {len(packed)} bytes long, at most {MAX_ARGS_BYTES} are '
                "allowed: store the data elsewhere and pass its key"
            )
        text = packed.decode()
        self._refuse_misread(values, text)
        return text

    def pack_known(self, arguments: PendingArguments) -> str:
        """Validate those arguments of a call that are known, and write them as JSON.

        Raises:
            InvalidArguments: As `pack`.
        """
        names = frozenset(arguments.pending)
        if unknown := sorted(names - self._fields.keys()):
            raise InvalidArguments(f'task "{self.task_name}": argument "{unknown[0]}": there is no such parameter')
        if names not in self._partial:
            self._partial[names] = self._without(names)
        return self._partial[names].pack((), arguments.known)

    def _without(self, names: frozenset[str]) -> Arguments:
        other = copy.copy(self)
        other._adapt(  # noqa: SLF001 - its own
            {name: kind for name, kind in self._fields.items() if name not in names}
        )
        return other

    def _pending(self, given: dict[str, Any]) -> InvalidArguments | None:
        """Why a call cannot be packed, if results of other jobs are the reason; looked for only when it has failed."""
        pending = {name: value for name, value in given.items() if isinstance(value, PendingResult)}
        known = {name: value for name, value in given.items() if name not in pending}
        for name, value in known.items():
            if holds_pending(value):
                return InvalidArguments(
                    f'task "{self.task_name}": argument "{name}": the result of another job can only be an argument as '
                    "it is, not a part of one"
                )
        if not pending:
            return None
        named = ", ".join(f'argument "{name}" is {value!r}' for name, value in pending.items())
        return PendingArguments(
            f'task "{self.task_name}": {named}, the result of another job: start it in a workflow', known, pending
        )

    def unpack(self, packed: str | bytes) -> dict[str, Any]:
        """Read stored arguments, validated against today's signature.

        Raises:
            InvalidArguments: They no longer fit.
        """
        try:
            values: dict[str, Any] = self._validate_json(packed)
        except ValidationError as error:
            raise self._invalid(error) from None
        return values

    def split_positional(self, values: dict[str, Any]) -> list[Any]:
        """Take positional-only arguments out of the keyword arguments; those that are not given have their defaults."""
        return [values.pop(name, default) for name, default in self._positional_only.items()]

    @property
    def has_positional_only(self) -> bool:
        """Whether `split_positional` has anything to do."""
        return bool(self._positional_only)

    def _name_positional(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        if len(args) > len(self._names):
            raise InvalidArguments(
                f'task "{self.task_name}" takes {len(self._names)} positional arguments, {len(args)} were given'
            )
        given = dict(zip(self._names, args, strict=False))
        if not kwargs:
            return given
        for name, value in kwargs.items():
            if name in given:
                raise InvalidArguments(f'task "{self.task_name}": argument "{name}" was given twice')
            given[name] = value
        return given

    def _invalid(self, error: ValidationError) -> InvalidArguments:
        problems = tuple(
            (problem["loc"], _lower_first(problem["msg"]))
            for problem in error.errors(include_url=False, include_input=False, include_context=False)
        )
        said = "; ".join(f'argument "{_path(path)}": {why}' for path, why in problems)
        invalid = InvalidArguments(f'task "{self.task_name}": {said}')
        invalid.problems = problems
        return invalid

    def json_schema(self) -> dict[str, Any]:
        """What callers give, as JSON Schema; of a type that JSON Schema has no word for, that it is an object."""
        adapter: TypeAdapter[dict[str, Any]] = TypeAdapter(_typed_dict(self._fields))
        try:
            return adapter.json_schema() | {"title": f"Arguments of {self.task_name}"}
        except PydanticInvalidForJsonSchema:
            names: dict[str, Any] = {name: {} for name in self._fields}
            return {"type": "object", "title": f"Arguments of {self.task_name}", "properties": names}

    def _refuse_misread(self, values: dict[str, Any], packed: str) -> None:
        """Refuse what PostgreSQL does not store, or what would be read as something else."""
        if "\\u0000" in packed or "NaN" in packed or "Infinity" in packed:
            self._refuse_unstorable(json.loads(packed))
        if "null" in packed:  # pydantic writes null for NaN in a nested model, or where the type is Any
            self._refuse_unstorable(values)
        if len(packed) > _READER_DEPTH and (
            len(packed) > _READER_DIGITS or packed.count("[") + packed.count("{") > _READER_DEPTH
        ):
            self.unpack(packed)

    def _refuse_unstorable(self, values: dict[str, Any]) -> None:
        for path, why in find_unstorable(values):
            raise InvalidArguments(f'task "{self.task_name}": argument "{_path(path)}": {why}')

    def _unwritable(self, values: dict[str, Any], error: Exception) -> InvalidArguments:
        self._refuse_unstorable(values)
        name = next((name for name, value in values.items() if not _is_writable(value)), "arguments")
        return InvalidArguments(
            f'task "{self.task_name}": argument "{name}": cannot be written as JSON: {_lower_first(str(error))}'
        )


def _typed_dict(fields: dict[str, Any]) -> Any:
    # Built at run time: no checker can know it.
    made = TypedDict("Arguments", fields)  # type: ignore[misc]
    return with_config(_CONFIG)(made)


def _signature(task_name: str, handler: Callable[..., Any]) -> inspect.Signature:
    try:
        signature = inspect.signature(handler, eval_str=True)
    except NameError as error:
        raise ConfigurationError(
            f'task "{task_name}": a type of its signature cannot be looked up at run time ({error}): import it outside '
            "of `if TYPE_CHECKING`"
        ) from error
    for parameter in signature.parameters.values():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise ConfigurationError(
                f'task "{task_name}": parameter "{parameter}" has no fixed name: write its arguments out, or take '
                "a list or a dict"
            )
    return signature


def _is_injected(annotation: Any) -> bool:
    return get_origin(annotation) is Annotated and any(isinstance(a, Injected) for a in get_args(annotation)[1:])


def _plain(annotation: Any) -> Any:
    return get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation


def _is_writable(value: Any) -> bool:
    try:
        to_json(value)
    except (PydanticSerializationError, RecursionError):
        return False
    return True


def _path(location: tuple[int | str, ...]) -> str:
    path = ".".join(str(part) for part in location) or "arguments"
    return path.encode("utf-8", "backslashreplace").decode()


def _lower_first(text: str) -> str:
    return text[:1].lower() + text[1:]


def find_unstorable(value: Any, path: tuple[int | str, ...] = ()) -> Iterator[tuple[tuple[int | str, ...], str]]:
    """Where a value holds what JSONB cannot, and what it is."""
    if len(path) > _READER_DEPTH:
        yield path[:3], "is nested too deeply, or contains itself"
    elif isinstance(value, str):
        if "\x00" in value:
            yield path, "holds a NUL character, which PostgreSQL cannot store"
        elif any("\ud800" <= c <= "\udfff" for c in value):
            yield path, "holds half of a surrogate pair, which is not a character"
    elif isinstance(value, float):
        if not math.isfinite(value):
            yield path, f"is {value}, which JSON cannot hold"
    elif isinstance(value, bytes):
        if not _is_writable(value):
            yield path, "holds bytes that are not UTF-8 text: pass them as base64"
    else:
        for name, item in _items(value):
            if isinstance(name, str):
                yield from find_unstorable(name, (*path, name))
            yield from find_unstorable(item, (*path, name if isinstance(name, int) else str(name)))


def _items(value: Any) -> Iterable[tuple[Any, Any]]:
    """What is inside of a value, by key, index or attribute."""
    if isinstance(value, dict):
        return value.items()
    if isinstance(value, list | tuple | set | frozenset):
        return enumerate(value)
    if isinstance(value, BaseModel):
        return [*vars(value).items(), *(value.model_extra or {}).items()]
    if dataclasses.is_dataclass(value):
        return [(f.name, getattr(value, f.name, None)) for f in dataclasses.fields(value)]
    return ()
