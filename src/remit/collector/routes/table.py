"""The paths of the API. Source: CONTRACT.md section 9."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple, TypeAlias

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from remit.collector.ingest import Service
from remit.collector.routes.answers import answer
from remit.collector.routes.bodies import read_body
from remit.collector.routes.requests import Authenticate, asked

PREFIX: Final = "/api/v1"

Handler: TypeAlias = Callable[[Request], Awaitable[Response]]


class Endpoint(NamedTuple):
    """One path and method.

    Attributes:
        method: HTTP method.
        path: Path after the prefix; `{id}` is the id of what it is about.
        operation: Name of the operation.
        id_field: The operation's name of that id.
        wrapped: Whether the body's fields stand under `details`.
    """

    method: str
    path: str
    operation: str
    id_field: str = ""
    wrapped: bool = False


_INSTANCE: Final = "agent_instance_id"
_AGENT: Final = "agent_id"

ENDPOINTS: Final = (
    Endpoint("GET", "/ping", "ping"),
    Endpoint("POST", "/pfid/generate", "pfids/generate"),
    Endpoint("POST", "/agent_instance/register", "agent_instances/register"),
    Endpoint("GET", "/agent_instance", "agent_instances/list"),
    Endpoint("GET", "/agent_instance/{id}", "agent_instances/show", _INSTANCE),
    Endpoint("PUT", "/agent_instance/{id}", "agent_instances/update", _INSTANCE, wrapped=True),
    Endpoint("POST", "/agent_instance/{id}/start", "agent_instances/start", _INSTANCE),
    Endpoint("POST", "/agent_instance/{id}/finish", "agent_instances/finish", _INSTANCE),
    Endpoint("POST", "/agent_instance/{id}/terminate", "agent_instances/terminate", _INSTANCE),
    Endpoint(
        "POST", "/agent_instance/{id}/record_quality", "agent_instances/record_quality", _INSTANCE
    ),
    Endpoint(
        "POST", "/agent_instance/{id}/update", "agent_instances/update", _INSTANCE, wrapped=True
    ),
    Endpoint("GET", "/agent_spans", "agent_spans/list"),
    Endpoint("POST", "/agent_spans", "agent_spans/create", wrapped=True),
    Endpoint("POST", "/agent_spans/{id}/finish", "agent_spans/finish", "agent_span_id"),
    Endpoint("GET", "/agent", "agents/list"),
    Endpoint("POST", "/agent", "agents/create", wrapped=True),
    Endpoint("GET", "/agent/show", "agents/show"),
    Endpoint("GET", "/agent/{id}", "agents/show", _AGENT),
    Endpoint("PUT", "/agent/{id}", "agents/update", _AGENT, wrapped=True),
    Endpoint("DELETE", "/agent/{id}", "agents/delete", _AGENT),
    Endpoint("POST", "/agent/{id}/retire", "agents/retire", _AGENT),
    Endpoint("POST", "/agent/{id}/reinstate", "agents/reinstate", _AGENT),
)


def api_routes(service: Service, authenticate: Authenticate) -> list[Route]:
    """Return the routes of the API.

    Every handler is a coroutine that waits for nothing but the request's body, so that the app
    can also be driven without an event loop, and while the interpreter exits.
    """
    by_path: dict[str, list[Endpoint]] = {}
    for endpoint in ENDPOINTS:
        by_path.setdefault(endpoint.path, []).append(endpoint)
    routes = [
        Route(
            PREFIX + path,
            Asgi(_handler(service, authenticate, {each.method: each for each in endpoints})),
            methods=[each.method for each in endpoints],
        )
        for path, endpoints in by_path.items()
    ]
    return [*routes, Route(f"{PREFIX}/bulk", Asgi(_bulk(service, authenticate)), methods=["POST"])]


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
    service: Service, authenticate: Authenticate, endpoints: dict[str, Endpoint]
) -> Handler:
    async def handle(request: Request) -> Response:
        endpoint = endpoints["GET" if request.method == "HEAD" else request.method]
        caller = authenticate(request)
        identified = {endpoint.id_field: request.path_params["id"]} if endpoint.id_field else {}
        said = await asked(request, service, wrapped=endpoint.wrapped, path=identified)
        return answer(service.perform(caller, endpoint.operation, said.params, said.key))

    return handle


def _bulk(service: Service, authenticate: Authenticate) -> Handler:
    async def handle(request: Request) -> Response:
        caller = authenticate(request)
        return answer(service.bulk(caller, await read_body(request, service.settings)))

    return handle
