"""The collector on a port: uvicorn with httptools, stopped by SIGINT and SIGTERM."""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Final

import uvicorn
from starlette.types import ASGIApp
from uvicorn.config import LOGGING_CONFIG

from remit._clock import SystemClock
from remit.collector.app import create_app
from remit.collector.ingest import prepare
from remit.collector.settings import Settings
from remit.collector.store import open_store

# A request that is being answered when the server is stopped may take so long, in seconds.
GRACE_S: Final = 10
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


def serve(
    host: str,
    port: int,
    db: Path | str,
    *,
    settings: Settings | None = None,
    on_start: Callable[[str], None] | None = None,
    access_log: bool = False,
) -> None:
    """Serve a database until SIGINT or SIGTERM; requests in flight are answered first.

    Args:
        host: Address to listen on.
        port: Port to listen on; 0 takes a free one.
        db: The database; a file that does not exist is made.
        settings: The limits.
        on_start: Called with the URL as soon as requests are taken.
        access_log: Whether to log each request.

    Raises:
        OSError: The address is not to be had.
        SettingsError: The database is none, or of a newer remit.
    """
    store = open_store(db)
    try:
        prepare(store, SystemClock())
        with listen(host, port) as listener:
            app = create_app(store, settings=settings)
            Server(app, listener, on_start=on_start, access_log=access_log).run()
    finally:
        store.close()


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens on *host* and *port*.

    Raises:
        OSError: The address is not to be had.
    """
    (family, _, _, _, address), *_ = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    listener = socket.create_server(address[:2], family=family)
    # Those that connect inherit it. asyncio sets it only where the protocol is named, and without
    # it an answer's body waits 40 ms for the acknowledgement of its head.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


class Server:
    """One app on one socket.

    Attributes:
        url: The URL at which it can be reached.
    """

    def __init__(
        self,
        app: ASGIApp,
        listener: socket.socket,
        *,
        on_start: Callable[[str], None] | None = None,
        access_log: bool = False,
    ) -> None:
        """Prepare to serve *app* to those who connect to *listener*."""
        host, port = listener.getsockname()[:2]
        self.url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        self._listener = listener
        config = uvicorn.Config(
            app,
            http="httptools",
            ws="none",
            loop="asyncio",
            lifespan="off",
            log_config=LOGGING_CONFIG if access_log else None,
            access_log=access_log,
            server_header=False,
            timeout_graceful_shutdown=GRACE_S,
        )
        self._server = _Uvicorn(config, lambda: on_start and on_start(self.url))

    def run(self) -> None:
        """Serve until `stop()` or, on the main thread, SIGINT or SIGTERM."""
        self._server.run(sockets=[self._listener])

    def stop(self) -> None:
        """Let `run()` end, from any thread, when the requests in flight are answered."""
        self._server.should_exit = True


class _Uvicorn(uvicorn.Server):
    """A server that says when it listens, and ends in peace when it is told to."""

    def __init__(self, config: uvicorn.Config, on_start: Callable[[], object]) -> None:
        super().__init__(config)
        self._on_start = on_start

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._on_start()

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        """Stop on a signal; uvicorn's own would raise it once more, and so fail the process."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self._stop) for number in _SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self.handle_exit(number, frame)
