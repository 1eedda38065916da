"""Records that no program of remit makes: the page shows them within bounds."""

from __future__ import annotations

from http import HTTPStatus

import pytest

from remit.collector import Store
from tests import run_pages
from tests.collecting import World
from tests.inside import httpx
from tests.signing_in import signed_in


@pytest.fixture
def http(store: Store) -> httpx.Client:
    """Return somebody who is signed in."""
    return signed_in(store)


@pytest.mark.parametrize(("name", "is_read"), [("charge", True), ("charge" * 100, False)])
def test_long_sentences_of_a_policy_are_not_taken_apart(
    world: World, http: httpx.Client, name: str, *, is_read: bool
) -> None:
    """They are shown as they are: the time would grow with the square of their length."""
    story = run_pages.Story(world.account())
    step = story.begin("shop.tools:charge", story.root, ms=1)
    sentence = f"financial_transactions: {name} says allowed, the agent a:b says disallowed"
    refusal = {"type": "remit.errors.DeniedError", "message": "no", "violations": [sentence]}
    story.end(step, "failed", {"error": refusal}, ms=2)
    story.end(story.root, ms=3)
    run_id = story.finish("complete")
    for path in (f"/runs/{run_id}?span={step}", f"/refused?span={step}"):
        answer = http.get(path)
        assert answer.status_code == HTTPStatus.OK, path
        assert ("The agent rules out moving money" in answer.text) is is_read, path
        assert "charge" in answer.text
