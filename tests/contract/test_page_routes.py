"""Every route of the page: who may ask it, and whether the tests of the screens open it."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import Final

import pytest

from remit.collector import Store
from tests import run_pages
from tests.collecting import World
from tests.inside import httpx
from tests.inside_collector import SCREENS as ROUTES
from tests.page_data import SCREENS
from tests.signing_in import SAME_SITE, signed_in

NO_SCREENS: Final = {
    "/": "redirects",
    "/live": "data",
    "/agents/{id}/versions.json": "a file",
    "/map.csv": "a file",
    "/map.svg": "a file",
    "/denied.csv": "a file",
    "/register.csv": "a file",
    "/runs.csv": "a file",
    "/runs/new": "data",
    "/runs/{id}/export": "a file",
    "/runs/{id}/file": "a file",
    "/runs/{id}/file/values": "a file",
    "/runs/{id}/find": "data",
    "/runs/{id}/outline": "data",
    "/runs/{id}/spans/{span}/part": "a part of a page",
    "/runs/{id}/spans/{span}/text": "text",
    "/runs/{id}/spans/{span}/values/whole": "text",
    "/runs/{id}/spans/{span}/whole": "text",
}
"""Routes that show no page of their own, and what they answer with."""


@pytest.fixture
def http(store: Store) -> httpx.Client:
    """Return somebody who is signed in."""
    return signed_in(store)


def filled(route: str) -> str:
    """Return a path of a route."""
    return re.sub(r"{\w+(:\w+)?}", "x", route)


def test_every_screen_is_opened_by_the_tests() -> None:
    """Those that open each of `SCREENS`."""
    paths = [filled(screen.address.partition("?")[0]) for screen in SCREENS]
    shown = {route for method, route, _ in ROUTES if method == "GET" and filled(route) in paths}
    assert shown | NO_SCREENS.keys() == {route for method, route, _ in ROUTES if method == "GET"}
    assert not shown & NO_SCREENS.keys()


@pytest.mark.parametrize(("method", "route"), [(method, route) for method, route, _ in ROUTES])
def test_every_route_needs_a_session(http: httpx.Client, method: str, route: str) -> None:
    """Without one a page leads to the sign-in, and a script learns it by the status."""
    for cookie in ("", http.headers["Cookie"] + "x", http.headers["Cookie"].partition("=")[0]):
        headers = {**SAME_SITE, "Cookie": cookie}
        body = {"reason": "x"} if method == "POST" else None
        answer = http.request(method, filled(route), headers=headers, data=body)
        assert answer.status_code == HTTPStatus.SEE_OTHER
        assert answer.headers["location"].startswith("/sign-in?next=")
        headers["Sec-Fetch-Dest"] = "empty"
        answer = http.request(method, filled(route), headers=headers, data=body)
        assert answer.status_code == HTTPStatus.UNAUTHORIZED


def test_no_form_is_taken_from_another_site(world: World, http: httpx.Client) -> None:
    """No change is made through any route."""
    run = run_pages.running(world.account())
    forms = [filled(route) for method, route, _ in ROUTES if method == "POST"]
    forms += [f"/runs/{run}/terminate", "/sign-in", "/sign-out"]
    assert len(forms) > 10
    for path in forms:
        for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "http://evil.example"}):
            answer = http.post(path, data={"reason": "x"}, headers=headers)
            assert answer.status_code == HTTPStatus.FORBIDDEN, path
    assert http.get(f"/runs/{run}/terminate").status_code == HTTPStatus.OK
