"""The endpoints for operators: `/healthz`, `/readyz` and `/metrics`."""

from __future__ import annotations

from functools import partial
from http import HTTPStatus
from ipaddress import ip_address
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from remit._base.version import __version__
from remit.collector.api.asgi import CALLER, Executor
from remit.collector.api.dispatch import HEADERS, RETRY_AFTER_S, Service
from remit.collector.domain.context import Permission
from remit.collector.domain.tokens import TokenScope
from remit.collector.errors import RequestError, forbidden, unauthorized
from remit.collector.metrics import Metrics
from remit.collector.page.guards import host_name, is_own_name
from remit.collector.server.prometheus import CONTENT_TYPE
from remit.collector.settings import MetricsFor

READY: Final = b'{"status":"success"}'
ALIVE: Final = f'{{"status":"success","version":"{__version__}"}}'.encode()
# A request with one of these headers came through a proxy.
_FORWARDED: Final = ("forwarded", "x-forwarded-for", "x-real-ip", "via")


def monitoring_routes(service: Service, metrics: Metrics, executor: Executor) -> list[Route]:
    """Return the routes `/healthz`, `/readyz` and `/metrics`."""

    async def health(request: Request) -> Response:
        _check_host(request)
        return Response(ALIVE, headers=HEADERS)

    async def readiness(request: Request) -> Response:
        _check_host(request)
        if not await executor.run(service.ready):
            raise RequestError(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "unavailable",
                "the database cannot be read or written now",
                headers={"Retry-After": str(RETRY_AFTER_S)},
            )
        return Response(READY, headers=HEADERS)

    async def counters(request: Request) -> Response:
        if service.settings.metrics == MetricsFor.ALL:
            _check_host(request)
        else:
            authorization = request.headers.get("authorization", "")
            caller = await executor.run(partial(service.authenticate, authorization))
            request.scope[CALLER] = caller
            if caller.scope != TokenScope.ACCOUNT:
                raise unauthorized()
            if not caller.may.permits(Permission.METRICS):
                raise forbidden(
                    f"this token may only {caller.may.in_words}: create one that may read the "
                    "metrics with `remit token create --may metrics`"
                )
        return Response(metrics.text(), media_type=CONTENT_TYPE)

    handlers = {"/healthz": health, "/readyz": readiness, "/metrics": counters}
    return [Route(path, handler, methods=["GET"]) for path, handler in handlers.items()]


def _check_host(request: Request) -> None:
    """Reject a request from this machine that names a host on the internet.

    A browser on this machine sends it for a page of another site whose name resolves to this
    machine (DNS rebinding). Without a token it looks like a request of the user. A
    proxy passes on the name that its client used.
    """
    host = request.headers.get("host")
    if host and _is_local(request) and not is_own_name(host_name(host)):
        raise forbidden("use an address of this machine, or a host name without a dot")


def _is_local(request: Request) -> bool:
    """Return whether a request comes from this machine, and not through a proxy on it."""
    if request.client is None:
        return False
    try:
        address = ip_address(request.client.host.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None) or address
    return mapped.is_loopback and not any(name in request.headers for name in _FORWARDED)
