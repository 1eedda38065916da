"""Agents that forbid moving money, for use in the run of another agent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Generator, Iterator
from contextlib import contextmanager
from typing import Any, Final, Self

import remit
from remit.config import Settings
from remit.testing import RecordingSink
from tests.governed import BODIES, PAYS
from tests.inside import Faults, counting, setup

FORBIDS: Final = remit.risk(forbids="financial_transactions")


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
def careful_returning(result: Any) -> Any:
    """Return what makes the step when it is run."""
    return result


async def later(step: Callable[[], object]) -> None:
    """Make a step."""
    step()


def in_parts(step: Callable[[], object]) -> Generator[int]:
    """Make a step."""
    step()
    yield 1


class Items:
    """An iterator that makes a step."""

    def __init__(self, step: Callable[[], object]) -> None:
        """Make the step at the first item."""
        self.steps = [step]

    def __iter__(self) -> Self:
        """Return this object."""
        return self

    def __next__(self) -> object:
        """Make the step."""
        if not self.steps:
            raise StopIteration
        return self.steps.pop()()


async def in_parts_later(step: Callable[[], object]) -> AsyncGenerator[int]:
    """Make a step."""
    step()
    yield 1


async def drain(stream: Any) -> None:
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
    def answer(step: Callable[[], object]) -> Any:
        return make(step)

    return answer


NESTED: Final[dict[str, Callable[[Callable[[], object]], object]]] = {
    "function": careful,
    "block": careful_block,
    "coroutine": lambda step: asyncio.run(careful_later(step)),
    "coroutine that waits": lambda step: asyncio.run(careful_later(step, 2)),
    "generator": lambda step: list(careful_in_parts(step)),
    "async generator": lambda step: asyncio.run(drain(careful_in_parts_later(step))),
    "returned coroutine": lambda step: asyncio.run(returned(later)(step)),
    "returned generator": lambda step: list(returned(in_parts)(step)),
    "returned async generator": lambda step: asyncio.run(drain(returned(in_parts_later)(step))),
    "returned iterator": lambda step: list(returned(Items)(step)),
}
"""Calls of an agent that forbids what the step does, for use in the run of another agent."""


def new_payment() -> Callable[[], None]:
    """Return a step that moves money, of which nothing is known yet."""

    @remit.span_type("pays anew", data_risk=PAYS)
    def pay_anew() -> None:
        BODIES.append("anew")

    return pay_anew


@contextmanager
def recording(on_violation: str, mode: str = "auto") -> Iterator[RecordingSink]:
    """Record into memory, with faults contained as in production; in mode `off` record nothing."""
    BODIES.clear()
    sink = RecordingSink()
    settings = Settings.model_validate({"on_violation": on_violation, "mode": mode})
    with (
        setup.isolated(settings, sink=None if mode == "off" else sink),
        counting(Faults()),
    ):
        yield sink
