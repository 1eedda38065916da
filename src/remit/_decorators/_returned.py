"""What a call returned that has not ended yet: its span stays open until that has.

Decided by the type of the value, once for each type. Generators and coroutines are driven by real
ones of their kind. contextlib's context managers and streaming responses stay the objects that
they are; what they iterate over is replaced. Other iterators, and the context managers that the
function's annotation announces, go out as proxies. All else ends with its call.
"""

from __future__ import annotations

import io
import weakref
from collections.abc import Callable, Mapping
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    _AsyncGeneratorContextManager,  # what `asynccontextmanager` makes has no public name
    _GeneratorContextManager,
    asynccontextmanager,
    contextmanager,
)
from types import AsyncGeneratorType, CoroutineType, GeneratorType
from typing import Any, Final, NamedTuple, cast, get_origin

from remit._capture.statics import has_dict, is_class, is_one_of, own_attribute
from remit._decorators._doors import Door
from remit._decorators._driving import driven, driven_async, driven_coroutine, is_awaited
from remit._decorators._proxies import followed, offers
from remit._decorators._streams import InFlight, StreamSpan, ValueSpan, bound
from remit._guard import guarded
from remit._recording import here
from remit._spans import OpenSpan


class Call(NamedTuple):
    """A call that has returned.

    Attributes:
        span: Its span, still open.
        door: What was called.
    """

    span: OpenSpan
    door: Door


class Kind(NamedTuple):
    """How values of one type are kept in flight.

    Attributes:
        flight: The span that goes with them.
        keep: Returns what the caller gets in place of the value.
        block: Whether they manage a `with` block.
        announced: Only where the function's annotation says that it returns a context manager.
    """

    flight: type[InFlight]
    keep: Callable[[Any, InFlight, Call], object]
    block: bool = False
    announced: bool = False


@guarded("what a call returned")
def returned(
    value: Any,  # noqa: ANN401 - whatever the user's function returned
    span: OpenSpan,
    door: Door,
    instance: object,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
) -> tuple[Any]:
    """End *span* with what its call returned, now or when that has ended.

    What the caller had before, the object or an argument, is no stream of this call's.

    Returns:
        What the caller gets, alone in a tuple.
    """
    had_before = any(each is value for each in (instance, *args, *kwargs.values()))
    if had_before or _kind_of(value) is None:
        span.complete(value)
        return (value,)
    return (_settled(Call(span, door), value),)


def _settled(call: Call, value: Any) -> Any:  # noqa: ANN401 - as `returned`
    kind = _kind_of(value)
    if kind is None or (kind.announced and not _announced(call.door.returns)):
        call.span.complete(value)
        return value
    flight = kind.flight(call.span.place)
    flight.hold(call.span)
    flight.stand.shared = kind.block
    kept = _kept(kind, value, flight, call)
    if kept is None:
        span = flight.release()
        if span is not None:
            span.complete(value)
        return value
    return kept


def _announced(returns: object) -> bool:
    """Return whether an annotation says, in so many words, that it is a context manager."""
    kind = get_origin(returns) or returns
    return is_class(kind) and is_one_of(kind, AbstractContextManager, AbstractAsyncContextManager)


@guarded("what a call returned")
def _kept(kind: Kind, value: object, flight: InFlight, call: Call) -> object:
    return kind.keep(value, flight, call)


def _kind_of(value: object) -> Kind | None:
    """Return how values of this type are kept in flight, None if they end with their call."""
    cls = type(value)
    key = id(cls)
    if key in ENDED:
        return None
    if cls is GeneratorType and is_awaited(cast("GeneratorType[Any, Any, Any]", value).gi_code):
        return _COROUTINE
    kind = _KINDS.get(key)
    if kind is None:
        kind = _find(cls, value)
        _ALIVE[key] = weakref.ref(cls, lambda _: _forget(key))
        if kind is None:
            ENDED.add(key)
        else:
            _KINDS[key] = kind
    return kind


def _forget(key: int) -> None:
    _ALIVE.pop(key, None)
    _KINDS.pop(key, None)
    ENDED.discard(key)


def _find(cls: type, value: object) -> Kind | None:
    """Return the kind of a type that is new; nothing of the user's runs."""
    if is_one_of(cls, _GeneratorContextManager, _AsyncGeneratorContextManager):
        return _MANAGER
    if has_dict(cls) and _iterable(own_attribute(value, "__dict__").get(BODY)):
        return _RESPONSE
    steps = offers(cls, "__next__", "__anext__") and not offers(cls, *_READ_OTHERWISE)
    if steps and not is_one_of(cls, _FILE):
        return _ITERATOR
    return _ANNOUNCED if offers(cls, "__enter__", "__aenter__") else None


def _iterable(body: object) -> bool:
    return offers(type(body), "__iter__", "__aiter__")


def _replacing(attribute: str) -> Callable[[Any, InFlight, Call], object]:
    """Return what keeps an object and lets it iterate over something that tells its span."""

    def keep(value: object, flight: InFlight, call: Call) -> object:
        del call
        attributes = own_attribute(value, "__dict__")
        attributes[attribute] = followed(attributes[attribute], flight)
        return value

    return keep


def _managing(value: Any, flight: InFlight, call: Call) -> object:  # noqa: ANN401
    _keep_remade(value, call.door)
    return _replacing("gen")(value, flight, call)


def _code_of(function: object) -> object:
    return getattr(function, "__code__", None)


def _nothing() -> Any:  # noqa: ANN401 - in place of a generator function; it is never called
    """Do nothing."""


_MAKERS: Final = frozenset(map(_code_of, (contextmanager(_nothing), asynccontextmanager(_nothing))))
"""Code objects of the functions that contextlib makes of generator functions."""


@guarded("a call outside any run")
def makes_manager(function: object) -> bool:
    """Return whether *function* is made by contextlib: a call only makes a context manager."""
    return _code_of(function) in _MAKERS


@guarded("a context manager made outside any run")
def bound_to_its_block(
    manager: Any,  # noqa: ANN401 - a manager of contextlib's
    door: Door,
    instance: object,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
) -> None:
    """Check and record a manager that was made outside any run where it is entered."""
    _keep_remade(manager, door)
    stream = bound(door, instance, args, kwargs, for_block=True)
    if stream is not None:
        attributes = own_attribute(manager, "__dict__")
        steps: Any = attributes["gen"]
        drive: Any = driven_async if type(steps) is AsyncGeneratorType else driven
        attributes["gen"] = drive(steps, stream) or steps


@guarded("what a call outside any run returned")
def returned_outside(value: object, door: Door) -> None:
    """Keep what a call outside any run returned, if it will be in use inside of one."""
    if _kind_of(value) is _MANAGER:
        _keep_remade(value, door)


def _keep_remade(value: Any, door: Door) -> None:  # noqa: ANN401 - a manager of contextlib's
    """Keep what a manager makes anew for each call of the function that it decorates."""
    attributes = own_attribute(value, "__dict__")
    make = attributes["func"]

    def again(*args: Any, **kwargs: Any) -> object:  # noqa: ANN401 - handed through
        __tracebackhide__ = __traceback_hide__ = _rich_traceback_omit = True
        span = door.enter(None, args, kwargs)
        if span is None:
            if here() is None:
                door.outside()
            return make(*args, **kwargs)
        fresh = type(value)(make, args, kwargs)
        settled = returned(fresh, span, door, None, args, kwargs)
        return fresh.gen if settled is None else settled[0].gen

    attributes["func"] = again


def _coroutine(value: Any, flight: InFlight, call: Call) -> object:  # noqa: ANN401
    def settle(result: object) -> object:
        __tracebackhide__ = __traceback_hide__ = _rich_traceback_omit = True
        settled = _settled_later(flight, call, result)
        return result if settled is None else settled[0]

    return driven_coroutine(value, flight, settle)


@guarded("what a coroutine returned")
def _settled_later(flight: InFlight, call: Call, value: object) -> tuple[object]:
    span = flight.release()
    return (value if span is None else _settled(call, value),)


def _stand_in(value: object, flight: InFlight, call: Call) -> object:
    del call
    return followed(value, flight)


BODY: Final = "body_iterator"
"""What starlette's streaming responses, and those of others, iterate over."""

_FILE: Final = cast("type", io.IOBase.__base__)
"""The base of every file, written in C or in Python."""

# What is read by other means as well is rarely iterated to its end: files, cursors, collections.
_READ_OTHERWISE: Final = ("read", "fetchone", "__getitem__")

_COROUTINE: Final = Kind(ValueSpan, _coroutine)
_ITERATOR: Final = Kind(StreamSpan, _stand_in)
_ANNOUNCED: Final = Kind(ValueSpan, _stand_in, block=True, announced=True)
_MANAGER: Final = Kind(ValueSpan, _managing, block=True)
_RESPONSE: Final = Kind(StreamSpan, _replacing(BODY))

_KINDS: Final[dict[int, Kind]] = {
    id(GeneratorType): _ITERATOR,
    id(AsyncGeneratorType): _ITERATOR,
    id(CoroutineType): _COROUTINE,
}
"""By the `id` of the type, as hashing a class may run its author's code; gone with the type."""

_PLAIN: Final = (
    *(type(None), bool, int, float, complex, str, bytes, bytearray),
    *(list, tuple, dict, set, frozenset),
)
ENDED: Final = {id(each) for each in _PLAIN}
"""Types whose values end with their call, by `id`; wrappers look here before they call."""

_ALIVE: Final[dict[int, weakref.ref[type]]] = {}
