"""A back end that keeps the contract, but for the fault that it is given until it recovers."""

from __future__ import annotations

import json
import socket
import struct
import threading
import time
from collections.abc import Callable
from email.utils import formatdate
from typing import Any, TypeAlias

from tests.fake_api import RUNS_IN_BULK, FakeApi, Json, error, raw, refusal
from tests.inside import httpx
from tests.loopback import request_of

Fault: TypeAlias = Callable[["Backend", socket.socket, httpx.Request], None]
"""Answers a request wrongly, on the connection it came on."""
Strikes: TypeAlias = Callable[[httpx.Request], bool]
"""Tells whether a request meets the fault."""

SLOW_S = 0.4
RETRY_S = 1
DROP_AT_ONCE = struct.pack("ii", 1, 0)
HALF = 2


def always(_: httpx.Request) -> bool:
    """Be met by every request."""
    return True


class Backend:
    """The API on a real socket.

    Attributes:
        api: What it keeps.
        fault: What it does instead of answering, until it has recovered.
        healthy: How many requests it answers well before the fault begins.
        met: Set when a request met the fault that is enough of it.
        recovered: Set when the fault is over.
    """

    def __init__(
        self,
        fault: Fault | None,
        healthy: int = 0,
        *,
        strikes: Strikes = always,
        enough: Strikes = always,
        least: int = 1,
    ) -> None:
        """Begin with *fault*, after *healthy* requests, at those that it *strikes*.

        It is met after *least* requests that are *enough*.

        One that fails from the first request on takes everything in bulk, another one only spans.
        """
        self.api = FakeApi(in_bulk=frozenset() if healthy else RUNS_IN_BULK)
        self.fault = fault
        self.healthy = healthy
        self.strikes = strikes
        self.enough = enough
        self.least = least
        self.met = threading.Event()
        self.recovered = threading.Event()

    def behave(self, connection: socket.socket, over: threading.Event) -> None:
        """Serve one connection, until one side closes it."""
        while not over.is_set() and (request := _read(connection)):
            early = len(self.api.seen) < self.healthy
            if self.fault is None or early or self.recovered.is_set() or not self.strikes(request):
                connection.sendall(raw(self.api.answer(request)))
                continue
            if self.enough(request):
                self.least -= 1
                if self.least <= 0:
                    self.met.set()
            self.fault(self, connection, request)


def _read(connection: socket.socket) -> httpx.Request | None:
    start, _, body = request_of(connection).partition(b"\r\n\r\n")
    if not start:
        return None
    request_line, *fields = start.decode().split("\r\n")
    method, target, _ = request_line.split(" ")
    headers = dict(line.lower().split(": ", 1) for line in fields)
    while len(body) < int(headers.get("content-length", 0)):
        body += connection.recv(1 << 20)
    return httpx.Request(method, f"http://api{target}", content=body)


def never_answers(backend: Backend, connection: socket.socket, request: httpx.Request) -> None:
    """Take the request and say nothing."""
    del connection, request
    backend.recovered.wait(60)


def answers_slowly(backend: Backend, connection: socket.socket, request: httpx.Request) -> None:
    """Give the right answer, late, in two halves."""
    answer = raw(backend.api.answer(request))
    middle = len(answer) // HALF
    for part in (answer[:middle], answer[middle:]):
        backend.recovered.wait(SLOW_S / HALF)
        connection.sendall(part)


def drips(backend: Backend, connection: socket.socket, request: httpx.Request) -> None:
    """Give the right answer byte by byte, each in time; its head lasts until the recovery."""
    for byte in raw(backend.api.answer(request)):
        if backend.recovered.wait(SLOW_S / HALF):
            break
        connection.sendall(bytes((byte,)))
    connection.close()


def resets(backend: Backend, connection: socket.socket, request: httpx.Request) -> None:
    """Do what is asked, and reset the connection in the middle of the answer."""
    answer = raw(backend.api.answer(request))
    connection.sendall(answer[: len(answer) // HALF])
    time.sleep(SLOW_S / HALF / HALF)  # noqa: TID251 - the half must be on its way before the reset
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, DROP_AT_ONCE)
    connection.close()


def says(answer: httpx.Response) -> Fault:
    """Return the fault that gives every request the same answer."""

    def fault(_: Backend, connection: socket.socket, request: httpx.Request) -> None:
        del request
        connection.sendall(raw(answer))

    return fault


def half_json(backend: Backend, connection: socket.socket, request: httpx.Request) -> None:
    """Do what is asked, and answer with the first half of the JSON."""
    answer = backend.api.answer(request)
    half = httpx.Response(answer.status_code, content=answer.content[: len(answer.content) // HALF])
    connection.sendall(raw(half))


def asks_for_patience(*, as_date: bool) -> Fault:
    """Return a 429 that says when to come again."""

    def fault(_: Backend, connection: socket.socket, request: httpx.Request) -> None:
        del request
        when = formatdate(time.time() + RETRY_S, usegmt=True) if as_date else str(RETRY_S)
        answer = refusal(429, "rate_limited", headers={"retry-after": when})
        connection.sendall(raw(answer))

    return fault


def larger_than(size_bytes: int) -> Strikes:
    """Return what is met by bodies above a size."""
    return lambda request: len(request.content) > size_bytes


def of_one_item(request: httpx.Request) -> bool:
    """Be met by bulk requests that cannot be halved."""
    return len(_items(request)) == 1


def refuses_items(wanted: Callable[[Json], bool], code: str) -> Fault:
    """Return the fault that refuses the bulk items that are *wanted*, and stops there."""

    def fault(backend: Backend, connection: socket.socket, request: httpx.Request) -> None:
        items = _items(request)
        bad = next(at for at, item in enumerate(items) if wanted(item))
        before = json.dumps({"items": items[:bad]}).encode()
        answer = backend.api.answer(httpx.Request(request.method, request.url, content=before))
        outputs: Json = answer.json()["outputs"]
        outputs[items[bad]["idempotency_key"]] = error(code)
        told = httpx.Response(200, json={"status": "success", "outputs": outputs})
        connection.sendall(raw(told))

    return fault


def bulks_with(wanted: Callable[[Json], bool]) -> Strikes:
    """Return what is met by bulk requests with an item that is *wanted*."""
    return lambda request: any(map(wanted, _items(request)))


def _items(request: httpx.Request) -> list[Json]:
    body: Any = json.loads(request.content or b"{}")
    items: list[Json] = body.get("items", [])
    return items
