"""Reads the signature of a callable: parameters with resolved annotations, and the result.

Schema, capture and inferred risk use the same `SignatureInfo`, so that the keys of a payload are
always the properties of its schema. A result is plain, an iterator, or a context manager.
"""

from __future__ import annotations

import collections.abc
import inspect
import typing
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    asynccontextmanager,
    contextmanager,
)
from enum import StrEnum
from types import CodeType, FunctionType
from typing import Any, Final, cast

from msgspec import Struct

from remit._base.guard import attempt
from remit._inspect.annotations import MISSING as MISSING
from remit._inspect.annotations import (
    Scope,
    function_scope,
    is_injected,
    is_union,
    signature_of,
    type_inside,
)
from remit._inspect.introspection import layers

RETURN: Final = "return"
"""Name of the result among the names of parameters; no parameter can have it."""

_BY_POSITION: Final = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
_BY_NAME: Final = (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.VAR_KEYWORD)

_FORWARDING: Final = frozenset({"backoff", "contextlib", "functools", "stamina", "tenacity"})
"""Packages whose decorators pass on the arguments of a call unchanged."""

_ITERATORS: Final[frozenset[object]] = frozenset(
    {
        collections.abc.Iterator,
        collections.abc.Generator,
        collections.abc.AsyncIterator,
        collections.abc.AsyncGenerator,
    }
)
_ITERABLES: Final[frozenset[object]] = frozenset(
    {collections.abc.Iterable, collections.abc.AsyncIterable}
)
_NEVER_AT_ONCE: Final = _ITERATORS | {collections.abc.AsyncIterable}
_AWAITED: Final[frozenset[object]] = frozenset({Awaitable, Coroutine})
_CONTEXT_MANAGERS: Final[frozenset[object]] = frozenset(
    {AbstractContextManager, AbstractAsyncContextManager}
)
_MANAGERS: Final[Mapping[object, Any]] = {
    cast("Any", contextmanager)(iter).__code__: AbstractContextManager,
    cast("Any", asynccontextmanager)(iter).__code__: AbstractAsyncContextManager,
}
"""By the code of the functions that contextlib's decorators make, which all of them share."""


class CallKind(StrEnum):
    """How a callable runs when it is called."""

    FUNCTION = "function"
    COROUTINE = "coroutine"
    GENERATOR = "generator"
    ASYNC_GENERATOR = "async_generator"


class Parameter(Struct, frozen=True):
    """One parameter that is recorded.

    Attributes:
        annotation: Resolved, `Annotated` kept; `MISSING` if there is none or it cannot be resolved.
        category: Category of a `Sensitive` mark, None without a mark.
        note: Why the annotation could not be resolved, else None.
    """

    name: str
    kind: int
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
    or registration, when the names in them exist. `skip_first` says that the arguments of a call do
    not include the first parameter (`self`, `cls`).
    """
    signature = attempt(lambda: signature_of(function))
    if isinstance(signature, Exception):
        return _unreadable(function)
    scope = function_scope(function)
    declared = _declared(function, signature, skip_first=skip_first)
    parameters = {parameter.name: _parameter(parameter, scope) for parameter in declared}
    skipped = frozenset(name for name, parameter in parameters.items() if parameter is None)
    positional = (parameter.name for parameter in declared if parameter.kind in _BY_POSITION)
    returned = scope.read(signature.return_annotation)
    return SignatureInfo(
        names=tuple(None if name in skipped else name for name in positional),
        parameters=tuple(filter(None, parameters.values())),
        skipped=skipped,
        returns=_call_result_type(function, returned.annotation),
        returns_note=returned.note,
        # A result that is to be skipped is redacted like a secret.
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


def _unreadable(function: object) -> SignatureInfo:
    """Return a generic signature for a callable without one, such as some builtins."""
    note = f"{type(function).__name__} without a signature"
    args = Parameter("args", inspect.Parameter.VAR_POSITIONAL, MISSING, MISSING, note=note)
    kwargs = Parameter("kwargs", inspect.Parameter.VAR_KEYWORD, MISSING, MISSING, note=note)
    return SignatureInfo((), (args, kwargs), frozenset(), MISSING)


def _declared(
    function: Callable[..., object], signature: inspect.Signature, *, skip_first: bool
) -> list[inspect.Parameter]:
    """Return the parameters without `self` or `cls`, and then those that decorators add."""
    declared = list(signature.parameters.values())
    if skip_first and declared and declared[0].kind in _BY_POSITION:
        del declared[0]
    added = {
        parameter.name: parameter.replace(annotation=MISSING)
        for wrapper in _wrappers(function)
        for parameter in _own_parameters(wrapper)
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
        and parameter.name not in signature.parameters
    }
    return [*declared, *added.values()]


def _parameter(declared: inspect.Parameter, scope: Scope) -> Parameter | None:
    """Return one parameter, None if it is never recorded."""
    info = scope.read(declared.annotation)
    if info.skip or is_injected(declared.default):
        return None
    name, kind, default = declared.name, declared.kind, declared.default
    return Parameter(name, kind, info.annotation, default, info.category, info.note)


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
    taken = [parameter for parameter in _own_parameters(wrapper) if parameter.kind not in _BY_NAME]
    names = [
        name for name, parameter in signature.parameters.items() if parameter.kind not in _BY_NAME
    ]
    variadic = any(parameter.kind is inspect.Parameter.VAR_POSITIONAL for parameter in taken)
    return [parameter.name for parameter in taken] == names and not variadic


def item_type(returns: object, *, streams: bool) -> object | None:
    """Return the type of an iterator's items, None if *returns* is not an iterator.

    `streams` says that the function is a generator.
    """
    origin, args = _class_and_args(returns)
    if origin in _ITERATORS or (streams and origin in _ITERABLES):
        return args[0] if args else MISSING
    return MISSING if streams else None


def entered_type(returns: object) -> object | None:
    """Return the type of a context manager's value on entering, None if *returns* is none."""
    origin, args = _class_and_args(returns)
    if origin in _CONTEXT_MANAGERS:
        return args[0] if args else Any
    return None


def result_types(returns: object, *, streams: bool) -> tuple[list[object], list[object]]:
    """Return the types of plain results, and the types of items of iterators.

    An iterable may be either. A coroutine object counts as its result. `streams` says that the
    function is a generator.
    """
    items = item_type(returns, streams=streams)
    if items is not None:
        return [], [items]
    at_once: list[object] = []
    one_by_one: list[object] = []
    inside = type_inside(returns)
    members = list(typing.get_args(inside)) if is_union(inside) else [returns]
    for member in members:
        origin, args = _class_and_args(member)
        if origin in _ITERATORS or origin in _ITERABLES:
            one_by_one.append(args[0] if args else MISSING)
        if origin in _AWAITED and args:
            at_once.append(args[-1])
        elif (entered := entered_type(member)) is not None:
            at_once.append(entered)
        elif origin not in _NEVER_AT_ONCE:
            at_once.append(member)
    # Unchanged, with its `Annotated`, if all of it comes at once.
    return ([returns] if at_once == members else at_once), one_by_one


def _call_result_type(function: Callable[..., object], returns: object) -> object:
    """Return the type of a call's result, for a function whose own annotation is *returns*.

    contextlib's decorators keep the signature of the generator function that they decorate.
    """
    codes = [getattr(layer, "__code__", None) for layer in layers(function)]
    managers = [_MANAGERS[code] for code in codes if type(code) is CodeType and code in _MANAGERS]
    if not managers:
        return returns
    entered = item_type(returns, streams=True)
    return managers[0][Any if entered is MISSING else entered]


def _class_and_args(annotation: object) -> tuple[object, tuple[object, ...]]:
    """Return the class that an annotation names, None if it names none, and its arguments."""
    inside = type_inside(annotation)
    origin = typing.get_origin(inside) or inside
    return (origin if isinstance(origin, type) else None), typing.get_args(inside)
