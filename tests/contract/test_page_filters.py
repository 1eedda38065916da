"""The line of filters of each list, as a form that is sent without a script."""

from __future__ import annotations

import re
from html import unescape
from http import HTTPStatus

import pytest

from remit.collector import Store
from tests.collecting import World
from tests.inside import httpx
from tests.signing_in import SAME_SITE, signed_in

LISTS = ("/runs", "/map", "/refused", "/register")


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
