"""The ceiling: what an agent forbids, no step of its runs may say it does."""

from __future__ import annotations

import pytest

from remit._declare.risk import coerce, risk
from remit._policy.limits import Ceiling, under, verdict
from remit.models.agent_instance import DataRisk
from tests.subtests import each

REMIT = risk(
    forbids=("destroy_data", "financial_transactions"),
    excludes="health_and_medical",
    classification="internal",
)
MONEY = "financial_transactions: desk:pay declares {}, but the agent desk:agent declares disallowed"
HEALTH = (
    "health_and_medical in the {}: desk:pay declares {}, but the agent desk:agent declares excluded"
)


def violations(remit: DataRisk | None, step: DataRisk | None, *, strict: bool) -> tuple[str, ...]:
    """Return what a step that says *step* violates under an agent that says *remit*."""
    ceiling = Ceiling.of("desk:agent", "desk.py:1", remit)
    found = verdict(under((), ceiling), "desk:pay", step, strict=strict)
    return tuple(map(str, found.violations))


@each(
    ("step", "expected"),
    [
        pytest.param(None, (), id="undeclared"),
        pytest.param(risk(), (), id="unknown"),
        pytest.param(risk(allows="read_data", takes="minors_data"), (), id="below"),
        pytest.param(risk(forbids="financial_transactions"), (), id="agrees"),
        pytest.param(
            risk(allows="financial_transactions"), (MONEY.format("allowed"),), id="action"
        ),
        pytest.param(
            risk(takes="health_and_medical"), (HEALTH.format("params", "included"),), id="params"
        ),
        pytest.param(
            risk(gives="health_and_medical"), (HEALTH.format("result", "included"),), id="result"
        ),
        pytest.param(risk(classification="secret"), (), id="a classification is no ceiling"),
    ],
)
def test_a_step_that_says_what_the_agent_forbids_exceeds_it(
    step: DataRisk | None, expected: tuple[str, ...]
) -> None:
    """One sentence for each word, naming both declarations."""
    assert violations(REMIT, step, strict=False) == expected


@pytest.mark.parametrize("step", [None, risk()], ids=["undeclared", "unknown"])
def test_strictly_a_silent_step_exceeds_what_is_forbidden(step: DataRisk | None) -> None:
    """Nobody knows that it stays below."""
    assert violations(REMIT, step, strict=True) == (
        "destroy_data: desk:pay declares unknown, but the agent desk:agent declares disallowed",
        MONEY.format("unknown"),
        HEALTH.format("params", "unknown"),
        HEALTH.format("result", "unknown"),
    )


def test_strictly_a_step_that_agrees_stays_below() -> None:
    """It has said so."""
    same = risk(forbids=("destroy_data", "financial_transactions"), excludes="health_and_medical")
    assert violations(REMIT, same, strict=True) == ()


@each("remit", [None, risk(), risk(allows="read_data")])
def test_an_agent_that_forbids_nothing_has_no_ceiling(remit: DataRisk | None) -> None:
    """Whatever a step does, nothing is compared."""
    assert Ceiling.of("desk:agent", "desk.py:1", remit) is None


def test_each_side_has_a_ceiling_of_its_own() -> None:
    """Taking in is not giving out."""
    remit = coerce({"result_data_categories": {"minors_data": "excluded"}}, "here")
    assert violations(remit, risk(takes="minors_data"), strict=False) == ()
    assert len(violations(remit, risk(gives="minors_data"), strict=False)) == 1


def test_of_several_ceilings_those_are_named_that_are_exceeded() -> None:
    """All hold, the outer ones too; one that holds already is not added again."""
    outer = Ceiling.of("desk:outer", "desk.py:1", risk(forbids="financial_transactions"))
    inner = Ceiling.of("desk:inner", "desk.py:9", risk(forbids="destroy_data"))
    assert outer is not None
    both = under(under(under((), outer), inner), outer)
    assert both == (outer, inner)
    found = verdict(both, "desk:pay", risk(allows="financial_transactions"), strict=False)
    assert found.violated == (outer,)
    assert len(found.violations) == 1
