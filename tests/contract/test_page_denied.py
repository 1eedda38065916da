"""The list of what was denied, as a table for a spreadsheet."""

from __future__ import annotations

import csv
import html
import io
import re
from datetime import UTC, datetime, timedelta
from http import HTTPStatus

import pytest

from remit.collector import Store
from remit.errors import Violation
from tests.collecting import Api, World
from tests.inside import httpx
from tests.run_history import History, minutes
from tests.signing_in import signed_in
from tests.stores import on_each_store
from tests.violating import denial, violation


@pytest.fixture
def http(store: Store) -> httpx.Client:
    """Return somebody who is signed in."""
    return signed_in(store)


def _rows(http: httpx.Client) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(http.get("/denied.csv?kind=terminated&from=all").text)))


def test_the_table_goes_on_after_the_first_page(
    world: World, http: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And says so where it ends."""
    api = world.account()
    runs = {api.instance("terminated")["id"] for _ in range(103)}
    assert {row["run"] for row in _rows(http)} == runs
    monkeypatch.setattr("remit.collector.page.data.denied.MOST_LINES", 102)
    *rows, last = _rows(http)
    assert len(rows) == 102
    assert last["what"].startswith("only the newest 102 entries are included")


@pytest.mark.parametrize("name", ["pay", "pay was denied: twice. Policy denied"])
def test_a_run_says_why_its_step_was_denied(store: Store, http: httpx.Client, name: str) -> None:
    """Whatever the name of the step is."""
    step = f"shop:{name}"
    denied = denial(step, violation(step, "shop:careful", "financial_transactions"))
    History(store).run(minutes(5), steps={name: denied})
    text = html.unescape(http.get("/runs?from=all").text)
    assert "may move money, but the agent forbids it" in text


def test_the_message_to_the_model_is_what_the_model_got(store: Store, http: httpx.Client) -> None:
    """The beginning of the recorded message is for people: it names step, agent and files."""
    denied = denial("shop:pay", violation("shop:pay", "shop:careful", "financial_transactions"))
    History(store).run(minutes(5), steps={"shop:pay": denied})
    text = html.unescape(http.get("/denied?from=all").text)
    message = text.partition("<h3><span>Message to the model</span></h3>")[2]
    message = message.partition("</blockquote>")[0]
    assert message.startswith(
        "<blockquote><bdi>Policy denied this step and it did not run, because "
    )
    assert "shop:careful" not in message


def test_the_message_to_the_model_has_the_reason_of_a_person(
    store: Store, http: httpx.Client
) -> None:
    """Not who refused, and not what the agent declares."""
    denied = denial(
        "shop:pay",
        violation("shop:pay", "shop:careful", "financial_transactions"),
        refused_by="dana",
        why="at most 50 euros",
    )
    History(store).run(minutes(5), steps={"shop:pay": denied})
    text = html.unescape(http.get("/denied?from=all").text)
    message = text.partition("<h3><span>Message to the model</span></h3>")[2]
    message = message.partition("</blockquote>")[0]
    assert message.startswith("<blockquote><bdi>A person refused this step and it did not run. ")
    assert "The reason: at most 50 euros." in message
    assert "dana" not in message


AT = datetime.now(UTC).replace(microsecond=123_000)


def _denials(api: Api, count: int, began: datetime) -> set[str]:
    """Return the ids of denied steps that began at one time."""
    run = api.instance()["id"]
    api.post(f"/agent_instance/{run}/start", {})
    result = denial("desk:pay", Violation("it may not"))
    more = {"schema_name": "desk:pay", "status": "failed", "result_payload": result}
    body = {**more, "started_at": began.isoformat()}
    return {api.span(run, **body)["id"] for _ in range(count)}


def _pages(http: httpx.Client, address: str) -> list[list[str]]:
    """Return the spans and runs that each page lists, as far as there are older ones."""
    pages: list[list[str]] = []
    while address:
        text = http.get(address).text
        table = text.partition('<table class="list">')[2].partition("</table>")[0]
        pages.append(re.findall(r'href="[^"]*(?:span=|/runs/)(\w+)"', table))
        older = re.search(r'<a href="([^"]+)">Older</a>', text)
        address = "" if older is None else html.unescape(older[1])
        assert len(pages) < 20
    return pages


@on_each_store
def test_cases_of_one_moment_are_each_on_one_page(
    world: World, http: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither lost nor repeated where a page ends between them, whatever their kind is."""
    monkeypatch.setattr("remit.collector.page.data.denied.MOST_CASES", 2)
    api = world.account()
    spans = {
        *_denials(api, 5, AT),
        *_denials(api, 2, AT - timedelta(microseconds=1)),
        *_denials(api, 1, AT - timedelta(days=200)),
    }
    runs = {api.instance("terminated")["id"] for _ in range(3)}

    pages = _pages(http, "/denied?from=all")

    listed = [case for page in pages for case in page]
    assert sorted(listed) == sorted([*spans, *runs])
    assert max(map(len, pages)) == 2


def test_a_run_that_is_terminated_late_is_not_repeated(
    world: World, http: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its place is that of its begin, as in the list of runs."""
    monkeypatch.setattr("remit.collector.page.data.denied.MOST_CASES", 1)
    api = world.account()
    first, second = api.instance()["id"], api.instance()["id"]
    for run in (second, first):
        api.post(f"/agent_instance/{run}/terminate", {"reason": "enough"})

    assert _pages(http, "/denied?kind=terminated&from=all") == [[second], [first]]


@pytest.mark.parametrize("before", ["x", "1-x", "01"])
def test_a_page_begins_after_a_case(http: httpx.Client, before: str) -> None:
    """The form says so if the address names none."""
    answer = http.get(f"/denied?before={before}")
    assert answer.status_code == 422
    assert "must be the value from a link to older entries" in answer.text


def test_a_span_of_two_kinds_is_on_one_page(
    world: World, http: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its position is one."""
    monkeypatch.setattr("remit.collector.page.data.denied.MOST_CASES", 1)
    api = world.account()
    (span,) = _denials(api, 1, AT)
    run = api.instance()["id"]
    payload = {"$remit": {"violations": [{"sentence": "it may not"}]}}
    result = denial("desk:pay", Violation("it may not"))
    both = api.span(
        run, schema_name="desk:pay", status="failed", payload=payload, result_payload=result
    )["id"]

    pages = _pages(http, "/denied?from=all")

    assert sorted(pages) == sorted([[both, both], [span]])


@on_each_store
def test_a_step_that_waits_is_listed_when_it_was_sent(
    world: World, http: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has not begun, and is not as declared."""
    monkeypatch.setattr("remit.collector.page.data.denied.MOST_CASES", 2)
    api = world.account()
    schema = {"type": "object", "required": ["question"]}
    types = [{"name": "desk:answer", "params_schema": schema}]
    declared = {"external_identifier": "s2", "span_type_schemas": types}
    run = api.instance(agent_schema_version=declared)["id"]
    waiting = {"schema_name": "desk:answer", "status": "pending", "payload": {"x": 1}}
    sent = {api.span(run, **waiting)["id"] for _ in range(3)}
    pages = _pages(http, "/denied?kind=invalid&from=all")
    assert [len(page) for page in pages] == [2, 1]
    assert {span for page in pages for span in page} == sent


@pytest.mark.parametrize(
    "address",
    [
        "/denied?before=253402300800000000-{run}",
        "/runs/{run}/outline?changed=" + "9" * 23,
        "/runs/{run}/outline?changed=" + "9" * 5000,
    ],
)
def test_a_time_that_no_clock_shows_is_rejected(
    world: World, http: httpx.Client, address: str
) -> None:
    """It says what is valid."""
    run = world.account().instance()["id"]
    assert http.get(address.format(run=run)).status_code == HTTPStatus.UNPROCESSABLE_ENTITY
