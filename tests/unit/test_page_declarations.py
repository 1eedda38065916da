"""The data map, the register and two declarations without a browser."""

from __future__ import annotations

import io
from collections.abc import Sequence
from csv import reader as reading
from typing import Final

import msgspec
import pytest

from remit import risk
from remit._policy.limits import not_compared
from remit._policy.words import CATEGORIES
from remit.collector.page import formats
from remit.collector.page.data.flows import (
    MOST_DRAWN,
    AgentFlows,
    FlowKind,
    categories_of,
    drawn,
    flows_of,
    ordered,
)
from remit.collector.page.data.map_drawing import ROW, TALL, drawing, thickness
from remit.collector.page.data.register_entries import Entry, entries_of
from remit.collector.page.declared import AgentRemit, remit_of
from remit.collector.page.sides import of_one_agent, reason_of, sides_of, summary_of
from remit.collector.page.tables import csv
from remit.collector.store.questions.count_lists import StepCount
from remit.collector.store.questions.records import AgentRecord
from tests.collecting import Json
from tests.declared_agents import (
    CONTACT,
    HEALTH,
    MONEY,
    OUTWARD,
    PERSON,
    REFUSAL,
    REFUSED_DATA,
    SECRETS,
    TYPES,
    owned,
    step,
)
from tests.violating import violation

BY_KIND: Final = {
    FlowKind.LEAVES: 0,
    FlowKind.NOT_RULED_OUT: 1,
    FlowKind.DENIED: 2,
    FlowKind.STAYS: 3,
}
OF_ANOTHER = violation("shop:pay_back", "shop:outer", "destroy_data")


def agent(name: str, number: int = 0, types: Sequence[Json] = ()) -> AgentRemit:
    """Return what an agent of the tests declared, or declares with other *types*."""
    types = types or TYPES[name]
    identifier = types[0]["name"]
    record = AgentRecord(f"id-{name}-{number}", name, None, f"/project/{identifier}", 0, "v1", None)
    return remit_of(record._replace(span_types=msgspec.json.encode(types).decode()))


def counts(one: AgentRemit, **steps: tuple[int, int]) -> dict[tuple[str, str], StepCount]:
    """Return how often steps of an agent ran, and how often they were denied."""
    return {
        (one.agent.id, f"shop:{name}"): StepCount(one.agent.id, f"shop:{name}", spans, denied)
        for name, (spans, denied) in steps.items()
    }


def kinds(one: AgentRemit, **steps: tuple[int, int]) -> dict[str, tuple[FlowKind, tuple[str, ...]]]:
    """Return what happens to each category of an agent, and by which steps."""
    flows = flows_of(one, counts(one, **steps), 1).flows
    return {flow.category: (flow.kind, flow.steps) for flow in flows}


def test_the_own_type_of_an_agent_is_found_by_its_name() -> None:
    """In local mode the folder of the project precedes it."""
    careful = agent("Careful desk")
    assert careful.own is not None
    assert careful.own.name == "shop:careful"
    assert careful.owner == "Ada Okafor"
    assert [step.short for step in careful.steps.values()] == ["pay_back", "write"]
    assert formats.short_name("a.b:C.step") == "C.step"


def test_a_category_leaves_by_the_steps_that_take_it() -> None:
    """And communicate outward; others may if they do not rule it out."""
    assert kinds(agent("Support desk")) == {
        PERSON: (FlowKind.NOT_RULED_OUT, ("charge", "chat", "purge", "refund")),
        CONTACT: (FlowKind.NOT_RULED_OUT, ("charge", "chat", "purge", "refund")),
        MONEY: (FlowKind.LEAVES, ("charge", "refund")),
        SECRETS: (FlowKind.LEAVES, ("charge",)),
    }
    assert kinds(agent("Shift planner")) == {
        PERSON: (FlowKind.STAYS, ()),
        CONTACT: (FlowKind.STAYS, ()),
    }


@pytest.mark.parametrize(
    ("ran", "kind"),
    [((3, 3), FlowKind.DENIED), ((3, 2), FlowKind.LEAVES), ((0, 0), FlowKind.LEAVES)],
)
def test_a_step_that_is_always_denied_lets_nothing_out(
    ran: tuple[int, int], kind: FlowKind
) -> None:
    """If one of its calls ran, it does."""
    assert kinds(agent("Careful desk"), pay_back=ran)[MONEY] == (kind, ("pay_back",))


def many(count: int) -> list[AgentFlows]:
    """Return the flows of many agents, in the order of the map."""
    names = list(TYPES)
    every = [agent(names[number % len(names)], number) for number in range(count)]
    return ordered(
        flows_of(one, counts(one, book=(number, 0)), 2) for number, one in enumerate(every)
    )


def test_agents_through_which_data_leave_come_first_and_others_last() -> None:
    """At most twelve rows; the last stands for all others."""
    every = many(40)
    rows = drawn(every)

    assert len(rows) == MOST_DRAWN
    assert rows[:-1] == every[: MOST_DRAWN - 1]
    assert rows[-1].name == "29 other agents"
    assert rows[-1].agents + MOST_DRAWN - 1 == len(every)
    assert sum(row.runs for row in rows) == 80
    ranks = [min((BY_KIND[flow.kind] for flow in each.flows), default=2) for each in every]
    assert ranks == sorted(ranks)
    assert rows[-1].by_kind[FlowKind.STAYS] == sum(
        bool(each.of(FlowKind.STAYS)) for each in every[11:]
    )
    assert drawn(every[:MOST_DRAWN]) == every[:MOST_DRAWN]


def test_lines_stay_within_the_map() -> None:
    """Each line begins within the row of its category, and ends within that of its agent."""
    every = many(40)
    rows = drawn(every)
    categories = categories_of(rows, [agent(name) for name in TYPES])
    picture = drawing(rows, categories, len(CATEGORIES) - len(categories))

    assert picture.height == sum(row.height for row in picture.rows)
    assert {row.height for row in picture.rows} <= {ROW, TALL}
    for row in picture.rows:
        assert len(row.lines) + len(row.behind) == len(row.agent.flows)
        for line in (*row.lines, *row.behind):
            begin, end = float(line.path[3:].split("C")[0]), float(line.path.split(" ")[-1])
            assert 0 <= begin + row.top <= picture.height
            assert 0 <= end <= row.height
        assert all(0 < out.y < row.height for out in row.out)
    middles = [middle for _, middle in picture.categories]
    assert middles == sorted(middles)
    assert [each.classification for each in categories if each.name == HEALTH] == ["restricted"]


def test_the_width_of_a_line_grows_with_the_logarithm_of_the_steps() -> None:
    """A step that did not run has the thinnest."""
    assert [thickness(spans) for spans in (0, 1, 10, 100_000)] == [1.4, 1.4, 3.0, 9.2]


def test_gaps_are_what_only_a_person_can_say() -> None:
    """With whom to ask."""
    gaps = {name: (entry.gaps, entry.ask) for name in TYPES for entry in [Entry(agent(name), 1)]}
    assert gaps["Claims triage"] == (["purpose"], "Mara Lindqvist")
    assert gaps["Contract reader"] == (["owner", "purpose", "categories"], "shop:contract")
    assert gaps["Mail sorter"][0] == ["owner", "purpose", "categories", "recipients"]


def test_what_ran_against_the_remit_is_a_question() -> None:
    """Unless each call was denied."""
    claims, careful = agent("Claims triage"), agent("Careful desk")
    ran = {**counts(claims, sort=(4, 0)), **counts(careful, pay_back=(3, 3))}
    first, second = entries_of([careful, claims], {claims.agent.id: 9, careful.agent.id: 2}, ran)

    assert first.violated == [(MONEY, 4)]
    assert "why sort handled financial information, which the agent excludes" in first.questions
    assert second.violated == []
    assert (second.recipients, second.idle) == ([], ["pay_back"])
    assert MONEY in first.declared.categories
    assert MONEY not in first.included


def test_what_the_remit_rules_out_is_excluded_whatever_a_step_declares() -> None:
    """A step that declares it and was denied, or did not run, makes it no data of the agent."""
    careful = agent("Careful desk")
    (denied,) = entries_of([careful], {careful.agent.id: 2}, counts(careful, pay_back=(3, 3)))
    assert denied.included == [CONTACT, SECRETS]
    assert denied.excluded == [MONEY, "minors_data"]
    assert MONEY not in denied.undeclared
    (ran,) = entries_of([careful], {careful.agent.id: 2}, counts(careful, pay_back=(3, 2)))
    assert (ran.included, ran.excluded) == ([CONTACT, SECRETS], ["minors_data"])
    assert ran.violated == [(MONEY, 1)]


def test_an_agent_that_forbids_to_send_has_no_recipients_until_a_step_sends() -> None:
    """Under `observe`, such a step runs."""
    types = [
        owned("shift", "Ilse Brandt", risk(forbids=OUTWARD)),
        step("send", risk(allows=OUTWARD)),
    ]
    forbids = agent("Shift planner", types=types)
    (denied,) = entries_of([forbids], {forbids.agent.id: 1}, counts(forbids, send=(1, 1)))
    assert denied.sends_nothing
    assert (denied.recipients, denied.idle) == ([], [])
    assert "recipients" not in denied.gaps
    (ran,) = entries_of([forbids], {forbids.agent.id: 1}, counts(forbids, send=(1, 0)))
    assert not ran.sends_nothing
    assert ran.recipients == ["send"]


def test_the_violations_of_a_step_become_two_declarations() -> None:
    """What is not declared any more is in the violation itself."""
    violations = of_one_agent([not_compared("shop:pay_back"), REFUSAL, REFUSED_DATA, OF_ANOTHER])
    assert [violation.name for violation in violations] == ["financial_transactions", MONEY]
    summary = summary_of(violations[0], agent="Careful desk")
    assert summary == "may move money, but Careful desk forbids it"
    careful = agent("Careful desk")
    both = sides_of(careful.steps["shop:pay_back"], careful.own, violations)
    assert [(word.step, word.agent) for word in both.violated] == [
        ("it does this", "never"),
        ("goes in and comes out", "never in or out"),
    ]
    assert {word.name for word in both.others} == {
        "update_data",
        "destroy_data",
        "external_communication",
        SECRETS,
        "minors_data",
    }
    alone = sides_of(None, None, violations)
    assert [(word.step, word.agent) for word in alone.violated] == [
        ("it does this", "never"),
        ("goes in", "never in"),
    ]


@pytest.mark.parametrize(
    ("word", "reason", "summary"),
    [
        (
            "allowed",
            "The step declares that it does this.",
            "may destroy data, but Desk forbids it",
        ),
        (
            "unknown",
            "The step does not declare whether it does this.",
            "leaves destroying data undeclared, but Desk forbids it",
        ),
    ],
)
def test_a_reason_says_the_violation(word: str, reason: str, summary: str) -> None:
    """Even if the step does not declare it."""
    found = violation("a:step", "a:desk", "destroy_data", word)
    assert reason_of([found]) == f"The agent forbids destroying data. {reason}"
    assert summary_of(found, agent="Desk") == summary
    assert reason_of([]) == ""


def test_a_spreadsheet_computes_nothing() -> None:
    """A text that begins like a formula stays a text."""
    assert csv(["a", "b"], [("=1+1", 2), ("x", None)]) == b"a,b\r\n'=1+1,2\r\nx,\r\n"
    for first in "=+-@\t\r\n\uff1d\uff0b\uff0d\uff20":
        text = csv(["a"], [(f"{first}1+1",)]).decode()
        ((cell,),) = list(reading(io.StringIO(text, newline="")))[1:]
        assert cell == f"'{first}1+1"
