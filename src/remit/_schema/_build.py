"""Schemas of a callable: of its parameters, and of what it returns."""

from __future__ import annotations

import collections.abc
import inspect
import typing
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final, cast

import typing_extensions
from pydantic import ConfigDict, TypeAdapter, WithJsonSchema

from remit._annotations import MISSING, alias_value, is_annotated
from remit._docstrings import parameter_descriptions
from remit._guard import attempt
from remit._schema._generator import Generator, Json, Raw
from remit._schema._results import as_result, item_stream, reachable, resolved
from remit._schema._tidy import Redact, Tidy
from remit._schema._types import Readying, is_hashable, noted, type_name
from remit._signature import CallKind, Parameter, Reading

_ITERATORS: Final = frozenset(
    {
        collections.abc.Iterator,
        collections.abc.Generator,
        collections.abc.AsyncIterator,
        collections.abc.AsyncGenerator,
    }
)
_ITERABLES: Final = frozenset({collections.abc.Iterable, collections.abc.AsyncIterable})
_VARIADIC: Final = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
_UNPACK: Final = (typing.Unpack, typing_extensions.Unpack)
_STREAMS: Final = (CallKind.GENERATOR, CallKind.ASYNC_GENERATOR)
_NEVER: Final = (typing.Never, typing.NoReturn)
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


def params_schema(reading: Reading, *, redact: Redact, doc: str | None = None) -> Json:
    """Return the JSON Schema of a call's payload; never raises for a type.

    Args:
        reading: The signature.
        redact: What defaults, examples and enumerated values pass.
        doc: The callable's docstring; its `Args:` describe the parameters.
    """
    parameters = reading.parameters
    schemas, definitions = _schemas([_value_type(each) for each in parameters])
    described = parameter_descriptions(doc)
    properties = {
        each.name: _property(each, schema, described.get(each.name))
        for each, schema in zip(parameters, schemas, strict=True)
    }
    whole: Json = {"type": "object", "properties": properties}
    if required := [each.name for each in parameters if _is_required(each)]:
        whole["required"] = required
    return _finished(whole, definitions, Tidy(redact))


def result_schema(reading: Reading, kind: CallKind, *, redact: Redact) -> Json:
    """Return the JSON Schema of a call's result; never raises for a type.

    A failed span's result is the failure object and no subject of this schema.

    Args:
        reading: The signature.
        kind: How a call runs: generators return their items.
        redact: What defaults, examples and enumerated values pass.
    """
    returns = reading.returns
    item = _item_type(returns, streams=kind in _STREAMS)
    if item is not None:
        (items,), definitions = _schemas([item])
        return _finished(item_stream(items), definitions, Tidy(redact))
    if returns is MISSING or any(returns is each for each in _NEVER):
        note = noted(reading.returns_note) if reading.returns_note else {}
        return {**note, "type": "object"}
    (schema,), definitions = _schemas([returns])
    return _finished(as_result(schema, definitions), definitions, Tidy(redact))


def declared_schema(declared: object, *, redact: Redact, result: bool = False) -> Json:
    """Return the JSON Schema for what `params=`, `result=` or `quality=` was given.

    Args:
        declared: A model or another type, or a JSON Schema as a mapping, which is kept as the
            author wrote it but for redaction and the order of keys.
        redact: What defaults, examples and enumerated values pass.
        result: It describes a result: what is no mapping stands under `result`.
    """
    if isinstance(declared, Mapping):
        written = cast("Mapping[object, object]", declared)
        return cast("Json", Tidy(redact, sort_unions=False).schema(written))
    (schema,), definitions = _schemas([declared])
    top = as_result(schema, definitions) if result else resolved(schema, definitions)
    return _finished(top, definitions, Tidy(redact))


def _schemas(types: Sequence[object]) -> tuple[list[Json], Json]:
    """Return a schema for each type, and the definitions that they share."""
    found = [_SCALARS.get(each) if is_hashable(each) else None for each in types]
    rest = [each for each, known in zip(types, found, strict=True) if known is None]
    generated, definitions = _generated(rest) if rest else ([], {})
    pending = iter(generated)
    return [next(pending) if each is None else dict(each) for each in found], definitions


def _generated(types: Sequence[object]) -> tuple[list[Json], Json]:
    """Return pydantic's schemas; a type that it cannot take loses its own and no other."""
    together = attempt(lambda: _by_pydantic(types))
    if isinstance(together, Exception):
        sound = [_or_note(each) for each in types]
        together = _by_pydantic(sound)
    return together


def _or_note(annotation: object) -> object:
    """Return the type if pydantic takes it, else one whose schema is a note."""
    tried = attempt(lambda: _by_pydantic([annotation]))
    if not isinstance(tried, Exception):
        return annotation
    why = f"{type_name(annotation)} has no schema ({type(tried).__name__}); recorded as it is"
    return Annotated[Any, WithJsonSchema(noted(why))]


def _by_pydantic(types: Sequence[object]) -> tuple[list[Json], Json]:
    # One adapter for all, so that definitions of equal names are told apart; a tuple, because an
    # adapter of a model itself takes no configuration.
    readying = Readying()
    ready = tuple(readying.ready(each) for each in types)
    config = ConfigDict(arbitrary_types_allowed=True)
    adapter: TypeAdapter[Any] = TypeAdapter(tuple[ready], config=config)  # type: ignore[valid-type]  # made at run time
    schema = adapter.json_schema(by_alias=False, schema_generator=Generator)
    return schema["prefixItems"], schema.get("$defs", {})


def _finished(schema: Json, definitions: Json, tidy: Tidy) -> Json:
    if used := reachable(schema, definitions):
        schema = {**schema, "$defs": used}
    return cast("Json", tidy.schema(schema))


def _property(parameter: Parameter, schema: Json, description: str | None) -> Json:
    """Return the schema of one parameter with all that is known beside its type."""
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
    """Return whether a call must give it: the others are in the payload too, by their default."""
    return parameter.default is MISSING and parameter.kind not in _VARIADIC


def _value_type(parameter: Parameter) -> object:
    """Return the type of a parameter's value; of each one for `*args` and `**kwargs`."""
    unpacked = _unpacked(parameter)
    return parameter.annotation if unpacked is None else unpacked


def _unpacked(parameter: Parameter) -> object | None:
    """Return the type that describes all of `*args` or `**kwargs` at once, if it is one."""
    annotation = parameter.annotation
    if typing.get_origin(annotation) in _UNPACK:
        return cast("object", typing.get_args(annotation)[0])
    return None


def _item_type(returns: object, *, streams: bool) -> object | None:
    """Return the type of an iterator's items, None if *returns* is no iterator."""
    while is_annotated(returns) or alias_value(returns) is not MISSING:
        returns = cast("Any", returns).__origin__ if is_annotated(returns) else alias_value(returns)
    origin = typing.get_origin(returns) or returns
    if origin in _ITERATORS or (streams and origin in _ITERABLES):
        args = typing.get_args(returns)
        return args[0] if args else MISSING
    return MISSING if streams else None
