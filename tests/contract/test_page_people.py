"""The conversation and the people of a run on the pages."""

from __future__ import annotations

import re
from html import unescape

import pytest

from remit.collector import Store, create_token
from tests import asked_runs
from tests.asking import Asking
from tests.collecting import Api, Json, World
from tests.inside import httpx
from tests.inside_collector import create_app, hash_of_on_behalf_of, hash_of_subject, root_id
from tests.signing_in import SAME_SITE, sign_in, signed_in, stranger
from tests.stores import on_each_store

HOSTILE = "<b>a&b</b>"


@pytest.fixture
def http(store: Store) -> httpx.Client:
    """Return somebody who is signed in."""
    return signed_in(store)


def _run(api: Api, **said: Json) -> str:
    run = str(api.instance()["id"])
    api.span(run, schema_name="remit:run", id=root_id(run), payload=said)
    return run


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
    api = world.account()
    http = stranger(create_app(world.store, clock=world.clock, page_hosts=()))
    sign_in(http, create_token(world.store, "account", clock=world.clock).secret)
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
