"""Redacts later quotes of values that the run redacted for their classification.

A model gets the result of a tool as a message, and quotes it in its answer and in the arguments of
other tools. Once a step of the run has redacted a value by a rule `classification:...`, the marker
of that rule replaces the contents in the payloads of models, agents, retrievers and tools that an
integration records. Functions with a decorator are recorded as they declare.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple, cast

from remit._base import markers
from remit._capture.cut import cut, encode
from remit._capture.encode import Rules
from remit._capture.walk import decode

INPUTS: Final = "inputs"
OUTPUTS: Final = "outputs"
CONTENTS: Final = (INPUTS, OUTPUTS)
"""The fields of a payload and a result that hold contents; those next to them stay."""
HEAD: Final = "head"
"""The member of a marker that holds the kept part of a payload that was too large."""
NAME: Final = "name"
ARGS: Final = "args"


class Envelope(NamedTuple):
    """An object around the contents of a model call, as `integrations/_llm` writes it."""

    kept: frozenset[str]
    """Fields that stay."""
    parts: Mapping[str, Envelope] = MappingProxyType({})
    """Fields that are such an object, or a list of them."""


CALL: Final = Envelope(frozenset({"id", NAME}))
MESSAGE: Final = Envelope(frozenset({"role", "tool_call_id"}), {"tool_calls": CALL})
ENVELOPES: Final[Mapping[str, Envelope]] = {
    INPUTS: Envelope(frozenset({"model"}), {
        "messages": MESSAGE,
        "tools": Envelope(frozenset({NAME})),
        "omitted": Envelope(frozenset({"count"})),
    }),
    OUTPUTS: Envelope(frozenset({"finish_reasons"}), {"messages": MESSAGE}),
}  # fmt: skip
RESULTS: Final = frozenset({"output", "documents", "messages", "tool_calls"})
"""Fields in the `outputs` of other steps that stay as keys, without their values."""
TRIGGERED: Final = "triggered"
"""The result of a guardrail, which stays."""


def count_classified(rules: Rules) -> int:
    """Return how many values were redacted in a run for their classification."""
    return sum((rules.classified or {}).values())


def classified_rule(rules: Rules) -> str | None:
    """Return the first rule of a classification that redacted a value in a run."""
    return next(iter(rules.classified or ()), None)


def follow_run(
    data: bytes, rules: Rules, tools: Mapping[str, str], *, is_model_call: bool
) -> bytes:
    """Return a payload or result without values that the run redacted for their classification."""
    rule = classified_rule(rules)
    if rule is None and not tools:
        return data
    return follow(data, rule, tools, rules.max_payload_bytes, is_model_call=is_model_call)


def follow(
    data: bytes,
    rule: str | None,
    tools: Mapping[str, str],
    max_bytes: int,
    *,
    is_model_call: bool = False,
) -> bytes:
    """Return a captured payload or result without what later rules redact.

    Args:
        rule: The rule by which a step of the run redacted a value, if one did: replaces contents.
        tools: Rules that redact the arguments of calls, by the name of the tool.
        is_model_call: Roles, names and ids of messages and calls stay; without it, nothing in
            `inputs` and `outputs` stays.
    """
    payload = cast("dict[str, object]", decode(data))
    if rule is not None and markers.is_marker(payload):
        payload = _without_contents(payload, rule)
    for field in CONTENTS if rule is not None else (*CONTENTS, HEAD):
        if field not in payload:
            continue
        if rule is None:
            payload[field] = _without_arguments(payload[field], tools)
        elif is_model_call:
            payload[field] = _enveloped(payload[field], ENVELOPES[field], rule, tools)
        else:
            payload[field] = _replaced(payload[field], field, rule)
    followed = encode(payload)
    return followed if len(followed) <= max_bytes else encode(cut(payload, max_bytes))


def _without_contents(marker: dict[str, object], rule: str) -> dict[str, object]:
    """Return the marker of a payload that was cut as a whole, without what it kept."""
    if markers.is_redacted(marker):
        return marker
    replaced = markers.redacted(rule)
    notes = (markers.VIOLATIONS, markers.UNREGISTERED)
    return replaced | {name: marker[name] for name in notes if name in marker}


def _without_arguments(value: object, tools: Mapping[str, str]) -> object:
    """Return *value* without the arguments of calls that their tools redact."""
    if isinstance(value, list):
        return [_without_arguments(each, tools) for each in cast("list[object]", value)]
    if not isinstance(value, dict):
        return value
    fields = cast("dict[str, object]", value)
    by = tools.get(str(fields.get(NAME)))
    return {
        key: markers.redacted(by)
        if by is not None and key == ARGS
        else _without_arguments(each, tools)
        for key, each in fields.items()
    }


def _enveloped(value: object, envelope: Envelope, rule: str, tools: Mapping[str, str]) -> object:
    """Return an object of a model call without its contents."""
    fields = _fields(value)
    if not fields or markers.is_marker(fields):
        return _closed(value, rule)
    enveloped: dict[str, object] = {}
    for key, each in fields.items():
        part = envelope.parts.get(key)
        if part is not None and isinstance(each, list):
            enveloped[key] = [
                one if markers.is_gap(one) else _enveloped(one, part, rule, tools)
                for one in cast("list[object]", each)
            ]
        elif part is not None:
            enveloped[key] = _enveloped(each, part, rule, tools)
        elif key in envelope.kept and _is_plain(each):
            enveloped[key] = each
        elif key == ARGS:
            enveloped[key] = _closed(each, tools.get(str(fields.get(NAME))) or rule)
        else:
            enveloped[key] = _closed(each, rule)
    return enveloped


def _replaced(value: object, field: str, rule: str) -> object:
    """Return the `inputs` or `outputs` of a step other than a model call."""
    fields = _fields(value)
    if field == INPUTS or not fields:
        return _closed(value, rule)
    if fields.keys() == {TRIGGERED} and type(fields[TRIGGERED]) is bool:
        return fields
    if fields.keys() <= RESULTS:
        return {key: _closed(each, rule) for key, each in fields.items()}
    return _closed(value, rule)


def _fields(value: object) -> dict[str, object]:
    return cast("dict[str, object]", value) if isinstance(value, dict) else {}


def _closed(value: object, rule: str) -> object:
    """Return the marker that replaces *value*, or *value* if it is empty or redacted already."""
    is_empty = value is None or value in ({}, [])
    return value if is_empty or markers.is_redacted(value) else markers.redacted(rule)


def _is_plain(value: object) -> bool:
    """Return whether *value* is a scalar or a list of scalars."""
    if isinstance(value, list):
        return not any(isinstance(each, (list, dict)) for each in cast("list[object]", value))
    return not isinstance(value, dict)
