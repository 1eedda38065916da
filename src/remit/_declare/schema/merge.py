"""Completes a schema that the author wrote with the signature's schema of other parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

from remit._declare.schema.canonical import Json
from remit._declare.schema.results import REF

_LEFT_OUT: Final = frozenset({"$defs", "required"})
"""Keywords that are left out when they are empty."""


def merged(rest: Json, declared: Json, *, names: Sequence[str], open_name: str | None) -> Json:
    """Return the schema of a payload: *declared*, and *rest* for the parameters it leaves out.

    A declared property that is no parameter describes a member of `**kwargs`. Without `**kwargs`
    it belongs to a parameter that is never recorded, and is left out.

    Args:
        rest: Schema of the parameters that *declared* leaves out.
        declared: Schema that the author gave, as an object.
        names: Every recorded parameter, in order.
        open_name: Name of the parameter `**kwargs`, if one is recorded.
    """
    given: dict[str, Json] = declared.get("properties", {})
    needed: list[str] = declared.get("required", [])
    others, definitions = _renamed_rest(rest, declared)
    properties = {name: given[name] for name in names if name in given} | others
    members = {name: each for name, each in given.items() if name not in names}
    if members and open_name in others:
        properties[open_name] = _with_members(others[open_name], members, needed)
    required = {*needed, *rest.get("required", ())}
    whole = declared | {
        "type": "object",
        "$defs": {**declared.get("$defs", {}), **definitions},
        "properties": dict(sorted(properties.items())),
        "required": [name for name in names if name in required],
    }
    return {key: whole[key] for key in sorted(whole) if whole[key] or key not in _LEFT_OUT}


def _with_members(schema: Json, members: dict[str, Json], needed: list[str]) -> Json:
    """Return the schema of `**kwargs` with a property for each of *members*."""
    required = sorted({*schema.get("required", ()), *(set(members) & set(needed))})
    made = schema | {"properties": {**schema.get("properties", {}), **members}}
    if required:
        made["required"] = required
    return dict(sorted(made.items()))


def _renamed_rest(rest: Json, declared: Json) -> tuple[dict[str, Json], Json]:
    """Return properties and definitions of *rest*, renamed where *declared* has the same names."""
    mine: dict[str, Json] = rest.get("$defs", {})
    theirs: dict[str, Json] = declared.get("$defs", {})
    names = {
        name: name if theirs.get(name, each) == each else f"signature.{name}"
        for name, each in mine.items()
    }
    definitions = {names[name]: _renamed(each, names) for name, each in mine.items()}
    return _renamed(rest["properties"], names), definitions


def _renamed(part: Any, names: Mapping[str, str]) -> Any:  # noqa: ANN401 - any part of a schema
    """Return a part of a schema with its references to definitions renamed."""
    if isinstance(part, list):
        return [_renamed(each, names) for each in cast("list[object]", part)]
    if not isinstance(part, dict):
        return part
    made = {key: _renamed(each, names) for key, each in cast("Json", part).items()}
    name = str(made.get("$ref", "")).removeprefix(REF)
    if name in names:
        made["$ref"] = f"{REF}{names[name]}"
    return made
