"""`params=` and `result=`: what the author says in place of the signature."""

# The functions are data: they are read, never called.
# ruff: noqa: D103
# mypy: disable-error-code="empty-body"
from __future__ import annotations

import dataclasses
import json
import typing
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Annotated, Any

import attrs
import pytest
import typing_extensions
from pydantic import BaseModel, Field, SecretStr

import remit
from remit._capture.encode import Rules
from remit._declare.schema.build import params_schema, result_schema
from remit._inspect.marks import Sensitive, Skip
from remit._inspect.overrides import check_overrides, overridden
from remit._inspect.signature import CallKind, SignatureInfo, read
from remit.errors import DeclarationError
from remit.testing import RecordingSink
from tests.data.corpus import is_valid
from tests.data.redaction import redact
from tests.inside import plan_of
from tests.subtests import each

pytestmark = pytest.mark.python

WHERE = "@remit.span_type on shop:order (shop.py:7)"
PLANTED = "planted"


class Order(BaseModel):
    """Names exactly the parameters of `order`."""

    article: str = Field(min_length=1, description="As in the catalogue.")
    pin: SecretStr
    note: str = Field(default="", repr=False)


class Some(BaseModel):
    """Names some of them, and more."""

    article: typing.Literal["tea", "coffee"]
    colour: Annotated[str, Sensitive()] = "red"


@dataclasses.dataclass
class OrderRecord:
    """A dataclass of the same."""

    article: str
    pin: SecretStr
    note: str = dataclasses.field(default="", repr=False)


@attrs.define
class OrderAttrs:
    """An attrs class of the same."""

    article: str
    pin: Annotated[str, Sensitive()]
    note: str = attrs.field(default="", repr=False)


class OrderDict(typing.TypedDict):
    """A TypedDict of the same."""

    article: str
    pin: SecretStr
    note: typing_extensions.NotRequired[Annotated[str, Sensitive()]]


class OrderTuple(typing.NamedTuple):
    """A NamedTuple of the same."""

    article: str
    pin: SecretStr
    note: Annotated[str, Sensitive()] = ""


def order(article: Any, pin: Any, note: Any = "") -> Any: ...


def loose(article: str, **others: int) -> None: ...


def marked(
    article: Annotated[str, Sensitive()], session: Annotated[object, Skip], count: int = 1
) -> None: ...


class Line(BaseModel):
    """A line of an order."""

    count: int


def buy(line: Line, lines: list[Line]) -> None: ...


def reading_of(function: Callable[..., object], **declared: Any) -> SignatureInfo:
    """Return the reading of *function* with what was declared in it."""
    return overridden(read(function, skip_first=False), streams=False, **declared)


def params_of(function: Callable[..., object], declared: object) -> Any:
    """Return the schema of the parameters of *function* under `params=`."""
    reading = read(function, skip_first=False)
    return params_schema(reading, redact=redact, declared=declared)


def check(function: Callable[..., object], params: object = None, result: object = None) -> None:
    """Check what was declared, as the decorators do."""
    check_overrides(function, skip_first=False, params=params, result=result, where=WHERE)


CLASSES = (Order, OrderRecord, OrderAttrs, OrderDict, OrderTuple)


@each("declared", CLASSES)
def test_capture_follows_the_class_that_was_declared(declared: object) -> None:
    """Secret types, marks and hidden fields redact, though the function says nothing of types."""
    check(order, params=declared)
    plan = plan_of(reading_of(order, params=declared))
    payload = json.loads(plan.params(("tea", PLANTED), {"note": PLANTED}, Rules()))
    assert payload["article"] == "tea"
    assert {payload[name]["$remit"] for name in ("pin", "note")} == {"redacted"}


@each("declared", [Order, OrderRecord, OrderAttrs, OrderDict])
def test_payload_keys_are_the_properties_of_the_class_that_was_declared(declared: object) -> None:
    """As without one."""
    plan = plan_of(reading_of(order, params=declared))
    payload = json.loads(plan.params(("tea",), {"pin": "1"}, Rules()))
    assert payload.keys() == params_of(order, declared)["properties"].keys()


def test_a_class_that_names_exactly_the_parameters_is_sent_as_it_is() -> None:
    """With what its author said of the whole; values that were hidden are not in it."""
    assert params_of(order, Order) == {
        "description": "Names exactly the parameters of `order`.",
        "properties": {
            "article": {"description": "As in the catalogue.", "minLength": 1, "type": "string"},
            "note": {"type": "string", "x-remit-redacted": "hidden:repr"},
            "pin": {
                "format": "password",
                "type": "string",
                "writeOnly": True,
                "x-remit-redacted": "type:SecretStr",
            },
        },
        "required": ["article", "pin"],
        "type": "object",
    }


def test_a_json_schema_that_names_exactly_the_parameters_is_sent_as_it_is() -> None:
    """Whatever else stands in it; keys sorted, values redacted."""
    written = {
        "type": "object",
        "additionalProperties": False,
        "properties": {"pin": {"default": "1"}, "note": {}, "article": {"enum": ["tea"]}},
    }
    assert params_of(order, written) == written


def test_what_is_not_named_keeps_the_schema_of_the_signature() -> None:
    """So that the properties are still those of a payload."""
    assert params_of(loose, {"properties": {"article": {"enum": ["tea"]}}}) == {
        "properties": {
            "article": {"enum": ["tea"]},
            "others": {"additionalProperties": {"type": "integer"}, "type": "object"},
        },
        "type": "object",
    }
    assert params_of(marked, {"required": ["count"]})["required"] == ["article", "count"]


def test_what_is_no_parameter_describes_a_member_of_the_keywords() -> None:
    """In the schema under the name that the payload has for them, and in what is redacted."""
    check(loose, params=Some)
    schema = params_of(loose, Some)
    assert set(schema["properties"]) == {"article", "others"}
    assert schema["properties"]["others"] == {
        "additionalProperties": {"type": "integer"},
        "properties": {"colour": {"type": "string", "x-remit-redacted": "type:Sensitive"}},
        "type": "object",
    }
    plan = plan_of(reading_of(loose, params=Some))
    payload = json.loads(plan.params(("tea",), {"colour": PLANTED, "size": 3}, Rules()))
    assert payload["others"]["size"] == 3
    assert payload["others"]["colour"]["$remit"] == "redacted"


def test_required_members_are_required_of_the_keywords() -> None:
    """They are no parameters, so the payload itself cannot require them."""
    written = {"properties": {"a": {}, "b": {}}, "required": ["a"]}
    schema = params_of(loose, written)
    assert schema["required"] == ["article"]
    assert schema["properties"]["others"]["required"] == ["a"]


def test_a_mark_in_the_signature_stays_and_a_skipped_parameter_stays_away() -> None:
    """An override adds to what is redacted; it takes nothing back."""

    class Open(BaseModel):
        article: str
        session: str

    reading = reading_of(marked, params=Open)
    payload = json.loads(plan_of(reading).params((PLANTED, object()), {}, Rules()))
    assert payload["article"]["$remit"] == "redacted"
    assert payload.keys() == params_of(marked, Open)["properties"].keys() == {"article", "count"}


def test_definitions_of_one_name_are_told_apart() -> None:
    """Those of an author's schema keep their names, since its references are theirs."""
    written = {
        "properties": {"line": {"$ref": "#/$defs/Line"}},
        "$defs": {"Line": {"type": "string"}},
    }
    schema = params_of(buy, written)
    assert is_valid(schema, {"line": "a", "lines": [{"count": 1}]})
    assert not is_valid(schema, {"line": "a", "lines": ["a"]})


def test_a_reference_at_the_top_is_followed() -> None:
    """Generators of schemas like to put all of it into a definition."""
    written = {
        "$ref": "#/$defs/Order",
        "$defs": {"Order": {"type": "object", "properties": {"article": {"const": "tea"}}}},
    }
    assert params_of(loose, written)["properties"]["article"] == {"const": "tea"}


class Answer(BaseModel):
    """What comes back."""

    text: SecretStr


def at_once(a: int) -> Any: ...


def one_by_one(a: int) -> Iterator[Any]: ...


def on_entering(a: int) -> AbstractContextManager[Any]: ...


@each(
    ("function", "declared", "good"),
    [
        pytest.param(at_once, Answer, {"text": "a"}, id="at once"),
        pytest.param(at_once, list[int], {"result": [1]}, id="no mapping"),
        pytest.param(one_by_one, Answer, {"items": [{"text": "a"}], "count": 1}, id="items"),
        pytest.param(one_by_one, Iterator[int], {"items": [1], "count": 1}, id="an iterator"),
        pytest.param(on_entering, Answer, {"text": "a"}, id="on entering"),
        pytest.param(at_once, {"type": "array"}, {"result": []}, id="a schema of no object"),
        pytest.param(at_once, {"properties": {"a": {"type": "null"}}}, {"a": None}, id="a schema"),
    ],
)
def test_a_result_that_was_declared_has_the_form_of_a_result(
    function: Callable[..., object], declared: object, good: object
) -> None:
    """Whatever the declaration says, the payload has the form that all have."""
    check(function, result=declared)
    reading = reading_of(function, result=declared)
    schema = result_schema(reading, CallKind.FUNCTION, redact=redact, declared=declared)
    assert is_valid(schema, good)
    assert not is_valid(schema, {"items": "x", "result": 5, "text": 5, "a": 5})


def test_the_items_of_an_unannotated_generator_can_be_declared() -> None:
    """Its code says that there are several, the declaration of which type each is."""
    reading = overridden(read(order, skip_first=False), streams=True, result=Answer)
    schema = result_schema(reading, CallKind.GENERATOR, redact=redact, declared=Answer)
    assert schema["properties"]["items"]["items"] == {"$ref": "#/$defs/Answer"}


def test_capture_follows_the_type_of_the_result() -> None:
    """A dict that is returned for a model is redacted where the model is."""
    plan = plan_of(reading_of(at_once, result=Answer))
    payload = json.loads(plan.result({"text": PLANTED}, Rules()))
    assert payload["text"]["$remit"] == "redacted"


@each(
    ("params", "message"),
    [
        pytest.param(
            {"properties": {"articel": {}}}, " (did you mean 'article'?); expected", id="near"
        ),
        pytest.param(Some, "names 'colour', which is not a parameter; expected", id="a field"),
        pytest.param(int, "a type without fields", id="no fields"),
        pytest.param({"type": "array"}, "not a JSON Schema of an object", id="an array"),
        pytest.param({"properties": 5}, "not a JSON Schema of an object", id="no properties"),
        pytest.param("Order", "an object of type str", id="a text"),
        pytest.param(Some(article="tea"), "an object of type Some", id="an instance"),
        pytest.param(order, "an object of type function", id="a function"),
    ],
)
def test_what_cannot_describe_the_parameters_is_an_error(params: object, message: str) -> None:
    """At decoration, with the place, what was seen and what is allowed."""
    with pytest.raises(DeclarationError) as raised:
        check(order, params=params)
    assert str(raised.value).startswith(WHERE)
    assert message in str(raised.value)


@each("result", ["Answer", 5, Answer(text=SecretStr("a")), order])
def test_what_cannot_describe_a_result_is_an_error(result: object) -> None:
    """A value in place of its type is the usual mistake."""
    with pytest.raises(DeclarationError, match="result is an object of type"):
        check(at_once, result=result)


@each(
    "result",
    [Answer, int | None, list[int], Annotated[int, "x"], typing.NewType("Id", int), Any, {}],
    ids=str,
)
def test_every_form_of_a_type_may_be_declared(result: object) -> None:
    """Also those that are no classes."""
    check(at_once, result=result)


def test_a_function_without_a_signature_takes_any_name() -> None:
    """Nobody can say which it knows."""
    check(dict.update, params={"properties": {"anything": {}}})


def test_a_field_that_cannot_be_resolved_leaves_the_signature_in_force() -> None:
    """A name that is missing at run time loses one type and no mark."""

    class Half(BaseModel):
        article: Missing  # type: ignore[name-defined]  # noqa: F821 - missing on purpose
        pin: SecretStr

    reading = reading_of(order, params=Half)
    assert [each.category for each in reading.parameters][1] == "authentication_and_secrets"


def test_the_decorator_takes_what_was_declared(remit_recorder: RecordingSink) -> None:
    """It stands in the registration, and each call is recorded by it."""

    @remit.span_type("buy", params=Order, result=Answer)
    def purchase(article: Any, pin: Any, note: Any = "") -> Any:  # noqa: ARG001 - only recorded
        return {"text": PLANTED}

    @remit.agent
    def answer() -> None:
        purchase("tea", PLANTED)

    answer()
    (span,) = remit_recorder.spans("buy")
    assert PLANTED not in json.dumps([span.payload, span.result])
    registered: Any = answer.registration()["agent_schema_version"]
    (entry,) = (each for each in registered["span_type_schemas"] if each["name"] == "buy")
    assert entry["params_schema"]["description"] == Order.__doc__
    assert entry["result_schema"]["description"] == Answer.__doc__
    assert span.payload is not None
    assert span.payload.keys() == entry["params_schema"]["properties"].keys()


def test_the_decorator_names_its_place_when_it_refuses() -> None:
    """Function, file and line."""
    with pytest.raises(DeclarationError, match=r"on tests.unit.test_overrides.*_overrides\.py:"):
        remit.span_type(params={"properties": {"articel": {}}})(order)
