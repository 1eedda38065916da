"""The page of a conversation: its turns, as text, and what a reader does not see there."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from html import unescape
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import pytest

from remit.collector import Store, create_token, open_store
from remit.testing import FakeClock
from tests import run_pages
from tests.asked_runs import TICKET, AskingStory, approved, ended_in
from tests.asking import Asking
from tests.collecting import Api, Json, World, on_a_port
from tests.conversing import LONG, REDACTED, Program, calls, model_call, says, talked
from tests.inside import httpx
from tests.inside_collector import AccessLog, create_app, root_id
from tests.run_pages import Story
from tests.served import PATIENCE
from tests.signing_in import sign_in, signed_in, stranger
from tests.stores import on_each_store

HOSTILE: Final = "<b>a/b</b> \u202e?#%"
PROGRAM: Final = """
import remit
import remit.errors

@remit.span_type(data_risk=remit.risk(allows="read_data", forbids="destroy_data"))
def find_order(number: str) -> str:
    return "delivered on Monday"

@remit.span_type(data_risk=remit.risk(allows="destroy_data"))
def delete_address(customer: str) -> None: ...

@remit.agent(data_risk=remit.risk(allows="read_data", forbids="destroy_data"))
def desk(question: str) -> str:
    found = find_order("1021")
    if "delete" in question:
        try:
            delete_address("customer-17")
        except remit.errors.DeniedError:
            pass
        return "Your old address has been deleted."
    return f"It was {found}."

remit.configure(on_violation="deny")
with remit.about(conversation="thread-9", on_behalf_of="user-42"):
    desk("Where is order 1021?")
with desk.run(conversation="thread-9", on_behalf_of="user-42", subject="customer-17"):
    desk("And delete their old address.")
with remit.about(conversation="another"):
    desk("Where is order 1022?")
"""
"""Two turns of one conversation, of which the second is denied something, and one of another."""


@pytest.fixture
def http(store: Store) -> httpx.Client:
    """Return somebody who is signed in."""
    return signed_in(store)


def words(response: httpx.Response) -> str:
    """Return the words of a page, without its tags."""
    assert response.status_code == 200, response.text
    main = response.text.partition("<main>")[2]
    text = " ".join(unescape(re.sub(r"<[^>]+>", " ", main)).split())
    return re.sub(" (?=[.,])", "", text)


def run_in(api: Api, status: str = "active", **said: Json) -> str:
    """Return a run whose root span says something."""
    run = str(api.instance(status)["id"])
    api.span(run, schema_name="remit:run", id=root_id(run), payload=said)
    return run


def test_the_turns_of_a_program_are_read_in_order(tmp_path: Path) -> None:
    """Question, what ran, what was denied, answer; for whom, and the link from the run."""
    store = open_store(tmp_path / "remit.db")
    world = World(store)
    secret = create_token(store, "account", name="program").secret
    with on_a_port(world.app) as url:
        given = {"REMIT_API_URL": url, "REMIT_API_TOKEN": secret, "REMIT_DATA_DIR": str(tmp_path)}
        program = tmp_path / "desk.py"
        program.write_text(PROGRAM)
        environ = {**os.environ, **PATIENCE, **given}
        subprocess.run([sys.executable, program], env=environ, check=True)
    reader = signed_in(store)
    page = reader.get("/conversations/thread-9")
    text = words(page)
    assert "Conversation thread-9" in text
    assert "for user-42 about customer-17 2 turns of" in text
    assert text.count("as the program said") == 1
    assert "In turn 2 a step was denied: delete_address." in text
    first, second = re.split(r"Turn 2\b", text.partition("Turn 1")[2])
    assert re.search("Where is order 1021.*find_order.*It was delivered on Monday", first)
    assert re.search("delete_address did not run.*Your old address has been deleted", second)
    assert "1022" not in text
    runs = re.findall(r'href="/runs/([0-9a-z]{32})"', page.text)
    head = words(reader.get(f"/runs/{runs[0]}"))
    assert "conversation thread-9, 2 runs" in head
    link = f'href="/conversations/thread-9?run={runs[0]}#{runs[0]}"'
    assert link in reader.get(f"/runs/{runs[0]}").text
    listed = reader.get("/runs?conversation=thread-9")
    assert 'href="/conversations/thread-9">Read the conversation</a>' in listed.text
    store.close()


@on_each_store
def test_numbers_say_of_how_many_turns_they_are_known(world: World, http: httpx.Client) -> None:
    """The tokens of all turns are known, the costs of one turn."""
    api = world.account()
    talked(api, "priced", ("One?", "First."))
    program = Program(api, said={"conversation": "priced"})
    cost = {"amount": "0.0021", "currency": "USD", "source": "prices"}
    call: list[object] = [says("user", "Two?")]
    model_call(program, program.root, call, says("assistant", "Second."), cost=cost)
    program.finish()
    run_in(api, conversation="priced")
    text = words(http.get("/conversations/priced"))
    assert "tokens, 2 of 3 turns 240" in text
    assert "cost, 1 of 3 turns 0.0021 USD" in text
    assert "model gpt-5-mini" in text
    assert "3 turns of Desk" in text


@on_each_store
def test_each_message_is_read_once(world: World, http: httpx.Client) -> None:
    """A dashed line says how many were sent again; a repeated question is a question."""
    api = world.account()
    talked(api, "text", ("Where?", "There."), ("Where?", "Still there."), ("Why?", "So."))
    text = words(http.get("/conversations/text?view=text"))
    for message in ("Be short.", "There.", "Still there.", "Why?", "So."):
        assert text.count(f" {message} ") == 1, message
    assert text.count("Where?") == 2
    assert "3 earlier messages were sent again" in text
    assert "5 earlier messages were sent again" in text
    talked(api, "without", ("Yes?", "No."), ("Yes?", "No."), again=False)
    text = words(http.get("/conversations/without?view=text"))
    assert (text.count("Yes?"), text.count("No.")) == (2, 2)


@on_each_store
def test_a_tool_may_answer_in_the_same_words(world: World, http: httpx.Client) -> None:
    """A call that leaves out what an earlier one recorded has new messages only."""
    api = world.account()
    for number in range(2):
        program = Program(api, said={"conversation": "tools"})
        asked = says("user", f"Order {number}?")
        model_call(program, program.root, [asked], calls(f"c{number}", "find_order"))
        found: list[object] = [says("tool", "delivered")]
        model_call(program, program.root, found, says("assistant", f"So {number}."), omitted=2)
        program.finish()
    text = words(http.get("/conversations/tools?view=text"))
    assert text.count("tool delivered") == 2
    assert "8 messages of 2 turns, each once." in text


def test_a_long_run_is_read_from_its_end(world: World, http: httpx.Client) -> None:
    """The page says how many steps at its beginning it did not read."""
    api = world.account()
    program = Program(api, said={"conversation": "steps"})
    bodies = [api.span_body(program.run, parent_span_id=program.root) for _ in range(350)]
    for begin in range(0, 350, 50):
        api.bulk(*({"_type": "agent_spans/create", **each} for each in bodies[begin : begin + 50]))
    model_call(program, program.root, [says("user", "Late?")], says("assistant", "Yes."))
    program.finish()
    text = words(http.get("/conversations/steps?view=text"))
    assert "Late?" in text
    assert "The first 52 steps of the run were not read" in text


@on_each_store
def test_question_and_answer_are_whole(world: World, http: httpx.Client) -> None:
    """The list shows one line of each; a long text is folded after twelve lines."""
    talked(world.account(), "whole", ("First?\n\nSecond?", LONG))
    text = http.get("/conversations/whole").text
    assert "First?\n\nSecond?" in text
    shown, _, rest = text.partition("<summary>the rest")
    assert "Rule 11: never promise" in shown
    assert "Rule 39: never promise" in rest


@on_each_store
def test_a_long_conversation_is_read_in_pages(world: World, http: httpx.Client) -> None:
    """Of 300 turns; the address of a run leads to its page."""
    api = world.account()
    runs = [run_in(api, conversation="long") for _ in range(300)]
    first = http.get("/conversations/long")
    assert "300 turns" in words(first)
    assert "Turn 1," in words(first)
    assert first.text.count('<li id="') == 20
    last = http.get("/conversations/long?page=99")
    assert "Turn 300," in words(last)
    assert f'id="{runs[-1]}"' in last.text
    assert f'id="{runs[149]}"' in http.get(f"/conversations/long?run={runs[149]}").text
    text = http.get("/conversations/long?view=text&page=30")
    assert "turn 300," in words(text)


def test_what_waits_comes_first(world: World, clock: FakeClock) -> None:
    """With the request, if the server has one."""
    api, asking = world.account(), Asking(world)
    run_in(api, "complete", conversation="waits")
    run = str(api.instance("active", external_identifier="run-key-9")["id"])
    said = {"conversation": "waits"}
    api.span(run, schema_name="remit:run", id=root_id(run), payload=said)
    asks = {"step": "desk:refund", "words": ["financial_transactions"]}
    asked = {"asked": "may it?", "how": "approver", **asks, "ticket": "1"}
    span = api.span(run, schema_name="remit:asked", payload=asked)
    body = {"status": "complete", "result_payload": {}}
    assert api.post(f"/agent_spans/{span['id']}/finish", body).status_code == 200
    ask = asking.ask(run="run-key-9")
    secret = create_token(world.store, "account", name="ada", clock=clock).secret
    ada = stranger(create_app(world.store, clock=clock, page_hosts=()))
    sign_in(ada, secret)
    page = ada.get("/conversations/waits")
    assert "It waits for a person: refund may move money" in words(page)
    assert "refund may move money: it waits for a person's answer since" in words(page)
    assert "Look at the request expires at" in words(page)
    assert '<a href="/runs" aria-current="page">' in page.text
    assert f'href="/waiting/{ask}"' in page.text


@on_each_store
def test_a_turn_says_what_a_person_was_asked_and_answered(world: World) -> None:
    """By step, or in the words of the framework; what the person wrote is data."""
    api, http = world.account(), signed_in(world.store)
    said = {"conversation": "asked"}
    approved(api, said=said)
    ended_in(api, "refused", said=said)
    ended_in(api, "expired", None, said=said)
    asked: dict[str, Any] = {"asked": {"question": "Pay <b>order 9</b>?"}, "how": "interrupt"}
    answer: dict[str, Any] = {"answer": HOSTILE, "by": "user-2", "ticket": TICKET}
    program = Program(api, said=said)
    program.step("remit:asked", program.root, 128_000, {**asked, "ticket": TICKET})
    program.step("remit:answered", program.root, 1, answer)
    program.finish()
    story = AskingStory(api, said=said)  # it declares a step with confidential values
    story.ask(**asked, step=None)
    story.answer(**answer, decision=None)
    story.close()
    html = http.get("/conversations/asked")
    said_there = words(html)
    assert "refund was approved by ben@shop.example, after 2 min 8 s." in said_there
    assert (
        "refund was refused by ben@shop.example, after 2 min 8 s: “not without the receipt”"
        in said_there
    )
    assert "refund expired without an answer." in said_there
    assert (
        "“Pay <b>order 9</b>?” was answered “<b>a/b</b> [U+202E]?#%” by user-2, after 2 min 8 s."
        in said_there
    )
    assert "A question was answered by user-2, after 2 min 8 s." in said_there
    assert "<b>order" not in html.text
    assert "refund was approved by" in words(http.get("/conversations/asked?view=text"))


@on_each_store
def test_hidden_values_stay_hidden(world: World, tmp_path: Path) -> None:
    """The link leads to the page that asks first; the access log has each visit."""
    log = tmp_path / "access.log"
    access_log = AccessLog(str(log))
    api, http = world.account(), signed_in(world.store, access_log)
    types = (run_pages.declared("shop.tools:chat", classification="confidential"),)
    story = Story(api, types=types, said={"conversation": "private"})
    messages = [says("user", "a private word")]
    call = story.begin("shop.tools:chat", story.root, {"messages": messages})
    story.end(call, result={"result": "a private answer"})
    run = story.finish("complete")
    program = Program(api, said={"conversation": "private"})
    content = [{"type": "text", "text": "my card is "}, REDACTED]
    model_call(program, program.root, [says("user", content)], says("assistant", "Thanks."))
    program.finish()
    for view in ("", "?view=text"):
        page = http.get(f"/conversations/private{view}")
        assert "a private" not in page.text
        assert "onfidential" in words(page)
    opened = f"/runs/{run}/spans/{call}/read"
    assert f'href="{opened}"' in page.text
    assert "a private" not in http.get(opened).text
    visits = [json.loads(line) for line in log.read_text().splitlines()]
    read = [each["path"] for each in visits if each["route"] == "/conversations/{id}"]
    assert read == ["/conversations/private"] * 2
    assert "Redacted by the rule type:SecretStr" in page.text
    access_log.close()


@on_each_store
def test_another_account_and_another_agent_see_no_conversation(
    world: World, http: httpx.Client
) -> None:
    """It is not there; a token limited to one agent sees the turns of that agent."""
    run_in(world.foreign(), conversation="theirs")
    unknown = http.get("/conversations/theirs")
    assert unknown.status_code == 404
    assert "No such conversation" in unknown.text
    assert http.get("/conversations/theirs?view=odd").status_code == 422
    api, desk = world.account(), world.deployment("shop")
    other, own = run_in(api, conversation="shared"), run_in(desk, conversation="shared")
    secret = create_token(world.store, "agent_deployment", agent="shop", may="read").secret
    limited = stranger(create_app(world.store, page_hosts=()))
    sign_in(limited, secret)
    page = limited.get("/conversations/shared")
    assert (own in page.text, other in page.text) == (True, False)
    assert "1 turn of" in words(page)
    assert limited.get(f"/conversations/shared?run={other}").status_code == 200


@on_each_store
def test_a_program_cannot_write_the_page(world: World, http: httpx.Client) -> None:
    """Markup is text, a mark is its number, and every id has an address."""
    api = world.account()
    talked(api, HOSTILE, (HOSTILE, HOSTILE), (HOSTILE, HOSTILE))
    listed = http.get("/runs", params={"conversation": HOSTILE, "from": "all"}).text
    found = re.search(r'href="(/conversations/[^"]*)"', listed)
    assert found is not None
    for view in ("", "?view=text"):
        page = http.get(unescape(found[1]) + view)
        assert page.status_code == 200
        assert "<b>a" not in page.text
        assert "\u202e" not in page.text
        assert "[U+202E]" in page.text
    signed_out = http.get(unescape(found[1]), headers={"Cookie": ""})
    sent_to = parse_qs(urlsplit(signed_out.headers["location"]).query)["next"]
    assert sent_to == [unescape(found[1])]


@on_each_store
def test_people_and_agents_are_named_where_they_differ(world: World, http: httpx.Client) -> None:
    """In the head, and beside the turns."""
    api = world.account()
    for person in ("user-42", "user-77"):
        run_in(api, conversation="both", on_behalf_of=person)
    run_in(world.deployment("Shop"), conversation="both")
    text = words(http.get("/conversations/both"))
    assert "for user-42, user-77" in text
    assert "3 turns of Desk, One" in text
    assert text.count("for user-77") == 1


def test_the_notice_names_turns_of_other_pages(world: World, http: httpx.Client) -> None:
    """With links to their pages."""
    api = world.account()
    said = {"conversation": "far"}
    runs = [run_in(api, conversation="far") for _ in range(25)]
    runs += [run_pages.denied(api, said=said), run_pages.failed(api, said=said)]
    page = http.get("/conversations/far")
    assert "Turn 27 failed. Steps were denied in turn 26. Read turn 26" in words(page)
    assert f'href="/conversations/far?page=2#{runs[26]}"' in page.text
    text = words(http.get("/conversations/far?page=2"))
    assert "In turn 26 a step was denied: charge. Read turn 26" in text


@on_each_store
def test_an_erased_run_leaves_its_conversation(world: World, http: httpx.Client) -> None:
    """With its question and its answer."""
    api = world.account()
    run = talked(api, "erased", ("A secret?", "Yes."), ("Another?", "No."), again=False)[0]
    erase = create_token(world.store, "account", may="erase", name="office", clock=world.clock)
    body = {"run_id": run, "reason": "article 17"}
    world.http(erase.secret).post("/api/remit/v1/erasures", json=body).raise_for_status()
    for view in ("", "?view=text"):
        text = words(http.get(f"/conversations/erased{view}"))
        assert "Another?" in text
        assert "A secret?" not in text
