"""The ceiling: what an agent forbids, no step of its runs may say it does."""

from __future__ import annotations

import pytest

from remit._policy import violations
from remit._risk import coerce, risk
from remit.models.agent_instance import DataRisk

CEILING = risk(
    forbids=("destroy_data", "financial_transactions"),
    excludes="health_and_medical",
    classification="internal",
)
MONEY = "financial_transactions: the step says {}, the agent says disallowed"
HEALTH = "health_and_medical in the {}: the step says {}, the agent says excluded"


@pytest.mark.parametrize(
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
    assert violations(CEILING, step, strict=False) == expected


@pytest.mark.parametrize("step", [None, risk()], ids=["undeclared", "unknown"])
def test_strictly_a_silent_step_exceeds_what_is_forbidden(step: DataRisk | None) -> None:
    """Nobody knows that it stays below."""
    assert violations(CEILING, step, strict=True) == (
        "destroy_data: the step says unknown, the agent says disallowed",
        MONEY.format("unknown"),
        HEALTH.format("params", "unknown"),
        HEALTH.format("result", "unknown"),
    )


def test_strictly_a_step_that_agrees_stays_below() -> None:
    """It has said so."""
    same = risk(forbids=("destroy_data", "financial_transactions"), excludes="health_and_medical")
    assert violations(CEILING, same, strict=True) == ()


@pytest.mark.parametrize("strict", [True, False], ids=["strict", "lenient"])
@pytest.mark.parametrize("ceiling", [None, risk()], ids=["undeclared", "unknown"])
def test_an_agent_that_forbids_nothing_has_no_ceiling(
    ceiling: DataRisk | None,
    strict: bool,  # noqa: FBT001 - a case
) -> None:
    """Whatever a step does."""
    step = risk(allows="destroy_data", takes="minors_data", classification="secret")
    assert violations(ceiling, step, strict=strict) == ()


def test_each_side_has_a_ceiling_of_its_own() -> None:
    """Taking in is not giving out."""
    ceiling = coerce({"result_data_categories": {"minors_data": "excluded"}}, "here")
    assert violations(ceiling, risk(takes="minors_data"), strict=False) == ()
    assert len(violations(ceiling, risk(gives="minors_data"), strict=False)) == 1
