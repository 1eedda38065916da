"""The wire models round-trip: what is written is read back the same, and nothing is lost."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, Literal, TypeAlias, get_args, get_origin

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from remit.errors import ContractError
from remit.models import agent, agent_instance, agent_span, bulk, envelope
from tests.inside import Call, described

MODELS: list[type[BaseModel]] = [
    value
    for module in (agent, agent_instance, agent_span, bulk, envelope)
    for value in vars(module).values()
    if isinstance(value, type)
    and issubclass(value, BaseModel)
    and value.__module__ == module.__name__
    and not issubclass(value, (envelope.SuccessResponse, envelope.ListResponse))
]
GENERIC: list[type[BaseModel]] = [
    envelope.SuccessResponse[agent_instance.AgentInstance],
    envelope.ListResponse[agent_span.AgentSpan],
]

texts = st.text(st.characters(codec="utf-8"), max_size=20)
numbers = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
scalars = st.none() | st.booleans() | numbers | texts
json_values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(texts, inner, max_size=2),
    max_leaves=4,
)
json_objects = st.dictionaries(texts, json_values, max_size=2)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
moments = st.timedeltas(timedelta(0), timedelta(days=80_000)).map(lambda since: EPOCH + since)

PLAIN: dict[object, st.SearchStrategy[Any]] = {
    Any: json_values,
    bool: st.booleans(),
    datetime: moments,
    dict: json_objects,
    int: st.integers(),
    str: texts,
    type(None): st.none(),
}
# A type, or what `typing` makes of some.
Annotation: TypeAlias = Any
KEYS = st.text("abc", min_size=8, max_size=64)


def values(annotation: Annotation) -> st.SearchStrategy[Any]:
    """Return a strategy for what a field of type *annotation* may hold."""
    origin: object = get_origin(annotation)
    arguments = get_args(annotation)
    if annotation in PLAIN:
        return PLAIN[annotation]
    if origin is Literal:
        return st.sampled_from(arguments)
    if origin is list:
        return st.lists(values(arguments[0]), max_size=2)
    if origin is dict:
        return st.dictionaries(texts, values(arguments[1]), max_size=2)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return instances(annotation)
    return st.one_of([values(argument) for argument in arguments])  # a union


@cache
def instances(model: type[BaseModel]) -> st.SearchStrategy[BaseModel]:
    """Return a strategy for *model* with every field filled in at will."""
    fields = {
        info.alias or name: values(info.annotation) for name, info in model.model_fields.items()
    }
    if model is bulk.BulkItem:
        fields["idempotency_key"] = KEYS
    if model is bulk.BulkRequest:
        unique = st.lists(instances(bulk.BulkItem), min_size=1, max_size=3, unique_by=key_of)
        fields["items"] = unique
    return st.fixed_dictionaries(fields).map(model.model_validate)


def key_of(item: BaseModel) -> str:
    """Return the key of a bulk item."""
    assert isinstance(item, bulk.BulkItem)
    return item.idempotency_key


@pytest.mark.parametrize("model", [*MODELS, *GENERIC], ids=lambda model: model.__name__)
@settings(max_examples=20)
@given(data=st.data())
def test_a_model_is_read_back_as_it_was_written(
    model: type[BaseModel], data: st.DataObject
) -> None:
    """Names are aliases; nulls may be left out, except in a pagination."""
    value = data.draw(instances(model))
    assert model.model_validate(value.model_dump(by_alias=True)) == value
    assert model.model_validate_json(value.model_dump_json(by_alias=True)) == value
    if "Pagination" not in repr(value):
        short = value.model_dump_json(by_alias=True, exclude_none=True)
        assert model.model_validate_json(short) == value


@given(payload=json_objects, result=json_objects)
def test_a_payload_reaches_the_wire_as_it_is(
    payload: dict[str, Any], result: dict[str, Any]
) -> None:
    """Nothing is added, renamed or left out inside it, nulls included."""
    call = described.create_span(
        agent_instance_id="i",
        schema_name="n",
        status="complete",
        payload=payload,
        result_payload=result,
    )
    details = json.loads(call.body or b"")["details"]
    assert (details["payload"], details["result_payload"]) == (payload, result)


@given(answer=json_values)
@pytest.mark.parametrize(
    "call",
    [
        described.ping(),
        described.get_instance("i"),
        described.list_spans(agent_id="a"),
        described.finish_span("s"),
        described.bulk_raw(b"{}"),
    ],
    ids=lambda call: call.path,
)
def test_no_answer_makes_a_parser_raise_anything_but_a_contract_error(
    call: Call[Any], answer: object
) -> None:
    """What is read was an object that says nothing of an error."""
    with suppress(ContractError):
        call.parse(json.dumps(answer).encode())
        assert isinstance(answer, dict)
        assert answer.get("status", "success") == "success"
