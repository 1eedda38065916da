"""Results that outlive their call: the span stays open until the returned object has ended.

The type of the result decides. Generators and coroutines are wrapped by real ones of the same kind,
other iterators by proxies. A streaming response stays the same object, and its body is wrapped. The
span of any other result, also of a context manager, ends with the call.
"""

from __future__ import annotations

import copy
import io
import weakref
from collections.abc import Callable, Mapping
from functools import cache, partial
from types import AsyncGeneratorType, CoroutineType, GeneratorType
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast

from wrapt import ObjectProxy

from remit._base import guard
from remit._capture.encode import capture_mapping
from remit._inspect.decorated import is_awaited
from remit._inspect.introspection import ABSENT, has_dict, is_one_of, kind_of, lookup, own_attribute
from remit._record.context import open_context
from remit._record.generators import named_as, wrap_async_generator, wrap_generator
from remit._record.spans import AnySpan, OpenSpan
from remit._record.stepping import AnyCoroutine, as_coroutine, await_stepwise
from remit._record.streams import DeferredSpan, StreamSpan

if TYPE_CHECKING:  # the class takes no parameters when the program runs
    _Proxy = ObjectProxy[Any]
else:
    _Proxy = ObjectProxy

ResultWrapper: TypeAlias = Callable[[Any, Any], object]
"""Takes a result and the span that it keeps open; returns its replacement for the caller."""

BODY: Final = "body_iterator"
"""The attribute that streaming responses, of starlette and others, iterate over."""

PLAIN_TYPE_IDS: Final = frozenset(
    map(
        id,
        (
            *(type(None), bool, int, float, complex, str, bytes, bytearray),
            *(list, tuple, dict, set, frozenset),
        ),
    )
)
"""Types of results whose span ends with the call; by `id`, as hashing a class may run user code.

The wrappers test for these before they call anything.
"""

_WHERE: Final = "what a call returned"
_FILE: Final = cast("type", io.IOBase.__base__)
"""The base of every file, written in C or in Python."""
# Files, cursors and collections are read by other means as well, and rarely iterated to their end.
# Awaitables and callables would need another kind of proxy.
_NOT_WRAPPED: Final = ("read", "fetchone", "__getitem__", "__await__", "__call__")


def end_with_result(
    span: AnySpan,
    value: Any,
    instance: object,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
) -> Any:
    """End *span* with the result of its call, now or when the result has ended.

    A result that the caller passed in, as the object or an argument, is not a stream of this call.

    Returns:
        What the wrapper returns to the caller: *value*, or what is wrapped around it.
    """
    recorder = span.recorder
    if not isinstance(span, OpenSpan) and recorder.ceiling is None:
        return value
    deferred: DeferredSpan | None = None
    try:
        passed_in = any(argument is value for argument in (instance, *args, *kwargs.values()))
        wrap = None if passed_in else _wrapper_of(value)
        if wrap is not None:
            deferred = (DeferredSpan if wrap is _wrap_coroutine else StreamSpan)(span.context)
            if isinstance(span, OpenSpan):
                deferred.attach(span)
            else:
                deferred.unrecorded = span
            return wrap(value, deferred)
    except Exception as error:
        fault = error
    else:
        span.complete(value)
        return value
    if deferred is not None:
        deferred.detach()
    if span.context.key in span.context.run.open:
        span.complete(value)
    if recorder.ceiling is None:
        guard.contain(_WHERE, fault)
    else:
        # The returned object would run without the remit of the agent.
        no_params = partial(capture_mapping, {}, span.context.run.rules)
        recorder.react_to_fault(fault, span.context, no_params)
    return value


def _wrapper_of(value: object) -> ResultWrapper | None:
    """Return the wrapper of results of the type of *value*; None if the span ends with the call."""
    cls = type(value)
    if cls is GeneratorType and is_awaited(cast("GeneratorType[Any, Any, Any]", value).gi_code):
        return _wrap_coroutine
    try:
        return _WRAPPERS[cls]
    except KeyError:
        wrapper = _WRAPPERS[cls] = _new_wrapper(cls, value)
        return wrapper


def _new_wrapper(cls: type, value: object) -> ResultWrapper | None:
    """Return the wrapper for a new type of result; run none of the user's code."""
    if cls in {GeneratorType, AsyncGeneratorType}:
        return _wrap_iterator
    if cls is CoroutineType:
        return _wrap_coroutine
    if has_dict(cls):
        body: object = own_attribute(value, "__dict__").get(BODY)
        if _offers(type(body), "__iter__") or _offers(type(body), "__aiter__"):
            return _wrap_response_body
    steps = _offers(cls, "__next__") or _offers(cls, "__anext__")
    if not steps or is_one_of(cls, _FILE) or any(_offers(cls, name) for name in _NOT_WRAPPED):
        return None
    return _wrap_iterator


def _offers(cls: type, name: str) -> bool:
    """Return whether objects of *cls* have the method *name*."""
    method = lookup(cls, name)
    return method is not None and method is not ABSENT


_WRAPPERS: Final[weakref.WeakKeyDictionary[type, ResultWrapper | None]] = (
    weakref.WeakKeyDictionary()
)
"""Wrappers of results, by type. Weak, so that classes made at run time can be collected."""


def _wrap_coroutine(inner: AnyCoroutine, deferred: DeferredSpan) -> AnyCoroutine:
    outer = _drive_coroutine(deferred)
    named_as(inner, outer)
    deferred.unawaited = inner
    return outer


async def _drive_coroutine(deferred: DeferredSpan) -> Any:
    """Await a coroutine; end the span with what it returned, now or when that has ended."""
    __tracebackhide__ = __traceback_hide__ = _rich_traceback_omit = True
    inner, deferred.unawaited = deferred.unawaited, None
    try:
        deferred.check()
    except BaseException:
        inner.close()
        raise
    try:
        value = await await_stepwise(inner, deferred.saved)
    except BaseException as error:
        deferred.fail(error)
        raise
    deferred.saved.keep()
    span = deferred.detach() or deferred.unrecorded
    return value if span is None else end_with_result(span, value, None, (), {})


def _wrap_response_body(response: object, span: StreamSpan) -> object:
    attributes = own_attribute(response, "__dict__")
    attributes[BODY] = _wrap_iterator(attributes[BODY], span)
    return response


def _wrap_iterator(iterator: Any, span: StreamSpan) -> Any:
    """Return an iterator that steps *iterator* and reports each step to *span*."""
    cls: type = kind_of(iterator)
    if cls is GeneratorType:
        return wrap_generator(iterator, span)
    if cls is AsyncGeneratorType:
        return wrap_async_generator(iterator, span)
    offered = (name for name in _StreamMethods.NAMES if _offers(cls, name))
    return _proxy_class(*offered)(iterator, span)


# Proxies


class _StreamProxy(_Proxy):
    """Proxy of an iterator that a call returned; reports its items to the span."""

    def __init__(self, inner: object, span: StreamSpan) -> None:
        super().__init__(inner)
        self._self_span = span

    def __getattr__(self, name: str) -> Any:
        """Return an attribute of the object; `close` and `aclose` also end the span."""
        value = getattr(self.__wrapped__, name)
        return partial(_close, self._self_span, value) if name in _CLOSING else value

    def __reduce_ex__(self, protocol: Any) -> Any:
        return self.__wrapped__.__reduce_ex__(protocol)

    def __copy__(self) -> object:
        return copy.copy(self.__wrapped__)

    def __deepcopy__(self, memo: dict[int, Any]) -> object:
        return copy.deepcopy(self.__wrapped__, memo)


class _StreamMethods:
    """Methods that a proxy has only if its object has them."""

    NAMES: Final = (
        "__iter__", "__next__", "__aiter__", "__anext__",
        "__enter__", "__exit__", "__aenter__", "__aexit__",
    )  # fmt: skip

    __wrapped__: Any
    _self_span: StreamSpan

    def __iter__(self) -> Any:
        return _iterator_of(self, iter(self.__wrapped__))

    def __next__(self) -> Any:
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

    def __aiter__(self) -> Any:
        return _iterator_of(self, aiter(self.__wrapped__))

    async def __anext__(self) -> Any:
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

    def __enter__(self) -> Any:
        __tracebackhide__ = __traceback_hide__ = _rich_traceback_omit = True
        self._self_span.check()
        entered = _run(self._self_span, self.__wrapped__.__enter__)
        return self if entered is self.__wrapped__ else entered

    def __exit__(self, *exc_info: object) -> Any:
        __tracebackhide__ = __traceback_hide__ = _rich_traceback_omit = True
        swallowed = _run(self._self_span, self.__wrapped__.__exit__, *exc_info)
        return _exited(self._self_span, exc_info, swallowed)

    async def __aenter__(self) -> Any:
        __tracebackhide__ = __traceback_hide__ = _rich_traceback_omit = True
        self._self_span.check()
        entered = await _await(self._self_span, self.__wrapped__.__aenter__)
        return self if entered is self.__wrapped__ else entered

    async def __aexit__(self, *exc_info: object) -> Any:
        __tracebackhide__ = __traceback_hide__ = _rich_traceback_omit = True
        swallowed = await _await(self._self_span, self.__wrapped__.__aexit__, *exc_info)
        return _exited(self._self_span, exc_info, swallowed)


_CLOSING: Final = frozenset({"close", "aclose"})


@cache
def _proxy_class(*offered: str) -> type[_StreamProxy]:
    # None declares that there is no such method; wrapt defines some of them for every proxy.
    methods = {name: None for name in _StreamMethods.NAMES if hasattr(_Proxy, name)}
    return type(
        "StreamProxy",
        (_StreamProxy,),
        methods | {name: vars(_StreamMethods)[name] for name in offered},
    )


def _iterator_of(proxy: _StreamMethods, iterator: object) -> Any:
    """Return the wrapped form of *iterator*: the proxy itself if the object is its own iterator."""
    if iterator is proxy.__wrapped__:
        return proxy
    try:
        return _wrap_iterator(iterator, proxy._self_span)  # noqa: SLF001 - of this module
    except Exception as error:
        guard.contain(_WHERE, error)
        return iterator


def _exited(span: StreamSpan, exc_info: tuple[object, ...], swallowed: object) -> object:
    error = cast("BaseException | None", exc_info[1])
    if error is None or swallowed:
        span.end(closed=True)
    else:
        span.fail(error)
    return swallowed


def _close(span: StreamSpan, close: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    __tracebackhide__ = __traceback_hide__ = _rich_traceback_omit = True
    closed = _run(span, close, *args, **kwargs)
    if type(closed) is CoroutineType:
        return _close_later(span, closed)
    span.end(closed=True)
    return closed


async def _close_later(span: StreamSpan, closed: Any) -> Any:
    __tracebackhide__ = __traceback_hide__ = _rich_traceback_omit = True
    value = await _await(span, lambda: closed)
    span.end(closed=True)
    return value


def _run(
    span: StreamSpan,
    action: Callable[..., Any],
    *args: Any,
    ends: type[BaseException] | tuple[()] = (),
    **kwargs: Any,
) -> Any:
    """Run a step of the stream inside its span. An exception fails the span, except *ends*."""
    __tracebackhide__ = __traceback_hide__ = _rich_traceback_omit = True
    consumer = open_context()
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
    *args: Any,
    ends: type[BaseException] | tuple[()] = (),
) -> Any:
    """Await a step of the stream inside its span, as `_run` does."""
    __tracebackhide__ = __traceback_hide__ = _rich_traceback_omit = True
    try:
        return await await_stepwise(as_coroutine(action(*args)), span.saved)
    except ends:
        raise
    except BaseException as error:
        span.fail(error)
        raise
