"""Governance fails closed: what remit cannot judge, record or log is refused all the same."""

from __future__ import annotations

import inspect
import logging
import sys
from collections.abc import Generator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from typing import Any

import pytest
from msgspec import structs

import remit
from remit._adapters.declare import ceiling_of, declare, declare_agent
from remit._adapters.spans import ManualSpan, judging, start
from remit._adapters.tables import SpanTable
from remit._base import guard
from remit._policy.limits import Ceiling, Limit
from remit._record.context import use_context
from remit._record.items import Item
from remit._record.runs import current_context
from remit._runtime import process, setup
from remit.config import Settings
from remit.errors import DeniedError, RunTerminated
from remit.testing import RecordingSink, isolated
from tests.declaring import agent as declared
from tests.governed import BODIES, KINDS, PAYS, agent, free, pay, ran
from tests.subtests import each
from tests.unconfigured import unconfigured

UNREADABLE = Ceiling("desk:agent", "desk.py:1", (Limit("no such part", "any", "disallowed"),))
"""A ceiling with which nothing can be compared."""
kinds = each("kind", list(KINDS), recorder=isolated)


@pytest.fixture(autouse=True)
def _no_bodies() -> None:
    """Forget which bodies ran."""
    BODIES.clear()


@contextmanager
def recording(on_violation: str, sink: RecordingSink | None = None) -> Generator[RecordingSink]:
    """Record into memory, with faults contained as in production."""
    sink = sink or RecordingSink()
    settings = Settings.model_validate({"on_violation": on_violation})
    contained = guard.faults
    contained.counts.clear()
    with setup.isolated(settings, sink=sink), guard.counting(contained):
        yield sink


@contextmanager
def under_an_unreadable_ceiling() -> Generator[None]:
    """Stand in a run whose ceiling cannot be compared with anything."""
    with free.run():
        context = current_context()
        assert context is not None
        with use_context(structs.replace(context, ceilings=(UNREADABLE,))):
            yield


@kinds
def test_a_step_that_cannot_be_judged_is_denied_and_recorded(kind: str) -> None:
    """Under `deny`, a fault in the comparison is no permission."""
    with recording("deny") as recorder:
        with under_an_unreadable_ceiling(), pytest.raises(DeniedError, match="a fault inside"):
            KINDS[kind]()
        (span,) = recorder.spans()
        assert span.status == "failed"
        assert "a fault inside remit" in (span.result or {})["error"]["violations"][0]["sentence"]
    assert BODIES == []
    assert guard.faults.counts["the policy"] == 1


@pytest.mark.parametrize("on_violation", ["deny", "terminate"])
def test_a_step_outside_any_run_that_cannot_be_judged_is_denied(on_violation: str) -> None:
    """A fault in the comparison with the agents of the process is no permission either."""
    odd: Any = object()
    with recording(on_violation):
        unreadable = declared(lambda: None)
        span_type = replace(unreadable.span_type, data_risk=odd)
        process.registry().add_agent(replace(unreadable, span_type=span_type))
        with pytest.raises(DeniedError, match="a fault inside"):
            pay()
    assert BODIES == []
    assert guard.faults.counts["the policy"] == 1


@kinds
def test_a_step_that_cannot_be_judged_ends_the_run_where_violations_do(kind: str) -> None:
    """Under `terminate`, too."""
    with recording("terminate") as recorder:
        with under_an_unreadable_ceiling():
            for _ in range(2):
                with pytest.raises(RunTerminated, match="a fault inside"):
                    KINDS[kind]()
        assert recorder.runs[0].status == "failed"
    assert BODIES == []


@kinds
def test_a_step_that_cannot_be_judged_runs_where_violations_are_observed(kind: str) -> None:
    """Telemetry fails open: the fault costs neither the call nor its span."""
    BODIES.clear()
    with recording("observe") as recorder:
        with under_an_unreadable_ceiling():
            KINDS[kind]()
        (span,) = recorder.spans()
        assert (span.status, span.violations) == ("complete", ())
    assert [ran(kind)] == BODIES
    assert guard.faults.counts["the policy"]


def failing(*_: object) -> None:
    """Fail as a part of remit."""
    raise OSError


@pytest.mark.parametrize("kind", ["function", "generator", "block"])
@pytest.mark.parametrize("inside", [True, False])
@pytest.mark.parametrize("on_violation", ["deny", "terminate"])
def test_a_step_near_the_recursion_limit_is_refused(
    on_violation: str, kind: str, monkeypatch: pytest.MonkeyPatch, *, inside: bool
) -> None:
    """At each depth the program gets a refusal, or its own error."""
    # The finalizer of a generator that could not begin reaches the limit, too.
    monkeypatch.setattr(sys, "unraisablehook", lambda _: None)
    raised: set[type[BaseException]] = set()
    limit = sys.getrecursionlimit()

    def descend() -> None:
        try:
            KINDS[kind]()
        except (DeniedError, RunTerminated, RecursionError) as error:
            raised.add(type(error))
        descend()

    with recording(on_violation), agent.run() if inside else nullcontext():
        sys.setrecursionlimit(len(inspect.stack(0)) + 100)
        try:
            with pytest.raises(RecursionError):
                descend()
        finally:
            sys.setrecursionlimit(limit)
    assert BODIES == []
    assert raised == {
        RecursionError,
        RunTerminated if inside and on_violation == "terminate" else DeniedError,
    }


@pytest.mark.parametrize(
    ("environment", "refused"),
    [
        ({}, False),
        ({"REMIT_ON_VIOLATION": "observe"}, False),
        ({"REMIT_ON_VIOLATION": " Deny "}, True),
        ({"REMIT_ON_VIOLATION": "terminate"}, True),
        ({"REMIT_ON_VIOLATION": "deny", "REMIT_OUTSIDE_RUN": "record"}, False),
        ({"REMIT_OUTSIDE_RUN": "deny"}, True),
    ],
)
def test_a_step_is_refused_if_remit_cannot_start_under_a_policy_that_refuses(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, *, refused: bool
) -> None:
    """Without a runtime, the environment says what the policy is."""
    for name in ("REMIT_ON_VIOLATION", "REMIT_OUTSIDE_RUN"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    expected = pytest.raises(DeniedError, match="a fault inside") if refused else nullcontext()
    contained = guard.Faults()
    with unconfigured(), guard.counting(contained):
        monkeypatch.setattr(setup, "first", failing)
        with agent.run(), expected:
            pay()
        monkeypatch.undo()
    assert bool(BODIES) is not refused
    assert contained.counts["a call outside any run"] == 1


@pytest.mark.parametrize(("on_violation", "refused"), [("observe", False), ("deny", True)])
@pytest.mark.parametrize("inside", [True, False])
@pytest.mark.parametrize(
    ("kind", "broken"),
    [
        ("function", "remit._record.spans.check_terminated"),
        ("generator", "remit._record.spans.check_terminated"),
        ("function", "remit._runtime.runtime.Runtime.outside"),
        ("generator", "remit._record.calls.GeneratorSpan"),
        ("block", "remit._declare.registry.Registry.span_type"),
    ],
)
def test_a_fault_before_a_step_is_no_permission(
    kind: str, broken: str, on_violation: str, *, inside: bool, refused: bool
) -> None:
    """A step that exceeds the remit runs only under `observe`."""
    expected = pytest.raises(DeniedError) if refused else nullcontext()
    with (
        recording(on_violation),
        agent.run() if inside else nullcontext(),
        pytest.MonkeyPatch.context() as patch,
        expected,
    ):
        patch.setattr(broken, failing)
        KINDS[kind]()
    assert bool(BODIES) is not refused


class Broken(RecordingSink):
    """A sink that takes no span."""

    def start_span(self, start: Item) -> None:
        """Fail."""
        raise OSError(start.name)


@kinds
def test_a_refusal_that_cannot_be_recorded_is_one_all_the_same(kind: str) -> None:
    """The record is telemetry, the refusal is not."""
    with recording("deny", Broken()) as recorder:
        with agent.run(), pytest.raises(DeniedError):
            KINDS[kind]()
        assert recorder.spans() == []
    assert BODIES == []
    assert guard.faults.counts["the record of a denial"] == 1


@pytest.mark.parametrize(
    ("on_violation", "raised"), [("deny", DeniedError), ("terminate", RunTerminated)]
)
def test_a_refusal_that_cannot_be_logged_is_one_all_the_same(
    on_violation: str, raised: type[BaseException]
) -> None:
    """A filter of the host's logging that fails is the host's."""

    def broken(record: logging.LogRecord) -> bool:
        raise OSError(record.name)

    logger = logging.getLogger("remit")
    with recording(on_violation), agent.run():
        logger.addFilter(broken)
        guard.faults.counts["the log of a step that exceeds a remit"] = (
            1  # so that it is not logged
        )
        try:
            with pytest.raises(raised):
                pay()
        finally:
            logger.removeFilter(broken)
    assert BODIES == []


@pytest.mark.parametrize("on_violation", ["deny", "terminate"])
def test_governance_holds_where_nothing_is_recorded(on_violation: str) -> None:
    """Mode `off` switches the telemetry off, not the remit."""
    settings = Settings.model_validate({"mode": "off", "on_violation": on_violation})
    with (
        setup.isolated(settings),
        agent.run(),
        pytest.raises((DeniedError, RunTerminated)),
    ):
        pay()
    assert BODIES == []


# Steps that adapters start


FORBIDS = remit.risk(forbids="financial_transactions")


def start_payment(**options: Any) -> ManualSpan:
    """Start a step of an adapter that moves money."""
    return start(declare("fake:pay", "tool", data_risk=PAYS), {}, **options)


@pytest.mark.parametrize(("on_violation", "refused"), [("observe", False), ("deny", True)])
@pytest.mark.parametrize(
    "broken",
    [
        "remit._adapters.spans._is_model_call",
        "remit._adapters.spans._recorder_in",
        "remit._adapters.spans._captured_inputs",
        "remit._record.spans.check_terminated",
        "remit._record.spans.SpanRecorder.open",
    ],
)
def test_a_fault_at_the_start_of_a_step_of_an_adapter_is_no_permission(
    broken: str, on_violation: str, *, refused: bool
) -> None:
    """A step that exceeds the remit starts only under `observe`."""
    expected = pytest.raises(DeniedError) if refused else nullcontext()
    with recording(on_violation), agent.run(), pytest.MonkeyPatch.context() as patch, expected:
        patch.setattr(broken, failing)
        start_payment().end()


@pytest.mark.parametrize("in_run", [True, False])
@pytest.mark.parametrize(
    "broken",
    [
        "remit._record.spans.SpanRecorder.open",
        "remit._adapters.spans._captured_inputs",
        "remit._adapters.spans.count_classified",
        "remit._adapters.spans._recorder_in",
    ],
)
def test_a_fault_loses_the_record_of_an_agent_of_an_adapter_and_not_its_ceiling(
    broken: str, *, in_run: bool
) -> None:
    """The span is without a record, and has a context; it ends, and its run with it."""
    recorder = declare("fake:agent", "agent")
    runs = declare_agent("fake.agents:desk", data_risk=FORBIDS)
    with recording("deny") as sink, free.run() if in_run else nullcontext():
        before = current_context()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(broken, failing)
            span = start(recorder, {}, agent=runs, ceiling=runs.ceiling)
        with span:
            assert span.context is not None
            assert current_context() is not before
            with pytest.raises(DeniedError):
                pay()
        assert not span.is_open
        assert current_context() is before
        assert isinstance(span.denied, DeniedError)
    assert [run.status for run in sink.runs] == ["complete"]


@pytest.mark.parametrize(("on_violation", "refused"), [("observe", False), ("deny", True)])
@pytest.mark.parametrize("nested", [True, False])
def test_an_agent_of_an_adapter_whose_ceiling_cannot_be_added_is_refused(
    on_violation: str, *, nested: bool, refused: bool
) -> None:
    """Unless violations are observed."""
    recorder = declare("fake:agent", "agent")
    ceiling = ceiling_of("desk", FORBIDS)
    expected = pytest.raises(DeniedError, match="a fault inside") if refused else nullcontext()
    with recording(on_violation), free.run(), pytest.MonkeyPatch.context() as patch:
        outer = start(recorder, {}) if nested else None
        patch.setattr("remit._record.spans.under", failing)
        with expected:
            if outer is None:
                start(recorder, {}, ceiling=ceiling).end()
            else:
                outer.narrow(ceiling)


@pytest.mark.parametrize(("on_violation", "refused"), [("observe", False), ("deny", True)])
@pytest.mark.parametrize("broken", ["_resolved", "_context", "_add"])
def test_a_fault_in_a_table_of_spans_is_no_permission(
    broken: str, on_violation: str, *, refused: bool
) -> None:
    """The step is refused if its place is not known, or cannot be kept."""
    table: SpanTable[str] = SpanTable()
    agents = declare("fake:agent", "agent")
    pays = declare("fake:pay", "tool", data_risk=PAYS)
    ceiling = ceiling_of("desk", FORBIDS)
    expected = pytest.raises(DeniedError) if refused else nullcontext()
    with recording(on_violation), free.run(), pytest.MonkeyPatch.context() as patch:
        table.start("desk", agents, {}, ceiling=ceiling)
        patch.setattr(SpanTable, broken, failing)
        with expected:
            table.start("tool", pays, {}, "desk")


@pytest.mark.parametrize(
    ("on_violation", "raised"),
    [("observe", None), ("deny", DeniedError), ("terminate", RunTerminated)],
)
def test_a_fault_in_what_decides_for_an_adapter_refuses(
    on_violation: str, raised: type[BaseException] | None
) -> None:
    """Inside a run the refusal is recorded, and outside it is one all the same."""
    tool = declare("fake:tool", "tool")
    decide = judging(tool, "a default")(failing)
    with recording(on_violation) as recorder:
        with free.run():
            if raised is None:
                assert decide() == "a default"
            else:
                with pytest.raises(raised, match="a fault inside"):
                    decide()
        assert [span.name for span in recorder.spans()] == ["fake:tool"] * (raised is not None)
        if raised is None:
            assert decide() == "a default"
        else:
            with pytest.raises(DeniedError, match="a fault inside"):
                decide()
    assert sum(guard.faults.counts.values()) == 2
