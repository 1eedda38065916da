"""The collector on a port: what only a real connection shows."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from typing import NoReturn

import pytest
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from typing_extensions import override

from remit.collector import Settings, Store, create_token
from tests.collecting import details, on_a_port, refusal
from tests.inside import httpx, version
from tests.inside_collector import Server, SqliteStore, Transaction, create_app, listen

LIMIT = 1_000_000


@pytest.fixture
def url(store: Store) -> Iterator[str]:
    """Return where the collector listens."""
    with on_a_port(create_app(store, settings=Settings(max_body_bytes=LIMIT))) as listening:
        yield listening


@pytest.fixture
def client(url: str, store: Store) -> Iterator[httpx.Client]:
    """Return a client with an account's token."""
    headers = {"Authorization": f"Bearer {create_token(store, 'account').secret}"}
    with httpx.Client(base_url=url, headers=headers, timeout=60) as one:
        yield one


def test_one_connection_serves_many_requests(client: httpx.Client) -> None:
    """A refusal does not close it."""
    for _ in range(3):
        assert details(client.get("/api/v1/ping"))
        refusal(client.post("/api/v1/agent", content=b"{"), 400)
        refusal(client.get("/nowhere"), 404)


@pytest.mark.parametrize("chars", [LIMIT, 20 * LIMIT], ids=["1 MB", "20 MB"])
def test_who_sends_too_much_still_reads_the_answer(client: httpx.Client, chars: int) -> None:
    """The rest is read and thrown away, and the connection goes on."""
    body = json.dumps({"details": {"name": "x" * chars}}).encode()

    refusal(client.post("/api/v1/agent", content=body), 413)
    refusal(client.post("/nowhere", content=body), 404)
    headers = {"Authorization": "Bearer wrong"}
    refusal(client.post("/api/v1/agent", content=body, headers=headers), 401)

    assert details(client.get("/api/v1/ping"))


def test_a_body_comes_with_its_length(client: httpx.Client) -> None:
    """An unknown length would be sent in chunks."""
    pieces = iter([b'{"details":', b'{"name":"in', b' pieces"}}'])

    refused = refusal(client.post("/api/v1/agent", content=pieces), 411)

    assert refused["code"] == "length_required"
    assert "Content-Length" in refused["message"]


def test_a_client_that_goes_away_leaves_nothing_behind(client: httpx.Client, url: str) -> None:
    """Half a body is no request, and no error in the log."""
    host, _, port = url.removeprefix("http://").rpartition(":")
    token = client.headers["authorization"]
    head = f"POST /api/v1/agent HTTP/1.1\r\nHost: x\r\nAuthorization: {token}\r\n"
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(f'{head}Content-Length: 100\r\n\r\n{{"details":'.encode())

    assert client.get("/api/v1/agent").json()["summaries"] == []


class Broken(SqliteStore):
    """A store with a mistake in it."""

    @override
    def look(self, question: Callable[[Transaction], object]) -> NoReturn:
        del question
        raise KeyError("secret of the inside")


def test_a_fault_of_ours_tells_nothing_of_the_inside() -> None:
    """The log has the traceback, the answer an envelope."""
    with on_a_port(create_app(Broken(":memory:"))) as url:
        answer = httpx.get(f"{url}/api/v1/ping", headers={"Authorization": "Bearer x"}, timeout=60)

    assert refusal(answer, 500) == {
        "status": "error",
        "code": "internal_error",
        "message": "the collector failed",
    }


@pytest.mark.parametrize("host", ["::1", "localhost"])
def test_it_listens_on_names_and_on_ipv6(host: str) -> None:
    """The URL can be used as it is."""
    with listen(host, 0) as listener:
        server = Server(Starlette(), listener)

    assert httpx.URL(server.url).port == int(server.url.rpartition(":")[2])


def test_a_server_that_stops_closes_each_connection_with_its_answer() -> None:
    """Without that, a connection accepted at that moment stays open while its client is busy."""
    servers: list[Server] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/stop":
            servers[0].stop()
        await Response("answered")(scope, receive, send)

    with listen("127.0.0.1", 0) as listener:
        servers.append(Server(app, listener))
        thread = threading.Thread(target=servers[0].run)
        thread.start()
        with httpx.Client(base_url=servers[0].url, timeout=60) as client:
            assert "connection" not in client.get("/").headers
            assert client.get("/stop").headers["connection"] == "close"
        thread.join(60)
        assert not thread.is_alive()


def test_an_answer_does_not_wait_for_an_acknowledgement() -> None:
    """With Nagle's algorithm each call of a program would take 40 ms."""
    with (
        listen("127.0.0.1", 0) as listener,
        socket.create_connection(listener.getsockname()),
        listener.accept()[0] as accepted,
    ):
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_each_answer_says_the_version(client: httpx.Client, url: str) -> None:
    """Also a refusal, and one that the server makes itself; the name of the server is not there."""
    answers = [
        client.get("/api/v1/ping"),
        client.get("/api/v1/agent/nobody"),
        client.get("/nowhere"),
        httpx.get(f"{url}/healthz", timeout=60),
        httpx.get(f"{url}/healthz", headers={"X-Long": "x" * 17_000}, timeout=60),
    ]
    assert [answer.headers["x-remit-version"] for answer in answers] == [version.__version__] * 5
    assert not [answer for answer in answers if "server" in answer.headers]
    assert answers[3].json() == {"status": "success", "version": version.__version__}
