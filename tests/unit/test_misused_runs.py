"""Calls of `agent.run` that other frameworks would take; each error names the fix."""

from __future__ import annotations

import asyncio
import gc
import inspect
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from typing import Any, NamedTuple

import pytest
from pydantic import BaseModel, RootModel, SecretStr

import remit
from remit.config import Mode
from remit.errors import UsageError
from remit.testing import RecordingSink, isolated
from tests.inside import Run
from tests.subtests import each

FIX = r"with agent\.run\(\) as run:"


@remit.agent
def desk(question: str) -> str:
    """Answer."""
    return question


@pytest.fixture
def agent() -> Any:
    """Return the agent as a program without a type checker sees it."""
    return desk


def test_a_run_that_is_given_the_question_names_the_call_in_its_block(agent: Any) -> None:
    """`run` opens a block; the agent itself is called."""
    with pytest.raises(TypeError, match=rf"{FIX} agent\(\.\.\.\)"):
        agent.run("question")
    with pytest.raises(TypeError, match=FIX):
        agent.run("question", purpose="eval")


def test_a_run_that_is_awaited_names_the_block(agent: Any) -> None:
    """It is a block, not a coroutine."""

    async def main() -> None:
        await agent.run()

    with isolated(), pytest.raises(TypeError, match=r"async with agent\.run\(\) as run:"):
        asyncio.run(main())


PUBLIC = [name for name in dir(Run) if not name.startswith("_")]


@pytest.mark.parametrize("name", PUBLIC)
def test_what_a_run_has_is_named_as_the_runs_and_not_the_blocks(agent: Any, name: str) -> None:
    """`run = agent.run()` is the block."""
    with isolated(), agent.run() as run:
        block = agent.run()
        with pytest.raises(AttributeError, match=rf"{FIX} run\.{name}"):
            getattr(block, name)
        assert hasattr(run, name)
        with block:
            pass


def test_a_block_is_otherwise_an_ordinary_object(agent: Any) -> None:
    """Other names are not there, and a look at it changes nothing."""
    with isolated(), agent.run() as run:
        block = agent.run()
        assert not hasattr(block, "key")
        assert not hasattr(block, "nothing")
        with pytest.raises(AttributeError, match="'RunBlock' object has no attribute 'nothing'"):
            block.nothing  # noqa: B018 - the look
        assert not inspect.iscoroutine(block)
        with block as inner:
            assert inner.key != run.key


def unused(agent: Any) -> None:
    """Make a block as a statement."""
    agent.run()


def unused_kept(agent: Any) -> None:
    """Make a block that a cycle keeps."""
    cycle: list[object] = [agent.run()]
    cycle.append(cycle)


@pytest.mark.parametrize("forget", [unused, unused_kept])
def test_a_block_that_is_never_entered_is_logged_once(
    forget: Callable[[Any], None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It opened no run."""
    gc.collect()  # what other tests left
    caplog.clear()
    with isolated() as recorder:

        @remit.agent
        def till() -> None:
            """Serve a customer."""

        for _ in range(3):
            forget(till)
        gc.collect()
        assert recorder.runs == []
    (line,) = caplog.messages
    assert "a block of run() was never entered, so no run was opened" in line
    assert "till" in line
    assert "with agent.run() as run:" in line


def test_a_block_that_is_entered_is_not_logged(
    agent: Any,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """In each way to enter it, and around a call outside any run."""
    gc.collect()  # what other tests left
    caplog.clear()

    async def main() -> None:
        async with agent.run():
            agent("in async with")

    with isolated():
        with agent.run():
            pass
        with ExitStack() as stack:
            stack.enter_context(agent.run())
        asyncio.run(main())
        agent("alone")
        with pytest.raises(UsageError):
            agent.run(purpose="nonsense")
        gc.collect()
    assert caplog.messages == []


class Score(Enum):
    """A grade."""

    GOOD = 0.9


class Pair(NamedTuple):
    """Two numbers."""

    one: float
    other: float


class Review(BaseModel):
    """A judgement."""

    score: float


@dataclass
class Pace:
    """A speed."""

    seconds: float


@each(
    "value",
    [0.9, 5, "good", True, [0.9], (1,), {1}, b"x", Score.GOOD, Pair(1, 2), Decimal("0.9"),
     RootModel[float](0.9), SecretStr("x"), object(), Review],
    ids=repr,
)  # fmt: skip
@pytest.mark.parametrize("mode", ["auto", "off"])
def test_a_quality_that_is_no_mapping_and_no_model_is_an_error(value: object, mode: Mode) -> None:
    """Whether or not anything is recorded, so that a test finds it."""
    with isolated(mode=mode) as recorder, desk.run() as run:
        with pytest.raises(UsageError, match="expected a mapping or a model") as raised:
            run.record_quality("helpful", value)
        assert type(value).__name__ in str(raised.value)
    assert all(each.quality == {} for each in recorder.runs)


@each(
    "value",
    [{"score": 0.9}, Review(score=0.9), Pace(0.9), RootModel[dict[str, float]]({"score": 0.9})],
    ids=repr,
)
def test_a_quality_that_is_a_mapping_or_a_model_is_recorded(value: object) -> None:
    """By its fields."""
    with isolated() as recorder, desk.run() as run:
        run.record_quality("helpful", value)
    (payload,) = recorder.runs[0].quality["helpful"].values()
    assert payload == 0.9


def test_the_message_about_a_quality_quotes_no_key(recorder: RecordingSink) -> None:
    """Neither the value nor a name that holds one."""
    key = "sk-proj-9aB8cD7eF6gH5iJ4kL3m"
    with desk.run() as run, pytest.raises(UsageError) as raised:
        run.record_quality(key, key)
    assert key not in str(raised.value)
    assert recorder.runs[0].quality == {}
