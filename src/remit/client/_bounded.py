"""A deadline for the whole of a request, where httpx has a timeout for each read only.

A server that sends a byte every nine seconds would hold a call with a timeout of ten for ever.
The synchronous client cannot be interrupted from outside, so every read and write of its
connections is given the time that is left. Resolving a host name is not bounded: the system's
resolver takes no timeout.
"""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias

from remit._clock import Deadline

if TYPE_CHECKING:
    import ssl

# Never 0, which would mean "do not wait at all" to the socket, and give another error.
MIN_TIMEOUT_S: Final = 0.001
# A peer that takes in little at a time is looked at after each piece.
PIECE_BYTES: Final = 65_536

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
    def until(self, deadline: Deadline) -> Generator[None]:
        """Bound what this thread sends inside the block by *deadline*."""
        self._local.deadline = deadline
        try:
            yield
        finally:
            self._local.deadline = None

    def cut(self, timeout: float | None) -> float | None:
        """Return *timeout*, or the time that is left if that is less."""
        deadline: Deadline | None = getattr(self._local, "deadline", None)
        if deadline is None:
            return timeout
        left = max(MIN_TIMEOUT_S, deadline.remaining_s())
        return left if timeout is None else min(timeout, left)


class BoundedBackend:
    """A backend whose connections keep to the deadline of the request on their thread."""

    def __init__(self, inner: Backend, bound: Bound) -> None:
        """Wrap *inner*."""
        self._inner = inner
        self._bound = bound

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: SocketOptions = None,
    ) -> Stream:
        """Return a new connection, bounded."""
        left = self._bound.cut(timeout)
        stream = self._inner.connect_tcp(host, port, left, local_address, socket_options)
        return BoundedStream(stream, self._bound)


class BoundedStream:
    """A connection that keeps to the deadline of the request on its thread."""

    def __init__(self, inner: Stream, bound: Bound) -> None:
        """Wrap *inner*."""
        self._inner = inner
        self._bound = bound
        self.close = inner.close
        self.get_extra_info = inner.get_extra_info

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Return up to *max_bytes*."""
        return self._inner.read(max_bytes, self._bound.cut(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Send all of *buffer*, piece by piece."""
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


def bind(transport: object, bound: Bound) -> None:
    """Make the connections of an httpx transport keep to *bound*.

    Source: httpx offers no way to hand in a network backend, which httpcore has; where the two
    keep it is read by name, and a version that keeps it elsewhere has timeouts for each read.
    """
    pool: object = getattr(transport, "_pool", None)
    inner: Backend | None = getattr(pool, "_network_backend", None)
    if inner is not None:
        vars(pool)["_network_backend"] = BoundedBackend(inner, bound)
