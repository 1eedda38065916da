"""Laws of the policy."""

from __future__ import annotations

from typing import cast, get_args

from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from remit.models.agent_instance import ActionProfile, DataCategories, DataRisk
from tests.inside import Ceiling, coerce, under, verdict


def words_of(model: type[BaseModel]) -> st.SearchStrategy[dict[str, str]]:
    """Return mappings that say something of some members of a part of a data risk."""
    return st.fixed_dictionaries(
        {},
        optional={
            name: st.sampled_from(get_args(field.annotation))
            for name, field in model.model_fields.items()
        },
    )


RISKS = st.fixed_dictionaries(
    {},
    optional={
        "action_profile": words_of(ActionProfile),
        "params_data_categories": words_of(DataCategories),
        "result_data_categories": words_of(DataCategories),
    },
).map(lambda given: cast("DataRisk", coerce(given, "here")))


def violations(remit: DataRisk, step: DataRisk, *, strict: bool) -> tuple[str, ...]:
    """Return what a step that says *step* violates under an agent that says *remit*."""
    ceilings = under((), Ceiling.of("agent", "here", remit))
    return verdict(ceilings, "step", step, strict=strict).violations


@given(RISKS, RISKS)
def test_strictness_only_adds_violations(remit: DataRisk, step: DataRisk) -> None:
    """What exceeds a ceiling when silence passes exceeds it when silence does not."""
    lenient = violations(remit, step, strict=False)
    assert set(lenient) <= set(violations(remit, step, strict=True))


@given(RISKS)
def test_an_agent_is_never_above_itself(declared: DataRisk) -> None:
    """What it forbids it does not say it does."""
    assert violations(declared, declared, strict=True) == ()
