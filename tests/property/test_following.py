"""The law of what follows a classified value: no later span of the run repeats it, at any place."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

import remit
from remit.testing import isolated
from tests.inside import declare, start

TEXT: Final = "canary"
NUMBER: Final = 78_051_120
COMMON: Final = (
    "name", "id", "source", "status", "type", "model", "role", "index", "score", "count", "call_id",
    "tool_call_id", "finish_reasons", "inputs", "outputs", "messages", "tools", "tool_calls",
    "omitted", "output", "documents", "content", "args", "head", "triggered", TEXT,
)  # fmt: skip
"""Keys of messages and of markers, which a record of a person may have as well."""
MARKER: Final = {"$remit": "redacted", "rule": "classification:restricted"}

keys = st.sampled_from(COMMON) | st.text(max_size=8)
leaves = st.sampled_from([TEXT, f"{TEXT}-1", f"{TEXT} " * 3_000, NUMBER, NUMBER + 0.5])
classified = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=8,
)


@remit.agent("Followed")
def agent() -> None:
    """Hold the runs."""


@remit.span_type("following:record", data_risk=remit.risk(classification="restricted"))
def read_record(value: object) -> object:
    """Redact what it takes and returns."""
    return value


def recorded(
    kind: Any, payload: Mapping[str, object], result: Mapping[str, object], *, inside: bool = True
) -> Any:
    """Return what is recorded of a step of *kind*, in a run that has redacted a value."""
    with isolated(max_payload_bytes=4_096) as sink:
        step = declare("following:step", kind)
        with agent.run():
            read_record("before")
            with start(step, payload) as span:
                if inside:
                    read_record("inside")
                span.end(result)
        (followed,) = sink.spans("following:step")
        return followed.payload, followed.result


@pytest.mark.parametrize("kind", ["tool", "retriever", "agent"])
@given(value=classified, key=keys, inside=st.booleans())
def test_no_key_keeps_a_value_of_a_step(
    kind: str, value: object, key: str, *, inside: bool
) -> None:
    """Of a tool, a retriever and an agent, with or without a restricted step inside it."""
    for inputs in (value, {key: value}):
        outputs = {"outputs": {"output": inputs}}
        evidence = recorded(kind, {"inputs": inputs}, outputs, inside=inside)
        assert TEXT not in json.dumps(evidence)
        assert str(NUMBER) not in json.dumps(evidence)


@given(value=classified, key=keys)
def test_no_content_of_a_model_call_keeps_a_value(value: object, key: str) -> None:
    """What is around the contents stays: roles, names, ids and counts."""
    call = {"id": "1", "name": "find", "args": value}
    message = {"role": "user", "content": value, "tool_calls": [call], "tool_call_id": "2"}
    inputs = {
        "model": "m",
        "messages": [message, {"role": "user", "content": {key: value}}],
        "omitted": {"count": 3},
        "tools": [{"name": "find", "description": value}],
        "system": value,
        "settings": {key: value},
    }
    outputs = {"messages": [message], "finish_reasons": ["stop"]}
    payload, result = recorded("llm", {"inputs": inputs}, {"outputs": outputs})
    evidence = json.dumps([payload, result])
    assert TEXT not in evidence
    assert str(NUMBER) not in evidence
    if "$remit" in payload or "$remit" in payload["inputs"]:  # it was cut
        return
    kept = {"id": "1", "name": "find"}
    assert payload["inputs"]["omitted"] == {"count": 3}
    assert payload["inputs"]["tools"][0]["name"] == "find"
    assert payload["inputs"]["messages"][0]["role"] == "user"
    assert result["outputs"]["finish_reasons"] == ["stop"]
    assert result["outputs"]["messages"][0]["tool_calls"][0].items() >= kept.items()


def test_a_verdict_of_a_guardrail_stays() -> None:
    """It is no content."""
    _, result = recorded("agent", {}, {"outputs": {"triggered": True}})
    assert result == {"outputs": {"triggered": True}}


def test_what_is_empty_or_redacted_stays() -> None:
    """So a reader sees which rule redacted it, and that there was nothing."""
    password = {"$remit": "redacted", "rule": "name:password"}
    payload, result = recorded(
        "llm", {"inputs": {"messages": [{"role": "user", "content": None}], "password": "x"}}, {}
    )
    assert payload["inputs"]["messages"] == [{"role": "user", "content": None}]
    assert payload["inputs"]["password"] == password
    assert result == {}


@pytest.mark.parametrize("kind", ["llm", "agent"])
def test_a_payload_of_which_only_a_part_was_kept_keeps_no_value(kind: str) -> None:
    """The marker of a payload that was too large has its first members inside."""
    many = {f"field_{number}": "x" * 40 for number in range(150)}
    payload, result = recorded(
        kind, {"inputs": {"a": TEXT}, **many}, {"outputs": {"output": TEXT}, **many}
    )
    assert payload["$remit"] == result["$remit"] == "redacted"
    assert TEXT not in json.dumps([payload, result])
