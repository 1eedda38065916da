"""One try of one call over the network: what is sent, and why no answer came."""

from __future__ import annotations

import gzip
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Generator, Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest

from remit._base.version import __version__
from remit.client._http import AsyncHttpClient, HttpClient
from remit.config import Settings
from remit.errors import (
    ApiError,
    ContractError,
    SettingsError,
    UnauthorizedError,
    UnavailableError,
    UsageError,
)
from tests.http_clients import (
    PING,
    PONG,
    TOKEN,
    WRITE,
    Handler,
    Sends,
    answering,
    both,
    hides_everything,
)
from tests.inside import Call, described, httpx
from tests.loopback import request_of, serving
from tests.subtests import each

MIB = 1024 * 1024


@both
@pytest.mark.usefixtures("no_integrations")
async def test_a_request_has_the_headers_of_the_contract(send: Sends) -> None:
    """They name token, JSON and sender; a prefix in the URL is kept."""
    seen: list[httpx.Request] = []

    def handle(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, json=PONG)

    answer = await send(PING, url="https://api.example/prefix/", handler=handle)
    assert answer.details == {"token_scope": "account"}
    (request,) = seen
    assert str(request.url) == "https://api.example/prefix/api/v1/ping"
    assert request.headers["authorization"] == f"Bearer {TOKEN}"
    assert request.headers["content-type"] == "application/json"
    assert request.headers["x-prefactor-sdk"] == f"remit@{__version__}"
    assert request.headers["user-agent"] == f"remit/{__version__}"


@both
async def test_a_query_is_sent_with_brackets_quoted(send: Sends) -> None:
    """The published client quotes them too."""
    page: dict[str, object] = {
        "status": "success",
        "summaries": [],
        "pagination": None,
        "sorting": None,
    }

    def handle(request: httpx.Request) -> httpx.Response:
        assert request.url.query == b"agent_id=a&pagination%5Bpage_size%5D=5&sorting=-id"
        return httpx.Response(200, json=page)

    call = described.list_instances(agent_id="a", page_size=5, sorting="-id")
    assert (await send(call, handler=handle)).summaries == []


def test_without_a_token_none_is_sent() -> None:
    """An empty token is none."""

    def handle(request: httpx.Request) -> httpx.Response:
        assert "authorization" not in request.headers
        return httpx.Response(200, json=PONG)

    for token in (None, "", "  \n"):
        HttpClient("http://api.example", token, transport=httpx.MockTransport(handle)).send(PING)


@both
@each(
    ("status", "content", "kind"),
    [
        (401, b'{"status":"error","code":"bad_authtoken","message":"no"}', UnauthorizedError),
        (200, b"<html>s3cret</html>", ContractError),
        (200, b"", ContractError),
        (502, b"<html>", UnavailableError),
    ],
    ids=["error", "html", "empty", "gateway"],
)
async def test_an_answer_becomes_an_error_that_names_the_request(
    send: Sends, status: int, content: bytes, kind: type[ApiError]
) -> None:
    """It has method and URL, never the token or what was sent."""
    with pytest.raises(kind) as caught:
        await send(WRITE, handler=answering(content, status))
    said = str(caught.value)
    assert "POST http://api.example/api/v1/agent_instance/i/record_quality returned" in said
    assert caught.value.status == status
    hides_everything(caught.value)


@both
async def test_a_token_that_a_server_quotes_is_not_repeated(send: Sends) -> None:
    """The error has a mark in its place."""
    quoted = f'{{"code": "bad_authtoken", "message": "{TOKEN} is not known"}}'.encode()
    with pytest.raises(UnauthorizedError, match="<token> is not known") as caught:
        await send(PING, handler=answering(quoted, 401))
    hides_everything(caught.value)


class Parts(httpx.SyncByteStream, httpx.AsyncByteStream):
    """An answer that arrives in parts of this length."""

    def __init__(self, body: bytes, length: int) -> None:
        """Cut *body*."""
        self._parts = [body[at : at + length] for at in range(0, len(body), length)]

    def __iter__(self) -> Iterator[bytes]:
        """Yield the parts."""
        yield from self._parts

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Yield the parts."""
        for part in self._parts:
            yield part


def arriving(body: bytes, length: int, status: int = 200, encoding: str = "identity") -> Handler:
    """Return a handler that answers in parts."""
    headers = {"Content-Encoding": encoding}
    return lambda _: httpx.Response(status, stream=Parts(body, length), headers=headers)


def test_the_time_of_the_server_can_be_used() -> None:
    """A call's function runs when the body is sent, and before its answer is waited for."""
    used = threading.Event()

    def answer_late(connection: socket.socket, _: threading.Event) -> None:
        head = request_of(connection)
        while not head.endswith(b'{"items":[{}]}'):
            head += connection.recv(65_536)
        assert b"\r\nContent-Length: 14\r\n" in head
        outputs = b'{"status":"success","outputs":{}}' if used.wait(60) else b""
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(outputs))
        connection.sendall(outputs)

    with serving(answer_late) as url, closing(HttpClient(url, TOKEN)) as client:
        assert client.send(described.bulk_raw(b'{"items":[{}]}', used.set)) == {}


BULK = described.bulk_raw(b"{}")


@both
@each("zipped", [False, True], ids=["plain", "zipped"])
@each(
    ("call", "limit", "advice"),
    [
        (PING, MIB, "something else may respond"),
        (BULK, 16 * MIB, r"fewer items into one call \(max_batch_items\)"),
        (described.list_instances(agent_id="a"), 16 * MIB, "Ask for less with page_size"),
    ],
    ids=["one thing", "bulk", "a list"],
)
async def test_an_answer_without_end_is_cut_off(
    send: Sends, call: Call[object], limit: int, advice: str, *, zipped: bool
) -> None:
    """The error says what to do about it, for each kind of call."""
    body = b" " * (limit + 1)
    sent = gzip.compress(body) if zipped else body
    handler = arriving(sent, 65_536, encoding="gzip" if zipped else "identity")
    with pytest.raises(ContractError, match=f"longer than {limit} bytes. .*{advice}"):
        await send(call, handler=handler, timeout_s=10)


@both
async def test_an_answer_within_the_limit_is_read(send: Sends) -> None:
    """It may be compressed, and have as many bytes as are allowed."""
    body = b"{}" + b" " * (MIB - 2)
    zipped = gzip.compress(body)
    assert await send(PING, handler=arriving(body, 65_536), timeout_s=10)
    assert await send(PING, handler=arriving(zipped, 100, encoding="gzip"), timeout_s=10)


@both
async def test_a_bulk_answer_may_be_long(send: Sends) -> None:
    """Each output holds a whole span, of which nothing is read."""
    span = {"status": "success", "details": {"payload": {"x": 'y\\"{' * 10_000}}}
    outputs = {f"key-{n:03}": span for n in range(80)}
    body = json.dumps({"status": "success", "outputs": outputs}).encode()
    assert len(body) > 4 * MIB

    answer = await send(BULK, handler=arriving(body, 65_536), timeout_s=10)

    assert list(answer) == list(outputs)
    assert answer["key-000"].details is None


@both
async def test_an_error_is_at_most_one_mebibyte_long(send: Sends) -> None:
    """It is parsed whole, unlike the outputs of a bulk request."""
    body = b'{"status":"error","message":"' + b"x" * MIB + b'"}'
    with pytest.raises(ContractError, match=f"longer than {MIB} bytes"):
        await send(BULK, handler=arriving(body, 65_536, 422))


@both
async def test_a_bulk_answer_that_breaks_off_is_none(send: Sends) -> None:
    """The outputs that came whole are not used."""
    body = b'{"outputs":{"k":{"status":"success"},'
    with pytest.raises(ContractError, match="not JSON"):
        await send(BULK, handler=arriving(body, 65_536))


@each(
    "url",
    ["", "api.example", "ftp://api.example", "https://", "https://h/?q=1", "https://h/#f"],
    ids=["empty", "no scheme", "ftp", "no host", "query", "fragment"],
)
def test_a_url_that_cannot_be_right_is_rejected(url: str) -> None:
    """Nothing is sent, and the error says what is expected."""
    with pytest.raises(SettingsError, match="expected https://host"):
        HttpClient(url, TOKEN)


@pytest.mark.parametrize(
    ("url", "root"),
    [
        ("https://a.example/api/v1/", "https://a.example"),
        ("https://b.example/prefix/api/v1", "https://b.example/prefix"),
    ],
)
def test_the_path_that_requests_add_is_cut_off_the_url_with_one_line(
    url: str, root: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Programs and clients see one URL, and so does the spool; any other path is kept."""
    for _ in range(2):
        assert HttpClient(url, TOKEN).target.url == root
        assert Settings(api_url=url).api_url == root
    assert [record.getMessage() for record in caplog.records] == [
        "api_url ends in /api/v1, which remit removes, because requests add it"
    ]


@each("url", ["http://[::1", "http://h:port"], ids=["bracket", "port"])
def test_a_url_that_cannot_be_read_is_rejected(url: str) -> None:
    """The error has Python's reason."""
    with pytest.raises(SettingsError, match="api_url cannot be read"):
        HttpClient(url, TOKEN)


def test_a_url_with_a_password_is_rejected_without_quoting_it() -> None:
    """The client of httpx would send it in place of the token."""
    with pytest.raises(SettingsError, match="user or password") as caught:
        HttpClient("https://user:s3cret@h", TOKEN)
    assert "s3cret" not in str(caught.value)


@each("token", ["a b", "a\nb", "a\x00b", "tökén"], ids=ascii)
def test_a_token_that_no_header_may_hold_is_rejected_without_quoting_it(token: str) -> None:
    """The error of httpx would quote it."""
    with pytest.raises(SettingsError, match="api_token contains") as caught:
        HttpClient("http://h", token)
    assert token not in str(caught.value)


def test_space_around_a_token_or_a_url_is_not_part_of_it() -> None:
    """A token that is read from a file may end in a newline."""
    http = HttpClient(" http://h/ \n", f" {TOKEN}\n")
    assert http.target.url == "http://h"
    assert http.target.headers()["Authorization"] == f"Bearer {TOKEN}"


def test_nothing_shows_the_token() -> None:
    """Client, target and answer have a `repr` without it."""
    http = HttpClient("http://h", TOKEN, transport=httpx.MockTransport(answering(TOKEN.encode())))
    for shown in (http, http.target, http.exchange(PING)):
        assert TOKEN not in repr(shown)


def test_an_exchange_returns_the_answer_as_it_came() -> None:
    """Status, headers and body are not interpreted."""
    transport = httpx.MockTransport(answering(b"<no>", 404))
    answer = HttpClient("http://h", TOKEN, transport=transport).exchange(PING)
    assert (answer.status, answer.body) == (404, b"<no>")
    assert answer.headers["date"] == "Thu, 01 Jan 2026 12:00:00 GMT"


def test_a_call_may_have_a_time_of_its_own() -> None:
    """It replaces the client's own."""
    seen: list[Any] = []

    def handle(request: httpx.Request) -> httpx.Response:
        seen.append(request.extensions["timeout"]["read"])
        return httpx.Response(200, json=PONG)

    http = HttpClient("http://h", TOKEN, transport=httpx.MockTransport(handle), timeout_s=3)
    http.send(PING)
    http.send(PING, timeout_s=0.5)
    http.send(PING, timeout_s=0)
    assert seen == [3, 0.5, 0.001]


async def test_a_closed_client_says_so() -> None:
    """Closing twice, or before the first call, does nothing."""
    transport = httpx.MockTransport(answering(b"{}"))
    http, other = (
        HttpClient("http://h", TOKEN),
        AsyncHttpClient("http://h", TOKEN, transport=transport),
    )
    http.close()
    http.close()
    with pytest.raises(UsageError, match="was closed"):
        http.send(PING)
    await other.send(PING)
    await other.aclose()
    await other.aclose()
    with pytest.raises(UsageError, match="was closed"):
        await other.send(PING)


@contextmanager
def counting() -> Generator[tuple[str, list[int]]]:
    """Serve pings over kept connections; yield the URL and a list with one entry for each."""
    connections: list[int] = []
    content = b'{"status":"success"}'
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(content)}\r\n\r\n".encode()

    def keep(connection: socket.socket, _over: threading.Event) -> None:
        connections.append(connection.fileno())
        while request_of(connection):
            connection.sendall(head + content)

    with serving(keep) as url:
        yield url, connections


def test_connections_are_kept_and_shared_by_threads() -> None:
    """As many connections are open as calls at one time."""
    with counting() as (url, connections):
        http = HttpClient(url, TOKEN)
        for _ in range(3):
            http.send(PING)
        assert len(connections) == 1
        threads = [threading.Thread(target=http.send, args=(PING,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(connections) <= 5
        http.close()


FORKING = """
import os, sys
from remit.client.endpoints.table import PING
from remit.client._http import HttpClient

http = HttpClient(sys.argv[1], "token")
http.send(PING.call())
child = os.fork()
http.send(PING.call())
if child:
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
http.close()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="only on Linux and macOS")
def test_a_forked_child_opens_connections_of_its_own() -> None:
    """Two processes that write into one connection would garble both."""
    with counting() as (url, connections):
        subprocess.run([sys.executable, "-c", FORKING, url], check=True, timeout=60)
        assert len(connections) == 2


class Closing(httpx.MockTransport):
    """Remembers whether it was closed."""

    closed = False

    def close(self) -> None:
        """Take note."""
        self.closed = True


@pytest.mark.skipif(not hasattr(os, "fork"), reason="only on Linux and macOS")
def test_an_inherited_client_is_not_closed_by_the_child() -> None:
    """The parent closes it; a lock may be held for ever in the child."""
    transport = Closing(answering(b"{}"))
    http = HttpClient("http://h", TOKEN, transport=transport)
    http.send(PING)
    child = os.fork()
    if not child:
        http.close()
        os._exit(int(transport.closed))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    http.close()
    assert transport.closed


@each(
    ("variables", "proxied"),
    [
        ({}, False),
        ({"HTTP_PROXY": "http://{proxy}"}, True),
        ({"http_proxy": "{proxy}"}, True),
        ({"ALL_PROXY": "http://{proxy}"}, True),
        ({"HTTPS_PROXY": "http://{proxy}"}, False),
        ({"HTTP_PROXY": "http://{proxy}", "NO_PROXY": "127.0.0.1"}, False),
    ],
    ids=["none", "scheme", "without scheme", "all", "another scheme", "not for this host"],
)
def test_the_proxy_is_the_one_that_the_environment_names(
    variables: dict[str, str], *, proxied: bool
) -> None:
    """The variables mean what they mean to httpx."""
    names = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
    with (
        counting() as (url, direct),
        counting() as (proxy, through),
        pytest.MonkeyPatch.context() as env,
    ):
        for name in (*names, *map(str.lower, names)):
            env.delenv(name, raising=False)
        for name, value in variables.items():
            env.setenv(name, value.format(proxy=proxy.removeprefix("http://")))
        http = HttpClient(url, TOKEN)
        http.send(PING)
        http.close()
    assert (len(direct), len(through)) == ((0, 1) if proxied else (1, 0))
