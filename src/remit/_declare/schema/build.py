"""Builds the JSON Schema of a callable's parameters and result, with pydantic.

A parameter whose type pydantic cannot describe allows any value; a `$comment` gives the reason.
"""

from __future__ import annotations

import inspect
import re
import typing
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Annotated, Any, Final, cast

from pydantic import ConfigDict, TypeAdapter, WithJsonSchema

from remit._base.guard import attempt
from remit._declare.schema.canonical import (
    RULES_OFF,
    Canonicalizer,
    Json,
    Raw,
    Redact,
    withheld_schema,
)
from remit._declare.schema.generator import Generator
from remit._declare.schema.merge import merged
from remit._declare.schema.results import (
    RESULT,
    VALUE,
    any_of,
    as_object,
    item_stream,
    reachable,
    resolved,
    wrapped,
)
from remit._declare.schema.types import (
    UNPACK,
    TypeNormalizer,
    is_hashable,
    schema_with_note,
    type_name,
)
from remit._inspect.annotations import MISSING
from remit._inspect.docstrings import parameter_descriptions
from remit._inspect.returns import result_types
from remit._inspect.signature import CallKind, Parameter, SignatureInfo

_VAR_KEYWORD: Final = inspect.Parameter.VAR_KEYWORD
_VARIADIC: Final = (inspect.Parameter.VAR_POSITIONAL, _VAR_KEYWORD)
_STREAMS: Final = (CallKind.GENERATOR, CallKind.ASYNC_GENERATOR)
_NEVER: Final = (typing.Never, typing.NoReturn)
# Pydantic's message goes on with how to install the package; other messages may contain a path.
_MISSING_PACKAGE: Final = re.compile(r"[\w.-]+ is not installed")
# pydantic takes seconds for hundreds of adapters; most parameters are one of these.
_SCALARS: Final[Mapping[object, Json]] = {
    str: {"type": "string"},
    int: {"type": "integer"},
    float: {"type": "number"},
    bool: {"type": "boolean"},
    type(None): {"type": "null"},
    None: {"type": "null"},
    Any: {},
    object: {},
    MISSING: {},
}


def params_schema(
    signature: SignatureInfo,
    *,
    redact: Redact,
    doc: str | None = None,
    declared: object = None,
    withheld: Mapping[str, str] = MappingProxyType({}),
    rules_off: Mapping[str, Sequence[str]] = MappingProxyType({}),
) -> Json:
    """Return the JSON Schema of a call's payload; never raises for a type.

    Args:
        signature: The signature.
        redact: Applied to defaults, examples and enumerated values.
        doc: The callable's docstring; its `Args:` describe the parameters.
        declared: The option `params=`; other parameters have the signature's schema.
        withheld: Rules that withhold every value of a parameter, by its name. The schema shows no
            value of such a parameter.
        rules_off: Rules that are off, by parameter; under "" those that are off for all.
    """
    whole = _of_call(signature, redact, doc, declared)
    properties: Mapping[str, Json] = whole.get("properties", {})
    shown = {
        name: _with_rules(each, withheld.get(name), rules_off.get(name, ()))
        for name, each in properties.items()
    }
    return _with_rules({**whole, "properties": shown}, None, rules_off.get("", ()))


def _with_rules(schema: Json, rule: str | None, off: Sequence[str]) -> Json:
    """Return *schema* with the rule that withholds its values and the rules that are off."""
    if rule is not None:
        schema = withheld_schema(schema, rule)
    return {**schema, RULES_OFF: list(off)} if off else schema


def _of_call(signature: SignatureInfo, redact: Redact, doc: str | None, declared: object) -> Json:
    if declared is None:
        return _of_parameters(signature.parameters, redact, doc)
    written = declared_schema(declared, redact=redact)
    given = resolved(written, written.get("$defs", {}))
    named = given.get("properties", {})
    names = [parameter.name for parameter in signature.parameters]
    if named.keys() == set(names):
        return given
    rest = [parameter for parameter in signature.parameters if parameter.name not in named]
    open_name = next((parameter.name for parameter in rest if parameter.kind is _VAR_KEYWORD), None)
    return merged(_of_parameters(rest, redact, doc), given, names=names, open_name=open_name)


def _of_parameters(parameters: Sequence[Parameter], redact: Redact, doc: str | None) -> Json:
    schemas, definitions = _schemas([_value_type(parameter) for parameter in parameters])
    described = parameter_descriptions(doc)
    properties = {
        each.name: _property(each, schema, described.get(each.name))
        for each, schema in zip(parameters, schemas, strict=True)
    }
    whole: Json = {"type": "object", "properties": properties}
    if required := [parameter.name for parameter in parameters if _is_required(parameter)]:
        whole["required"] = required
    return _canonical(whole, definitions, redact)


def result_schema(
    signature: SignatureInfo,
    kind: CallKind,
    *,
    redact: Redact,
    declared: object = None,
    withheld: str | None = None,
    rules_off: Sequence[str] = (),
) -> Json:
    """Return the JSON Schema of a call's result; never raises for a type.

    The schema does not describe the failure object, the result of a failed span.

    Args:
        signature: The signature, with the type that `result=` was given.
        kind: How a call runs: generators return their items.
        redact: Applied to defaults, examples and enumerated values.
        declared: The option `result=`; a JSON Schema replaces the signature's.
        withheld: The rule that withholds every result, else None. The schema then shows no value.
        rules_off: Rules that are off for it.
    """
    return _with_rules(_of_result(signature, kind, redact, declared), withheld, rules_off)


def _of_result(signature: SignatureInfo, kind: CallKind, redact: Redact, declared: object) -> Json:
    if isinstance(declared, Mapping):
        return _author_schema(cast("Mapping[object, object]", declared), RESULT, redact)
    returns = signature.returns
    at_once, one_by_one = result_types(returns, streams=kind in _STREAMS)
    if not one_by_one and _is_unknown(at_once[0]):
        note = schema_with_note(signature.returns_note) if signature.returns_note else {}
        return {**note, "type": "object"}
    if len(at_once) > 1:
        at_once = [typing.Union[tuple(at_once)]]  # noqa: UP007 - made at run time
    schemas, definitions = _schemas([*at_once, *one_by_one])
    parts = [as_object(schema, definitions) for schema in schemas[: len(at_once)]]
    parts += [item_stream(schema) for schema in schemas[len(at_once) :]]
    return _canonical(any_of(parts), definitions, redact)


def _is_unknown(annotation: object) -> bool:
    return any(annotation is each for each in (MISSING, *_NEVER))


def _author_schema(written: Mapping[object, object], key: str, redact: Redact) -> Json:
    """Return the author's schema; the schema of a non-object is wrapped under *key*."""
    schema = declared_schema(written, redact=redact)
    kind = schema.get("type", "object")
    if kind == "object" or isinstance(kind, list):
        return schema
    definitions = schema.pop("$defs", None)
    whole = wrapped(schema, key)
    return whole if definitions is None else {"$defs": definitions, **whole}


def declared_schema(declared: object, *, redact: Redact) -> Json:
    """Return the JSON Schema of an option of a decorator.

    Args:
        declared: A model or another type, or a JSON Schema as a mapping, of which only redacted
            values and the order of keys change.
        redact: Applied to defaults, examples and enumerated values.
    """
    if isinstance(declared, Mapping):
        written = cast("Mapping[object, object]", declared)
        return cast("Json", Canonicalizer(redact, generated=False).schema(written))
    (schema,), definitions = _schemas([declared])
    return _canonical(resolved(schema, definitions), definitions, redact)


def quality_schema(declared: object, *, redact: Redact) -> Json:
    """Return the JSON Schema of a quality payload; a value that is no object is under `value`.

    Args:
        declared: The declaration of the quality in `quality=`.
        redact: Applied to defaults, examples and enumerated values.
    """
    if isinstance(declared, Mapping):
        return _author_schema(cast("Mapping[object, object]", declared), VALUE, redact)
    (schema,), definitions = _schemas([declared])
    return _canonical(as_object(schema, definitions, VALUE), definitions, redact)


def _schemas(types: Sequence[object]) -> tuple[list[Json], Json]:
    """Return a schema for each type, and the definitions that they share."""
    schemas = [_SCALARS.get(kind) if is_hashable(kind) else None for kind in types]
    rest = [kind for kind, schema in zip(types, schemas, strict=True) if schema is None]
    generated, definitions = _generated(rest) if rest else ([], {})
    pending = iter(generated)
    return [next(pending) if schema is None else dict(schema) for schema in schemas], definitions


def _generated(types: Sequence[object]) -> tuple[list[Json], Json]:
    """Return pydantic's schemas, and a note for each type that pydantic does not support."""
    together = attempt(lambda: _call_pydantic(types))
    if isinstance(together, Exception):
        sound = [_or_opaque(type_form) for type_form in types]
        together = _call_pydantic(sound)
    return together


def _or_opaque(annotation: object) -> object:
    """Return the type if pydantic supports it, else a type whose schema is a note."""
    outcome = attempt(lambda: _call_pydantic([annotation]))
    if not isinstance(outcome, Exception):
        return annotation
    missing = _MISSING_PACKAGE.match(str(outcome)) if isinstance(outcome, ImportError) else None
    reason = type(outcome).__name__ if missing is None else missing.group()
    why = f"{type_name(annotation)} has no schema ({reason}); recorded as it is"
    return Annotated[Any, WithJsonSchema(schema_with_note(why))]


def _call_pydantic(types: Sequence[object]) -> tuple[list[Json], Json]:
    # One adapter for all types, so that definitions of equal names get different keys. It is of a
    # tuple, because an adapter of a model takes no configuration.
    normalizer = TypeNormalizer()
    ready = tuple(normalizer.normalize(type_form) for type_form in types)
    config = ConfigDict(arbitrary_types_allowed=True)
    adapter: TypeAdapter[Any] = TypeAdapter(tuple[ready], config=config)  # type: ignore[valid-type]  # made at run time
    schema = adapter.json_schema(by_alias=False, schema_generator=Generator)
    return schema["prefixItems"], schema.get("$defs", {})


def _canonical(schema: Json, definitions: Json, redact: Redact) -> Json:
    if used := reachable(schema, definitions):
        schema = {**schema, "$defs": used}
    return cast("Json", Canonicalizer(redact).schema(schema))


def _property(parameter: Parameter, schema: Json, description: str | None) -> Json:
    """Return the schema of one parameter with its note, description and default."""
    note = parameter.note or schema.get("$comment")
    if parameter.kind in _VARIADIC and _unpacked(parameter) is None:
        schema = (
            {"type": "array", "items": schema}
            if parameter.kind is inspect.Parameter.VAR_POSITIONAL
            else {"type": "object", "additionalProperties": schema or True}
        )
    if note:
        schema = {**schema, "$comment": f"`{parameter.name}`: {note}"}
    if description:
        schema = {"description": description, **schema}
    if parameter.default is not MISSING and parameter.category is None:
        schema = {**schema, "default": Raw(parameter.default)}
    return schema


def _is_required(parameter: Parameter) -> bool:
    """Return whether the parameter has no default; defaults are recorded too."""
    return parameter.default is MISSING and parameter.kind not in _VARIADIC


def _value_type(parameter: Parameter) -> object:
    """Return the type of a parameter's value; of each one for `*args` and `**kwargs`."""
    unpacked = _unpacked(parameter)
    return parameter.annotation if unpacked is None else unpacked


def _unpacked(parameter: Parameter) -> object | None:
    """Return the type in `Unpack[...]`, which describes all of `*args` or `**kwargs`, or None."""
    annotation = parameter.annotation
    if typing.get_origin(annotation) in UNPACK:
        return cast("object", typing.get_args(annotation)[0])
    return None
