"""Servers on loopback that misbehave: each accepts connections and does what a test says."""

from __future__ import annotations

import secrets
import socket
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from typing import Final

STATIC_PORTS: Final = range(20_000, 32_768)
"""Ports below the ephemeral ones, which the system assigns."""
TRIES: Final = 100
Behaviour = Callable[[socket.socket, threading.Event], None]


@contextmanager
def serving(behave: Behaviour, port: int = 0) -> Generator[str]:
    """Accept connections while the block runs.

    Args:
        behave: Called for each connection, on a thread of its own, with an event that is set when
            the block ends.
        port: The port; a free one if it is 0.

    Yields:
        The URL.
    """
    over = threading.Event()
    threads: list[threading.Thread] = []
    with socket.create_server(("127.0.0.1", port)) as listener:

        def serve(connection: socket.socket) -> None:
            with connection, suppress(OSError):
                behave(connection, over)

        def accept() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    thread = threading.Thread(target=serve, args=(connection,), daemon=True)
                    threads.append(thread)
                    thread.start()

        acceptor = threading.Thread(target=accept, daemon=True)
        acceptor.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            over.set()
            listener.shutdown(socket.SHUT_RDWR)
            for thread in (acceptor, *threads):
                thread.join(5)


def request_of(connection: socket.socket) -> bytes:
    """Return the head of the request that comes on *connection*."""
    head = b""
    while b"\r\n\r\n" not in head:
        part = connection.recv(65_536)
        if not part:
            break
        head += part
    return head


def unused_port() -> int:
    """Return a port on which nothing listens.

    It is not an ephemeral port, which the system could assign to another process.
    """
    for _ in range(TRIES):
        port = secrets.choice(STATIC_PORTS)
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise AssertionError(f"none of {TRIES} ports is free")
