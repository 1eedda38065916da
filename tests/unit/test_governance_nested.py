"""The remit of an agent that another one calls holds, whether or not its span is recorded."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

import remit
from remit.config import Settings, variables
from remit.errors import DeniedError, RunTerminated
from tests.governed import BODIES, free, pay
from tests.nesting import NESTED, recording
from tests.subtests import each
from tests.unconfigured import unconfigured

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
    with fresh({"REMIT_ON_VIOLATION": "nonsense"}), free.run(), pytest.raises(DeniedError):
        NESTED[kind](pay)
    assert BODIES == []


@pytest.mark.parametrize("on_violation", ["deny", "terminate"])
@kinds
def test_a_fault_of_recording_does_not_lift_the_remit_of_a_nested_agent(
    kind: str, on_violation: str
) -> None:
    """The span of the agent is lost, its ceiling is not."""

    def failing(*_: object) -> None:
        raise OSError

    with recording(on_violation) as sink, pytest.MonkeyPatch.context() as patch:
        patch.setattr("remit._record.spans.SpanRecorder.open", failing)
        with pytest.raises((DeniedError, RunTerminated)), free.run():
            NESTED[kind](pay)
        assert sink.spans() == []
    assert BODIES == []


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
        with suppress(DeniedError, RecursionError):
            NESTED[kind](pay)
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
