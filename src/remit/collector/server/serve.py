"""The collector on a port: uvicorn with h11, in one process or in several."""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import ssl
import threading
from collections.abc import Callable, Generator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType
from typing import Final

import uvicorn
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.supervisors import Multiprocess

from remit._base.clock import SystemClock
from remit._base.guard import logger
from remit._base.system import STOP_SIGNALS, allow_open_files
from remit._base.text import number_of
from remit._base.version import __version__
from remit.collector.api.asgi import ThreadExecutor
from remit.collector.domain.places import prepare
from remit.collector.server.access_log import AccessLog
from remit.collector.server.app import create_app
from remit.collector.server.log import INFO, LogFormat, level_of_uvicorn, start_logging
from remit.collector.server.prometheus import DIRECTORY_VARIABLE, PrometheusMetrics
from remit.collector.settings import Settings
from remit.collector.store.open import is_postgres, open_store, shown
from remit.collector.store.version import VERSION
from remit.errors import SettingsError

GRACE_S: Final = 10
"""Seconds that requests in flight have when the server is stopped."""
WORKER_TIMEOUT_S: Final = 30
"""Seconds without a response to its supervisor after which a worker is replaced."""
SPARE_FILES: Final = 64
"""Files that a process opens besides its connections: database, logs, pipes, threads."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerOptions:
    """How clients connect to a collector, and where their requests are logged.

    Attributes:
        ssl_certfile: Path of the TLS certificate, PEM, with its chain; None serves without TLS.
        ssl_keyfile: Path of its private key, PEM.
        proxy: Addresses and networks of reverse proxies whose `X-Forwarded-For` is trusted,
            separated by commas.
        access_log: Where each request is logged, a path or `-`; None logs none.
        log_format: How the lines on standard error are written.
        log_level: The least level of these lines.
        page: `on` serves the pages at `/`, `off` the API alone.
        page_host: Names of the server with a dot in them, by which browsers ask for the pages.
    """

    ssl_certfile: str | None = None
    ssl_keyfile: str | None = None
    proxy: str | None = None
    access_log: str | None = None
    log_format: str = LogFormat.TEXT
    log_level: str = INFO
    page: str = "on"
    page_host: tuple[str, ...] = ()

    @property
    def hosts_of_pages(self) -> tuple[str, ...] | None:
        """The names by which the pages are asked for; None serves none."""
        return self.page_host if self.page == "on" else None


def serve(
    host: str,
    port: int,
    db: Path | str,
    *,
    workers: int = 1,
    settings: Settings | None = None,
    options: ServerOptions | None = None,
    on_start: Callable[[str], None] | None = None,
) -> None:
    """Serve a database until SIGINT or SIGTERM; requests in flight are completed first.

    Args:
        host: Address to listen on.
        port: Port to listen on; 0 takes a free one.
        db: The database; a file that does not exist is created.
        workers: Number of processes that share the port; more than one needs PostgreSQL.
        settings: The limits.
        options: TLS, proxies and the access log.
        on_start: Called with the URL as soon as clients can connect.

    Raises:
        OSError: The address is not available, or a file of *options* is not.
        SettingsError: *db* is not a database, is newer, or does not allow several workers.
    """
    if workers > 1 and not is_postgres(db):
        raise SettingsError(f"{workers} workers need a PostgreSQL database, not an SQLite file")
    settings, options = settings or Settings(), options or ServerOptions()
    _allow_files(settings.max_connections)

    def started(url: str) -> None:
        if on_start is not None:
            on_start(url)
        count = f", {number_of(workers, 'worker')}" if workers > 1 else ""
        what = (__version__, shown(db), VERSION, count, url)
        logger.info("started: version %s, database %s, schema %s%s, %s", *what)

    with ExitStack() as stack:
        store = stack.enter_context(closing(open_store(db)))
        prepare(store, SystemClock())
        listener = stack.enter_context(listen(host, port))
        log = None
        if options.access_log is not None:
            log = stack.enter_context(closing(AccessLog(options.access_log)))
        if workers > 1:
            store.close()
            _supervise(workers, listener, db, settings, options, started)
            logger.info("stopped")
            return
        executor = ThreadExecutor(store.writes_at_once, store.reads_at_once)
        stack.callback(executor.close)
        app = create_app(
            store,
            settings=settings,
            access_log=log,
            executor=executor,
            page_hosts=options.hosts_of_pages,
        )
        Server(app, listener, settings=settings, options=options, on_start=started).run()
    logger.info("stopped")


def _allow_files(connections: int) -> None:
    """Raise the limit of open files for this number of connections; log if it is not possible."""
    needed = connections + SPARE_FILES
    allowed = allow_open_files(needed)
    if allowed < needed:
        logger.warning(
            "this process may open %s files, and %s connections need %s: raise the limit "
            "(ulimit -n, LimitNOFILE= of systemd), or lower --max-connections",
            allowed, connections, needed,
        )  # fmt: skip


def _supervise(
    workers: int,
    listener: socket.socket,
    db: Path | str,
    settings: Settings,
    options: ServerOptions,
    on_start: Callable[[str], None],
) -> None:
    """Run several processes that serve one socket, until SIGINT or SIGTERM."""
    if options.ssl_certfile is not None:
        # Here, so that files that cannot be used are an error of this process.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(
            options.ssl_certfile, options.ssl_keyfile
        )
    with TemporaryDirectory(prefix="remit-metrics-") as directory:
        os.environ[DIRECTORY_VARIABLE] = directory  # which the workers inherit
        app = partial(_worker_app, db, settings, options, Path(directory))
        config = _config(app, settings, options, factory=True, workers=workers)
        supervisor = _Supervisor(config, [listener])
        try:
            # Connections wait in the socket until a worker accepts them.
            on_start(url_of(listener, tls=options.ssl_certfile is not None))
            supervisor.run()
        finally:
            del os.environ[DIRECTORY_VARIABLE]


class _Supervisor(Multiprocess):
    """uvicorn's supervisor, which replaces workers that have died, or at a SIGHUP; it is logged."""

    def handle_hup(self) -> None:
        logger.info("SIGHUP: the workers are replaced one by one")
        before = {process.pid for process in self.processes}
        super().handle_hup()
        if before.isdisjoint(process.pid for process in self.processes):
            logger.info("SIGHUP: the workers were replaced")

    def keep_subprocess_alive(self) -> None:
        before = [process.pid for process in self.processes]
        super().keep_subprocess_alive()
        for pid, process in zip(before, self.processes, strict=True):
            if pid != process.pid:
                logger.warning("worker %s ended; worker %s replaces it", pid, process.pid)


def _worker_app(
    db: Path | str, settings: Settings, options: ServerOptions, directory: Path
) -> ASGIApp:
    """Return the app of a worker, which is stopped when its parent process has ended."""
    start_logging(options.log_format, options.log_level)
    threading.Thread(target=_stop_without_parent, name="remit-parent", daemon=True).start()
    is_stopping = _note_sigterm()
    try:
        store = open_store(db)
        log = None if options.access_log is None else AccessLog(options.access_log)
    except (OSError, SettingsError) as error:
        raise SystemExit(f"remit: {error}") from error
    app = create_app(
        store,
        settings=settings,
        metrics=PrometheusMetrics(directory),
        access_log=log,
        executor=ThreadExecutor(store.writes_at_once, store.reads_at_once),
        page_hosts=options.hosts_of_pages,
    )
    return ClosingApp(app, is_stopping)


def _note_sigterm() -> Callable[[], bool]:
    """Return a function that tells whether SIGTERM came after this call.

    uvicorn handles the signal as before. It has set its handler when it makes the app of a worker.
    """
    received = threading.Event()
    before = signal.getsignal(signal.SIGTERM)

    def handle(number: int, frame: FrameType | None) -> None:
        received.set()
        if callable(before):
            before(number, frame)

    if callable(before):
        signal.signal(signal.SIGTERM, handle)
    return received.is_set


class ClosingApp:
    """An app whose responses close their connections when the server is stopping.

    uvicorn closes the connections that it has when it stops. A connection that it accepts at that
    moment would stay open until its requests are cancelled after `GRACE_S`.
    """

    def __init__(self, app: ASGIApp, is_stopping: Callable[[], bool]) -> None:
        """Wrap *app*."""
        self._app = app
        self._is_stopping = is_stopping

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""

        async def closing_send(message: Message) -> None:
            if message["type"] == "http.response.start" and self._is_stopping():
                MutableHeaders(scope=message)["connection"] = "close"
            await send(message)

        await self._app(scope, receive, closing_send)


def _stop_without_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None  # noqa: S101 - workers are child processes
    parent.join()
    signal.raise_signal(signal.SIGTERM)


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens on *host* and *port*.

    Raises:
        OSError: The address is not available.
    """
    (family, _, _, _, address), *_ = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    listener = socket.create_server(address[:2], family=family)
    # Accepted sockets inherit it; asyncio sets it only where the socket names its protocol. Without
    # it the body of a response waits 40 ms for the acknowledgement of the head.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def url_of(listener: socket.socket, *, tls: bool = False) -> str:
    """Return the URL at which a listening socket can be reached."""
    host, port = listener.getsockname()[:2]
    scheme = "https" if tls else "http"
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def _config(
    app: ASGIApp | Callable[[], ASGIApp],
    settings: Settings,
    options: ServerOptions,
    *,
    factory: bool = False,
    workers: int = 1,
) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        factory=factory,
        workers=workers,
        # h11 bounds heads and trailers (16 KiB), and keeps no trailer.
        http="h11",
        ws="none",
        limit_concurrency=settings.max_connections + 1,
        loop="asyncio",
        lifespan="auto",
        log_config=None,
        log_level=level_of_uvicorn(options.log_level),
        access_log=False,
        server_header=False,
        headers=[("x-remit-version", __version__)],
        timeout_graceful_shutdown=GRACE_S,
        timeout_worker_healthcheck=WORKER_TIMEOUT_S,
        proxy_headers=options.proxy is not None,
        forwarded_allow_ips=options.proxy,
        ssl_certfile=options.ssl_certfile,
        ssl_keyfile=options.ssl_keyfile,
    )


class Server:
    """One app on one socket."""

    def __init__(
        self,
        app: ASGIApp,
        listener: socket.socket,
        *,
        settings: Settings | None = None,
        options: ServerOptions | None = None,
        on_start: Callable[[str], None] | None = None,
    ) -> None:
        """Prepare to serve *app* to clients that connect to *listener*."""
        options, settings = options or ServerOptions(), settings or Settings()
        self.url = url_of(listener, tls=options.ssl_certfile is not None)
        self._listener = listener
        self._on_start = on_start
        closing = ClosingApp(app, lambda: self._server.should_exit)
        self._server = uvicorn.Server(_config(closing, settings, options))

    def run(self) -> None:
        """Serve until `stop()` or, on the main thread, SIGINT or SIGTERM."""
        self._server.config.load()
        with _signals_call(self.stop):
            # Connections wait in the socket until they are accepted.
            if self._on_start is not None:
                self._on_start(self.url)
            self._server.run(sockets=[self._listener])

    def stop(self) -> None:
        """End `run()`, from any thread, when the requests in flight are completed."""
        self._server.should_exit = True


@contextmanager
def _signals_call(stop: Callable[[], None]) -> Generator[None]:
    """Call *stop* on the signals that ask a process to end.

    uvicorn has handlers of its own while it runs. At its end it raises the signal again, which
    would end the process with an error.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def handle(number: int, frame: FrameType | None) -> None:
        del number, frame
        stop()

    before = {number: signal.signal(number, handle) for number in STOP_SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
