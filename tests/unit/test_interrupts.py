"""Exceptions that interrupt and do not fail, runs that are left open, and how they go on."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import pytest

import remit
from remit._record.blocks import Run
from remit._record.items import Item, ItemKind
from remit._runtime import setup
from remit.config import Settings
from remit.testing import FakeClock, RecordingSink, isolated
from tests.desk import agent
from tests.subtests import each

pytestmark = pytest.mark.python

INSTANCE = "01m87w83jttgb1tsy0aqwcmb8r9zyn2d"


class Interrupt(Exception):  # noqa: N818 - named as frameworks name theirs
    """A graph waits for somebody."""


class Question(Interrupt):
    """A special wait."""


def told() -> AbstractContextManager[RecordingSink]:
    """Record into memory, told which exceptions are interrupts."""
    return isolated(clock=FakeClock(), control_flow=(Interrupt,))


@pytest.fixture
def recorder() -> Iterator[RecordingSink]:
    """Record with the interrupts known."""
    with told() as sink:
        yield sink


@remit.span_type
def ask(error: BaseException) -> None:
    """Interrupt."""
    raise error


@remit.span_type
async def ask_later(error: BaseException) -> None:
    """Interrupt."""
    raise error


@remit.span_type
def ask_in_parts(error: BaseException) -> Iterator[int]:
    """Interrupt."""
    yield 1
    raise error


@remit.span_type
async def ask_in_parts_later(error: BaseException) -> AsyncIterator[int]:
    """Interrupt."""
    yield 1
    raise error


@remit.agent
def asking_agent(error: BaseException) -> None:
    """Interrupt, inside another agent's run."""
    ask(error)


def ask_by_hand(error: BaseException) -> None:
    """Interrupt in a block."""
    with remit.span("by hand"):
        raise error


async def drain(error: BaseException) -> None:
    """Step the async generator until it interrupts."""
    async for _ in ask_in_parts_later(error):
        pass


async def in_a_group(error: BaseException) -> None:
    """Interrupt two tasks of a group, which wraps what they raise."""
    async with asyncio.TaskGroup() as group:
        for _ in range(2):
            group.create_task(ask_later(error))


KINDS: dict[str, Callable[[BaseException], object]] = {
    "function": ask,
    "coroutine": lambda error: asyncio.run(ask_later(error)),
    "generator": lambda error: list(ask_in_parts(error)),
    "async generator": lambda error: asyncio.run(drain(error)),
    "agent": asking_agent,
    "block": ask_by_hand,
    "task group": lambda error: asyncio.run(in_a_group(error)),
}


@each("error", [Interrupt(), Question()], ids=["the type", "a subclass"])
@each("kind", list(KINDS), recorder=told)
def test_an_interrupt_cancels_the_spans_and_leaves_the_run_open(
    kind: str, error: BaseException, recorder: RecordingSink
) -> None:
    """Nothing has failed: somebody will answer, and the run goes on."""
    with pytest.raises((Interrupt, ExceptionGroup)), agent.run() as run:
        KINDS[kind](error)
    assert {span.status for span in recorder.spans()} == {"cancelled"}
    assert {span.result is None or "error" not in span.result for span in recorder.spans()} == {
        True
    }
    (recorded,) = recorder.runs
    assert recorded.status == "open"
    assert (recorded.root.status, recorded.root.result) == ("active", None)
    assert run.status == "active"


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(ValueError("no"), id="another exception"),
        pytest.param(ExceptionGroup("", [Interrupt(), ValueError("no")]), id="a group of both"),
    ],
)
def test_what_is_no_interrupt_fails(error: BaseException, recorder: RecordingSink) -> None:
    """Also when interrupts stand beside it."""
    with pytest.raises(type(error)), agent.run():
        ask(error)
    assert [span.status for span in recorder.spans()] == ["failed"]
    assert recorder.runs[0].status == "failed"


def test_a_group_of_cancellations_is_cancelled(recorder: RecordingSink) -> None:
    """As each of them is."""
    error = BaseExceptionGroup("", [asyncio.CancelledError(), Interrupt()])
    with pytest.raises(BaseExceptionGroup), agent.run():
        ask(error)
    assert [span.status for span in recorder.spans()] == ["cancelled"]
    assert recorder.runs[0].status == "cancelled"


def test_an_interrupt_that_is_handled_inside_the_block_leaves_nothing_open(
    recorder: RecordingSink,
) -> None:
    """The span was interrupted; the run found another way."""
    with agent.run(), pytest.raises(Interrupt):
        ask(Interrupt())
    assert recorder.spans()[0].status == "cancelled"
    assert recorder.runs[0].status == "complete"


def test_a_run_left_open_is_not_finished(recorder: RecordingSink) -> None:
    """Instance and root stay active; neither is complete."""
    with agent.run() as run:
        run.leave_open()
        agent()
    (recorded,) = recorder.runs
    assert recorded.status == "open"
    assert recorded.root.status == "active"
    assert run.status == "active"
    assert [span.status for span in recorder.spans()] == ["complete"]


@each(
    ("said", "status"),
    [
        (("fail", "leave_open"), "open"),
        (("leave_open", "fail"), "failed"),
        (("leave_open", "cancel"), "cancelled"),
        (("cancel", "fail"), "failed"),
    ],
    ids=lambda said: " then ".join(said) if isinstance(said, tuple) else said,
)
@each("error", [None, Interrupt(), ValueError()], ids=["end", "wait", "failure"], recorder=told)
def test_what_is_said_last_of_a_run_counts_however_its_block_ends(
    error: Exception | None, said: tuple[str, ...], status: str, recorder: RecordingSink
) -> None:
    """The program knows better than the exception."""
    words: dict[str, Callable[[Run], None]] = {
        "fail": lambda run: run.fail("no"),
        "cancel": lambda run: run.cancel(),
        "leave_open": lambda run: run.leave_open(),
    }
    try:
        with agent.run() as run:
            for word in said:
                words[word](run)
            if error is not None:
                raise error
    except (Interrupt, ValueError):
        pass
    assert recorder.runs[0].status == status


def test_a_resumed_run_goes_on_under_the_same_root(recorder: RecordingSink) -> None:
    """No second root begins; what the new block was opened with is there to assert on."""
    with agent.run(resume=INSTANCE, subject="customer 7") as run:
        assert run.id == INSTANCE
        agent()
    (recorded,) = recorder.runs
    assert recorded.feed.resumed
    assert recorded.root.payload["subject"] == "customer 7"
    assert recorded.root.status == recorded.status == "complete"
    assert recorder.spans()[0].parent == recorded.root.key


TRACE = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}


@pytest.mark.parametrize("given", [{"subject": "Ada"}, {"labels": ["a"]}, TRACE])
def test_a_resumed_run_says_that_its_subject_and_labels_stay(
    recorder: RecordingSink, caplog: pytest.LogCaptureFixture, given: dict[str, Any]
) -> None:
    """Once for each agent; a server keeps what the run was begun with."""
    for _ in range(2):
        with agent.run(resume=INSTANCE, **given):
            pass
    with agent.run(resume=INSTANCE), agent.run(**given):
        pass
    warned = [each.getMessage() for each in caplog.records if each.levelname == "WARNING"]
    assert ["run(resume=...) got arguments of a new run" in each for each in warned] == [True]
    assert len(recorder.runs) == 4


def test_a_failure_that_is_left_open_is_said_to_be_lost(
    recorder: RecordingSink, caplog: pytest.LogCaptureFixture
) -> None:
    """The last word counts."""
    with agent.run() as run:
        run.leave_open()
        run.cancel()
        run.leave_open()
    assert "leave_open() came after" not in caplog.text
    with agent.run() as run:
        run.fail("bad")
        run.leave_open()
    assert "leave_open() was called after fail()" in caplog.text
    assert [each.status for each in recorder.runs] == ["open", "open"]


def test_a_resumed_run_may_be_left_open_again(recorder: RecordingSink) -> None:
    """As often as somebody has to be asked."""
    for _ in range(2):
        with pytest.raises(Interrupt), agent.run(resume=INSTANCE):
            ask(Interrupt())
    assert [run.status for run in recorder.runs] == ["open", "open"]


class Items(RecordingSink):
    """A sink that also keeps the items themselves."""

    def __init__(self) -> None:
        """Start empty."""
        super().__init__()
        self.items: list[Item] = []

    def put(self, item: Item) -> None:
        """Keep an item."""
        self.items.append(item)
        super().put(item)


@pytest.mark.parametrize("options", [{}, {"resume": INSTANCE}], ids=["new", "resumed"])
def test_the_end_of_a_root_carries_its_beginning(options: dict[str, str]) -> None:
    """A server that does not have the span gets it whole."""
    sink = Items()
    with setup.isolated(Settings(), sink=sink), agent.run(**{"subject": "Ada", **options}):
        pass
    (finish,) = [item for item in sink.items if item.kind == ItemKind.FINISH]
    assert json.loads(finish.payload or b"")["subject"] == "Ada"


def test_a_run_that_waits_is_left_open_when_the_process_ends() -> None:
    """It is no run that the process failed to finish, also when its block has not ended yet."""
    sink = RecordingSink()
    with setup.isolated(Settings(), sink=sink) as runtime:
        with agent.run() as waiting, agent.run():
            waiting.leave_open()
            runtime.at_exit()
            assert [run.status for run in sink.runs] == ["open", "failed"]
        assert (sink.runs[1].root.result or {})["reason"] == "process ended"
