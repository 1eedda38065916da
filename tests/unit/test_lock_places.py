"""The places of parameters and results in a lock, from the schemas of real signatures."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal, NamedTuple

import pytest
from pydantic import BaseModel, SecretStr

import remit
from remit._lock.places import MAX_PARTS, params_places, result_places
from remit.testing import isolated
from tests.subtests import each

Secret = Annotated[str, remit.Sensitive("contact_information")]


class Line(BaseModel):
    """One line of an order."""

    note: Secret
    amount: float | int | None


class Order(BaseModel):
    """An order with lines."""

    lines: list[Line]
    by_sku: dict[str, Line] = {}
    either: Secret | int = 1
    kind: Literal["a", 1] = "a"


class Node(BaseModel):
    """Refers to itself."""

    name: Secret
    children: list[Node] = []
    parent: Node | None = None


class Point(NamedTuple):
    """Two numbers."""

    x: int
    y: SecretStr


def schemas(function: Any, **options: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the registered schemas of a step."""
    with isolated():
        remit.span_type("step", **options)(function)
        agent = remit.agent(lambda: None)
        version: Any = agent.registration()["agent_schema_version"]
    (entry,) = [each for each in version["span_type_schemas"] if each["name"] == "step"]
    return entry["params_schema"], entry["result_schema"]


def order(order: Order, *rest: int, **more: str) -> Order | None:
    """Take models, and the rest."""
    raise AssertionError(order, rest, more)


def node(node: Node) -> dict[str, list[Node]]:
    """Take a tree."""
    raise AssertionError(node)


def point(point: Point) -> tuple[int, Secret]:
    """Take a tuple."""
    raise AssertionError(point)


def untyped(value):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201 - the point
    """Say nothing."""
    raise AssertionError(value)


def stream(token: str) -> Iterator[Line]:
    """Return a stream."""
    raise AssertionError(token)


def number() -> int:
    """Take nothing."""
    raise AssertionError


LINE = "array", "object", "integer | number | null", "string, redacted: type:Sensitive"


@each(
    ("function", "options", "params", "result"),
    [
        pytest.param(
            order,
            {},
            {
                "order": "object",
                "order.by_sku?": "object",
                "order.by_sku{}": "object",
                "order.by_sku{}.amount": LINE[2],
                "order.by_sku{}.note": LINE[3],
                "order.either?": "integer | string, redacted: type:Sensitive",
                "order.kind?": "integer | string",
                "order.lines": "array",
                "order.lines[]": "object",
                "order.lines[].amount": LINE[2],
                "order.lines[].note": LINE[3],
                "rest?": "array",
                "rest[]": "integer",
                "more?": "object",
                "more{}": "string",
            },
            {"": "object | null", "lines[].note": LINE[3]},
            id="models",
        ),
        pytest.param(
            node,
            {},
            {
                "node": "object",
                "node.name": LINE[3],
                "node.children?": "array",
                "node.children[]": "object",
                "node.parent?": "object | null",
            },
            {"": "object", "{}": "array", "{}[]": "object", "{}[].name": LINE[3]},
            id="recursive",
        ),
        pytest.param(
            point,
            {},
            {
                "point": "array",
                "point[0]": "integer",
                "point[1]": "string, redacted: type:SecretStr",
            },
            {"": "array, redacted: type:Sensitive", "[1]": LINE[3]},
            id="tuples",
        ),
        pytest.param(untyped, {}, {"value": "anything"}, {"": "anything"}, id="untyped"),
        pytest.param(
            stream,
            {"capture": {"token": {"name:token": True}}},
            {"token": "string, off: name:token"},
            {"": "array", "[]": "object", "[].amount": LINE[2], "[].note": LINE[3]},
            id="stream",
        ),
        pytest.param(
            stream,
            {"capture": {"name:token": True}},
            {"": "object, off: name:token", "token": "string"},
            {"": "array, off: name:token"},
            id="off",
        ),
        pytest.param(
            order,
            {"data_risk": remit.risk(classification="secret")},
            {"order": "object, redacted: classification:secret"},
            {"": "object | null, redacted: classification:secret"},
            id="classified",
        ),
        pytest.param(
            number,
            {"capture": {"return": False}},
            {},
            {"": "integer, redacted: capture"},
            id="number",
        ),
    ],
)
def test_places(
    function: Any,
    options: dict[str, Any],
    params: dict[str, str],
    result: dict[str, str],
) -> None:
    """Of a nested value its path, with the types and the rules that decide what is recorded."""
    takes, gives = schemas(function, **options)
    assert params_places(takes).items() >= params.items()
    assert result_places(gives).items() >= result.items()


def test_what_is_inside_a_redacted_value_is_redacted() -> None:
    """So a new field of it is no open place."""
    takes, gives = schemas(order, data_risk=remit.risk(classification="secret"))
    for places in (params_places(takes), result_places(gives)):
        assert len(places) > 10
        rules = ("redacted: classification:secret", "redacted: type:Sensitive")
        assert all(rules[0] in text or rules[1] in text for text in places.values())


def test_a_union_of_which_one_member_is_redacted_is_redacted_in_part() -> None:
    """That is no redacted place: the other member is recorded. Null holds nothing."""
    member = {"type": "string", "x-remit-redacted": "type:Key"}
    for others, text in (
        ([{"type": "integer"}], "integer | string, redacted in part: type:Key"),
        ([{"type": "null"}], "string | null, redacted: type:Key"),
    ):
        schema = {"type": "object", "properties": {"a b": {"anyOf": [member, *others]}}}
        assert params_places(schema) == {'"a b"?': text}


ODD: list[dict[str, Any]] = [
    {},
    {"type": "object", "properties": [1], "required": "x", "anyOf": {}, "enum": 3},
    {"type": 7, "items": True, "prefixItems": {}, "x-remit-rules-off": "all"},
    {"properties": {"a": True, "b": {"$ref": "#/nowhere"}, "c": {"$ref": "other.json"}}},
    {"anyOf": [True, 1, {"$ref": "#"}]},
]


@each("schema", [pytest.param(schema, id=str(number)) for number, schema in enumerate(ODD)])
def test_what_an_author_wrote_need_be_no_schema(schema: dict[str, Any]) -> None:
    """Other SDKs register anything; what cannot be read says nothing."""
    assert all(isinstance(text, str) for text in params_places(schema).values())
    assert all(isinstance(text, str) for text in result_places(schema).values())


def test_a_schema_without_end_has_one() -> None:
    """Definitions that all refer to each other have more paths than a file has lines."""
    names = [f"T{number}" for number in range(12)]
    refs = {name: {"$ref": f"#/$defs/{name}"} for name in names}
    definitions = {name: {"type": "object", "properties": refs} for name in names}
    schema = {"type": "object", "properties": {"a": refs["T0"]}, "$defs": definitions}
    places = params_places(schema)
    assert places["..."] == f"more than {MAX_PARTS:,} parts"
    assert len(places) <= MAX_PARTS
