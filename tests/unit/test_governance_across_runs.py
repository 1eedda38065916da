"""What holds where a stream, a run or a function of one run is used inside another one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import suppress
from typing import Any, TypeAlias

import pytest

import remit
from remit._record.blocks import Run
from remit.errors import DeniedError, RunTerminated
from remit.testing import isolated
from tests.governed import BODIES, PAYS, agent, free, pay, pay_later, paying_agent, undeclared
from tests.nesting import careful, recording
from tests.subtests import each

Stream: TypeAlias = Generator[int] | AsyncGenerator[int]
PAYS_NOT = remit.risk(forbids="financial_transactions", excludes="minors_data")
ID = "01m88cc4qgd20z7j4v56eaavhx2qccjt"


@pytest.fixture(autouse=True)
def _nothing_ran() -> None:
    """Forget what ran."""
    BODIES.clear()


@remit.span_type(data_risk=PAYS)
def paying_itself() -> Generator[int]:
    """Move money in the second step."""
    yield 0
    BODIES.append("itself")
    yield 1


@remit.span_type(data_risk=PAYS)
async def paying_itself_later() -> AsyncGenerator[int]:
    """Move money in the second step."""
    yield 0
    BODIES.append("itself")
    yield 1


@remit.span_type(data_risk=PAYS_NOT)
def paying() -> Generator[int]:
    """Call a step that moves money."""
    yield 0
    pay()
    yield 1


@remit.span_type(data_risk=PAYS_NOT)
async def paying_later() -> AsyncGenerator[int]:
    """Call a step that moves money."""
    yield 0
    pay()
    yield 1


@remit.span_type(data_risk=PAYS_NOT)
def paying_after_a_block() -> Generator[int]:
    """Hold a run open over a step, and call a step that moves money after it."""
    with free.run():
        yield 0
    pay()
    yield 1


@remit.span_type(data_risk=PAYS_NOT)
def paying_after_a_span() -> Generator[int]:
    """Hold a span open over a step, and call a step that moves money after it."""
    with remit.span("held"):
        yield 0
    pay()
    yield 1


@remit.span_type(data_risk=PAYS_NOT)
def returning() -> Generator[int]:
    """Return a stream that calls a step that moves money."""

    def body() -> Generator[int]:
        yield 0
        pay()
        yield 1

    return body()


GENERATORS: dict[str, Callable[[], Stream]] = {
    "pays itself": paying_itself,
    "pays itself later": paying_itself_later,
    "calls a step": paying,
    "calls a step later": paying_later,
    "calls a step after a block": paying_after_a_block,
    "calls a step after a span": paying_after_a_span,
}


def step(stream: Any) -> int:
    """Take the next item."""
    try:
        item: int = stream.asend(None).send(None) if hasattr(stream, "asend") else next(stream)
    except StopIteration as stop:  # what it did not have to wait for
        item = stop.value
    return item


def called_outside(call: Callable[[], Stream]) -> tuple[Stream, Run | None]:
    """Begin a stream outside any run."""
    stream = call()
    step(stream)
    return stream, None


def begun_elsewhere(call: Callable[[], Stream]) -> tuple[Stream, Run | None]:
    """Begin a stream in a run that has ended."""
    with free.run() as run:
        stream = call()
        step(stream)
    return stream, run


def begun_for_another(call: Callable[[], Stream]) -> tuple[Stream, Run | None]:
    """Call a stream in one run, and read its first item in another one; both have ended."""
    with free.run() as run:
        stream = call()
    with free.run():
        step(stream)
    return stream, run


Begin: TypeAlias = Callable[[Callable[[], Stream]], tuple[Stream, Run | None]]
BEGIN: dict[str, Begin] = {
    "begun outside": called_outside,
    "begun elsewhere": begun_elsewhere,
    "begun for another": begun_for_another,
}
STREAMS: dict[str, tuple[Begin, Callable[[], Stream]]] = {
    **{
        f"{name}, {begun}": (begin, call)
        for begun, begin in BEGIN.items()
        for name, call in GENERATORS.items()
    },
    # What a call outside any run returns is no concern of remit.
    "is returned, begun elsewhere": (begun_elsewhere, returning),
}
streams = each(("begin", "call"), list(STREAMS.values()), ids=list(STREAMS))


@streams
def test_the_remit_of_the_reader_holds_for_a_stream_that_began_elsewhere(
    begin: Begin, call: Callable[[], Stream]
) -> None:
    """What an agent may not do it may not have done by a stream either."""
    BODIES.clear()
    with isolated(on_violation="deny", outside_run="record"):
        stream, _ = begin(call)
        with agent.run(), pytest.raises(DeniedError):
            step(stream)
        assert BODIES == []


@streams
def test_the_stream_goes_on_where_its_reader_may_do_what_it_does(
    begin: Begin, call: Callable[[], Stream]
) -> None:
    """And nothing of the reader's stays behind."""
    BODIES.clear()
    with isolated(on_violation="deny", outside_run="record") as recorder:
        stream, first = begin(call)
        with free.run() as run:
            assert step(stream) == 1
            assert remit.current_run() == run
    assert len(BODIES) == 1
    pays = recorder.spans("pay")
    assert {span.run_key for span in pays} <= {(first or run).key}


def test_the_remit_of_the_reader_holds_for_a_stream_that_was_called_in_the_run_around() -> None:
    """The outer agent may move money, the inner one may not."""
    with isolated(on_violation="deny"), free.run():
        stream = paying()
        assert next(stream) == 0
        with agent.run(), pytest.raises(DeniedError):
            next(stream)
    assert BODIES == []


@pytest.mark.parametrize("steps", [0, 1], ids=["called", "begun"])
def test_the_reader_of_a_stream_is_terminated_with_what_the_stream_exceeds(steps: int) -> None:
    """Both runs end: the step is in the one and beyond the remit of the other."""
    with isolated(on_violation="terminate") as recorder:
        with free.run() as first:
            stream = paying_itself()
            for _ in range(steps):
                next(stream)
        with suppress(RunTerminated), agent.run() as run:
            list(stream)
    assert BODIES == []
    assert (first.terminated, run.terminated) == (True, True)
    assert [each.status for each in recorder.runs] == ["failed", "failed"]


@each("call", [paying, paying_later, paying_after_a_block, returning])
def test_a_stream_does_no_step_for_a_reader_whose_run_was_terminated(
    call: Callable[[], Stream],
) -> None:
    """Though its own run goes on."""
    with isolated() as recorder:
        stream, _ = begun_elsewhere(call)
        with suppress(RunTerminated), free.run():
            recorder.runs[-1].feed.terminated = "by an operator"
            step(stream)
    assert BODIES == []


def use(run: Run, act: Callable[[], object]) -> None:
    """Do something in a run."""
    with run.use():
        act()


def test_a_run_that_is_used_inside_another_is_below_the_ceilings_of_both() -> None:
    """And of the agents that are called there."""

    @remit.agent(data_risk=PAYS_NOT)
    def inner() -> None:
        run = remit.current_run()
        assert run is not None
        use(run, pay)

    with isolated(on_violation="deny"):
        with free.run() as other, pytest.raises(DeniedError):
            inner()
        with agent.run():
            with pytest.raises(DeniedError):
                use(other, pay)
            with pytest.raises(DeniedError):
                use(other, paying_agent)
            use(other, lambda: None)
        with free.run():
            use(other, pay)
    assert BODIES == ["function 5"]


def test_a_stream_of_a_run_that_is_used_inside_another_is_below_the_ceilings_of_both() -> None:
    """It is read in its own run, inside the other one."""
    with isolated(on_violation="deny"):
        with free.run() as other:
            streams = [paying(), paying_itself(), returning()]
            for stream in streams:
                next(stream)
        for stream in streams:
            with agent.run(), other.use(), pytest.raises(DeniedError):
                next(stream)
    assert BODIES == []


def test_a_run_that_is_used_inside_another_ends_with_it() -> None:
    """A violation of the outer remit terminates both, an operator's word the outer one."""
    with isolated(on_violation="terminate"):
        with free.run() as other:
            pass
        with suppress(RunTerminated), agent.run() as run:
            use(other, pay)
        assert (run.terminated, other.terminated) == (True, True)
    with isolated() as recorder:
        with free.run() as other:
            pass
        with free.run() as run:
            recorder.runs[-1].feed.terminated = "by an operator"
            with pytest.raises(RunTerminated, match=run.key):
                use(other, undeclared)
        use(other, undeclared)
    assert BODIES == ["undeclared"]


BOUND: dict[str, Callable[[], Callable[[], object]]] = {
    "function": lambda: remit.copy_context(pay),
    "coroutine function": lambda: _run_later(remit.copy_context(pay_later)),
    "lambda of a coroutine": lambda: _run_later(remit.copy_context(lambda: pay_later())),  # noqa: PLW0108 - a lambda
}
"""Functions that are bound to the context in which this is called."""


def _run_later(bound: Callable[[], Any]) -> Callable[[], object]:
    async def awaited() -> None:
        await bound()

    return lambda: asyncio.run(awaited())


@pytest.mark.parametrize("mode", ["auto", "off"])
@pytest.mark.parametrize("steps", [0, 1])
@each("make", [*GENERATORS.values(), returning])
def test_the_remit_of_a_nested_agent_holds_for_a_stream_of_the_agent_around_it(
    make: Callable[[], Stream], steps: int, mode: str
) -> None:
    """Both are in the same run."""
    BODIES.clear()
    with recording("deny", mode), free.run():
        stream = make()
        for _ in range(steps):
            step(stream)
        with pytest.raises(DeniedError):
            careful(lambda: [step(stream), step(stream)])
    assert BODIES == []


@pytest.mark.parametrize("mode", ["auto", "off"])
@each("kind", list(BOUND))
def test_the_remit_of_a_nested_agent_holds_for_a_function_bound_before(
    kind: str, mode: str
) -> None:
    """`copy_context` in the agent around it, and the call in the nested one, are in one run."""
    BODIES.clear()
    with recording("deny", mode), free.run():
        bound = BOUND[kind]()
        with pytest.raises(DeniedError):
            careful(bound)
        assert BODIES == []
        bound()
    assert len(BODIES) == 1


def test_a_stream_goes_on_for_the_agent_around_the_nested_one() -> None:
    """The remit of the nested agent is that of the step that it makes."""
    with isolated(on_violation="deny") as recorder:
        with free.run():
            stream = paying_itself()
            careful(lambda: stream)
            assert list(stream) == [0, 1]
        (span,) = recorder.spans("paying_itself")
        assert span.status == "complete"
    assert BODIES == ["itself"]


def test_a_function_that_is_carried_into_a_run_is_below_its_ceiling() -> None:
    """It keeps the run of where it was bound."""
    with isolated(on_violation="deny") as recorder:
        with free.run() as other:
            carried = remit.copy_context(pay)
        with agent.run(), pytest.raises(DeniedError):
            carried()
        carried()
    assert BODIES == ["function 5"]
    assert {span.run_key for span in recorder.spans("pay")} == {other.key}


@pytest.mark.parametrize("by", ["the policy", "an operator"])
def test_a_run_that_was_terminated_is_not_resumed(by: str) -> None:
    """Under whatever agent."""
    with isolated(on_violation="terminate") as recorder:
        with suppress(RunTerminated), agent.run() as run:
            recorder.runs[0].feed.instance_id = ID
            if by == "the policy":
                pay()
            recorder.runs[0].feed.terminated = "by an operator"
        assert run.id == ID
        for each in (agent, free):
            with pytest.raises(RunTerminated, match=run.key), each.run(resume=ID):
                undeclared()
    assert BODIES == []
    assert len(recorder.runs) == 1
