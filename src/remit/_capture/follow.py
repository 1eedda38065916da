"""Withholds what later steps of a run say of values that were withheld for their classification.

A model gets the result of a tool as a message, and quotes it in its answer. Once a step of the run
has withheld a value by a rule `classification:...`, contents and arguments in the payloads of
models, agents and retrievers are replaced by the marker of that rule.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, cast

from remit._capture import markers
from remit._capture.cut import cut, encode
from remit._capture.walk import decode

CONTENTS: Final = ("inputs", "outputs")
"""The fields of a payload and a result that hold contents; those beside them stay."""
KEPT: Final = frozenset({
    "role", "name", "id", "type", "model", "tool_call_id", "call_id", "finish_reasons", "count",
    "status", "index", "score", "source",
})  # fmt: skip
"""Keys of texts that stay inside contents."""
NAME: Final = "name"
ARGS: Final = "args"


def follow(data: bytes, rule: str | None, tools: Mapping[str, str], max_bytes: int) -> bytes:
    """Return a captured payload or result without what later rules withhold.

    Args:
        data: The payload or result, as JSON.
        rule: The rule by which a step of the run withheld a value, if one did: replaces contents.
        tools: Rules that withhold the arguments of calls, by the name of the tool.
        max_bytes: Most bytes of the JSON.
    """
    payload = cast("dict[str, object]", decode(data))
    for field in CONTENTS:
        if field in payload:
            payload[field] = _followed(payload[field], rule, tools)
    followed = encode(payload)
    return followed if len(followed) <= max_bytes else encode(cut(payload, max_bytes))


def _followed(value: object, rule: str | None, tools: Mapping[str, str]) -> object:
    if isinstance(value, list):
        return [_followed(each, rule, tools) for each in cast("list[object]", value)]
    if isinstance(value, dict):
        fields = cast("dict[str, object]", value)
        if markers.KEY in fields:
            return fields
        return {key: _field(fields, key, rule, tools) for key in fields}
    if rule is not None and isinstance(value, str):
        return markers.withheld(rule)
    return value


def _field(
    fields: dict[str, object], key: str, rule: str | None, tools: Mapping[str, str]
) -> object:
    value = fields[key]
    if key == ARGS:
        by = tools.get(str(fields.get(NAME))) or rule
        return value if by is None else markers.withheld(by)
    return value if key in KEPT else _followed(value, rule, tools)
