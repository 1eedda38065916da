"""Somebody who is signed in at the page of a collector, without a browser."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from starlette.types import ASGIApp

from remit.collector import Store, create_token
from tests.asgi import AsgiTransport
from tests.collecting import Api, World
from tests.inside import httpx
from tests.inside_collector import AccessLog, create_app

NAME: Final = "reader"
"""The name of the token."""
URL: Final = "http://127.0.0.1:8420"
SAME_SITE: Final = {"Sec-Fetch-Site": "same-origin"}
"""What a browser sends with a form of the page."""


@dataclass
class Visitor:
    """A person with a session.

    Attributes:
        api: The account, with an agent.
        http: Requests with the cookie of the session.
    """

    api: Api
    http: httpx.Client

    def data(self, path: str, **query: str | int) -> Any:
        """Return the data that a script of the page gets."""
        response = self.http.get(path, params=query)
        assert response.status_code == 200, response.text
        return response.json()


def visitor(store: Store) -> Visitor:
    """Sign in at a new collector over *store*."""
    world = World(store)
    http = signed_in(store)
    http.headers["Sec-Fetch-Dest"] = "empty"
    return Visitor(world.account(), http)


def signed_in(store: Store, access_log: AccessLog | None = None) -> httpx.Client:
    """Return a client with the session of an account's token, at a collector over *store*."""
    app = create_app(store, access_log=access_log, page_hosts=())
    http = stranger(app)
    sign_in(http, create_token(store, "account", name=NAME).secret)
    return http


def stranger(app: ASGIApp) -> httpx.Client:
    """Return a client without a session."""
    return httpx.Client(transport=AsgiTransport(app), base_url=URL)


def sign_in(http: httpx.Client, secret: str) -> httpx.Response:
    """Sign in with a token or a code, and keep the session if there is one."""
    answer = http.post("/sign-in", data={"secret": secret}, headers=SAME_SITE)
    name, _, value = cookie_of(answer)
    if name:
        http.headers["Cookie"] = f"{name}={value}"
    return answer


def cookie_of(answer: httpx.Response) -> tuple[str, str, str]:
    """Return the cookie that an answer sets: its name, `=`, and its value; all can be empty."""
    header: str = answer.headers.get("set-cookie", "")
    return header.partition(";")[0].partition("=")
