"""The API as an ASGI app: bodies are read on the event loop, `dispatch` runs on an executor."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from functools import partial
from ipaddress import ip_address
from typing import Final, Protocol, TypeVar

from starlette.requests import Request as HttpRequest
from starlette.responses import Response as HttpResponse
from starlette.types import Receive, Scope, Send

from remit.collector.api.bodies import GZIP, PendingBytes, too_long
from remit.collector.api.dispatch import Request, Response, Service, rejected, secret_in
from remit.collector.api.endpoints import DOCUMENT, Endpoint, match
from remit.collector.errors import RequestError, body_too_slow, unauthorized
from remit.collector.settings import Settings

T = TypeVar("T")

CALLER: Final = "remit.caller"
"""Key of the scope: the holder of the request's token."""
CODE: Final = "remit.code"
"""Key of the scope: the code of a rejected request."""
ROUTE: Final = "remit.route"
"""Key of the scope: the path of the endpoint, with `{id}`."""
SESSION: Final = "remit.session"
"""Key of the scope: the id of the page's session."""
LOGGED: Final = "remit.logged"
"""Key of the scope: whether the access log gets a line for the request."""
MIN_COMPRESSED_BYTES: Final = 4096
_GZIP: Final = 16 + zlib.MAX_WBITS


class Executor(Protocol):
    """Runs work that may use the database."""

    async def run(self, work: Callable[[], T], *, writes: bool = False) -> T:
        """Run *work* and return its result.

        Args:
            writes: Whether it writes to the database.
        """
        ...


class InlineExecutor:
    """Runs work on the calling thread."""

    async def run(self, work: Callable[[], T], *, writes: bool = False) -> T:
        """Run *work* and return its result."""
        del writes
        return work()


class ThreadExecutor:
    """Runs work on a few threads, so that the event loop can take other requests.

    Reads have their own threads, so that reads and writes do not wait for each other.
    """

    def __init__(self, writes: int, reads: int) -> None:
        """Set the number of threads for work that writes, and for work that reads."""
        self._writing = ThreadPoolExecutor(writes, "remit-write")
        self._reading = ThreadPoolExecutor(reads, "remit-read")

    async def run(self, work: Callable[[], T], *, writes: bool = False) -> T:
        """Run *work* and return its result; it ends even without a caller."""
        pool = self._writing if writes else self._reading
        return await asyncio.get_running_loop().run_in_executor(pool, work)

    def close(self) -> None:
        """Finish the work that has begun, cancel the rest, and end the threads."""
        self._writing.shutdown(cancel_futures=True)
        self._reading.shutdown(cancel_futures=True)


class ApiApp:
    """The paths of the API as an ASGI app."""

    def __init__(self, service: Service, executor: Executor) -> None:
        """Handle requests by *service*, on *executor*."""
        self._service = service
        self._executor = executor
        self._pending = PendingBytes(service.settings.max_pending_bytes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        response = await self._response(HttpRequest(scope, receive))
        scope[CALLER], scope[CODE] = response.caller, response.code
        http_response = HttpResponse(response.body, response.status, response.headers)
        await http_response(scope, receive, send)

    async def _response(self, http: HttpRequest) -> Response:
        headers = dict(http.headers)
        request = Request(http.method, http.scope["path"], dict(http.query_params), headers)
        try:
            matched = endpoint, _ = match(request.method, request.path)
            http.scope[ROUTE] = endpoint.route
            # Rejected before its body is read.
            if endpoint.operation != DOCUMENT and not secret_in(headers.get("authorization", "")):
                raise unauthorized()
            with self._pending.counted() as hold:
                try:
                    body = await _read(http, self._service.settings, hold)
                except RequestError:
                    # A wrong token is rejected first.
                    authorization = headers["authorization"]
                    await self._executor.run(partial(self._service.authenticate, authorization))
                    raise
                work = partial(
                    self._respond,
                    partial(
                        self._service.dispatch, request._replace(body=body), hold, matched=matched
                    ),
                    compress=_accepts_gzip(http),
                )
                return await self._executor.run(work, writes=_holds_writer(endpoint))
        except RequestError as error:
            return rejected(error)

    def _respond(self, dispatch: Callable[[], Response], *, compress: bool) -> Response:
        response = dispatch()
        if not compress or len(response.body) < MIN_COMPRESSED_BYTES:
            return response
        return response._replace(
            body=zlib.compress(response.body, 1, _GZIP),
            headers={**response.headers, "content-encoding": GZIP, "vary": "Accept-Encoding"},
        )


def _holds_writer(endpoint: Endpoint) -> bool:
    """Return whether it blocks other writes; an erasure takes many short transactions."""
    return endpoint.method != "GET" and not endpoint.erases


async def _read(http: HttpRequest, settings: Settings, hold: Callable[[int], None]) -> bytes:
    length = http.headers.get("content-length", "")
    if length.isdecimal() and int(length) > settings.max_body_bytes:
        raise too_long(settings)
    parts: list[bytes] = []
    received = 0
    # A request from within the process has no event loop, and never waits.
    remote = http.client is not None
    try:
        async with asyncio.timeout(settings.body_timeout_s) if remote else nullcontext():
            # The server discards the rest of a body that is too long.
            async for part in http.stream():
                hold(len(part))
                received += len(part)
                if received > settings.max_body_bytes:
                    raise too_long(settings)
                parts.append(part)
    except TimeoutError as error:
        raise body_too_slow(settings.body_timeout_s) from error
    return b"".join(parts)


def _accepts_gzip(http: HttpRequest) -> bool:
    """Return whether to compress the response: for another machine that accepts it."""
    if http.client is None or GZIP not in http.headers.get("accept-encoding", "").lower():
        return False
    try:
        return not ip_address(http.client.host.partition("%")[0]).is_loopback
    except ValueError:
        return False
