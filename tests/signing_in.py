"""Somebody who is signed in at the page of a collector, without a browser."""

from __future__ import annotations

from remit.collector import Store, create_token
from tests.asgi import AsgiTransport
from tests.inside import httpx
from tests.inside_collector import AccessLog, PageOptions, create_app

NAME = "reader"
"""The name of the token."""


def signed_in(store: Store, access_log: AccessLog | None = None) -> httpx.Client:
    """Return a client with the session of an account's token, at a collector over *store*."""
    app = create_app(store, access_log=access_log, page=PageOptions())
    secret = create_token(store, "account", name=NAME).secret
    http = httpx.Client(transport=AsgiTransport(app), base_url="http://127.0.0.1:8420")
    headers = {"Sec-Fetch-Site": "same-origin"}
    answer = http.post("/sign-in", data={"secret": secret}, headers=headers)
    http.headers["Cookie"] = answer.headers["set-cookie"].partition(";")[0]
    return http
