"""A task's parameters: what callers may give, how it is stored, and what the handler gets."""

from __future__ import annotations

import dataclasses
import enum
import json
import math
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any, Literal
from uuid import UUID

import pytest
from annotated_types import Gt, MaxLen
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from headrace import ConfigurationError, Context, InvalidArguments, inject
from headrace._arguments import MAX_ARGS_BYTES, Arguments
from headrace.context import Injected


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Address(BaseModel):
    street: str
    lines: list[str] = []
    share: float = 1.0


@dataclasses.dataclass
class Point:
    x: float
    name: str = ""


class Client:
    """What only the lifespan can provide."""


def arguments(handler: Callable[..., Any]) -> Arguments:
    """Those of a task named "t"."""
    return Arguments("t", handler)


def there_and_back(handler: Callable[..., Any], *args: Any, **kwargs: Any) -> dict[str, Any]:
    """What the handler would get."""
    its = arguments(handler)
    return its.unpack(its.pack(args, kwargs))


def refusal(handler: Callable[..., Any], *args: Any, **kwargs: Any) -> str:
    """Why the call was refused."""
    with pytest.raises(InvalidArguments) as refused:
        arguments(handler).pack(args, kwargs)
    return str(refused.value)


class TestSignatures:
    def test_positional_and_keyword_arguments_are_stored_by_name(self) -> None:
        """How an argument is given makes no difference to what is stored."""

        def handler(a: int, b: str, *, c: bool) -> None: ...

        assert json.loads(arguments(handler).pack((1, "x"), {"c": True})) == {"a": 1, "b": "x", "c": True}
        assert json.loads(arguments(handler).pack((), {"c": True, "b": "x", "a": 1})) == {"a": 1, "b": "x", "c": True}

    def test_defaults_are_left_to_the_handler(self) -> None:
        """What is not given is not stored: a later change of the default holds for jobs that wait."""

        def handler(a: int = 1, *, b: str = "x") -> None: ...

        assert there_and_back(handler) == {}
        assert there_and_back(handler, b="y") == {"b": "y"}

    def test_positional_only_parameters_are_passed_by_position(self) -> None:
        """They cannot be given by name, so one that is left out takes its default before the next one."""

        def handler(a: int = 1, b: int = 2, /, c: int = 3) -> tuple[int, int, int]:
            return a, b, c

        its = arguments(handler)
        for stored, expected in [("{}", (1, 2, 3)), ('{"b": 5}', (1, 5, 3)), ('{"a": 4, "c": 6}', (4, 2, 6))]:
            values = its.unpack(stored)
            assert handler(*its.split_positional(values), **values) == expected

    def test_a_positional_only_context_is_passed_by_position(self) -> None:
        """What the worker fills in may be positional-only too."""

        def handler(ctx: Context, a: int, /) -> None: ...

        its = arguments(handler)
        values = its.unpack(its.pack((1,), {}))
        assert its.split_positional({**values, "ctx": "the context"}) == ["the context", 1]

    def test_context_and_injected_parameters_are_left_out_wherever_they_stand(self) -> None:
        """Callers give the rest, in its order."""

        def handler(
            a: int, ctx: Context, b: int, client: Client = inject(), *, other: Annotated[Client, Injected()], c: int = 3
        ) -> None: ...

        its = arguments(handler)
        assert json.loads(its.pack((1, 2), {"c": 4})) == {"a": 1, "b": 2, "c": 4}
        assert (its.context_names, its.injected) == (["ctx"], {"client": Client, "other": Client})
        assert '"ctx"' in refusal(handler, 1, 2, ctx=None)

    @pytest.mark.parametrize("name", ["*rows", "**options"])
    def test_parameters_without_fixed_names_are_refused(self, name: str) -> None:
        """*args and **kwargs are refused when the task is declared, with what to write instead."""

        def rows(*rows: int) -> None: ...

        def options(**options: int) -> None: ...

        with pytest.raises(ConfigurationError, match=rf'parameter "\{name}.*has no fixed name: .*a list or a dict'):
            arguments(rows if name == "*rows" else options)

    def test_types_that_cannot_be_stored_are_refused_with_a_hint(self) -> None:
        """Whoever wants a client in a handler is told of inject() when the task is declared."""

        def handler(client: Client) -> None: ...

        with pytest.raises(ConfigurationError, match=r'task "t".*Client.*inject\(\)'):
            arguments(handler)

    def test_types_that_are_only_known_to_checkers_are_refused(self) -> None:
        """A name that is imported under TYPE_CHECKING cannot be looked up when the task is declared."""

        def handler(a: int) -> None: ...

        handler.__annotations__["a"] = "NotImported"
        with pytest.raises(ConfigurationError, match=r"NotImported.*TYPE_CHECKING"):
            arguments(handler)

    def test_parameters_without_a_type_take_any_json(self) -> None:
        """Untyped handlers work; nothing is checked."""

        def handler(a, b=None):  # type: ignore[no-untyped-def]
            ...

        assert there_and_back(handler, {"x": [1]}, b="y") == {"a": {"x": [1]}, "b": "y"}


class TestValidation:
    @staticmethod
    def handler(
        count: Annotated[int, Gt(0)], name: Annotated[str, MaxLen(3)] = "", kind: Literal["a", "b"] = "a"
    ) -> None: ...

    @pytest.mark.parametrize(
        ("args", "kwargs", "message"),
        [
            ((), {}, 'task "t": argument "count": field required'),
            (("x",), {}, 'argument "count": input should be a valid integer'),
            ((0,), {}, 'argument "count": input should be greater than 0'),
            ((1, "long"), {}, 'argument "name": string should have at most 3'),
            ((1,), {"kind": "c"}, "argument \"kind\": input should be 'a' or 'b'"),
            ((1,), {"nmae": "x"}, 'argument "nmae": extra inputs are not permitted'),
            ((1, "x", "a", 4), {}, "takes 3 positional arguments, 4 were given"),
            ((1,), {"count": 2}, 'argument "count" was given twice'),
            ((0, "long"), {}, 'argument "count": input should be greater than 0; argument "name": string'),
        ],
    )
    def test_a_wrong_call_is_refused_with_the_argument_s_name(
        self, args: tuple[Any, ...], kwargs: dict[str, Any], message: str
    ) -> None:
        """Everything that is wrong is said, of which task and argument."""
        assert message in refusal(self.handler, *args, **kwargs)

    def test_stored_arguments_are_validated_again(self) -> None:
        """Jobs that another version, or SQL, enqueued do not reach a handler that they do not fit."""
        with pytest.raises(InvalidArguments, match='argument "count": field required; argument "old": extra inputs'):
            arguments(self.handler).unpack('{"old": 1}')

    def test_the_value_itself_is_not_shown(self) -> None:
        """A refused value may be a secret."""

        def handler(password: int) -> None: ...

        assert "hunter2" not in refusal(handler, "hunter2")


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (datetime, datetime(2026, 11, 23, 1, 2, 3, 456, tzinfo=UTC)),
        (date, date(2026, 2, 28)),
        (timedelta, timedelta(days=1, microseconds=1)),
        (UUID, UUID("01890000-0000-7000-8000-000000000000")),
        (Decimal, Decimal("1.10")),
        (Colour, Colour.BLUE),
        (Address, Address(street="x", lines=["a", "NaN"])),
        (Point, Point(1.5, "p")),
        (list[Point], [Point(1), Point(2)]),
        (dict[int, Address], {1: Address(street="ü")}),
        (set[int], {1, 2, 3}),
        (tuple[int, str], (1, "a")),
        (bytes, b"text"),
        (int | None, None),
        (Point | Address, Address(street="y")),
    ],
    ids=str,
)
def test_typed_values_come_back_as_they_were(kind: Any, value: Any) -> None:
    """Everything that pydantic writes as JSON reaches the handler as its own type."""

    def handler(value: Any) -> None: ...

    handler.__annotations__["value"] = kind
    came_back = there_and_back(handler, value)["value"]
    assert came_back == value
    assert type(came_back) is type(value)


storable_text = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]))
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | storable_text,
    lambda inner: st.lists(inner) | st.dictionaries(storable_text, inner),
    max_leaves=30,
)


@given(json_values)
def test_what_json_holds_comes_back_equal(value: Any) -> None:
    """Any JSON value survives being packed and unpacked."""

    def handler(value: Any) -> None: ...

    assert there_and_back(handler, value) == {"value": value}


class TestWhatPostgresqlCannotStore:
    @staticmethod
    def handler(
        a: Any = None, address: Address | None = None, point: Point | None = None, raw: bytes = b""
    ) -> None: ...

    @pytest.mark.parametrize(
        ("kwargs", "path", "why"),
        [
            ({"a": math.nan}, "a", "is nan"),
            ({"a": {"deep": [1, {"er": -math.inf}]}}, "a.deep.1.er", "is -inf"),
            ({"a": (math.inf,)}, "a.0", "is inf"),
            ({"address": Address(street="x", share=math.nan)}, "address.share", "is nan"),
            ({"point": Point(math.inf)}, "point.x", "is inf"),
            ({"a": [Point(math.nan)]}, "a.0.x", "is nan"),
            ({"a": "a\x00b"}, "a", "NUL"),
            ({"a": {"deep": ["\x00"]}}, "a.deep.0", "NUL"),
            ({"point": Point(1, "\x00")}, "point.name", "NUL"),
            ({"address": {"street": "x", "lines": ["y", "\x00"]}}, "address.lines.1", "NUL"),
            ({"a": "\ud800"}, "a", "surrogate"),
            ({"a": {"deep": ["fine", "\udfff"]}}, "a.deep.1", "surrogate"),
            ({"point": Point(1, "\ud800")}, "point.name", "surrogate"),
            ({"a": {"\ud800": 1}}, r"a.\ud800", "surrogate"),
            ({"raw": b"\xff"}, "raw", "base64"),
            ({"a": object()}, "a", "unknown type: <class 'object'>"),
        ],
        ids=lambda value: value if isinstance(value, str) else "",
    )
    def test_it_is_refused_with_the_path_to_it(self, kwargs: dict[str, Any], path: str, why: str) -> None:
        """Not a number, infinity, NUL, lone surrogates and raw bytes: by name, however deep."""
        message = refusal(self.handler, **kwargs)
        assert message.startswith(f'task "t": argument "{path}": ')
        assert why in message
        message.encode()  # what says it can itself be stored and shown

    @pytest.mark.parametrize("text", ["NaN", "-Infinity", "\\u0000", "null", "\\ud800", '"NaN"', "\\\\u0000"])
    def test_text_that_only_looks_like_it_is_stored(self, text: str) -> None:
        """The check is for values, not for letters."""
        value = {"text": f"it says {text}", text: [text, None]}
        assert there_and_back(self.handler, a=value) == {"a": value}

    def test_a_value_that_contains_itself_is_refused(self) -> None:
        """No endless loop, and no RecursionError of somebody else's."""
        value: list[Any] = []
        value.append(value)
        assert "contains itself" in refusal(self.handler, value)

    @pytest.mark.parametrize("depth", [200, 250, 1000, 100_000])
    def test_what_is_nested_too_deeply_to_be_read_is_refused(self, depth: int) -> None:
        """Nothing is stored that its worker could not read."""
        value: Any = 1
        for _ in range(depth):
            value = [value]
        assert "argument" in refusal(self.handler, value)

    def test_integers_too_long_to_be_read_are_refused(self) -> None:
        """Nothing is stored that its worker could not read."""
        assert there_and_back(self.handler, 10**4_000) == {"a": 10**4_000}
        assert "out of range" in refusal(self.handler, 10**5_000)


class TestSize:
    @staticmethod
    def handler(text: str) -> None: ...

    def test_a_mebibyte_is_accepted(self) -> None:
        """The bound is on what is stored, field name and quotes included."""
        text = "x" * (MAX_ARGS_BYTES - len('{"text":""}'))
        assert len(arguments(self.handler).pack((text,), {})) == MAX_ARGS_BYTES

    def test_more_is_refused_with_both_figures(self) -> None:
        """The message says how much it is and how much it may be, and what to do."""
        message = refusal(self.handler, "ü" * MAX_ARGS_BYTES)
        assert f"{2 * MAX_ARGS_BYTES + 11} bytes long, at most {MAX_ARGS_BYTES} are allowed: store the data" in message
