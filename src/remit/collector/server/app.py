"""The collector as an ASGI app, whose errors have an envelope too."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from http import HTTPStatus
from types import FrameType
from typing import Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from remit._base.clock import Clock, SystemClock
from remit._base.system import STOP_SIGNALS
from remit.collector.api.asgi import CODE, ApiApp, Executor, InlineExecutor
from remit.collector.api.dispatch import Service
from remit.collector.api.endpoints import PREFIXES
from remit.collector.errors import RequestError
from remit.collector.metrics import Metrics
from remit.collector.page.routes import Site, rejection_page, wants_page
from remit.collector.page.run.html_file import file_routes
from remit.collector.server.access_log import AccessLog
from remit.collector.server.health import monitoring_routes
from remit.collector.server.maintenance import Maintenance
from remit.collector.server.middleware import Gate, envelope
from remit.collector.server.prometheus import PrometheusMetrics
from remit.collector.settings import Settings
from remit.collector.store.base import Store


def create_app(
    store: Store,
    *,
    settings: Settings | None = None,
    clock: Clock | None = None,
    metrics: Metrics | None = None,
    access_log: AccessLog | None = None,
    executor: Executor | None = None,
    page_hosts: tuple[str, ...] | None = None,
) -> Starlette:
    """Return a collector that stores its data in *store*.

    It serves the API at `/api/v1` and `/api/remit/v1` to clients with a token that
    `remit token create` made, and `/healthz`, `/readyz` and `/metrics` to operators. The server
    limits the head of a request. Between the lifespan events startup
    and shutdown, a thread maintains the database.

    Args:
        store: The database, from `remit.collector.open_store`.
        settings: The limits.
        clock: Source of the time.
        metrics: The counters.
        access_log: Gets a line for each request.
        executor: Runs the requests; None runs them on the event loop.
        page_hosts: Names of the server with a dot in them, by which browsers ask for the pages at
            `/`, besides addresses and `localhost`; None serves no pages.
    """
    settings, clock = settings or Settings(), clock or SystemClock()
    metrics = metrics or PrometheusMetrics()
    service, executor = Service(store, settings, clock, metrics), executor or InlineExecutor()
    monitoring = monitoring_routes(service, metrics, executor)
    gate = Middleware(
        Gate,
        routes=monitoring,
        metrics=metrics,
        settings=settings,
        clock=clock,
        log=access_log,
    )
    stopping = threading.Event()
    api = ApiApp(service, executor, stopping.is_set)
    apis = [Route(prefix + "/{path:path}", api) for prefix in PREFIXES]
    files = file_routes(service, store, executor, clock)
    pages: list[Route] = []
    if page_hosts is not None:
        pages = Site(service, store, executor, clock, page_hosts).routes()

    @asynccontextmanager
    async def maintaining(app: Starlette) -> AsyncGenerator[None]:
        del app
        maintenance = Maintenance(store, settings, clock)
        maintenance.start()
        try:
            with _signals_also_call(stopping.set):
                yield
        finally:
            await asyncio.to_thread(maintenance.stop)

    app = Starlette(
        routes=[*files, *apis, *monitoring, *pages],
        middleware=[gate],
        lifespan=maintaining,
        exception_handlers=dict.fromkeys(
            _ERRORS, partial(_error_page, has_page=page_hosts is not None)
        ),
    )
    app.router.redirect_slashes = False
    return app


@contextmanager
def _signals_also_call(stop: Callable[[], None]) -> Generator[None]:
    """Call *stop* on the signals that ask the process to end, before their handlers.

    uvicorn stops when the requests in flight are completed, and tells no request about it.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in STOP_SIGNALS}

    def handle(number: int, frame: FrameType | None) -> None:
        stop()
        handler = before[signal.Signals(number)]
        if callable(handler):
            handler(number, frame)

    for number, handler in before.items():
        if callable(handler):
            signal.signal(number, handle)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _as_request_error(method: str, error: Exception) -> RequestError:
    if isinstance(error, RequestError):
        return error
    if isinstance(error, HTTPException):
        # No route matches.
        status = HTTPStatus(error.status_code)
        messages = {
            HTTPStatus.NOT_FOUND: "there is no such path",
            HTTPStatus.METHOD_NOT_ALLOWED: f"this path does not support {method}",
        }
        code = status.phrase.lower().replace(" ", "_")
        message = messages.get(status, status.phrase)
        return RequestError(status, code, message, headers=error.headers)
    # Only the server's log has the reason.
    status = HTTPStatus.INTERNAL_SERVER_ERROR
    return RequestError(status, "internal_error", "the collector failed")


# A coroutine: starlette would run a plain function in a worker thread.
async def _error_page(request: Request, error: Exception, *, has_page: bool) -> Response:
    if isinstance(error, ClientDisconnect):
        return Response(status_code=HTTPStatus.BAD_REQUEST)
    rejection = _as_request_error(request.method, error)
    request.scope[CODE] = rejection.code
    if has_page and wants_page(request):
        return rejection_page(request, rejection)
    return envelope(rejection)


_ERRORS: Final = (RequestError, HTTPException, ClientDisconnect, Exception)
