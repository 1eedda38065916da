"""`with run.contained() as ended:`: the termination of one run as a value."""

from __future__ import annotations

import asyncio
from collections.abc import Generator

import pytest

from remit.errors import DeniedError, RunTerminated
from remit.testing import isolated
from tests.governed import agent, free, pay

pytestmark = pytest.mark.usefixtures("terminating")


@pytest.fixture
def terminating() -> Generator[None]:
    """Terminate a run at the step that exceeds its remit."""
    with isolated(on_violation="terminate"):
        yield


def test_a_termination_ends_the_block_and_the_program_goes_on() -> None:
    """The value says that it ended so, and why; the run is terminated all the same."""
    reached = []
    with agent.run() as run:
        with run.contained() as ended:
            pay()
            reached.append("after the step")
        assert ended
        assert ended.reason is not None
        assert "financial_transactions" in ended.reason
        with pytest.raises(RunTerminated):
            pay()
    assert reached == []
    assert run.status == "terminated"


def test_a_block_that_ends_otherwise_has_no_value() -> None:
    """Its errors pass."""
    with free.run() as run:
        with run.contained() as ended:
            pay()
        assert not ended
        assert ended.reason is None
        for error in (ValueError("bad"), DeniedError("step", ()), KeyboardInterrupt()):
            with pytest.raises(type(error)), run.contained() as ended:
                raise error
            assert not ended
    assert run.status == "complete"


def test_the_termination_of_another_run_passes() -> None:
    """Of one inside the block, and of one around it."""
    with free.run() as outer:
        with pytest.raises(RunTerminated), outer.contained() as ended, agent.run():
            pay()
        assert not ended
    with (
        free.run() as outer,
        outer.contained() as outer_ended,
        free.run() as inner,
        inner.contained() as inner_ended,
    ):
        raise RunTerminated(outer.key, "by a person")
    assert (outer_ended.reason, bool(inner_ended)) == ("by a person", False)
    assert (inner.status, outer.status) == ("cancelled", "complete")


def test_a_step_of_an_inner_run_that_exceeds_this_one_ends_the_block() -> None:
    """Both runs are terminated, and the exception names the inner one."""
    with agent.run() as outer:
        with outer.contained() as ended, free.run() as inner:
            pay()
        assert ended
        assert "financial_transactions" in (ended.reason or "")
    assert (inner.status, outer.status) == ("terminated", "terminated")


def test_one_of_many_runs_in_a_task_group_ends_alone() -> None:
    """Without it the exception would cancel every other task."""

    async def serve(number: int) -> str:
        async with (agent if number == 1 else free).run() as run:
            with run.contained() as ended:
                await asyncio.sleep(0)
                pay()
                await asyncio.sleep(0.01)
            return "ended" if ended else "answered"

    async def main() -> list[str]:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(serve(number)) for number in range(3)]
        return [task.result() for task in tasks]

    assert asyncio.run(main()) == ["answered", "ended", "answered"]


def test_tasks_of_the_run_end_in_a_group() -> None:
    """A task group around them raises a group, of groups if there are several."""

    async def tool() -> None:
        pay()

    async def tools() -> None:
        async with asyncio.TaskGroup() as inner:
            inner.create_task(tool())
            inner.create_task(tool())

    async def main() -> bool:
        with agent.run() as run, run.contained() as ended:
            async with asyncio.TaskGroup() as outer:
                outer.create_task(tools())
        return bool(ended) and "financial_transactions" in (ended.reason or "")

    assert asyncio.run(main())


def test_what_else_is_in_a_group_is_raised() -> None:
    """As `except*` does; the terminations of other runs are part of it."""
    with free.run() as run:
        mine, other = RunTerminated(run.key, "enough"), RunTerminated("another run")
        group = BaseExceptionGroup(
            "tasks", [ValueError("bad"), BaseExceptionGroup("", [mine, other])]
        )
        with pytest.raises(BaseExceptionGroup) as raised, run.contained() as ended:
            raise group
    assert (bool(ended), ended.reason) == (True, "enough")
    rest = raised.value
    assert rest.message == "tasks"
    first, second = rest.exceptions
    assert str(first) == "bad"
    assert isinstance(second, BaseExceptionGroup)
    assert second.exceptions == (other,)


def test_a_termination_without_a_reason_counts() -> None:
    """Nobody has to give one."""
    with free.run() as run, run.contained() as ended:
        raise RunTerminated(run.key)
    assert ended
    assert ended.reason is None
