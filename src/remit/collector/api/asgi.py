"""The API as an ASGI app: bodies are read on the event loop, `dispatch` runs on an executor."""

from __future__ import annotations

import asyncio
import time
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from functools import partial
from http import HTTPStatus
from ipaddress import ip_address
from typing import Final, Protocol, TypeVar

import msgspec
from starlette.requests import Request as HttpRequest
from starlette.responses import Response as HttpResponse
from starlette.types import Receive, Scope, Send

from remit.collector.api.bodies import GZIP, PendingBytes, too_long
from remit.collector.api.dispatch import Request, Response, Service, rejected, secret_in
from remit.collector.api.endpoints import DOCUMENT, Endpoint, match
from remit.collector.errors import RequestError, body_too_slow, unauthorized
from remit.collector.settings import Settings
from remit.collector.store.ask_rows import WAITING

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
MAX_WAITING: Final = 200
"""Requests that one process holds at the same time until an answer comes; others return at once."""
POLL_S: Final = 0.5
"""Time between two looks at the database for an answer, which another server may have stored."""
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

    def __init__(
        self, service: Service, executor: Executor, is_stopping: Callable[[], bool]
    ) -> None:
        """Handle requests by *service*, on *executor*, without waits once the server stops."""
        self._service = service
        self._executor = executor
        self._is_stopping = is_stopping
        self._waiting = 0
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
                response = await self._executor.run(work, writes=_holds_writer(endpoint))
                if endpoint.waits and http.client is not None:
                    return await self._held(response, work, request.query.get("wait_s", ""))
                return response
        except RequestError as error:
            return rejected(error)

    async def _held(
        self, response: Response, work: Callable[[], Response], wait_s: str
    ) -> Response:
        """Return the response as soon as the thing no longer waits, or the time is over.

        Only each look at the database takes a connection and a thread.
        """
        if self._waiting >= MAX_WAITING or not _waits(response) or not wait_s:
            return response
        until_s = time.monotonic() + int(wait_s)
        self._waiting += 1
        try:
            while _waits(response) and time.monotonic() < until_s and not self._is_stopping():
                await asyncio.sleep(POLL_S)
                response = await self._executor.run(work)
            return response
        finally:
            self._waiting -= 1

    def _respond(self, dispatch: Callable[[], Response], *, compress: bool) -> Response:
        response = dispatch()
        if not compress or len(response.body) < MIN_COMPRESSED_BYTES:
            return response
        return response._replace(
            body=zlib.compress(response.body, 1, _GZIP),
            headers={**response.headers, "content-encoding": GZIP, "vary": "Accept-Encoding"},
        )


class _Details(msgspec.Struct):
    status: str


class _State(msgspec.Struct):
    details: _Details


def _waits(response: Response) -> bool:
    """Return whether the thing in a response waits for an answer."""
    if response.status != HTTPStatus.OK:
        return False
    return msgspec.json.decode(response.body, type=_State).details.status == WAITING


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
