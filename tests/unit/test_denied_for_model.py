"""A refusal that a model can read: what it says, and what it leaves out."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Generator

import pytest

import remit
from remit._policy.limits import not_compared
from remit.errors import DeniedError, RunTerminated, Violation
from remit.testing import isolated
from tests.governed import BODIES
from tests.subtests import each

AFTER = (
    ". Do not call it again, even with other arguments. Answer without it, or say that a person "
    "has to do it."
)


@remit.span_type(data_risk=remit.risk(allows="financial_transactions", excludes="minors_data"))
def pay() -> None:
    """Do what the agent forbids."""
    BODIES.append("pay")


@remit.span_type(
    data_risk=remit.risk(allows="financial_transactions", takes="minors_data", gives="minors_data")
)
def enroll() -> None:
    """Handle what the agent excludes as well."""
    BODIES.append("enroll")


@remit.span_type
def undeclared() -> None:
    """Say nothing."""
    BODIES.append("undeclared")


@remit.agent(data_risk=remit.risk(forbids="financial_transactions", excludes="minors_data"))
def desk() -> None:
    """Hold the runs."""


@remit.agent(data_risk=remit.risk(forbids="financial_transactions", excludes="minors_data"))
def clerk() -> None:
    """Forbid the same as the agent around it."""
    pay()


@pytest.fixture(autouse=True)
def _no_bodies() -> Generator[None]:
    """Check that no refused body ran."""
    BODIES.clear()
    yield
    assert BODIES == []


def refusal(step: Callable[[], object]) -> DeniedError:
    """Return the error with which *step* is refused in a run of the agent."""
    with (
        isolated(on_violation="deny"),
        desk.run(),
        pytest.raises(DeniedError) as raised,
    ):
        step()
    return raised.value


def test_a_model_is_told_that_policy_refused_the_step_why_and_what_to_do() -> None:
    """Models try again, or work around a refusal, if one of the four is missing."""
    assert refusal(pay).for_model() == (
        "Policy denied this step and it did not run, because it involves an action that "
        f"this agent may not take (financial transactions){AFTER}"
    )


def test_every_reason_is_named_once() -> None:
    """Also if two agents forbid the same."""
    assert refusal(clerk).for_model().count("financial transactions") == 1
    assert (
        "because it involves an action that this agent may not take (financial transactions) and "
        "data that this agent may not handle (minors data). Do not"
    ) in refusal(enroll).for_model()


def test_a_step_that_says_nothing_is_told_apart_from_one_that_exceeds() -> None:
    """Policy refuses what is unknown as well."""
    said = refusal(undeclared).for_model()
    assert (
        "because it may involve an action that this agent may not take (financial transactions) "
        "and data that this agent may not handle (minors data)"
    ) in said
    assert "involves" not in said


@each("name", ["pay: a says unknown", "pay was denied: no", "pay says included, the agent x"])
def test_the_name_of_a_step_changes_nothing_of_the_reason(name: str) -> None:
    """Whatever words of the policy are in it."""

    def block() -> None:
        with remit.span(name, data_risk=remit.risk(allows="financial_transactions")):
            BODIES.append("block")

    agent = "tests.unit.test_denied_for_model:desk"
    error = refusal(block)
    named = [violation for violation in error.violations if violation.word != "unknown"]
    assert [(each.name, each.agent) for each in named] == [("financial_transactions", agent)]
    assert "\n".join(map(str, error.violations)).startswith(
        f"financial_transactions: {name} declares"
    )
    only = DeniedError(name, named)
    assert str(only).partition(". ")[0] == (
        f"{name} was denied: it allows financial_transactions, which the agent {agent} forbids"
    )
    assert "Say what it does" not in str(only)


def test_a_step_outside_any_run_is_refused_with_the_same_advice() -> None:
    """Neither the file nor the thread is for a model."""
    with isolated(on_violation="deny"), pytest.raises(DeniedError) as raised:
        pay()
    said = raised.value.for_model()
    assert said.startswith("Policy denied this step and it did not run, because it was called ")
    # Another agent of the process may also ask about it.
    assert "outside any run and " in said
    assert "involves an action that this agent may not take" in said
    with isolated(outside_run="deny"), pytest.raises(DeniedError) as raised:
        pay()
    assert raised.value.for_model().endswith(AFTER)


@each(
    "error",
    [
        DeniedError("desk:pay", [not_compared("desk:pay")]),
        DeniedError("desk:pay", [Violation("of a framework: desk:pay says no")]),
        DeniedError("desk:pay", []),
    ],
    ids=["a fault", "a reason of another author", "no reason"],
)
def test_a_reason_that_policy_did_not_write_is_not_repeated(error: DeniedError) -> None:
    """It may hold names of anything."""
    assert error.for_model() == (
        "Policy denied this step and it did not run, because it could not be checked "
        f"against this agent's limits{AFTER}"
    )


@each("step", [pay, undeclared, clerk])
def test_a_model_sees_no_identifier_and_no_file_name(step: Callable[[], object]) -> None:
    """Those are on the span, and in the first part of the message."""
    said = refusal(step).for_model()
    for hidden in ("test", ".py", "_", ":pay", step.__name__):
        assert hidden not in said


@each("step", [pay, undeclared])
def test_the_message_of_the_error_ends_with_it(step: Callable[[], object]) -> None:
    """Several frameworks hand `str(error)` to the model."""
    error = refusal(step)
    cause = (
        "allows financial_transactions"
        if step is pay
        else "does not declare financial_transactions"
    )
    assert str(error).startswith(f"{error.step} was denied: it {cause}, which the agent ")
    assert str(error).endswith(f". {error.for_model()}")
    copy = pickle.loads(pickle.dumps(error))
    assert (str(copy), copy.for_model()) == (str(error), error.for_model())


def test_a_terminated_run_gives_its_reason_without_advice_to_a_model() -> None:
    """Nothing of that run runs any more."""
    with isolated(on_violation="terminate"), desk.run(), pytest.raises(RunTerminated) as raised:
        pay()
    said = (
        "tests.unit.test_denied_for_model:pay was denied: it allows financial_transactions, which"
    )
    assert said in str(raised.value)
    assert "Policy denied" not in str(raised.value)


def test_the_longest_refusal_names_each_word_once() -> None:
    """Of a step that says nothing, in an agent that forbids and excludes everything."""
    with isolated(on_violation="deny"):

        @remit.span_type("silent")
        def silent() -> None: ...

        @remit.agent(data_risk=remit.risk(forbids="others", excludes="others"))
        def strict() -> None: ...

        with strict.run(), pytest.raises(DeniedError) as raised:
            silent()
    error = raised.value
    words = [violation.name for violation in error.violations]
    assert len(set(words)) == 23
    for said in (str(error).partition(". Say")[0], error.for_model().replace(" ", "_")):
        assert [word for word in set(words) if said.count(word) != 1] == []
