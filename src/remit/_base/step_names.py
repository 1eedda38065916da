"""Names of the steps that integrations record, which are in their payloads.

A node of a graph and a sub-agent have the types `langchain:chain` and `langchain:agent`; their
payloads have the names. Commands and pages show the names.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Final, NamedTuple, cast

from remit._base.text import cut

ADAPTERS: Final = frozenset({
    "anthropic", "claude-agent-sdk", "crewai", "google-adk", "langchain", "mcp", "openai",
    "openai-agents", "otel", "pydantic-ai",
})  # fmt: skip
"""Beginnings of the types of integrations. A function of a program may be called `shop:agent`."""
AGENT: Final = "agent"
GRAPH: Final = "graph"
NODE: Final = "node"
KIND: Final = "agent_kind"
"""Member of the payload of an agent: `graph` if `create_agent` did not make the graph."""
FIELDS: Final[Mapping[str, Mapping[str, str]]] = {
    "agent": {"agent_name": AGENT},
    "chain": {"node_name": NODE, "chain_name": "chain"},
    "crew": {"agent_name": "crew"},
    "flow": {"agent_name": "flow"},
    "guardrail": {"guardrail_name": "guardrail"},
    "handoff": {"to_agent": "hand-over"},
    "retriever": {"retriever_name": "retriever"},
}
"""By the end of a type: the members of a payload that have a name, and the word for the step."""
MODEL_CALL: Final = "llm"
MODEL: Final = "model_name"
NAMED_TYPES: Final = frozenset(
    f"{adapter}:{step}" for adapter in ADAPTERS for step in (*FIELDS, MODEL_CALL)
)
"""The span types whose payloads have a name."""
MAX_CHARS: Final = 60
"""The longest name that is shown."""
HEAD_CHARS: Final = 400
"""How much of a payload `step_name_in` needs."""
_STRING: Final = r'"((?:[^"\\]|\\u[0-9A-Fa-f]{4}|\\[^u])*)'
_MEMBERS: Final = re.compile(rf'[{{,]"([^"\\]*)":(?:{_STRING}(?P<end>"?)|[-+.\w]+)')


class StepName(NamedTuple):
    """The name of a step, and a word about it.

    Attributes:
        word: What the step is, such as `node`; of a model call, the model.
    """

    text: str
    word: str


def is_of_adapter(span_type: str) -> bool:
    """Return whether an integration records the spans of a type."""
    return span_type.partition(":")[0] in ADAPTERS


def step_name(span_type: str, payload: Mapping[str, object]) -> StepName | None:
    """Return the name of a step; None if only its type is known, or the name is redacted."""
    if span_type not in NAMED_TYPES:
        return None
    step = span_type.partition(":")[2]
    if step == MODEL_CALL:
        model = _text(payload.get(MODEL))
        return StepName(MODEL_CALL, model) if model else None
    for field, word in FIELDS[step].items():
        name = _text(payload.get(field))
        if name:
            is_graph = word == AGENT and payload.get(KIND) == GRAPH
            return StepName(name, GRAPH if is_graph else word)
    return None


def step_name_in(span_type: str, head: str) -> StepName | None:
    """Return the name of a step from the first `HEAD_CHARS` characters of its payload."""
    return step_name(span_type, members_in(head)) if span_type in NAMED_TYPES else None


def model_in(head: str) -> str:
    """Return the model of a call from the beginning of its payload; empty if it is not there."""
    members = members_in(head)
    return _text(members.get(MODEL)) or _text(members.get("response_model"))


def members_in(head: str) -> dict[str, object]:
    """Return the strings among the first members of a JSON object of which *head* is the beginning.

    The members end before the first one that is an object or a list. A string at the end may be
    incomplete.
    """
    members: dict[str, object] = {}
    place = 0
    while match := _MEMBERS.match(head, place):
        place = match.end()
        if match[2] is not None:
            members[match[1]] = _decoded(match[2])
    return members


def _decoded(text: str) -> str:
    try:
        return cast("str", json.loads(f'"{text}"', strict=False))
    except ValueError:
        return ""


def _text(value: object) -> str:
    return cut(value, MAX_CHARS) if isinstance(value, str) else ""
