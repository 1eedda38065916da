"""Schemas: the golden corpus, and what it cannot show."""

from __future__ import annotations

import enum
import inspect
import json
import sys
import typing
from typing import Annotated, Any, cast

import pytest
from jsonschema import Draft202012Validator
from pydantic import BaseModel, EmailStr, Field, WithJsonSchema

from remit._capture.encode import Rules
from remit._declare.schema.build import as_object, declared_schema, params_schema, result_schema
from remit._declare.schema.canonical import canonical
from remit._inspect.signature import MISSING, CallKind, Parameter, SignatureInfo, read
from tests.data.corpus import (
    CASES,
    GOLDEN,
    GOLDEN_HASH,
    golden_text,
    has_receiver,
    hash_of,
    is_valid,
    registration,
    schemas_of,
)
from tests.data.redaction import REDACTED, redact
from tests.inside import plan_of
from tests.subtests import each

pytestmark = pytest.mark.python

PLANTED = "planted"
Kind = inspect.Parameter


def reading_of(annotation: object, **more: Any) -> SignatureInfo:
    """Return the reading of a function with one parameter `x` that returns the same type."""
    fields: dict[str, Any] = {"default": MISSING, "kind": inspect.Parameter.KEYWORD_ONLY, **more}
    parameter = Parameter(name="x", annotation=annotation, **fields)
    return SignatureInfo((), (parameter,), frozenset(), annotation)


def property_of(annotation: object, **more: Any) -> Any:
    """Return the schema of that parameter."""
    return params_schema(reading_of(annotation, **more), redact=redact)["properties"]["x"]


def result_of(annotation: object, kind: CallKind = CallKind.FUNCTION) -> Any:
    """Return the schema of that result."""
    return result_schema(reading_of(annotation), kind, redact=redact)


@each("name", CASES)
def test_a_signature_has_its_golden_schemas(name: str) -> None:
    """Byte for byte, on every Python: a changed schema is a new version of people's agents.

    After a change that is meant: `python -m tests.data.corpus`.
    """
    assert golden_text(CASES[name]) == (GOLDEN / f"{name}.json").read_text()


def test_the_registration_of_the_corpus_has_its_golden_hash() -> None:
    """On every Python and with every supported pydantic: the same code is the same version."""
    assert hash_of(registration()) == GOLDEN_HASH.read_text().strip()


def test_there_is_no_golden_file_without_its_signature() -> None:
    """A case that was renamed leaves nothing behind."""
    assert {path.stem for path in GOLDEN.glob("*.json")} == set(CASES)


@each("name", CASES)
def test_a_schema_is_valid_and_has_every_recorded_parameter(name: str) -> None:
    """Someone else's checker reads it, and payload keys always equal the properties."""
    schemas = cast("dict[str, dict[str, Any]]", schemas_of(CASES[name]))
    for side in ("params", "result"):
        Draft202012Validator.check_schema(schemas[side])
        assert schemas[side]["type"] == "object"
    declared = set(inspect.signature(CASES[name]).parameters) - {"self", "cls"}
    assert set(schemas["params"]["properties"]) == declared - set(schemas["skipped"])


@each("name", CASES)
def test_a_payload_has_the_keys_of_its_schema(name: str) -> None:
    """For every callable of the corpus, with all arguments given and with none."""
    reading = read(CASES[name], skip_first=has_receiver(CASES[name]))
    properties = params_schema(reading, redact=redact)["properties"].keys()
    by_name = {each.name: 1 for each in reading.parameters if each.kind is Kind.KEYWORD_ONLY}
    full = json.loads(plan_of(reading).params((1,) * len(reading.names), by_name, Rules()))
    assert full.keys() == properties
    empty = json.loads(plan_of(reading).params((), {}, Rules()))
    assert empty.keys() <= properties


def test_no_planted_secret_is_in_a_schema() -> None:
    """Defaults, examples and enumerated values pass the redaction that payloads pass."""
    leaking = [path.name for path in GOLDEN.glob("*.json") if PLANTED in path.read_text()]
    assert leaking == []
    assert PLANTED in inspect.getsource(inspect.getmodule(CASES["defaults"]) or enum)


def test_equal_unions_have_one_schema() -> None:
    """`typing` hands out whichever of two equal unions was made first."""
    assert property_of(int | str | None) == property_of(typing.Optional[str | int])  # noqa: UP045 - a spelling
    assert property_of(typing.Literal["a", "b"]) == property_of(typing.Literal["b", "a"])


def test_two_classes_of_one_name_are_told_apart() -> None:
    """Definitions of all parameters stand beside each other."""

    def make(field: type) -> type[BaseModel]:
        return type("Same", (BaseModel,), {"__annotations__": {"a": field}, "__module__": "m"})

    one = Parameter("one", inspect.Parameter.KEYWORD_ONLY, make(int), MISSING)
    two = Parameter("two", inspect.Parameter.KEYWORD_ONLY, make(str), MISSING)
    schema = params_schema(SignatureInfo((), (one, two), frozenset(), MISSING), redact=redact)
    types = [
        schema["$defs"][schema["properties"][name]["$ref"].rpartition("/")[2]]["properties"]["a"]
        for name in ("one", "two")
    ]
    assert types == [{"type": "integer"}, {"type": "string"}]


class Raising:
    """A type whose schema hook fails."""

    @classmethod
    def __get_pydantic_core_schema__(cls, source: object, handler: object) -> Any:
        """Fail."""
        raise RuntimeError(PLANTED)


def test_a_type_that_raises_loses_its_schema_and_no_other() -> None:
    """Each parameter has a fallback of its own, with a note that quotes no message."""
    one = Parameter("one", inspect.Parameter.KEYWORD_ONLY, Raising, MISSING)
    two = Parameter("two", inspect.Parameter.KEYWORD_ONLY, list[int], MISSING)
    schema = params_schema(SignatureInfo((), (one, two), frozenset(), MISSING), redact=redact)
    assert schema["properties"] == {
        "one": {
            "$comment": f"`one`: {__name__}.Raising has no schema (RuntimeError); recorded as it is"
        },
        "two": {"items": {"type": "integer"}, "type": "array"},
    }


def test_a_package_that_a_type_needs_and_that_is_missing_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The type loses its schema, and the note says what to install."""
    monkeypatch.setitem(sys.modules, "email_validator", None)
    why = "pydantic.networks.EmailStr has no schema (email-validator is not installed)"
    assert property_of(EmailStr) == {"$comment": f"`x`: {why}; recorded as it is"}


def test_a_note_stands_with_its_parameter() -> None:
    """Why an annotation could not be resolved is in the registration."""
    assert property_of(MISSING, note="why") == {"$comment": "`x`: why"}


def test_a_note_of_the_result_stands_with_it() -> None:
    """So that `schema check` can list it."""
    reading = SignatureInfo((), (), frozenset(), MISSING, returns_note="why")
    schema = result_schema(reading, CallKind.FUNCTION, redact=redact)
    assert schema == {"$comment": "why", "type": "object"}


@each(
    ("default", "expected"),
    [
        pytest.param(1, {"default": 1}, id="plain"),
        pytest.param(
            {"password": "x", "a": 1}, {"default": {"password": REDACTED, "a": 1}}, id="inside"
        ),
        pytest.param(object(), {}, id="no JSON"),
        pytest.param(b"abc", {"default": {"$remit": "bytes", "length": 3}}, id="a marker"),
    ],
)
def test_a_default_is_redacted_and_left_out_if_it_is_no_json(
    default: object, expected: dict[str, object]
) -> None:
    """A marker takes the place of what must not be shown."""
    assert property_of(MISSING, default=default) == expected


def test_a_default_is_judged_by_the_name_of_its_parameter() -> None:
    """`password="..."` is a secret whatever its type says."""

    def login(user: str = "me", password: str = PLANTED) -> None: ...

    properties = params_schema(read(login, skip_first=False), redact=redact)["properties"]
    assert properties["user"]["default"] == "me"
    assert properties["password"]["default"] == REDACTED


def test_a_default_of_a_sensitive_parameter_is_left_out() -> None:
    """Its category says that no value of it is shown."""
    assert property_of(str, default=PLANTED, category="health_and_medical") == {"type": "string"}


def test_a_hook_that_redacts_all_redacts_the_default() -> None:
    """A redaction hook that fails redacts the payload; here the default is the payload."""
    reading = reading_of(int, default=1)
    schema = params_schema(reading, redact=lambda _: REDACTED)
    assert schema["properties"]["x"]["default"] == REDACTED


def test_a_hook_that_drops_a_name_drops_its_value() -> None:
    """The hook has the last word."""
    schema = params_schema(reading_of(int, default=1), redact=lambda _: {})
    assert schema["properties"]["x"]["default"] is None


def test_redacted_values_are_left_out_of_an_enumeration() -> None:
    """What is left is still a list of values."""

    class Kind(enum.Enum):
        A = "a"
        B = "b"

    def redact_b(value: object) -> object:
        return REDACTED if value in ("b", {"x": "b"}) else value

    reading = reading_of(typing.Literal["a", "b"])
    assert params_schema(reading, redact=redact_b)["properties"]["x"]["enum"] == ["a"]
    schema = params_schema(reading_of(Kind), redact=lambda _: REDACTED)
    assert schema["$defs"]["Kind"] == {"type": "string"}


@each(
    ("annotation", "kind", "item"),
    [
        (typing.Iterator[int], CallKind.GENERATOR, {"type": "integer"}),
        (typing.Iterable[int], CallKind.GENERATOR, {"type": "integer"}),
        (typing.AsyncIterable[int], CallKind.ASYNC_GENERATOR, {"type": "integer"}),
        (Annotated[typing.Iterator[int], "word"], CallKind.FUNCTION, {"type": "integer"}),
        (typing.AsyncIterator[str], CallKind.COROUTINE, {"type": "string"}),
        (typing.Iterator, CallKind.FUNCTION, {}),
        (MISSING, CallKind.GENERATOR, {}),
        (int, CallKind.GENERATOR, {}),
    ],
    ids=["iterator", "iterable", "async", "annotated", "returned", "bare", "missing", "wrong"],
)
def test_an_iterators_result_is_its_items(
    annotation: object, kind: CallKind, item: dict[str, object]
) -> None:
    """With their count and the time of the first."""
    schema = result_of(annotation, kind)
    assert schema["properties"]["items"] == {"type": "array", "items": item}
    assert schema["required"] == ["items", "count"]


@pytest.mark.parametrize(
    "result",
    [{"result": [1]}, {"items": [1], "count": 1}],
    ids=["a list", "an iterator"],
)
def test_an_iterable_that_is_returned_may_come_in_two_ways(result: object) -> None:
    """A list is recorded at once, an iterator by its items."""
    schema = result_of(typing.Iterable[int])
    assert is_valid(schema, result)
    assert not is_valid(schema, {"result": ["x"]})


class Recursive(BaseModel):
    """A model that holds itself."""

    children: list[Recursive] = Field(default_factory=list["Recursive"])


def test_a_result_that_holds_itself_keeps_its_definition() -> None:
    """It is the object itself, and what it refers to stands beside it."""
    schema = result_of(Recursive)
    assert schema["properties"] == schema["$defs"]["Recursive"]["properties"]
    assert is_valid(schema, Recursive(children=[Recursive()]).model_dump())


@each(
    ("annotation", "good", "bad"),
    [
        pytest.param(int, {"result": 1}, {"result": "x"}, id="scalar"),
        pytest.param(dict[str, int], {"a": 1}, {"a": "x"}, id="mapping"),
        pytest.param(dict[str, int] | None, {"result": None}, {"result": "x"}, id="or none"),
        pytest.param(Recursive | list[int], {"result": [1]}, {"children": [1]}, id="model or list"),
        pytest.param(Any, {"anything": 1}, [], id="anything"),
        pytest.param(Any | int, {"anything": 1}, [], id="anything or more"),
    ],
)
def test_a_result_is_an_object(annotation: object, good: object, bad: object) -> None:
    """Mapping-like values are the object itself, others stand under `result`."""
    schema = result_of(annotation)
    assert is_valid(schema, good)
    assert not is_valid(schema, bad)


class Answer(BaseModel):
    """An answer."""

    text: str = "x"


@each(
    ("declared", "expected"),
    [
        pytest.param(
            Answer,
            {
                "description": "An answer.",
                "properties": {"text": {"default": "x", "type": "string"}},
                "type": "object",
            },
            id="model",
        ),
        pytest.param(
            {"type": "object", "properties": {"b": {}, "a": {"anyOf": [{"type": "null"}, {}]}}},
            {"properties": {"a": {"anyOf": [{"type": "null"}, {}]}, "b": {}}, "type": "object"},
            id="JSON Schema, its unions as written",
        ),
        pytest.param(
            {"properties": {"password": {"default": PLANTED, "examples": [PLANTED, PLANTED]}}},
            {"properties": {"password": {"default": REDACTED}}},
            id="JSON Schema with secrets",
        ),
        pytest.param(
            {"minimum": float("inf"), "maximum": 2.5, "x": (1, object()), 3: None, "default": 1.5},
            {
                "3": None,
                "default": 1.5,
                "maximum": 2.5,
                "minimum": "Infinity",
                "x": [1, {"$remit": "opaque", "type": "object"}],
            },
            id="what is no JSON passes redaction",
        ),
        pytest.param(int, {"type": "integer"}, id="a scalar"),
    ],
)
def test_what_was_declared_takes_the_place_of_the_signature(
    declared: object, expected: dict[str, object]
) -> None:
    """A model, another type, or a schema as the author wrote it."""
    assert declared_schema(declared, redact=redact) == expected


def test_a_union_that_holds_itself_ends() -> None:
    """An alias may be recursive without anything around it."""
    definitions = {"Loop": {"anyOf": [{"$ref": "#/$defs/Loop"}, {"type": "object"}]}}
    schema = as_object({"$ref": "#/$defs/Loop"}, definitions)
    assert schema == {"type": "object", "anyOf": definitions["Loop"]["anyOf"]}


def test_references_that_lead_nowhere_are_left_alone() -> None:
    """An author's schema may refer to another document."""
    foreign = Annotated[dict[str, int], WithJsonSchema({"$ref": "https://example.org/a.json"})]
    assert property_of(foreign) == {"$ref": "https://example.org/a.json"}
    assert result_of(foreign)["properties"] == {"result": {"$ref": "https://example.org/a.json"}}


def test_canonical_json_is_the_same_for_equal_values() -> None:
    """The hash of a schema version is of this text."""
    assert canonical({"b": [1, "ä"], "a": None}) == '{"a":null,"b":[1,"ä"]}'
    assert json.loads(canonical({"b": 1})) == {"b": 1}
