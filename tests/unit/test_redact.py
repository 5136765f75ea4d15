"""What is secret, and that it is hidden: in values, and in texts."""

from __future__ import annotations

import dataclasses
import itertools
import json
import re
from typing import Annotated, Any, NamedTuple, NotRequired
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field, RootModel, TypeAdapter, ValidationError, computed_field
from typing_extensions import TypeAliasType, TypedDict

from headrace import Headrace, Secret
from headrace._redact import (
    DEFAULT_NAMES,
    HIDDEN,
    NO_MARKS,
    NO_TEXTS,
    NOTHING_KNOWN,
    UNKNOWN,
    Redactor,
    Secrets,
    Texts,
    find_marks,
    is_secret_name,
    loose,
    redact,
    strict,
)
from headrace.errors import ConfigurationError

CANARY = "canary-4f1d9"


class Card(BaseModel):
    number: Annotated[str, Secret]
    owner: str = "o"


class Aliased(BaseModel):
    model_config = {"serialize_by_alias": True}
    number: Annotated[str, Secret] = Field(alias="cardNumber", serialization_alias="card-number")


class Tree(BaseModel):
    key: Annotated[str, Secret] = CANARY
    children: list[Tree] = []


class Whole(RootModel[Annotated[str, Secret]]):
    pass


class Computed(BaseModel):
    plain: str = "p"

    @computed_field  # type: ignore[prop-decorator]
    @property
    def made(self) -> Annotated[str, Secret]:
        return CANARY


@dataclasses.dataclass
class Account:
    iban_number: Annotated[str, Secret()]
    card: Card | None = None


class Row(TypedDict):
    pin: Annotated[str, Secret]
    name: NotRequired[str]


class Pair(NamedTuple):
    left: str
    right: Annotated[str, Secret]


Alias = TypeAliasType("Alias", Annotated[str, Secret])


def shown(kind: Any, value: Any) -> str:
    """What is shown of an argument of this type with this value, as it would be stored."""
    stored = json.loads(TypeAdapter(kind).dump_json(value))
    return json.dumps(Secrets.of({"x": kind}).redact_args({"x": stored}))


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (Annotated[str, Secret], CANARY),
        (Annotated[str, Secret()], CANARY),
        (Annotated[str | None, Secret], CANARY),
        (Annotated[str, Secret] | None, CANARY),
        (Annotated[dict[str, Any], Secret], {"a": [CANARY]}),
        (list[Annotated[str, Secret]], [CANARY]),
        (dict[str, Annotated[str, Secret]], {"a": CANARY}),
        (dict[Annotated[str, Secret], int], {CANARY: 1}),
        (tuple[str, Annotated[str, Secret]], ("a", CANARY)),
        (Alias, CANARY),
        (Card, Card(number=CANARY)),
        (Card | None, Card(number=CANARY)),
        (list[Card] | Card, [Card(number=CANARY)]),
        (dict[str, list[Card]], {"a": [Card(number=CANARY)]}),
        (Account, Account(CANARY, Card(number=CANARY))),
        (Row, {"pin": CANARY}),
        (Pair, Pair("a", CANARY)),
        (Aliased, Aliased(cardNumber=CANARY)),
        (Whole, Whole(CANARY)),
        (Computed, Computed()),
        (Tree, Tree(children=[Tree(children=[Tree()])])),
    ],
    ids=map(str, itertools.count()),
)
def test_a_mark_is_found_wherever_it_is(kind: Any, value: Any) -> None:
    """In unions, containers, models, dataclasses, typed dictionaries, tuples, aliases, and types that hold themselves."""
    assert CANARY in TypeAdapter(kind).dump_json(value).decode()
    assert CANARY not in shown(kind, value)
    assert HIDDEN in shown(kind, value)


@pytest.mark.parametrize("kind", [str, int, Any, dict[str, Any], list[str], Row | None, int | None, bytes], ids=str)
def test_what_is_not_marked_is_shown(kind: Any) -> None:
    """Only marks make marks."""
    expected = [("pin",)] if kind == Row | None else []
    assert find_marks(kind) == expected


def test_what_a_function_makes_is_read_too() -> None:
    """A dataclass whose annotations cannot be looked up: what looks like a mark counts as one."""

    class Inner:
        pass

    @dataclasses.dataclass
    class Local:
        a: Annotated[Inner, Secret]
        b: str

    assert find_marks(Local) == [("a",)]


def test_the_rest_is_left_as_it_is() -> None:
    """Redaction hides values, and changes nothing else: names, order, other values."""
    secrets = Secrets.of({"card": Card, "n": int})
    args = {"n": 1, "card": {"number": CANARY, "owner": "me"}, "list": [1, None, {"a": True}]}
    assert secrets.redact_args(args) == {
        "n": 1, "card": {"number": HIDDEN, "owner": "me"}, "list": [1, None, {"a": True}],
    }  # fmt: skip
    assert args["card"] == {"number": CANARY, "owner": "me"}  # not in place


@pytest.mark.parametrize("card", [CANARY, [CANARY], [[CANARY]], 4111111111111111])
def test_what_has_another_shape_than_the_mark_expects_is_hidden(card: Any) -> None:
    """SQL clients send what they like: where the marked field would be is not known, so nothing of it is shown."""
    assert Secrets.of({"card": Card}).redact_args({"card": card}) == {"card": HIDDEN}


def test_what_is_stored_says_the_same() -> None:
    """A dashboard that knows the stored form only hides the same as the app that has the task."""
    app = Headrace("postgresql://nobody@localhost:1/none", secret_names=["iban"])

    @app.task(name="t")
    def task(card: Card, trees: list[Tree]) -> Annotated[str, Secret]:
        return CANARY

    stored = Secrets.from_json(json.loads(json.dumps(task.secrets.as_json())))
    assert stored == task.secrets
    args = {"card": {"number": CANARY}, "trees": [{"key": CANARY, "children": [{"key": CANARY}]}], "iban": CANARY}
    assert redact(task, args) == stored.redact_args(args)
    assert CANARY not in json.dumps(redact(task, args))
    assert stored.redact_result(CANARY) == HIDDEN
    assert NO_MARKS.as_json() is None


# -- names --


@pytest.mark.parametrize(
    "name",
    [*DEFAULT_NAMES, "Password", "userPassword", "user-password", "PASSWORD_2", "accesstoken", "accessToken", "tokens", "apiKey",
     "APIKey", "X-API-Key", "stripe_api_key_old", "clientSecret", "db.password", "Authorization", "set-cookie", "credentials"],
)  # fmt: skip
def test_secret_names_are_found(name: str) -> None:
    """However they are written, and whatever stands before them."""
    assert is_secret_name(strict(()), name)
    assert loose(()).search(json.dumps({name: 1}))
    assert NO_MARKS.redact_named({"deep": [{name: CANARY}]}) == {"deep": [{name: HIDDEN}]}


@pytest.mark.parametrize("name", ["secretary", "tokenizer", "passing", "keys", "author", "cookbook", "id", "", "name"])
def test_other_names_are_not(name: str) -> None:
    """Words that only begin like one."""
    assert not is_secret_name(strict(()), name)


def test_counts_and_switches_are_shown() -> None:
    """A number under a plural is a count; true, false and null say nothing. A number under a singular may be a PIN."""
    said = {"max_tokens": 4096, "has_password": True, "token": None, "password": 1234}
    assert NO_MARKS.redact_named(said) == said | {"password": HIDDEN}


def test_an_app_has_names_of_its_own() -> None:
    """Beside the usual ones, for its tasks."""
    secrets = Secrets(names=("iban",))
    assert secrets.redact_args({"customerIban": CANARY, "password": CANARY, "bic": "x"}) == {
        "customerIban": HIDDEN, "password": HIDDEN, "bic": "x",
    }  # fmt: skip


@pytest.mark.parametrize("names", ["iban", ["  "], [""]])
def test_names_that_would_hide_everything_are_refused(names: Any) -> None:
    """One string is no list, and a name without letters would be found in every name."""
    with pytest.raises(ConfigurationError, match="secret_names"):
        Headrace(secret_names=names)


# -- texts --


@given(secret=st.text(min_size=4, max_size=200), around=st.text(max_size=20))
def test_a_secret_is_found_in_any_text(secret: str, around: str) -> None:
    """As it is, as its representation, as JSON, in a URL."""
    if not secret.strip() or secret in HIDDEN or HIDDEN in secret or secret in around:
        return
    hide = Texts([secret])
    for form in (secret, json.dumps(secret), repr(secret), f"https://h/?x={quote(secret, safe='')}"):
        text = hide(f"{around} {form} {around}")
        assert secret not in text.replace(HIDDEN, "")


def test_the_secrets_of_arguments_are_hidden_in_texts() -> None:
    """Those that are marked, or have a secret name; numbers, too."""
    texts = Secrets.of({"card": Card}).texts(
        {"card": {"number": CANARY}, "headers": {"Authorization": "s3cr3t!"}, "pin_token": 778899}
    )
    assert texts(f"card {CANARY} of 's3cr3t!' with 778899") == f"card {HIDDEN} of '{HIDDEN}' with {HIDDEN}"
    assert texts.everywhere({"a": [f"x{CANARY}"], "n": 1}) == {"a": [f"x{HIDDEN}"], "n": 1}


def test_what_a_library_has_cut_short_is_hidden() -> None:
    """Pydantic quotes the value that it refuses, and shortens it."""
    secret = "sk_live_" + "0123456789abcdef" * 6
    with pytest.raises(ValidationError) as refused:
        TypeAdapter(int).validate_python(secret)
    message = str(refused.value)
    assert "..." in message
    assert re.search("0123456789", message)
    assert not re.search("0123456789|cdef", Texts([secret])(message))


def test_short_secrets_are_hidden_where_they_stand_alone() -> None:
    """Otherwise "a" would take the message apart."""
    assert Texts(["42"])("in 1421 rows: 42") == f"in 1421 rows: {HIDDEN}"


def test_lines_of_a_key_file_are_hidden_one_by_one() -> None:
    """A traceback or a log line may show only one of them."""
    key = "-----BEGIN KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQ\n-----END KEY-----"
    assert "MIIEvQ" not in Texts([key])("unexpected MIIEvQIBADANBgkqhkiG9w0BAQ at line 2")


def test_passwords_of_urls_and_bearers_are_hidden_whatever_was_marked() -> None:
    """They are in the messages of drivers and HTTP clients."""
    text = NO_TEXTS("cannot reach postgresql://me:hunter2@db/x with Authorization: Bearer abcdef123456")
    assert text == f"cannot reach postgresql://me:{HIDDEN}@db/x with Authorization: Bearer {HIDDEN}"
    assert NO_TEXTS("see https://example.org/a:b@c") == "see https://example.org/a:b@c"


def test_arguments_without_anything_secret_are_not_read() -> None:
    """The hot path: a task without marks whose arguments have no secret name costs one look at them as text."""
    assert NO_MARKS.texts_of("{this is not JSON") is NO_TEXTS
    assert NO_MARKS.texts_of(None) is NO_TEXTS
    assert NO_MARKS.texts_of(json.dumps({"deep": {"apiKey": CANARY}}))(CANARY) == HIDDEN
    assert Secrets.of({"x": Annotated[str, Secret]}).texts_of(json.dumps({"x": CANARY}))(CANARY) == HIDDEN


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_anything_can_be_redacted(value: Any) -> None:
    """Any JSON, with any marks; what is found in it is then in no text of it."""
    secrets = Secrets(args=(("*",), ("**", "a"), ("b", "*", "c")))
    json.dumps(secrets.redact_args(value))
    secrets.texts(value)(json.dumps(value))


# -- tasks that nobody knows --


def test_nothing_is_shown_of_a_task_that_nobody_knows() -> None:
    """Whether it marks something is not known before a worker has registered it, or this app has it."""
    redactor = Redactor({"known": NO_MARKS}, {"mine": Secrets.of({"x": Annotated[str, Secret]})}, ["iban"])
    assert redactor.args("unknown", {"x": 1, "y": [CANARY]}) == {"x": UNKNOWN, "y": UNKNOWN}
    assert redactor.args("known", {"x": 1, "iban": "i"}) == {"x": 1, "iban": HIDDEN}
    assert redactor.args("mine", {"x": "s", "y": 1}) == {"x": HIDDEN, "y": 1}
    assert redactor.result("unknown", CANARY) == UNKNOWN
    assert NOTHING_KNOWN.redact_args({}) == {}


def test_what_either_says_counts() -> None:
    """A worker that was deployed before this code, or after it, marks other arguments: all of them are hidden."""
    redactor = Redactor({"t": Secrets(args=(("old",),))}, {"t": Secrets(args=(("new",),))})
    assert redactor.args("t", {"old": 1, "new": 2, "other": 3}) == {"old": HIDDEN, "new": HIDDEN, "other": 3}
