"""The line of filters of each list, as a form that is sent without a script."""

from __future__ import annotations

import re
from html import unescape
from http import HTTPStatus

import pytest

from remit.collector import Store
from tests.collecting import Api, World
from tests.inside import httpx
from tests.inside_collector import hash_of_subject
from tests.signing_in import SAME_SITE, signed_in
from tests.stores import on_each_store

SAME_BEGIN = ("person 2430", "person 40523")
"""Two ids whose hashes begin with the same 8 digits."""
LISTS = ("/runs", "/map", "/denied", "/register")


@pytest.fixture
def http(store: Store) -> httpx.Client:
    """Return somebody who is signed in."""
    return signed_in(store)


def _form(html: str) -> dict[str, str]:
    """Return the texts of the inputs of the line of filters."""
    line = html.partition('<form class="line"')[2].partition("</form>")[0]
    inputs = re.findall(r"<input [^>]*>", line)
    named = (re.search(r' name="(\w+)".* value="([^"]*)"', each) for each in inputs)
    return {each[1]: unescape(each[2]) for each in named if each}


def test_an_agent_stays_chosen_when_the_form_is_sent_again(
    world: World, http: httpx.Client
) -> None:
    """Also one without runs, whose name another one has."""
    with_runs, without_runs = world.account(), world.account()
    with_runs.instance()
    for path in LISTS:
        for agent in (with_runs.agent_id, without_runs.agent_id):
            page = http.get(f"{path}?agent={agent}")
            assert page.status_code == HTTPStatus.OK, path
            answer = http.post(path, data=_form(page.text), headers=SAME_SITE)
            assert answer.status_code == HTTPStatus.SEE_OTHER, path
            assert f"agent={agent}" in answer.headers["location"], path


def test_another_name_is_looked_up(world: World, http: httpx.Client) -> None:
    """The id that the form keeps is that of the former one."""
    run = world.account().instance()
    form = _form(http.get(f"/runs?agent={run['agent_id']}").text)
    answer = http.post("/runs", data={**form, "agent": "Nobody"}, headers=SAME_SITE)
    assert answer.status_code == HTTPStatus.UNPROCESSABLE_ENTITY


def test_the_end_of_the_newest_bar_is_in_words(world: World, http: httpx.Client) -> None:
    """It lies in the future."""
    world.account().instance()
    page = http.get("/runs?from=24h&to=2999-01-02T10:00Z").text
    assert "2 Jan 10:00" in page
    assert ">2999-01-02T10:00Z<" not in page


def _about(api: Api, subject: str) -> str:
    """Record a run about *subject*; return its hash."""
    run = api.instance()["id"]
    api.span(run, schema_name="remit:run", payload={"subject": subject})
    return hash_of_subject(subject)


@on_each_store
def test_a_subject_is_chosen_as_the_page_shows_it(world: World, http: httpx.Client) -> None:
    """By its hash, the beginning of it, or its id, which can look like a beginning."""
    api = world.account()
    ada, digits = _about(api, "ada"), _about(api, "a460d7fa8319")
    hidden = _about(world.foreign(), "hidden")
    for typed, chosen in (
        ("ada", ada),
        (ada, ada),
        (ada[:12], ada),
        (ada[:8], ada),
        (ada[:7], hash_of_subject(ada[:7])),
        ("a460d7fa8319", digits),
        (digits[:12], digits),
        (hidden[:12], hash_of_subject(hidden[:12])),
    ):
        answer = http.post("/runs", data={"subject": typed}, headers=SAME_SITE)
        assert answer.headers["location"] == f"/runs?subject={chosen}", typed
        address = http.get("/runs", params={"status": "active", "subject": typed})
        if typed == chosen:
            assert address.status_code == HTTPStatus.OK, typed
        else:
            assert address.status_code == HTTPStatus.SEE_OTHER, typed
            location = address.headers["location"]
            assert location == f"/runs?status=active&subject={chosen}", typed
        rows = http.get("/runs.csv", params={"subject": typed}).text.splitlines()[1:]
        assert len(rows) == (chosen in (ada, digits)), typed


def test_a_beginning_of_several_subjects_is_not_enough(world: World, http: httpx.Client) -> None:
    """More of it is."""
    api = world.account()
    one, _ = (_about(api, subject) for subject in SAME_BEGIN)
    answer = http.post("/runs", data={"subject": one[:8]}, headers=SAME_SITE)
    assert answer.status_code == HTTPStatus.UNPROCESSABLE_ENTITY
    assert "matches several hashes" in answer.text
    address = http.get("/runs", params={"subject": one[:8]})
    assert address.status_code == HTTPStatus.UNPROCESSABLE_ENTITY
    assert "matches several hashes" in address.text
    answer = http.post("/runs", data={"subject": one[:12]}, headers=SAME_SITE)
    assert answer.headers["location"] == f"/runs?subject={one}"


def test_bars_say_that_they_leave_no_run_out(world: World, http: httpx.Client) -> None:
    """If a filter chooses by what is not counted by hour."""
    run = world.account().instance("failed")
    assert (
        "<b>The bars ignore the filter status.</b>" in http.get("/runs?from=all&status=failed").text
    )
    assert "Counted without" not in http.get(f"/runs?from=all&agent={run['agent_id']}").text


def test_a_list_without_a_running_run_says_where_one_is_ended(
    world: World, http: httpx.Client
) -> None:
    """In the words of the filter."""
    world.account().instance("complete")
    page = http.get("/runs?from=all&status=active").text
    assert "<b>No run is running.</b> Without <b>status running</b>, 1 would match." in page
    assert "the page of a running run shows the button <b>Terminate</b>" in page
    assert "No run in this period is running." in http.get("/runs?status=active").text
    assert "No run matches." in http.get("/runs?status=active&purpose=eval").text
