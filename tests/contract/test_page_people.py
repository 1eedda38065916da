"""The conversation and the people of a run on the pages."""

from __future__ import annotations

import re
from html import unescape

import pytest

from remit.collector import Store, create_token
from remit.testing import FakeClock
from tests import asked_runs, run_pages
from tests.asking import Asking
from tests.asking_agents import asking_agent
from tests.collecting import Api, Json, World
from tests.inside import Counted, beyond, httpx
from tests.inside_collector import create_app, hash_of_on_behalf_of, hash_of_subject, root_id
from tests.limited import limited_agent, limited_run
from tests.signing_in import SAME_SITE, sign_in, signed_in, stranger
from tests.stores import on_each_store
from tests.violating import denial

HOSTILE = "<b>a&b</b>"


@pytest.fixture
def http(store: Store) -> httpx.Client:
    """Return somebody who is signed in."""
    return signed_in(store)


def _run(api: Api, **said: Json) -> str:
    run = str(api.instance()["id"])
    api.span(run, schema_name="remit:run", id=root_id(run), payload=said)
    return run


def _person(world: World, may: str = "write") -> httpx.Client:
    """Return somebody who is signed in at a collector with the clock of the world."""
    http = stranger(create_app(world.store, clock=world.clock, page_hosts=()))
    sign_in(http, create_token(world.store, "account", may=may, clock=world.clock).secret)
    return http


def _words(html: str) -> str:
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", html)).split())


def _head(html: str) -> list[str]:
    return re.findall(
        r"<th[^>]*>([^<]*)</th>", html.partition("<thead>")[2].partition("</thead>")[0]
    )


@on_each_store
def test_a_list_has_the_columns_that_a_row_fills(world: World, http: httpx.Client) -> None:
    """For and Conversation only if a run has them; then the steps are left to the run."""
    api = world.account()
    _run(api, subject="ada")
    assert not {"For", "Conversation"} & {*_head(http.get("/runs?from=all").text)}
    run = _run(api, on_behalf_of=HOSTILE, conversation=HOSTILE)
    html = http.get("/runs?from=all").text
    assert {"For", "Conversation"} <= {*_head(html)}
    assert "Steps" not in _head(html)
    assert "<b>a" not in html
    assert f"/runs?on_behalf_of={hash_of_on_behalf_of(HOSTILE)}" in html
    assert "/runs?conversation=%3Cb%3Ea%26b%3C/b%3E" in html
    news = re.search(r'data-live="([^"]*)" data-cursor="([^"]*)"', html)
    assert news is not None
    api.span(run)
    changed = http.get(unescape(news[1]), params={"cursor": news[2], "newest": run}).json()
    assert changed["rows"][run].count("<td") == 9


@on_each_store
def test_runs_are_chosen_by_conversation_and_by_who_asked(world: World, http: httpx.Client) -> None:
    """The address has the hash of the person; the bars give way to a sentence."""
    api = world.account()
    first = _run(api, on_behalf_of="user-42", conversation="thread-9")
    other = _run(api, on_behalf_of="user-77", conversation="thread-9", subject="user-42")
    hashed = hash_of_on_behalf_of("user-42")
    for typed in ("user-42", hashed, hashed[:12]):
        answer = http.post("/runs", data={"on_behalf_of": typed}, headers=SAME_SITE)
        assert answer.headers["location"] == f"/runs?on_behalf_of={hashed}"
        address = http.get("/runs", params={"on_behalf_of": typed})
        assert address.headers.get("location", f"/runs?on_behalf_of={hashed}").endswith(hashed)
    html = http.get(f"/runs?on_behalf_of={hashed}").text
    assert (f"/runs/{first}" in html, f"/runs/{other}" in html) == (True, False)
    html = http.get("/runs?conversation=thread-9").text
    assert "2 runs of one conversation" in _words(html)
    html = http.get(f"/runs?conversation=thread-9&on_behalf_of={hashed}").text
    assert "1 run of one conversation , for user-42" in _words(html)
    assert http.get("/runs.csv?conversation=thread-9").text.count("thread-9") == 2


@on_each_store
def test_the_head_of_a_run_says_for_whom_and_about_whom(world: World, http: httpx.Client) -> None:
    """A conversation is named from two runs on; once, it is said who said so."""
    api = world.account()
    said: dict[str, Json] = {
        "conversation": "thread-9",
        "on_behalf_of": "user-42",
        "subject": "customer-17",
    }
    run = _run(api, **said)
    html = http.get(f"/runs/{run}").text
    assert "for user-42 about customer-17 as the program said" in _words(html)
    assert f"/runs?subject={hash_of_subject('customer-17')}" in html
    assert "conversation thread-9" not in _words(html)
    _run(api, conversation="thread-9")
    assert "conversation thread-9 , 2 runs for user-42" in _words(http.get(f"/runs/{run}").text)
    plain = _run(api)
    assert "as the program said" not in _words(http.get(f"/runs/{plain}").text)


@on_each_store
def test_a_row_of_a_waiting_run_says_what_waits(world: World) -> None:
    """A request on the server has its step and what that may do; another one is a question."""
    api, http = world.account(), _person(world)
    asked_runs.unanswered(api, how="interrupt", step=None)
    html = http.get("/runs?from=all").text
    assert "waits for a person's answer" in _words(html)
    assert "waits for a yes" not in html
    key = "run-key-of-a-row"
    asked_runs.unanswered(api, key)
    request = Asking(world).ask(run=key, step="shop.tools:refund")
    html = http.get("/runs?from=all").text
    assert "waits for a yes: refund may move money" in _words(html)
    assert '<span class="ask-ink"><bdi>waits for a yes: refund</bdi></span>' in html
    Asking(world).answer(request)
    assert "waits for a yes" not in http.get("/runs?from=all").text


@on_each_store
def test_a_row_says_how_a_person_answered(world: World, clock: FakeClock) -> None:
    """Who, and after what time or why; one that another approver asked is counted only."""
    api, http, asking = world.account(), _person(world), Asking(world)
    asks = [asking.ask(run=f"run-key-{n}", time_limit_s=600) for n in range(3)]
    clock.advance(128)
    asking.answer(asks[0])
    asking.answer(asks[1], "refused", "not without the receipt")
    clock.advance(600)
    asked_runs.approved(api, key="run-key-0")
    for n, decision in ((1, "refused"), (2, "expired")):
        asked_runs.ended_in(api, decision, key=f"run-key-{n}")
    asked_runs.approved(api)
    html = http.get("/runs?from=all").text
    text = _words(html)
    assert "approved: refund by ben@shop.example, after 2 min 8 s" in text
    assert "refused by ben@shop.example: “not without the receipt”" in text
    assert "expired: refund, no answer within 10 min 0 s" in text
    assert "asked a person once" in text
    assert "denied: refund" not in text
    for mark in ("approved by a person", "refused by a person", "expired without an answer"):
        assert html.count(f'title="1 {mark}"') == 1
    assert 'class="m denied"' not in html


@on_each_store
def test_a_row_names_the_newest_answer_about_each_step(world: World) -> None:
    """A refusal comes before a yes; the others are counted."""
    api, http, asking = world.account(), _person(world), Asking(world)
    key = "run-key-of-answers"
    steps = ("shop.desk:mail", "shop.desk:refund", "shop.desk:refund")
    answers = ("refused", "refused", "approved")
    for step, answer in zip(steps, answers, strict=True):
        asking.answer(asking.ask(run=key, step=step), answer, f"because of {step[-4:]}")
    asked_runs.approved(api, key=key)
    html = http.get("/runs?from=all").text
    assert "refused by ben@shop.example: “because of mail”; 2 other requests" in _words(html)
    assert 'title="2 refused by a person"' in html
    asking.answer(asking.ask(run="run-key-1", step="shop.desk:refund"), "refused", "no")
    asking.answer(asking.ask(run="run-key-1", step="shop.desk:refund"))
    asked_runs.approved(api, key="run-key-1")
    assert "approved: refund by ben@shop.example" in _words(http.get("/runs?from=all").text)


@on_each_store
def test_an_answer_in_a_row_is_data(world: World) -> None:
    """It is escaped and cut; control characters have their numbers."""
    api, http, asking = world.account(), _person(world), Asking(world)
    why = f"<b>\u202e{'x' * 400}"
    asking.answer(asking.ask(run="run-key-1", step="<i>refund\u202e" * 20), "refused", why)
    asking.answer(asking.ask(run="run-key-2", step="<i>refund\u202e" * 20))
    for key in ("run-key-1", "run-key-2"):
        asked_runs.approved(api, key=key)
    html = http.get("/runs?from=all").text
    assert "&lt;b&gt;[U+202E]xx" in html
    assert "approved: &lt;i&gt;refund[U+202E]&lt;i&gt;" in html
    assert "<b>[U" not in html
    assert "<i>refund" not in html
    assert "\u202e" not in html
    assert "x" * 130 not in html
    assert html.count("refund[U+202E]") < 40


@on_each_store
def test_a_row_says_why_a_step_was_denied(world: World) -> None:
    """A limit or a hold is amber: the declarations allow the step."""
    api, http = world.account(), _person(world)
    run_pages.denied(api)
    run_pages.denied(api, handled=False)
    asked_runs.ended_in(api, "refused")
    ended = run_pages.Story(api)
    step = ended.begin("shop.tools:charge", ended.root, ms=10)
    limit = beyond(
        "shop.tools:charge", [Counted("desk", "external_communication", 1_000, "allowed")]
    )
    ended.end(step, "failed", denial("shop.tools:charge", *limit), ms=11)
    ended.end(ended.root, "failed", {"status": "terminated"}, ms=12)
    ended.finish("failed", ms=12)
    text = _words(http.get("/runs?from=all").text)
    assert "limit reached: external communication 1,000 of 1,000" in text
    assert text.count("denied: charge may move money, but the agent forbids it") == 2
    assert "denied: refund needs a person's yes and got none" in text
    limited_run(api, limited_agent(api))
    run_pages.held(api)
    html = http.get("/runs?from=all").text
    assert "limit reached: financial transactions 1 of 1" in _words(html)
    assert '<span class="amber"><bdi>limit reached: financial transactions</bdi></span>' in html
    assert "denied by a hold: charge financial transactions" in _words(html)
    assert "beyond the limit" not in html
    assert "hold 01h" not in html


@on_each_store
def test_a_list_of_one_conversation_says_how_many_wait(world: World) -> None:
    """The link to the conversation follows, and the list has no bars."""
    api, http = world.account(), _person(world)
    said: dict[str, Json] = {"conversation": "thread-9", "on_behalf_of": "user-42"}
    _run(api, **said)
    html = http.get("/runs?conversation=thread-9").text
    assert "1 run of one conversation , for user-42 ." in _words(html)
    story = run_pages.Story(api, said=said)
    story.end(story.begin("remit:asked", story.root, {"asked": "may it?", "ticket": "1"}, ms=1))
    html = http.get("/runs?conversation=thread-9").text
    assert "2 runs of one conversation , for user-42 ; 1 waits." in _words(html)
    assert '<a href="/conversations/thread-9">Read the conversation</a>' in html
    assert 'class="hours"' not in html


@on_each_store
def test_the_page_of_an_agent_says_how_its_questions_ended(world: World) -> None:
    """By step, with the waiting time of answers; others are counted below."""
    api = world.account()
    http = _person(world)
    agent = asking_agent(api, Asking(world))
    html = http.get(f"/agents/{agent}").text
    text = _words(html)
    assert "Asked 24 hours Step Asked Approved Refused Expired p50" in text
    assert "refund 5 2 1 0 2 min 8 s mail_customer 3 1 0 1 2 min 8 s" in text
    assert "Other questions: 1 asked again, 1 still open or without an answer, 1 withdrawn." in text
    assert "1 request of refund waits. Look at it" in text
    assert re.search(r'<a href="/waiting/[0-9a-z]+">Look at it</a>', html)


@on_each_store
def test_the_page_of_an_agent_says_which_steps_ask(world: World) -> None:
    """In the sentence, in the matrix, and what would make a step run without a question."""
    agent = asking_agent(world.account())
    html = _person(world).get(f"/agents/{agent}").text
    text = _words(html)
    assert "1 of its 6 steps would be denied : delete_address ." in text
    assert "3 of its 6 steps ask a person first : mail_customer , refund , track_parcel ." in text
    assert (
        "track_parcel would run without a question if its declaration said "
        'forbids="external_communication" .' in text
    )
    assert "asks : move money" in text
    assert "asks : 1 undeclared" in text
    assert html.count('<td class="c asks') == 2
    assert "asks runs after a person's yes" in text


@on_each_store
def test_the_page_of_an_agent_says_in_how_many_runs_a_limit_denied(world: World) -> None:
    """Two denied steps of one run are one run; how near others came is not known."""
    agent = asking_agent(world.account())
    text = _words(_person(world).get(f"/agents/{agent}").text)
    assert (
        "Limits reached 9 runs in 24 hours Limit, a run Runs with a step beyond it "
        "financial transactions: 1 1 external communication: 5 0 steps: 200 0" in text
    )


@on_each_store
def test_a_person_who_may_stop_holds_an_agent_from_its_page(world: World) -> None:
    """The form has the agent; a session that may not stop has no button."""
    agent = asking_agent(world.account())
    http = _person(world)
    html = http.get(f"/agents/{agent}").text
    (address,) = re.findall(r'href="(/hold\?new=1[^"]*)"', html)
    assert 'name="agent" value="shop-support/desk:desk"' in http.get(unescape(address)).text
    assert "shop-support/desk:desk" in _words(html)
    assert "/hold?new=1" not in _person(world, "read").get(f"/agents/{agent}").text


@on_each_store
def test_names_of_questions_are_data(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A question without a step is counted apart; of too many, the newest are counted."""
    api = world.account()
    http = _person(world)
    run = str(api.instance()["id"])
    for step in (None, 7, HOSTILE, f"{HOSTILE}:{'x' * 900}\u202e"):
        payload = {"asked": "?", "how": "interrupt", "ticket": str(step)[:9], "step": step}
        api.span(run, schema_name="remit:asked", payload=payload, status="complete")
    address = f"/agents/{api.agent_id}?view=remit"
    html = http.get(address).text
    assert "<b>a&b" not in html
    assert "\u202e" not in html
    assert "&lt;b&gt;a&amp;b&lt;/b&gt; 1 0 0 0" in re.sub(r"\s+", " ", re.sub("<[^>]+>", " ", html))
    assert "2 more questions name no step." in _words(html)
    monkeypatch.setattr("remit.collector.page.agents.asked_steps.MOST_QUESTIONS", 2)
    monkeypatch.setattr("remit.collector.page.agents.asked_steps._PAGE", 2)
    assert "Only the newest questions are counted." in _words(http.get(address).text)
