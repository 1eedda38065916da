"""Where the microseconds of a call go: `python -m benchmarks.hot [--rounds N] [--bytecodes]`.

Everything here happens on the calling thread; nothing is delivered. First what a call of each kind
costs, then what each part of a call of a plain function costs (`benchmarks.path`). `--bytecodes`
counts instead what the interpreter executes in each function of remit, which no other program on
the machine disturbs.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from types import FrameType
from typing import Any

import remit
from benchmarks.path import CALLS, Work, buffer, cpu_us, each, parts, recorded
from benchmarks.workloads import lookup


def awaited(call: Callable[..., Any]) -> Work:
    """Return the work that awaits a coroutine function."""
    loop = asyncio.new_event_loop()

    async def many(calls: int) -> None:
        for _ in range(calls):
            await call("order-7", 10)

    return lambda calls: loop.run_until_complete(many(calls))


def named(call: Callable[..., object]) -> Work:
    """Return the work that calls a function with keywords."""

    def work(calls: int) -> None:
        for _ in range(calls):
            call(order_id="order-7", limit=10)

    return work


def streamed(call: Callable[..., Iterable[object]]) -> Work:
    """Return the work that takes so many items, a hundred of each call."""

    def work(calls: int) -> None:
        for _ in range(calls // 100):
            for _item in call("order-7", 100):
                pass

    return work


def kinds(step: Callable[[str], Callable[[Any], Any]]) -> Iterator[tuple[str, Work]]:
    """Yield one work of each kind, decorated by what *step* returns for its name."""

    async def coroutine(order_id: str, limit: int) -> dict[str, object]:
        return lookup(order_id, limit)

    async def waiting(order_id: str, limit: int) -> dict[str, object]:
        await asyncio.sleep(0)
        return lookup(order_id, limit)

    def inner(order_id: str, limit: int) -> dict[str, object]:
        return lookup(order_id, limit)

    def middle(order_id: str, limit: int) -> Any:
        return innermost(order_id, limit)

    def outer(order_id: str, limit: int) -> Any:
        return within(order_id, limit)

    def items(order_id: str, limit: int) -> Iterator[int]:
        del order_id
        yield from range(limit)

    class Shop:
        @step("hot_method")
        def lookup(self, order_id: str, limit: int) -> dict[str, object]:
            return lookup(order_id, limit)

    innermost, within = step("hot_inner")(inner), step("hot_middle")(middle)
    yield "function", each(step("hot_function")(lookup))
    yield "function, by keyword", named(step("hot_keyword")(lookup))
    yield "method", each(Shop().lookup)
    yield "coroutine", awaited(step("hot_coroutine")(coroutine))
    yield "coroutine that waits once", awaited(step("hot_waiting")(waiting))
    yield "three nested functions", each(step("hot_outer")(outer))
    yield "an item of a generator", streamed(step("hot_items")(items))


def bytecodes(calls: int = 100) -> Iterator[tuple[str, float]]:
    """Yield what the interpreter executes of each function of remit, in a call of a plain one."""
    counts: Counter[str] = Counter()

    def trace(frame: FrameType, event: str, argument: object) -> Any:
        del argument
        if f"{os.sep}remit{os.sep}" not in frame.f_code.co_filename:
            return None
        frame.f_trace_opcodes = True
        if event == "opcode":
            counts[f"{frame.f_globals['__name__']}.{frame.f_code.co_qualname}"] += 1
        return trace

    with recorded(buffer()):
        work = each(remit.span_type("hot_traced")(lookup))
        work(CALLS)
        sys.settrace(trace)
        work(calls)
        sys.settrace(None)
    yield from ((name, count / calls) for name, count in counts.most_common())
    yield "in all", counts.total() / calls


def main() -> None:
    """Measure, and print tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=100, help="of a thousand calls each")
    parser.add_argument("--bytecodes", action="store_true", help="count what is executed instead")
    options = parser.parse_args()
    if options.bytecodes:
        for name, count in bytecodes():
            print(f"{name:<70} {count:7.1f}")
        return
    print("CPU of one call, us; the least of all rounds")
    sink = buffer()
    with recorded(sink):
        bare = {name: cpu_us(work, options.rounds, sink.clear) for name, work in kinds(undecorated)}
        for name, work in kinds(remit.span_type):
            found = cpu_us(work, options.rounds, sink.clear)
            print(f"{name:<52} {found:7.2f}  (bare {bare[name]:.2f})")
    print("\nwhere they go, in a call of a function")
    for name, part in parts(options.rounds):
        print(f"{name:<52} {part:7.2f}")


def undecorated(_: str) -> Callable[[Any], Any]:
    """Return what leaves a function as it is."""
    return lambda function: function


if __name__ == "__main__":
    main()
