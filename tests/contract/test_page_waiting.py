"""Waiting, and a request for approval: who sees it, who may answer, and what nobody can imitate."""

from __future__ import annotations

import html
import re
from typing import Final

import pytest

from remit.collector import Store, create_token
from remit.testing import FakeClock
from tests import asked_runs
from tests.asking import ADA, HOSTILE, Asking
from tests.collecting import World
from tests.inside import httpx
from tests.inside_collector import create_app, create_code, hash_of_on_behalf_of
from tests.limited import limited_agent, limited_run
from tests.signing_in import SAME_SITE, sign_in, stranger
from tests.stores import on_each_store
from tests.versioned_agents import agent_of

FORM: Final = "Approve once"


@pytest.fixture
def asking(world: World) -> Asking:
    """Return a program that asks, and a person who answers by the API."""
    return Asking(world)


def person(world: World, may: str, name: str) -> httpx.Client:
    """Return somebody who is signed in with a new token."""
    secret = create_token(world.store, "account", may=may, name=name, clock=world.clock).secret
    return signed_in_with(world, secret)


def signed_in_with(world: World, secret: str) -> httpx.Client:
    """Return somebody who is signed in with a token or a code."""
    http = stranger(create_app(world.store, clock=world.clock, page_hosts=()))
    sign_in(http, secret)
    return http


def answered(
    http: httpx.Client, ask_id: str, answer: str, why: str = "", **headers: str
) -> httpx.Response:
    """Send the form of a request."""
    form = {"answer": answer, "why": why}
    return http.post(f"/waiting/{ask_id}", data=form, headers={**SAME_SITE, **headers})


def text_of(response: httpx.Response) -> str:
    """Return the words of a page, without its tags."""
    return " ".join(html.unescape(re.sub("<[^>]+>", "", response.text)).split())


@on_each_store
def test_a_person_approves_and_a_second_reader_sees_who(world: World, asking: Asking) -> None:
    """The second answer is kept, and said to have changed nothing."""
    ada, eva = (person(world, "approve,read", name) for name in ("ada", "eva"))
    ask_id = asking.ask()
    assert "1 step waits for a yes" in text_of(ada.get("/waiting"))
    assert FORM in text_of(eva.get(f"/waiting/{ask_id}"))
    assert FORM in text_of(eva.get(f"/waiting/{ask_id[-8:]}"))

    response = answered(ada, ask_id, "approve")
    assert (response.status_code, response.headers["location"]) == (303, f"/waiting/{ask_id}")
    second = answered(eva, ask_id, "refuse", "please ask the customer first")
    assert second.status_code == 303

    text = text_of(eva.get(f"/waiting/{ask_id}"))
    assert "ada has approved it" in text
    assert "Your answer came" in text
    assert "The answer of eva came" in text_of(ada.get(f"/waiting/{ask_id}"))
    assert "changed nothing: refused, “please ask the customer first”" in text
    assert FORM not in text
    assert "Nothing waits for a person." in text_of(ada.get("/waiting"))


def test_the_menu_says_how_many_wait(world: World, asking: Asking, clock: FakeClock) -> None:
    """On every page, until their time is over."""
    ada = person(world, "read", "ada")
    for _ in range(2):
        asking.ask(time_limit_s=60)
    assert "Waiting2" in text_of(ada.get("/runs"))
    clock.advance(60)
    assert "Waiting2" not in text_of(ada.get("/runs"))


def test_a_refusal_without_a_reason_is_not_sent(world: World, asking: Asking) -> None:
    """The form comes back with what is missing."""
    ada = person(world, "approve,read", "ada")
    ask_id = asking.ask()
    response = answered(ada, ask_id, "refuse", "  ")
    assert response.status_code == 422
    assert "Not answered yet: to refuse, say why. The model reads it." in text_of(response)
    assert FORM in text_of(response)
    long = answered(ada, ask_id, "refuse", "because " * 100)
    assert long.status_code == 422
    assert "at most 500 characters" in text_of(long)
    assert "because because" in long.text
    assert answered(ada, ask_id, "").status_code == 422


def test_who_may_not_approve_gets_no_form(world: World, asking: Asking) -> None:
    """Neither does the token that asked; a forged form is rejected."""
    ask_id = asking.ask()
    erin = person(world, "erase", "erin")
    assert "this session may not approve" in text_of(erin.get(f"/waiting/{ask_id}"))
    assert answered(erin, ask_id, "approve").status_code == 403

    made = create_token(world.store, "account", may="approve,record,read", clock=world.clock)
    body = {
        "run": "own", "ticket": "1", "agent": "desk", "step": "pay", "time_limit_s": 60,
        "words": ["create_data"], "arguments": {},
    }  # fmt: skip
    with world.http(made.secret) as program:
        own = program.post("/api/remit/v1/asks", json=body).json()["details"]["id"]
    itself = signed_in_with(world, made.secret)
    text = text_of(itself.get(f"/waiting/{own}"))
    assert "the token that records this run asked for the approval" in text
    assert FORM not in text
    assert answered(itself, own, "approve").status_code == 403
    assert FORM in text_of(person(world, "approve,read", "ada").get(f"/waiting/{own}"))


def test_a_page_of_another_site_answers_nothing(world: World, asking: Asking) -> None:
    """As it terminates nothing."""
    ada = person(world, "approve,read", "ada")
    ask_id = asking.ask()
    response = answered(ada, ask_id, "approve", **{"Sec-Fetch-Site": "cross-site"})
    assert response.status_code == 403
    assert FORM in text_of(ada.get(f"/waiting/{ask_id}"))


def test_the_operator_answers_with_a_one_time_link(world: World, asking: Asking) -> None:
    """Who holds the database may do everything."""
    operator = signed_in_with(world, create_code(world.store, clock=world.clock))
    ask_id = asking.ask()
    assert answered(operator, ask_id, "approve").status_code == 303
    assert "the operator has approved it" in text_of(operator.get(f"/waiting/{ask_id}"))


@on_each_store
def test_a_request_says_whose_run_it_is(world: World, asking: Asking) -> None:
    """The person for whom it works gets a sentence in place of the buttons; others may answer."""
    api = world.account()
    agent = limited_agent(api)
    agent_of(api, "Inner", external_identifier="shop/desk:inner")
    said = {"on_behalf_of": ADA, "subject": "customer-17", "conversation": "thread-9"}
    run = limited_run(api, agent, key="run-key-8", said=said)
    ask = asking.ask(run="run-key-8", agent="Limited desk", step="desk:refund")
    ada, eva = (person(world, "approve,read", name) for name in (ADA, "eva"))
    answer = ada.get(f"/waiting/{ask}")
    page, text = answer.text, text_of(answer)
    for words in ("conversation thread-9, 1 run", "for ada@shop.example", "about customer-17"):
        assert words in text
    assert "You cannot answer: the run is on behalf of ada@shop.example: somebody else" in text
    assert "<form" not in page
    assert "limitfinancial transactions: 1 of 1 in this run, and 1 undeclared" in text
    assert "steps: 3 of 200 in this run" in text
    assert "external communication: " not in text
    assert f"/runs?on_behalf_of={hash_of_on_behalf_of(ADA)}" in page
    assert f'href="/runs/{run}"' in page
    assert answered(ada, ask, "approve").status_code == 403
    assert FORM in eva.get(f"/waiting/{ask}").text


@on_each_store
def test_the_list_says_for_whom_and_in_which_conversation(world: World, asking: Asking) -> None:
    """The column of conversations is there if one row has one; both are data."""
    api, ada = world.account(), person(world, "approve,read", "ada")
    asking.ask()
    page = ada.get("/waiting").text
    assert "Conversation" not in page
    said = {"on_behalf_of": "<b>user-42", "conversation": f"<b>\u202e{'x' * 190}"}
    agent = limited_agent(api)
    limited_run(api, agent, key="run-key-8", said=said)
    asking.ask(run="run-key-8", agent="Limited desk", step="desk:refund")
    page = ada.get("/waiting").text
    assert "<th>Conversation</th>" in page
    assert "<small>for <bdi>&lt;b&gt;user-42</bdi></small>" in page
    assert 'href="/conversations/%3Cb%3E' in page
    assert "&lt;b&gt;[U+202E]xx" in page
    assert "\u202e" not in page
    own = {"conversation": "thread-7", "on_behalf_of": "user-7"}
    limited_run(api, agent, key="run-key-9", said=own)
    assert "thread-7" not in ada.get("/waiting").text
    asked_runs.unanswered(api, how="interrupt", step=None, said=own)
    assert 'href="/conversations/thread-7"' in ada.get("/waiting").text


@on_each_store
def test_questions_of_other_means_are_listed_last(world: World, asking: Asking) -> None:
    """Without a button to answer; one with a request is listed once."""
    ada = person(world, "approve,read", "ada")
    api = world.account()
    text = text_of(ada.get("/waiting"))
    assert "Nothing waits for a person." in text
    asked_runs.unanswered(api, "run-key-5")
    asking.ask(run="run-key-5", ticket=asked_runs.TICKET)
    assert "their own program" not in text_of(ada.get("/waiting"))
    own = asked_runs.unanswered(api, how="interrupt", asked="Which <b>address</b>?", step=None)
    page = ada.get("/waiting").text
    assert page.index("/waiting/") < page.index("Answered in their own program")
    assert f'href="/runs/{own}?span=' in page
    assert "a hidden question" in page
    assert "address" not in page
    plain = asked_runs.unanswered(api, asked="May it <b>refund</b>?")
    page = ada.get("/waiting").text
    assert f'href="/runs/{plain}?span=' in page
    assert "May it &lt;b&gt;refund&lt;/b&gt;?" in page


@on_each_store
def test_a_question_in_its_own_program_alone(world: World) -> None:
    """The page does not say that nothing waits, and the menu counts requests only."""
    ada = person(world, "approve,read", "ada")
    asked_runs.unanswered(world.account())
    answer = ada.get("/waiting")
    text = text_of(answer)
    assert "1 question waits in its own program." in text
    assert "Nothing waits" not in text
    assert 'class="n"><svg' not in answer.text
    created = create_token(
        world.store, "agent_deployment", agent="Other", may="read,approve", clock=world.clock
    )
    foreign = signed_in_with(world, created.secret)
    assert "Nothing waits for a person." in text_of(foreign.get("/waiting"))


def test_nothing_of_the_program_imitates_the_page(world: World, asking: Asking) -> None:
    """Markup is text, a right-to-left mark is its number, and a long text is folded."""
    ada = person(world, "approve,read", "ada")
    ids = asking.all_states()
    for path in ("/waiting", f"/waiting/{ids['ask_hostile']}"):
        page = ada.get(path).text
        assert "\u202e" not in page
        assert "\x1b" not in page
        assert "[U+202E]" in page
        for markup in ("<b>Approve</b>", "<i>refund", '<a href="https', "<b>remit"):
            assert markup not in page
    page = ada.get(f"/waiting/{ids['ask_hostile']}").text
    shown, _, rest = page.partition("<summary>the rest</summary>")
    assert shown.count("one more line") < 10 < rest.count("one more line")
    assert "autofocus" not in page
    assert page.count("<button") == 2
    assert HOSTILE.count("\n") > 1000


def test_a_request_that_replaces_another_shows_what_changed(world: World, asking: Asking) -> None:
    """The redacted value is only said to be another one; the earlier request points to this one."""
    ada = person(world, "approve,read", "ada")
    ids = asking.all_states()
    text = text_of(ada.get(f"/waiting/{ids['ask_changed']}"))
    assert "after the yes of ben@shop.example the arguments changed" in text
    assert "regex:iban changed" in text
    assert "it asked again" in text_of(ada.get(f"/waiting/{ids['ask_approved']}"))


def test_a_request_shows_the_messages_before_it(world: World, asking: Asking) -> None:
    """The last ones of the model call before it; the others are counted."""
    ada = person(world, "approve,read", "ada")
    response = ada.get(f"/waiting/{asking.with_messages(world.account())}")
    text = text_of(response)
    assert "Written by users and by the model. No one has checked it." in text
    assert "3 earlier messages" in text
    assert "Message 8: pay it back." in text
    assert "Message 2" not in text
    assert "\u202e" not in response.text
    assert "<b>[U+202E]" not in response.text


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ("ask_used", "The program used this yes at"),
        ("ask_refused", "ben@shop.example has refused it"),
        ("ask_withdrawn", "the program withdrew it"),
        ("ask_plain", "No arguments."),
    ],
)
def test_each_state_has_its_sentence(world: World, asking: Asking, state: str, words: str) -> None:
    """Who answered, whether the yes was used, and why it was withdrawn."""
    ada = person(world, "approve,read", "ada")
    assert words in text_of(ada.get(f"/waiting/{asking.all_states()[state]}"))


def test_an_expired_request_has_no_buttons(world: World, asking: Asking, clock: FakeClock) -> None:
    """An answer that comes too late is kept."""
    ada = person(world, "approve,read", "ada")
    ask_id = asking.ask(time_limit_s=60)
    clock.advance(61)
    assert answered(ada, ask_id, "approve").status_code == 303
    text = text_of(ada.get(f"/waiting/{ask_id}"))
    assert "No answer in 1 min 0 s: it was denied" in text
    assert "The model reads: “no answer came within 60 seconds”." in text
    assert "untilexpired at " in text
    assert "Your answer came" in text
    assert FORM not in text


def test_a_request_of_another_agent_is_not_there(
    world: World, asking: Asking, store: Store
) -> None:
    """For the holder of a deployment's token."""
    made = create_token(
        store, "agent_deployment", agent="other", may="approve,read", clock=world.clock
    )
    other = signed_in_with(world, made.secret)
    ask_id = asking.ask()
    assert other.get(f"/waiting/{ask_id}").status_code == 404
    assert answered(other, ask_id, "approve").status_code == 404
    assert "Nothing waits for a person." in text_of(other.get("/waiting"))
