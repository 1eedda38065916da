"""Somebody who is signed in at the page of a collector, without a browser."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from remit.collector import Store, create_token
from tests.asgi import AsgiTransport
from tests.collecting import Api, World
from tests.inside import httpx
from tests.inside_collector import PageOptions, create_app

URL = "http://127.0.0.1:8420"


@dataclass
class Visitor:
    """A person with a session.

    Attributes:
        api: The account, with an agent.
        http: Requests with the cookie of the session.
    """

    api: Api
    http: httpx.Client

    def data(self, path: str, **query: str | int) -> Any:  # noqa: ANN401 - JSON
        """Return the data that a script of the page gets."""
        response = self.http.get(path, params=query)
        assert response.status_code == 200, response.text
        return response.json()


def visitor(store: Store) -> Visitor:
    """Sign in at a new collector over *store*."""
    world = World(store)
    world.app = create_app(store, clock=world.clock, page=PageOptions())
    secret = create_token(store, "account", clock=world.clock).secret
    http = httpx.Client(transport=AsgiTransport(world.app), base_url=URL)
    form = {"secret": secret, "next": ""}
    response = http.post("/sign-in", data=form, headers={"Sec-Fetch-Site": "same-origin"})
    assert response.status_code == 303, response.text
    name, _, value = response.headers["set-cookie"].partition(";")[0].partition("=")
    http.headers.update({"Cookie": f"{name}={value}", "Sec-Fetch-Dest": "empty"})
    return Visitor(world.account(), http)
