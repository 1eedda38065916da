"""What is called: small programs, each decorated by a peer and then run in a loop."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator
from dataclasses import dataclass
from itertools import cycle, islice
from typing import Any, TypeAlias

from pydantic import BaseModel, create_model

from benchmarks.peers.base import Decorator

Loop: TypeAlias = Callable[[int], None]
AsyncLoop: TypeAlias = Callable[[int], Coroutine[Any, Any, None]]
Answer: TypeAlias = dict[str, object]

ORDERS = [f"order-{number}" for number in range(10_000)]
"""Arguments that differ: what is the same in every span costs some peers nothing to send."""
ITEMS = 100
FIELDS = 50
TEXT = "a hundred kilobytes of text " * 3600
NUMBERS = list(range(10_000))


class FieldsBase(BaseModel):
    """What the model of 50 fields derives from, so that it has a name to be annotated with."""


_FIELDS: dict[str, Any] = {
    f"field_{number}": (str if number % 2 else int, ...) for number in range(FIELDS)
}
Customer: type[FieldsBase] = create_model("Customer", __base__=FieldsBase, **_FIELDS)
CUSTOMER = Customer(**{f"field_{n}": f"value {n}" if n % 2 else n for n in range(FIELDS)})


def lookup(order_id: str, limit: int) -> Answer:
    """Return what was asked: two small arguments, a small dict back."""
    return {"order": order_id, "limit": limit, "state": "shipped"}


async def alookup(order_id: str, limit: int) -> Answer:
    """Return the same from a coroutine that never waits."""
    return {"order": order_id, "limit": limit, "state": "shipped"}


def stream(order_id: str) -> Generator[int]:
    """Yield 100 numbers."""
    del order_id
    yield from range(ITEMS)


def many(  # noqa: PLR0913, PLR0917 - ten parameters are what is measured
    a: int,
    b: int,
    c: int = 3,
    d: int = 4,
    e: str = "e",
    f: str = "f",
    g: float = 1.5,
    h: bool = True,  # noqa: FBT001, FBT002 - as above
    i: str | None = None,
    j: int = 10,
) -> Answer:
    """Return two of ten arguments."""
    del c, d, e, f, g, h, i
    return {"a": a, "b": b, "j": j}


def model(customer: FieldsBase) -> Answer:
    """Take a model of 50 fields."""
    del customer
    return {"state": "known"}


def text(document: str) -> Answer:
    """Take a long text."""
    return {"chars": len(document)}


def numbers(values: list[int]) -> Answer:
    """Take a long list."""
    return {"count": len(values)}


def _loop(function: Callable[..., object], *args: object, **kwargs: object) -> Loop:
    def loop(times: int) -> None:
        for _ in range(times):
            function(*args, **kwargs)

    return loop


def sync(decorate: Decorator) -> Loop:
    """Call a function of two small arguments."""
    function, orders = decorate(lookup), cycle(ORDERS)

    def loop(times: int) -> None:
        for order_id in islice(orders, times):
            function(order_id, 10)

    return loop


def coroutine(decorate: Decorator) -> AsyncLoop:
    """Await a coroutine of two small arguments."""
    function, orders = decorate(alookup), cycle(ORDERS)

    async def loop(times: int) -> None:
        for order_id in islice(orders, times):
            await function(order_id, 10)

    return loop


def nested(decorate: Decorator) -> Loop:
    """Call a function that calls a function that calls a function, all of them recorded."""

    def inner(order_id: str, limit: int) -> Answer:
        return {"order": order_id, "limit": limit, "state": "shipped"}

    def middle(order_id: str, limit: int) -> Answer:
        answer: Answer = recorded_inner(order_id, limit)
        return answer

    def outer(order_id: str, limit: int) -> Answer:
        answer: Answer = recorded_middle(order_id, limit)
        return answer

    recorded_inner, recorded_middle = decorate(inner), decorate(middle)
    return _loop(decorate(outer), "order-7", 10)


def generator(decorate: Decorator) -> Loop:
    """Consume a generator of 100 items."""
    function = decorate(stream)

    def loop(times: int) -> None:
        for _ in range(times):
            for _ in function("order-7"):
                pass

    return loop


def method(decorate: Decorator) -> Loop:
    """Call a method of an object."""

    class Desk:
        """Answers."""

        @decorate
        def lookup(self, order_id: str, limit: int) -> Answer:
            """Return what was asked."""
            return {"order": order_id, "limit": limit, "state": "shipped"}

    return _loop(Desk().lookup, "order-7", 10)


@dataclass(frozen=True)
class Workload:
    """A program that is run under each peer.

    Attributes:
        title: How the tables call it.
        make: Returns its loop under a decorator.
        spans: How many each turn records.
        in_loop: Whether it runs in an event loop.
    """

    title: str
    make: Callable[[Decorator], Loop | AsyncLoop]
    spans: int = 1
    in_loop: bool = False


WORKLOADS = {
    "sync": Workload("a call", sync),
    "async": Workload("an awaited call", coroutine, in_loop=True),
    "nested": Workload("three nested calls", nested, spans=3),
    "generator": Workload("a generator of 100 items", generator),
    "method": Workload("a method", method),
    "defaults": Workload("10 parameters, 7 by default", lambda d: _loop(d(many), 1, 2, j=11)),
    "model": Workload("a model of 50 fields", lambda d: _loop(d(model), CUSTOMER)),
    "text": Workload("100 KB of text", lambda d: _loop(d(text), TEXT)),
    "numbers": Workload("a list of 10,000 numbers", lambda d: _loop(d(numbers), NUMBERS)),
}
