"""A deadline for the whole of a request, where httpx has a timeout for each read only.

A server that sends a byte every nine seconds would hold a call with a timeout of ten for ever.
The synchronous client cannot be interrupted from outside, so every read and write of its
connections is given the time that is left.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias

from remit._clock import Deadline
from remit._guard import attempt
from remit.client._names import Names, is_address

if TYPE_CHECKING:
    import socket
    import ssl

# Never 0, which would mean "do not wait at all" to the socket, and give another error.
MIN_TIMEOUT_S: Final = 0.001
# A peer that takes in little at a time is looked at after each piece.
PIECE_BYTES: Final = 65_536
# The head of a request is sent with its body: each call of the system gives up the interpreter's
# lock, and beside a program that computes, getting it back takes 5 ms.
MAX_HEAD_BYTES: Final = 8_192

SocketOptions: TypeAlias = Iterable[Any] | None


class Stream(Protocol):
    """A connection, as httpcore's network streams are."""

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Return up to *max_bytes*."""
        ...

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Send all of *buffer*."""
        ...

    def close(self) -> None:
        """Close it."""
        ...

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> Stream:
        """Return the same connection under TLS."""
        ...

    def get_extra_info(self, info: str) -> Any:  # noqa: ANN401 - as httpcore has it
        """Return what the stream knows."""
        ...


class Backend(Protocol):
    """What opens connections, as httpcore's network backends do."""

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: SocketOptions = None,
    ) -> Stream:
        """Return a new connection."""
        ...


class Bound:
    """The deadline of the request that each thread is sending."""

    def __init__(self) -> None:
        """Start with none."""
        self._local = threading.local()

    @contextmanager
    def until(
        self, deadline: Deadline, meanwhile: Callable[[], object] | None = None
    ) -> Generator[None]:
        """Bound what this thread sends inside the block by *deadline*.

        Args:
            deadline: When the request must be over.
            meanwhile: Done once, when the request is sent and its answer is waited for.
        """
        self._local.deadline, self._local.meanwhile = deadline, meanwhile
        try:
            yield
        finally:
            self._local.deadline = self._local.meanwhile = None

    def use_the_wait(self) -> None:
        """Do what was to be done while the server works, unless it was done."""
        meanwhile: Callable[[], object] | None = getattr(self._local, "meanwhile", None)
        if meanwhile is not None:
            self._local.meanwhile = None
            meanwhile()

    def cut(self, timeout: float | None, *, parts: int = 1) -> float | None:
        """Return *timeout*, or the time that is left, parted into *parts*, if that is less."""
        deadline: Deadline | None = getattr(self._local, "deadline", None)
        if deadline is None:
            return timeout
        left = max(MIN_TIMEOUT_S, deadline.remaining_s() / parts)
        return left if timeout is None else min(timeout, left)


class BoundedBackend:
    """A backend whose connections keep to the deadline of the request on their thread."""

    def __init__(self, inner: Backend, bound: Bound, names: Names | None = None) -> None:
        """Wrap *inner*; the names of hosts are looked up by *names*."""
        self._inner = inner
        self._bound = bound
        self._names = names or Names()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: SocketOptions = None,
    ) -> Stream:
        """Return a new connection, bounded.

        Raises:
            NameLookUpError: The host's name is not known, or its look-up hangs.
        """
        addresses = [host]
        if not is_address(host):
            addresses = self._names.addresses(host, port, self._bound.cut(timeout))
        *others, last = addresses
        for number, address in enumerate(others):
            # One that swallows the connection leaves time for the rest.
            share = self._bound.cut(timeout, parts=len(addresses) - number)
            tried = attempt(
                partial(self._connected, address, port, share, local_address, socket_options)
            )
            if not isinstance(tried, Exception):
                return tried
        left = self._bound.cut(timeout)
        return self._connected(last, port, left, local_address, socket_options)

    def _connected(
        self,
        address: str,
        port: int,
        timeout: float | None,
        local_address: str | None,
        socket_options: SocketOptions,
    ) -> Stream:
        stream = self._inner.connect_tcp(address, port, timeout, local_address, socket_options)
        return BoundedStream(stream, self._bound)


class BoundedStream:
    """A connection that keeps to the deadline of the request on its thread."""

    def __init__(self, inner: Stream, bound: Bound) -> None:
        """Wrap *inner*."""
        self._inner = inner
        self._bound = bound
        self._socket = _plain_socket(inner)
        self._held = b""
        self.close = inner.close
        self.get_extra_info = inner.get_extra_info

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Return up to *max_bytes*."""
        if self._held:
            self.write(b"", timeout)
        self._bound.use_the_wait()
        return self._inner.read(max_bytes, self._bound.cut(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Send all of *buffer*: what the system takes at once, then piece by piece.

        A head is held back until something follows it, be that nothing or a read.
        """
        held, self._held = self._held, b""
        if self._socket is not None:
            if buffer and not held and len(buffer) <= MAX_HEAD_BYTES:
                self._held = buffer
                return
            taken = _taken_at_once(self._socket, held, buffer)
            buffer = buffer[taken - len(held) :] if taken >= len(held) else (held + buffer)[taken:]
        for start in range(0, len(buffer), PIECE_BYTES):
            piece = buffer[start : start + PIECE_BYTES]
            self._inner.write(piece, self._bound.cut(timeout))

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> Stream:
        """Return the same connection under TLS, bounded."""
        left = self._bound.cut(timeout)
        return BoundedStream(self._inner.start_tls(ssl_context, server_hostname, left), self._bound)


def _plain_socket(stream: Stream) -> socket.socket | None:
    """Return the socket of a connection without TLS, if it is the system's own."""
    import socket  # noqa: PLC0415 - 4 ms, and whoever has a connection has loaded it

    found: object = stream.get_extra_info("socket")
    if type(found) is not socket.socket or stream.get_extra_info("ssl_object") is not None:
        return None
    return found


def _taken_at_once(plain: socket.socket, *buffers: bytes) -> int:
    """Return how many bytes of *buffers* the system takes in one call that does not wait."""
    if plain.gettimeout() is None or not any(buffers):
        return 0
    try:
        return os.writev(plain.fileno(), buffers)
    except OSError:
        # What is wrong, or that it is full, the sending of the rest will tell in httpx's words.
        return 0


def bind(transport: object, bound: Bound) -> None:
    """Make the connections of an httpx transport keep to *bound*.

    Source: httpx offers no way to hand in a network backend, which httpcore has; where the two
    keep it is read by name, and a version that keeps it elsewhere has timeouts for each read.
    """
    pool: object = getattr(transport, "_pool", None)
    inner: Backend | None = getattr(pool, "_network_backend", None)
    if inner is not None:
        vars(pool)["_network_backend"] = BoundedBackend(inner, bound)
