"""A run that asked a person: its notice, its steps, the panel of the question."""

from __future__ import annotations

import html
import re
from typing import Any, Final

import pytest

from remit.collector import Store
from remit.errors import Violation
from tests import asked_runs
from tests.asked_runs import ANSWERED_MS, ARGUMENTS, REFUND, TICKET
from tests.asking import Asking
from tests.collecting import Api, World
from tests.inside import httpx
from tests.signing_in import signed_in
from tests.stores import on_each_store
from tests.violating import denial

MONEY: Final = "financial_transactions"


@pytest.fixture
def http(store: Store) -> httpx.Client:
    """Return somebody who is signed in."""
    return signed_in(store)


def text_of(page: str) -> str:
    """Return the words of a page."""
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", page)).split())


def opened(http: httpx.Client, address: str) -> str:
    """Return a page."""
    answer = http.get(address)
    assert answer.status_code == 200, answer.text
    return str(answer.text)


def asked_of(http: httpx.Client, run: str) -> str:
    """Return the id of the question of a run."""
    row = re.search(r'class="row l2 asked".*?span=(\w+)', opened(http, f"/runs/{run}"), re.DOTALL)
    assert row is not None
    return row[1]


@on_each_store
def test_a_run_says_who_said_yes_to_what_and_when_it_ran(world: World, http: httpx.Client) -> None:
    """In its head, its notice, its numbers, its steps and in the panel with which it opens."""
    run = asked_runs.approved(world.account())
    page = opened(http, f"/runs/{run}")
    text = text_of(page)
    assert "took 2 min 14 s, 2 min 8 s of it waiting" in text
    assert "refund ran after a yes of ben@shop.example , who took 2 min 8 s." in text
    assert "Asked approved 1 refused 0" in text
    assert "asked before refund the step that ran approved after 2 min 8 s" in text
    assert "by ben@shop.example asked" in text
    assert "reason “ receipt is in the ticket ”" in text
    assert "1 value is redacted; the person approved without it." in text
    assert "asking asks before it may move money refund may move money" in text
    assert "as the program said" not in page.partition('id="panel"')[2]


def test_an_answer_has_no_row_and_a_question_no_bar(api: Api, http: httpx.Client) -> None:
    """A line joins both; the steps around it wait as well."""
    run = asked_runs.approved(api)
    page = opened(http, f"/runs/{run}")
    row = re.search(r'<div role="row" class="row l2 asked".*?</div>', page, re.DOTALL)
    assert row is not None
    assert "<rect" not in row[0]
    assert row[0].count('class="q1"') == 1
    assert re.findall(r'<use class="dia" href="#(\w+)"', row[0]) == ["waiting", "approved"]
    assert text_of(row[0]) == "approved: asked refund redacted values 2 min 8 s"
    assert "<bdi>answered</bdi>" not in page
    tree = page.partition('id="tree"')[2].partition('class="panel"')[0]
    assert tree.count('class="q1"') == 4
    outline = http.get(f"/runs/{run}/outline").json()
    (question,) = outline["questions"]
    assert question[2:] == ["refund", "approved", "approved"]
    assert {question[0], question[1]} <= {outline["ids"][at : at + 40] for at in range(0, 280, 40)}


@pytest.mark.parametrize(
    ("decision", "by", "css", "key", "sentence"),
    [
        (
            "refused",
            asked_runs.BEN,
            "q1",
            "a person was asked, and answered",
            "ben@shop.example refused refund.",
        ),
        (
            "expired",
            None,
            "q1 wait",
            "a person was asked; no answer came",
            "A request expired once.",
        ),
    ],
)
def test_the_line_of_an_expired_question_is_dashed(
    api: Api,
    http: httpx.Client,
    decision: str,
    by: str | None,
    css: str,
    key: str,
    sentence: str,
) -> None:
    """That of a refused one is whole; the key below the steps says which."""
    page = opened(http, f"/runs/{asked_runs.ended_in(api, decision, by)}")
    row = re.search(r'<div role="row" class="row l2 asked".*?</div>', page, re.DOTALL)
    assert row is not None
    assert f'class="{css}"' in row[0]
    assert re.findall(r'<use class="dia" href="#(\w+)"', row[0]) == ["waiting", decision]
    assert key in text_of(page)
    assert sentence in text_of(page)
    assert "whether money moves it does this asks" in text_of(page)


def test_steps_that_run_meanwhile_keep_their_bars(api: Api, http: httpx.Client) -> None:
    """Only the question and the agent wait, not the run."""
    story = asked_runs.AskingStory(api, types=asked_runs.desk_types())
    story.ask()
    other = story.begin("shop.tools:look_up", story.root, ms=5_000)
    story.end(other, ms=6_000)
    story.answer()
    page = opened(http, f"/runs/{story.close()}")
    tree = page.partition('id="tree"')[2].partition('class="panel"')[0]
    rows = re.findall(r'<div role="row" class="row.*?</div>', tree, re.DOTALL)
    assert ['class="q1' in row for row in rows] == [False, False, True, False, True, False]


@on_each_store
def test_a_run_that_waits_leads_to_the_request(world: World, http: httpx.Client) -> None:
    """With the time that is left; the line is open."""
    world = World(world.store)
    asking = Asking(world)
    api = world.account()
    run = asked_runs.unanswered(api, "run-key-9")
    request = asking.ask(run="run-key-9", ticket=TICKET, step=REFUND)
    page = opened(http, f"/runs/{run}")
    text = text_of(page)
    assert "It waits for a person's yes: refund may move money." in text
    assert "ago; expires at" in text
    assert page.count(f'href="/waiting/{request}"') == 3
    assert "so far," in text
    assert "of work" in text
    assert "The answer none yet" in text
    assert 'class="q1 wait"' in page
    asking.answer(request)
    assert f'href="/waiting/{request}"' not in opened(http, f"/runs/{run}")


@pytest.mark.parametrize(
    ("decision", "by", "sentence", "status"),
    [
        ("refused", asked_runs.BEN, "by ben@shop.example", "refused after"),
        ("refused", None, "by nobody", "denied after"),
        ("expired", None, "by nobody", "expired after"),
        ("superseded", None, "by nobody", "asked again after"),
        ("withdrawn", None, "by nobody", "withdrawn after"),
    ],
)
def test_each_end_of_a_question_has_its_word(
    api: Api, http: httpx.Client, decision: str, by: str | None, sentence: str, status: str
) -> None:
    """The page does not present an approver that failed as a person who refused."""
    run = asked_runs.ended_in(api, decision, by)
    text = text_of(opened(http, f"/runs/{run}?span={asked_of(http, run)}"))
    assert status in text
    assert sentence in text
    assert "ran after a yes" not in text


def test_a_refused_step_says_that_its_agent_asks(api: Api, http: httpx.Client) -> None:
    """The declaration of the agent is not shown as one that allows the action unasked."""
    story = asked_runs.AskingStory(api, types=asked_runs.desk_types())
    story.ask()
    story.answer("refused", why="no receipt")
    asked = Violation(
        "shop.desk:asking asks", "action_profile", MONEY, "allowed", "shop.desk:asking", "asked"
    )
    step = story.begin(REFUND, story.top, ARGUMENTS, ms=ANSWERED_MS + 8)
    refused = denial(REFUND, asked, refused_by=asked_runs.BEN, why="no receipt")
    story.end(step, "failed", refused, ms=ANSWERED_MS + 9)
    text = text_of(opened(http, f"/runs/{story.close()}?span={step}"))
    assert "financial transactions whether money moves it does this asks" in text


def test_the_answer_to_a_framework_may_be_any_value(api: Api, http: httpx.Client) -> None:
    """It has no decision, and the program alone says who answered; the page quotes both."""
    run = asked_runs.interrupted(api, {"pay": "<i>yes</i>"})
    page = opened(http, f"/runs/{run}/spans/{asked_of(http, run)}/values")
    text = text_of(page)
    assert "asked by interrupt" in text
    assert "answered after 2 min 8 s" in text
    assert "The question" in text
    assert "&lt;b&gt;63.90&lt;/b&gt;" in page
    assert "&lt;i&gt;yes&lt;/i&gt;" in page
    assert "<i>yes" not in page


def test_a_question_about_a_confidential_step_is_hidden(api: Api, http: httpx.Client) -> None:
    """Its arguments are those of the step: in the panel, as a whole, in a search and in a file."""
    run = asked_runs.approved(api, "confidential")
    span = asked_of(http, run)
    address = f"/runs/{run}/spans/{span}"
    for path in (f"/runs/{run}?span={span}", f"{address}/part", f"{address}/text"):
        assert "63.90" not in opened(http, path), path
    assert "63.90" not in opened(http, f"/runs/{run}/file/values")
    assert http.get(f"{address}/whole?of=payload").status_code == 403
    found = http.get(f"/runs/{run}/find?q=63.90").json()
    assert found["ids"] == []
    assert "asked" in found["hidden"]
    assert "The declared class is C confidential" in text_of(opened(http, f"{address}/part"))
    assert "63.90" in opened(http, f"{address}/values")


def test_a_framework_may_quote_a_confidential_step(api: Api, http: httpx.Client) -> None:
    """So its question and its answer are hidden if the agent has such a step."""
    story = asked_runs.AskingStory(api, types=asked_runs.desk_types("confidential"))
    asked = story.ask(how="interrupt", asked="pay 63.90?", step=None, arguments=None)
    answered = story.answer(answer="63.90 it is", decision=None)
    run = story.close()
    for span in (asked, answered):
        part = opened(http, f"/runs/{run}/spans/{span}/part")
        assert "63.90" not in part
        assert "the question may have its values" in part
        assert "63.90" in opened(http, f"/runs/{run}/spans/{span}/values")


def test_a_file_shows_the_question_without_its_values(api: Api, http: httpx.Client) -> None:
    """Its lines have the style of the page."""
    run = asked_runs.approved(api)
    page = opened(http, f"/runs/{run}/file")
    assert 'class="q1"' in page
    assert ".q1{" in page
    assert "63.90" not in page
    assert "63.90" in opened(http, f"/runs/{run}/file/values")


def test_odd_payloads_of_questions_are_shown(api: Api, http: httpx.Client) -> None:
    """Without tickets, words or arguments, or with other values in their places."""
    story = asked_runs.AskingStory(api, types=asked_runs.desk_types())
    odd: dict[str, Any] = {"ticket": 7, "words": {"a": 1}, "unbound": "x", "how": None}
    story.ask(
        **odd, arguments=[1], step=["<b>"], asked={"$remit": "redacted", "rule": "type:SecretStr"}
    )
    story.ask(ms=3_000, ticket="two", step="<b>\u202e", words=["no_such_word"])
    story.answer("no\u202ewhere", ticket="two", by=["x"], as_claimed="maybe", why={"a": 1})
    run = story.close()
    page = opened(http, f"/runs/{run}")
    assert "<b>\u202e" not in page
    assert http.get(f"/runs/{run}/outline").status_code == 200
    for span in re.findall(r'class="row l2 asked".*?span=(\w+)', page, re.DOTALL):
        opened(http, f"/runs/{run}?span={span}")
