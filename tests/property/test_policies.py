"""Laws of the policy."""

from __future__ import annotations

from contextlib import suppress
from typing import Literal, cast, get_args

from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

import remit as sdk
from remit.errors import DeniedError, Violation
from remit.models.agent_instance import ActionProfile, DataCategories, DataRisk
from remit.testing import isolated
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


def violations(remit: DataRisk, step: DataRisk, *, strict: bool) -> tuple[Violation, ...]:
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


ACTIONS = tuple(ActionProfile.model_fields)
CATEGORIES = tuple(name for name in DataCategories.model_fields if name != "classification")
COMPLETE = st.builds(
    sdk.risk,
    allows=st.sets(st.sampled_from(ACTIONS)),
    forbids=st.just("others"),
    takes=st.sets(st.sampled_from(CATEGORIES)),
    gives=st.sets(st.sampled_from(CATEGORIES)),
    excludes=st.just("others"),
)
"""Declarations that leave no word unknown."""


@given(RISKS, st.lists(COMPLETE, min_size=1, max_size=4))
def test_of_complete_declarations_observe_records_what_deny_refuses(
    limits: DataRisk, risks: list[DataRisk]
) -> None:
    """The two modes differ in nothing but whether the body runs."""
    assert exceeding("observe", limits, risks) == exceeding("deny", limits, risks)


@given(RISKS, st.lists(RISKS, min_size=1, max_size=4))
def test_of_others_deny_refuses_more(limits: DataRisk, risks: list[DataRisk]) -> None:
    """What is unknown passes under `observe` without a record."""
    observed, refused = exceeding("observe", limits, risks), exceeding("deny", limits, risks)
    assert all(set(observed[step]) <= set(refused[step]) for step in observed)


def exceeding(
    mode: Literal["observe", "deny"], limits: DataRisk, risks: list[DataRisk]
) -> dict[str, tuple[str, ...]]:
    """Return by step what exceeds *limits*: as recorded of a step that runs, or as refused."""
    ran: list[int] = []
    by_step: dict[str, tuple[str, ...]] = {}
    with isolated(on_violation=mode) as recorder:

        @sdk.agent(name="agent", data_risk=limits)
        def agent() -> None: ...

        with agent.run():
            for number, data_risk in enumerate(risks):
                step = sdk.span_type(f"step {number}", data_risk=data_risk)(ran.append)
                with suppress(DeniedError):
                    step(number)
        for number, span in enumerate(recorder.spans()):
            error = (span.result or {}).get("error", {})
            violations = error.get("violations", ())
            assert (span.name, bool(violations)) == (f"step {number}", number not in ran)
            sentences = [violation["sentence"] for violation in violations]
            by_step[span.name] = (*map(str, span.violations), *sentences)
    return by_step
