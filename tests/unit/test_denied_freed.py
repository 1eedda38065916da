"""A denied step leaves nothing to the garbage collector."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import remit
from remit._policy.holds import Hold
from remit._runtime import process
from remit.errors import DeniedError, RunTerminated
from remit.testing import isolated
from tests.governed import BODIES, KINDS, TILL, agent, async_block, drain, pay, pay_later
from tests.subtests import each

SYNC = [
    "function", "generator", "method", "class method", "property", "callable object",
    "single dispatch", "returned iterator", "context manager", "block",
]  # fmt: skip
LATE = [pay_later, drain, async_block, TILL.pay_later]
TIMES = 20


@remit.agent(data_risk=remit.risk(asks="financial_transactions"))
def desk() -> None:
    """Ask about payments."""


@remit.agent(limits=remit.limits(financial_transactions=1))
def shop() -> None:
    """Pay once."""


def refuse(_request: remit.ApprovalRequest) -> remit.Refused:
    """Refuse, as a person."""
    return remit.Refused(by="dana")


@pytest.fixture(autouse=True)
def _no_bodies() -> Iterator[None]:
    """Forget which bodies ran."""
    yield
    BODIES.clear()


def left_by(step: Callable[[], object]) -> float:
    """Return how many objects each denied call of *step* leaves in cycles."""

    async def called() -> None:
        step()

    return asyncio.run(left_by_late(called))


async def left_by_late(step: Callable[[], Any]) -> float:
    """Return how many objects each denied call of an async *step* leaves in cycles."""

    async def tried() -> int:
        number = 0
        for _ in range(TIMES):
            try:
                await step()
            except (DeniedError, RunTerminated):
                number += 1
        return number

    assert await tried() == TIMES
    gc.collect()
    gc.disable()
    try:
        assert await tried() == TIMES
        return gc.collect() / TIMES
    finally:
        gc.enable()


@each("kind", SYNC)
def test_a_denied_step_is_freed_at_once(kind: str) -> None:
    """Error, traceback and frames are in no cycle."""
    with isolated(on_violation="deny"), agent.run():
        assert left_by(KINDS[kind]) < 1
    with isolated(on_violation="deny", outside_run="deny"):
        assert left_by(KINDS[kind]) < 1


@each("step", LATE, ids=str)
def test_a_denied_async_step_is_freed_at_once(step: Callable[[], Any]) -> None:
    """The same for what is awaited."""
    with isolated(on_violation="deny"), agent.run():
        assert asyncio.run(left_by_late(step)) < 1
    with isolated(on_violation="deny", approver=refuse), desk.run():
        assert asyncio.run(left_by_late(step)) < 1


def test_what_is_denied_for_another_reason_is_freed_at_once() -> None:
    """A limit, a hold, a person, and a terminated run."""
    with isolated(on_violation="deny"), shop.run():
        pay()
        assert left_by(pay) < 1
    held = Hold(
        "1", ("financial_transactions",), frozenset(), declared_only=False, reason="", held_by=""
    )
    with isolated():
        process.current().hold([held])
        with desk.run():
            assert left_by(pay) < 1
        assert left_by(pay) < 1
    with isolated(on_violation="deny", approver=refuse), desk.run():
        assert left_by(pay) < 1
    with isolated(on_violation="terminate"), agent.run() as run, run.contained():
        assert left_by(pay) < 1
