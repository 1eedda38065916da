"""The collector as an ASGI app."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Route

from remit._base.clock import Clock, SystemClock
from remit.collector.api import (
    PREFIXES,
    ApiApp,
    Executor,
    InlineExecutor,
    Service,
    exception_handlers,
)
from remit.collector.metrics import Metrics
from remit.collector.server import AccessLog, Gate, Maintenance, monitoring_routes
from remit.collector.server.prometheus import PrometheusMetrics
from remit.collector.settings import Settings
from remit.collector.store import Store


def create_app(
    store: Store,
    *,
    settings: Settings | None = None,
    clock: Clock | None = None,
    metrics: Metrics | None = None,
    access_log: AccessLog | None = None,
    executor: Executor | None = None,
) -> Starlette:
    """Return a collector that stores its data in *store*.

    It serves the API at `/api/v1` and `/api/remit/v1` to clients with a token that
    `remit token create` made, and `/healthz`, `/readyz` and `/metrics` to operators. The server
    limits the head of a request. From the startup of the server to its shutdown, as its lifespan
    events tell, a thread maintains the database.

    Args:
        store: The database, from `remit.collector.open_store`.
        settings: The limits.
        clock: Source of the time.
        metrics: The counters.
        access_log: Gets a line for each request.
        executor: Runs the requests; None runs them on the event loop.
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
    api = ApiApp(service, executor)

    @asynccontextmanager
    async def maintaining(app: Starlette) -> AsyncGenerator[None]:
        del app
        maintenance = Maintenance(store, settings, clock)
        maintenance.start()
        try:
            yield
        finally:
            await asyncio.to_thread(maintenance.stop)

    app = Starlette(
        routes=[*(Route(prefix + "/{path:path}", api) for prefix in PREFIXES), *monitoring],
        middleware=[gate],
        lifespan=maintaining,
        exception_handlers=dict(exception_handlers),
    )
    app.router.redirect_slashes = False
    return app
