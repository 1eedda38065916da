"""What a remit means for each step, before any of them runs."""

from __future__ import annotations

from typing import Final, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remit._declare.risk import risk
from remit._policy.leaving import Leaves, may_leave
from remit._policy.limits import Ceiling, verdict
from remit._policy.rehearsal import Rehearsal, rehearse
from remit._policy.words import CATEGORIES, DeclaredStep, declared_words
from remit.models.data_risk import Action, DataRisk

MAIL: Final = "contact_information"
SEND: Final = "external_communication"
DECLARED, OPEN = Leaves.DECLARED, Leaves.NOT_RULED_OUT
RISKS = st.builds(
    lambda allows, forbids, takes, gives, excludes: risk(
        allows=allows,
        forbids=forbids - allows,
        takes=takes,
        gives=gives,
        excludes=excludes - takes - gives,
    ),
    *[st.frozensets(st.sampled_from(get_args(Action)), max_size=4)] * 2,
    *[st.frozensets(st.sampled_from(CATEGORIES), max_size=4)] * 3,
)


def step(name: str, data_risk: DataRisk | None, kind: str = "", **more: bool) -> DeclaredStep:
    """Return a step with a data risk."""
    return DeclaredStep(name, declared_words(data_risk), kind, **more)


def of(remit: DataRisk | None, **risks: DataRisk | None) -> Rehearsal:
    """Return the rehearsal of plain steps."""
    return rehearse(remit, [step(name, data_risk) for name, data_risk in risks.items()])


def test_each_step_is_allowed_open_or_refused_with_the_words() -> None:
    """A category is named once; with its side if only that one exceeds the remit."""
    remit = risk(forbids=("destroy_data", SEND), excludes=("minors_data", MAIL))
    silent = rehearse(
        remit,
        [
            step("undeclared", None),
            step("one_side", risk(forbids="others", gives=MAIL, excludes="others")),
            step("both_sides", risk(allows=SEND, takes=MAIL, gives=MAIL)),
            step("closed", risk(forbids="others", excludes="others")),
        ],
    )
    assert silent.allowed == ("closed",)
    assert silent.undeclared == {"undeclared": ("destroy_data", SEND, MAIL, "minors_data")}
    assert silent.denied == {"both_sides": (SEND, MAIL), "one_side": (f"{MAIL} in the result",)}


def test_an_agent_without_a_remit_may_take_every_step() -> None:
    """What it forbids is nothing, however little its steps say."""
    assert of(None, b=None, a=risk(allows=SEND)).allowed == ("a", "b")
    assert of(risk(allows="read_data"), a=None).allowed == ("a",)


def test_what_a_model_leaves_unknown_exceeds_nothing() -> None:
    """A model whose declaration allows what the agent forbids is refused, as any step."""
    remit = risk(forbids=SEND)
    models = [
        step("silent", None, "llm"),
        step("sends", risk(allows=SEND), "llm"),
    ]
    silent = rehearse(remit, models)
    assert (silent.allowed, silent.undeclared) == (("silent",), {})
    assert silent.denied == {"sends": (SEND,)}


def test_a_category_may_leave_by_each_step_that_does_not_rule_it_out() -> None:
    """A refused step and an agent send nothing; the others do, or do not rule it out."""
    source = step("source", risk(forbids=SEND, gives=(MAIL, "minors_data")))
    closed = step("closed", risk(allows=SEND, excludes="others"))
    refused = step("refused", risk(allows=("destroy_data", SEND), gives="financial_information"))
    agent = step("agent", risk(allows=SEND, gives="health_and_medical"), is_agent=True)
    model = step("model", risk(allows=SEND, gives="criminal_justice"), "llm")
    mail = step("mail", risk(allows=SEND, takes=MAIL, excludes="minors_data"))
    remit = risk(forbids="destroy_data")
    steps = [source, closed, refused, agent, model, mail]
    steps += [step("silent", None), step("gives", risk(allows=SEND, gives=MAIL, excludes="others"))]
    assert rehearse(remit, steps).leaves == {
        MAIL: {"gives": DECLARED, "mail": DECLARED, "model": OPEN, "silent": OPEN},
        "minors_data": {"model": OPEN, "silent": OPEN},
        "health_and_medical": {"mail": OPEN, "model": OPEN, "silent": OPEN},
        "criminal_justice": {"mail": OPEN, "model": DECLARED, "silent": OPEN},
    }


@pytest.mark.parametrize("kind", ["llm", "retriever", "tool", "step", ""])
def test_a_model_call_and_a_retriever_communicate_unless_they_rule_it_out(kind: str) -> None:
    """They call a service, whether or not they declare it."""
    takes = step("ask", risk(takes=MAIL), kind)
    local = step("ask", risk(takes=MAIL, forbids=SEND), kind)
    calls_a_service = kind in {"llm", "retriever"}
    assert may_leave(takes, MAIL) is (DECLARED if calls_a_service else OPEN)
    assert may_leave(local, MAIL) is None


@given(RISKS, st.dictionaries(st.sampled_from("abcd"), st.one_of(st.none(), RISKS)))
def test_the_rehearsal_says_what_the_policy_decides(
    remit: DataRisk, risks: dict[str, DataRisk | None]
) -> None:
    """Refused is what exceeds the remit in any case; open, what `deny` refuses beside it."""
    ceiling = Ceiling.of("agent", "place", remit)
    ceilings = () if ceiling is None else (ceiling,)
    rehearsal = of(remit, **risks)
    assert {*rehearsal.allowed, *rehearsal.undeclared, *rehearsal.denied} == risks.keys()
    for name, data_risk in risks.items():
        exceeds = verdict(ceilings, name, data_risk, strict=False).violations
        strictly = verdict(ceilings, name, data_risk, strict=True).violations
        assert (name in rehearsal.denied) == bool(exceeds)
        assert (name in rehearsal.undeclared) == bool(strictly and not exceeds)
