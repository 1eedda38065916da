"""ASGI middleware that rejects, counts and logs requests, and the rate limit of a token."""

from __future__ import annotations

import hashlib
import math
import os
from http import HTTPStatus
from typing import Final

from h11 import LocalProtocolError
from starlette.datastructures import Headers
from starlette.requests import HTTPConnection
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from remit._base.clock import NS_PER_MS, NS_PER_S, Clock, iso8601
from remit._base.guard import logger
from remit.collector.api.asgi import CALLER, CODE, LOGGED, ROUTE, SESSION
from remit.collector.api.dispatch import rejected
from remit.collector.api.endpoints import PREFIXES
from remit.collector.errors import RequestError
from remit.collector.metrics import DB_ERRORS, REJECTIONS, REQUESTS, Metrics
from remit.collector.page.guards import SIGN_IN, cookie_name
from remit.collector.server.access_log import AccessLog
from remit.collector.settings import KIB, Settings

MAX_HEAD_BYTES: Final = 16 * KIB
"""Limit of a whole head; h11 limits only a head that arrives in several pieces."""
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
_STATIC: Final = "/static/"
BURST_S: Final = 2
"""Burst: how many seconds' worth of requests a token may send at once."""
QUIET_S: Final = 60
MAX_ADDRESSES: Final = 1000
MAX_TOKENS: Final = 10_000
"""Number of tokens in memory; the least recently used one is dropped first."""


class Gate:
    """Rejects, counts and logs the requests to an app."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        routes: list[Route],
        metrics: Metrics,
        settings: Settings,
        clock: Clock,
        log: AccessLog | None = None,
    ) -> None:
        """Wrap *app*."""
        self._app = app
        self._paths = {id(route.endpoint): route.path for route in routes}
        self._metrics = metrics
        self._rates = Rates(settings, clock)
        self._rejected_tokens = RejectedTokens(clock)
        self._clock = clock
        self._log = log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on or reject it; count and log it with the status of the response."""
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

        scope[LOGGED] = self._log is not None
        error = self._check(scope)
        try:
            if error is None:
                await self._app(scope, receive, counting_send)
            else:
                scope[CODE] = error.code
                await envelope(error)(scope, receive, counting_send)
        except LocalProtocolError:
            if error is not NO_LENGTH:
                raise
            # No chunk follows the head: uvicorn has responded 400 and closes the connection.
            while (await receive())["type"] != "http.disconnect":
                pass
        finally:
            self._note(scope, status, sent, self._clock.monotonic_ns() - began_ns)

    def _check(self, scope: Scope) -> RequestError | None:
        if _head_bytes(scope) > MAX_HEAD_BYTES:
            return LONG_HEAD
        headers = Headers(scope=scope)
        if "transfer-encoding" in headers:
            # h11 takes 6 microseconds for each chunk, which may hold a single byte.
            return NO_LENGTH
        if not scope["client"]:
            return None
        if scope["path"].startswith(PREFIXES):
            return self._rates.check(headers.get("authorization", ""))
        if scope["path"].startswith(_STATIC) or scope["path"] in self._paths.values():
            return None
        return self._rates.check_page(HTTPConnection(scope))

    def _note(self, scope: Scope, status: int, sent: int, took_ns: int) -> None:
        route = scope.get(ROUTE) or self._paths.get(id(scope.get("endpoint")))
        code = scope.get(CODE)
        method = scope["method"] if scope["method"] in _METHODS else _OTHER
        self._metrics.add(REQUESTS, method, route or NO_ROUTE, str(status))
        self._metrics.took(route or NO_ROUTE, took_ns / NS_PER_S)
        if code is not None:
            self._metrics.add(REJECTIONS, code)
        if status == HTTPStatus.SERVICE_UNAVAILABLE and scope["path"].startswith(PREFIXES):
            self._metrics.add(DB_ERRORS)
        if status == HTTPStatus.UNAUTHORIZED and "authorization" in Headers(scope=scope):
            self._rejected_tokens.note(scope, method, route or NO_ROUTE)
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
                "session_id": scope.get(SESSION),
                "ms": round(took_ns / NS_PER_MS, 3),
                "bytes": sent,
                "worker": os.getpid(),
            }
        )


class RejectedTokens:
    """Logs rejected tokens, at most once a minute for each client address."""

    def __init__(self, clock: Clock) -> None:
        """Measure the minutes with *clock*."""
        self._clock = clock
        self._quiet_until_ns: dict[str, int] = {}

    def note(self, scope: Scope, method: str, route: str) -> None:
        """Log a request whose token was rejected."""
        address = scope["client"][0] if scope["client"] else "this process"
        now_ns = self._clock.monotonic_ns()
        if now_ns < self._quiet_until_ns.get(address, now_ns):
            return
        if len(self._quiet_until_ns) >= MAX_ADDRESSES:
            self._quiet_until_ns.clear()
        self._quiet_until_ns[address] = now_ns + QUIET_S * NS_PER_S
        logger.warning(
            "a token was rejected: %s %s from %s; further ones from there are not logged for a "
            "minute",
            method,
            route,
            address,
        )


def envelope(error: RequestError) -> Response:
    """Return the response to a rejected request."""
    response = rejected(error)
    return Response(response.body, response.status, response.headers)


def _head_bytes(scope: Scope) -> int:
    """Return the length of the head of a request, without optional spaces."""
    # `GET /path?query HTTP/1.1` and `name: value`, each with the end of its line.
    target = len(scope.get("raw_path") or b"") + len(scope["query_string"]) + 1
    lines = sum(len(name) + len(value) + 4 for name, value in scope["headers"])
    return len(scope["method"]) + target + 12 + lines + 2


class Rates:
    """Limits the requests a second with one token, by the generic cell rate algorithm."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        """Allow each token `settings.max_requests_per_s`; 0 means no limit."""
        self._per_s = settings.max_requests_per_s
        self._clock = clock
        self._full_at_ns: dict[bytes, int] = {}
        """When an allowance is complete again, by the hash of the token, session or address."""

    def check(self, authorization: str) -> RequestError | None:
        """Take one request from the allowance of the token in an `Authorization` header.

        Returns:
            429 if the allowance is used up, else None.
        """
        if not self._per_s:
            return None
        # Without the scheme and the spaces around it, which a client may vary.
        secret = authorization.split()[-1:]
        return self._taken("".join(secret), "with this token")

    def check_page(self, request: HTTPConnection) -> RequestError | None:
        """Take a request to the page from the allowance of its session.

        A sign-in, and a request without a session, is one of the client's address.

        Returns:
            429 if the allowance is used up, else None.
        """
        if not self._per_s:
            return None
        session = request.cookies.get(cookie_name(request))
        # A key with a space cannot be a token.
        if session and (request.scope["method"], request.scope["path"]) != ("POST", SIGN_IN):
            return self._taken(f"session {session}", "in this session")
        address = request.client.host if request.client else ""
        return self._taken(f"address {address}", "from this address")

    def _taken(self, key: str, whose: str) -> RequestError | None:
        token = hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()
        interval_ns = NS_PER_S // self._per_s
        now_ns = self._clock.monotonic_ns()
        # Inserted again, so that the order is that of the last use.
        full_at_ns = max(self._full_at_ns.pop(token, now_ns), now_ns)
        wait_ns = full_at_ns + interval_ns - now_ns - BURST_S * NS_PER_S
        self._full_at_ns[token] = full_at_ns + (interval_ns if wait_ns <= 0 else 0)
        if len(self._full_at_ns) > MAX_TOKENS:
            del self._full_at_ns[next(iter(self._full_at_ns))]
        if wait_ns <= 0:
            return None
        return RequestError(
            HTTPStatus.TOO_MANY_REQUESTS,
            "too_many_requests",
            f"more than {self._per_s} requests a second {whose}: try again later",
            headers={"Retry-After": str(math.ceil(wait_ns / NS_PER_S))},
        )
