"""The path of one decorated call, taken apart: what each of its parts costs the calling thread.

A part that can be left out is measured so: the difference is what it costs where it stands. The
layers between wrapt and the buffer are taken off one after the other, from the outside in: each
work here makes the same call with one layer less, and the layer is the difference of two of them.
What is neither is measured by itself. All of it together comes out at the whole; the rest is told.
"""

from __future__ import annotations

import sys
import time
import timeit
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import remit
from benchmarks.workloads import lookup
from remit import _runtime, config
from remit._buffer import Buffer
from remit._capture import Plan
from remit._clock import SystemClock
from remit._context import place_var
from remit._decorators._calls import function_call
from remit._decorators._doors import Door, begun
from remit._ids import new_key
from remit._losses import Losses, cost
from remit._outcomes import COMPLETE
from remit._queued import Drained
from remit._recording import Place, here
from remit._signature import read
from remit._sink import NoSink, Sink
from remit._spans import OpenSpan, Step, begin, open_span

CALLS: Final = 1000
"""Calls between two readings of the clock."""
ARGS: Final = ("order-7", 10)
MOMENT: Final = 1_800_000_000_000_000_000
"""Of an end for which no clock is read."""
PAYLOAD: Final = b'{"order_id":"order-7","limit":10}'
RESULT: Final = b'{"order":"order-7","limit":10,"state":"shipped"}'

Work = Callable[[int], None]
"""Makes so many calls."""
Parts = dict[str, float]
"""Microseconds by the name of a part."""


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
        self.params: Callable[..., bytes] = plan.params if params else lambda *_: PAYLOAD
        self.result: Callable[..., bytes] = plan.result if result else lambda *_: RESULT

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


def least(
    works: Mapping[str, Work], rounds: int, after: Callable[[], None] = lambda: None
) -> Parts:
    """Return the least CPU time of one call of each work, in microseconds; they take turns."""
    best = dict.fromkeys(works, sys.maxsize)
    for work in works.values():
        work(CALLS)
        after()
    for _ in range(rounds):
        for name, work in works.items():
            before_ns = time.thread_time_ns()
            work(CALLS)
            best[name] = min(best[name], time.thread_time_ns() - before_ns)
            after()
    return {name: best_ns / CALLS / 1000 for name, best_ns in best.items()}


def cpu_us(work: Work, rounds: int, after: Callable[[], None]) -> float:
    """Return the least CPU time of one call, in microseconds."""
    return least({"": work}, rounds, after)[""]


def alone_us(statement: str, **names: object) -> float:
    """Return the least CPU time of a statement, in microseconds."""
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


def plan_of_lookup() -> Plan:
    """Return how the function's arguments and result are captured."""
    return Plan(read(lookup, skip_first=False))


def direct(plan: Plan | Fixed) -> Work:
    """Return the work that calls the wrapper of a function as wrapt does."""
    call = function_call(Door(Step("hot_direct", lambda: plan)))

    def work(calls: int) -> None:
        for _ in range(calls):
            call(lookup, None, ARGS, {})

    return work


@dataclass
class Ladder:
    """The same call with one layer less on each rung.

    Arguments and result are bytes at once, and nobody keeps them: so only what stands between is
    measured. Made and used in a run.

    Attributes:
        plan: Captures nothing.
        step: The declaration.
        parent: The place of each call.
    """

    plan: Fixed = field(default_factory=lambda: Fixed(plan_of_lookup(), params=False, result=False))
    step: Step = field(init=False)
    parent: Place = field(init=False)

    def __post_init__(self) -> None:
        """Make the declaration ready."""
        self.step = Step("hot_rungs", lambda: self.plan)
        place = here()
        assert place is not None
        self.parent = place

    def works(self) -> dict[str, Work]:
        """Return the rungs, the outermost first."""
        return {
            "wrapper": direct(self.plan),
            "guarded": self.begun_by(begun),
            "begun": self.begun_by(begin),
            "opened": self.opened(),
            "noted": self.noted(),
            "nothing": self.nothing(),
        }

    def begun_by(self, begin: Callable[..., Any]) -> Work:
        """Return the work that begins a span by *begin* and ends it, without the wrapper."""
        step, parent, complete = self.step, self.parent, OpenSpan.complete

        def work(calls: int) -> None:
            kwargs: dict[str, Any] = {}
            for _ in range(calls):
                span = begin(step, parent, ARGS, kwargs)
                complete(span, lookup(*ARGS))

        return work

    def opened(self) -> Work:
        """Return the work that asks no policy, and not whether anything is recorded."""
        step, parent, complete = self.step, self.parent, OpenSpan.complete
        params, rules = self.plan.params, self.parent.run.recorder.rules

        def work(calls: int) -> None:
            kwargs: dict[str, Any] = {}
            for _ in range(calls):
                span = open_span(step, parent, params(ARGS, kwargs, rules, ()), ())
                complete(span, lookup(*ARGS))

        return work

    def noted(self) -> Work:
        """Return the work that ends a span without its door, and reads no clock for that."""
        step, parent = self.step, self.parent
        params, result, rules = self.plan.params, self.plan.result, parent.run.recorder.rules
        end_span, discard = parent.run.recorder.sink.end_span, parent.run.open.discard

        def work(calls: int) -> None:
            kwargs: dict[str, Any] = {}
            for _ in range(calls):
                span = open_span(step, parent, params(ARGS, kwargs, rules, ()), ())
                captured = result(lookup(*ARGS), rules, None)
                end_span(span.start, MOMENT, COMPLETE, captured)
                discard(span.place.key)

        return work

    def nothing(self) -> Work:
        """Return the work that makes no span; all that is left stands for something else."""
        params, result, rules = self.plan.params, self.plan.result, self.parent.run.recorder.rules
        sink = self.parent.run.recorder.sink
        start = ("", 1, None, "", MOMENT, b"")

        def work(calls: int) -> None:
            kwargs: dict[str, Any] = {}
            for _ in range(calls):
                params(ARGS, kwargs, rules, ())
                sink.start_span(start)
                captured = result(lookup(*ARGS), rules, None)
                sink.end_span(start, MOMENT, COMPLETE, captured)

        return work


ALONE: Final = {
    "the clock, twice": "wall_ns = monotonic_ns() + offset_ns; monotonic_ns() + offset_ns",
    "the key": "new_key(offset_ns)",
    "the context variable: read and set, twice": (
        "place_var.get(); place_var.set(place); place_var.get(); place_var.set(None)"
    ),
    "the place and the span, as objects": "OpenSpan(None, Place(None, 1, 'a', ()), None, 1)",
    "the set of open spans: entered, left": "open_now.add(key); open_now.discard(key)",
}
"""Parts that nothing else can stand for, measured by themselves."""


def standing_alone() -> Parts:
    """Return what the parts cost that are measured by themselves."""
    names = {
        "monotonic_ns": SystemClock.monotonic_ns,
        "offset_ns": time.time_ns(),
        "new_key": new_key,
        "place_var": place_var,
        "place": object(),
        "Place": Place,
        "OpenSpan": OpenSpan,
        "open_now": {1},
        "key": 1 << 100,
    }
    return {name: alone_us(statement, **names) for name, statement in ALONE.items()}


def layers(rungs: Mapping[str, float], alone: Mapping[str, float]) -> Parts:
    """Return what each layer costs, without the parts in it that are told by themselves.

    Args:
        rungs: What each rung of the ladder costs.
        alone: What is measured by itself.
    """
    clock, key, context, objects, entered = (alone[name] for name in ALONE)
    between = {
        outer: rungs[outer] - rungs[inner]
        for outer, inner in zip(list(rungs)[:-1], list(rungs)[1:], strict=True)
    }
    return {
        "the wrapper: its frame, on which object, what kind of result it was": (
            between["wrapper"] - context
        ),
        "the guard of the start": between["guarded"],
        "the policy, whether anything is recorded": between["begun"],
        "the end: its guard, of which span, results by hand, last span": (
            between["opened"] - clock / 2
        ),
        "the start: step and run looked up, the span noted": (
            between["noted"] - clock / 2 - key - objects - entered
        ),
    }


def parts(rounds: int) -> Iterator[tuple[str, float]]:
    """Yield what each part of a call of a plain function costs, what is left, and the whole."""
    sink, plan = buffer(), plan_of_lookup()
    with recorded(sink):
        works = {
            "whole": each(remit.span_type("hot_whole")(lookup)),
            "inside": direct(plan),
            "without params": direct(Fixed(plan, params=False, result=True)),
            "without result": direct(Fixed(plan, params=True, result=False)),
        }
        found = least(works, rounds, sink.clear)
    with recorded(NoSink()):
        ladder = Ladder()
        works = {"without sink": direct(plan), "bare": each(lookup), **ladder.works()}
        rungs = least(works, rounds)
    without_sink, bare = rungs.pop("without sink"), rungs.pop("bare")
    inside, alone, standing = found["inside"], standing_alone(), stand_ins(ladder)
    told = {
        "the function itself": bare,
        "wrapt": found["whole"] - inside,
        "the arguments: bound, looked at, encoded": (
            inside - found["without params"] + standing["params"]
        ),
        "the result: looked at, encoded": inside - found["without result"] + standing["result"],
        "the buffer: start, end, bytes counted": inside - without_sink + standing["sink"],
        **alone,
        **layers(rungs, alone),
    }
    yield from told.items()
    yield "what cannot be attributed", found["whole"] - sum(told.values())
    yield "in all", found["whole"]


def stand_ins(ladder: Ladder) -> Parts:
    """Return what it costs to call those that stand for a part which is left out."""
    names = {"plan": ladder.plan, "sink": ladder.parent.run.recorder.sink, "args": ARGS}
    return {
        "params": alone_us("plan.params(args, args, args, args)", **names),
        "result": alone_us("plan.result(args, args, args)", **names),
        "sink": alone_us("sink.start_span(args); sink.end_span(args, 1, args, args)", **names),
    }
