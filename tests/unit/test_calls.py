"""Decorated callables of every kind: what is recorded, and that they behave as the bare ones."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from typing import Any, TypeAlias

import pytest

import remit
from remit._runtime import setup
from remit.config import Settings
from remit.errors import DeclarationError
from remit.testing import RecordingSink, isolated
from tests.desk import agent
from tests.subtests import each

pytestmark = pytest.mark.python

Anything: TypeAlias = Any


@remit.span_type
def plain(a: int, b: str = "x") -> dict[str, object]:
    """Return both."""
    return {"a": a, "b": b}


@remit.span_type()
async def coroutine(a: int) -> int:
    """Return the double."""
    await asyncio.sleep(0)
    return a * 2


@remit.span_type
def generator(n: int) -> Iterator[int]:
    """Count."""
    yield from range(n)


@remit.span_type
async def async_generator(n: int) -> AsyncIterator[int]:
    """Count."""
    for i in range(n):
        await asyncio.sleep(0)
        yield i


class Service:
    """Holds a method."""

    factor = 3

    @remit.span_type
    def method(self, a: int) -> int:
        """Multiply."""
        return a * self.factor


class Louder(Service):
    """Overrides and inherits."""

    factor = 4

    @remit.span_type
    def method(self, a: int) -> int:
        """Multiply, and add one."""
        return super().method(a) + 1


async def _collect(stream: AsyncIterator[int]) -> list[int]:
    return [item async for item in stream]


def test_a_super_call_is_a_child_span(recorder: RecordingSink) -> None:
    """An overridden method that calls its parent's records both."""
    with agent.run():
        assert Louder().method(2) == 9
    outer, inner = recorder.spans("method")
    assert inner.parent == outer.key


@pytest.mark.parametrize("kind", ["generator", "async_generator"])
def test_a_stream_is_one_span_with_its_items(recorder: RecordingSink, kind: str) -> None:
    """The result holds items, count and the time to the first item."""
    with agent.run():
        items = (
            list(generator(3)) if kind == "generator" else asyncio.run(_collect(async_generator(3)))
        )
    assert items == [0, 1, 2]
    (span,) = recorder.spans()
    assert span.result is not None
    assert span.result["items"] == [0, 1, 2]
    assert span.result["count"] == 3
    assert span.result["first_item_ms"] >= 0
    assert span.payload == {"n": 3}
    assert span.status == "complete"


def test_a_generator_never_stepped_leaves_no_span(recorder: RecordingSink) -> None:
    """Parent and run are bound at the call, the span starts at the first step."""
    with agent.run():
        stream = generator(3)
        del stream
    assert recorder.spans() == []


def test_a_generator_left_early_is_cancelled(recorder: RecordingSink) -> None:
    """A consumer that breaks out closes the generator: cancelled, with the items so far."""
    with agent.run():
        for item in generator(5):
            if item == 1:
                break
    (span,) = recorder.spans()
    assert span.status == "cancelled"
    assert (span.result or {})["items"] == [0, 1]


def test_a_generator_does_not_leak_its_span_between_steps(recorder: RecordingSink) -> None:
    """Between two steps the consumer's own span is current."""

    @remit.span_type("inner")
    def inner() -> None:
        return None

    @remit.span_type("stream")
    def stream() -> Iterator[int]:
        inner()
        yield 1
        inner()
        yield 2

    with agent.run():
        root = remit.current_span()
        for _ in stream():
            assert remit.current_span() == root
            inner()
    parents = {span.key: span.name for span in recorder.spans()}
    assert [parents.get(span.parent or "", "root") for span in recorder.spans("inner")] == [
        "stream",
        "root",
        "stream",
        "root",
    ]


def test_an_agent_that_streams_outside_a_run_opens_one_for_the_stream(
    recorder: RecordingSink,
) -> None:
    """The run begins at the first step and ends with the last."""

    @remit.agent
    def answer() -> Iterator[str]:
        assert remit.current_run() is not None
        yield "a"
        yield "b"

    stream = answer()
    assert recorder.runs == []
    assert next(stream) == "a"
    assert remit.current_run() is None
    assert recorder.runs[0].status == "active"
    assert list(stream) == ["b"]
    assert recorder.runs[0].status == "complete"


def test_a_failing_call_keeps_its_exception(recorder: RecordingSink) -> None:
    """Type and redacted message are recorded, and the same exception object comes out."""
    error = ValueError("no such order")

    @remit.span_type
    def failing() -> None:
        raise error

    with agent.run(), pytest.raises(ValueError, match="no such order") as caught:
        failing()
    assert caught.value is error
    assert error.__context__ is None
    (span,) = recorder.spans()
    assert span.status == "failed"
    recorded = (span.result or {})["error"]
    assert (recorded["type"], recorded["message"]) == ("ValueError", "no such order")


@each(
    ("target", "says"),
    [
        pytest.param(Service, "decorate a method instead", id="class"),
        pytest.param(
            property(None), "the result of @property, which has no function", id="write-only"
        ),
        pytest.param(7, "an object of type int", id="number"),
    ],
)
@each("decorator", [remit.span_type, remit.agent])
def test_what_cannot_be_decorated_is_a_clear_error(
    decorator: Anything, target: object, says: str
) -> None:
    """The error says what was seen and what to decorate instead."""
    with isolated(), pytest.raises(DeclarationError, match=says):
        decorator()(target)


def test_a_wrong_capture_names_the_function_and_the_parameters() -> None:
    """A mistake in `capture=` is said at the decoration."""
    with isolated(), pytest.raises(DeclarationError, match=r"capture has the key 'nmae'.*'name'"):

        @remit.span_type(capture={"nmae": True})
        def step(name: str) -> str:
            return name


def test_manual_spans_nest_and_are_filled_by_hand(recorder: RecordingSink) -> None:
    """`remit.span` records payload, result and failure under the current span."""
    with agent.run():
        with remit.span("plan", {"goal": "help"}) as span:
            assert remit.current_span() == span
            plain(1)
            span.set_result({"steps": 2})
        with remit.span("check") as check:
            check.fail("not good enough")

        async def in_async() -> None:
            async with remit.span("wait"):
                await coroutine(1)

        asyncio.run(in_async())
        with pytest.raises(LookupError), remit.span("lookup"):
            raise LookupError("gone")
    plan, step, check_span, wait, inner, lookup = recorder.spans()
    assert (plan.payload, plan.result, plan.status) == ({"goal": "help"}, {"steps": 2}, "complete")
    assert step.parent == plan.key
    assert check_span.status == "failed"
    assert (check_span.result or {})["error"]["message"] == "not good enough"
    assert inner.parent == wait.key
    assert lookup.status == "failed"
    assert span.name == "plan"
    assert span.run is not None
    assert hash(span) == hash(span)


def test_a_result_set_by_hand_may_be_an_error(recorder: RecordingSink) -> None:
    """It is recorded as the error of a call, and does not fail the span."""
    error: Any = ValueError("nothing there")
    with agent.run(), remit.span("look") as span:
        span.set_result(error)
    (recorded,) = recorder.spans("look")
    assert recorded.status == "complete"
    assert recorded.result == {"error": {"type": "ValueError", "message": "nothing there"}}


def test_a_failed_block_keeps_its_result_and_its_error(recorder: RecordingSink) -> None:
    """In whatever order the two are set, and also if the block raises."""
    with agent.run():
        with remit.span("result first") as span:
            span.set_result({"found": 1})
            span.fail("no")
        with remit.span("failure first") as span:
            span.fail("yes")
            span.fail("no")
            span.set_result({"found": 0})
            span.set_result({"found": 1})
        with suppress(LookupError), remit.span("raises") as span:
            span.set_result({"found": 1})
            raise LookupError("no")
    for recorded, kind in zip(recorder.spans(), ("failed", "failed", "LookupError"), strict=True):
        assert recorded.status == "failed"
        result = recorded.result or {}
        failure = (result["error"]["type"], result["error"]["message"])
        assert (result["found"], failure) == (1, (kind, "no"))


def test_a_block_outside_any_run_is_said_once(
    recorder: RecordingSink, caplog: pytest.LogCaptureFixture
) -> None:
    """`remit.span` outside a run yields a handle all the same, and records nothing."""
    for _ in range(2):
        with remit.span("lonely") as span:
            span.set_result({"a": 1})
            assert span.run is None
            assert len(span.key) == 26
    assert recorder.runs == []
    assert len(caplog.records) == 1
    assert "lonely was called outside any run at" in caplog.text
    assert "test_calls.py" in caplog.text


@pytest.mark.usefixtures("recorder")
def test_each_step_outside_any_run_is_said_of_once(caplog: pytest.LogCaptureFixture) -> None:
    """One that was said of hides no other; of names without end a thousand are."""
    for name in [*"abab", *map(str, range(1_100))]:
        with remit.span(name):
            pass
    assert [each.getMessage()[:2] for each in caplog.records[:3]] == ["a ", "b ", "0 "]
    assert len(caplog.records) == 1_000


def test_mode_off_records_nothing_and_says_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """Decorated code runs as if bare; runs still have keys."""
    with setup.isolated(Settings(mode="off")) as runtime:
        with agent.run() as run:
            assert plain(1) == {"a": 1, "b": "x"}
            assert len(run.key) == 26
        plain(1)
        assert runtime.status().mode == "off"
    assert [record for record in caplog.records if record.levelno > logging.INFO] == []
