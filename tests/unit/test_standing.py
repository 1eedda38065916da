"""Blocks that the user's code holds open over a step: current in its next one, and nowhere else."""

from __future__ import annotations

import asyncio
import types
from collections.abc import AsyncGenerator, Callable, Generator, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from typing import Any

import pytest

import remit
from remit.errors import DeniedError
from remit.testing import RecordingSink, isolated
from tests.subtests import each

pytestmark = pytest.mark.python

DESTROYS = remit.risk(allows="destroy_data")
HARMLESS = remit.risk(forbids="destroy_data")


@remit.agent("standing strict", data_risk=HARMLESS)
def strict(act: Callable[[], Any]) -> object:
    """Do something by a narrow remit."""
    return act()


@remit.agent("standing lax")
def lax(act: Callable[[], Any]) -> object:
    """Do something by no remit."""
    return act()


@remit.span_type("standing wipe", data_risk=DESTROYS)
def wipe() -> None:
    """Stand for a step that exceeds the narrow remit."""
    wiped.append(1)


@remit.span_type("standing step", data_risk=HARMLESS)
def step() -> None:
    """Be recorded."""


wiped: list[int] = []


@pytest.fixture(autouse=True)
def _nothing_wiped() -> None:
    wiped.clear()


def parents(recorder: RecordingSink) -> dict[str, list[str | None]]:
    """Return, for each name, the names of its spans' parents in the order of their starts."""
    spans = recorder.spans()
    names = {span.key: span.name for span in spans}
    found: dict[str, list[str | None]] = {}
    for span in spans:
        found.setdefault(span.name, []).append(names.get(span.parent or ""))
    return found


def test_agents_that_are_awaited_one_after_the_other_have_a_run_each() -> None:
    """Whatever the first one awaited in a block of its own."""

    @remit.agent("First")
    async def first() -> None:
        async with remit.span("think"):
            await asyncio.sleep(0)

    @remit.agent("Second")
    async def second() -> None:
        step()

    async def work() -> None:
        await first()
        assert remit.current_run() is None
        await second()

    with isolated() as recorder:
        asyncio.run(work())
    assert len(recorder.runs) == 2
    (taken,) = recorder.spans("standing step")
    assert recorder.runs[1].key == taken.run_key


def test_a_run_held_open_over_an_await_is_the_run_of_what_follows() -> None:
    """Its ceiling too."""

    @remit.span_type
    async def gateway() -> None:
        async with strict.run():
            step()
            await asyncio.sleep(0)
            step()
            with pytest.raises(DeniedError):
                wipe()

    async def work() -> None:
        async with lax.run():
            await gateway()
            wipe()

    with isolated(on_violation="deny") as recorder:
        asyncio.run(work())
    of_lax, of_strict = recorder.runs
    assert {span.run_key for span in recorder.spans("standing step")} == {of_strict.key}
    assert [span.run_key for span in recorder.spans("standing wipe")] == [of_strict.key, of_lax.key]
    assert wiped == [1]


def test_a_block_held_open_over_a_yield_is_not_the_consumers() -> None:
    """It is the generator's again in its next step, and its ceiling holds there."""

    @remit.span_type("stream")
    def stream() -> Generator[int]:
        with remit.span("section"):
            yield 1
            step()
        with strict.run():
            yield 2
            with pytest.raises(DeniedError):
                wipe()

    with isolated(on_violation="deny") as recorder, lax.run():
        before = remit.current_span()
        for _ in stream():
            assert remit.current_span() == before
            step()
        assert remit.current_span() == before
    assert parents(recorder)["standing step"] == [None, "section", None]
    assert wiped == []


def test_a_block_that_an_iterator_holds_open_is_not_the_consumers() -> None:
    """As little as a generator's."""

    class Lines(Iterator[int]):
        def __next__(self) -> int:
            self.block = remit.span("line")
            self.block.__enter__()
            return 1

    @remit.span_type
    def lines() -> Iterator[int]:
        return Lines()

    with isolated(), lax.run():
        before = remit.current_span()
        next(lines())
        assert remit.current_span() == before


@remit.span_type("standing above")
@contextmanager
def above() -> Generator[None]:
    """Open a run for the body."""
    with lax.run():
        yield


class _Manager(AbstractContextManager[None]):
    def __enter__(self) -> None:
        self.block = lax.run()
        self.block.__enter__()

    def __exit__(self, *exc_info: object) -> None:
        self.block.__exit__(None, None, None)


@remit.span_type("standing made")
def made() -> AbstractContextManager[None]:
    """Return an object that opens a run for the body."""
    return _Manager()


@each("manager", [above, made])
def test_the_body_of_a_block_stands_where_its_manager_left_off(
    manager: Callable[[], AbstractContextManager[None]],
) -> None:
    """As with the bare one; after it, all is as before."""
    with isolated() as recorder, strict.run() as outer:
        before = remit.current_span()
        with manager():
            step()
        assert remit.current_span() == before
    of_strict, of_lax = recorder.runs
    assert of_strict.key == outer.key
    assert [span.run_key for span in recorder.spans("standing step")] == [of_lax.key]


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_spans_in_the_body_of_a_block_that_a_step_manages_are_its_siblings(kind: str) -> None:
    """The step lasts as long as the block."""

    @contextmanager
    @remit.span_type("session")
    def session() -> Generator[None]:
        yield

    @asynccontextmanager
    @remit.span_type("session later")
    async def session_later() -> AsyncGenerator[None]:
        await asyncio.sleep(0)
        yield

    async def work() -> None:
        async with session_later():
            step()

    with isolated() as recorder, lax.run():
        if kind == "sync":
            with session():
                step()
        else:
            asyncio.run(work())
    assert [span.parent for span in recorder.spans()] == [recorder.runs[0].root.key] * 2
    first, second = recorder.spans()
    assert (first.finished_ns or 0) >= (second.finished_ns or 0)


def test_what_a_coroutine_leaves_open_stays_current_as_a_functions_does() -> None:
    """For a helper that opens a run for its caller."""

    @remit.span_type
    async def opens() -> object:
        block = lax.run()
        await block.__aenter__()
        await asyncio.sleep(0)
        return block

    async def work() -> None:
        async with strict.run() as outer:
            await opens()
            current = remit.current_run()
            assert current is not None
            assert current.key != outer.key

    with isolated():
        asyncio.run(work())


def test_a_generator_that_is_handed_in_runs_by_the_remit_of_whoever_steps_it() -> None:
    """It was called outside any run, where nothing binds it."""

    @remit.span_type("purge", data_risk=DESTROYS)
    def purge() -> Generator[int]:
        wiped.append(1)
        yield 1

    with isolated(on_violation="deny") as recorder:
        jobs = purge()
        with pytest.raises(DeniedError):
            strict(lambda: list(jobs))
        others = purge()
        assert lax(lambda: list(others)) == [1]
        with pytest.raises(DeniedError, match="outside any run"):
            list(purge())
    assert wiped == [1]
    assert [span.status for span in recorder.spans("purge")] == ["failed", "complete"]


def test_a_coroutine_that_is_written_as_a_generator_is_awaited() -> None:
    """Its span holds what it returned."""

    @remit.span_type("old")
    @types.coroutine
    def old() -> Generator[Any, Any, int]:
        yield from asyncio.sleep(0).__await__()
        step()
        return 3

    async def work() -> None:
        async with lax.run():
            assert await old() == 3

    with isolated() as recorder:
        asyncio.run(work())
    assert [span.result for span in recorder.spans("old")] == [{"result": 3}]
    assert parents(recorder)["standing step"] == ["old"]
