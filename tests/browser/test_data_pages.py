"""The data map, what was denied, the register and the account."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Download, Page, expect

from remit.collector import create_token, open_store
from remit.testing import FakeClock
from tests.browsing import Desk, Tab, opened_tab, serving_page
from tests.declared_agents import TYPES, DeclaredAgents, filled, step
from tests.run_history import minutes

HOSTILE = '<img src=x onerror="alert(1)">\u202e"; ink { } </style><script>alert(2)</script>'
SCREENS = ("/map", "/denied", "/register", "/account")


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Generator[tuple[Desk, DeclaredAgents]]:
    """Serve a collector that is full once, for the tests that only look."""
    store = open_store(tmp_path_factory.mktemp("full") / "remit.db")
    with serving_page(store) as served:
        yield served, filled(store, runs=1)
    store.close()


@pytest.fixture
def agents(full: tuple[Desk, DeclaredAgents]) -> DeclaredAgents:
    """Return agents that declared something."""
    return full[1]


@pytest.fixture
def full_desk(full: tuple[Desk, DeclaredAgents]) -> Desk:
    """Return the collector in which they are."""
    return full[0]


@pytest.fixture
def look(browser: Browser, full_desk: Desk) -> Generator[Tab]:
    """Open a tab of it."""
    with opened_tab(browser, full_desk) as opened:
        yield opened


def lead(page: Page) -> str:
    """Return the sentence of the notice."""
    return page.locator(".notice .lead").inner_text()


def text_of(download: Download) -> str:
    """Return what was downloaded."""
    return Path(download.path()).read_text("utf-8")


@contextmanager
def as_holder(browser: Browser, desk: Desk, token: str) -> Generator[Tab]:
    """Open a tab of the holder of a token."""
    with opened_tab(browser, Desk(desk.url, desk.world, desk.api, token)) as opened:
        yield opened


def test_the_map_shows_what_may_leave_and_by_which_steps(look: Tab) -> None:
    """In a drawing and, the same, in a table."""
    page = look.open("/map")
    assert lead(page).startswith("6 of 17 categories may leave, through 3 of 7 agents.")
    outside = {" ".join(row.split()) for row in page.locator(".map ol li").all_inner_texts()}
    assert any("Travel booker" in row and "may leave: book, pay" in row for row in outside)
    assert any("Careful desk" in row and "pay_back was denied" in row for row in outside)
    assert any("Mail sorter" in row and "all 17 categories undeclared" in row for row in outside)
    assert any("Shift planner" in row and "nothing leaves" in row for row in outside)
    cells = page.locator("#c-health_and_medical td").all_inner_texts()
    assert cells == ["Claims triage: send_letter", "none", "none"]
    stays = page.locator("#c-financial_information td").last.inner_text()
    assert "Careful desk: pay_back was denied 2 times" in stays
    first, second = page.locator(".map ol li").nth(0), page.locator(".map ol li").nth(1)
    first.locator("a").focus()
    expect(second.locator("svg").first).to_have_css("opacity", "0.15")
    expect(first.locator("svg").first).to_have_css("opacity", "1")


def test_the_map_is_narrowed_by_a_form_and_saved(
    browser: Browser, full_desk: Desk, agents: DeclaredAgents
) -> None:
    """Without a script; the address names the agent by its id."""
    with opened_tab(browser, full_desk, script=False) as tab:
        page = tab.open("/map")
        page.get_by_label("Agent").fill("travel booker")
        page.get_by_label("Show").select_option("data that may leave")
        page.get_by_role("button", name="Show").click()
        assert f"agent={agents.agents['Travel booker']}" in page.url
        expect(page.locator(".map ol li")).to_have_count(1)
        expect(page.get_by_label("Agent")).to_have_value("Travel booker")
        with page.expect_download() as saved:
            page.get_by_role("link", name="CSV").click()
        rows = list(csv.DictReader(io.StringIO(text_of(saved.value))))
        assert {row["flow"] for row in rows} == {"leaves"}
        assert {row["agent"] for row in rows} == {"Travel booker"}
        with page.expect_download() as saved:
            page.get_by_role("link", name="SVG").click()
        drawing = text_of(saved.value)
        assert drawing.lstrip().startswith("<svg ")
        assert "book, pay" in drawing
        page.get_by_label("Agent").fill("nobody")
        page.get_by_role("button", name="Show").click()
        expect(page.get_by_role("alert")).to_contain_text("must be the name")
        expect(page.get_by_label("Agent")).to_have_value("nobody")
        tab.expect("422")


def test_a_bad_filter_says_what_is_valid(look: Tab) -> None:
    """The form stays."""
    for address, valid in (
        ("/map?category=money", "sex life or sexual orientation"),
        ("/denied?kind=worse", "denied, violation"),
        ("/register?from=soon", "7d"),
    ):
        page = look.open(address)
        expect(page.get_by_role("alert")).to_contain_text(valid)
        expect(page.get_by_role("button", name="Show")).to_be_visible()
        look.expect("422")


def test_a_denied_step_is_shown_with_both_declarations(look: Tab) -> None:
    """The list by time, and one case; violations first."""
    page = look.open("/denied")
    expect(page.locator(".line .small")).to_have_text(
        "3 denied, 1 violation, 1 terminated, 0 not as declared"
    )
    kinds = [text.split("\t")[0] for text in page.locator("tbody tr:has(.s)").all_inner_texts()]
    assert kinds == ["terminated", "violation", "denied", "denied", "denied"]
    page.get_by_role(
        "link", name="pay_back may move money, but Careful desk forbids it"
    ).first.click()
    panel = page.locator(".panel")
    expect(panel.get_by_role("heading", level=2)).to_have_text("pay_back was denied")
    expect(panel.locator(".reason")).to_have_text(
        "The agent forbids moving money and excludes financial information. "
        "The step declares that it involves both. It was denied before its first line ran."
    )
    violations = [" ".join(row.split()) for row in panel.locator("tr.violation").all_inner_texts()]
    assert violations == [
        "financial transactions whether money moves it does this never",
        "financial information goes in and comes out never in or out",
    ]
    expect(panel.locator("blockquote")).to_contain_text("Policy denied this step")
    expect(panel).to_contain_text("3 times in 7 days.")
    panel.get_by_role("link", name="Show them").click()
    expect(page.locator("tbody .s")).to_have_count(3)
    expect(page.locator(".foot")).to_contain_text(
        "1 agent denies, 1 only observes; the setting of 5"
    )


def test_nothing_was_denied(look: Tab, agents: DeclaredAgents) -> None:
    """The page says so, and what is known of the settings."""
    page = look.open(f"/denied?agent={agents.agents['Mail sorter']}")
    assert lead(page).startswith("Nothing that matches was denied in this period. 1 agent denies")


def test_the_register_says_on_whose_word_each_cell_rests(look: Tab) -> None:
    """Declared, observed, or missing and whom to ask."""
    page = look.open("/register")
    assert lead(page).startswith("5 of 7 agents have gaps")
    cells = {
        row.locator("th").inner_text().split("\n")[0]: row.locator("td").all_inner_texts()
        for row in page.locator(".reg tbody tr").all()
    }
    assert cells["Careful desk"][1] == "Ada Okafor\ndeclared"
    assert "missing: ask the author of shop:support" in cells["Support desk"][1]
    assert "missing: all 17 categories" in cells["Mail sorter"][2]
    assert "observed in 7 steps, undeclared" in " ".join(cells["Mail sorter"][3].split())
    assert (
        "financial information\nobserved in 3 steps, although excluded" in cells["Claims triage"][2]
    )
    gaps = page.locator("#gaps tbody tr", has_text="Claims triage").inner_text()
    assert "why sort handled financial information, which the agent excludes" in gaps
    page.get_by_label("Missing").select_option("purpose")
    page.get_by_role("button", name="Show").click()
    assert "missing=purpose" in page.url
    expect(page.locator(".reg tbody tr")).to_have_count(2)
    with page.expect_download() as saved:
        page.get_by_role("link", name="CSV").click()
    rows = list(csv.DictReader(io.StringIO(text_of(saved.value))))
    assert {row["agent"] for row in rows} == {"Mail sorter", "Contract reader"}


def test_an_erasure_stands_in_the_register(tab: Tab, desk: Desk) -> None:
    """One line for each request."""
    agents = DeclaredAgents(desk.world.store)
    agents.declare("Mail sorter", TYPES["Mail sorter"], purpose=None)
    for _ in range(2):
        agents.act("Mail sorter", minutes(3), {"fetch": {"mails": 3}})
    eraser = create_token(desk.world.store, "account", may="erase", name="privacy-office")
    body = {"agent_id": agents.agents["Mail sorter"], "reason": "test data"}
    answer = desk.world.http(eraser.secret).post("/api/remit/v1/erasures", json=body)
    assert answer.json()["runs"] == 2
    page = tab.open("/register")
    row = page.locator("#erasures tbody tr").inner_text()
    assert re.search(
        r"an agent: Mail sorter\s+2 runs.*“test data”\s+privacy-office", row, re.DOTALL
    )


def test_a_token_is_revoked_after_a_question(tab: Tab, desk: Desk) -> None:
    """It comes first if it never ends and was not used for long."""
    past = FakeClock(datetime.now(UTC) - timedelta(days=200))
    create_token(desk.world.store, "account", name="ci-nightly", clock=past)
    page = tab.open("/account")
    assert "never expires and is not used: ci-nightly." in lead(page)
    first = page.locator(".toks tbody tr").first
    expect(first).to_contain_text("ci-nightly")
    first.get_by_role("link", name="Revoke ci-nightly").click()
    page.get_by_role("link", name="Keep it").click()
    page.get_by_role("link", name="Revoke ci-nightly").click()
    page.get_by_role("button", name="Revoke permanently").click()
    expect(page.locator(".toks")).not_to_contain_text("ci-nightly")
    assert lead(page).startswith("The server is ready")
    shown = desk.api.get("/api_token").json()["summaries"]
    assert [token["status"] for token in shown if token["name"] == "ci-nightly"] == ["revoked"]


def test_browsers_are_signed_out(browser: Browser, tab: Tab, desk: Desk) -> None:
    """All others, or this one."""
    # Each desk has one session.
    with opened_tab(browser, Desk(desk.url, desk.world, desk.api, desk.token)) as other:
        page = tab.open("/account")
        expect(page.locator(".sess tbody tr")).to_have_count(2)
        page.get_by_role("button", name="Sign out everywhere else").click()
        expect(page.locator(".sess tbody tr")).to_have_count(1)
        other.open("/account")
        expect(other.page.get_by_label("Token or one-time code")).to_be_visible()
    page.locator(".head").get_by_role("button", name="Sign out").click()
    expect(page.get_by_label("Token or one-time code")).to_be_visible()


def test_a_token_sees_no_more_than_it_may(
    browser: Browser, full_desk: Desk, agents: DeclaredAgents
) -> None:
    """A deployment's token its own agent, a reader's no button that changes something."""
    store = full_desk.world.store
    bound = create_token(store, "agent_deployment", agent="shop:travel", name="travel-prod")
    with as_holder(browser, full_desk, bound.secret) as tab:
        page = tab.open("/account")
        assert page.locator(".toks tbody tr").count() == 1
        expect(page.locator(".toks")).to_contain_text("Travel booker")
        expect(page.locator(".toks .button")).to_have_count(0)
        assert tab.open("/map").locator(".map ol li").count() == 1
        assert tab.open("/register").locator(".reg tbody tr").count() == 1
        assert "pay_back" not in tab.open("/denied").content()
        page = tab.open(f"/denied?agent={agents.agents['Careful desk']}")
        assert "pay_back" not in page.content()
        tab.expect("403")
    reading = create_token(store, "account", may="read")
    with as_holder(browser, full_desk, reading.secret) as tab:
        page = tab.open("/account")
        assert page.locator(".toks tbody tr").count() > 1
        expect(page.locator(".toks .button")).to_have_count(0)


def test_hostile_texts_are_shown_and_never_run(tab: Tab, desk: Desk) -> None:
    """As names of agents, steps, owners, and reasons."""
    made = DeclaredAgents(desk.world.store)
    types = [
        step(HOSTILE, params={"x-remit-owner": HOSTILE}),
        step("chat", params={"x-remit-kind": "llm"}),
    ]
    made.declare(HOSTILE, types, purpose=HOSTILE)
    declared = {"span_type_schemas": [{"name": "remit:run", "params_schema": {}}, *types]}
    made.run(
        minutes(5),
        agent=HOSTILE,
        steps={HOSTILE: {"error": {"violations": [{"sentence": HOSTILE}]}}},
        status="terminated",
        answer=HOSTILE,
        agent_schema_version=declared,
    )
    create_token(desk.world.store, "account", name="<b>token</b>")
    for path in ("/map", "/map.svg", "/denied", "/register", "/account"):
        answer = tab.page.request.get(tab.url + path)
        assert answer.ok
        assert "<script>alert" not in answer.text()
        assert "<b>token" not in answer.text()
        assert "\u202e" not in answer.text()
    for path in SCREENS[:3]:
        expect(tab.open(path).locator("main")).to_contain_text("[U+202E]")
