"""Transports and errors of httpx and of httpx2, whichever of them remit's client uses."""

from __future__ import annotations

import socket
import threading
from typing import Any

import httpx
import httpx2
import pytest

from remit.client import AsyncClient, Client
from remit.errors import ApiError, ContractError, UnavailableError
from tests.loopback import request_of, serving, unused_port
from tests.subtests import each

TOKEN = "pf_0123456789abcdef"
PONG = b'{"status":"success","details":{}}'
FAILURES = {
    "ConnectTimeout": "no connection to api.example within",
    "ReadTimeout": "no response from api.example within",
    "ProxyError": "the proxy rejected the request",
    "RemoteProtocolError": "broke off, or does not use HTTP",
    "ConnectError": "cannot be reached",
    "WriteError": "the connection to api.example broke",
    "DecodingError": "cannot be decompressed",
}
libraries = pytest.mark.parametrize("library", [httpx, httpx2], ids=["httpx", "httpx2"])


def ponging(connection: socket.socket, _over: threading.Event) -> None:
    """Answer each ping."""
    while request_of(connection):
        head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(PONG)}\r\n\r\n"
        connection.sendall(head.encode() + PONG)


@libraries
async def test_a_transport_of_either_library_sends(library: Any) -> None:
    """Each checks that the streams of requests are of its own types."""
    with serving(ponging) as url:
        with Client(url, TOKEN, transport=library.HTTPTransport()) as client:
            assert client.ping().status == "success"
        async with AsyncClient(url, TOKEN, transport=library.AsyncHTTPTransport()) as async_client:
            assert (await async_client.ping()).status == "success"


@libraries
async def test_an_error_of_the_network_is_recognised(library: Any) -> None:
    """It is no answer, and the system's error says why."""
    url = f"http://127.0.0.1:{unused_port()}"
    with (
        Client(url, TOKEN, transport=library.HTTPTransport(), max_retries=0) as client,
        pytest.raises(UnavailableError, match="refused the connection"),
    ):
        client.ping()
    transport = library.AsyncHTTPTransport()
    async with AsyncClient(url, TOKEN, transport=transport, max_retries=0) as async_client:
        with pytest.raises(UnavailableError, match="refused the connection"):
            await async_client.ping()


@libraries
@each("name", FAILURES)
async def test_every_error_of_either_library_has_its_sentence(
    library: Any,
    name: str,
) -> None:
    """It is raised unchained, because it holds the request."""

    def fail(_request: object) -> object:
        raise getattr(library, name)("failed")

    kind = ContractError if name == "DecodingError" else UnavailableError
    options: dict[str, Any] = {"transport": library.MockTransport(fail), "max_retries": 0}
    with Client("http://api.example", TOKEN, **options) as client:
        with pytest.raises(kind, match=FAILURES[name]) as raised:
            client.ping()
        hides_the_request(raised.value)
    async with AsyncClient("http://api.example", TOKEN, **options) as async_client:
        with pytest.raises(kind, match=FAILURES[name]) as raised:
            await async_client.ping()
        hides_the_request(raised.value)


def hides_the_request(error: ApiError) -> None:
    """Assert that nothing of the library's error is in *error*."""
    assert error.__cause__ is None
    assert error.__context__ is None or error.__suppress_context__
    assert TOKEN not in str(error)
