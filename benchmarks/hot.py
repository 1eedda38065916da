"""Where the microseconds of a call go: `python -m benchmarks.hot [--rounds N] [--bytecodes]`.

Everything here happens on the calling thread; nothing is delivered. First what a call of each kind
costs, then what a call of a plain function costs without each of its parts: the difference is what
the part costs where it stands. `--bytecodes` counts instead what the interpreter executes in each
function of remit, which no other program on the machine disturbs.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import time
import timeit
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import remit
from benchmarks.workloads import lookup
from remit import _runtime, config
from remit._buffer import Buffer
from remit._capture import Plan
from remit._clock import SystemClock
from remit._context import place_var
from remit._decorators._calls import function_call
from remit._decorators._doors import Door
from remit._ids import new_key
from remit._losses import Losses, cost
from remit._queued import Drained
from remit._recording import Place
from remit._signature import read
from remit._sink import NoSink, Sink
from remit._spans import OpenSpan, Step

CALLS = 1000
"""Calls between two readings of the clock."""

Work = Callable[[int], None]
"""Makes so many calls."""


ALONE = {
    "the clock, twice": "wall_ns = monotonic_ns() + offset_ns; monotonic_ns() + offset_ns",
    "the key": "new_key(offset_ns)",
    "the context variable, set twice": "place_var.set(place); place_var.set(None)",
    "the place and the span, as objects": "OpenSpan(None, Place(None, 1, 'a', ()), None, 1)",
}
"""Parts that nothing else can stand for, measured by themselves."""


class OwnBuffer(Buffer):
    """A buffer that is emptied by hand."""

    def clear(self) -> None:
        """Let go of what came in, as the writer does."""
        drained = Drained()
        while self._queue:
            self.drain(drained, everything=False)
            self.release(sum(map(cost, drained.in_order())))
            drained.clear()


class Fixed:
    """A plan that captures one side of a call, or neither; the other is always the same bytes."""

    error_rule: str | None = None

    def __init__(self, plan: Plan, *, params: bool, result: bool) -> None:
        """Capture with *plan* what is asked for."""
        payload = b'{"order_id":"order-7","limit":10}'
        returned = b'{"order":"order-7","limit":10,"state":"shipped"}'
        self.params: Callable[..., bytes] = plan.params if params else lambda *_: payload
        self.result: Callable[..., bytes] = plan.result if result else lambda *_: returned

    def secrets(self, args: object, kwargs: object) -> tuple[str, ...]:
        """Return none."""
        del args, kwargs
        return ()


def each(call: Callable[..., object]) -> Work:
    """Return the work that calls a function as the benchmarks do."""

    def work(calls: int) -> None:
        for _ in range(calls):
            call("order-7", 10)

    return work


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


def cpu_us(work: Work, rounds: int, after: Callable[[], None]) -> float:
    """Return the least CPU time of one call, in microseconds."""
    work(CALLS)
    best = sys.maxsize
    for _ in range(rounds):
        before = time.thread_time_ns()
        work(CALLS)
        best = min(best, time.thread_time_ns() - before)
        after()
    return best / CALLS / 1000


def alone_us(statement: str) -> float:
    """Return the least CPU time of a statement, in microseconds."""
    names = {
        "monotonic_ns": SystemClock.monotonic_ns,
        "offset_ns": time.time_ns(),
        "new_key": new_key,
        "place_var": place_var,
        "place": object(),
        "Place": Place,
        "OpenSpan": OpenSpan,
    }
    timer = timeit.Timer(statement, timer=time.thread_time, globals=names)
    return min(timer.repeat(100, CALLS)) / CALLS * 1e6


@contextmanager
def recorded(sink: Sink) -> Generator[None]:
    """Stand in a run whose items go to *sink*."""
    with _runtime.isolated(config.of({}), sink=sink):

        @remit.agent("hot_agent")
        def agent() -> None:
            """Hold the run."""

        with agent.run():
            yield


def buffer() -> OwnBuffer:
    """Return a buffer without a writer."""
    return OwnBuffer(
        max_bytes=1 << 30,
        losses=Losses(),
        clock=SystemClock(),
        announce_after_s=3600,
        rouse=lambda: None,
        nudge=lambda: None,
    )


def direct(*, params: bool = True, result: bool = True) -> Work:
    """Return the work that calls the wrapper of a function as wrapt does."""
    plan = Plan(read(lookup, skip_first=False))
    fixed = Fixed(plan, params=params, result=result)
    call = function_call(Door(Step("hot_direct", lambda: plan if params and result else fixed)))

    def work(calls: int) -> None:
        for _ in range(calls):
            call(lookup, None, ("order-7", 10), {})

    return work


def parts(rounds: int) -> Iterator[tuple[str, float]]:
    """Yield what each part of a call of a plain function costs."""
    sink = buffer()
    with recorded(sink):
        whole = cpu_us(each(remit.span_type("hot_whole")(lookup)), rounds, sink.clear)
        inside = cpu_us(direct(), rounds, sink.clear)
        without_params = cpu_us(direct(params=False), rounds, sink.clear)
        without_result = cpu_us(direct(result=False), rounds, sink.clear)
    with recorded(NoSink()):
        without_sink = cpu_us(direct(), rounds, lambda: None)
    bare = cpu_us(each(lookup), rounds, lambda: None)
    found = {
        "the function itself": bare,
        "wrapt": whole - inside,
        "the arguments: bound, looked at, encoded": inside - without_params,
        "the result: looked at, encoded": inside - without_result,
        "the buffer: start, end, bytes counted": inside - without_sink,
        **{name: alone_us(statement) for name, statement in ALONE.items()},
    }
    yield from found.items()
    yield "guards, policy, state of the run", whole - sum(found.values())
    yield "in all", whole


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
