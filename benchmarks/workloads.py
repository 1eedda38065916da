"""The calls that are measured; each workload takes a decorator and returns a loop of calls."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import copy_context
from itertools import cycle, islice
from typing import Final, TypeAlias

from benchmarks.peers import Decorator

Loop: TypeAlias = Callable[[int], None]
Answer: TypeAlias = dict[str, object]

ORDERS: Final = [f"order-{number}" for number in range(10_000)]
"""Arguments that differ: some peers send what repeats only once."""


def sync(decorate: Decorator) -> Loop:
    """Call a function of two small arguments that returns a small dict."""

    def lookup(order_id: str, limit: int) -> Answer:
        return {"order": order_id, "limit": limit, "state": "shipped"}

    function, orders = decorate(lookup), cycle(ORDERS)

    def loop(times: int) -> None:
        for order_id in islice(orders, times):
            function(order_id, 10)

    return loop


def awaited(decorate: Decorator) -> Loop:
    """Await a coroutine function that does the same and never waits."""

    async def lookup(order_id: str, limit: int) -> Answer:
        return {"order": order_id, "limit": limit, "state": "shipped"}

    function, orders = decorate(lookup), cycle(ORDERS)

    async def await_calls(times: int) -> None:
        for order_id in islice(orders, times):
            await function(order_id, 10)

    def loop(times: int) -> None:
        EVENT_LOOP.run(await_calls(times), context=copy_context())

    return loop


EVENT_LOOP: Final = asyncio.Runner()
"""One for all awaited calls of a process: a peer may keep connections in it."""


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
    function, orders = decorate(outer), cycle(ORDERS)

    def loop(times: int) -> None:
        for order_id in islice(orders, times):
            function(order_id, 10)

    return loop


WORKLOADS: Final[dict[str, Callable[[Decorator], Loop]]] = {
    "sync": sync,
    "async": awaited,
    "nested": nested,
}
