"""What a remit means for each step, before any of them runs."""

from __future__ import annotations

from typing import Final, get_args

from hypothesis import given
from hypothesis import strategies as st

from remit._declare.risk import risk
from remit._inspect.marks import CATEGORIES
from remit._record.policy import Ceiling, verdict
from remit.cli._rehearsal import Rehearsal, Step, rehearse
from remit.models.data_risk import Action, DataRisk

MAIL: Final = "contact_information"
SEND: Final = "external_communication"
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


def of(remit: DataRisk | None, **risks: DataRisk | None) -> Rehearsal:
    """Return the rehearsal of plain steps."""
    return rehearse(remit, [Step(name, data_risk) for name, data_risk in risks.items()])


def test_each_step_is_allowed_open_or_refused_with_the_words() -> None:
    """A category is named once; with its side if only that one exceeds the remit."""
    remit = risk(forbids=("destroy_data", SEND), excludes=("minors_data", MAIL))
    silent = rehearse(
        remit,
        [
            Step("undeclared", None),
            Step("one_side", risk(forbids="others", gives=MAIL, excludes="others")),
            Step("both_sides", risk(allows=SEND, takes=MAIL, gives=MAIL)),
            Step("closed", risk(forbids="others", excludes="others")),
        ],
    )
    assert silent.allowed == ("closed",)
    assert silent.open == {"undeclared": ("destroy_data", SEND, MAIL, "minors_data")}
    assert silent.refused == {"both_sides": (SEND, MAIL), "one_side": (f"{MAIL} in the result",)}


def test_an_agent_without_a_remit_may_take_every_step() -> None:
    """What it forbids is nothing, however little its steps say."""
    assert of(None, b=None, a=risk(allows=SEND)).allowed == ("a", "b")
    assert of(risk(allows="read_data"), a=None).allowed == ("a",)


def test_what_a_model_leaves_unknown_exceeds_nothing() -> None:
    """A model whose declaration allows what the agent forbids is refused, as any step."""
    remit = risk(forbids=SEND)
    models = [
        Step("silent", None, has_effect=False),
        Step("sends", risk(allows=SEND), has_effect=False),
    ]
    silent = rehearse(remit, models)
    assert (silent.allowed, silent.open) == (("silent",), {})
    assert silent.refused == {"sends": (SEND,)}


def test_a_category_may_leave_by_each_step_that_does_not_rule_it_out() -> None:
    """Steps that are refused, agents and models bring nothing in and let nothing out."""
    source = Step("source", risk(forbids=SEND, gives=(MAIL, "minors_data")))
    closed = Step("closed", risk(allows=SEND, excludes="others"))
    refused = Step("refused", risk(allows=("destroy_data", SEND), gives="financial_information"))
    agent = Step("agent", risk(allows=SEND, gives="health_and_medical"), is_agent=True)
    model = Step("model", risk(allows=SEND, gives="criminal_justice"), has_effect=False)
    mail = Step("mail", risk(allows=SEND, takes=MAIL, excludes="minors_data"))
    remit = risk(forbids="destroy_data")
    steps = [source, closed, refused, agent, model, mail]
    assert rehearse(remit, steps).leaves == {MAIL: ("mail",)}
    assert rehearse(remit, [*steps, Step("silent", None)]).leaves == {
        MAIL: ("mail", "silent"),
        "minors_data": ("silent",),
    }
    both = Step("both", risk(allows=SEND, gives=MAIL))
    assert rehearse(None, [both]).leaves == {MAIL: ("both",)}


@given(RISKS, st.dictionaries(st.sampled_from("abcd"), st.one_of(st.none(), RISKS)))
def test_the_rehearsal_says_what_the_policy_decides(
    remit: DataRisk, risks: dict[str, DataRisk | None]
) -> None:
    """Refused is what exceeds the remit in any case; open, what `deny` refuses beside it."""
    ceiling = Ceiling.of("agent", "place", remit)
    ceilings = () if ceiling is None else (ceiling,)
    rehearsal = of(remit, **risks)
    assert {*rehearsal.allowed, *rehearsal.open, *rehearsal.refused} == risks.keys()
    for name, data_risk in risks.items():
        exceeds = verdict(ceilings, name, data_risk, strict=False).violations
        strictly = verdict(ceilings, name, data_risk, strict=True).violations
        assert (name in rehearsal.refused) == bool(exceeds)
        assert (name in rehearsal.open) == bool(strictly and not exceeds)
