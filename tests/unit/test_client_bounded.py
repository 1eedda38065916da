"""The deadline of a request reaches each read, write and handshake of its connection."""

from __future__ import annotations

import random
import socket
import ssl
import threading
from collections.abc import Iterable, Iterator
from typing import Any

import httpx
import pytest

from remit._clock import Deadline
from remit._endpoints import ping
from remit.client._bounded import (
    MIN_TIMEOUT_S,
    PIECE_BYTES,
    Bound,
    BoundedBackend,
    BoundedStream,
    Stream,
    bind,
)
from remit.client._http import Http
from remit.testing._clock import FakeClock

ADDRESS = "192.0.2.1"


class Line:
    """A connection, and what opens it, that writes down the timeouts that it is given."""

    def __init__(self) -> None:
        """Start with none."""
        self.timeouts: list[float | None] = []
        self.sent = b""
        self.closed = False

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> Stream:
        """Open it."""
        assert (host, port, local_address, socket_options) == (ADDRESS, 1, None, None)
        self.timeouts.append(timeout)
        return self

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Return something."""
        self.timeouts.append(timeout)
        return b"x"[:max_bytes]

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Take *buffer*."""
        self.timeouts.append(timeout)
        self.sent += buffer

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> Stream:
        """Pretend."""
        assert ssl_context.check_hostname
        assert server_hostname == "h"
        self.timeouts.append(timeout)
        return self

    def close(self) -> None:
        """Close it."""
        self.closed = True

    def get_extra_info(self, info: str) -> str:
        """Return what was asked for."""
        return info


def test_every_step_of_a_request_gets_the_time_that_is_left() -> None:
    """Connecting, the handshake, writing and reading, whatever httpx allows for each."""
    clock, line, bound = FakeClock(), Line(), Bound()
    backend = BoundedBackend(line, bound)
    with bound.until(Deadline.after(10, clock)):
        stream = backend.connect_tcp(ADDRESS, 1, 30)
        clock.advance(4)
        stream = stream.start_tls(ssl.create_default_context(), "h", 30)
        clock.advance(3)
        stream.write(b"x" * (PIECE_BYTES + 1), 30)
        assert stream.read(1, 2) == b"x"
        assert stream.read(1) == b"x"
        clock.advance(4)
        stream.read(1, 30)
    assert line.timeouts == [10, 6, 3, 3, 2, 3, MIN_TIMEOUT_S]
    assert line.sent == b"x" * (PIECE_BYTES + 1)


def test_outside_a_request_the_timeout_is_the_one_that_was_given() -> None:
    """A connection that is only closed, or looked at, has no deadline."""
    line, bound = Line(), Bound()
    stream = BoundedStream(line, bound)
    with bound.until(Deadline.after(10, FakeClock())):
        pass
    stream.read(1, 30)
    stream.read(1)
    assert line.timeouts == [30, None]
    assert stream.get_extra_info("socket") == "socket"
    stream.close()
    assert line.closed


def test_the_wait_for_an_answer_is_used_once() -> None:
    """After the request is sent, before the answer is read; of another request, not at all."""
    line, bound, clock = Line(), Bound(), FakeClock()
    stream, done = BoundedStream(line, bound), list[bytes]()
    with bound.until(Deadline.after(10, clock), lambda: done.append(line.sent)):
        stream.write(b"request", 30)
        assert done == []
        stream.read(1, 30)
        stream.read(1, 30)
    with bound.until(Deadline.after(10, clock)):
        stream.read(1, 30)
    with bound.until(Deadline.after(10, clock), lambda: done.append(b"never")):
        pass
    stream.read(1, 30)
    assert done == [b"request"]


def test_each_thread_has_the_deadline_of_its_own_request() -> None:
    """They share the connections, and not the time."""
    bound, clock = Bound(), FakeClock()
    seen: list[float | None] = []
    with bound.until(Deadline.after(1, clock)):
        thread = threading.Thread(target=lambda: seen.append(bound.cut(30)))
        thread.start()
        thread.join()
        assert bound.cut(30) == 1
    assert seen == [30]


@pytest.mark.parametrize("proxy", [None, "http://proxy.example:3128"], ids=["direct", "proxy"])
def test_the_connections_of_an_httpx_transport_are_bound(proxy: str | None) -> None:
    """Those through a proxy too; where httpx keeps its connections is checked here."""
    with httpx.HTTPTransport(proxy=proxy) as transport:
        bind(transport, Bound())
        pool: Any = transport._pool
        assert isinstance(pool._network_backend, BoundedBackend)


def test_a_transport_that_keeps_its_connections_elsewhere_is_left_alone() -> None:
    """It has timeouts for each read."""
    transport = httpx.MockTransport(lambda _: httpx.Response(200))
    bind(transport, Bound())
    with httpx.Client(transport=transport) as client:
        assert client.get("http://h").status_code == 200


@pytest.mark.parametrize(
    ("variables", "proxy"),
    [
        ({}, None),
        ({"HTTP_PROXY": "http://proxy.example:3128"}, "http://proxy.example:3128"),
        ({"http_proxy": "proxy.example:3128"}, "http://proxy.example:3128"),
        ({"ALL_PROXY": "http://all.example:1"}, "http://all.example:1"),
        ({"HTTPS_PROXY": "http://proxy.example:3128"}, None),
        ({"HTTP_PROXY": "http://proxy.example:3128", "NO_PROXY": "api.example"}, None),
    ],
    ids=["none", "scheme", "without scheme", "all", "another scheme", "not for this host"],
)
def test_the_proxy_is_the_one_that_the_environment_names(
    variables: dict[str, str], proxy: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As httpx's own client reads it."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    made: list[str | None] = []
    right = httpx.Response(200, json={"status": "success", "details": {}})

    def transport(*, proxy: str | None) -> httpx.MockTransport:
        made.append(proxy)
        return httpx.MockTransport(lambda _: right)

    monkeypatch.setattr(httpx, "HTTPTransport", transport)
    Http("http://api.example", "t").send(ping())
    assert made == [proxy]


class Wire(Line):
    """One end of a real connection, with what is written beside the direct way written down."""

    def __init__(self, end: socket.socket) -> None:
        """Use *end*."""
        super().__init__()
        self.end = end
        self.tls: object = None
        end.settimeout(60)

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Read from the connection."""
        del timeout
        return self.end.recv(max_bytes)

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Write to the connection."""
        super().write(buffer, timeout)
        self.end.sendall(buffer)

    def get_extra_info(self, info: str) -> Any:  # noqa: ANN401 - as httpcore has it
        """Return the socket; there is no TLS unless a test says so."""
        return {"socket": self.end, "ssl_object": self.tls}.get(info)


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Return both ends of a connection."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


Ends = tuple[socket.socket, socket.socket]


def test_a_head_goes_out_with_its_body(ends: Ends) -> None:
    """In one call of the system: it waits until something follows."""
    ours, theirs = ends
    wire, bound = Wire(ours), Bound()
    stream = BoundedStream(wire, bound)
    stream.write(b"head", 30)
    theirs.settimeout(0)
    with pytest.raises(BlockingIOError):
        theirs.recv(1)
    stream.write(b"body", 30)
    assert theirs.recv(100) == b"headbody"
    assert wire.sent == b""


def test_a_head_without_a_body_goes_out(ends: Ends) -> None:
    """When its end is written, and at the latest when the answer is read."""
    ours, theirs = ends
    stream = BoundedStream(Wire(ours), Bound())
    theirs.settimeout(60)
    stream.write(b"one", 30)
    stream.write(b"", 30)
    assert theirs.recv(100) == b"one"
    stream.write(b"two", 30)
    theirs.sendall(b"answer")
    assert stream.read(100, 30) == b"answer"
    assert theirs.recv(100) == b"two"


def test_what_the_system_does_not_take_at_once_is_sent_piece_by_piece(ends: Ends) -> None:
    """Each piece within the time that is left, and all of it in order."""
    ours, theirs = ends
    wire, bound, clock = Wire(ours), Bound(), FakeClock()
    stream, body = BoundedStream(wire, bound), random.Random(1).randbytes(8 << 20)
    found = bytearray()

    def take() -> None:
        while part := theirs.recv(1 << 16):
            found.extend(part)

    thread = threading.Thread(target=take)
    thread.start()
    with bound.until(Deadline.after(10, clock)):
        stream.write(b"head", 30)
        stream.write(body, 30)
    ours.shutdown(socket.SHUT_WR)
    thread.join()
    assert bytes(found) == b"head" + body
    assert 0 < len(wire.sent) < len(body)
    assert set(wire.timeouts) == {10}
    assert len(wire.timeouts) >= len(wire.sent) // PIECE_BYTES


def test_a_connection_that_broke_says_so_in_its_own_words(ends: Ends) -> None:
    """The direct way keeps silent, what goes on from there does not."""
    ours, theirs = ends
    theirs.close()
    stream = BoundedStream(Wire(ours), Bound())
    stream.write(b"head", 30)
    with pytest.raises(BrokenPipeError):
        stream.write(b"body", 30)


def test_what_is_not_plain_or_blocks_is_written_to_by_its_own_means(ends: Ends) -> None:
    """Bytes beneath TLS would break it, and the direct way must never wait."""
    wire = Wire(ends[0])
    wire.tls = object()
    BoundedStream(wire, Bound()).write(b"secret", 30)
    assert wire.sent == b"secret"
    wire = Wire(ends[0])
    wire.end.settimeout(None)
    stream = BoundedStream(wire, Bound())
    stream.write(b"head", 30)
    stream.write(b"", 30)
    assert wire.sent == b"head"
