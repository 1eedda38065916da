"""Which steps the page says would be denied, and what a version widened."""

from __future__ import annotations

import json
from typing import Any, Final, get_args

from hypothesis import given
from hypothesis import strategies as st

from remit._declare.risk import risk
from remit._policy.rehearsal import rehearse
from remit._policy.words import ACTION, CATEGORIES, DeclaredStep, declared_words
from remit.errors import Violation
from remit.models.data_risk import Action, DataRisk
from tests.inside_collector import (
    Declaration,
    Group,
    asked,
    changes,
    declaration_of,
    denials,
    exits,
    new_exits,
    reason_of,
    summary_of,
)

SEND: Final = "external_communication"
MAIL: Final = "contact_information"
KINDS: Final = ("", "llm", "retriever", "agent")
AGENT: Final = "desk:support"
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


def entry(name: str, data_risk: DataRisk | None = None, **params: Any) -> dict[str, Any]:
    """Return a span type as a schema version has it."""
    words = None if data_risk is None else data_risk.model_dump(mode="json")
    return {"name": name, "params_schema": {"type": "object", **params}, "data_risk": words}


def of(remit: DataRisk | None, *steps: dict[str, Any], **params: Any) -> Declaration:
    """Return the declaration of an agent with steps."""
    return declaration_of(json.dumps([entry(AGENT, remit, **params), *steps]), AGENT)


@given(RISKS, st.dictionaries(st.sampled_from("abcd"), st.tuples(RISKS, st.sampled_from(KINDS))))
def test_the_page_and_the_command_line_agree_by_which_steps_data_may_leave(
    remit: DataRisk, steps: dict[str, tuple[DataRisk, str]]
) -> None:
    """One definition, which the reader of either meets."""
    entries = [entry(name, step, **{"x-remit-kind": kind}) for name, (step, kind) in steps.items()]
    declared = of(remit, *entries)
    known = [DeclaredStep(name, declared_words(step), kind) for name, (step, kind) in steps.items()]

    shown = {
        category: dict.fromkeys(way.takes, "declared")
        | dict.fromkeys(way.not_ruled_out, "not ruled out")
        for way in exits(declared, denials(declared))
        for category in way.categories
    }

    assert shown == rehearse(remit, known).leaves


@given(RISKS, RISKS, st.sampled_from(["", "llm"]))
def test_the_page_denies_what_the_command_line_says_is_denied(
    remit: DataRisk, step: DataRisk, kind: str
) -> None:
    """Both decide as the policy does."""
    denied = denials(of(remit, entry("step", step, **{"x-remit-kind": kind})))

    rehearsal = rehearse(remit, [DeclaredStep("step", declared_words(step), kind)])

    assert ("step" in denied) == ("step" not in rehearsal.allowed)
    assert bool(denied and denied["step"].does) == ("step" in rehearsal.denied)


def test_a_denial_names_what_the_step_does_and_leaves_undeclared() -> None:
    """Each action and category once."""
    remit = risk(forbids=("destroy_data", SEND), excludes=MAIL)
    declared = of(remit, entry("purge", risk(allows="destroy_data", takes=MAIL)), entry("plain"))

    denied = denials(declared)

    assert [*denied] == ["purge", "plain"]
    assert denied["purge"] == (["destroy_data", MAIL], [SEND])
    assert denied["plain"] == ([], ["destroy_data", SEND, MAIL])


def test_data_leaves_by_steps_that_take_it_or_do_not_rule_it_out() -> None:
    """A step that declares what is ruled out is denied, so nothing leaves by it."""
    declared = of(
        risk(forbids="destroy_data"),
        entry("mail", risk(allows=SEND, takes=MAIL, forbids="destroy_data")),
        entry("chat", risk(allows=SEND, forbids="destroy_data")),
        entry("closed", risk(allows=SEND, excludes=MAIL)),
        entry("purge", risk(allows=(SEND, "destroy_data"), takes=MAIL)),
        entry("local", risk(takes=MAIL)),
    )

    (way,) = exits(declared, denials(declared))

    assert way == ([MAIL], ["mail"], ["chat", "local"])


def test_the_agent_is_the_span_type_with_its_name() -> None:
    """In local mode a folder comes before the name; without the name, the owner tells."""
    types = json.dumps([entry("desk:support"), entry("port"), entry("remit:run")])
    owned = json.dumps([entry("one", None, **{"x-remit-owner": "payments team"}), entry("two")])

    local = declaration_of(types, "~/desk:support")
    other = declaration_of(owned, "chosen elsewhere")

    assert local.own is not None
    assert (local.own.name, [*local.steps]) == ("desk:support", ["port"])
    assert other.owner == "payments team"
    assert declaration_of(types, "support").own is None
    assert declaration_of(None, None).all == []


def test_a_version_widens_by_new_steps_and_by_what_it_no_longer_rules_out() -> None:
    """Even if it is only undeclared now; a lower class weakens it. Two sides are one change."""
    old = of(
        risk(forbids="destroy_data"),
        entry("read", risk(allows="read_data", excludes=MAIL, classification="internal")),
        entry("gone", risk(allows="read_data")),
    )
    new = of(
        None,
        entry("read", risk(allows="read_data", classification="public")),
        entry("send", risk(allows=SEND)),
    )

    listed = [(one.group, one.step, one.what) for one in changes(old, new)]

    assert listed == [
        (Group.WIDENS, "read", "contact information"),
        (Group.WIDENS, "send", ""),
        (Group.WIDENS, AGENT, "destroy data"),
        (Group.NARROWS, "gone", ""),
        (Group.WEAKENS, "read", "class"),
        (Group.WEAKENS, "send", ""),
    ]
    assert new_exits(old, new) == {}
    assert new_exits(new, of(None, entry("send", risk(allows=SEND, takes=MAIL)))) == {
        MAIL: ["send"]
    }


def test_a_version_narrows_by_what_it_rules_out() -> None:
    """And weakens the words that it no longer declares."""
    old = of(None, entry("read", risk(allows=SEND)))
    new = of(None, entry("read", risk(forbids="destroy_data")))

    listed = [(one.group, one.what) for one in changes(old, new)]

    assert listed == [
        (Group.NARROWS, "destroy data"),
        (Group.WEAKENS, "external communication"),
    ]


@given(*[RISKS] * 4)
def test_the_way_back_narrows_what_the_way_there_widens(
    remit: DataRisk, other_remit: DataRisk, step: DataRisk, other_step: DataRisk
) -> None:
    """No word allows more in both directions, and what is ruled out now was not before."""
    old, new = of(remit, entry("step", step)), of(other_remit, entry("step", other_step))

    there, back = _words(old, new), _words(new, old)

    assert not there[Group.WIDENS] & back[Group.WIDENS]
    assert there[Group.NARROWS] <= back[Group.WIDENS]
    assert back[Group.NARROWS] <= there[Group.WIDENS]


def _words(old: Declaration, new: Declaration) -> dict[Group, set[tuple[str, str]]]:
    """Return what changed in words, by what it means; each side of a category alone."""
    words: dict[Group, set[tuple[str, str]]] = {group: set() for group in Group}
    for change in changes(old, new):
        if change.what != "class":
            sides = [""] if " data" in change.what else [" going in", " coming out"]
            whole = change.what.endswith((" going in", " coming out"))
            parts = [change.what] if whole else [f"{change.what}{side}" for side in sides]
            words[change.group] |= {(change.step, part) for part in parts}
    return words


def test_a_remit_that_is_not_declared_any_more_is_widened() -> None:
    """The way back narrows it; dropping a class weakens it."""
    remit = risk(forbids="destroy_data")
    step = entry("step", risk(takes=MAIL, classification="restricted"))
    undeclared = entry("step", risk(takes=MAIL))
    old, new = of(remit, step), declaration_of(json.dumps([undeclared]), AGENT)

    there, back = (
        [(change.group, change.step, change.what) for change in changes(*pair)]
        for pair in ((old, new), (new, old))
    )

    assert there == [
        (Group.WIDENS, AGENT, "destroy data"),
        (Group.WEAKENS, "step", "class"),
    ]
    assert back == [
        (Group.WIDENS, "step", "class"),
        (Group.NARROWS, AGENT, "destroy data"),
    ]


def test_changed_fields_and_owners_are_listed() -> None:
    """With the rule that redacts a field, or does no more."""
    secret = {"type": "string", "x-remit-redacted": "type:SecretStr"}
    fields = {"code": secret, "days": {"anyOf": [{"type": "integer"}, {"type": "null"}]}}
    old = of(None, entry("pay", properties=fields, required=["code"]))
    new = of(
        None,
        entry("pay", properties={"code": {"type": "string"}}, required=["code"]),
        **{"x-remit-owner": "payments team"},
    )

    listed = [(one.what, one.old.text, one.new.text, one.follows) for one in changes(old, new)]

    assert listed == [
        ("code", "string", "string", "no longer redacted"),
        ("days", "integer or null, optional", None, ""),
        ("owner", None, "payments team", ""),
    ]


def test_raised_and_dropped_limits_widen() -> None:
    """Lowered and added ones narrow."""
    before = {"financial_transactions": 1, "read_data": 5, "steps": 200}
    after = {"financial_transactions": 2, "destroy_data": 1, "steps": 100}
    old, new = (of(None, **{"x-remit-limits": limits}) for limits in (before, after))

    listed = [(str(one.group), one.what, one.old.text, one.new.text) for one in changes(old, new)]

    assert listed == [
        ("widens", "read data a run", "at most 5", "no limit"),
        ("widens", "financial transactions a run", "at most 1", "at most 2"),
        ("narrows", "destroy data a run", "no limit", "at most 1"),
        ("narrows", "steps a run", "at most 200", "at most 100"),
    ]


def test_an_action_that_is_asked_about_is_between_never_and_may() -> None:
    """The page reads the keyword of the agent's schema, as the lock does."""
    pays = risk(allows="financial_transactions", forbids="others")
    asks = {"x-remit-asks": ["financial_transactions", "of another version"]}
    never, asking, may = (
        of(risk(forbids="financial_transactions"), entry("pay", pays)),
        of(risk(asks="financial_transactions"), entry("pay", pays), **asks),
        of(risk(allows="financial_transactions"), entry("pay", pays)),
    )
    assert asking.own is not None
    assert asking.own.asks == ["financial_transactions"]
    assert asked(asking.own, asking.steps["pay"]) == ("financial_transactions",)
    assert not denials(asking)
    assert not asked(may.own, may.steps["pay"])
    for old, new, group in (
        (never, asking, Group.WIDENS),
        (asking, may, Group.WIDENS),
        (may, asking, Group.NARROWS),
        (asking, never, Group.NARROWS),
    ):
        (change,) = changes(old, new)
        assert change.group is group
        assert "asks" in {change.old.text, change.new.text}


def test_a_denied_step_that_got_no_yes_is_told_as_such() -> None:
    """The agent does not forbid it."""
    violation = Violation("a sentence", ACTION, "financial_transactions", "allowed", AGENT, "asked")
    assert summary_of(violation, agent="Desk") == "may move money, and Desk asks a person about it"
    assert reason_of([violation]) == (
        "The agent asks a person about moving money. The step declares that it does this."
    )
