"""What a callable's signature says, read once: parameters, annotations resolved, what to skip.

Both the schema and the capture of payloads derive from this one reading, so that the keys of a
payload always equal the properties of its schema.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator
from enum import StrEnum
from types import FunctionType
from typing import Final

from msgspec import Struct

from remit._annotations import MISSING as MISSING
from remit._annotations import Scope, function_scope, is_injected, signature_of
from remit._callables import layers
from remit._guard import attempt
from remit._returns import as_called

RETURN: Final = "return"
"""Names the result where a parameter's name would stand: a keyword, so no parameter has it."""

_Kind: Final = inspect._ParameterKind  # noqa: SLF001 - public only through its members
_BY_POSITION: Final = (_Kind.POSITIONAL_ONLY, _Kind.POSITIONAL_OR_KEYWORD)

_NAMED_ONLY: Final = (_Kind.KEYWORD_ONLY, _Kind.VAR_KEYWORD)

_FORWARDING: Final = frozenset({"backoff", "contextlib", "functools", "stamina", "tenacity"})
"""Packages whose decorators hand on the arguments of a call as they came."""


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
        kind: As `inspect.Parameter.kind`.
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


class Reading(Struct, frozen=True):
    """What was read of one callable.

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


def read(function: Callable[..., object], *, skip_first: bool) -> Reading:
    """Return what the signature of *function* says; never raises for a type.

    Nothing of the user's runs but the annotations, which are evaluated: read lazily, at the first
    call or registration, when the names that they use exist.

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
    read_ones = [(each.name, _parameter(each, scope)) for each in declared]
    skipped = frozenset(name for name, parameter in read_ones if parameter is None)
    returned = scope.read(signature.return_annotation)
    return Reading(
        names=_positional_names(declared, skipped),
        parameters=tuple(parameter for _, parameter in read_ones if parameter is not None),
        skipped=skipped,
        returns=as_called(function, returned.annotation),
        returns_note=returned.note,
        # A result that is to be skipped is withheld like a secret.
        returns_category="" if returned.skip and returned.category is None else returned.category,
        sure=all(_hands_on(each, signature) for each in _wrappers(function)),
    )


def declared_parameters(
    function: Callable[..., object], *, skip_first: bool
) -> tuple[inspect.Parameter | Parameter, ...]:
    """Return the parameters by name and kind, no annotation read; as `read` takes its arguments."""
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
        if own.kind is _Kind.KEYWORD_ONLY and own.name not in signature.parameters
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


def _hands_on(wrapper: FunctionType, signature: inspect.Signature) -> bool:
    """Return whether a decorator's function takes by position what *signature* says, in order."""
    own, shown = (
        [each.name for each in parameters if each.kind not in _NAMED_ONLY]
        for parameters in (_own(wrapper), signature.parameters.values())
    )
    return own == shown and all(each.kind is not _Kind.VAR_POSITIONAL for each in _own(wrapper))


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


def _positional_names(
    declared: Iterable[inspect.Parameter], skipped: frozenset[str]
) -> tuple[str | None, ...]:
    return tuple(
        None if each.name in skipped else each.name
        for each in declared
        if each.kind in _BY_POSITION
    )


def _unreadable(function: object) -> Reading:
    """Return the reading of a callable without a signature, such as some builtins."""
    note = f"{type(function).__name__} without a signature"
    return Reading(
        names=(),
        parameters=(
            Parameter("args", _Kind.VAR_POSITIONAL, MISSING, MISSING, note=note),
            Parameter("kwargs", _Kind.VAR_KEYWORD, MISSING, MISSING, note=note),
        ),
        skipped=frozenset(),
        returns=MISSING,
    )
