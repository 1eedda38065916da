"""A run as one HTML file."""

from __future__ import annotations

import hashlib
import re
from base64 import b64encode
from http import HTTPStatus

import pytest

from remit.collector import Store, create_token
from tests import run_pages
from tests.collecting import World
from tests.inside import httpx
from tests.inside_collector import html_of_run
from tests.signing_in import signed_in

MESSAGE = "the provider answered 502 three times"


@pytest.fixture
def http(store: Store) -> httpx.Client:
    """Return somebody who is signed in."""
    return signed_in(store)


def test_it_needs_no_server(world: World, http: httpx.Client) -> None:
    """It has no script, no address, and a policy that permits its own style sheet only."""
    run_id = run_pages.failed(world.account())
    answer = http.get(f"/runs/{run_id}/file")
    assert answer.headers["content-disposition"] == f'attachment; filename="{run_id}.html"'
    html = answer.text
    assert "<script" not in html
    links = re.findall(r' (?:href|src)="([^"]*)"|url\(([^)]*)\)', html)
    links = ["".join(link) for link in links]
    spans = set(re.findall(r'<article class="panel print" id="(\w+)"', html))
    assert len(spans) == 4
    inside = {f"#{span}" for span in spans}
    drawn = {f"#{name}" for name in re.findall(r'<(?:symbol|pattern) id="(\w+)"', html)}
    assert inside <= set(links)
    assert set(links) <= inside | drawn
    style = html.partition("<style>")[2].partition("</style>")[0]
    digest = b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = f"default-src &#39;none&#39;; style-src &#39;sha256-{digest}&#39;"
    assert f'<meta http-equiv="content-security-policy" content="{policy}' in html


def test_values_are_in_it_on_request_only(world: World, http: httpx.Client) -> None:
    """Without them, messages of exceptions are left out, too."""
    run_id = run_pages.failed(world.account())
    without = http.get(f"/runs/{run_id}/file").text
    assert "shop.tools.PaymentError" in without
    assert "shop/tools.py" in without
    assert not any(text in without for text in (MESSAGE, "1021", "Grace", "refund"))
    whole = http.get(f"/runs/{run_id}/file/values").text
    assert all(text in whole for text in (MESSAGE, "1021", "Grace", "refund"))


def test_values_of_confidential_steps_are_never_in_it(world: World, http: httpx.Client) -> None:
    """They are asked for step by step."""
    run_id, _ = run_pages.confidential(world.account(), {"note": "a private word"})
    for tail in ("", "/values"):
        file = http.get(f"/runs/{run_id}/file{tail}").text
        assert "secret" in file
        assert "private" not in file


def test_text_of_data_is_no_html_in_it(world: World, http: httpx.Client) -> None:
    """Not even one that looks like a link of a template."""
    hostile = '<a href="/runs/x?span=1"><img src=x onerror=alert(1)>'
    run_id = run_pages.failed(world.account(), hostile)
    html = http.get(f"/runs/{run_id}/file/values").text
    assert "&lt;img src=x onerror=alert(1)&gt;" in html
    assert "<img" not in html


def test_a_database_gives_the_same_file(world: World) -> None:
    """Without a session, and in UTC."""
    run_id = run_pages.failed(world.account())
    with world.store.reading() as tx:
        (account,) = tx.accounts()
    html = html_of_run(world.store, account.id, run_id, values=True).decode()
    assert MESSAGE in html
    assert "<span>UTC</span>" in html


def test_a_token_gets_the_file(world: World) -> None:
    """Below the API, with what the token may read; a session counts for nothing there."""
    api = world.account()
    run_id, _ = run_pages.confidential(api, {"note": "a private word"})
    secret = create_token(world.store, "account").secret
    http = signed_in(world.store)
    path = f"/api/remit/v1/runs/{run_id}/file"
    rejected = http.get(path)
    assert rejected.status_code == HTTPStatus.UNAUTHORIZED
    assert rejected.json()["status"] == "error"
    http.headers["Authorization"] = f"Bearer {secret}"
    for tail in ("", "/values"):
        answer = http.get(path + tail)
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        assert answer.headers["content-disposition"] == f'attachment; filename="{run_id}.html"'
        assert "secret" in answer.text
        assert "private" not in answer.text
    other = run_pages.failed(world.foreign())
    answer = http.get(f"/api/remit/v1/runs/{other}/file/values")
    assert answer.status_code == HTTPStatus.NOT_FOUND
    assert answer.json()["code"] == "not_found"
    run_id = run_pages.failed(api)
    assert MESSAGE not in http.get(f"/api/remit/v1/runs/{run_id}/file").text
    assert MESSAGE in http.get(f"/api/remit/v1/runs/{run_id}/file/values").text


def test_a_model_call_in_it_stands_alone(world: World, http: httpx.Client) -> None:
    """Its messages are whole: other steps are not read for each of many panels."""
    story = run_pages.Story(world.account())
    messages = [{"role": "user", "content": "Where is my kettle?"}]
    for ms in (1, 2):
        payload = {"operation": "chat", "model_name": "gpt", "inputs": {"messages": messages}}
        step = story.begin("shop.tools:look_up", story.root, payload, ms=ms)
        story.end(step, ms=ms)
        messages = [*messages, {"role": "user", "content": "And my radio?"}]
    html = http.get(f"/runs/{story.run_id}/file/values").text
    assert html.count("Where is my kettle?") == 2
    assert html.count("And my radio?") == 1


def test_a_reason_is_a_value(world: World, http: httpx.Client) -> None:
    """Somebody wrote it, perhaps about a customer."""
    api = world.account()
    run_id = api.instance("active")["id"]
    api.post(f"/agent_instance/{run_id}/terminate", {"reason": "customer 1021"})
    assert "customer 1021" not in http.get(f"/runs/{run_id}/file").text
    assert "customer 1021" in http.get(f"/runs/{run_id}/file/values").text


def test_a_file_has_a_limit(
    world: World, http: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Steps after it are in the tree only, and it says so."""
    monkeypatch.setattr("remit.collector.page.run.html_file.MOST_BYTES", 200)
    story = run_pages.Story(world.account())
    for ms in range(3):
        step = story.begin("shop.tools:charge", story.root, {"text": "x" * 300}, ms=ms)
        story.end(step, ms=ms + 1)
    html = http.get(f"/runs/{story.finish('complete')}/file/values").text
    assert html.count('<article class="panel print"') == 2
    assert "The panels below show 2 steps. The other steps are only in the tree." in html
