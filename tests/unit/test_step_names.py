"""The names that integrations give steps: from a payload, and from its beginning."""

from __future__ import annotations

import json
from contextlib import suppress
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

import pytest

import remit.integrations
from remit._base.step_names import MAX_CHARS, NAMED_TYPES, StepName, step_name, step_name_in
from remit._runtime import process
from remit.errors import DeclarationError

NODE = "langchain:chain"
NAMED = {
    "node": (NODE, {"node_name": "supervisor"}, StepName("supervisor", "node")),
    "chain": (NODE, {"chain_name": "pipeline"}, StepName("pipeline", "chain")),
    "agent": ("langchain:agent", {"agent_name": "refunds"}, StepName("refunds", "agent")),
    "crew": ("crewai:crew", {"agent_name": "desk"}, StepName("desk", "crew")),
    "flow": ("crewai:flow", {"agent_name": "Orders"}, StepName("Orders", "flow")),
    "retriever": ("otel:retriever", {"retriever_name": "kb"}, StepName("kb", "retriever")),
    "guardrail": (
        "openai-agents:guardrail", {"guardrail_name": "no_pii"}, StepName("no_pii", "guardrail"),
    ),
    "handoff": (
        "openai-agents:handoff",
        {"from_agent": "desk", "to_agent": "refunds"},
        StepName("refunds", "hand-over"),
    ),
    "model": (
        "openai:llm",
        {"operation": "chat", "stream": True, "temperature": 0.5, "model_name": "gpt-5.2"},
        StepName("llm", "gpt-5.2"),
    ),
    "quoted": (NODE, {"node_name": 'a "b" \\ \u202e\n'}, StepName('a "b" \\ \u202e\n', "node")),
}  # fmt: skip


@pytest.mark.parametrize(("span_type", "payload", "expected"), NAMED.values(), ids=NAMED)
def test_the_name_is_the_same_from_a_payload_and_from_its_beginning(
    span_type: str, payload: dict[str, Any], expected: StepName
) -> None:
    """The inputs come after the name."""
    whole = {**payload, "inputs": {"messages": ["x" * 1000]}}

    assert span_type in NAMED_TYPES
    assert step_name(span_type, whole) == expected
    for text in (json.dumps(whole, separators=(",", ":")), _unicode(whole)):
        assert step_name_in(span_type, text[:400]) == expected


def _unicode(payload: dict[str, Any]) -> str:
    return json.dumps(payload, separators=(",", ":"), ensure_ascii=False)


UNNAMED: dict[str, tuple[str, dict[str, Any]]] = {
    "a function called agent": ("shop:agent", {"agent_name": "refunds"}),
    "a decorated step": ("shop:find", {"node_name": "x"}),
    "a redacted name": (NODE, {"node_name": {"$remit": "redacted", "rule": "x"}}),
    "no name": (NODE, {"inputs": {}}),
    "an empty name": (NODE, {"node_name": ""}),
    "an erased payload": (NODE, {}),
    "a name of other data": (NODE, {"inputs": {"node_name": "stolen"}}),
    "a field of another step": (NODE, {"agent_name": "refunds"}),
    "a tool, whose type has the name": ("langchain:tool:find", {"tool_name": "find"}),
}


@pytest.mark.parametrize(("span_type", "payload"), UNNAMED.values(), ids=UNNAMED)
def test_without_a_name_the_type_is_all_that_is_known(
    span_type: str, payload: dict[str, Any]
) -> None:
    """Redacted names and names of other data are not names."""
    assert step_name(span_type, payload) is None
    assert step_name_in(span_type, _unicode(payload)) is None


def test_a_long_name_is_cut_alike() -> None:
    """Also where the beginning of a payload ends inside the name, or inside an escape."""
    payload = {"node_name": '"' * 500}
    name = step_name(NODE, payload)

    assert name is not None
    assert len(name.text) == MAX_CHARS
    text = json.dumps(payload, separators=(",", ":"))
    assert {step_name_in(NODE, text[:end]) for end in range(393, 401)} == {name}


def test_a_payload_that_is_not_json_has_no_name() -> None:
    """An empty beginning, a list, an unknown escape."""
    for text in ("", "[]", '{"node_name":"\\x"}', '{"node_name":', '{"node_name":"\\ud800"}'):
        step_name_in(NODE, text)


def test_every_integration_has_named_steps() -> None:
    """Agents, model calls and retrievers of an integration are among the types with names."""
    names = [each.name for each in iter_modules(remit.integrations.__path__)]
    modules = [f"remit.integrations.{name}" for name in names if not name.startswith("_")]
    for module in (*modules, "remit.otel"):
        with suppress(ImportError, DeclarationError):  # the framework is not installed
            import_module(module)
    kinds = {"agent", "llm", "retriever"}
    declared = {each.name for each in process.registry().span_types() if each.step_kind in kinds}
    assert "otel:llm" in declared
    # Other tests declare the steps of an integration called `fake`.
    assert {name for name in declared if not name.startswith("fake:")} <= NAMED_TYPES
