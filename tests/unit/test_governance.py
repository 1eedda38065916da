"""The agent's remit and its termination: what they do to calls of every kind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator

import pytest

import remit
from remit.errors import DeniedError, RunTerminated
from remit.testing import isolated

BODIES: list[str] = []


@pytest.fixture(autouse=True)
def _no_bodies() -> None:
    """Forget which bodies ran."""
    BODIES.clear()


@remit.agent(data_risk=remit.risk(forbids="financial_transactions", excludes="minors_data"))
def agent() -> None:
    """Hold the runs; it may not move money."""


@remit.agent
def outer() -> None:
    """Call the agent inside another one's run."""
    pay()


PAYS = remit.risk(allows="financial_transactions")


@remit.span_type(data_risk=PAYS)
def pay() -> None:
    """Move money."""
    BODIES.append("function")


@remit.span_type(data_risk=PAYS)
async def pay_later() -> None:
    """Move money."""
    BODIES.append("coroutine")


@remit.span_type(data_risk=PAYS)
def pay_in_parts() -> Iterator[int]:
    """Move money."""
    BODIES.append("generator")
    yield 1


@remit.span_type(data_risk=PAYS)
async def pay_in_parts_later() -> AsyncIterator[int]:
    """Move money."""
    BODIES.append("async generator")
    yield 1


@remit.span_type
def undeclared() -> None:
    """Say nothing of money."""
    BODIES.append("undeclared")


def block() -> None:
    """Move money by hand."""
    with remit.span("by hand", data_risk=PAYS):
        BODIES.append("block")


async def _drain() -> None:
    async for _ in pay_in_parts_later():
        pass


KINDS: dict[str, Callable[[], object]] = {
    "function": pay,
    "coroutine": lambda: asyncio.run(pay_later()),
    "generator": lambda: list(pay_in_parts()),
    "async generator": lambda: asyncio.run(_drain()),
    "block": block,
}


@pytest.mark.parametrize("kind", list(KINDS))
def test_a_denied_step_never_runs_and_is_refused_each_time(kind: str) -> None:
    """A framework that swallows the exception is refused again at the next try."""
    with isolated(on_violation="deny") as recorder:
        with agent.run():
            for _ in range(2):
                with pytest.raises(DeniedError, match="financial_transactions"):
                    KINDS[kind]()
        assert BODIES == []
        spans = recorder.spans()
        assert [span.status for span in spans] == ["failed", "failed"]
        assert (spans[0].result or {})["error"]["type"] == "remit.errors.DeniedError"
        assert recorder.runs[0].status == "complete"


@pytest.mark.parametrize("kind", list(KINDS))
def test_observe_lets_the_step_run_and_says_so_once(
    kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The default only tells."""
    with isolated() as recorder:
        with agent.run():
            for _ in range(3):
                KINDS[kind]()
        assert [kind] * 3 == BODIES
        assert len(recorder.spans()) == 3
    if kind != "block":  # each block is a declaration of its own
        assert caplog.text.count("exceeds its agent's remit") <= 1


def test_terminate_ends_the_run(caplog: pytest.LogCaptureFixture) -> None:
    """After the violation every later step of the run is refused."""
    with isolated(on_violation="terminate") as recorder:
        with agent.run() as run:
            for step in (pay, undeclared, undeclared):
                with pytest.raises(RunTerminated):
                    step()
            assert run.terminated
        assert BODIES == []
        assert run.status == "terminated"
        assert (recorder.runs[0].root.result or {})["status"] == "terminated"
        assert recorder.runs[0].status == "failed"
    assert "financial_transactions" in caplog.text


def test_a_run_terminated_from_outside_stops_at_the_next_start_or_step() -> None:
    """Each later start raises again, also when the first was swallowed; cleanup code runs."""
    finished: list[str] = []

    with isolated() as recorder:

        @remit.span_type
        def stream() -> Iterator[int]:
            try:
                yield 1
                yield 2
            finally:
                finished.append("cleanup")

        with agent.run():
            items = stream()
            assert next(items) == 1
            recorder.runs[0].feed.terminated = "by an operator"
            with pytest.raises(RunTerminated, match="by an operator"):
                next(items)
            for _ in range(2):
                with pytest.raises(RunTerminated, match="by an operator"):
                    undeclared()
        assert finished == ["cleanup"]
        assert BODIES == []
        assert recorder.spans("stream")[0].status == "cancelled"


def test_all_ceilings_hold_for_a_nested_agent() -> None:
    """An agent called inside another's run may do only what both allow."""
    with isolated(on_violation="deny"):
        with agent.run(), pytest.raises(DeniedError, match=":agent: "):
            outer()
        outer()
    assert BODIES == ["function"]


def test_what_nobody_declared_passes() -> None:
    """A step without a word about money is denied only where the agent forbids that word."""
    with isolated(on_violation="deny"):
        with agent.run(), pytest.raises(DeniedError):
            undeclared()
        with outer.run():
            undeclared()
    assert BODIES == ["undeclared"]
