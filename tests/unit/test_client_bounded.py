"""The deadline of a request reaches each read, write and handshake of its connection."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterable
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
