"""The limits of an agent in the web UI: on its page, and how much of each a run has used."""

from __future__ import annotations

import html
import re

import pytest

from remit.collector import Store
from tests.limited import inner_agent, limited_agent, limited_run
from tests.signing_in import Visitor, visitor


@pytest.fixture
def reader(store: Store) -> Visitor:
    """Return somebody who is signed in, with the account."""
    return visitor(store)


def text_of(reader: Visitor, address: str) -> str:
    """Return the words of a page."""
    answer = reader.http.get(address)
    assert answer.status_code == 200, answer.text
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", answer.text)).split())


def test_the_page_of_an_agent_shows_its_limits_below_its_remit(reader: Visitor) -> None:
    """Under the actions, and as a sentence on a narrow screen."""
    agent = limited_agent(reader.api)
    limited_run(reader.api, agent)
    text = text_of(reader, f"/agents/{agent}")
    assert "at most 1 a run 5 a run 200 steps a run" in text
    assert "At most, a run: 1 financial transactions, 5 external communication, 200 steps." in text


def test_a_run_shows_how_much_of_each_limit_it_has_used(reader: Visitor) -> None:
    """Denied steps, agents and model calls do not count; undeclared ones are named beside."""
    inner_agent(reader.api)
    run = limited_run(reader.api, limited_agent(reader.api))
    text = text_of(reader, f"/runs/{run}")
    assert (
        "Limits of this run steps that ran financial transactions 1 of 1 and 1 undeclared "
        "external communication 0 of 5 and 1 undeclared steps 3 of 200" in text
    )
    assert "It would have been step 2 of this run that may move money." in text
    assert "The agent declares at most 1." in text
    assert "denied by a limit did not run" in text


def test_questions_to_a_person_and_answers_do_not_count(reader: Visitor) -> None:
    """Remit records these spans itself; they are not steps of the program."""
    inner_agent(reader.api)
    run = limited_run(reader.api, limited_agent(reader.api), said={})
    for name in ("remit:asked", "remit:answered"):
        payload = {"ticket": "one", "step": "desk:refund", "decision": "approved"}
        reader.api.span(run, schema_name=name, status="complete", payload=payload)
    text = text_of(reader, f"/runs/{run}")
    assert "financial transactions 1 of 1 and 1 undeclared" in text
    assert "steps 3 of 200" in text


def test_the_notice_says_that_a_limit_is_reached(reader: Visitor) -> None:
    """A run that was terminated because of it was ended by it."""
    agent = limited_agent(reader.api)
    went_on = text_of(reader, f"/runs/{limited_run(reader.api, agent)}")
    assert (
        "Its limit is reached: refund would have been 2 of 1 financial transactions. It was "
        "denied. 1 step was denied. The run continued and succeeded." in went_on
    )
    ended = text_of(reader, f"/runs/{limited_run(reader.api, agent, ended=True)}")
    assert "Its limit ended it: refund would have been 2 of 1 financial transactions." in ended
    assert "It was denied, and the run was terminated." in ended


def test_the_list_of_denials_names_the_limit(reader: Visitor) -> None:
    """An undeclared word may have counted."""
    agent = limited_agent(reader.api)
    limited_run(reader.api, agent, word="unknown")
    text = text_of(reader, "/denied?from=all")
    assert "may have been step 2 of this run that may move money" in text
    assert "Limited desk declares at most 1" in text


def test_a_run_of_an_agent_without_limits_has_no_gauge(reader: Visitor) -> None:
    """Its panel has no such section."""
    run = reader.api.instance()["id"]
    reader.api.span(run, schema_name="remit:run")
    assert "Limits of this run" not in text_of(reader, f"/runs/{run}")
