"""The fast reader of span items takes what the wire models take, and nothing else."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from remit.models.agent_span import CreateAgentSpanRequest, FinishAgentSpanRequest
from tests.inside_collector import JsonText, RequestError, span_to_create, span_to_finish

DEPTH = 100
ID = "013xrzp12g3nqk8nzzzzzzzzzzzzzzzz"
anything = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats(-1, 1) | st.sampled_from(["x", ID]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.just("k"), inner, max_size=1),
    max_leaves=3,
)
statuses = st.sampled_from(
    ["pending", "active", "complete", "failed", "cancelled", "terminated", "Active", ""]
)
objects = st.dictionaries(st.just("k"), anything, max_size=1)
texts = st.sampled_from(["x", ID])
CREATE = {
    "agent_instance_id": texts,
    "schema_name": texts,
    "status": statuses,
    "payload": objects,
    "result_payload": objects | st.none(),
    "id": st.just(ID) | st.none(),
    "parent_span_id": texts | st.none(),
    "started_at": texts | st.none(),
    "finished_at": texts | st.none(),
    "sensitive_encoding": st.booleans() | st.none(),
    "another": anything,
}
FINISH = {
    "status": statuses | st.none(),
    "result_payload": objects | st.none(),
    "timestamp": texts | st.none(),
    "sensitive_encoding": st.booleans() | st.none(),
    "another": anything,
}


def items(fields: dict[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[dict[str, Any]]:
    """Return items that are nearly right: a field or two may be missing, or be anything."""
    right = st.fixed_dictionaries({}, optional=fields)
    whole = st.fixed_dictionaries(fields)
    wrong = st.dictionaries(st.sampled_from(sorted(fields)), anything, max_size=2)
    return st.builds(lambda base, change: {**base, **change}, right | whole, wrong)


def beyond_the_model(said: dict[str, Any]) -> set[str]:
    """Return the fields that a rule refuses which the model does not know."""
    unfinished = said.get("status") in ("pending", "active")
    refused = {
        "result_payload": unfinished and said.get("result_payload") is not None,
        "schema_name": said.get("schema_name") == "",
        "id": said.get("id") is not None and said.get("id") != ID,
    }
    return {field for field, is_refused in refused.items() if is_refused}


@given(items(CREATE))
@example({"agent_instance_id": "x", "schema_name": "x", "status": "active"})
@example({"agent_instance_id": "x", "schema_name": "x", "status": "active", "payload": None})
@example(
    {"agent_instance_id": "x", "schema_name": "x", "status": "active", "payload": None, "id": "x"}
)
@settings(max_examples=400)
def test_a_create_is_read_as_the_wire_model_reads_it(said: dict[str, Any]) -> None:
    """The same are taken, with the same values; the same are rejected, for the same fields."""
    try:
        model = CreateAgentSpanRequest.model_validate(said, strict=True)
    except ValidationError as error:
        with pytest.raises(RequestError) as refused:
            span_to_create(JsonText(json.dumps(said).encode()), DEPTH)
        fields = {str(one["loc"][0]) for one in error.errors()}
        assert set(refused.value.errors or ()) <= fields | beyond_the_model(said)
        return
    if beyond_the_model(said):
        with pytest.raises(RequestError):
            span_to_create(JsonText(json.dumps(said).encode()), DEPTH)
        return
    read = span_to_create(JsonText(json.dumps(said).encode()), DEPTH)
    plain = ("agent_instance_id", "schema_name", "status", "id", "parent_span_id")
    for name in (*plain, "started_at", "finished_at", "sensitive_encoding"):
        assert getattr(read, name) == getattr(model, name)
    assert json.loads(read.params.text) == model.payload
    result = None if read.result is None else json.loads(read.result.text)
    assert result == model.result_payload


@given(items(FINISH))
@settings(max_examples=400)
def test_a_finish_is_read_as_the_wire_model_reads_it(said: dict[str, Any]) -> None:
    """The id comes from the path, or stands beside the fields in a bulk item."""
    sent = json.dumps({**said, "agent_span_id": ID}).encode()
    try:
        model = FinishAgentSpanRequest.model_validate(said, strict=True)
    except ValidationError:
        with pytest.raises(RequestError):
            span_to_finish(JsonText(sent), DEPTH)
        return
    read = span_to_finish(JsonText(sent), DEPTH)
    assert (read.status, read.timestamp) == (model.status, model.timestamp)
    assert read.sensitive_encoding == model.sensitive_encoding
    result = None if read.result is None else json.loads(read.result.text)
    assert result == model.result_payload
