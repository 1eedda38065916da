"""remit's own requests are in nobody's log; the host's own are."""

from __future__ import annotations

import logging

import httpx
import pytest

from remit._endpoints import ping
from remit.client._http import Http


def answer(request: httpx.Request) -> httpx.Response:
    """Answer every ping."""
    del request
    return httpx.Response(200, json={"status": "success", "details": {}})


def test_a_silenced_door_leaves_no_line_of_httpx(caplog: pytest.LogCaptureFixture) -> None:
    """Its requests are left out; the host's, and those of a client it opened, are not."""
    caplog.set_level(logging.INFO)
    transport = httpx.MockTransport(answer)
    for _ in range(2):
        Http("http://remit.test", "t", transport=transport).silenced().send(ping())
    assert caplog.records == []
    httpx.Client(transport=transport).get("http://host.test")
    Http("http://remit.test", "t", transport=transport).send(ping())
    assert [record.name for record in caplog.records] == ["httpx", "httpx"]
    assert len(logging.getLogger("httpx").filters) == 1
