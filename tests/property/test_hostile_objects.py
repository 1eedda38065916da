"""Hostile objects at every public door: nothing of theirs runs, and they cost next to nothing.

Source: what `repr`, `deepcopy`, `model_dump` and iteration of arguments did to the programs of
those who traced with them.
"""

from __future__ import annotations

import json
import math
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import suppress
from functools import partial
from typing import Any, Final, TypeAlias, cast

import pytest

import remit
from remit.errors import UsageError
from remit.testing import RecordingSink, isolated
from tests.strategies import CALLS, hostile_class, hostile_values
from tests.subtests import each
from tests.untraced import least_cpu_s

pytestmark = pytest.mark.python

MAX_MORE_S: Final = 0.02
"""Most take 0.1 ms, the huge list 1.3; to look into any of them would take a tenth of a second."""
TRIES: Final = 7

Door: TypeAlias = Callable[[Any], object]


@remit.agent
def desk(value: object = None, *, named: object = None) -> object:
    """Give back what it gets."""
    del named
    return value


@remit.span_type
def step(value: object, *rest: object, **named: object) -> object:
    """Give back what it gets."""
    del rest, named
    return value


@remit.span_type
def failing(value: object) -> None:
    """Raise with what it gets."""
    raise ValueError(value)


@remit.span_type
def items(value: object) -> Generator[object]:
    """Yield what it gets."""
    yield value


def arguments(value: object) -> None:
    """Hand it over in every way, and get it back."""
    assert step(value, value, named=value) is value


def containers(value: object) -> None:
    """Hand it over inside others; what cannot be hashed is no key."""
    step([value, (value,), {"a": value}])


def an_error(value: object) -> None:
    """Raise with it."""
    with suppress(ValueError):
        failing(value)


def a_stream(value: object) -> None:
    """Yield it."""
    for _ in items(value):
        pass


def an_agent(value: object) -> None:
    """Call an agent with it."""
    assert desk(value, named=value) is value


def a_run(value: Any) -> None:
    """Open a run with it, and say how the run ended with it."""
    for argument in ("conversation", "on_behalf_of", "subject", "labels"):
        with suppress(UsageError):
            desk.run(**{argument: value})
    with suppress(UsageError):
        remit.about(conversation=value)
    with desk.run(labels={"a": value}) as run:
        run.fail(value)
        with suppress(UsageError):
            run.record_quality("good", value)
        run.record_quality("good", {"a": value})


def a_manual_span(value: Any) -> None:
    """Mark a block with it, and say how the block ended with it."""
    with desk.run(), remit.span("by hand", {"a": value}) as span:
        span.set_result(value)
    with desk.run(), remit.span("by hand", {"a": value}) as span:
        span.fail(value)


DOORS: Final[tuple[Door, ...]] = (
    arguments,
    containers,
    an_error,
    a_stream,
    an_agent,
    a_run,
    a_manual_span,
)
in_every_way = each("door", DOORS, ids=lambda door: door.__name__, recorder=isolated)
each_hostile = each("number", range(len(hostile_values())))


@in_every_way
@each_hostile
def test_no_door_asks_a_hostile_object_anything(
    recorder: RecordingSink, door: Door, number: int
) -> None:
    """Every method of it records that it was called, and raises; what is recorded is JSON."""
    value = hostile_values()[number]
    CALLS.clear()
    with desk.run():
        door(value)
    assert CALLS == []
    for run in recorder.runs:
        for span in recorder.spans():
            assert json.dumps([span.payload, span.result])
        assert run.status in {"complete", "failed"}


@each("base", [str, int, dict, object], ids=lambda base: base.__name__, recorder=isolated)
def test_a_hostile_purpose_is_refused_without_asking_it(
    recorder: RecordingSink, base: type
) -> None:
    """Comparing it with the allowed words would call its own `==`."""
    value = cast("Any", base).__new__(hostile_class(base))
    CALLS.clear()
    with pytest.raises(UsageError, match="expected one of live"):
        desk.run(purpose=value)
    assert CALLS == []
    assert recorder.runs == []


@each("base", [str, int, list, object], ids=lambda base: base.__name__, recorder=isolated)
def test_a_hostile_payload_that_is_no_mapping_is_refused_without_asking_it(
    recorder: RecordingSink, base: type
) -> None:
    """`isinstance` would ask it for its class."""
    value = cast("Any", base).__new__(hostile_class(base))
    CALLS.clear()
    with desk.run(), pytest.raises(UsageError, match="expected a mapping"):
        remit.span("by hand", value)
    assert CALLS == []
    assert recorder.spans() == []


def test_a_hostile_dict_is_a_payload(recorder: RecordingSink) -> None:
    """It is read with the methods of `dict` itself."""
    value = cast("Any", dict).__new__(hostile_class(dict))
    dict.__setitem__(value, "goal", 1)
    CALLS.clear()
    with desk.run(), remit.span("by hand", value):
        pass
    assert CALLS == []
    (span,) = recorder.spans("by hand")
    assert span.payload == {"goal": 1}


@remit.span_type
async def later_items(value: object) -> AsyncGenerator[object]:
    """Yield what it gets."""
    yield value


async def thrown_into_a_stream(error: BaseException) -> None:
    """Throw it where the consumer is."""
    with desk.run():
        stream = items("a")
        next(stream)
        stream.throw(error)


async def thrown_into_an_async_stream(error: BaseException) -> None:
    """Throw it where the consumer is."""
    with desk.run():
        stream = later_items("a")
        await anext(stream)
        await stream.athrow(error)


async def raised_in_an_async_run(error: BaseException) -> None:
    """Raise it in the block of a run."""
    async with desk.run():
        raise error


@pytest.mark.parametrize("base", [ValueError, BaseException], ids=lambda base: base.__name__)
@pytest.mark.parametrize(
    "passing",
    [thrown_into_a_stream, thrown_into_an_async_stream, raised_in_an_async_run],
    ids=lambda passing: passing.__name__,
)
async def test_a_hostile_error_passes_without_being_asked(
    recorder: RecordingSink, passing: Callable[[BaseException], Awaitable[None]], base: type
) -> None:
    """`isinstance` would ask it for its class."""
    error = cast("Any", base).__new__(hostile_class(base))
    same: list[bool] = []
    CALLS.clear()
    try:
        await passing(error)
    except BaseException as passed:  # noqa: BLE001 - pytest would ask it for its class
        same.append(passed is error)
    assert (same, CALLS) == ([True], [])
    assert {span.status for span in recorder.runs[0].spans} == {"failed"}


class Slow:
    """Takes seconds to show, and endless attributes to look at."""

    def __repr__(self) -> str:
        """Take long."""
        threading.Event().wait(10)
        return ""

    def __getattr__(self, name: str) -> Slow:
        """Have every attribute."""
        return Slow()


def cycle() -> object:
    """Return a container inside itself."""
    ring: list[object] = []
    ring += [ring, {"ring": ring}, (ring,)]
    return ring


HEAVY: Final[dict[str, Callable[[], object]]] = {
    "slow to show": Slow,
    "a gigabyte": lambda: bytes(1 << 30),
    "a cycle": cycle,
    "a generator": lambda: (number for number in range(10**9)),
    "a lock": threading.Lock,
    "what is no number": lambda: [math.nan, math.inf, -math.inf],
    "halves of surrogate pairs": lambda: "\ud800" * 10_000,
    "an integer of 10,000 bits": lambda: 1 << 10_000,
    "a dict with keys of all kinds": lambda: {1: 1, "a": 2, None: 3, (1, 2): 4, 1.5: 5, b"x": 6},
    "a deep nest": lambda: json.loads("[" * 900 + "]" * 900),
    "a long text": lambda: "lorem ipsum " * 1_000_000,
    "a text that is all prefixes": lambda: "sk-" * 1_000_000,
    "a huge list": lambda: [None] * 10_000_000,
}


@each("name", HEAVY, recorder=isolated)
def test_a_hostile_argument_costs_next_to_nothing(recorder: RecordingSink, name: str) -> None:
    """A few milliseconds of the processor, argument and result together, whatever its size."""

    def bare(value: object) -> object:
        return value

    decorated = remit.span_type("heavy")(bare)
    value = HEAVY[name]()
    with desk.run():
        assert decorated(value) is value
        took_s, bare_s = (
            least_cpu_s(partial(call, value), tries=TRIES) for call in (decorated, bare)
        )
        assert took_s - bare_s < MAX_MORE_S
    spans = recorder.spans("heavy")
    assert len(spans) == 1 + TRIES
    assert all(json.dumps([span.payload, span.result]) for span in spans)
