"""The paths of the API, as routes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeAlias

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from remit.collector.ingest import Caller, Service
from remit.collector.routes.answers import answer
from remit.collector.routes.bodies import Bodies
from remit.collector.routes.endpoints import BULK, DOCUMENT, ENDPOINTS, PREFIX, ServedEndpoint
from remit.collector.routes.executors import Executor
from remit.collector.routes.http_bulk import calls_of, perform_calls
from remit.collector.routes.openapi import document
from remit.collector.routes.requests import Authenticate, asked

Handler: TypeAlias = Callable[[Request], Awaitable[Response]]


def api_routes(service: Service, authenticate: Authenticate, executor: Executor) -> list[Route]:
    """Return the routes of the API.

    Every handler is a coroutine that waits for nothing but the request's body and *executor*. With
    `InlineExecutor` the app can also be driven without an event loop, and while the interpreter
    exits.

    Args:
        service: What answers.
        authenticate: Finds out who asks.
        executor: Runs all that may ask the database.
    """
    bodies = Bodies(service.settings)
    by_path: dict[str, list[ServedEndpoint]] = {}
    for endpoint in ENDPOINTS:
        by_path.setdefault(endpoint.path, []).append(endpoint)
    return [
        Route(
            PREFIX + path,
            Asgi(
                _handler(
                    service,
                    authenticate,
                    executor,
                    bodies,
                    {each.method: each for each in endpoints},
                )
            ),
            methods=[each.method for each in endpoints],
        )
        for path, endpoints in by_path.items()
    ]


class Asgi:
    """A handler as an ASGI app.

    Starlette would make one of a bare function too, by a function that Sentry wraps: then a
    program in local mode finds its own transactions under the names of our paths.
    """

    def __init__(self, handler: Handler) -> None:
        """Answer by *handler*."""
        self._handler = handler

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        response = await self._handler(Request(scope, receive, send))
        await response(scope, receive, send)


def _handler(
    service: Service,
    authenticate: Authenticate,
    executor: Executor,
    bodies: Bodies,
    endpoints: dict[str, ServedEndpoint],
) -> Handler:
    async def handle(request: Request) -> Response:
        endpoint = endpoints["GET" if request.method == "HEAD" else request.method]
        if endpoint.operation == DOCUMENT:
            return answer(document())
        caller = await executor.run(partial(authenticate, request))
        async with bodies.of(request) as body:
            if endpoint.operation == BULK:
                return answer(await executor.run(partial(_bulk, service, caller, body)))
            said = asked(request, body, service, endpoint)
            work = partial(service.perform, caller, endpoint.operation, said.params, said.key)
            return answer(await executor.run(work))

    return handle


def _bulk(service: Service, caller: Caller, body: bytes) -> bytes:
    calls = calls_of(body, service.settings)
    return service.bulk(caller, body) if calls is None else perform_calls(service, caller, calls)
