"""The versions of an agent, as HTML without a browser."""

from __future__ import annotations

import html
import re
from typing import Final

import pytest

from remit import risk
from remit.collector import Store
from remit.testing import FakeClock
from tests.collecting import Api, Json, World, details
from tests.inside import httpx
from tests.signing_in import signed_in

CLOSED: Final = risk(forbids="destroy_data")
"""The remit of the first version; the second one has none, and a step that destroys data."""


@pytest.fixture
def http(store: Store) -> httpx.Client:
    """Return somebody who is signed in."""
    return signed_in(store)


def _types(version: str) -> list[Json]:
    remit = CLOSED if version == "1.0" else risk()
    types = {"desk:support": remit, "desk:read": risk(allows="read_data")}
    if version != "1.0":
        types["desk:purge"] = risk(allows="destroy_data")
    return [
        {"name": name, "params_schema": {}, "data_risk": words.model_dump(mode="json")}
        for name, words in types.items()
    ]


@pytest.fixture
def agent(world: World, clock: FakeClock) -> str:
    """Return an agent whose second version was rolled back to the first one."""
    api = world.account()
    body = {"details": {"name": "Support", "external_identifier": "desk:support"}}
    agent_id = str(details(api.post("/agent", body))["id"])
    for version in ("1.0", "2.0 <b>&", "1.0"):
        _run(Api(api.http, agent_id), version)
        clock.advance(60)
    return agent_id


def _run(api: Api, version: str) -> None:
    schema = {"external_identifier": f"of {version}", "span_type_schemas": _types(version)}
    named = {"external_identifier": version}
    api.instance("complete", agent_version=named, agent_schema_version=schema)


def _lead(http: httpx.Client, address: str) -> str:
    answer = http.get(address)
    assert answer.status_code == 200, answer.text
    lead = answer.text.partition('<p class="lead">')[2].partition("</p>")[0]
    return html.unescape(re.sub("<[^>]+>", "", lead))


def _compared(http: httpx.Client, address: str) -> tuple[str, str]:
    """Return the versions that a page compares, as an address has them."""
    link = re.search(r'versions.json\?a=([^&"]*)&(?:amp;)?b=([^&"]*)"', http.get(address).text)
    assert link is not None
    return link[1], link[2]


def test_a_rollback_narrows_what_the_newer_version_widened(http: httpx.Client, agent: str) -> None:
    """The version that was used last is compared with the one before it."""
    page = f"/agents/{agent}?view=versions"
    assert (
        _lead(http, page)
        == "1.0 does not allow more than 2.0 <b>&. 2 changes narrow the declarations."
    )

    newer, older = _compared(http, page)
    forwards = f"{page}&a={older}&b={newer}"

    assert _lead(http, forwards).startswith(
        "2.0 <b>& allows more than 1.0: 1 new step, 1 less strict declaration."
    )


def test_an_address_names_versions_for_people(http: httpx.Client, agent: str) -> None:
    """And still finds them when they are called otherwise."""
    older, newer = _compared(http, f"/agents/{agent}?view=versions")
    assert older.startswith("2.0%20%3Cb%3E%26~")
    assert newer.startswith("1.0~")

    renamed = f"/agents/{agent}?view=versions&a=x~{older[-8:]}&b=y~{newer[-8:]}"

    assert _lead(http, renamed).startswith("1.0 does not allow more")
    assert http.get(f"/agents/{agent}?version={newer}").status_code == 200
    assert http.get(f"/agents/{agent}?view=versions&a=1.0").status_code == 422
