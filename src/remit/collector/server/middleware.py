"""ASGI middleware that refuses, counts and logs requests."""

from __future__ import annotations

import os
from http import HTTPStatus
from typing import Final

from h11 import LocalProtocolError
from starlette.datastructures import Headers
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from remit._base.clock import NS_PER_MS, NS_PER_S, Clock, iso8601
from remit.collector.api import CALLER, CODE, PREFIXES, ROUTE, envelope
from remit.collector.errors import RequestError
from remit.collector.metrics import DB_ERRORS, REFUSALS, REQUESTS, Metrics
from remit.collector.server.access_log import AccessLog
from remit.collector.server.rates import Rates
from remit.collector.settings import KIB

MAX_HEAD_BYTES: Final = 16 * KIB
"""Of a whole head; h11 limits only a head that arrives in several pieces."""
NO_ROUTE: Final = "none"
NO_LENGTH: Final = RequestError(
    HTTPStatus.LENGTH_REQUIRED,
    "length_required",
    "send the body with a Content-Length, not in chunks",
    headers={"Connection": "close"},
)
LONG_HEAD: Final = RequestError(
    HTTPStatus.BAD_REQUEST,
    "bad_request",
    f"the head of the request is longer than {MAX_HEAD_BYTES} bytes",
    headers={"Connection": "close"},
)
# Any other method is counted as one: each value of a label is a new series.
_METHODS: Final = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"})
_OTHER: Final = "other"


class Gate:
    """Refuses, counts and logs the requests to an app."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        routes: list[Route],
        metrics: Metrics,
        rates: Rates,
        clock: Clock,
        log: AccessLog | None = None,
    ) -> None:
        """Wrap *app*.

        Args:
            app: The app.
            routes: Its routes, by whose paths requests are counted.
            metrics: The counters.
            rates: The rate limit of tokens.
            clock: The time.
            log: The access log.
        """
        self._app = app
        self._paths = {id(route.endpoint): route.path for route in routes}
        self._metrics = metrics
        self._rates = rates
        self._clock = clock
        self._log = log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on or refuse it; count and log it with the status of its answer."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began_ns = self._clock.monotonic_ns()
        status, sent = HTTPStatus.INTERNAL_SERVER_ERROR.value, 0

        async def counting_send(message: Message) -> None:
            nonlocal status, sent
            if message["type"] == "http.response.start":
                status = message["status"]
            elif message["type"] == "http.response.body":
                sent += len(message.get("body", b""))
            await send(message)

        refusal = self._refusal(scope)
        try:
            if refusal is None:
                await self._app(scope, receive, counting_send)
            else:
                scope[CODE] = refusal.code
                await envelope(refusal)(scope, receive, counting_send)
        except LocalProtocolError:
            if refusal is not NO_LENGTH:
                raise
            # What follows the head is no chunk: uvicorn has answered 400 and closes the connection.
            while (await receive())["type"] != "http.disconnect":
                pass
        finally:
            self._note(scope, status, sent, self._clock.monotonic_ns() - began_ns)

    def _refusal(self, scope: Scope) -> RequestError | None:
        if _head_bytes(scope) > MAX_HEAD_BYTES:
            return LONG_HEAD
        headers = Headers(scope=scope)
        if "transfer-encoding" in headers:
            # h11 takes 6 microseconds for each chunk, which may hold a single byte.
            return NO_LENGTH
        if scope["client"] and scope["path"].startswith(PREFIXES):
            return self._rates.refusal(headers.get("authorization", ""))
        return None

    def _note(self, scope: Scope, status: int, sent: int, took_ns: int) -> None:
        route = scope.get(ROUTE) or self._paths.get(id(scope.get("endpoint")))
        code = scope.get(CODE)
        method = scope["method"] if scope["method"] in _METHODS else _OTHER
        self._metrics.add(REQUESTS, method, route or NO_ROUTE, str(status))
        self._metrics.took(route or NO_ROUTE, took_ns / NS_PER_S)
        if code is not None:
            self._metrics.add(REFUSALS, code)
        if status == HTTPStatus.SERVICE_UNAVAILABLE and scope["path"].startswith(PREFIXES):
            self._metrics.add(DB_ERRORS)
        if self._log is None:
            return
        caller = scope.get(CALLER)
        self._log.write(
            {
                "time": iso8601(self._clock.wall_ns()),
                "client": scope["client"][0] if scope["client"] else None,
                "method": method,
                "route": route,
                # A path without a route may hold anything, also a secret.
                "path": scope["path"] if route else None,
                "status": status,
                "code": code,
                "token_id": None if caller is None else caller.token_id,
                "ms": round(took_ns / NS_PER_MS, 3),
                "bytes": sent,
                "worker": os.getpid(),
            }
        )


def _head_bytes(scope: Scope) -> int:
    """Return the length of the head of a request, without optional spaces."""
    # `GET /path?query HTTP/1.1` and `name: value`, each with the end of its line.
    target = len(scope.get("raw_path") or b"") + len(scope["query_string"]) + 1
    lines = sum(len(name) + len(value) + 4 for name, value in scope["headers"])
    return len(scope["method"]) + target + 12 + lines + 2
