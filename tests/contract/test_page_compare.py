"""Two runs compared, as HTML without a browser."""

from __future__ import annotations

from http import HTTPStatus

import pytest

from remit.collector import Store
from tests import run_pages
from tests.collecting import NOBODY, World
from tests.inside import httpx
from tests.signing_in import signed_in


@pytest.fixture
def http(store: Store) -> httpx.Client:
    """Return somebody who is signed in."""
    return signed_in(store)


def test_a_run_is_compared_with_the_one_before(world: World, http: httpx.Client) -> None:
    """By the link that the page of the run has."""
    api = world.account()
    older, newer = run_pages.failed(api), run_pages.failed(api)
    assert f'href="/runs/compare?b={newer}"' in http.get(f"/runs/{newer}").text
    address = http.get(f"/runs/compare?b={newer}").headers["location"]
    assert f"a={older}" in address
    answer = http.get(address)
    assert answer.status_code == HTTPStatus.OK
    assert "Two runs compared" in answer.text


def test_runs_that_do_not_exist_are_named(world: World, http: httpx.Client) -> None:
    """The form stays."""
    run_id = run_pages.failed(world.account())
    for other in (NOBODY, "no-id"):
        answer = http.get(f"/runs/compare?a={run_id}&b={other}")
        assert answer.status_code in {HTTPStatus.NOT_FOUND, HTTPStatus.UNPROCESSABLE_ENTITY}
        assert other in answer.text


def test_a_version_without_an_identifier_has_its_name(world: World, http: httpx.Client) -> None:
    """It is not called None."""
    api = world.account()
    nameless = {"name": "Nightly"}
    first, second = (api.instance("complete", agent_version=nameless)["id"] for _ in range(2))
    answer = http.get(f"/runs/compare?a={first}&b={second}")
    assert answer.status_code == HTTPStatus.OK
    assert answer.text.count("version <bdi>Nightly<") == 2


def test_a_failure_without_a_step_is_compared(world: World, http: httpx.Client) -> None:
    """The sentence says that the step is not known."""
    api = world.account()
    story = run_pages.Story(api)
    story.end(story.root, "failed", run_pages.error("no"), ms=9)
    first, second = story.finish("failed"), run_pages.failed(api)
    answer = http.get(f"/runs/compare?a={first}&b={second}")
    assert answer.status_code == HTTPStatus.OK
    assert "an unknown step" in answer.text
