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
    "anthropic", "langchain", "openai", "openai-agents", "otel", "pydantic-ai",
})  # fmt: skip
"""Beginnings of the types of integrations. A function of a program may be called `shop:agent`."""
FIELDS: Final[Mapping[str, Mapping[str, str]]] = {
    "agent": {"agent_name": "agent"},
    "chain": {"node_name": "node", "chain_name": "chain"},
    "guardrail": {"guardrail_name": "guardrail"},
    "handoff": {"to_agent": "hand-over"},
    "retriever": {"retriever_name": "retriever"},
}
"""By the end of a type: the members of a payload that have a name, and the word for the step."""
MODEL_CALL: Final = "llm"
MODEL: Final = "model_name"
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


def is_named(span_type: str) -> bool:
    """Return whether the payloads of a span type have a name."""
    adapter, _, step = span_type.partition(":")
    return adapter in ADAPTERS and (step == MODEL_CALL or step in FIELDS)


def step_name(span_type: str, payload: Mapping[str, object]) -> StepName | None:
    """Return the name of a step; None if only its type is known, or the name is redacted."""
    if not is_named(span_type):
        return None
    step = span_type.partition(":")[2]
    if step == MODEL_CALL:
        model = _text(payload.get(MODEL))
        return StepName(MODEL_CALL, model) if model else None
    for field, word in FIELDS[step].items():
        name = _text(payload.get(field))
        if name:
            return StepName(name, word)
    return None


def step_name_in(span_type: str, head: str) -> StepName | None:
    """Return the name of a step from the first `HEAD_CHARS` characters of its payload."""
    return step_name(span_type, members_in(head)) if is_named(span_type) else None


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
