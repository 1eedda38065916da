"""Ends the span of a call: at once, or when the iterator or coroutine that it returned ends.

Decided by the type of the value. Generators and coroutines are driven by real ones of their kind.
A streaming response stays the object that it is, and what it iterates over is replaced. Other
iterators are replaced by proxies. All else ends with its call, also context managers.
"""

from __future__ import annotations

import copy
import io
from collections.abc import Callable, Mapping
from functools import cache, partial
from types import AsyncGeneratorType, CoroutineType, GeneratorType, MappingProxyType
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast
from weakref import WeakKeyDictionary

from wrapt import ObjectProxy

from remit._base import guard
from remit._inspect.decorated import is_awaited
from remit._inspect.introspection import ABSENT, has_dict, is_one_of, kind_of, lookup, own_attribute
from remit._record.generators import (
    AnyCoroutine,
    as_coroutine,
    await_stepwise,
    wrap_async_generator,
    wrap_coroutine,
    wrap_generator,
)
from remit._record.runs import current_context
from remit._record.spans import AnySpan, OpenSpan
from remit._record.streams import DeferredSpan, StreamSpan

if TYPE_CHECKING:  # the class takes no parameters when the program runs
    _Proxy = ObjectProxy[Any]
else:
    _Proxy = ObjectProxy

BODY: Final = "body_iterator"
"""What streaming responses, of starlette and others, iterate over."""

PLAIN_TYPE_IDS: Final = frozenset(
    map(
        id,
        (
            *(type(None), bool, int, float, complex, str, bytes, bytearray),
            *(list, tuple, dict, set, frozenset),
        ),
    )
)
"""Types whose values end with their call, by `id`, because hashing a class may run user code.

Wrappers look here before they call anything.
"""

NO_KEYWORDS: Final[Mapping[str, Any]] = MappingProxyType({})
_WHERE: Final = "what a call returned"
_FILE: Final = cast("type", io.IOBase.__base__)
"""The base of every file, written in C or in Python."""
# What is read by other means as well is rarely iterated to its end: files, cursors, collections.
# What is awaited or called would need a proxy of its own.
_NOT_FOLLOWED: Final = ("read", "fetchone", "__getitem__", "__await__", "__call__")


class ResultHandler(NamedTuple):
    """How values of one type keep the span of their call open.

    Attributes:
        span: The span that goes with them.
        follow: Returns what the caller gets in place of the value.
    """

    span: type[DeferredSpan]
    follow: Callable[[Any, Any], object]


# Unguarded: contains its own faults.
def end_with_result(
    span: AnySpan,
    value: Any,  # noqa: ANN401 - whatever the user's function returned
    instance: object = None,
    args: tuple[Any, ...] = (),
    kwargs: Mapping[str, Any] = NO_KEYWORDS,
) -> Any:  # noqa: ANN401 - what the caller gets
    """End *span* with the result of its call, now or when that has ended; return what to return.

    What the caller had before, the object or an argument, is no stream of this call's.
    """
    if not isinstance(span, OpenSpan):
        return value
    try:
        if any(each is value for each in (instance, *args, *kwargs.values())):
            span.complete(value)
            return value
        return _end_with(span, value)
    except Exception as error:  # noqa: BLE001 - a guard
        span.complete(value)
        guard.contain(_WHERE, error)
        return value


def _end_with(span: OpenSpan, value: Any) -> Any:  # noqa: ANN401 - as above
    handler = _handler_of(value)
    if handler is None:
        span.complete(value)
        return value
    deferred = handler.span(span.context)
    deferred.attach(span)
    try:
        return handler.follow(value, deferred)
    except Exception as error:  # noqa: BLE001 - a guard
        taken = deferred.detach()
        if taken is not None:
            taken.complete(value)
        guard.contain(_WHERE, error)
        return value


def _handler_of(value: object) -> ResultHandler | None:
    """Return how values of this type are followed, None if they end with their call."""
    cls = type(value)
    if cls is GeneratorType and is_awaited(cast("GeneratorType[Any, Any, Any]", value).gi_code):
        return _COROUTINE
    handler: ResultHandler | None = _HANDLERS.get(cls, _UNKNOWN)
    if handler is _UNKNOWN:
        handler = _HANDLERS[cls] = _find(cls, value)
    return handler


def _find(cls: type, value: object) -> ResultHandler | None:
    """Return the handler of a type that is new; no code of the user's runs."""
    if cls in {GeneratorType, AsyncGeneratorType}:
        return _ITERATOR
    if cls is CoroutineType:
        return _COROUTINE
    if has_dict(cls):
        body: object = own_attribute(value, "__dict__").get(BODY)
        if _offers(type(body), "__iter__", "__aiter__"):
            return _RESPONSE
    steps = _offers(cls, "__next__", "__anext__") and not _offers(cls, *_NOT_FOLLOWED)
    return _ITERATOR if steps and not is_one_of(cls, _FILE) else None


def _offers(cls: type, *names: str) -> bool:
    """Return whether values of *cls* have one of these methods."""
    methods = [lookup(cls, name) for name in names]
    return any(method is not None and method is not ABSENT for method in methods)


_HANDLERS: Final[WeakKeyDictionary[type, ResultHandler | None]] = WeakKeyDictionary()
"""By type; those of types that the program dropped are gone."""


# How each kind is followed


def _follow_coroutine(value: AnyCoroutine, deferred: DeferredSpan) -> object:
    def finish(result: object) -> object:
        """End the span with the value of the coroutine, or when that has ended."""
        span = deferred.detach()
        return result if span is None else end_with_result(span, result)

    return wrap_coroutine(value, deferred, finish)


def _follow_response(value: object, deferred: StreamSpan) -> object:
    attributes = own_attribute(value, "__dict__")
    attributes[BODY] = follow_iterator(attributes[BODY], deferred)
    return value


def follow_iterator(iterator: Any, deferred: StreamSpan) -> Any:  # noqa: ANN401 - of the same kind
    """Return an iterator that steps *iterator* and reports each step to *deferred*."""
    cls: type = kind_of(iterator)
    if cls is GeneratorType:
        return wrap_generator(iterator, deferred)
    if cls is AsyncGeneratorType:
        return wrap_async_generator(iterator, deferred)
    return _proxy_class(
        _offers(cls, "__iter__", "__next__"),
        _offers(cls, "__aiter__", "__anext__"),
        _offers(cls, "__enter__"),
        _offers(cls, "__aenter__"),
    )(iterator, deferred)


_UNKNOWN: Final[Any] = object()
_ITERATOR: Final = ResultHandler(StreamSpan, follow_iterator)
_COROUTINE: Final = ResultHandler(DeferredSpan, _follow_coroutine)
_RESPONSE: Final = ResultHandler(StreamSpan, _follow_response)


# Proxies


class _StreamProxy(_Proxy):
    """Passes for an iterator that a call returned, and reports its items to the span."""

    # wrapt's proxies have these, whatever the object has.
    __iter__: Any = None
    __enter__: Any = None
    __exit__: Any = None
    __aenter__: Any = None
    __aexit__: Any = None

    def __init__(self, inner: object, span: StreamSpan) -> None:
        """Pass for *inner*, whose items go to *span*."""
        super().__init__(inner)
        self._self_span = span

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - of the object
        """Return an attribute of the object; `close` and `aclose` end the span too."""
        value = getattr(self.__wrapped__, name)
        return partial(_close, self._self_span, value) if name in _CLOSING else value

    def __reduce_ex__(self, protocol: Any) -> Any:  # noqa: ANN401 - as the object itself does
        """Pickle as the object itself."""
        return self.__wrapped__.__reduce_ex__(protocol)

    def __copy__(self) -> object:
        """Copy as the object itself."""
        return copy.copy(self.__wrapped__)

    def __deepcopy__(self, memo: dict[int, Any]) -> object:
        """Copy as the object itself."""
        return copy.deepcopy(self.__wrapped__, memo)


class _Part:
    """What the parts of a proxy class use of the whole."""

    __wrapped__: Any
    _self_span: StreamSpan


class _Iterator(_Part):
    def __iter__(self) -> Any:  # noqa: ANN401 - an iterator
        return _iterator_of(self, iter(self.__wrapped__))

    def __next__(self) -> Any:  # noqa: ANN401 - the user's item
        __tracebackhide__ = __traceback_hide__ = _rich_traceback_omit = True
        span = self._self_span
        span.check()
        try:
            item = _run(span, self.__wrapped__.__next__, ends=StopIteration)
        except StopIteration:
            span.end(closed=False)
            raise
        span.add(item)
        return item


class _AsyncIterator(_Part):
    def __aiter__(self) -> Any:  # noqa: ANN401 - an iterator
        return _iterator_of(self, aiter(self.__wrapped__))

    async def __anext__(self) -> Any:  # noqa: ANN401 - the user's item
        __tracebackhide__ = __traceback_hide__ = _rich_traceback_omit = True
        span = self._self_span
        span.check()
        try:
            item = await _await(span, self.__wrapped__.__anext__, ends=StopAsyncIteration)
        except StopAsyncIteration:
            span.end(closed=False)
            raise
        span.add(item)
        return item


class _Block(_Part):
    def __enter__(self) -> Any:  # noqa: ANN401 - what the block is given
        __tracebackhide__ = __traceback_hide__ = _rich_traceback_omit = True
        self._self_span.check()
        given = _run(self._self_span, self.__wrapped__.__enter__)
        return self if given is self.__wrapped__ else given

    def __exit__(self, *exc_info: object) -> Any:  # noqa: ANN401 - whether the error is swallowed
        __tracebackhide__ = __traceback_hide__ = _rich_traceback_omit = True
        swallowed = _run(self._self_span, self.__wrapped__.__exit__, *exc_info)
        return _exited(self._self_span, exc_info, swallowed)


class _AsyncBlock(_Part):
    async def __aenter__(self) -> Any:  # noqa: ANN401 - what the block is given
        __tracebackhide__ = __traceback_hide__ = _rich_traceback_omit = True
        self._self_span.check()
        given = await _await(self._self_span, self.__wrapped__.__aenter__)
        return self if given is self.__wrapped__ else given

    async def __aexit__(self, *exc_info: object) -> Any:  # noqa: ANN401 - as `__exit__`
        __tracebackhide__ = __traceback_hide__ = _rich_traceback_omit = True
        swallowed = await _await(self._self_span, self.__wrapped__.__aexit__, *exc_info)
        return _exited(self._self_span, exc_info, swallowed)


_PARTS: Final = (_Iterator, _AsyncIterator, _Block, _AsyncBlock)
_CLOSING: Final = frozenset({"close", "aclose"})


@cache
def _proxy_class(*offered: bool) -> type[_StreamProxy]:
    """Return a proxy class with those of `_PARTS` that the object offers."""
    parts = [part for part, has in zip(_PARTS, offered, strict=True) if has]
    return type("StreamProxy", (*parts, _StreamProxy), {})


def _iterator_of(proxy: _Part, iterator: object) -> Any:  # noqa: ANN401 - of the same kind
    """Return what steps *iterator*; usually the object is its own iterator."""
    if iterator is proxy.__wrapped__:
        return proxy
    try:
        return follow_iterator(iterator, proxy._self_span)  # noqa: SLF001 - of this module
    except Exception as error:  # noqa: BLE001 - a guard
        guard.contain(_WHERE, error)
        return iterator


def _exited(span: StreamSpan, exc_info: tuple[Any, ...], swallowed: object) -> object:
    error: BaseException | None = exc_info[1]
    if error is None or swallowed:
        span.end(closed=True)
    else:
        span.fail(error)
    return swallowed


def _close(span: StreamSpan, close: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - forwarded
    __tracebackhide__ = __traceback_hide__ = _rich_traceback_omit = True
    closed = _run(span, close, *args, **kwargs)
    if type(closed) is CoroutineType:
        return _close_later(span, closed)
    span.end(closed=True)
    return closed


async def _close_later(span: StreamSpan, closed: Any) -> Any:  # noqa: ANN401 - forwarded
    __tracebackhide__ = __traceback_hide__ = _rich_traceback_omit = True
    value = await _await(span, lambda: closed)
    span.end(closed=True)
    return value


def _run(
    span: StreamSpan,
    action: Callable[..., Any],
    *args: Any,  # noqa: ANN401 - forwarded
    ends: type[BaseException] | tuple[()] = (),
    **kwargs: Any,  # noqa: ANN401 - forwarded
) -> Any:  # noqa: ANN401 - forwarded
    """Run a step of the stream inside its span, which fails with it; *ends* is no failure."""
    __tracebackhide__ = __traceback_hide__ = _rich_traceback_omit = True
    consumer = current_context()
    span.saved.enter(consumer)
    try:
        return action(*args, **kwargs)
    except ends:
        raise
    except BaseException as error:
        span.fail(error)
        raise
    finally:
        span.saved.leave(consumer)


async def _await(
    span: StreamSpan,
    action: Callable[..., Any],
    *args: Any,  # noqa: ANN401 - forwarded
    ends: type[BaseException] | tuple[()] = (),
) -> Any:  # noqa: ANN401 - forwarded
    """Await a step of the stream inside its span, as `_run`."""
    __tracebackhide__ = __traceback_hide__ = _rich_traceback_omit = True
    try:
        return await await_stepwise(as_coroutine(action(*args)), span.saved)
    except ends:
        raise
    except BaseException as error:
        span.fail(error)
        raise
