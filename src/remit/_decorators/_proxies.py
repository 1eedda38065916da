"""Proxies of iterators and context managers: all is forwarded, the span is told of each step.

A proxy has the special methods of what it stands for and no others, so that `isinstance` with
`Iterator`, `AsyncIterable` and their kind tells the same of both.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from itertools import repeat
from types import AsyncGeneratorType, CoroutineType, GeneratorType
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from wrapt import ObjectProxy

from remit._capture.statics import ABSENT, kind_of, lookup
from remit._decorators._driving import AnyCoroutine, coroutine_of, driven, driven_async, stepwise
from remit._decorators._standing import step
from remit._decorators._streams import InFlight, StreamSpan
from remit._guard import guarded

if TYPE_CHECKING:  # the class takes no parameters when the program runs
    _Proxy = ObjectProxy[Any]
else:
    _Proxy = ObjectProxy

Method: TypeAlias = Callable[..., Any]


class Proxy(_Proxy):
    """Stands for an object that a call returned, until that has ended."""

    def __init__(self, inner: object, flight: InFlight) -> None:
        """Stand for *inner*, whose span is *flight*."""
        super().__init__(inner)
        self._self_flight = flight

    def __reduce_ex__(self, protocol: Any) -> Any:  # noqa: ANN401 - as the object itself does
        """Pickle as the object itself."""
        return self.__wrapped__.__reduce_ex__(protocol)

    def __copy__(self) -> object:
        """Copy as the object itself."""
        return copy.copy(self.__wrapped__)

    def __deepcopy__(self, memo: dict[int, Any]) -> object:
        """Copy as the object itself."""
        return copy.deepcopy(self.__wrapped__, memo)


def proxied(inner: Any, flight: InFlight) -> Any:  # noqa: ANN401 - stands for whatever it is given
    """Return what stands for *inner*: an iterator, an iterable, a context manager.

    The items of a context manager are its own affair; what it is given on entering counts.
    """
    told = _BLOCK | _STREAM if isinstance(flight, StreamSpan) else _BLOCK
    offered = frozenset(name for name in _NAMES if offers(kind_of(inner), name))
    key = (offered, len(told))
    if key not in _CLASSES:
        _CLASSES[key] = type("Proxy", (Proxy,), _body(offered, told))
    return _CLASSES[key](inner, flight)


def _body(offered: frozenset[str], told: dict[str, Method]) -> dict[str, object]:
    """Return the methods of a proxy class that has those of *offered* and no others of `_NAMES`."""
    body: dict[str, object] = {}
    for name in _NAMES:
        if name not in offered:
            # None is how Python says that there is no such method, whatever a base class has.
            body.update({name: None} if offers(Proxy, name) else {})
        elif name in told:
            body[name] = told[name]
        elif not offers(Proxy, name):
            body[name] = _forwarding(name)
    return body


def offers(cls: type, *names: str) -> bool:
    """Return whether values of *cls* have one of these methods; asks nothing of the user's."""
    return any(
        found is not None and found is not ABSENT for found in map(lookup, repeat(cls), names)
    )


def _forwarding(name: str) -> Method:
    def method(self: Proxy, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - handed through
        __tracebackhide__ = __traceback_hide__ = _rich_traceback_omit = True
        return getattr(self.__wrapped__, name)(*args, **kwargs)

    return method


def _do(flight: InFlight, action: Method, *args: Any) -> Any:  # noqa: ANN401 - handed through
    """Do what does not yield an item; the span fails with it."""
    __tracebackhide__ = __traceback_hide__ = _rich_traceback_omit = True
    try:
        with step(flight.stand):
            return action(*args)
    except BaseException as error:
        flight.fail(error)
        raise


async def _do_async(flight: InFlight, action: Method, *args: Any) -> Any:  # noqa: ANN401
    __tracebackhide__ = __traceback_hide__ = _rich_traceback_omit = True
    try:
        return await stepwise(coroutine_of(action(*args)), flight.stand)
    except BaseException as error:
        flight.fail(error)
        raise


def _step(flight: InFlight, advance: Method, *args: Any) -> Any:  # noqa: ANN401 - the user's item
    __tracebackhide__ = __traceback_hide__ = _rich_traceback_omit = True
    flight.check()
    try:
        with step(flight.stand):
            item = advance(*args)
    except StopIteration:
        flight.end(closed=False)
        raise
    except BaseException as error:
        flight.fail(error)
        raise
    flight.add(item)
    return item


async def _step_async(flight: InFlight, advance: Method, *args: Any) -> Any:  # noqa: ANN401
    __tracebackhide__ = __traceback_hide__ = _rich_traceback_omit = True
    flight.check()
    try:
        item = await stepwise(coroutine_of(advance(*args)), flight.stand)
    except StopAsyncIteration:
        flight.end(closed=False)
        raise
    except BaseException as error:
        flight.fail(error)
        raise
    flight.add(item)
    return item


def _iterating(iterate: Method) -> Method:
    """Return `__iter__` or `__aiter__`: usually the object is its own iterator."""

    def method(self: Proxy) -> Any:  # noqa: ANN401 - an iterator
        __tracebackhide__ = __traceback_hide__ = _rich_traceback_omit = True
        iterator = iterate(self.__wrapped__)
        return self if iterator is self.__wrapped__ else followed(iterator, self._self_flight)

    return method


def followed(iterator: Any, flight: InFlight) -> Any:  # noqa: ANN401 - of the same kind
    """Return an iterator that steps *iterator* and tells *flight* of it; itself after a fault."""
    other = _followed(iterator, flight)
    return iterator if other is None else other


@guarded("following an iterator")
def _followed(iterator: Any, flight: InFlight) -> Any:  # noqa: ANN401 - as `followed`
    if kind_of(iterator) is GeneratorType:
        return driven(iterator, flight)
    if kind_of(iterator) is AsyncGeneratorType:
        return driven_async(iterator, flight)
    return proxied(iterator, flight)


def _stepping(name: str, advance: Method = _step) -> Method:
    def method(self: Proxy, *args: Any) -> Any:  # noqa: ANN401 - handed through
        __tracebackhide__ = __traceback_hide__ = _rich_traceback_omit = True
        return advance(self._self_flight, getattr(self.__wrapped__, name), *args)

    return method


def _closing(name: str) -> Method:
    def method(self: Proxy, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - handed through
        __tracebackhide__ = __traceback_hide__ = _rich_traceback_omit = True
        flight = self._self_flight
        closed = _do(flight, partial(getattr(self.__wrapped__, name), *args, **kwargs))
        if kind_of(closed) is CoroutineType:
            return _closing_later(flight, closed)
        flight.left()
        return closed

    return method


async def _closing_later(flight: InFlight, closed: AnyCoroutine) -> Any:  # noqa: ANN401
    value = await _do_async(flight, lambda: closed)
    flight.left()
    return value


def _enter(self: Proxy) -> Any:  # noqa: ANN401 - what the block is given
    __tracebackhide__ = __traceback_hide__ = _rich_traceback_omit = True
    flight, inner = self._self_flight, self.__wrapped__
    flight.check()
    return _entered(self, _do(flight, inner.__enter__))


async def _aenter(self: Proxy) -> Any:  # noqa: ANN401 - what the block is given
    __tracebackhide__ = __traceback_hide__ = _rich_traceback_omit = True
    flight, inner = self._self_flight, self.__wrapped__
    flight.check()
    return _entered(self, await _do_async(flight, inner.__aenter__))


def _entered(self: Proxy, value: object) -> object:
    self._self_flight.entered(value)
    return self if value is self.__wrapped__ else value


def _exit(self: Proxy, *exc_info: Any) -> Any:  # noqa: ANN401 - whether the error is swallowed
    __tracebackhide__ = __traceback_hide__ = _rich_traceback_omit = True
    flight = self._self_flight
    return _exited(flight, exc_info[1], _do(flight, self.__wrapped__.__exit__, *exc_info))


async def _aexit(self: Proxy, *exc_info: Any) -> Any:  # noqa: ANN401 - as `_exit`
    __tracebackhide__ = __traceback_hide__ = _rich_traceback_omit = True
    flight = self._self_flight
    swallowed = await _do_async(flight, self.__wrapped__.__aexit__, *exc_info)
    return _exited(flight, exc_info[1], swallowed)


def _exited(flight: InFlight, error: BaseException | None, swallowed: object) -> object:
    if error is None or swallowed:
        flight.left()
    else:
        flight.fail(error)
    return swallowed


_STREAM: Final[dict[str, Method]] = {
    "__iter__": _iterating(iter),
    "__next__": _stepping("__next__"),
    "__aiter__": _iterating(aiter),
    "__anext__": _stepping("__anext__", _step_async),
    "send": _stepping("send"),
    "throw": _stepping("throw"),
    "asend": _stepping("asend", _step_async),
    "athrow": _stepping("athrow", _step_async),
}
_BLOCK: Final[dict[str, Method]] = {
    "__enter__": _enter,
    "__exit__": _exit,
    "__aenter__": _aenter,
    "__aexit__": _aexit,
    "close": _closing("close"),
    "aclose": _closing("aclose"),
}
_NAMES: Final = (*_STREAM, *_BLOCK, "__len__", "__call__", "__await__", "__length_hint__")
_CLASSES: Final[dict[tuple[frozenset[str], int], type[Proxy]]] = {}
"""By the methods that a proxy has: a few, however many types there are."""
