"""Records that no program of remit makes: the page shows them within bounds."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

import pytest

from remit.collector import Store
from tests import run_pages
from tests.collecting import World
from tests.inside import fields_of, httpx
from tests.signing_in import signed_in, visitor
from tests.violating import violation
from tests.waterfalls import Step, begun, id_of, record

NAMED: Final = fields_of(violation("charge", "a:b", "destroy_data"))


@pytest.fixture
def http(store: Store) -> httpx.Client:
    """Return somebody who is signed in."""
    return signed_in(store)


@pytest.mark.parametrize(
    "violations",
    [
        "all",
        [
            "destroy_data: charge declares allowed, but the agent a:b declares disallowed",
            7,
            None,
            [[]],
        ],
        [{"sentence": ["charge"]}, {"sentence": "charge", "name": 5}],
        [{**NAMED, "part": "charge"}, {**NAMED, "limit": "charge"}, {**NAMED, "word": "excluded"}],
        [{**NAMED, "sentence": "charge" * 1_000, "agent": "a:b" * 1_000}] * 300,
    ],
    ids=["no list", "no objects", "no texts", "no words of the policy", "too many"],
)
def test_violations_of_any_form_are_shown_within_bounds(
    world: World, http: httpx.Client, violations: object
) -> None:
    """Of a step that was denied, and of one that ran."""
    story = run_pages.Story(world.account())
    note = {"$remit": {"violations": violations}}
    step = story.begin("shop.tools:charge", story.root, note, ms=1)
    denial = {"type": "remit.errors.DeniedError", "message": "no", "violations": violations}
    story.end(step, "failed", {"error": denial}, ms=2)
    story.end(story.root, ms=3)
    run_id = story.finish("complete")
    for path in (
        "/runs",
        f"/runs/{run_id}",
        f"/runs/{run_id}/spans/{step}",
        f"/denied?span={step}",
        f"/denied?span={step}&kind=violation",
    ):
        answer = http.get(path)
        assert answer.status_code == HTTPStatus.OK, path
        assert len(answer.text) < 1_000_000, path
    assert "charge" in answer.text


def test_nodes_of_a_graph_in_a_circle_have_nothing_around_them(store: Store) -> None:
    """A model call in them is shown."""
    person = visitor(store)
    run = begun(person.api)
    messages = [{"role": "user", "content": "Where is it?"}]
    payload = {"operation": "chat", "model_name": "gpt", "inputs": {"messages": messages}}
    record(
        person.api,
        run,
        [
            Step("langchain:chain", 1),
            Step("langchain:chain", 0),
            Step("langchain:chat", 0, payload=payload),
        ],
    )
    answer = person.http.get(f"/runs/{run}/spans/{id_of(run, 2)}")
    assert answer.status_code == HTTPStatus.OK
    assert "Where is it?" in answer.text


def test_a_parent_in_another_run_is_not_read(world: World, http: httpx.Client) -> None:
    """Its error is not told by the steps below it."""
    api = world.account()
    other = run_pages.Story(api)
    member = {"type": "KeyError", "message": "a word of another run", "at": run_pages.PLACE}
    group = run_pages.error("two", "ExceptionGroup", members=[member], of=1)
    other.end(other.root, "failed", group, ms=2)
    other.finish("failed")
    story = run_pages.Story(api)
    step = story.begin("shop.tools:charge", other.root, ms=1)
    story.end(step, "failed", run_pages.error("no"), ms=2)
    story.end(story.root, "failed", {"status": "failed"}, ms=3)
    run_id = story.finish("failed")
    answer = http.get(f"/runs/{run_id}/spans/{step}")
    assert answer.status_code == HTTPStatus.OK
    assert "another run" not in answer.text


@pytest.mark.parametrize("levels", [200, 100_000])
@pytest.mark.parametrize(("begin", "end"), [("[", "]"), ('{"$remit":"cut","head":', "}")])
def test_json_in_a_text_may_nest_deep(
    world: World, http: httpx.Client, levels: int, begin: str, end: str
) -> None:
    """The page ends somewhere."""
    call = {"id": "c", "name": "look", "args": begin * levels + "1" + end * levels}
    messages = [{"role": "assistant", "content": "", "tool_calls": [call]}]
    payload = {"operation": "chat", "model_name": "gpt", "inputs": {"messages": messages}}
    story = run_pages.Story(world.account())
    step = story.begin("shop.tools:look_up", story.root, payload, ms=1)
    answer = http.get(f"/runs/{story.run_id}/spans/{step}")
    assert answer.status_code == HTTPStatus.OK
    assert ("deeper than this page shows" in answer.text) is (levels == 200)
