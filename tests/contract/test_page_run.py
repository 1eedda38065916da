"""What the page of a run says first, as HTML without a browser."""

from __future__ import annotations

import re
from html import unescape

import pytest

from remit.collector import Store
from tests import run_pages
from tests.collecting import Api, World
from tests.inside import httpx
from tests.signing_in import signed_in


@pytest.fixture
def http(store: Store) -> httpx.Client:
    """Return somebody who is signed in."""
    return signed_in(store)


def _words(html: str) -> str:
    return " ".join(unescape(re.sub(r"<[^>]+>", "", html)).split())


def _notice(http: httpx.Client, run_id: str) -> str:
    page = http.get(f"/runs/{run_id}").text
    return _words(page.partition('<div class="notice')[2].partition(">")[2].partition("</div>")[0])


def _chosen(http: httpx.Client, run_id: str) -> str:
    page = http.get(f"/runs/{run_id}").text
    row = page.partition('aria-selected="true"')[2].partition("</div>")[0]
    return _words(row.partition(">")[2])


def _told(api: Api, *failures: tuple[str, str, str], handled: int = 0) -> str:
    """Return a failed run with failures one after the other; each with step, class and place.

    The first *handled* ones have a parent that ended well.
    """
    story = run_pages.Story(api)
    well = story.begin("shop.tools:look_up", story.root, ms=1)
    result: dict[str, object] = {}
    for number, (name, kind, place) in enumerate(failures):
        parent = well if number < handled else story.root
        step = story.begin(name, parent, ms=10 * number + 10)
        result = {"error": {"type": kind, "message": f"message {number}", "at": place}}
        story.end(step, "failed", result, ms=10 * number + 15)
    story.end(well, ms=5)
    story.end(story.root, "failed", {"status": "failed", **result}, ms=8420)
    return story.finish("failed")


def test_handled_failures_are_not_the_first(world: World, http: httpx.Client) -> None:
    """The run ended with another one, later."""
    run_id = _told(
        world.account(),
        ("shop.tools:early", "KeyError", "a.py:1 in early"),
        ("shop.tools:charge", "ValueError", "b.py:2 in charge"),
        handled=1,
    )
    assert _notice(http, run_id).startswith("charge failed in b.py:2: message 1.")
    assert _chosen(http, run_id).startswith("failed: charge")


def test_the_innermost_of_nested_failures_is_the_first(world: World, http: httpx.Client) -> None:
    """Also if all ended in the same microsecond."""
    story = run_pages.Story(world.account())
    outer = story.begin("shop.desk:support", story.root, ms=1)
    middle = story.begin("shop.tools:pay_back", outer, ms=2)
    inner = story.begin("shop.tools:charge", middle, ms=3)
    for step in (inner, middle, outer, story.root):
        story.end(step, "failed", run_pages.error("no"), ms=10)
    run_id = story.finish("failed")
    assert _chosen(http, run_id).startswith("failed: charge")
    assert "3 steps around it carry its error" in http.get(f"/runs/{run_id}").text


def test_the_same_failure_names_the_version_before_which_there_is_none(
    world: World, http: httpx.Client
) -> None:
    """A run of an older version went well."""
    api = world.account()
    story = run_pages.Story(api, version="1.4.0")
    story.end(story.root)
    story.finish("complete")
    run_pages.failed(api)
    notice = _notice(http, run_pages.failed(api))
    assert re.search(r"The same failure in 2 runs since [\d:]+, none before 1.5.0$", notice)


def test_a_single_failure_says_nothing_of_others(world: World, http: httpx.Client) -> None:
    """There is none."""
    assert "same failure" not in _notice(http, run_pages.failed(world.account()))


def test_a_run_without_a_failed_step_says_so(world: World, http: httpx.Client) -> None:
    """It was ended as failed by hand."""
    story = run_pages.Story(world.account())
    story.end(story.root, "complete", {"status": "failed", "reason": "no more money"})
    run_id = story.finish("failed")
    assert _notice(http, run_id) == "It failed: no more money. No step of it failed."


def test_the_text_of_a_step_has_what_one_tells_others(world: World, http: httpx.Client) -> None:
    """Its chain, where in the code, and the link."""
    run_id = run_pages.failed(world.account())
    page = http.get(f"/runs/{run_id}").text
    (path,) = set(re.findall(r'href="([^"]+/text)"', page))
    lines = http.get(path).text.splitlines()
    assert lines[0] == f"charge failed, run {run_id} of Desk, version 1.5.0"
    assert lines[2:5] == [
        "shop.tools.PaymentError: the provider answered 502 three times",
        "  at shop/tools.py:41 in charge",
        "directly caused by",
    ]
    assert lines[-1].startswith(f"/runs/{run_id}?span=")
