"""Builds the JSON Schema of a callable's parameters and result, and of quality payloads.

A parameter without a schema of its own allows any value; a `$comment` gives the reason. `redact` is
applied to defaults, examples and enumerated values. No type makes these functions raise.
"""

from __future__ import annotations

import inspect
import json
import typing
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Final, cast

from remit._base.memo import memoized
from remit._declare.schema.canonical import (
    RULES_OFF,
    Canonicalizer,
    Json,
    Raw,
    Redact,
    canonical,
    redacted_schema,
)
from remit._declare.schema.types import Definitions, schemas_of, unpacked
from remit._inspect.annotations import MISSING
from remit._inspect.docstrings import parameter_descriptions
from remit._inspect.signature import CallKind, Parameter, SignatureInfo, result_types

RESULT: Final = "result"
"""Key of a result that is not a mapping (docs/reference/payloads.md)."""
VALUE: Final = "value"
"""Key of a quality payload that is not a mapping."""

_REF: Final = "#/$defs/"
_VAR_POSITIONAL: Final = inspect.Parameter.VAR_POSITIONAL
_VAR_KEYWORD: Final = inspect.Parameter.VAR_KEYWORD
_STREAMS: Final = (CallKind.GENERATOR, CallKind.ASYNC_GENERATOR)
_UNKNOWN: Final = (MISSING, typing.Never, typing.NoReturn)


def params_schema(
    signature: SignatureInfo,
    *,
    redact: Redact,
    doc: str | None = None,
    declared: object = None,
    redacted: Mapping[str, str] = MappingProxyType({}),
    rules_off: Mapping[str, Sequence[str]] = MappingProxyType({}),
) -> Json:
    """Return the JSON Schema of a call's payload.

    Args:
        doc: The callable's docstring; its `Args:` describe the parameters.
        declared: The option `params=`; other parameters have the signature's schema.
        redacted: Rules that redact every value of a parameter, by its name. The schema shows no
            value of such a parameter.
    """
    schema = _call_schema(signature, redact, doc, declared)
    properties = {
        name: _with_rules(property_schema, redacted.get(name), rules_off.get(name, ()))
        for name, property_schema in schema.get("properties", {}).items()
    }
    return _with_rules({**schema, "properties": properties}, None, rules_off.get("", ()))


def result_schema(
    signature: SignatureInfo,
    kind: CallKind,
    *,
    redact: Redact,
    declared: object = None,
    redacted: str | None = None,
    rules_off: Sequence[str] = (),
) -> Json:
    """Return the JSON Schema of a call's result, but not of the failure object of a failed span.

    Args:
        signature: The signature, with the type that `result=` was given.
        kind: How a call runs: generators return their items.
        declared: The option `result=`; a JSON Schema replaces the signature's.
        redacted: The rule that redacts every result, else None. The schema then shows no value.
    """
    if isinstance(declared, Mapping):
        schema = _object_of_mapping(cast("Mapping[object, object]", declared), RESULT, redact)
    else:
        streams = kind in _STREAMS
        schema = _signature_result_schema(
            signature.returns, signature.returns_note, streams, redact
        )
    return _with_rules(schema, redacted, rules_off)


def quality_schema(declared: object, *, redact: Redact) -> Json:
    """Return the JSON Schema of a quality payload; other values than objects are under `value`."""
    if isinstance(declared, Mapping):
        return _object_of_mapping(cast("Mapping[object, object]", declared), VALUE, redact)
    (schema,), definitions = schemas_of([declared])
    return _canonical(as_object(schema, definitions.by_name, VALUE), definitions, redact)


def declared_schema(declared: object, *, redact: Redact) -> Json:
    """Return the JSON Schema of an option of a decorator: a type, or a JSON Schema as a mapping.

    Only redacted values and the order of keys change in a JSON Schema.
    """
    if isinstance(declared, Mapping):
        written = cast("Mapping[object, object]", declared)
        return cast("Json", Canonicalizer(redact, generated=False).schema(written))
    (schema,), definitions = schemas_of([declared])
    return _canonical(resolved(schema, definitions.by_name), definitions, redact)


def _with_rules(schema: Json, rule: str | None, off: Sequence[str]) -> Json:
    if rule is not None:
        schema = redacted_schema(schema, rule)
    return {**schema, RULES_OFF: list(off)} if off else schema


def _canonical(schema: Json, definitions: Definitions, redact: Redact) -> Json:
    canonical_schema = cast("Json", Canonicalizer(redact).schema(schema))
    if used := _reachable(schema, definitions):
        shared = _canonical_definitions(definitions, redact)
        canonical_schema["$defs"] = {name: shared[name] for name in sorted(used)}
    return dict(sorted(canonical_schema.items()))


@memoized
def _canonical_definitions(definitions: Definitions, redact: Redact) -> Json:
    canonicalizer = Canonicalizer(redact)
    return {
        name: canonicalizer.schema(schema, name) for name, schema in definitions.by_name.items()
    }


# Parameters


def _call_schema(
    signature: SignatureInfo, redact: Redact, doc: str | None, declared: object
) -> Json:
    """Return the schema of all parameters: those that `params=` describes, and the others."""
    if declared is None:
        return _parameters_schema(signature.parameters, redact, doc)
    written = declared_schema(declared, redact=redact)
    written = resolved(written, written.get("$defs", {}))
    described: Json = written.get("properties", {})
    if described.keys() == {parameter.name for parameter in signature.parameters}:
        return written
    rest = [parameter for parameter in signature.parameters if parameter.name not in described]
    return _merged(written, _parameters_schema(rest, redact, doc), signature.parameters)


def _parameters_schema(parameters: Sequence[Parameter], redact: Redact, doc: str | None) -> Json:
    schemas, definitions = schemas_of([unpacked(parameter.annotation) for parameter in parameters])
    descriptions = parameter_descriptions(doc)
    schema: Json = {
        "type": "object",
        "properties": {
            parameter.name: _property(parameter, schema, descriptions.get(parameter.name))
            for parameter, schema in zip(parameters, schemas, strict=True)
        },
    }
    if required := [
        parameter.name
        for parameter in parameters
        if parameter.default is MISSING and parameter.kind not in {_VAR_POSITIONAL, _VAR_KEYWORD}
    ]:
        schema["required"] = required
    return _canonical(schema, definitions, redact)


def _property(parameter: Parameter, schema: Json, description: str | None) -> Json:
    note = parameter.note or schema.get("$comment")
    if unpacked(parameter.annotation) is parameter.annotation:
        if parameter.kind is _VAR_POSITIONAL:
            schema = {"type": "array", "items": schema}
        elif parameter.kind is _VAR_KEYWORD:
            schema = {"type": "object", "additionalProperties": schema or True}
    if note:
        schema = {**schema, "$comment": f"`{parameter.name}`: {note}"}
    if description:
        schema = {"description": description, **schema}
    if parameter.default is not MISSING and parameter.category is None:
        schema = {**schema, "default": Raw(parameter.default)}
    return schema


def _merged(written: Json, rest: Json, parameters: Sequence[Parameter]) -> Json:
    """Return *written*, the schema that the author gave, completed by *rest*.

    A property of *written* that is not a parameter describes a member of `**kwargs`. Without
    `**kwargs` it belongs to a parameter that is never recorded, and is left out.
    """
    rest = _with_other_names(rest, written.get("$defs", {}))
    names = [parameter.name for parameter in parameters]
    described: Json = written.get("properties", {})
    members = {name: schema for name, schema in described.items() if name not in names}
    needed: set[str] = set(written.get("required", ()))
    properties = {name: described[name] for name in described if name in names} | rest["properties"]
    for parameter in parameters:
        if members and parameter.kind is _VAR_KEYWORD and parameter.name in rest["properties"]:
            properties[parameter.name] = _with_members(properties[parameter.name], members, needed)
    needed.update(rest.get("required", ()))
    schema = written | {
        "type": "object",
        "$defs": {**written.get("$defs", {}), **rest.get("$defs", {})},
        "properties": dict(sorted(properties.items())),
        "required": [name for name in names if name in needed],
    }
    optional = {"$defs", "required"}
    return {key: schema[key] for key in sorted(schema) if schema[key] or key not in optional}


def _with_members(schema: Json, members: Json, needed: set[str]) -> Json:
    """Return the schema of `**kwargs` with the members that the author described."""
    required = sorted({*schema.get("required", ()), *(members.keys() & needed)})
    schema = schema | {"properties": {**schema.get("properties", {}), **members}}
    return dict(sorted((schema | ({"required": required} if required else {})).items()))


def _with_other_names(schema: Json, taken: Json) -> Json:
    """Return *schema*, its definitions renamed that *taken* has with another content."""
    definitions: Json = schema.get("$defs", {})
    names = {
        name: f"signature.{name}" if taken.get(name, definition) != definition else name
        for name, definition in definitions.items()
    }
    text = canonical(schema)
    for name, new_name in names.items():
        text = text.replace(canonical(f"{_REF}{name}"), canonical(f"{_REF}{new_name}"))
    renamed: Json = json.loads(text)
    if names:
        renamed["$defs"] = {names[name]: value for name, value in renamed["$defs"].items()}
    return renamed


# Results, which are always objects


@memoized
def _signature_result_schema(
    returns: object,
    note: str | None,
    streams: bool,  # noqa: FBT001 - a part of the key
    redact: Redact,
) -> Json:
    at_once, one_by_one = result_types(returns, streams=streams)
    if not one_by_one and any(at_once[0] is unknown for unknown in _UNKNOWN):
        return {"$comment": note, "type": "object"} if note else {"type": "object"}
    if len(at_once) > 1:
        at_once = [typing.Union[tuple(at_once)]]  # noqa: UP007 - made at run time
    schemas, definitions = schemas_of([*at_once, *one_by_one])
    objects = [as_object(schema, definitions.by_name) for schema in schemas[: len(at_once)]]
    objects += [_item_stream(schema) for schema in schemas[len(at_once) :]]
    if len(objects) > 1:
        members: list[Json] = []
        for schema in objects:
            members.extend(schema["anyOf"] if schema.keys() == {"type", "anyOf"} else [schema])
        objects = [{"type": "object", "anyOf": members}]
    return _canonical(objects[0], definitions, redact)


def _item_stream(items: Json) -> Json:
    """Return the schema of an iterator's result: its items, how many, when the first came."""
    return {
        "type": "object",
        "properties": {
            "items": {"type": "array", "items": items},
            "count": {"type": "integer"},
            "first_item_ms": {"type": ["number", "null"]},
        },
        "required": ["items", "count"],
    }


def _object_of_mapping(written: Mapping[object, object], key: str, redact: Redact) -> Json:
    """Return a JSON Schema of the author's; one of a non-object is wrapped under *key*."""
    schema = declared_schema(written, redact=redact)
    kind = schema.get("type", "object")
    if kind == "object" or isinstance(kind, list):
        return schema
    definitions = {"$defs": schema.pop("$defs")} if "$defs" in schema else {}
    return {**definitions, **_wrapped(schema, key)}


def as_object(schema: Json, definitions: Json, key: str = RESULT) -> Json:
    """Return the schema of the object that records a value of *schema*.

    A mapping-like value is the object itself, any other value is under *key*. A union is mapped
    member by member, and a member of which nothing is known may be either.
    """
    members = list(_union_members(schema, definitions, frozenset()))
    for member in members:
        if member.keys() <= {"$comment"}:
            return {**member, "type": "object"}
    mappings = [member for member in members if _is_mapping(resolved(member, definitions))]
    others = [member for member in members if member not in mappings]
    if not mappings:
        return _wrapped(schema, key)
    if not others:
        return {**resolved(schema, definitions), "type": "object"}
    rest = others[0] if len(others) == 1 else {"anyOf": others}
    return {"type": "object", "anyOf": [*mappings, _wrapped(rest, key)]}


def _wrapped(schema: Json, key: str) -> Json:
    return {"type": "object", "properties": {key: schema}, "required": [key]}


def _is_mapping(schema: Json) -> bool:
    return schema.get("type") == "object" or "properties" in schema


def _union_members(schema: Json, definitions: Json, seen: frozenset[str]) -> Iterator[Json]:
    """Yield the members of a union, those of unions inside it in their place."""
    name = reference_name(schema)
    if name in seen:
        return
    top = resolved(schema, definitions)
    members = top.get("anyOf") or top.get("oneOf")
    if members is None or _is_mapping(top):
        yield schema
        return
    for member in members:
        yield from _union_members(member, definitions, seen | {name} if name else seen)


# References to definitions


def reference_name(schema: Json) -> str:
    """Return the name of the definition that *schema* refers to, "" if it is not a reference."""
    ref = schema.get("$ref")
    return ref.removeprefix(_REF) if isinstance(ref, str) else ""


def resolved(schema: Json, definitions: Json) -> Json:
    """Return *schema* with its outermost references followed."""
    seen: set[str] = set()
    while (name := reference_name(schema)) in definitions and name not in seen:
        seen.add(name)
        rest = {key: value for key, value in schema.items() if key != "$ref"}
        schema = {**definitions[name], **rest}
    return schema


def _reachable(schema: Json, definitions: Definitions) -> set[str]:
    """Return the names of the definitions that *schema* refers to, directly or through others."""
    reached: set[str] = set()
    pending = _references(schema)
    inner = _references_inside(definitions)
    while pending:
        name = pending.pop()
        if name in inner and name not in reached:
            reached.add(name)
            pending |= inner[name]
    return reached


@memoized
def _references_inside(definitions: Definitions) -> Mapping[str, set[str]]:
    return {name: _references(schema) for name, schema in definitions.by_name.items()}


def _references(schema: Json) -> set[str]:
    """Return the names of all definitions that are referred to in *schema*."""
    names: set[str] = set()
    pending: list[object] = [schema]
    while pending:
        part = pending.pop()
        if isinstance(part, list):
            pending.extend(cast("list[object]", part))
        elif isinstance(part, dict):
            inner = cast("Json", part)
            pending.extend(inner.values())
            names.add(reference_name(inner))
    return names
