"""What is collected far from where it began: its own code stays in its run, others see nothing."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import sys
import threading
import weakref
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from types import coroutine
from typing import Any, TypeAlias

import pytest

import remit
from remit._base.loops import WRITER
from remit._runtime import setup as _setup
from remit.config import Settings
from remit.testing import RecordingSink, isolated
from tests.returning import holder, inner, step_of
from tests.subtests import each

pytestmark = pytest.mark.python

Anything: TypeAlias = Any


@coroutine
def beat() -> Generator[None]:
    """Wait for the driver, without any event loop."""
    yield


@remit.span_type
def generator() -> Iterator[int]:
    """Call a step when it is over."""
    try:
        yield 1
    finally:
        inner(1)


@remit.span_type
async def async_generator() -> AsyncGenerator[int]:
    """Call a step when it is over."""
    try:
        yield 1
    finally:
        inner(1)


@remit.span_type
async def async_generator_in_a_step() -> AsyncGenerator[int]:
    """Call a step when it is over, which may be in the middle of a step."""
    try:
        await beat()
        yield 1
    finally:
        inner(1)


@remit.span_type
async def coroutine_function() -> None:
    """Call a step when it is over."""
    try:
        await beat()
    finally:
        inner(1)


@contextmanager
def hearing() -> Generator[list[str]]:
    """Yield what the interpreter says of exceptions that nobody could be told of."""
    heard: list[str] = []
    hook, sys.unraisablehook = sys.unraisablehook, lambda it: heard.append(str(it.exc_value))
    try:
        yield heard
    finally:
        sys.unraisablehook = hook


def first_step_of(stream: Anything) -> Anything:
    """Take the first step of what is asynchronous, without any event loop."""
    with suppress(StopIteration):
        stream.send(None)
    return stream


def bare(function: Anything) -> Anything:
    """Return the function inside a decorated one."""
    return function.__wrapped__


BEGUN: dict[str, Callable[[], Any]] = {
    "generator": lambda: [made := generator(), next(made)],
    "returned-generator": lambda: [made := step_of(bare(generator))(), next(made)],
    "async-generator": lambda: [made := async_generator(), first_step_of(made.asend(None))],
    "async-generator-in-a-step": lambda: [
        made := async_generator_in_a_step(),
        first_step_of(made.asend(None)),
    ],
    "coroutine": lambda: first_step_of(coroutine_function()),
    "returned-coroutine": lambda: first_step_of(step_of(bare(coroutine_function))()),
}


@each("begin", BEGUN.values(), ids=BEGUN, recorder=isolated)
def test_what_is_collected_in_another_run_stays_in_its_own(
    recorder: RecordingSink, begin: Callable[[], Any]
) -> None:
    """What its `finally` calls is no part of the run in which it happens to be dropped."""
    held = []
    with holder.run():
        contextvars.copy_context().run(lambda: held.append(begin()))
    with holder.run():
        current = remit.current_span()
        held.clear()
        assert remit.current_span() == current
    first, second = recorder.runs
    assert [span.status for span in first.spans] == ["cancelled", "cancelled", "complete"]
    assert first.spans[2].parent == first.spans[1].key
    assert len(second.spans) == 1


@each("begin", BEGUN.values(), ids=BEGUN)
def test_what_is_collected_in_a_thread_of_remit_ends_at_the_next_pass(
    begin: Callable[[], Any],
) -> None:
    """The thread may hold a lock at that point, so that it only takes note."""
    sink = RecordingSink()
    with _setup.isolated(Settings(), sink=sink) as runtime:
        held = []
        with holder.run():
            contextvars.copy_context().run(lambda: held.append(begin()))
        thread = threading.Thread(target=held.clear, name=WRITER)
        thread.start()
        thread.join(60)
        assert sink.runs[0].spans[1].status == "active"
        runtime.tick()
        assert sink.runs[0].spans[1].status == "cancelled"
        assert sink.runs[0].status == "complete"


@pytest.mark.parametrize("kind", ["async generator", "coroutine"])
def test_what_awaits_when_it_is_collected_leaves_no_span_behind(
    recorder: RecordingSink, kind: str
) -> None:
    """Python gives up on it, with a word on stderr; the span that was current still is."""

    @remit.span_type("waiting")
    async def waiting() -> AsyncIterator[int]:
        try:
            yield 1
        finally:
            await beat()

    @remit.span_type("waiting_too")
    async def waiting_too() -> None:
        try:
            await beat()
        finally:
            await beat()

    with hearing() as heard, holder.run():
        current = remit.current_span()
        if kind == "async generator":
            stream: Anything = waiting()
            first_step_of(stream.asend(None))
            del stream
        else:
            contextvars.copy_context().run(first_step_of, waiting_too())
        assert remit.current_span() == current
    assert heard == [f"{kind} ignored GeneratorExit"]
    gc.collect()  # the exception that closed it holds its frame
    assert [span.status for span in recorder.spans()] in (["cancelled"], ["failed"])


def test_a_loop_that_was_closed_finalises_nothing(recorder: RecordingSink) -> None:
    """The bare generator is let go without a word when its loop is closed; so is ours."""
    over: list[str] = []

    @remit.span_type("late")
    async def late() -> AsyncIterator[int]:
        try:
            yield 1
        finally:
            over.append("begun")
            await asyncio.sleep(0)
            over.append("ended")

    async def begin(stream: Anything) -> Anything:
        await anext(stream)
        return stream

    def play(function: Anything) -> None:
        loop = asyncio.new_event_loop()
        stream = loop.run_until_complete(begin(function()))
        loop.close()
        del stream

    with hearing() as heard:
        play(bare(late))
        assert (heard, over) == ([], [])
        with holder.run():
            play(late)
        assert (heard, over) == ([], [])
    assert [span.status for span in recorder.spans()] == ["cancelled"]


class Beat:
    """Something that an event loop is given, to wait for."""


@coroutine
def waits() -> Generator[Beat]:
    """Give the driver something to wait for."""
    yield Beat()


@remit.span_type
async def wait_twice() -> None:
    """Wait for one thing after the other."""
    await waits()
    await waits()


def test_nobody_holds_what_a_coroutine_has_waited_for(recorder: RecordingSink) -> None:
    """The result of a request may be large, and the coroutine long."""
    with holder.run():
        pending: Anything = wait_twice()
        first = weakref.ref(pending.send(None))
        pending.send(None)
        assert first() is None
        with suppress(StopIteration):
            pending.send(None)
    assert [span.status for span in recorder.spans()] == ["complete"]


def test_a_stream_that_could_not_be_made_is_collected_in_silence() -> None:
    """At the recursion limit, its span has no fields yet."""

    def at_the_limit() -> None:
        with suppress(RecursionError):
            generator()
        at_the_limit()

    with isolated(), holder.run(), hearing() as heard, suppress(RecursionError):
        at_the_limit()
    assert not [text for text in heard if "has no attribute" in text]
