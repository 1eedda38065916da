"""The remit of an agent that another one calls holds, whether or not its span is recorded."""

from __future__ import annotations

import asyncio
import inspect
import sys
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

import remit
from remit._base import guard
from remit._runtime import setup
from remit.config import Settings, variables
from remit.errors import DeniedError, RunTerminated
from remit.testing import RecordingSink
from tests.governed import BODIES, free, pay
from tests.subtests import each
from tests.unconfigured import unconfigured

FORBIDS = remit.risk(forbids="financial_transactions")


@remit.agent(data_risk=FORBIDS)
def careful(step: Callable[[], object]) -> None:
    """Make a step."""
    step()


@remit.agent(data_risk=FORBIDS)
async def careful_later(step: Callable[[], object], waits: int = 0) -> None:
    """Make a step, at once or after waiting."""
    for _ in range(waits):
        await asyncio.sleep(0)
    step()


@remit.agent(data_risk=FORBIDS)
def careful_in_parts(step: Callable[[], object]) -> Generator[int]:
    """Make a step, between two items."""
    yield 1
    step()
    yield 2


@remit.agent(data_risk=FORBIDS)
async def careful_in_parts_later(step: Callable[[], object]) -> AsyncGenerator[int]:
    """Make a step, between two items."""
    yield 1
    step()
    yield 2


@remit.agent(data_risk=FORBIDS)
def careful_returning(result: Any) -> Any:  # noqa: ANN401 - of any kind
    """Return what makes the step when it is run."""
    return result


async def later(step: Callable[[], object]) -> None:
    """Make a step."""
    step()


def in_parts(step: Callable[[], object]) -> Generator[int]:
    """Make a step."""
    step()
    yield 1


async def in_parts_later(step: Callable[[], object]) -> AsyncGenerator[int]:
    """Make a step."""
    step()
    yield 1


async def drain(stream: Any) -> None:  # noqa: ANN401 - an async iterator
    """Step it to its end."""
    async for _ in stream:
        pass


def careful_block(step: Callable[[], object]) -> None:
    """Make a step in a block beneath the agent."""

    def inner() -> None:
        with remit.span("plan"):
            step()

    careful(inner)


def returned(make: Callable[[Callable[[], object]], Any]) -> Callable[[Callable[[], object]], Any]:
    """Return what an agent returns that makes its step later."""

    @remit.agent(data_risk=FORBIDS)
    def answer(step: Callable[[], object]) -> Any:  # noqa: ANN401 - of any kind
        return make(step)

    return answer


def run_coroutine(coroutine: Coroutine[Any, Any, Any]) -> None:
    """Run a coroutine."""
    asyncio.run(coroutine)


NESTED: dict[str, Callable[[Callable[[], object]], object]] = {
    "function": careful,
    "block": careful_block,
    "coroutine": lambda step: asyncio.run(careful_later(step)),
    "coroutine that waits": lambda step: asyncio.run(careful_later(step, 2)),
    "generator": lambda step: list(careful_in_parts(step)),
    "async generator": lambda step: asyncio.run(drain(careful_in_parts_later(step))),
    "returned coroutine": lambda step: asyncio.run(returned(later)(step)),
    "returned generator": lambda step: list(returned(in_parts)(step)),
    "returned async generator": lambda step: asyncio.run(drain(returned(in_parts_later)(step))),
    "returned iterator": lambda step: list(returned(lambda s: map(lambda _: s(), [1]))(step)),
}
"""Calls of an agent that forbids what the step does, for use in the run of another agent."""

kinds = each("kind", list(NESTED))


@contextmanager
def fresh(environment: dict[str, str]) -> Iterator[None]:
    """Play a process with this environment that has configured nothing."""
    BODIES.clear()
    with pytest.MonkeyPatch.context() as patch, unconfigured():
        for name in Settings.model_fields:
            for variable in variables(name):
                patch.delenv(variable, raising=False)
        for name, value in environment.items():
            patch.setenv(name, value)
        yield


@kinds
@pytest.mark.parametrize("on_violation", ["deny", "terminate"])
@pytest.mark.parametrize(
    "others",
    [
        {"REMIT_MODE": "off"},
        {"REMIT_POLL_INTERVAL_S": "abc"},
        {"REMIT_MODE": "remote"},
        {"REMIT_REDACT": "nope:f"},
        {"REMIT_API_URL": "ftp://x"},
    ],
    ids=lambda others: "-".join(*others.items()),
)
def test_the_remit_of_a_nested_agent_holds_where_nothing_is_recorded(
    kind: str, on_violation: str, others: dict[str, str]
) -> None:
    """In mode `off`, and beside a wrong setting, which turns recording off."""
    with fresh({"REMIT_ON_VIOLATION": on_violation, **others}):
        with pytest.raises((DeniedError, RunTerminated)), free.run():
            NESTED[kind](pay)
        assert remit.status().mode == "off"
        assert BODIES == []
        with free.run():  # the remit ends with the call of the agent
            pay()
    assert BODIES == ["function 5"]


@kinds
def test_an_unreadable_policy_holds_for_a_nested_agent(kind: str) -> None:
    """It counts as `deny`."""
    with fresh({"REMIT_ON_VIOLATION": "nonsense"}):
        with free.run(), pytest.raises(DeniedError):
            NESTED[kind](pay)
    assert BODIES == []


@contextmanager
def recording(on_violation: str) -> Iterator[RecordingSink]:
    """Record into memory, with faults contained as in production."""
    BODIES.clear()
    sink = RecordingSink()
    settings = Settings.model_validate({"on_violation": on_violation})
    with setup.isolated(settings, sink=sink), guard.counting(guard.Faults()):
        yield sink


@pytest.mark.parametrize("on_violation", ["deny", "terminate"])
@kinds
def test_a_fault_of_recording_does_not_lift_the_remit_of_a_nested_agent(
    kind: str, on_violation: str
) -> None:
    """The span of the agent is lost, its ceiling is not."""

    def failing(*_: object) -> None:
        raise OSError

    with (
        recording(on_violation) as sink,
        pytest.raises((DeniedError, RunTerminated)),
        free.run(),
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr("remit._record.spans.SpanRecorder.open", failing)
        NESTED[kind](pay)
    assert BODIES == []
    assert sink.spans() == []


@each("kind", list(NESTED))
def test_a_nested_agent_runs_where_violations_are_observed(kind: str) -> None:
    """In mode `off`, too."""
    with fresh({"REMIT_MODE": "off"}), free.run():
        NESTED[kind](pay)
    assert BODIES == ["function 5"]


@kinds
def test_the_remit_of_a_nested_agent_holds_near_the_recursion_limit(kind: str) -> None:
    """At no depth does a fault at the start of the agent's span let the step run."""
    limit = sys.getrecursionlimit()

    def descend() -> None:
        try:
            NESTED[kind](pay)
        except (DeniedError, RecursionError):
            pass
        descend()

    with recording("deny"), free.run(), pytest.MonkeyPatch.context() as patch:
        # The finalizer of a generator that could not begin reaches the limit, too.
        patch.setattr(sys, "unraisablehook", lambda _: None)
        sys.setrecursionlimit(len(inspect.stack(0)) + 100)
        try:
            with pytest.raises(RecursionError):
                descend()
        finally:
            sys.setrecursionlimit(limit)
    assert BODIES == []
