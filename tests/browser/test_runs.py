"""The list of runs: filters, bars, what a row says, and what is new."""

from __future__ import annotations

import csv
import io
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, cast
from zoneinfo import ZoneInfo

import pytest
from playwright.sync_api import Browser, Page, expect

from remit.collector import Store, open_store
from remit.errors import Violation
from tests.browsing import ZONE, Desk, Tab, opened_tab, serving_page
from tests.inside import SystemClock
from tests.inside_collector import TooSlowError, Transaction, hash_of_subject, ms_of, to_text
from tests.run_history import REDACTED, VIOLATION, History, error, minutes
from tests.violating import denial

PAYMENT = error("shop.errors.PaymentError", "the provider answered 502 three times")
HOSTILE = '<img src=x onerror="alert(1)">\u202e**bold** [a](javascript:alert(1))'
DAY = timedelta(days=1)
HOUR_MS = 3_600_000


@pytest.fixture(scope="module")
def history(module_desk: Desk) -> History:
    """Fill a collector with a run of each kind."""
    made = History(module_desk.world.store)
    made.run(2 * DAY, agent="Mail sorter", answer="long ago")
    made.run(minutes(300), agent="Invoice clerk", answer="63.90 euros", root={"subject": "ada"})
    made.run(
        minutes(60), status="failed", steps={"charge": {"payload": REDACTED, "result": PAYMENT}}
    )
    made.run(minutes(50), status="failed", steps={"secret": error("a.SecretError", "classified")})
    made.run(
        minutes(45), steps={"pay_back": denial("shop:pay_back", Violation("it may move money"))}
    )
    made.run(minutes(40), status="terminated", answer="it answers the wrong customer")
    made.run(minutes(35), steps={"chat": {"payload": VIOLATION}, "help": PAYMENT}, answer="solved")
    made.run(minutes(30), agent=HOSTILE, answer=HOSTILE)
    made.run(minutes(2), status="active", steps={"chat": None})
    return made


@pytest.fixture
def past(browser: Browser, module_desk: Desk, history: History) -> Generator[Tab]:
    """Open a tab of a person who sees them."""
    del history
    with opened_tab(browser, module_desk) as opened:
        yield opened


def rows(page: Page) -> list[str]:
    """Return the texts of the rows, with one space between cells."""
    texts = page.locator("tr[data-run]").all_inner_texts()
    return [" ".join(text.split()) for text in texts]


def of(page: Page, status: str) -> str:
    """Return the first row with a status."""
    return next(row for row in rows(page) if row.startswith(status))


def test_a_row_says_what_failed_or_how_it_went(past: Tab, history: History) -> None:
    """Texts of data are shown as they are, and never run."""
    page = past.open("/runs")
    newest = (history.now - minutes(2)).astimezone(ZoneInfo(ZONE))
    expect(page.locator("tr.day").first).to_have_text(f"{newest:%a} {newest.day} {newest:%B}")
    assert "now in chat" in of(page, "running")
    assert "“it answers the wrong customer”" in of(page, "terminated")
    shown = "\n".join(rows(page))
    assert "charge: PaymentError the provider answered 502 three times" in shown
    assert "denied: pay_back it may move money" in shown
    assert "secret: SecretError" in shown
    assert "classified" not in page.content()
    assert "solved" in shown
    assert "3 · 1 failed" in shown
    assert "[U+202E]**bold** [a](javascript:alert(1))" in shown
    assert "long ago" not in shown
    expect(page.locator("table.worst")).to_contain_text("Support desk")
    expect(page.locator(".hours")).to_contain_text("failed")
    link = page.locator("tr[data-run] .what a").first
    assert str(link.get_attribute("href")).startswith("/runs/")
    assert history.agents["Support desk"] in page.content()


def test_a_form_leads_to_an_address(browser: Browser, module_desk: Desk, history: History) -> None:
    """Without a script too; an agent is there by its id, and a subject by its hash."""
    with opened_tab(browser, module_desk, script=False) as tab:
        page = tab.open("/runs")
        page.get_by_label("Agent").fill("invoice clerk")
        page.get_by_label("Subject").fill("ada")
        page.get_by_role("button", name="Show").click()
        page.wait_for_url("**/runs?*")
        assert f"agent={history.agents['Invoice clerk']}" in page.url
        assert f"subject={hash_of_subject('ada')}" in page.url
        assert "ada&" not in page.url
        assert len(rows(page)) == 1
        expect(page.get_by_label("Agent")).to_have_value("Invoice clerk")
        page.locator("select[name=from]").select_option("a day and time")
        page.get_by_label("From a day and time").fill("2026-01-02T10:00")
        page.get_by_role("button", name="Show").click()
        # Without a script the zone of the reader is not known.
        page.wait_for_url(lambda url: url.endswith("&from=2026-01-02T10%3A00Z"))
        expect(page.locator("select[name=from] option:checked")).to_have_text("2 Jan 10:00")
        page.get_by_label("Agent").fill("nobody")
        page.get_by_role("button", name="Show").click()
        expect(page.get_by_role("alert")).to_contain_text("must be the name, the identifier")
        expect(page.get_by_label("Agent")).to_have_value("nobody")
        tab.expect("422")


def test_a_bad_filter_says_what_is_valid(past: Tab) -> None:
    """All that is wrong, beside the form, which keeps it."""
    page = past.open("/runs?status=odd&from=soon&agent=nobody")
    expect(page.get_by_role("alert")).to_have_count(2)
    expect(page.locator("#wrong-status")).to_contain_text("must be one of pending, active")
    expect(page.locator("#wrong-from")).to_contain_text("must be today, yesterday")
    assert past.axe() == []
    page.keyboard.press("/")
    expect(page.get_by_label("Agent")).to_be_focused()
    past.open("/runs?agent=nobody")
    expect(page.get_by_role("alert")).to_contain_text("agent not found")
    past.expect("422")


def test_a_list_without_a_run_names_the_filter(past: Tab) -> None:
    """The one that excludes most, with the number of runs without it."""
    page = past.open("/runs?purpose=eval&marked=violation")
    notice = page.locator(".notice")
    expect(notice).to_contain_text("No run matches. Without purpose eval, 1 would match.")
    page.get_by_role("link", name="Drop the purpose").click()
    page.wait_for_url("**/runs?marked=violation")
    assert len(rows(page)) == 1
    past.open("/runs?fingerprint=0000000000000000&caused_by=" + "0" * 32)
    expect(page.locator(".linked")).to_contain_text("The same failure 0000000000000000")
    expect(notice).to_contain_text("No run matches.")


def test_an_empty_database_says_how_a_run_is_made(desk: Desk, tab: Tab) -> None:
    """The page shows the first run when it arrives."""
    page = tab.page
    page.clock.install()
    tab.open("/runs")
    expect(page.get_by_role("heading", name="No runs yet")).to_be_visible()
    expect(page.get_by_text(f"REMIT_API_URL={desk.url}")).to_be_visible()
    assert tab.axe() == []
    desk.api.instance()
    page.clock.run_for(5_100)
    expect(page.locator("tr[data-run]")).to_have_count(1)


def test_new_runs_wait_and_rows_change_in_place(desk: Desk, tab: Tab) -> None:
    """Nothing moves until the reader wants it; an error is shown and the page asks less often."""
    running = desk.api.instance()
    page = tab.page
    page.clock.install()
    tab.open("/runs?purpose=live")
    expect(page.locator("#live")).to_have_text("live")
    row = page.locator("tr[data-run]")
    expect(row).to_contain_text("running")
    desk.api.post(f"/agent_instance/{running['id']}/finish", {"status": "failed"})
    desk.api.instance()
    desk.api.instance(purpose="eval")
    page.clock.run_for(5_100)
    expect(row).to_contain_text("failed")
    expect(row).to_have_count(1)
    news = page.get_by_role("link", name="1 new run: show")
    expect(news).to_be_visible()
    page.route("**/runs/new*", lambda route: route.fulfill(status=503))
    page.clock.run_for(5_100)
    expect(page.locator("#live")).to_have_text("reconnecting")
    page.unroute("**/runs/new*")
    page.clock.run_for(10_100)
    expect(page.locator("#live")).to_have_text("live")
    news.click()
    expect(row).to_have_count(2)
    tab.expect("503")


def test_older_runs_follow(desk: Desk, tab: Tab) -> None:
    """By the last run of the page, so that new ones move nothing."""
    for _ in range(103):
        desk.api.instance("pending")
    page = tab.open("/runs")
    expect(page.locator("tr[data-run]")).to_have_count(100)
    page.get_by_role("link", name="Older").click()
    expect(page.locator("tr[data-run]")).to_have_count(3)
    page.get_by_role("link", name="Newest").click()
    expect(page.locator("tr[data-run]")).to_have_count(100)


def test_runs_are_ordered_and_saved(past: Tab, history: History) -> None:
    """Those that took longest; a bar leads to its hour; the table has all that are chosen."""
    history.run(minutes(1), agent="Slow one", took=50)
    page = past.open("/runs?order=longest")
    expect(page.locator("tr[data-run]").first).to_contain_text("Slow one")
    expect(page.locator(".ranked")).to_contain_text("of 24 hours that took longest")
    with page.expect_download() as saved:
        page.get_by_role("link", name="CSV").click()
    lines = list(csv.DictReader(io.StringIO(Path(saved.value.path()).read_text())))
    assert len(lines) == len(rows(page)) + 1  # the running one has no duration
    assert {line["status"] for line in lines} >= {"active", "failed", "terminated"}
    past.open("/runs?order=tokens")
    expect(page.locator(".notice")).to_contain_text("None of the matching runs has recorded tok")
    page.get_by_role("link", name="Newest first").click()
    page.locator(".hours a").first.focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**/runs?from=*&to=*")
    assert len(rows(page)) == 1


class SlowReading:
    """A transaction in which a question about more than two hours, or old runs, takes too long."""

    def __init__(self, tx: Transaction) -> None:
        """Read by *tx*."""
        self._tx = tx

    def __getattr__(self, name: str) -> Any:
        """Return a part of the transaction."""
        return getattr(self._tx, name)

    def rows(self, sql: str, values: Sequence[Any] = ()) -> Any:
        """Run a statement."""
        bounds = [ms_of(to_text(value)) for value in values if isinstance(value, bytes)]
        oldest = SystemClock().wall_ns() // 1_000_000 - 5 * HOUR_MS
        is_long = len(bounds) < 2 or abs(bounds[0] - bounds[1]) > 2 * HOUR_MS
        if "flags >=" in sql and (is_long or min(bounds) < oldest):
            raise TooSlowError("too slow")
        return self._tx.rows(sql, values)


class SlowStore:
    """A store with such transactions."""

    def __init__(self, store: Store) -> None:
        """Read from *store*."""
        self._store = store

    def __getattr__(self, name: str) -> Any:
        """Return a part of the store."""
        return getattr(self._store, name)

    @contextmanager
    def reading(self) -> Generator[Transaction]:
        """Return a block that reads."""
        with self._store.reading() as tx:
            yield cast("Transaction", SlowReading(tx))


def test_a_slow_search_shows_what_it_found(browser: Browser, tmp_path: Path) -> None:
    """And where it goes on."""
    store = open_store(tmp_path / "remit.db")
    history = History(store)
    for ago in (400, 20, 10):
        history.run(minutes(ago), steps={"chat": {"payload": VIOLATION}})
    with (
        serving_page(cast("Store", SlowStore(store))) as desk,
        opened_tab(browser, desk) as tab,
    ):
        page = tab.open("/runs?marked=violation")
        notice = page.locator(".notice")
        expect(notice).to_contain_text("Partial results: the query timed out after 2 runs")
        expect(page.locator("tr[data-run]")).to_have_count(2)
        page.get_by_role("link", name="Continue from there").click()
        page.wait_for_url("**to=*")
        expect(notice).to_contain_text("the query timed out before it found a run")
    store.close()
