"""The agent's remit: what it does to calls of every kind, under each setting."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import Annotated

import pytest

import remit
from remit._policy.violations import fields_of
from remit.config import OnViolation
from remit.errors import DeniedError, RunTerminated
from remit.testing import isolated
from tests.governed import BODIES, KINDS, PAYS, agent, block, free, given, pay, ran, undeclared
from tests.subtests import each

pytestmark = pytest.mark.usefixtures("no_bodies")
kinds = each("kind", list(KINDS), recorder=isolated)


@pytest.fixture
def no_bodies() -> None:
    """Forget which bodies ran."""
    BODIES.clear()


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the log lines that say that a step exceeds a remit."""
    return [record.message for record in caplog.records if "violates the remit" in record.message]


@kinds
def test_a_denied_step_never_runs_and_is_refused_each_time(kind: str) -> None:
    """A loop that swallows the exception, as frameworks do around tools, is refused again."""
    tries = 0
    with isolated(on_violation="deny") as recorder:
        with agent.run():
            for _ in range(3):
                try:
                    KINDS[kind]()
                except Exception as error:  # noqa: BLE001 - as a framework's loop does
                    tries += isinstance(error, DeniedError)
        assert tries == 3
        assert BODIES == []
        assert [span.status for span in recorder.spans()] == ["failed"] * 3
        assert recorder.runs[0].status == "complete"


@kinds
def test_what_was_refused_and_why_is_on_the_span(kind: str) -> None:
    """The arguments of the try, the error, and one sentence for each violation."""
    with isolated(on_violation="deny") as recorder:
        with agent.run(), pytest.raises(DeniedError) as raised:
            KINDS[kind]()
        (span,) = recorder.spans()
    error = (span.result or {})["error"]
    assert error["type"] == "remit.errors.DeniedError"
    assert error["message"] == str(raised.value)
    assert error["violations"] == list(map(fields_of, raised.value.violations))
    assert error["violations"][0] == {
        "sentence": f"financial_transactions: {span.name} declares allowed, but the agent "
        "tests.governed:agent declares disallowed",
        "part": "action_profile",
        "name": "financial_transactions",
        "word": "allowed",
        "agent": "tests.governed:agent",
        "limit": "disallowed",
    }
    assert span.payload == given(kind)
    assert span.violations == ()


def test_the_tree_of_a_run_shows_violations_beside_a_redacted_payload() -> None:
    """The marker that replaces the payload stays as it is."""
    with isolated(redact=lambda _: None) as recorder:
        with agent.run():
            pay()
        shown = repr(recorder.runs[0])
    assert "\n     <redacted: hook>\n" in shown
    assert "violates the remit: financial_transactions" in shown


@kinds
def test_observe_lets_the_step_run_and_marks_its_span(
    kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The mark stands beside the parameters; the log says it once."""
    BODIES.clear()
    caplog.clear()
    with isolated() as recorder:
        with agent.run():
            for _ in range(3):
                KINDS[kind]()
        with agent.run():
            KINDS[kind]()
        assert [ran(kind)] * 4 == BODIES
        spans = recorder.spans()
        assert [span.status for span in spans] == ["complete"] * 4
    for span in spans:
        assert span.payload == given(kind)
        assert (span.violations[0].name, span.violations[0].word) == (
            "financial_transactions",
            "allowed",
        )
    (line,) = lines(caplog)
    assert line.endswith(" forbids; it runs, because on_violation is observe"), line


@kinds
def test_terminate_ends_the_run_before_the_body(kind: str) -> None:
    """Neither a loop that swallows `Exception` nor one that swallows everything gets further."""
    with isolated(on_violation="terminate") as recorder:
        with agent.run() as run:
            for step in (KINDS[kind], undeclared, KINDS[kind]):
                with pytest.raises(RunTerminated):
                    step()
            assert run.terminated
        assert BODIES == []
        assert run.status == "terminated"
        (refused,) = recorder.spans()
        assert refused.status == "failed"
        assert (refused.result or {})["error"]["violations"]
        root = recorder.runs[0].root.result or {}
        assert root["status"] == "terminated"
        assert "financial_transactions" in root["reason"]
        assert recorder.runs[0].status == "failed"


@each(
    ("on_violation", "outcome"),
    [
        ("observe", "it runs, because on_violation is observe"),
        ("deny", "it was denied"),
        ("terminate", "it was denied and its run terminated"),
    ],
)
def test_the_log_names_both_declarations_and_where_they_stand(
    on_violation: OnViolation, outcome: str, caplog: pytest.LogCaptureFixture
) -> None:
    """So that a reader knows which of the two to mend."""
    caplog.clear()
    with isolated(on_violation=on_violation), agent.run(), suppress(DeniedError, RunTerminated):
        pay()
    (line,) = lines(caplog)
    assert re.match(
        r"tests\.governed:pay \(\S+governed\.py:\d+\) violates the remit: "
        r"it allows financial_transactions, which the agent "
        rf"tests\.governed:agent \(\S+governed\.py:\d+\) forbids; .*{outcome}",
        line,
    )


def test_the_log_says_where_a_block_begins(caplog: pytest.LogCaptureFixture) -> None:
    """A block has no declaration; its `with` is one."""
    with isolated(), agent.run():
        block()
        block()
    (line,) = lines(caplog)
    assert re.match(r"by hand \(\S+governed\.py:\d+\) violates", line)


@each("on_violation", ["observe", "deny", "terminate"])
def test_a_violation_is_logged_once_and_counted(
    caplog: pytest.LogCaptureFixture, on_violation: OnViolation
) -> None:
    """Neither a loop nor a thousand runs fill the log; the spans and the counts have them all."""
    caplog.clear()
    with isolated(on_violation=on_violation):
        for _ in range(3):
            with suppress(DeniedError, RunTerminated), agent.run():
                pay()
        assert remit.status().violations == {"tests.governed:pay": 3}
    assert len(lines(caplog)) == 1


def test_a_run_inside_another_ends_both_where_it_exceeds_the_outer_remit() -> None:
    """A step that the outer agent forbids is the outer run's end as well."""
    with isolated(on_violation="terminate"), agent.run() as outer:
        with pytest.raises(RunTerminated), free.run() as inner:
            pay()
        assert outer.terminated
        with pytest.raises(RunTerminated, match=outer.key):
            undeclared()
    assert (inner.status, outer.status) == ("terminated", "terminated")
    assert BODIES == []


def test_a_run_inside_another_ends_alone_where_it_exceeds_its_own_remit() -> None:
    """The outer agent allows the step."""
    with isolated(on_violation="terminate"), free.run() as outer:
        with pytest.raises(RunTerminated), agent.run() as inner:
            pay()
        pay()
    assert (inner.status, outer.status) == ("terminated", "complete")
    assert BODIES == ["function 5"]


def test_a_block_takes_over_the_data_risk_that_is_declared_under_its_name() -> None:
    """Its own counts where it has one."""
    with isolated(on_violation="observe") as recorder, agent.run():
        remit.span_type("settle", data_risk=PAYS)(lambda: None)
        with remit.span("settle"):
            pass
        with remit.span("settle", data_risk=remit.risk(allows="read_data")):
            pass
    assert [bool(span.violations) for span in recorder.spans("settle")] == [True, False]


def test_blocks_of_ever_new_names_do_not_fill_memory(caplog: pytest.LogCaptureFixture) -> None:
    """What was logged is remembered within bounds; beyond them the spans alone say it."""
    with isolated() as recorder, agent.run():
        for number in range(1_100):
            with remit.span(f"pay {number}", data_risk=PAYS):
                pass
        assert len(lines(caplog)) == 1_000
        assert all(span.violations for span in recorder.spans())


@pytest.mark.parametrize(
    ("on_violation", "raised"), [("deny", "DeniedError"), ("terminate", "RunTerminated")]
)
def test_silence_is_no_permission_where_the_agent_forbids_the_word(
    on_violation: OnViolation, raised: str
) -> None:
    """A step that says nothing of money is refused, but only under an agent that forbids it."""
    with isolated(on_violation=on_violation) as recorder:
        with agent.run(), pytest.raises((DeniedError, RunTerminated)) as error:
            undeclared()
        assert type(error.value).__name__ == raised
        with free.run():
            undeclared()
        said = "tests.governed:undeclared was denied: it does not declare financial_transactions"
        assert said in str(error.value)
        assert "data_risk=remit.risk(...)" in str(error.value)
        assert [span.status for span in recorder.spans()] == ["failed", "complete"]
    assert BODIES == ["undeclared"]


def test_observe_lets_silence_pass() -> None:
    """It is no violation that anybody declared."""
    with isolated() as recorder, agent.run():
        undeclared()
    assert [span.violations for span in recorder.spans()] == [()]


class TestNestedAgents:
    """An agent called inside another's run: all ceilings hold."""

    def test_the_outer_one_holds_for_the_steps_of_the_inner(self) -> None:
        """The inner agent may move money, the outer one may not."""
        with isolated(on_violation="deny") as recorder:

            @remit.agent(data_risk=remit.risk(forbids="financial_transactions"))
            def outer() -> None:
                inner()

            @remit.agent(data_risk=remit.risk(forbids=("financial_transactions", "destroy_data")))
            def inner() -> None:
                with remit.span("erase", data_risk=remit.risk(allows="destroy_data")):
                    BODIES.append("erase")

            with pytest.raises(DeniedError) as raised:
                outer()
            erase = recorder.spans("erase")[0]
            violations = raised.value.violations
            said = [violation.name for violation in violations]
            assert said == ["financial_transactions", "destroy_data", "financial_transactions"]
            agents = [violation.agent.rpartition(".")[2] for violation in violations]
            assert agents == ["outer", "inner", "inner"]
            assert erase.status == "failed"
        assert BODIES == []

    def test_the_inner_one_ends_with_its_call(self) -> None:
        """After it the outer agent may do again what the inner one may not."""
        with isolated(on_violation="deny"), free.run():

            @remit.agent(data_risk=remit.risk(forbids="financial_transactions"))
            def inner() -> None:
                with pytest.raises(DeniedError):
                    pay()

            inner()
            assert BODIES == []
            pay()
        assert BODIES == ["function 5"]

    def test_a_run_of_its_own_inside_another_is_below_both(self) -> None:
        """A second run is no way around the first one's ceiling."""
        with isolated(on_violation="deny"), agent.run(), free.run(), pytest.raises(DeniedError):
            pay()
        assert BODIES == []

    def test_an_agent_that_calls_itself_says_each_violation_once(self) -> None:
        """The same ceiling does not hold twice."""
        with isolated() as recorder:

            @remit.agent(data_risk=remit.risk(forbids="financial_transactions"))
            def countdown(n: int) -> None:
                if n:
                    countdown(n - 1)
                else:
                    pay()

            countdown(5)
        (span,) = recorder.spans("pay")
        assert len(span.violations) == 1


def test_a_category_that_a_type_shows_counts_as_declared() -> None:
    """What nobody wrote down but the signature says exceeds a ceiling too."""
    with isolated() as recorder:

        @remit.agent(data_risk=remit.risk(excludes="contact_information"))
        def mailer() -> None:
            write("ada@example.org")

        @remit.span_type
        def write(to: Annotated[str, remit.Sensitive("contact_information")]) -> None: ...

        mailer()
    assert recorder.spans("write")[0].violations
