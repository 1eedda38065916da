"""The collector as an ASGI app."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.errors import ServerErrorMiddleware
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.routing import Router
from starlette.types import ASGIApp, Receive, Scope, Send

from remit._base.clock import Clock, SystemClock
from remit.collector.exposure import AccessLog, Gate, Rates, monitoring_routes
from remit.collector.ingest import Service
from remit.collector.metrics import Metrics, PrometheusMetrics
from remit.collector.routes import (
    Authenticate,
    Executor,
    InlineExecutor,
    api_routes,
    bearer,
    exception_handlers,
)
from remit.collector.settings import Settings
from remit.collector.store import Store


class TrailingSlash:
    """Reads a path with a slash at its end as the one without; some clients send it so."""

    def __init__(self, app: ASGIApp) -> None:
        """Pass requests on to *app*."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] == "http" and len(scope["path"]) > 1:
            scope["path"] = scope["path"].rstrip("/")
        await self._app(scope, receive, send)


def create_app(
    store: Store,
    *,
    settings: Settings | None = None,
    clock: Clock | None = None,
    metrics: Metrics | None = None,
    access_log: AccessLog | None = None,
    executor: Executor | None = None,
) -> Starlette:
    """Return a collector that keeps what it is told in *store*.

    It serves the API at `/api/v1` to clients with a token that `remit token create` made, and
    `/healthz`, `/readyz` and `/metrics` to operators. The server limits the head of a request.

    Args:
        store: The database, from `remit.collector.open_store`.
        settings: The limits.
        clock: Where the time comes from.
        metrics: The counters, where several processes tell them together.
        access_log: Where to write a line for each request.
        executor: Runs the requests; None does it on the thread that takes them.
    """
    settings, clock = settings or Settings(), clock or SystemClock()
    metrics = metrics or PrometheusMetrics()
    service = Service(store, settings, clock, metrics)
    authenticate, executor = bearer(service), executor or InlineExecutor()
    routes = [
        *api_routes(service, authenticate, executor),
        *monitoring_routes(service, authenticate, metrics, executor),
    ]
    gate = Middleware(
        Gate,
        routes=routes,
        metrics=metrics,
        rates=Rates(settings, clock),
        clock=clock,
        log=access_log,
    )
    app = Starlette(
        routes=routes,
        middleware=[gate, Middleware(TrailingSlash)],
        exception_handlers=dict(exception_handlers),
    )
    app.router.redirect_slashes = False
    return app


def unseen_app(service: Service, authenticate: Authenticate) -> ASGIApp:
    """Return the same in front of *service*, for a program that has not asked for a server.

    It is put together without the class `Starlette`, which the program's tracers wrap.

    Args:
        service: What answers.
        authenticate: Finds out who asks.
    """
    handlers = dict(exception_handlers)
    failed = handlers.pop(Exception)
    router = Router(api_routes(service, authenticate, InlineExecutor()), redirect_slashes=False)
    app = ExceptionMiddleware(router, handlers=handlers)
    return ServerErrorMiddleware(TrailingSlash(app), handler=failed)
