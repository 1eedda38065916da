"""The collector on a port: uvicorn with h11, stopped by SIGINT and SIGTERM."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType
from typing import Final

import uvicorn
from starlette.types import ASGIApp

from remit._base.clock import SystemClock
from remit.collector.app import create_app
from remit.collector.exposure import AccessLog
from remit.collector.ingest import prepare
from remit.collector.metrics import FOLDER_VARIABLE, Metrics, PrometheusMetrics
from remit.collector.routes import ThreadExecutor
from remit.collector.settings import Settings
from remit.collector.store import Store, is_postgres, open_store
from remit.collector.workers import Workers
from remit.errors import SettingsError

# A request that is being answered when the server is stopped may take so long, in seconds.
GRACE_S: Final = 10
_CLOSE_EVERY_S: Final = 0.1
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """How a collector is reached, and what it says of those who come.

    Attributes:
        certificate: Path of the TLS certificate, PEM, with its chain; None serves without TLS.
        key: Path of its private key, PEM.
        proxy: Addresses of reverse proxies, with commas, whose word is taken for where a request
            comes from.
        access_log: Where each request is noted, a path or `-`; None notes none.
    """

    certificate: str | None = None
    key: str | None = None
    proxy: str | None = None
    access_log: str | None = None


def serve(
    host: str,
    port: int,
    db: Path | str,
    *,
    workers: int = 1,
    settings: Settings | None = None,
    door: Door | None = None,
    on_start: Callable[[str], None] | None = None,
) -> None:
    """Serve a database until SIGINT or SIGTERM; requests in flight are answered first.

    Args:
        host: Address to listen on.
        port: Port to listen on; 0 takes a free one.
        db: The database; a file that does not exist is made.
        workers: How many processes share the port; more than one needs PostgreSQL.
        settings: The limits.
        door: TLS, proxies and the access log.
        on_start: Called with the URL as soon as requests are taken.

    Raises:
        OSError: The address is not to be had, or a file of *door* is not.
        SettingsError: The database is none, or of a newer remit, or not for several workers.
    """
    if workers > 1 and not is_postgres(db):
        raise SettingsError(f"{workers} workers need a PostgreSQL database, not an SQLite file")
    settings, door = settings or Settings(), door or Door()
    store = open_store(db)
    try:
        prepare(store, SystemClock())
        with listen(host, port) as listener:
            if workers == 1:
                _serve(store, listener, settings, door, PrometheusMetrics(), on_start)
                return
            store.close()
            url = url_of(listener, tls=door.certificate is not None)
            with TemporaryDirectory(prefix="remit-metrics-") as folder:
                os.environ[FOLDER_VARIABLE] = folder  # which the workers inherit
                arguments = (listener, db, settings, door, Path(folder))
                several = Workers(workers, _work, arguments, grace_s=2 * GRACE_S)
                several.run(lambda: on_start and on_start(url))
    finally:
        store.close()


def _work(
    ready: Callable[[], None],
    listener: socket.socket,
    db: Path | str,
    settings: Settings,
    door: Door,
    folder: Path,
) -> None:
    """Serve as one of several processes, until SIGTERM."""
    try:
        store = open_store(db)
    except SettingsError as error:
        raise SystemExit(f"remit: {error}") from error
    try:
        _serve(store, listener, settings, door, PrometheusMetrics(folder), lambda _: ready())
    finally:
        store.close()


def _serve(
    store: Store,
    listener: socket.socket,
    settings: Settings,
    door: Door,
    metrics: Metrics,
    on_start: Callable[[str], None] | None,
) -> None:
    log = None if door.access_log is None else AccessLog(door.access_log)
    executor = ThreadExecutor(store.at_once) if store.at_once > 1 else None
    try:
        app = create_app(
            store, settings=settings, metrics=metrics, access_log=log, executor=executor
        )
        Server(
            app,
            listener,
            settings=settings,
            door=door,
            on_start=on_start,
        ).run()
    finally:
        if executor is not None:
            executor.close()
        if log is not None:
            log.close()


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


def url_of(listener: socket.socket, *, tls: bool = False) -> str:
    """Return the URL at which a listening socket can be reached."""
    host, port = listener.getsockname()[:2]
    scheme = "https" if tls else "http"
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


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
        settings: Settings | None = None,
        door: Door | None = None,
        on_start: Callable[[str], None] | None = None,
    ) -> None:
        """Prepare to serve *app* to those who connect to *listener*."""
        door, settings = door or Door(), settings or Settings()
        self.url = url_of(listener, tls=door.certificate is not None)
        self._listener = listener
        config = uvicorn.Config(
            app,
            # h11 bounds heads and trailers (16 KiB), and keeps no trailer.
            http="h11",
            ws="none",
            limit_concurrency=settings.max_connections + 1,
            loop="asyncio",
            lifespan="off",
            log_config=None,
            # Any client can cause its warnings, as often as it likes.
            log_level="error",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=GRACE_S,
            proxy_headers=door.proxy is not None,
            forwarded_allow_ips=door.proxy,
            ssl_certfile=door.certificate,
            ssl_keyfile=door.key,
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

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop the server; close also the connections that are accepted while it stops.

        uvicorn leaves them open until `GRACE_S` has passed, and then answers 500.
        """
        closing = asyncio.create_task(self._close_connections())
        try:
            await super().shutdown(sockets)
        finally:
            closing.cancel()

    async def _close_connections(self) -> None:
        while True:
            await asyncio.sleep(_CLOSE_EVERY_S)
            for connection in list(self.server_state.connections):
                if not connection.transport.is_closing():
                    connection.shutdown()

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
