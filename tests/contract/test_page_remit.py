"""What is declared of an agent and what happened: the views of one agent agree."""

from __future__ import annotations

import csv
import html
import io
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final, get_args

import pytest

from remit import risk
from remit.collector import Store
from remit.models.data_risk import Action, Category
from tests.collecting import Api
from tests.run_history import History
from tests.signing_in import Visitor, visitor
from tests.versioned_agents import agent_of

WORDS: Final = ("included", "excluded", "unknown")
SIDES: Final = tuple((params, result) for params in WORDS for result in WORDS)
"""What can be said of a category in the parameters and in the result."""
CATEGORIES: Final = get_args(Category)[: len(SIDES)]
"""As many categories: the agent says something else of each."""


@pytest.fixture
def reader(store: Store) -> Visitor:
    """Return somebody who is signed in, with the account."""
    return visitor(store)


def _type(name: str, sides: Mapping[str, tuple[str, str]]) -> dict[str, Any]:
    """Return a span type that says something of categories."""
    params, result = ({each: words[side] for each, words in sides.items()} for side in (0, 1))
    words = risk(forbids=get_args(Action)).model_dump(mode="json")
    words["params_data_categories"] |= params
    words["result_data_categories"] |= result
    return {"name": name, "params_schema": {}, "data_risk": words}


def _agent(api: Api, types: list[dict[str, Any]], spans: Mapping[str, Mapping[str, Any]]) -> str:
    """Return an agent of which steps ran once each."""
    agent = agent_of(api, "Support", external_identifier="desk:support")
    schema = {"external_identifier": "1", "span_type_schemas": types}
    run = api.instance(agent_id=agent, agent_schema_version=schema)["id"]
    for name, payload in spans.items():
        api.span(run, schema_name=name, status="complete", payload=payload)
    return agent


def _text(reader: Visitor, address: str, begin: str, end: str) -> str:
    """Return the words of a page between two pieces of its HTML."""
    answer = reader.http.get(address)
    assert answer.status_code == 200, answer.text
    part = answer.text.partition(begin)[2].partition(end)[0]
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", part)).split())


def _named(sentence: str, which: str) -> set[str]:
    """Return the categories that a sentence says were found and ruled out."""
    met = re.search(rf"Found ([^:.]+), which {which}: ", sentence)
    return set(met[1].split(", ")) if met else set()


def test_both_views_agree_on_what_is_ruled_out(reader: Visitor) -> None:
    """Whatever the agent and a step say of both sides of a category."""
    own = _type("desk:support", dict(zip(CATEGORIES, SIDES, strict=True)))
    steps = {f"desk:step{n}": dict.fromkeys(CATEGORIES, sides) for n, sides in enumerate(SIDES)}
    values = {name: {"$remit": "redacted", "rule": f"category:{name}"} for name in CATEGORIES}
    types = [own, *(_type(name, sides) for name, sides in steps.items())]
    agent = _agent(reader.api, types, dict.fromkeys(steps, values))

    lead = _text(reader, f"/agents/{agent}?view=activity", '<p class="lead">', "</p>")
    page = reader.http.get(f"/agents/{agent}").text
    row = page.partition('<tr class="own">')[2].partition("</tr>")[0]
    cells = re.findall(r'<td class="c [^"]*">(.*?)</td>', row)[len(get_args(Action)) :]
    shown = dict(zip((name.replace("_", " ") for name in CATEGORIES), cells, strict=False))
    never = {name for name, cell in shown.items() if cell == "never"}
    held = {name for name, cell in shown.items() if re.fullmatch("in|out|in, out", cell)}

    assert len(never) == 1
    assert len(held) == 5
    assert _named(lead, "the agent excludes") == never
    assert _named(lead, "a step excludes") == shown.keys() - never - held
    assert "in step4." in lead


def test_a_step_that_ran_undeclared_is_counted_on_both_views(reader: Visitor) -> None:
    """It does not declare what the agent rules out."""
    types = [_type("desk:support", {}), _type("desk:read", {})]
    agent = _agent(reader.api, types, {"desk:read": {}, "desk:score_pages": {}})

    page = _text(reader, f"/agents/{agent}", "<main", "</main>")
    assert (
        "Under deny , all of its 1 declared step would run; "
        "1 more is undeclared and would be denied: score_pages ."
    ) in page
    assert (
        "No declared step would be denied, because each one declares that it does not use" in page
    )
    assert (
        "score_pages would be denied. This step has no declaration, so it may use actions or data "
        "that the agent forbids or excludes." in page
    )
    happened = _text(reader, f"/agents/{agent}?view=activity", "<main", "</main>")
    assert (
        "Under deny , score_pages would be denied, because it does not declare whether it uses "
        "the actions and data that the agent forbids or excludes."
    ) in happened


def test_the_map_says_by_how_many_agents_the_rest_is_ruled_out(reader: Visitor) -> None:
    """In the column of what stays; a filter that shows nothing is answered in a sentence."""
    words = risk(forbids=get_args(Action), takes=get_args(Category)[0], excludes="others")
    types = [_type("desk:support", {}), _type("desk:read", {})]
    for each in types:
        each["data_risk"] = words.model_dump(mode="json")
    agent = _agent(reader.api, types, {"desk:read": {}})

    rest = _text(reader, f"/map?agent={agent}", '<tr id="c-rest">', "</table>")
    assert rest.endswith("none none excluded by 1 of 1 agent")
    assert "undeclared" not in rest
    table = _text(reader, f"/map?agent={agent}&show=not_ruled_out", 'id="table"', "</main>")
    assert "Everything is declared or excluded." in table
    assert "contact information" not in table


def test_the_map_says_in_how_many_agents_nothing_is_said(reader: Visitor) -> None:
    """Apart from what all agents rule out."""
    first, second, *_ = get_args(Category)
    sides = {first: ("included", "unknown"), second: ("excluded", "excluded")}
    agent = _agent(reader.api, [_type("desk:support", sides)], {})

    rows = _text(reader, f"/map?agent={agent}", '<tr id="c-rest">', "</table>")
    ruled_out, _, undeclared = rows.partition("excluded by 1 of 1 agent ")
    assert ruled_out == f"{second.replace('_', ' ')} none none "
    assert undeclared.endswith("none undeclared in 1 of 1 agent no declared step receives it none")


def test_an_agent_without_an_owner_leads_to_whom_to_ask(reader: Visitor) -> None:
    """From the list and from its page to its gap in the register; if it never ran, nowhere."""
    agent = _agent(reader.api, [_type("desk:support", {})], {})
    idle = agent_of(reader.api, "Idle", external_identifier="desk:idle")

    address = f"/register?agent={agent}&from=all#gaps"
    for path in ("/agents", f"/agents/{agent}"):
        page = reader.http.get(path).text
        assert f'missing: <a href="{address}">ask</a>' in page
        assert f"/register?agent={idle}" not in page
    gaps = _text(reader, address, 'id="gaps"', "</section>")
    assert "Support owner, purpose" in gaps
    assert gaps.endswith("the author of desk:support")


def test_all_categories_have_the_words_of_the_map(reader: Visitor) -> None:
    """Without the law that they are from."""
    agent = _agent(reader.api, [_type("desk:support", {})], {})
    page = _text(reader, f"/agents/{agent}?categories=all", "<main", "</main>")
    assert "genetic data" in page
    assert "gdpr" not in page


def test_lists_show_an_agent_within_its_own_remit(reader: Visitor) -> None:
    """What it forbids or excludes is not what it does, whatever a denied step declares."""
    own = risk(
        forbids=("financial_transactions", "external_communication"),
        excludes="financial_information",
    )
    pays = risk(
        allows=("read_data", "financial_transactions", "external_communication"),
        takes=("financial_information", "contact_information"),
        classification="internal",
    )
    types = [
        {"name": name, "params_schema": {}, "data_risk": declared.model_dump(mode="json")}
        for name, declared in {"desk:support": own, "desk:pay": pays}.items()
    ]
    _agent(reader.api, types, {})
    row = _text(reader, "/agents", '<td class="wide may">', "</tr>")
    assert row.startswith("read ")
    assert "financial" not in row
    assert "contact information" in row
    entry = _text(reader, "/register", '<td data-l="Categories">', "</tr>")
    assert entry.startswith("contact information class: ")
    assert "declared; 1 more excluded" in entry
    assert "none declared: no step communicates externally" in entry
    (line,) = csv.DictReader(io.StringIO(reader.http.get("/register.csv").text))
    assert (line["categories"], line["ruled_out"]) == (
        "contact information",
        "financial information",
    )
    assert (line["class"], line["recipients_not_run"]) == ("internal", "")


def test_the_list_shows_the_day_of_what_was_before_today(store: Store) -> None:
    """The time alone of today, in the zone of the reader."""
    history, began = History(store), datetime.now(UTC) - timedelta(days=3)
    history.run(timedelta(days=3), agent="Older", steps={})
    history.run(timedelta(0), agent="Newer", steps={})
    page = visitor(store).http.get("/agents?from=7d").text
    rows = [page.partition(f">{name}</a>")[2].partition("</tr>")[0] for name in ("Newer", "Older")]
    shown = [row.partition("<time ")[2].partition(">")[2].partition("<")[0] for row in rows]
    assert re.fullmatch(r"\d\d:\d\d", shown[0])
    assert shown[1].startswith(f"{began.day} {began:%b} ")


def test_the_map_claims_nothing_where_nothing_is_declared(reader: Visitor) -> None:
    """It names the model calls, which received whatever the agent had."""
    types = [
        {"name": "desk:support", "params_schema": {}},
        {"name": "openai:llm", "params_schema": {}},
    ]
    _agent(reader.api, types, {"openai:llm": {}})
    lead = _text(reader, "/map?from=all", '<p class="lead">', "</p>")
    assert "Nothing is declared, so the map cannot show which data leaves." in lead
    assert "1 model call received messages at any time: openai:llm ." in lead
    assert "no category may leave" not in lead
    page = reader.http.get("/map?from=all").text
    assert "hatched" not in page.partition("<main")[2]
    assert '<div class="map' not in page


def test_the_register_claims_nothing_where_nothing_is_declared(reader: Visitor) -> None:
    """One sentence says so, and nothing is hatched."""
    types = [
        {"name": "desk:support", "params_schema": {}},
        {"name": "openai:llm", "params_schema": {}},
    ]
    _agent(reader.api, types, {"openai:llm": {}})
    lead = _text(reader, "/register?from=all", '<p class="lead">', "</p>")
    assert lead == (
        "Nothing is declared, so the register cannot show which data is processed. "
        "1 model call received messages at any time: openai:llm ."
    )
    assert "hatched" not in reader.http.get("/register?from=all").text.partition("<main")[2]


def test_an_agent_that_declares_nothing_opens_its_activity(reader: Visitor) -> None:
    """With the first declarations as code, made from the tools that ran; nothing is guessed."""
    tools = ["langchain:tool:find_order", "langchain:tool:track <b>", "langchain:tool:refund"]
    types = [{"name": name, "params_schema": {}} for name in ("desk:support", *tools)]
    agent = _agent(reader.api, types, {name: {} for name in tools})
    address = f"/agents/{agent}"
    page = reader.http.get(address).text
    assert re.findall(r'<a href="[^"]*view=(\w+)&from', page)[:2] == ["activity", "remit"]
    assert '&from=24h" aria-current="page">Activity</a>' in page
    assert "Nothing is declared for this agent: remit records it and limits nothing." in page
    assert "hatched" not in page.partition('<nav class="tabs"')[2]
    assert '<bdi title="langchain:tool:refund">refund</bdi>' in page
    code = html.unescape(re.sub(r"<[^>]+>", "", page.partition("<pre")[2].partition("</pre>")[0]))
    assert code.partition(">")[2].splitlines() == [
        'RISKS = {"find_order": remit.risk(allows="…"),  # ran 1 time',
        '         "refund":     remit.risk(allows="…"),  # ran 1 time',
        '         "track <b>":  remit.risk(allows="…")}  # ran 1 time',
        "agent = create_agent(model, tools, middleware=[RemitTools(tools, risks=RISKS)])",
    ]


def test_the_activity_of_an_undeclared_agent_has_its_cost_and_conversations(
    reader: Visitor,
) -> None:
    """Two runs of one conversation are one; an agent without either shows neither."""
    api = reader.api
    agent = _agent(api, [{"name": "openai:llm", "params_schema": {}}], {"openai:llm": {}})
    assert "<dt>cost" not in reader.http.get(f"/agents/{agent}").text
    for conversation in ("t-1", "t-1", "t-2"):
        run = api.instance(agent_id=agent)["id"]
        root = api.span(run, schema_name="remit:run", payload={"conversation": conversation})["id"]
        cost = {"amount": "0.25", "currency": "USD"}
        usage = {"token_usage": {"prompt_tokens": 10, "completion_tokens": 5}, "cost": cost}
        api.span(
            run,
            schema_name="openai:llm",
            parent_span_id=root,
            payload={"model_name": "m"},
            status="complete",
            result_payload=usage,
        )
        api.post(f"/agent_instance/{run}/finish", {"status": "complete"})
    page = reader.http.get(f"/agents/{agent}").text
    assert "<dt>cost</dt><dd>0.7500 USD</dd>" in page
    assert "<dt>conversations</dt><dd>2</dd>" in page


def test_decorated_steps_are_the_first_declarations_without_tools(reader: Visitor) -> None:
    """An agent and a model call are none."""
    names = ("desk:support", "desk:find_order", "openai:llm")
    types = [{"name": name, "params_schema": {}} for name in names]
    agent = _agent(reader.api, types, {name: {} for name in names})
    page = reader.http.get(f"/agents/{agent}").text
    code = html.unescape(re.sub(r"<[^>]+>", "", page.partition("<pre")[2].partition("</pre>")[0]))
    assert code.partition(">")[2].splitlines() == [
        '@remit.span_type(data_risk=remit.risk(allows="…"))  # ran 1 time',
        "def find_order(...): ...",
    ]


def test_an_agent_that_declares_something_opens_its_remit(reader: Visitor) -> None:
    """One word of one step suffices; the code for beginners goes."""
    types = [_type("desk:pay", {}), {"name": "desk:support", "params_schema": {}}]
    agent = _agent(reader.api, types, {"desk:pay": {}})
    page = reader.http.get(f"/agents/{agent}").text
    assert '&from=24h" aria-current="page">Remit</a>' in page
    activity = reader.http.get(f"/agents/{agent}?view=activity").text
    assert "Begin here" not in activity
    assert "Redacted values" in activity
