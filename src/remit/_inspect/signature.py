"""The signature of a callable: its parameters with resolved annotations, and what is skipped.

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
from remit._inspect.callables import layers
from remit._inspect.returns import as_called

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
    """What the signature of one callable says.

    Attributes:
        names: Every positional parameter in order (as bound by position), skipped ones included
            as None; `self` and `cls` are not in it when the call's `args` do not carry them.
        parameters: The recorded ones, in order of the signature.
        skipped: Names that are never recorded (`Skip`, injected).
        returns: Type of what a call returns, from the annotation, or `MISSING`.
        returns_note: Why it could not be resolved, else None.
        returns_category: Category of a `Sensitive` mark on the return type, None without a mark.
        sure: Arguments by position are those of the parameters; False under a decorator that may
            add, drop or move some.
    """

    names: tuple[str | None, ...]
    parameters: tuple[Parameter, ...]
    skipped: frozenset[str]
    returns: object
    returns_note: str | None = None
    returns_category: str | None = None
    sure: bool = True


def read(function: Callable[..., object], *, skip_first: bool) -> SignatureInfo:
    """Return what the signature of *function* says; never raises for a type.

    The annotations are evaluated, and no other code of the user runs. Call it at the first call
    or registration, when the names in them exist.

    Args:
        function: The callable as its author wrote it: a function, a bound method, a partial, an
            object with `__call__`; wrappers that kept it are looked through.
        skip_first: The calls' arguments do not carry the first parameter (`self`, `cls`).
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
        returns=as_called(function, returned.annotation),
        returns_note=returned.note,
        # A result that is to be skipped is withheld like a secret.
        returns_category="" if returned.skip and returned.category is None else returned.category,
        sure=all(_passes_on(each, signature) for each in _wrappers(function)),
    )


def declared_parameters(
    function: Callable[..., object], *, skip_first: bool
) -> tuple[inspect.Parameter | Parameter, ...]:
    """Return the parameters that `read` returns and those it skips, annotations not evaluated."""
    signature = attempt(lambda: signature_of(function))
    if isinstance(signature, Exception):
        return _unreadable(function).parameters
    return tuple(_declared(function, signature, skip_first=skip_first))


def _declared(
    function: Callable[..., object], signature: inspect.Signature, *, skip_first: bool
) -> list[inspect.Parameter]:
    """Return the parameters without the receiver; those last that only decorators take."""
    declared = list(signature.parameters.values())
    if skip_first and declared and declared[0].kind in _BY_POSITION:
        del declared[0]
    added = {
        own.name: own.replace(annotation=MISSING)
        for wrapper in _wrappers(function)
        for own in _own(wrapper)
        if own.kind is inspect.Parameter.KEYWORD_ONLY and own.name not in signature.parameters
    }
    return [*declared, *added.values()]


def _wrappers(function: object) -> Iterator[FunctionType]:
    """Yield the functions of decorators around a function that show its signature as theirs.

    Only their code tells which arguments they take, and what they pass on.
    """
    for layer in layers(function):
        if type(layer) is not FunctionType or "__wrapped__" not in vars(layer):
            continue
        if "__signature__" in vars(layer):
            return
        home = str(layer.__globals__.get("__name__", "")).partition(".")[0]
        if home not in _FORWARDING:
            yield layer


def _own(wrapper: FunctionType) -> list[inspect.Parameter]:
    """Return the parameters that the code of a decorator's function takes."""
    signature = attempt(lambda: signature_of(wrapper, follow_wrapped=False))
    return [] if isinstance(signature, Exception) else list(signature.parameters.values())


def _passes_on(wrapper: FunctionType, signature: inspect.Signature) -> bool:
    """Return whether a decorator's function takes by position what *signature* says, in order."""
    own = [each for each in _own(wrapper) if each.kind not in _BY_NAME]
    shown = [each.name for each in signature.parameters.values() if each.kind not in _BY_NAME]
    variadic = any(each.kind is inspect.Parameter.VAR_POSITIONAL for each in own)
    return [each.name for each in own] == shown and not variadic


def _parameter(declared: inspect.Parameter, scope: Scope) -> Parameter | None:
    """Return what is read of one parameter, None if it is never recorded."""
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
    """Return what is known of a callable without a signature, such as some builtins."""
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
