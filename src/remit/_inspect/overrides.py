"""The options `params=` and `result=` of a declaration, which override the signature.

Each is a type or a JSON Schema. A type is used for the schema and for capture: its hidden and
marked fields are redacted. A JSON Schema has no types, so capture follows the signature.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from types import GenericAlias
from typing import Any, Final, TypeAlias, cast

import typing_extensions
from msgspec.structs import replace
from pydantic import Field
from typing_inspection.typing_objects import is_newtype, is_typealiastype

from remit._base.text import did_you_mean
from remit._inspect.annotations import MISSING, AnnotationInfo, annotated, type_inside
from remit._inspect.fields import EXCLUDED, NOT_IN_REPR, fields_of
from remit._inspect.fields import Field as ClassField
from remit._inspect.signature import (
    Parameter,
    SignatureInfo,
    declared_parameters,
    entered_type,
    item_type,
)
from remit.errors import DeclarationError

CaptureOption: TypeAlias = bool | Mapping[str, bool]
"""The value of `capture=` for one parameter or rule: whether to record it, or rules to turn off."""

_VAR_KEYWORD: Final = inspect.Parameter.VAR_KEYWORD
_HIDDEN: Final[Mapping[str, object]] = {
    EXCLUDED: Field(exclude=True),
    NOT_IN_REPR: Field(repr=False),
}
"""pydantic's declaration of a hidden field, by the rule that redacts it."""


def overridden(
    signature: SignatureInfo, *, streams: bool, params: object = None, result: object = None
) -> SignatureInfo:
    """Return *signature* with the types of the options `params=` and `result=`.

    Marks in the signature are kept, so the values that they redact stay redacted. A JSON Schema
    changes nothing.

    Args:
        params: A class whose fields describe parameters; a field that is not a parameter describes
            a member of `**kwargs`.
        result: Type of the result, of each item of a stream, or of the value that a context manager
            returns on entering.
    """
    if params is not None and not isinstance(params, Mapping):
        fields = {field.name: _read_field(field) for field in _fields(params)}
        signature = replace(signature, parameters=tuple(_parameters(signature, fields)))
    if result is not None and not isinstance(result, Mapping):
        returns = _returns(signature.returns, result, streams=streams)
        signature = replace(signature, returns=returns, returns_note=None)
    return signature


def check_overrides(
    function: Callable[..., object], *, skip_first: bool, params: object, result: object, where: str
) -> None:
    """Check the options `params=` and `result=`; *where* is the decorator and its place.

    Raises:
        DeclarationError: An option is invalid.
    """
    for key, declared in (("params", params), ("result", result)):
        if declared is not None and not isinstance(declared, Mapping) and not _is_type(declared):
            raise DeclarationError(
                f"{where}: {key} is an object of type {type(declared).__qualname__}; "
                "expected a type, or a JSON Schema as a mapping"
            )
    if params is None:
        return
    parameters = declared_parameters(function, skip_first=skip_first)
    known = [parameter.name for parameter in parameters]
    takes_any = any(parameter.kind is _VAR_KEYWORD for parameter in parameters)
    for name in _names_in(params, where):
        if name not in known and not takes_any:
            raise DeclarationError(
                f"{where}: params names {name!r}, which is not a parameter"
                f"{did_you_mean(name, known)}; "
                f"expected some of {', '.join(known) or 'none: the function has no parameters'}"
            )


def _is_type(declared: object) -> bool:
    """Return whether *declared* is a class or another form of a type; a text is none."""
    return (
        isinstance(declared, type)
        or typing.get_origin(declared) is not None
        or is_newtype(declared)
        or is_typealiastype(declared)
        or declared is Any
    )


def _names_in(params: object, where: str) -> Iterable[str]:
    """Return the names in `params=`: properties of a schema, or fields of a class."""
    if not isinstance(params, Mapping):
        if fields := _fields(params):
            return [field.name for field in fields]
        raise DeclarationError(
            f"{where}: params is a type without fields; expected one whose fields have the names "
            "of parameters (a model, dataclass, TypedDict), or a JSON Schema as a mapping"
        )
    schema = cast("Mapping[str, object]", params)
    properties = schema.get("properties", {})
    if schema.get("type", "object") != "object" or not isinstance(properties, Mapping):
        raise DeclarationError(
            f"{where}: params is not a JSON Schema of an object; expected "
            '{"type": "object", "properties": {<parameter>: <its schema>}}'
        )
    return map(str, cast("Mapping[object, object]", properties))


def _parameters(
    signature: SignatureInfo, fields: Mapping[str, AnnotationInfo]
) -> Iterator[Parameter]:
    """Yield the parameters with the types of *fields*, which are those of `params=`."""
    taken = {parameter.name for parameter in signature.parameters} | signature.skipped
    members = {
        name: Any if info.annotation is MISSING else info.annotation
        for name, info in fields.items()
        if name not in taken
    }
    for parameter in signature.parameters:
        field = fields.get(parameter.name)
        if field is not None and field.annotation is not MISSING:
            category = parameter.category if field.category is None else field.category
            yield replace(parameter, annotation=field.annotation, category=category, note=None)
        elif field is None and parameter.kind is _VAR_KEYWORD and members:
            make: Any = typing_extensions.TypedDict
            kwargs = make("Members", members, total=False)  # as PEP 692 spells them
            yield replace(parameter, annotation=typing_extensions.Unpack[kwargs], note=None)
        else:
            yield parameter


def _returns(returns: object, declared: object, *, streams: bool) -> object:
    """Return *declared* as an iterator or a context manager, where *returns* is one."""
    if item_type(declared, streams=False) is not None or entered_type(declared) is not None:
        return declared
    if item_type(returns, streams=streams) is not None:
        return GenericAlias(Iterator, (declared,))
    if entered_type(returns) is not None:
        return GenericAlias(AbstractContextManager, (declared,))
    return declared


def _fields(declared: object) -> tuple[ClassField, ...]:
    inside = type_inside(declared)
    cls = typing.get_origin(inside) or inside
    return (fields_of(cls) if isinstance(cls, type) else None) or ()


def _read_field(field: ClassField) -> AnnotationInfo:
    info = field.read()
    if field.hidden is None:
        return info
    shown = Any if info.annotation is MISSING else info.annotation
    return replace(info, annotation=annotated(shown, _HIDDEN[field.hidden]))
