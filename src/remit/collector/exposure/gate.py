"""The app in front of the collector's: limits rates, logs and counts every request."""

from __future__ import annotations

import os
from http import HTTPStatus
from typing import Final

from h11 import LocalProtocolError
from starlette.datastructures import Headers
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from remit._base.clock import NS_PER_MS, NS_PER_S, Clock, iso8601
from remit.collector.exposure.access_log import AccessLog
from remit.collector.exposure.rates import Rates
from remit.collector.metrics import DB_ERRORS, REFUSALS, REQUESTS, Metrics
from remit.collector.refusals import RequestError
from remit.collector.routes import CALLER, CODE, PREFIX, ROUTE, envelope
from remit.collector.settings import KIB

MAX_HEAD_BYTES: Final = 16 * KIB
"""Of a head with all its lines; h11 counts only one that arrives in several pieces."""
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
# A method is a client's word too, and each new label is a new series.
_METHODS: Final = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"})
_OTHER: Final = "other"


class Gate:
    """An app in front of an app."""

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
        """Let requests to *app*.

        Args:
            app: What answers.
            routes: Its routes, by whose paths requests are counted.
            metrics: The counters.
            rates: How often one may ask.
            clock: The time.
            log: Where to write a line for each request.
        """
        self._app = app
        self._paths = {id(route.endpoint): route.path for route in routes}
        self._metrics = metrics
        self._rates = rates
        self._clock = clock
        self._log = log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or turn it away; note what came of it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began_ns = self._clock.monotonic_ns()
        status, sent = HTTPStatus.INTERNAL_SERVER_ERROR.value, 0

        async def noting(message: Message) -> None:
            nonlocal status, sent
            if message["type"] == "http.response.start":
                status = message["status"]
            elif message["type"] == "http.response.body":
                sent += len(message.get("body", b""))
            await send(message)

        try:
            await self._admitted(scope, receive, noting)
        finally:
            self._judge(scope, status)
            self._note(scope, status, sent, self._clock.monotonic_ns() - began_ns)

    async def _admitted(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, unless it comes too soon; what this process asks itself never does."""
        if _head_bytes(scope) > MAX_HEAD_BYTES:
            scope[CODE] = LONG_HEAD.code
            await envelope(LONG_HEAD)(scope, receive, send)
            return
        if "transfer-encoding" in Headers(scope=scope):
            # h11 takes 6 microseconds for each chunk, which may hold a single byte.
            scope[CODE] = NO_LENGTH.code
            try:
                await envelope(NO_LENGTH)(scope, receive, send)
            except LocalProtocolError:
                # No chunks follow the head: uvicorn has answered 400 and is closing the connection.
                while (await receive())["type"] != "http.disconnect":
                    pass
            return
        if scope["client"] and scope["path"].startswith(PREFIX):
            who = scope["client"][0], _authorization(scope)
            try:
                self._rates.admit(*who)
            except RequestError as refusal:
                scope[CODE] = refusal.code
                await envelope(refusal)(scope, receive, send)
                return
            with self._rates.trial(*who):
                await self._app(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _judge(self, scope: Scope, status: int) -> None:
        """Note a token that was refused, or taken."""
        if not scope["client"]:
            return
        if status == HTTPStatus.UNAUTHORIZED:
            self._rates.failed(scope["client"][0], _authorization(scope))
        elif scope.get(CALLER) is not None:
            self._rates.passed(_authorization(scope))

    def _note(self, scope: Scope, status: int, sent: int, took_ns: int) -> None:
        route = scope.get(ROUTE) or self._paths.get(id(scope.get("endpoint")))
        code = scope.get(CODE)
        method = scope["method"] if scope["method"] in _METHODS else _OTHER
        self._metrics.add(REQUESTS, method, route or NO_ROUTE, str(status))
        self._metrics.took(route or NO_ROUTE, took_ns / NS_PER_S)
        if code is not None:
            self._metrics.add(REFUSALS, code)
        if status == HTTPStatus.SERVICE_UNAVAILABLE and scope["path"].startswith(PREFIX):
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
                # A path that is none may be anything, a secret too.
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
    """Return how long the head of a request is, without spaces that mean nothing."""
    # `GET /path?query HTTP/1.1` and `name: value`, each with the end of its line.
    target = len(scope.get("raw_path") or b"") + len(scope["query_string"]) + 1
    lines = sum(len(name) + len(value) + 4 for name, value in scope["headers"])
    return len(scope["method"]) + target + 12 + lines + 2


def _authorization(scope: Scope) -> str:
    return Headers(scope=scope).get("authorization", "")
