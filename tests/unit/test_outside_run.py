"""A step that is called outside any run: refused where an agent might forbid it, and counted."""

from __future__ import annotations

import asyncio
import pickle
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, get_args

import pytest

import remit
from remit.config import OnViolation
from remit.errors import DeniedError, Violation
from remit.models.data_risk import Action, Category
from remit.testing import isolated
from tests.governed import BODIES, KINDS, agent, pay, ran, undeclared
from tests.subtests import each

WITHOUT_RUN = [kind for kind in KINDS if "agent" not in kind]
"""Kinds of steps; an agent opens a run of its own."""
HARMLESS = remit.risk(forbids=get_args(Action), excludes=get_args(Category))


@pytest.fixture(autouse=True)
def _no_bodies() -> None:
    """Forget which bodies ran."""
    BODIES.clear()


@remit.span_type(data_risk=HARMLESS)
def harmless() -> str:
    """Say of every word that it does not do it."""
    return "ran"


def work() -> None:
    """Call the step as any other function."""
    pay()


def in_pool(function: Callable[[], object]) -> None:
    """Hand a function to a pool, as libraries do."""
    with ThreadPoolExecutor(1) as pool:
        pool.submit(function).result()


def in_executor(function: Callable[[], object]) -> None:
    """Hand a function to the executor of an event loop, as AutoGen does with sync tools."""

    async def main() -> None:
        await asyncio.get_running_loop().run_in_executor(None, function)

    asyncio.run(main())


def in_thread(function: Callable[[], object]) -> None:
    """Hand a function to a bare thread; raise what it raised."""
    raised: list[DeniedError] = []

    def target() -> None:
        try:
            function()
        except DeniedError as error:
            raised.append(error)

    thread = threading.Thread(target=target)
    thread.start()
    thread.join(60)
    if raised:
        raise raised[0]


ways = each("way", [in_pool, in_executor, in_thread])


@each("on_violation", ["deny", "terminate"])
@each("function", [pay, work], ids=["the step itself", "a function of the user"])
@ways
def test_a_thread_without_the_run_is_no_way_around_the_policy(
    way: Callable[[Callable[[], object]], None],
    function: Callable[[], object],
    on_violation: OnViolation,
) -> None:
    """The message names the caller's file, or the step's where no code of the caller's runs."""
    with isolated(on_violation=on_violation):
        with agent.run(), pytest.raises(DeniedError) as raised:
            way(function)
        assert remit.status().outside_run == {"tests.governed:pay": 1}
        assert "calls outside any run: 1 (tests.governed:pay 1)" in str(remit.status())
    assert BODIES == []
    said = str(raised.value)
    assert "remit.copy_context, remit.ContextExecutor or `with run.use():`" in said
    assert "concurrent" not in said
    assert "threading.py" not in said
    assert "which the agent tests.governed:agent forbids" in said
    by_name = function is pay and way is not in_thread
    where = raised.value.outside_run or ""
    assert f"{'governed' if by_name else 'test_outside_run'}.py:" in where


LIBRARY = "def call(function): function()"


@pytest.mark.parametrize(
    ("file", "steps", "named"),
    [
        ("/venv/lib/python3/site-packages/anyio/_asyncio.py", "/src/app.py", "/src/app.py:1)"),
        ("/usr/lib/python3/dist-packages/celery/worker.py", "/src/app.py", "/src/app.py:1)"),
        ("<string>", "/src/app.py", "/src/app.py:1)"),
        (f"{Path(sys.executable).parent}/uvicorn", "/src/app.py", "/src/app.py:1)"),
        ("/src/jobs.py", "/src/app.py", "at /src/jobs.py:1"),
        ("<string>", "<string>", "at <string>:1"),
        ("/venv/site-packages/app/jobs.py", "/venv/site-packages/app/steps.py", "jobs.py:1"),
        ("/venv/site-packages/other/jobs.py", "/venv/site-packages/app/steps.py", "steps.py:1)"),
    ],
)
def test_the_place_of_a_call_is_one_in_the_program(
    file: str, steps: str, named: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The line names the declaration of a step that an installed package calls in a thread."""
    program: dict[str, Any] = {"__name__": "app", "remit": remit}
    exec(compile("@remit.span_type\ndef job(): ...", steps, "exec"), program)
    library: dict[str, Any] = {}
    exec(compile(LIBRARY, file, "exec"), library)
    with isolated():
        thread = threading.Thread(target=library["call"], args=(program["job"],), name="worker")
        thread.start()
        thread.join(60)
    (line,) = [each.getMessage() for each in caplog.records]
    place = line.partition(", so it is")[0]
    assert place.endswith(named) or f"{named} directly" in line
    assert ("the thread 'worker'" in line) is named.endswith(")")


@ways
def test_with_the_run_carried_there_nothing_is_outside(
    way: Callable[[Callable[[], object]], None],
) -> None:
    """What the message asks for, done."""
    with isolated() as recorder:
        with agent.run() as run:
            way(remit.copy_context(work))
            with remit.ContextExecutor(1) as pool:
                pool.submit(pay).result()

            def used() -> None:
                with run.use():
                    pay()

            way(used)
        assert len(recorder.spans("pay")) == 3
        assert remit.status().outside_run == {}


@each("kind", WITHOUT_RUN)
def test_every_kind_of_step_is_refused(kind: str) -> None:
    """Before its body runs, each time."""
    with isolated(on_violation="deny") as recorder:
        for _ in range(2):
            if kind == "function in a thread":
                with pytest.raises(DeniedError):
                    KINDS[kind]()
            else:
                with pytest.raises(DeniedError, match=rf"any run at {__file__}|governed\.py"):
                    KINDS[kind]()
        assert sum(remit.status().outside_run.values()) == 2
        assert recorder.runs == []
    assert BODIES == []


@each("kind", WITHOUT_RUN)
@each(
    "settings",
    [{}, {"on_violation": "deny", "outside_run": "record"}],
    ids=["observe", "record"],
)
def test_where_it_is_not_refused_it_runs_and_is_counted(
    kind: str, settings: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    """One line for each step, with the caller's place."""
    BODIES.clear()
    caplog.clear()
    with isolated(**settings):
        for _ in range(2):
            KINDS[kind]()
        assert list(remit.status().outside_run.values()) == [2]
    assert [ran(kind)] * 2 == BODIES
    (line,) = [each.getMessage() for each in caplog.records if "any run" in each.getMessage()]
    assert "so it is recorded nowhere" in line


@pytest.mark.parametrize("step", [undeclared, pay], ids=["unknown", "allowed"])
def test_what_a_step_leaves_unknown_is_refused_too(step: Callable[[], object]) -> None:
    """Nobody knows that it stays below."""
    with isolated(on_violation="deny"), pytest.raises(DeniedError, match="financial_transactions"):
        step()
    assert BODIES == []


def test_a_step_that_no_agent_forbids_runs() -> None:
    """Under `deny`, unless `outside_run` refuses all."""
    with isolated(on_violation="deny"):
        assert harmless() == "ran"
    with (
        isolated(outside_run="deny"),
        pytest.raises(DeniedError, match=r"called outside any run at .*test_outside_run"),
    ):
        harmless()


def test_an_agent_that_is_declared_later_counts() -> None:
    """The next call is held against it."""
    with isolated(on_violation="deny"):

        def by_hermit() -> list[Violation]:
            try:
                undeclared()
            except DeniedError as error:
                return [each for each in error.violations if "hermit" in each.agent]
            return []

        assert by_hermit() == []

        @remit.agent(data_risk=remit.risk(forbids="external_communication"))
        def hermit() -> None:
            """Talk to nobody."""

        (violation,) = by_hermit()
        assert (violation.name, violation.word) == ("external_communication", "unknown")


def test_the_refusal_crosses_processes() -> None:
    """With the place of the call."""
    with isolated(on_violation="deny"), pytest.raises(DeniedError) as raised:
        pay()
    line = raised.traceback[0].lineno + 1
    copied = pickle.loads(pickle.dumps(raised.value))
    assert str(copied) == str(raised.value)
    assert copied.outside_run == f"at {__file__}:{line}"
