"""Compressed request bodies: only to a server that says that it takes them."""

from __future__ import annotations

import gzip
from collections.abc import Mapping

from remit.client._http import AsyncHttpClient, HttpClient
from remit.client._inprocess import InProcessTransport
from remit.client._target import RawResponse
from remit.client.endpoints.bulk import bulk_raw
from tests.http_clients import TOKEN
from tests.inside import httpx
from tests.subtests import each

URL = "https://api.example"
ITEM = b'"%b"' % (b"x" * 100_000)
BODY = b'{"items":[%b]}' % ITEM
LARGE = bulk_raw(b'{"items":[' + ITEM + b"]}")
SMALL = bulk_raw(b'{"items":["x"]}')
RIGHT = {"status": "success", "outputs": {}}


class Server:
    """Notes what comes, and says what it takes.

    Attributes:
        takes: What its answers say that it takes; nothing if None.
        rejects: Whether it rejects what is compressed all the same.
        came: Encoding and body of each request.
    """

    def __init__(self, takes: str | None, *, rejects: bool = False) -> None:
        """Begin with no request."""
        self.takes = takes
        self.rejects = rejects
        self.came: list[tuple[str | None, bytes]] = []

    def answer(self, request: httpx.Request) -> httpx.Response:
        """Answer one request."""
        encoding = request.headers.get("content-encoding")
        self.came.append((encoding, request.content))
        headers = {} if self.takes is None else {"Accept-Encoding": self.takes}
        if self.rejects and encoding:
            return httpx.Response(415, json={"status": "error", "code": "no"}, headers=headers)
        return httpx.Response(200, json=RIGHT, headers=headers)

    def http(self, url: str = URL) -> HttpClient:
        """Return a client."""
        return HttpClient(url, TOKEN, transport=httpx.MockTransport(self.answer))


def unpacked(encoding: str | None, body: bytes) -> bytes:
    """Return what a server reads."""
    return gzip.decompress(body) if encoding == "gzip" else body


@each(
    ("takes", "encoding"),
    [
        (None, None),
        ("", None),
        ("identity", None),
        ("br, deflate", None),
        ("gzip", "gzip"),
        ("br;q=1.0, GZIP ; q=0.5", "gzip"),
    ],
)
def test_the_server_says_how_it_takes_what_comes_next(
    takes: str | None, encoding: str | None
) -> None:
    """The first request and small bodies are never compressed."""
    server = Server(takes)
    http = server.http()
    for call in (LARGE, LARGE, SMALL):
        assert http.send(call) == {}
    assert [came for came, _ in server.came] == [None, encoding, None]
    assert [unpacked(*came) for came in server.came[:2]] == [BODY, BODY]
    assert encoding is None or len(server.came[1][1]) < len(BODY) / 10


def test_what_the_server_says_later_counts() -> None:
    """Another server with other abilities may have replaced it."""
    server = Server("gzip")
    http = server.http()
    http.send(LARGE)
    server.takes = "identity"
    http.send(LARGE)
    http.send(LARGE)
    assert [came for came, _ in server.came] == [None, "gzip", None]


def test_a_server_that_rejects_what_it_said_that_it_takes_gets_it_plain() -> None:
    """The same call sends the body once more, and later calls do not compress."""
    server = Server("gzip", rejects=True)
    http = server.http()
    for _ in range(3):
        assert http.send(LARGE) == {}
    assert [came for came, _ in server.came] == [None, "gzip", None, None]


async def test_the_asynchronous_client_does_as_the_other() -> None:
    """It compresses after the first answer and stops after a rejection."""
    server = Server("gzip", rejects=True)
    http = AsyncHttpClient(URL, TOKEN, transport=httpx.MockTransport(server.answer))
    for _ in range(3):
        assert await http.send(LARGE) == {}
    assert [came for came, _ in server.came] == [None, "gzip", None, None]


@each("url", ["http://127.8.8.8:1", "http://localhost:1", "http://[::1]:1", "http://a.localhost"])
def test_nothing_is_compressed_to_this_machine(url: str) -> None:
    """Compression costs more than it saves there."""
    server = Server("gzip")
    http = server.http(url)
    http.send(LARGE)
    http.send(LARGE)
    assert [came for came, _ in server.came] == [None, None]


def test_nothing_is_compressed_within_the_process() -> None:
    """A collector in the process says that it takes gzip, too."""
    server = Server("gzip")

    def handle(
        method: str, path: str, query: object, headers: Mapping[str, str], body: bytes
    ) -> RawResponse:
        assert not query
        request = httpx.Request(method, URL + path, headers=dict(headers), content=body)
        answer = server.answer(request)
        return RawResponse(answer.status_code, dict(answer.headers), answer.content)

    http = HttpClient("http://remit.example", TOKEN, transport=InProcessTransport(handle))
    for _ in range(2):
        assert http.send(LARGE) == {}
    assert server.came == [(None, BODY)] * 2
