"""Each kind of callable, decorated against bare: recorded, and the same in every answer."""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import (
    AsyncIterable,
    Awaitable,
    Collection,
    Container,
    Hashable,
    Iterable,
    Reversible,
    Sized,
)
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from typing import (
    Any,
    SupportsAbs,
    SupportsBytes,
    SupportsComplex,
    SupportsFloat,
    SupportsIndex,
    SupportsInt,
    SupportsRound,
    TypeAlias,
)

import pytest

import remit
from remit.testing import RecordingSink, isolated
from tests.desk import agent
from tests.kinds import KINDS, Kind, bare
from tests.subtests import each

pytestmark = pytest.mark.python

Anything: TypeAlias = Any

PROBES = (
    callable,
    inspect.isfunction,
    inspect.ismethod,
    inspect.iscoroutinefunction,
    inspect.isgeneratorfunction,
    inspect.isasyncgenfunction,
)


def every_kind(test: Anything) -> Anything:
    """Run a test with each kind of callable."""
    return each("kind", list(KINDS.values()), ids=list(KINDS), recorder=isolated)(test)


STANDS_FOR = (
    *(Sized, Container, Collection, Iterable, Reversible, Hashable, Awaitable, AsyncIterable),
    *(AbstractContextManager, AbstractAsyncContextManager),
    *(SupportsInt, SupportsFloat, SupportsComplex, SupportsIndex, SupportsBytes),
    *(SupportsAbs, SupportsRound),
)


class Shelf:
    """An object that is called, counted, searched and entered."""

    def __call__(self) -> str:
        """Answer."""
        return "book"

    def __len__(self) -> int:
        """Count."""
        return 3

    def __contains__(self, item: object) -> bool:
        """Search."""
        return item == "book"

    def __enter__(self) -> str:
        """Enter."""
        return "entered"

    def __exit__(self, *exc_info: object) -> None:
        """Leave."""

    def __int__(self) -> int:
        """Be a number."""
        return 7


def drained(value: Anything) -> object:
    """Return what a call gives in the end: awaited, or the number of its items."""
    if inspect.iscoroutine(value):
        return asyncio.run(value)
    if inspect.isgenerator(value):
        return len(list(value))
    if inspect.isasyncgen(value):
        return asyncio.run(_count(value))
    return value


async def _count(stream: Anything) -> int:
    return len([item async for item in stream])


@every_kind
def test_a_call_is_one_span_with_the_parameters_that_it_has(
    recorder: RecordingSink, kind: Kind
) -> None:
    """Payload keys are the parameters that the caller sees; no receiver and nothing preset."""
    decorated = kind.make(remit.span_type)
    with agent.run():
        assert drained(decorated(*kind.args)) == drained(kind.make(bare)(*kind.args)) == kind.result
    span = recorder.spans()[0]
    assert (span.payload, span.status) == (kind.payload, "complete")
    assert span.result is not None
    assert kind.result in (span.result.get("result"), span.result.get("count"))


@every_kind
def test_inspection_says_the_same_of_both(kind: Kind) -> None:
    """Kind, class, signature, name and docstring are those of what is decorated."""
    with isolated():
        decorated, plain = kind.make(remit.span_type), kind.make(bare)
    for probe in PROBES:
        assert probe(decorated) == probe(plain), probe
    assert decorated.__class__ is plain.__class__
    assert decorated.__doc__ == plain.__doc__
    assert getattr(decorated, "__name__", None) == getattr(plain, "__name__", None)
    try:
        expected = inspect.signature(plain)
    except ValueError:
        return
    assert inspect.signature(decorated) == expected


@every_kind
@pytest.mark.usefixtures("recorder")
def test_what_a_call_returns_has_the_name_of_the_bare_one(kind: Kind) -> None:
    """Coroutines and generators show the user's name in warnings and debuggers."""
    with agent.run():
        value, plain = kind.make(remit.span_type)(*kind.args), kind.make(bare)(*kind.args)
        assert type(value) is type(plain)
        assert getattr(value, "__name__", None) == getattr(plain, "__name__", None)
        drained(value)
        drained(plain)


@every_kind
def test_a_call_outside_any_run_is_the_bare_one(kind: Kind) -> None:
    """Nothing is recorded and nothing changes."""
    with isolated() as recorder:
        assert drained(kind.make(remit.span_type)(*kind.args)) == kind.result
    assert recorder.runs == []


@every_kind
def test_each_kind_answers_for_an_agent(recorder: RecordingSink, kind: Kind) -> None:
    """Called outside a run it opens one; its payload has the properties of its schema."""
    answering = kind.make(remit.agent)
    assert drained(answering(*kind.args)) == kind.result
    assert recorder.runs[0].status == "complete"
    span = recorder.spans()[0]
    inner = answering if hasattr(answering, "registration") else answering.func
    with inner.run() as run:
        current = remit.current_run()
        assert current is not None
        assert current.key == run.key
    schemas = inner.registration()["agent_schema_version"]["span_type_schemas"]
    (schema,) = [each["params_schema"] for each in schemas if each["name"] == span.name]
    assert set(span.payload or {}) == set(schema.get("properties", {}))


@each("decorator", [remit.span_type, remit.agent])
@each("kind", ["object", "async-object"])
def test_the_call_of_an_object_tells_its_kind(kind: str, decorator: Anything) -> None:
    """Frameworks ask `obj.__call__`, because the object itself is no coroutine function."""
    with isolated():
        decorated = KINDS[kind].make(decorator)
    assert inspect.iscoroutinefunction(decorated.__call__) is (kind == "async-object")
    assert decorated.by == 3


def test_a_dispatcher_still_registers(recorder: RecordingSink) -> None:
    """`register` and `dispatch` are those of the function inside."""
    dispatched = KINDS["dispatching"].make(remit.span_type)
    dispatched.register(str, len)
    with agent.run():
        assert dispatched("four") == 4
    assert dispatched.dispatch(str) is len
    assert recorder.spans()[0].payload == {"a": "four"}


def test_a_cache_under_the_decorator_records_each_call(recorder: RecordingSink) -> None:
    """Above it, only the calls that it does not answer."""
    under = KINDS["cached"].make(remit.span_type)
    above = functools.cache(KINDS["function"].make(remit.span_type))
    with agent.run():
        assert [under(2), under(2), above(2), above(2)] == [6, 6, 6, 6]
    assert len(recorder.spans()) == 3
    assert under.cache_info().hits == 1


@every_kind
@each("decorate", [remit.span_type, remit.agent])
def test_it_stands_for_what_the_bare_one_stands_for(kind: Kind, decorate: Anything) -> None:
    """No collection, no block, no number: wrapt's proxies have the methods of all of them."""
    with isolated():
        step, plain = kind.make(decorate), kind.make(bare)
        if inspect.isroutine(plain):
            assert [isinstance(step, each) for each in STANDS_FOR] == [
                isinstance(plain, each) for each in STANDS_FOR
            ]


@pytest.mark.parametrize("decorate", [remit.span_type, remit.agent])
def test_it_shows_what_is_decorated(decorate: Anything) -> None:
    """By its name, as the bare one does."""
    with isolated():
        assert repr(decorate(drained)) == repr(drained)
        assert repr(decorate(functools.partial(drained, 1))).startswith("functools.partial(")


@pytest.mark.parametrize("decorate", [remit.span_type, remit.agent])
def test_an_object_keeps_the_methods_of_its_class(decorate: Anything) -> None:
    """Whatever it is beside a callable."""
    with isolated():
        step = decorate(Shelf())
        assert (step(), len(step), "book" in step, int(step)) == ("book", 3, True, 7)
        with step as entered:
            assert entered == "entered"
