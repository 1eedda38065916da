"""Reads the signature of a callable: parameters with resolved annotations, and the result.

Schema, capture and inferred risk use the same `SignatureInfo`, so that the keys of a payload are
always the properties of its schema.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from enum import StrEnum
from types import FunctionType
from typing import Final

from msgspec import Struct

from remit._base.guard import attempt
from remit._inspect.annotations import MISSING as MISSING
from remit._inspect.annotations import Scope, function_scope, is_injected, signature_of
from remit._inspect.introspection import layers
from remit._inspect.returns import call_result_type

RETURN: Final = "return"
"""Name of the result among the names of parameters; no parameter can have it."""

_BY_POSITION: Final = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
_BY_NAME: Final = (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.VAR_KEYWORD)

_FORWARDING: Final = frozenset({"backoff", "contextlib", "functools", "stamina", "tenacity"})
"""Packages whose decorators pass on the arguments of a call unchanged."""


class CallKind(StrEnum):
    """How a callable runs when it is called."""

    FUNCTION = "function"
    COROUTINE = "coroutine"
    GENERATOR = "generator"
    ASYNC_GENERATOR = "async_generator"


class Parameter(Struct, frozen=True):
    """One parameter that is recorded.

    Attributes:
        name: As written.
        kind: An `inspect.Parameter.kind`.
        annotation: Resolved, `Annotated` kept; `MISSING` if there is none or it cannot be resolved.
        default: The default, or `MISSING`.
        category: Category of a `Sensitive` mark, None without a mark.
        note: Why the annotation could not be resolved, else None.
    """

    name: str
    kind: inspect._ParameterKind
    annotation: object
    default: object
    category: str | None = None
    note: str | None = None


class SignatureInfo(Struct, frozen=True):
    """The signature of one callable.

    Attributes:
        names: The positional parameters in order, with None for skipped ones; without `self` and
            `cls` when the call's `args` do not include them.
        parameters: The recorded ones, in order of the signature.
        skipped: Names that are never recorded (`Skip`, injected).
        returns: Type of a call's result, from the annotation, or `MISSING`.
        returns_note: Why it could not be resolved, else None.
        returns_category: Category of a `Sensitive` mark on the return type, None without a mark.
        positions_known: Positional arguments belong to the parameters in order; False under a
            decorator that may add, drop or move some.
    """

    names: tuple[str | None, ...]
    parameters: tuple[Parameter, ...]
    skipped: frozenset[str]
    returns: object
    returns_note: str | None = None
    returns_category: str | None = None
    positions_known: bool = True


def read(function: Callable[..., object], *, skip_first: bool) -> SignatureInfo:
    """Return the signature of *function*; no type makes it raise.

    The annotations are evaluated, and no other code of the user runs. Call it at the first call
    or registration, when the names in them exist.

    Args:
        function: A function, a bound method, a partial or an object with `__call__`; wrappers with
            `__wrapped__` are unwrapped.
        skip_first: Arguments of a call do not include the first parameter (`self`, `cls`).
    """
    signature = attempt(lambda: signature_of(function))
    if isinstance(signature, Exception):
        return _unreadable(function)
    scope = function_scope(function)
    declared = _declared(function, signature, skip_first=skip_first)
    parameters = {each.name: _parameter(each, scope) for each in declared}
    skipped = frozenset(name for name, parameter in parameters.items() if parameter is None)
    positional = (each.name for each in declared if each.kind in _BY_POSITION)
    returned = scope.read(signature.return_annotation)
    return SignatureInfo(
        names=tuple(None if name in skipped else name for name in positional),
        parameters=tuple(each for each in parameters.values() if each is not None),
        skipped=skipped,
        returns=call_result_type(function, returned.annotation),
        returns_note=returned.note,
        # A result that is to be skipped is withheld like a secret.
        returns_category="" if returned.skip and returned.category is None else returned.category,
        positions_known=all(_passes_on(wrapper, signature) for wrapper in _wrappers(function)),
    )


def declared_parameters(
    function: Callable[..., object], *, skip_first: bool
) -> tuple[inspect.Parameter | Parameter, ...]:
    """Return the parameters of `read` and the skipped ones, without evaluating annotations."""
    signature = attempt(lambda: signature_of(function))
    if isinstance(signature, Exception):
        return _unreadable(function).parameters
    return tuple(_declared(function, signature, skip_first=skip_first))


def _declared(
    function: Callable[..., object], signature: inspect.Signature, *, skip_first: bool
) -> list[inspect.Parameter]:
    """Return the parameters without `self` or `cls`, and then those that decorators add."""
    declared = list(signature.parameters.values())
    if skip_first and declared and declared[0].kind in _BY_POSITION:
        del declared[0]
    added = {
        added_parameter.name: added_parameter.replace(annotation=MISSING)
        for wrapper in _wrappers(function)
        for added_parameter in _own_parameters(wrapper)
        if added_parameter.kind is inspect.Parameter.KEYWORD_ONLY
        and added_parameter.name not in signature.parameters
    }
    return [*declared, *added.values()]


def _wrappers(function: object) -> Iterator[FunctionType]:
    """Yield the wrapper functions of decorators that keep the signature of the wrapped function.

    Only their code shows which arguments they take, and which they pass on.
    """
    for layer in layers(function):
        if type(layer) is not FunctionType or "__wrapped__" not in vars(layer):
            continue
        if "__signature__" in vars(layer):
            return
        home = str(layer.__globals__.get("__name__", "")).partition(".")[0]
        if home not in _FORWARDING:
            yield layer


def _own_parameters(wrapper: FunctionType) -> list[inspect.Parameter]:
    signature = attempt(lambda: signature_of(wrapper, follow_wrapped=False))
    return [] if isinstance(signature, Exception) else list(signature.parameters.values())


def _passes_on(wrapper: FunctionType, signature: inspect.Signature) -> bool:
    """Return whether a wrapper function has the positional parameters of *signature*."""
    positional = [
        parameter for parameter in _own_parameters(wrapper) if parameter.kind not in _BY_NAME
    ]
    declared = [
        parameter.name
        for parameter in signature.parameters.values()
        if parameter.kind not in _BY_NAME
    ]
    variadic = any(parameter.kind is inspect.Parameter.VAR_POSITIONAL for parameter in positional)
    return [parameter.name for parameter in positional] == declared and not variadic


def _parameter(declared: inspect.Parameter, scope: Scope) -> Parameter | None:
    """Return one parameter, None if it is never recorded."""
    info = scope.read(declared.annotation)
    if info.skip or is_injected(declared.default):
        return None
    return Parameter(
        name=declared.name,
        kind=declared.kind,
        annotation=info.annotation,
        default=declared.default,
        category=info.category,
        note=info.note,
    )


def _unreadable(function: object) -> SignatureInfo:
    """Return a generic signature for a callable without one, such as some builtins."""
    note = f"{type(function).__name__} without a signature"
    return SignatureInfo(
        names=(),
        parameters=(
            Parameter("args", inspect.Parameter.VAR_POSITIONAL, MISSING, MISSING, note=note),
            Parameter("kwargs", inspect.Parameter.VAR_KEYWORD, MISSING, MISSING, note=note),
        ),
        skipped=frozenset(),
        returns=MISSING,
    )
