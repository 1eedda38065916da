"""Agents: the list, the remit of one, what happened, and its versions."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import Browser, expect

from remit.collector import create_token
from remit.errors import Violation
from tests.browsing import Desk, Tab, opened_tab
from tests.versioned_agents import NEVER, agent_of, versioned_agent
from tests.violating import denial


@pytest.fixture
def support(desk: Desk) -> str:
    """Return the id of an agent with runs."""
    made = versioned_agent(desk.api)
    desk.api.instance("complete")
    return made


def test_the_list_begins_with_the_agents_that_failed(tab: Tab, support: str) -> None:
    """An agent leads to its page, its failures to its runs."""
    page = tab.open("/agents")
    expect(page.locator(".notice .lead")).to_have_text(
        "1 of 2 agents failed in 24 hours. 1 ran without a problem."
    )
    first, second = page.locator("table.agents tr:not(.day) td.a").all()
    assert (first.inner_text(), second.inner_text()) == ("Support", "Desk")
    row = page.get_by_role("row").filter(has_text="Support")
    expect(row).to_contain_text("1 failed")
    expect(row).to_contain_text("payments team <b>[U+202E]")
    expect(row.locator(".wide.mid")).to_contain_text("contact information")
    expect(page.get_by_role("row").filter(has_text="Desk")).to_contain_text("missing: ask")
    link = row.get_by_role("link", name=re.compile("1 failed"))
    assert link.get_attribute("href") == f"/runs?agent={support}&from=24h&status=failed"

    page.get_by_label("Agent").fill("nothing")
    page.get_by_role("button", name="Show").click()
    expect(page.get_by_text("No agent's name contains nothing.")).to_be_visible()
    page.get_by_role("link", name="All agents").click()
    page.get_by_role("link", name="Support", exact=True).click()
    page.wait_for_url(f"**/agents/{support}")


def test_the_remit_says_which_steps_would_be_denied(tab: Tab, support: str) -> None:
    """In a sentence, in ringed cells, and with the words that are missing."""
    page = tab.open(f"/agents/{support}")
    expect(page.locator(".notice .lead")).to_have_text(
        "Under deny, 2 of its 4 declared steps would be denied: purge and send; "
        "1 more is undeclared and would be denied: guess."
    )
    matrix = page.get_by_role("table", name="Declared actions and data of each step")
    rows = [row.inner_text().split("\t")[0] for row in matrix.locator("tbody th").all()]
    assert rows == ["support: its remit", "purge", "send", "idle", "read"]
    assert matrix.locator("td.violation").count() == 3
    expect(page.locator("tr").filter(has_text="in 24 hours").last).to_contain_text("undeclared")
    expect(page.get_by_text("send would run if its declaration said")).to_contain_text(
        f'forbids="destroy_data", excludes="{NEVER}"'
    )
    page.get_by_role("link", name="15 more").click()
    expect(page.get_by_role("columnheader", name="minors data")).to_be_visible()


def test_what_happened_stands_beside_what_is_declared(tab: Tab, support: str) -> None:
    """A rule redacted what the agent rules out, and a step ran that is not declared."""
    page = tab.open(f"/agents/{support}?view=activity")
    expect(page.locator(".notice .lead")).to_have_text(
        "Found authentication and secrets, which the agent excludes: 3 values in read. "
        "2 undeclared steps ran."
    )
    expect(page.locator("section").filter(has_text="Undeclared steps that ran")).to_contain_text(
        "guess"
    )
    unused = page.locator("section").filter(has_text="Declared, but unused")
    expect(unused).to_contain_text("create data")
    expect(unused).to_contain_text("purge, step")
    expect(page.get_by_text("Tokens: 300 in, 21 out, recorded by 3 of 3 runs.")).to_be_visible()
    expect(page.get_by_text("cover the last 200 completed calls of each step")).to_be_visible()


def test_the_last_steps_tell_within_which_time_they_end(desk: Desk, tab: Tab) -> None:
    """p50, and p95 where there are enough of them; a denied one does not count."""
    api = desk.api
    agent = agent_of(api, "Timed", external_identifier="desk:timed")
    run = api.instance(agent_id=agent)["id"]
    began = datetime.now(UTC) - timedelta(hours=1)
    steps = [("desk:often", ms) for ms in range(10, 210, 10)] + [("desk:seldom", 70)]
    for name, ms in steps:
        span = api.span(run, schema_name=name, started_at=began.isoformat())["id"]
        ended = {"timestamp": (began + timedelta(milliseconds=ms)).isoformat()}
        api.post(f"/agent_spans/{span}/finish", {"status": "complete", **ended})
    denied = denial("desk:often", Violation("no"))
    api.span(run, schema_name="desk:often", status="failed", result_payload=denied)
    page = tab.open(f"/agents/{agent}?view=activity")
    often, seldom = page.locator("table.times tbody tr").all()
    cells = {name: f"[data-l='{name}']" for name in ("p50", "p95")}
    assert [often.locator(cell).inner_text() for cell in cells.values()] == ["100 ms", "190 ms"]
    assert [seldom.locator(cell).inner_text() for cell in cells.values()] == ["70 ms", "too few"]


def test_an_agent_without_declarations_says_where_to_begin(desk: Desk, tab: Tab) -> None:
    """Its activity is the first tab; the code is made from the tools that ran."""
    agent = agent_of(desk.api, "Finder", external_identifier="desk:finder")
    run = desk.api.instance(agent_id=agent)["id"]
    desk.api.span(run, schema_name="langchain:tool:find_order", status="failed")
    page = tab.open(f"/agents/{agent}")
    tabs = page.get_by_role("navigation", name="Views").get_by_role("link").all_inner_texts()
    assert tabs == ["Activity", "Remit", "Versions", "Runs"]
    expect(page.get_by_text("Nothing is declared for this agent")).to_be_visible()
    assert page.locator(".begin pre").inner_text().splitlines() == [
        'RISKS = {"find_order": remit.risk(allows="…")}  # ran 1 time',
        "agent = create_agent(model, tools, middleware=[RemitTools(tools, risks=RISKS)])",
    ]
    page.locator(".begin").get_by_role("link", name="Remit").click()
    page.wait_for_url(f"**/agents/{agent}?view=remit*")


def test_two_versions_are_compared(tab: Tab, support: str) -> None:
    """The verdict first; the declarations of both as JSON."""
    page = tab.open(f"/agents/{support}?view=versions")
    lead = page.locator(".notice .lead")
    expect(lead).to_have_text("2.0 allows more than 1.0: 2 new steps.")
    with page.expect_download() as download:
        page.get_by_role("link", name="JSON of both").click()
    assert download.value.suggested_filename == "versions.json"
    page.get_by_role("link", name="1.0").click()
    expect(page.locator(".notice .lead")).to_contain_text("2.0 allows more than 1.0")


def test_a_token_of_a_deployment_sees_its_agent_alone(
    browser: Browser, desk: Desk, support: str
) -> None:
    """The page of another agent is not there."""
    store, clock = desk.world.store, desk.world.clock
    made = create_token(store, "agent_deployment", agent="desk:support", clock=clock)
    with opened_tab(browser, replace(desk, token=made.secret)) as tab:
        page = tab.open("/agents")
        expect(page.locator("table.agents td.a")).to_have_text(["Support"])
        tab.open(f"/agents/{support}")
        expect(page.get_by_role("heading", name="Support", exact=True)).to_be_visible()
        tab.open(f"/agents/{desk.api.agent_id}")
        expect(page.locator("main")).to_contain_text("Agent not found")
        tab.expect("404")


def test_a_wrong_address_says_what_is_valid(tab: Tab, support: str) -> None:
    """An unknown agent is not found."""
    for address, text in (
        (f"/agents/{support}?view=moon", "must be one of remit, activity, versions, runs"),
        (
            f"/agents/{support}?version=1",
            "must be the key of a version, as in the links of the list of versions",
        ),
        ("/agents?from=1y", "must be one of 24h, 7d, 30d"),
        ("/agents?after=-1", "must be the number of agents on the previous pages"),
        (f"/agents/{support[:-1]}x", "Agent not found"),
    ):
        page = tab.open(address)
        expect(page.locator("main")).to_contain_text(text)
        tab.expect("Failed to load resource")
