"""Payloads and what was declared of them: what does not match is stored and flagged."""

from __future__ import annotations

import json
from typing import Any, Final

import pytest

from tests.collecting import Api, details
from tests.stores import on_each_store
from tests.subtests import each

Json = Any

ORDER: Final[Json] = {
    "type": "object",
    "properties": {
        "number": {"type": "integer"},
        "ratio": {"type": ["number", "null"]},
        "customer": {
            "oneOf": [
                {"type": "object", "properties": {"id": {"type": "integer"}}, "required": ["id"]},
                {"type": "object", "properties": {"id": {"type": "string"}}, "required": ["id"]},
            ]
        },
        "items": {"type": "array", "items": {"type": "string"}, "minItems": 2, "uniqueItems": True},
        "row": {
            "type": "array",
            "prefixItems": [{"type": name} for name in ("string", "string", "null", "integer")],
            "maxItems": 4,
        },
    },
    "required": ["number"],
    "additionalProperties": False,
}
RESULT: Final[Json] = {
    "type": "object",
    "properties": {"result": {"type": "boolean"}},
    "required": ["result"],
}
DECLARED: Final[Json] = {
    "span_type_schemas": [
        {"name": "shop:order", "params_schema": ORDER, "result_schema": RESULT},
        {"name": "shop:loop", "params_schema": {"$ref": "#"}},
        {"name": "shop:remote", "params_schema": {"$ref": "https://example.test/schema.json"}},
        {"name": "shop:own", "params_schema": {"properties": {"$remit": {"type": "integer"}}}},
    ]
}
REDACTED: Final = {"$remit": "redacted", "rule": "key:password"}


@pytest.fixture
def run_id(api: Api) -> str:
    """Return a run whose types are declared."""
    found: str = api.instance(agent_schema_version=DECLARED)["id"]
    return found


def order(api: Api, run_id: str, payload: Json, **more: Json) -> Json:
    """Return a new span of an order."""
    return api.span(run_id, schema_name="shop:order", payload=payload, **more)


@each(
    "payload",
    [
        {"number": 3},
        {"number": 3, "customer": {"id": "x"}, "items": ["a", "b"]},
        {"number": REDACTED},
        {"number": 3, "customer": REDACTED},
        {"number": 3, "customer": {"id": REDACTED}},
        {"number": 3, "customer": {"name": REDACTED}},
        {"customer": REDACTED},
        {"number": 3, "items": ["a", {"$remit": "cut", "of": 90, "unit": "items"}]},
        {"number": 3, "row": ["a", {"$remit": "cut", "of": 4, "unit": "items"}, 1]},
        {"number": 3, "items": [REDACTED, REDACTED]},
        {"$remit": "redacted", "rule": "classification:secret"},
        {"number": 3, "$remit": {"violations": [{"sentence": "it may delete"}]}},
        {"number": "9007199254740993"},
        {"number": "-9007199254740993", "customer": {"id": "NaN"}},
        {"number": "9007199254740993", "customer": REDACTED},
        {"number": 3, "ratio": "-Infinity"},
    ],
    ids=str,
)
def test_a_payload_as_declared_is_valid(api: Api, run_id: str, payload: Json) -> None:
    """A difference at, above or below a marker does not count."""
    made = order(api, run_id, payload)
    assert (made["valid"], made["schema_errors"]) == (True, [])


@on_each_store
@each(
    ("payload", "error"),
    [
        ({}, 'payload "number" is a required property'),
        ({"number": "3"}, 'payload /number it is not of type "integer"'),
        ({"number": 3, "items": ["a"]}, "payload /items it has less than 2 items"),
        ({"number": "3", "customer": REDACTED}, 'payload /number it is not of type "integer"'),
        ({"number": 3, "$$remit": 1}, "payload Additional properties are not allowed"),
        ({"number": "9007199254740993", "items": ["a"]}, "payload /items it has less than 2 items"),
        ({"number": "NaN", "ratio": "none"}, 'payload /ratio it is not of types "null", "number"'),
    ],
    ids=str,
)
def test_a_payload_that_is_not_as_declared_is_stored_and_flagged(
    api: Api, payload: Json, error: str
) -> None:
    """It is never refused, and says what is wrong wherever it is shown."""
    run_id = api.instance(agent_schema_version=DECLARED)["id"]
    made = order(api, run_id, payload)
    (listed,) = api.spans(run_id)
    assert listed == made
    assert made["payload"] == payload
    assert made["valid"] is False
    assert any(each.startswith(error) for each in made["schema_errors"]), made["schema_errors"]


def test_the_text_of_a_number_is_no_difference(api: Api, run_id: str) -> None:
    """The differences of a payload do not name the numbers that JSON cannot represent."""
    made = order(api, run_id, {"number": "9007199254740993", "ratio": "NaN", "customer": 3})
    assert [text.split()[:2] for text in made["schema_errors"]] == [["payload", "/customer"]]


@each(
    "hidden",
    [
        {"customer": REDACTED},
        {"customer": {"id": REDACTED}},
        {"items": [REDACTED]},
        {"items": [REDACTED, REDACTED]},
    ],
    ids=str,
)
def test_a_marker_is_no_difference(api: Api, run_id: str, hidden: Json) -> None:
    """The differences of a payload name no place whose value is hidden."""
    made = order(api, run_id, {"number": "3", **hidden})
    assert made["schema_errors"] == ['payload /number it is not of type "integer"']


def test_a_user_s_own_key_is_compared_under_its_own_name(api: Api, run_id: str) -> None:
    """It is written with one `$` more."""
    good = api.span(run_id, schema_name="shop:own", payload={"$$remit": 3})
    bad = api.span(run_id, schema_name="shop:own", payload={"$$remit": "3"})
    escaped = api.http.post(
        "/api/v1/agent_spans",
        content=json.dumps(
            api.span_body(run_id, schema_name="shop:order", payload={"number": {"$remit": "cut"}})
        ).replace("$remit", "\\u0024remit"),
    )
    assert (good["valid"], bad["valid"]) == (True, False)
    assert details(escaped)["valid"] is True


@on_each_store
def test_a_result_is_compared_when_the_step_went_well(api: Api, run_id: str) -> None:
    """How a step fails is declared nowhere."""
    bad = {"result": "yes"}
    created = order(api, run_id, {"number": 3}, status="complete", result_payload=bad)
    failed = order(api, run_id, {"number": 3}, status="failed", result_payload={"error": {}})
    later = order(api, run_id, {"number": 3})
    finished = details(api.post(f"/agent_spans/{later['id']}/finish", {"result_payload": bad}))
    assert created["schema_errors"] == ['result_payload /result it is not of type "boolean"']
    assert failed["valid"] is True
    assert later["valid"] is True
    assert finished["schema_errors"] == created["schema_errors"]


@on_each_store
def test_a_repeated_creation_answers_the_span_that_ended(api: Api, run_id: str) -> None:
    """This holds under another key too: the id is that of the same span."""
    span_id = f"{run_id[:-4]}zzzz"
    body = api.span_body(run_id, id=span_id, schema_name="shop:order", payload={"number": 3})
    details(api.post("/agent_spans", body))
    ended = api.post(f"/agent_spans/{span_id}/finish", {"result_payload": {"result": REDACTED}})
    assert details(ended)["valid"] is True
    assert details(api.post("/agent_spans", body)) == details(ended)


def test_a_span_of_an_undeclared_type_is_compared_with_nothing(api: Api, run_id: str) -> None:
    """Blocks are of such types, and published adapters send them."""
    made = api.span(run_id, schema_name="shop:unheard")
    assert made["valid"] is None
    assert made["schema_errors"] == []


@each(
    ("name", "why"),
    [("shop:loop", "refers to itself"), ("shop:remote", "refers to something outside")],
)
def test_a_schema_that_cannot_be_compared_with_is_said(
    api: Api, run_id: str, name: str, why: str
) -> None:
    """Nothing is fetched, nothing hangs."""
    made = api.span(run_id, schema_name=name)
    assert made["valid"] is None
    assert made["schema_errors"][0].startswith(f"payload was not compared: the schema {why}")


def test_the_older_maps_declare_as_well(api: Api) -> None:
    """Payload and result."""
    declared = {"span_schemas": {"old": ORDER}, "span_result_schemas": {"old": RESULT}}
    run = api.instance(agent_schema_version=declared)
    good, bad = {"number": 3}, {"number": "3"}
    ended = {"schema_name": "old", "status": "complete"}
    assert api.span(run["id"], payload=good, result_payload={"result": True}, **ended)["valid"]
    assert not api.span(run["id"], payload=bad, **ended)["valid"]
    assert not api.span(run["id"], payload=good, result_payload={}, **ended)["valid"]


def test_a_bulk_request_is_not_stopped_by_what_does_not_match(api: Api, run_id: str) -> None:
    """The items after it are carried out."""
    items = [
        {
            "_type": "agent_spans/create",
            **api.span_body(run_id, schema_name="shop:order", payload={"number": number}),
        }
        for number in (1, "2", 3)
    ]
    outputs = api.bulk(*items)
    assert [each["details"]["valid"] for each in outputs.values()] == [True, False, True]


def checked(api: Api, schemas: list[Json]) -> list[bool | None]:
    """Return for each schema whether a span matches it; None if it was not compared.

    A request has fifty spans, because the time for compiling schemas is limited per request.
    """
    types = [{"name": f"t{n}", "params_schema": each} for n, each in enumerate(schemas)]
    run_id = api.instance(agent_schema_version={"span_type_schemas": types})["id"]
    made = {"_type": "agent_spans/create", "agent_instance_id": run_id, "status": "complete"}
    items = [{**made, "schema_name": f"t{n}", "payload": {"a": "x"}} for n in range(len(schemas))]
    return [
        each["details"]["valid"]
        for start in range(0, len(items), 50)
        for each in api.bulk(*items[start : start + 50]).values()
    ]


def test_two_hundred_patterns_are_compared(api: Api) -> None:
    """A large agent has a hundred."""
    patterns = [rf"^[\w.+-]{{1,64}}(?:{n})?$" for n in range(200)]
    schemas = [{"properties": {"a": {"pattern": pattern}}} for pattern in patterns]
    assert checked(api, schemas) == [True] * 200


def test_a_property_called_pattern_is_no_pattern(api: Api) -> None:
    """Neither is a default of that name."""
    named: Json = {"properties": {"pattern": {"type": "string", "default": {"pattern": 1}}}}
    assert checked(api, [named] * 300) == [True] * 300


def test_patterns_of_names_count_as_well(api: Api) -> None:
    """Schemas without a pattern are compared even if they come after too many."""
    schemas: list[Json] = [
        {"patternProperties": {f"^{'x' * n}{m}$": {} for m in range(60)}} for n in range(6)
    ]
    assert checked(api, [*schemas, {"type": "object"}]) == [True] * 4 + [None] * 2 + [True]
