"""Compressed bodies: only to a server that says that it takes them, and never for good."""

from __future__ import annotations

import gzip
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import httpx
import pytest

from remit import _zstd
from remit._endpoints import bulk_raw
from remit.client._coding import MIN_BYTES, Coding
from remit.client._http import AsyncHttp, Http, InProcessTransport
from remit.collector.local import open_app
from tests.doors import TOKEN

URL = "https://api.example"
ITEM = b'"%b"' % (b"x" * MIN_BYTES)
BODY = b'{"items":[%b]}' % ITEM
LARGE = bulk_raw([ITEM])
SMALL = bulk_raw([b'"x"'])
RIGHT = {"status": "success", "outputs": {}}


@pytest.fixture
def without_zstd(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Hide the modules of Zstandard, as where they are not installed."""
    for name in _zstd.MODULES:
        monkeypatch.setitem(sys.modules, name, None)
    _zstd.zstd.cache_clear()
    yield
    _zstd.zstd.cache_clear()


class Server:
    """Notes what comes, and says what it takes.

    Attributes:
        takes: What its answers say that it takes; nothing if None.
        refuses: Whether it refuses what is compressed all the same.
        came: Encoding and body of each request.
    """

    def __init__(self, takes: str | None, *, refuses: bool = False) -> None:
        """Begin with no request."""
        self.takes = takes
        self.refuses = refuses
        self.came: list[tuple[str | None, bytes]] = []

    def answer(self, request: httpx.Request) -> httpx.Response:
        """Answer one request."""
        encoding = request.headers.get("content-encoding")
        self.came.append((encoding, request.content))
        headers = {} if self.takes is None else {"Accept-Encoding": self.takes}
        if self.refuses and encoding:
            return httpx.Response(415, json={"status": "error", "code": "no"}, headers=headers)
        return httpx.Response(200, json=RIGHT, headers=headers)

    def http(self, url: str = URL) -> Http:
        """Return a client."""
        return Http(url, TOKEN, transport=httpx.MockTransport(self.answer))


def unpacked(encoding: str | None, body: bytes) -> bytes:
    """Return what a server reads."""
    if encoding == "zstd":
        module = _zstd.zstd()
        assert isinstance(module, ModuleType)
        return bytes(module.decompress(body))
    return gzip.decompress(body) if encoding == "gzip" else body


@pytest.mark.parametrize(
    ("takes", "encoding"),
    [
        (None, None),
        ("", None),
        ("identity", None),
        ("br, deflate", None),
        ("gzip", "gzip"),
        ("br;q=1.0, GZIP ; q=0.5", "gzip"),
        ("gzip;q=0", None),
        ("gzip;q=0.000, zstd", "zstd"),
        ("zstd, gzip", "zstd"),
    ],
)
def test_the_server_says_how_it_takes_what_comes_next(
    takes: str | None, encoding: str | None
) -> None:
    """The first request goes as it is; what is small always does."""
    server = Server(takes)
    http = server.http()
    for call in (LARGE, LARGE, SMALL):
        assert http.send(call) == {}
    assert [came for came, _ in server.came] == [None, encoding, None]
    assert [unpacked(*came) for came in server.came[:2]] == [BODY, BODY]
    assert encoding is None or len(server.came[1][1]) < len(BODY) / 10


@pytest.mark.usefixtures("without_zstd")
def test_where_there_is_no_zstandard_gzip_is_taken() -> None:
    """The better one needs Python 3.14 or an extra."""
    server = Server("zstd, gzip")
    http = server.http()
    http.send(LARGE)
    http.send(LARGE)
    assert server.came[1][0] == "gzip"


def test_what_the_server_says_later_counts() -> None:
    """It may have been replaced by one that takes less."""
    server = Server("gzip")
    http = server.http()
    http.send(LARGE)
    server.takes = "identity"
    http.send(LARGE)
    http.send(LARGE)
    assert [came for came, _ in server.came] == [None, "gzip", None]


def test_a_server_that_refuses_what_it_said_that_it_takes_gets_it_plain() -> None:
    """At once, within the same call, and from then on."""
    server = Server("gzip", refuses=True)
    http = server.http()
    for _ in range(3):
        assert http.send(LARGE) == {}
    assert [came for came, _ in server.came] == [None, "gzip", None, None]


@pytest.mark.anyio
async def test_the_asynchronous_client_does_as_the_other() -> None:
    """It learns, compresses, and gives up."""
    server = Server("gzip", refuses=True)
    http = AsyncHttp(URL, TOKEN, transport=httpx.MockTransport(server.answer))
    for _ in range(3):
        assert await http.send(LARGE) == {}
    assert [came for came, _ in server.came] == [None, "gzip", None, None]


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:1", "http://127.8.8.8:1", "http://localhost:1", "http://[::1]:1",
     "http://a.localhost"],
)  # fmt: skip
def test_nothing_is_compressed_to_this_machine(url: str) -> None:
    """There bytes cost less than packing them."""
    server = Server("gzip")
    http = server.http(url)
    http.send(LARGE)
    http.send(LARGE)
    assert [came for came, _ in server.came] == [None, None]


def test_nothing_is_compressed_within_the_process(tmp_path: Path) -> None:
    """The collector in the process says what it takes, too."""
    app, token = open_app(tmp_path)
    transport = InProcessTransport(app)
    http = Http("http://remit.local", token, transport=transport)
    answer = http.exchange(SMALL)
    assert "gzip" in answer.headers["accept-encoding"]
    coding: Coding = vars(http)["_coding"]
    assert coding.packed(BODY) == (BODY, {})


def test_what_it_says_is_json_as_before() -> None:
    """The body that is compressed is the one that was described."""
    assert json.loads(LARGE.body or b"") == {"items": ["x" * MIN_BYTES]}
