"""Holds in a program: which steps they deny, whatever the setting says."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Final, Literal

import pytest

import remit
from remit._adapters import spans
from remit._policy.holds import Hold
from remit._policy.violations import denied_by
from remit._record.spans import BlockPlan, SpanRecorder
from remit._runtime import process
from remit.errors import DeniedError, RunTerminated
from remit.testing import FakeClock, RecordingSink, isolated
from tests.subtests import each

MAIL: Final = "external_communication"


@remit.span_type(data_risk=remit.risk(allows=MAIL))
def send_mail() -> str:
    """Send something."""
    return "sent"


@remit.span_type
def undeclared() -> str:
    """Say nothing."""
    return "ran"


@remit.span_type(data_risk=remit.risk(allows="read_data", forbids="others"))
def look_up() -> str:
    """Forbid it."""
    return "found"


@remit.span_type(data_risk=remit.risk(allows=MAIL))
def stream() -> Generator[str]:
    """Send several things."""
    yield "first"
    yield "second"


@remit.agent(data_risk=remit.risk(allows=MAIL))
def mailer() -> str:
    """Have a mail sent."""
    return send_mail()


@remit.agent
def desk() -> str:
    """Leave it to another agent."""
    return mailer()


def hold(
    *, actions: Sequence[str] = (MAIL,), agents: Sequence[str] = (), declared_only: bool = False,
    ends_ns: int | None = None,
) -> None:  # fmt: skip
    """Deny actions from now on."""
    one = Hold(
        "hold-1", tuple(actions), frozenset(agents), declared_only, "Wrong prices.", "ada", ends_ns
    )
    process.current().hold([one])


def denied(step: object) -> bool:
    """Return whether a call of a step is denied."""
    assert callable(step)
    try:
        step()
    except DeniedError:
        return True
    return False


@each("setting", ["observe", "deny", "terminate"])
def test_a_hold_denies_declared_and_undeclared_steps(
    setting: Literal["observe", "deny", "terminate"],
) -> None:
    """And no run ends by it; a step that forbids the action runs."""
    with isolated(on_violation=setting) as recorder:
        hold()
        with mailer.run() as run:
            assert [denied(step) for step in (send_mail, undeclared, look_up)] == [
                True, True, False,
            ]  # fmt: skip
        assert run.status == "complete"
        hold(declared_only=True)
        with mailer.run():
            assert (denied(send_mail), denied(undeclared)) == (True, False)
        process.current().hold([])
        with mailer.run():
            assert not denied(send_mail)
    first = recorder.spans("tests.unit.test_holds:send_mail")[0]
    assert first.denied
    (violation,) = denied_by(first.result) or ()
    assert (violation.limit, violation.hold, violation.held_by, violation.reason) == (
        "held", "hold-1", "ada", "Wrong prices.",
    )  # fmt: skip


def test_the_model_reads_why() -> None:
    """In the words of the person who made the hold, without names of steps and people."""
    with isolated():
        hold()
        with mailer.run(), pytest.raises(DeniedError) as raised:
            send_mail()
    assert raised.value.for_model() == (
        "Policy denied this step and it did not run, because it involves external communication, "
        "which is on hold. The reason is: Wrong prices. Do not call it again, even with other "
        "arguments. Answer without it, or say that a person has to do it."
    )


@each(
    ("agent", "by_desk", "by_mailer"),
    [
        ("test_holds:mailer", False, False),
        ("tests.unit.test_holds:mailer", True, True),
        ("tests.unit.test_holds:desk", True, False),
        ("remit/tests.unit.test_holds:desk", True, False),
        ("other/tests.unit.test_holds:desk", False, False),
    ],
)
def test_a_hold_is_about_some_agents(agent: str, *, by_desk: bool, by_mailer: bool) -> None:
    """All agents around a step count; the agent itself is never denied."""
    with isolated(project="remit"):
        hold(agents=[agent])
        assert (denied(desk), denied(mailer)) == (by_desk, by_mailer)


def test_a_step_of_a_framework_is_denied() -> None:
    """Before it is reported: an integration asks whether it may run."""
    tool = SpanRecorder("crm:tool:send", BlockPlan, kind="tool")
    with isolated(on_violation="observe") as recorder:
        with mailer.run():
            spans.permit(tool)
            hold()
            with pytest.raises(DeniedError):
                spans.permit(tool)
            assert spans.is_ruled_out(tool)
            hold(declared_only=True)
            spans.permit(tool)
            assert not spans.is_ruled_out(tool)
        hold()
        assert spans.is_ruled_out(tool)
    (step,) = recorder.spans("crm:tool:send")
    assert step.denied


def test_steps_outside_any_run_are_denied() -> None:
    """By a hold on any agent of the program, also where such calls are only recorded."""
    with isolated(outside_run="record"):
        hold(agents=["tests.unit.test_holds:mailer"])
        assert denied(send_mail)
        hold(agents=["nobody"])
        assert not denied(send_mail)


def test_a_stream_that_has_begun_goes_on(clock: FakeClock) -> None:
    """One that was called and has not begun is denied; a hold ends at its time."""
    with isolated(clock=clock), mailer.run():
        begun, called = stream(), stream()
        assert next(begun) == "first"
        hold(ends_ns=clock.monotonic_ns() + 10)
        assert list(begun) == ["second"]
        assert denied(lambda: next(called))
        clock.advance(1)
        assert not denied(send_mail)


def test_a_step_that_is_forbidden_as_well_is_terminated() -> None:
    """The setting says what becomes of the violation; both are in the record."""

    @remit.agent(data_risk=remit.risk(forbids=MAIL))
    def reader() -> str:
        return send_mail()

    with isolated(on_violation="terminate"):
        hold()
        with pytest.raises(RunTerminated):
            reader()
    with isolated(on_violation="deny") as recorder:
        hold()
        assert denied(reader)
    (step,) = recorder.spans("tests.unit.test_holds:send_mail")
    assert [each.limit for each in denied_by(step.result) or ()] == ["disallowed", "held"]


@pytest.fixture
def clock() -> FakeClock:
    """Return a clock that stands still."""
    return FakeClock()


def test_a_recorder_reads_its_own_holds() -> None:
    """A new runtime knows of none."""
    with isolated():
        hold()
    with isolated() as recorder, mailer.run():
        assert not denied(send_mail)
    assert isinstance(recorder, RecordingSink)
