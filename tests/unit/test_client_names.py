"""Looking up host names within a deadline."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterable
from typing import Any

import httpx
import pytest

from remit._clock import Deadline
from remit._endpoints import ping
from remit.client._bounded import Bound, BoundedBackend, Stream
from remit.client._http import Http
from remit.client._names import THREAD, NameLookUpError, Names, is_address, resolve
from remit.errors import UnavailableError
from remit.testing._clock import FakeClock
from tests.fake_api import FakeApi
from tests.loopback import serving

ADDRESSES = ["2001:db8::1", "192.0.2.1", "192.0.2.2"]
HOST = "api.example"


class Resolver:
    """A resolver that a test holds up."""

    def __init__(self) -> None:
        """Begin as one that answers at once."""
        self.answers = threading.Event()
        self.answers.set()
        self.asked = 0

    def ask(self, host: str, port: int) -> list[str]:
        """Answer when it is let."""
        self.asked += 1
        self.answers.wait(10)
        assert (host, port) == (HOST, 443)
        return list(ADDRESSES)

    def names(self, *, fresh_s: float = 60.0) -> Names:
        """Return what asks it."""
        return Names(self.ask, fresh_s=fresh_s)


def hanging() -> list[threading.Thread]:
    """Return the threads on which a look-up hangs."""
    return [thread for thread in threading.enumerate() if thread.name == THREAD]


def test_a_look_up_that_hangs_is_waited_for_no_longer_than_there_is_time() -> None:
    """And the next try waits for the same answer: threads do not pile up."""
    resolver = Resolver()
    names = resolver.names()
    resolver.answers.clear()
    for _ in range(5):
        with pytest.raises(NameLookUpError) as caught:
            names.addresses(HOST, 443, 0.01)
        assert caught.value.hangs
    assert (resolver.asked, len(hanging())) == (1, 1)
    resolver.answers.set()
    assert names.addresses(HOST, 443, 10) == ADDRESSES
    assert names.addresses(HOST, 443, 10) == ADDRESSES
    assert resolver.asked == 2


def test_callers_at_one_time_leave_no_more_look_ups_than_they_are() -> None:
    """However often each tries."""
    resolver = Resolver()
    names = resolver.names()
    resolver.answers.clear()

    def caller() -> None:
        for _ in range(5):
            with pytest.raises(NameLookUpError):
                names.addresses(HOST, 443, 0.02)

    callers = [threading.Thread(target=caller) for _ in range(3)]
    for thread in callers:
        thread.start()
    for thread in callers:
        thread.join()
    assert resolver.asked <= 3
    resolver.answers.set()


@pytest.mark.parametrize(("fresh_s", "asked"), [(60.0, 1), (0.0, 2)], ids=["fresh", "stale"])
def test_a_late_answer_is_good_for_a_while(fresh_s: float, asked: int) -> None:
    """The address may have changed since."""
    resolver = Resolver()
    names = resolver.names(fresh_s=fresh_s)
    resolver.answers.clear()
    with pytest.raises(NameLookUpError):
        names.addresses(HOST, 443, 0.01)
    resolver.answers.set()
    for thread in hanging():
        thread.join()
    assert names.addresses(HOST, 443, 10) == ADDRESSES
    assert resolver.asked == asked


def test_where_no_thread_starts_the_caller_asks_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """As while the interpreter exits."""

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't create new thread at interpreter shutdown")

    resolver = Resolver()
    monkeypatch.setattr(threading.Thread, "start", refuse)
    assert resolver.names().addresses(HOST, 443, 1) == ADDRESSES


def test_each_address_is_found_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the resolver's order; one of the link keeps the interface that it is on."""
    v4, v6 = socket.AF_INET, socket.AF_INET6
    places = [(v6, ("fe80::1", 443, 0, 3)), (v4, ("192.0.2.1", 443)), (v4, ("192.0.2.1", 443))]
    answer = [(family, socket.SOCK_STREAM, 6, "", place) for family, place in places]

    def answering(*_: object, **__: object) -> list[Any]:
        return answer

    monkeypatch.setattr(socket, "getaddrinfo", answering)
    assert resolve(HOST, 443) == ["fe80::1%3", "192.0.2.1"]


@pytest.mark.parametrize("host", ["192.0.2.1", "2001:db8::1", "::1"])
def test_an_address_needs_no_look_up(host: str) -> None:
    """Of either kind."""
    assert is_address(host)
    assert not is_address("1.example")


class Net:
    """A network on which some addresses swallow connections."""

    def __init__(self, clock: FakeClock, *dead: str) -> None:
        """Let nothing come of connections to *dead*."""
        self.clock = clock
        self.dead = dead
        self.tried: list[tuple[str, float]] = []

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> Stream:
        """Open a connection, or take all the time."""
        assert (port, local_address, socket_options) == (443, None, None)
        assert timeout is not None
        self.tried.append((host, timeout))
        if host in self.dead:
            self.clock.advance(timeout)
            raise httpx.ConnectTimeout("swallowed")
        return self  # type: ignore[return-value]  # enough of a stream for this test

    def read(self, *_: object) -> bytes:
        """Return nothing."""
        return b""

    close = get_extra_info = read


def test_an_address_that_swallows_connections_leaves_time_for_the_next() -> None:
    """The time that is left is parted among those that are left."""
    clock = FakeClock()
    net, bound = Net(clock, *ADDRESSES[:2]), Bound()
    backend = BoundedBackend(net, bound, Resolver().names())
    with bound.until(Deadline.after(9, clock)):
        backend.connect_tcp(HOST, 443, 10)
    assert net.tried == [(ADDRESSES[0], 3.0), (ADDRESSES[1], 3.0), (ADDRESSES[2], 3.0)]


def test_what_the_last_address_says_is_told() -> None:
    """When none of them does."""
    clock = FakeClock()
    net, bound = Net(clock, *ADDRESSES), Bound()
    backend = BoundedBackend(net, bound, Resolver().names())
    with bound.until(Deadline.after(9, clock)), pytest.raises(httpx.ConnectTimeout):
        backend.connect_tcp(HOST, 443, 10)
    assert len(net.tried) == 3


def test_a_request_whose_look_up_hangs_fails_in_time_and_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With the host, and with what to check; the next one goes through."""
    held = threading.Event()
    ask = socket.getaddrinfo

    def holding(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - as the real one
        held.wait(30)
        return ask(*args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", holding)
    with serving(FakeApi().behave) as url:
        http = Http(url.replace("127.0.0.1", "localhost"), None, timeout_s=0.2)
        hangs = (
            r"the look-up of the host name of localhost:\d+ hangs: .* within 0.2 s. Check the DNS"
        )
        with pytest.raises(UnavailableError, match=hangs):
            http.send(ping())
        held.set()
        assert http.exchange(ping(), timeout_s=10).status == 404
        http.close()
