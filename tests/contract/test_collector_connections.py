"""A collector has so many connections and no more, and says so to those beyond."""

from __future__ import annotations

import socket
from collections.abc import Generator
from contextlib import ExitStack, contextmanager

from remit._clock import Deadline, SystemClock
from remit.collector import Settings, Store
from tests.exposed import answered, served, told


@contextmanager
def holding(url: str, count: int) -> Generator[list[socket.socket]]:
    """Return a block with so many connections on which nothing whole was asked."""
    host, _, port = url.removeprefix("http://").rpartition(":")
    with ExitStack() as stack:
        connections = []
        for _ in range(count):
            made = socket.create_connection((host, int(port)), timeout=20)
            connections.append(stack.enter_context(made))
            made.sendall(b"GET /healthz")
        yield connections


def test_one_connection_too_many_is_told_so(store: Store) -> None:
    """With 503 and when to try again; when there is room, it is let in."""
    asked = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    limits = Settings(max_connections=2, head_timeout_s=60)
    with served(store, limits) as url, holding(url, 2) as held:
        answer = answered(url, asked)
        silent = answered(url, b"")
        held[0].close()
        deadline = Deadline.after(20, SystemClock())
        while not answered(url, asked).startswith(b"HTTP/1.1 200 "):
            assert not deadline.passed

    for each in (answer, silent):
        assert told(each) == (503, "unavailable")
        assert b"\r\nretry-after: 1\r\n" in each


def test_many_connections_too_many_are_closed(store: Store) -> None:
    """They could else use up what files a process may have, though each is told something."""
    with served(store, Settings(max_connections=2, head_timeout_s=2)) as url, ExitStack() as stack:
        host, _, port = url.removeprefix("http://").rpartition(":")
        made = [socket.create_connection((host, int(port)), timeout=20) for _ in range(30)]
        answers = [until_closed(stack.enter_context(each)) for each in made]

    told_what = [answer.split(b" ")[1] if answer else b"" for answer in answers]
    assert told_what[:2] == [b"408", b"408"]
    assert set(told_what) == {b"408", b"503", b""}
    assert told_what.count(b"") > told_what.count(b"503")


def until_closed(connection: socket.socket) -> bytes:
    """Return what comes until the other side closes, one way or another."""
    parts = []
    try:
        while part := connection.recv(65536):
            parts.append(part)
    except ConnectionError:
        pass
    return b"".join(parts)
