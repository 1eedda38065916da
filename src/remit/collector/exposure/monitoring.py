"""The endpoints for operators: `/healthz`, `/readyz` and `/metrics`."""

from __future__ import annotations

from http import HTTPStatus
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from remit.collector.ingest import TokenScope
from remit.collector.metrics import CONTENT_TYPE, Metrics
from remit.collector.refusals import RequestError, forbidden, not_found, unauthorized
from remit.collector.routes import RETRY_AFTER_S, Executor, Service, answer
from remit.collector.settings import MetricsFor

ALIVE: Final = b'{"status":"success"}'
# Whoever carries one of these came through a proxy, from wherever.
_FORWARDED: Final = ("forwarded", "x-forwarded-for", "x-real-ip", "via")


def monitoring_routes(service: Service, metrics: Metrics, executor: Executor) -> list[Route]:
    """Return the routes `/healthz`, `/readyz` and `/metrics`; they need no token.

    Args:
        service: What answers.
        metrics: What was counted.
        executor: Runs all that may ask the database.
    """

    async def alive(request: Request) -> Response:
        _check_host(request)
        return answer(ALIVE)

    async def ready(request: Request) -> Response:
        _check_host(request)
        if not await executor.run(service.ready):
            raise RequestError(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "unavailable",
                "the database cannot be used now",
                headers={"Retry-After": str(RETRY_AFTER_S)},
            )
        return answer(ALIVE)

    async def counted(request: Request) -> Response:
        readers = service.settings.metrics
        if readers != MetricsFor.TOKEN:
            _check_host(request)
        await executor.run(lambda: _check_reader(request, readers, service))
        return Response(metrics.text(), media_type=CONTENT_TYPE)

    handlers = {"/healthz": alive, "/readyz": ready, "/metrics": counted}
    return [Route(path, handler, methods=["GET"]) for path, handler in handlers.items()]


def _check_host(request: Request) -> None:
    """Refuse a request from this machine that names a host on the internet.

    A browser on this machine sends it for a page of another site, whose name resolves to this
    machine meanwhile (DNS rebinding). Without a token nothing else tells it from a request of the
    user. A proxy passes on the name that it was asked for.

    Raises:
        RequestError: 403.
    """
    host = request.headers.get("host")
    if host and request.client is not None and is_local(request) and not _is_own_name(host):
        raise forbidden("name this machine by an address, or by a name without a dot")


def _is_own_name(host: str) -> bool:
    """Return whether no stranger can let *host* resolve to this machine."""
    try:
        name = (urlsplit(f"//{host}").hostname or "").removesuffix(".")
    except ValueError:
        return False
    if "." not in name or name.endswith(".localhost"):
        return True
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def _check_reader(request: Request, readers: str, service: Service) -> None:
    """Refuse who may not read the metrics.

    Raises:
        RequestError: 401, 403 or 404.
    """
    if readers == MetricsFor.NONE:
        raise not_found("path")
    if readers == MetricsFor.LOOPBACK and not is_local(request):
        raise forbidden("the metrics are for this machine only")
    authorization = request.headers.get("authorization", "")
    if readers == MetricsFor.TOKEN and (
        service.authenticate(authorization).scope != TokenScope.ACCOUNT
    ):
        raise unauthorized()


def is_local(request: Request) -> bool:
    """Return whether a request came from this machine, and not through a proxy on it."""
    if request.client is None:
        return True
    try:
        address = ip_address(request.client.host.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None) or address
    return mapped.is_loopback and not any(name in request.headers for name in _FORWARDED)
