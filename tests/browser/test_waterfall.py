"""The waterfall of a run: rows, keys, find, and what changes while it is open."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests import asked_runs
from tests.browsing import Desk, Tab, has_rows
from tests.collecting import details
from tests.waterfalls import Step, begun, deep, ended, id_of, night, record

GROUP = "search_help \N{MULTIPLICATION SIGN} 412"
RUNNING = [
    Step("remit:run", took_ms=None, status="active"),
    Step("night_review", 0, 1, None, "active"),
    Step("search_help", 1, 2, 5),
]


@pytest.fixture(scope="module")
def desk(module_desk: Desk) -> Desk:
    """Return one collector for all tests of this module."""
    return module_desk


@pytest.fixture(scope="module")
def run(desk: Desk) -> str:
    """Record a run of about 1,200 steps that ended well; five of them failed."""
    made = begun(desk.api)
    steps = night()
    record(desk.api, made, steps)
    ended(desk.api, made, steps[0].took_ms or 0)
    return made


def opened(tab: Tab, run: str, query: str = "") -> Page:
    """Open a run and wait for all its rows."""
    page = tab.open(f"/runs/{run}{query}")
    has_rows(page)
    return page


def chosen(page: Page) -> str:
    """Return the name of the step that is chosen, as the tree tells a screen reader."""
    row = page.locator("#tree").get_attribute("aria-activedescendant")
    assert row is not None
    expect(page.locator(f"#{row}")).to_have_attribute("aria-selected", "true")
    return (page.locator(f"#{row} .name a").text_content() or "").lstrip("+\N{EN DASH}")


def test_many_siblings_are_one_row(tab: Tab, run: str) -> None:
    """With their marks; a click opens them."""
    page = opened(tab, run)
    rows = page.locator("#tree .row:not(.axis)")
    group = rows.filter(has_text=GROUP)
    expect(group).to_have_count(1)
    expect(group.locator(".m.failed")).to_have_text("2 failed")
    expect(rows.filter(has_text="chat \N{MULTIPLICATION SIGN} 412")).to_contain_text("tokens")
    expect(group).to_have_attribute("aria-expanded", "false")
    assert page.locator("#tree *").count() < 700
    group.locator("a").click()
    expect(group).to_have_attribute("aria-expanded", "true")
    before = page.locator("#tree").get_attribute("aria-rowcount")
    group.locator("a").click()
    expect(page.locator("#tree")).not_to_have_attribute("aria-rowcount", before or "")


def test_keys_choose_steps_and_the_address_keeps_the_choice(tab: Tab, run: str) -> None:
    """Down, next failed, parent, axis; a second visit opens the same step."""
    page = opened(tab, run)
    tree = page.locator("#tree")
    tree.focus()
    # What the server has chosen is within a group, which stays closed.
    assert chosen(page) == GROUP
    page.keyboard.press("Home")
    assert chosen(page) == "Run"
    page.keyboard.press("ArrowDown")
    assert chosen(page) == "night_review"
    page.keyboard.press("e")
    assert chosen(page) == "failed: search_helphandled"
    for _ in range(2):
        page.keyboard.press("e")
    assert chosen(page) == "failed: chargehandled"
    expect(page.locator("#panel h2")).to_have_text("charge")
    expect(page.locator(".step", has_text="failed 3 of 5")).to_be_visible()
    page.keyboard.press("p")
    assert chosen(page) == "pay_back"
    expect(page.locator("#panel h2")).to_have_text("pay_back")
    page.keyboard.press("z")
    page.keyboard.press("ArrowLeft")
    expect(page.locator("#tree [aria-selected=true]")).to_have_attribute("aria-expanded", "false")
    assert "axis=rows" in page.url
    address = page.url.removeprefix(tab.url)
    opened(tab, run, address.partition(run)[2])
    assert chosen(page) == "pay_back"


def test_find_names_the_steps_that_have_a_text(tab: Tab, run: str) -> None:
    """And goes from one to the next; what is confidential is named as not searched."""
    page = opened(tab, run, "?q=question+13")
    expect(page.locator(".step", has_text="hit 2 of 11")).to_be_visible()
    page.get_by_label("Find").fill("charge")
    page.get_by_label("Find").press("Enter")
    expect(page.locator(".step", has_text="hit 1 of 23")).to_be_visible()
    expect(page.locator("mark").first).to_have_text("charge")
    page.get_by_role("button", name="next hit (n)").click()
    expect(page.locator(".step", has_text="hit 2 of 23")).to_be_visible()
    expect(page.locator(".said")).to_contain_text("hidden values of charge were not searched")
    assert "q=charge" in page.url


def test_only_failed_steps_are_shown_with_what_is_above_them(tab: Tab, run: str) -> None:
    """From the address, and from the list."""
    page = opened(tab, run, "?only=failed")
    tree = page.locator("#tree")
    expect(tree).to_have_attribute("aria-rowcount", str(1 + 2 + 2 + 2 + 2 + 3))
    page.get_by_label("Show").select_option("all steps")
    expect(tree.get_by_text(GROUP)).to_be_visible()


def test_a_gap_is_folded(tab: Tab, run: str) -> None:
    """It is hatched, and opens again."""
    page = opened(tab, run)
    page.get_by_role("button", name="fold 36.0 s of idle time?").click()
    expect(page.locator("#tree .gapband").first).to_be_attached()
    page.get_by_role("button", name="36.0 s of idle time folded: unfold").click()
    expect(page.locator("#tree .gapband")).to_have_count(0)


def test_a_step_of_a_long_run_opens_from_its_address(tab: Tab, desk: Desk) -> None:
    """Though it came with a later slice, and its level is closed at first."""
    run = begun(desk.api)
    steps = list(deep(2_600))
    record(desk.api, run, steps)
    ended(desk.api, run, steps[0].took_ms or 0)
    page = opened(tab, run, f"?span={id_of(run, 2_571)}")
    assert steps[2_571].name in chosen(page)
    expect(page.get_by_label("Axis")).to_have_value("rows")


def test_a_terminated_run_says_so(tab: Tab, desk: Desk) -> None:
    """The chosen step stays, new steps appear, and the head is updated."""
    run = begun(desk.api)
    record(desk.api, run, RUNNING)
    page = opened(tab, run)
    page.locator("#tree").focus()
    page.keyboard.press("End")
    assert chosen(page) == "search_help"
    expect(page.locator("#live")).to_have_text("live")
    record(desk.api, run, [Step("notify", 1, 9, 2)], first=3)
    details(desk.api.post(f"/agent_instance/{run}/terminate", {"reason": "enough"}))
    expect(page.locator("#about > .facts")).to_contain_text("terminated")
    expect(page.locator("#tree")).to_have_attribute("aria-rowcount", "5")
    assert chosen(page) == "search_help"
    expect(page.locator("#live")).to_have_text("")


def test_who_is_signed_out_is_told(tab: Tab, desk: Desk) -> None:
    """Nothing is lost."""
    run = begun(desk.api)
    record(desk.api, run, RUNNING)
    page = opened(tab, run)
    tab.page.context.clear_cookies()
    page.locator("#tree").focus()
    page.keyboard.press("End")
    expect(page.locator(".said")).to_have_text(
        "signed out: sign in in another tab, then continue here"
    )
    tab.expect("401")


def test_rows_and_panels_have_the_names_of_nodes_and_agents(tab: Tab, desk: Desk) -> None:
    """With a word for the kind; a name is a text, whatever it contains."""
    run = begun(desk.api)
    hostile = {"node_name": "<b>plan</b>"}
    steps = [
        Step("langchain:agent", None, 0, 9, payload={"agent_name": "refunds"}),
        Step("langchain:chain", 0, 1, 2, payload=hostile),
        Step("chat", 1, 1, 1, payload={"model_name": "gpt-5.2", "inputs": {"messages": []}}),
    ]
    record(desk.api, run, steps)
    ended(desk.api, run, 9)
    page = opened(tab, run)
    names = page.locator("#tree .row:not(.axis) .name a")
    expect(names).to_have_text(
        ["\N{EN DASH}refundsagent", "\N{EN DASH}<b>plan</b>node", "chatgpt-5.2"]
    )
    names.nth(1).click()
    expect(page.locator(".panel h2")).to_have_text("<b>plan</b> node")


def test_a_question_is_a_line_to_its_answer(tab: Tab, desk: Desk) -> None:
    """It has no bar, and the answer no row; the steps around it wait, and its panel opens."""
    page = opened(tab, asked_runs.approved(desk.api))
    row = page.locator("#tree .row.asked")
    expect(row.locator(".name a")).to_have_text("approved: askedrefund")
    expect(row.locator("rect")).to_have_count(0)
    expect(row.locator("use.dia")).to_have_count(2)
    expect(row.locator("> :last-child")).to_have_text("2 min 8 s")
    expect(page.locator("#tree .q1")).to_have_count(3)
    expect(page.locator("#tree .row.l1 rect")).to_have_count(2)
    expect(page.locator("#tree .row:not(.axis)")).to_have_count(5)
    page.locator("#tree .row", has_text="Run").first.click()
    expect(page.locator("#panel h2")).to_have_text("Run")
    row.click()
    expect(page.locator("#panel h2")).to_have_text("asked before refund")
    page.get_by_role("link", name="the step that ran").click()
    assert chosen(page).endswith("refund")


def test_a_question_is_answered_while_its_run_is_open(tab: Tab, desk: Desk) -> None:
    """The line is open and dashed, and gets its end with the answer."""
    story = asked_runs.AskingStory(desk.api, types=asked_runs.desk_types())
    story.ask()
    page = opened(tab, story.run_id)
    row = page.locator("#tree .row.asked")
    expect(row.locator(".q1.wait")).to_have_count(1)
    expect(row.locator(".name a")).to_have_text("waiting: askedrefund")
    story.answer()
    expect(row.locator(".name a")).to_have_text("approved: askedrefund")
    expect(row.locator(".q1.wait")).to_have_count(0)
    expect(page.locator("#about > .facts").first).to_contain_text("running")
