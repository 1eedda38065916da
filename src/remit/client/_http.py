"""Sends one call over HTTP: one try, and a second one uncompressed if the server rejects gzip.

Calls go to httpx's transport, below its client. Tracers wrap the client, and httpx logs there:
they would trace and log remit's own requests. Therefore the proxies of the environment, which
the client reads, are read here (`Target.proxy`).
"""

from __future__ import annotations

import asyncio
import encodings.idna  # noqa: F401 # pyright: ignore[reportUnusedImport] - as in `_library`
import os
import sys
import threading
import zlib
from collections.abc import AsyncIterable, Callable, Generator, Iterable, Iterator
from contextlib import AbstractContextManager, aclosing, closing, nullcontext
from itertools import islice
from typing import Any, Final, Generic, Protocol, TypeVar, cast
from urllib.parse import urlsplit

from remit._base.clock import Clock, Deadline, SystemClock
from remit.client import _error_text
from remit.client._inprocess import InProcessTransport
from remit.client._library import error_types, httpx, library_of
from remit.client._target import RawResponse, Target
from remit.client.endpoints.endpoint import MAX_RESPONSE_BYTES, Call, ResponseTooLongError
from remit.config import is_loopback
from remit.errors import ApiError, ContractError, SettingsError, UnavailableError, UsageError

C = TypeVar("C")
T = TypeVar("T")

# Target of a client with a transport and without a URL: RFC 2606 reserves the name.
NOWHERE: Final = "http://remit.invalid"
DEFAULT_TIMEOUT_S: Final = 10.0
# 0 means "do not wait" to a socket, and gives another error.
MIN_TIMEOUT_S: Final = 0.001
# httpx has the better message, so it raises first; this is for a response in small parts.
GRACE_S: Final = 0.05
GZIP: Final = 16 + zlib.MAX_WBITS
HOLDS: Final = "remit-holds"
"""Header in which remit's collector sends the number of the holds."""
MIN_COMPRESSED_BYTES: Final = 4_096
UNSUPPORTED_MEDIA_TYPE: Final = 415
OPENTELEMETRY: Final = "opentelemetry.instrumentation.utils"
"""Loaded where an OpenTelemetry instrumentation is active; never loaded by remit."""


class Transport(Protocol):
    """A transport of httpx or httpx2."""

    def handle_request(self, request: Any, /) -> Any: ...

    def close(self) -> None: ...


class AsyncTransport(Protocol):
    """An asynchronous transport of httpx or httpx2."""

    async def handle_async_request(self, request: Any, /) -> Any: ...

    async def aclose(self) -> None: ...


def no_response() -> tuple[type[Exception], ...]:
    return error_types("HTTPError", TimeoutError, zlib.error)


def tries(
    deadline: Deadline, max_retries: int, waits: Iterator[float]
) -> Generator[float, UnavailableError, None]:
    """Yield the seconds to wait before each try, and receive the error of a failed try.

    Only `UnavailableError` is retried. Every request that changes something has an idempotency
    key, so a repetition is safe.

    Args:
        deadline: Deadline of the whole call; no wait exceeds it.
        max_retries: Retries after the first try.
        waits: Seconds before each retry, unless the server requests others.

    Raises:
        UnavailableError: The last one, if there is no further try.
    """
    error = yield 0.0
    for wait_s in islice(waits, max_retries):
        asked_s = wait_s if error.retry_after_s is None else error.retry_after_s
        if asked_s >= deadline.remaining_s():
            raise error
        error = yield asked_s
    raise error


class HttpBase(Generic[C]):
    """Base of both clients: the target, the timeout, and the httpx transport of this process.

    A child process that inherits a client opens new connections. Bodies are compressed for
    another machine whose responses list gzip in `Accept-Encoding` (RFC 9110 section 12.5.3).
    """

    def __init__(
        self,
        api_url: str | None,
        token: str | None,
        *,
        transport: object | None = None,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        clock: Clock | None = None,
    ) -> None:
        """Send to *api_url*; nothing is opened before the first call.

        Args:
            api_url: The API's URL, without `/api/v1`; may be None with a transport.
            token: Bearer token; without one no `Authorization` is sent.
            transport: A transport of httpx or httpx2 in place of the network.
            timeout_s: Seconds for each wait of one call, and for the body of its response.
            clock: Times the deadlines, and dates of the server.

        Raises:
            SettingsError: If a value is not valid.
        """
        if api_url is None and transport is None:
            raise SettingsError(
                "api_url is missing; expected https://host[:port] of a Prefactor API"
            )
        if not timeout_s > 0:
            raise SettingsError(f"timeout_s is {timeout_s}; expected seconds above 0")
        self.target = Target.of(NOWHERE if api_url is None else api_url, token)
        self._custom_transport: Any = transport
        # A network transport accepts only requests of the same library.
        self._library: Any = library_of(transport)
        host = urlsplit(self.target.url).hostname or ""
        self._may_compress = not (isinstance(transport, InProcessTransport) or is_loopback(host))
        self._compress = False
        self._timeout_s = timeout_s
        self._clock = clock or SystemClock()
        # By process: a forked child must not write into its parent's connections, and closing
        # them there could wait for a lock that a thread of the parent held.
        self._transports: dict[int, C] = {}
        self._closed = False

    def _transport(self, network: Callable[..., C], call: Call[Any]) -> C:
        """Return this process's httpx transport, created by *network* if needed.

        Raises:
            UnavailableError: It cannot be created.
            UsageError: The client was closed.
        """
        if self._closed:
            raise UsageError("this client was closed; create a new one, or close it later")
        transport = self._transports.get(os.getpid())
        if transport is not None:
            return transport
        transport = (
            self._connected(network, call)
            if self._custom_transport is None
            else self._custom_transport
        )
        # Two threads that create one at once get the same.
        return self._transports.setdefault(os.getpid(), transport)

    def _connected(self, network: Callable[..., C], call: Call[Any]) -> C:
        """Return a transport to the network, by the proxy of the environment if there is one."""
        proxy = self.target.proxy()
        try:
            return network(proxy=proxy)
        except (OSError, ImportError, ValueError, httpx.InvalidURL) as error:
            # The certificates cannot be read, or the proxy's URL is malformed or needs another
            # package.
            if proxy is None and not isinstance(error, OSError):
                raise
            failure = self._failure(error, call)
        raise failure

    def _release(self) -> C | None:
        """Reject further calls; return the transport of this process to close, if any."""
        self._closed = True
        return self._transports.pop(os.getpid(), None)

    def _request(
        self, call: Call[Any], timeout_s: float, on_sent: Callable[[], None] | None = None
    ) -> httpx.Request:
        timeout = self._library.Timeout(max(MIN_TIMEOUT_S, timeout_s))
        body, headers = call.body, self.target.headers()
        if self._compress and body is not None and len(body) >= MIN_COMPRESSED_BYTES:
            body = zlib.compress(body, 1, GZIP)
            headers["Content-Encoding"] = "gzip"
        if call.minimal:
            headers["Prefer"] = "return=minimal"
        content: bytes | Body | None = body
        if on_sent is not None and body is not None:
            content, headers["Content-Length"] = Body(body, on_sent), str(len(body))
        request: httpx.Request = self._library.Request(
            call.method,
            f"{self.target.url}{call.path}",
            params=list(call.query) or None,
            content=content,
            headers=headers,
            extensions={"timeout": timeout.as_dict()},
        )
        return request

    def _rejects_compression(self, request: httpx.Request, answer: RawResponse) -> bool:
        """Return whether to send *request* again uncompressed; note what the server accepts."""
        if answer.status == UNSUPPORTED_MEDIA_TYPE and "Content-Encoding" in request.headers:
            self._may_compress = self._compress = False
            return True
        accepted = answer.headers.get("accept-encoding")
        if accepted is not None and self._may_compress:
            self._compress = "gzip" in accepted.lower()
        return False

    def _failure(self, error: Exception, call: Call[Any], timeout_s: float = 0) -> ApiError:
        """Return the error for a request without a response.

        It is raised unchained: httpx's errors contain the request, with token and payloads.
        """
        proxy = None if self._custom_transport is not None else self.target.proxy()
        reason = _error_text.describe(
            error, place=self.target.place, timeout_s=timeout_s, proxy=proxy
        )
        unreadable = isinstance(error, error_types("DecodingError", zlib.error))
        kind = ContractError if unreadable else UnavailableError
        return kind(f"{self.target.where(call)}: {reason}")


class HttpClient(HttpBase[Transport]):
    """Sends calls over HTTP, one try each. Usable from several threads.

    Attributes:
        hold_number: Number of the holds in the last answer that had one; None before.
    """

    hold_number: int | None = None

    @property
    def holds_locks(self) -> bool:
        """Whether a call may hold locks that the child of a fork needs.

        The first one does, while OpenSSL sets up its trust; later ones only wait for the network.
        """
        return self._custom_transport is None and os.getpid() not in self._transports

    def send(self, call: Call[T], *, timeout_s: float | None = None) -> T:
        """Return the API's response to *call*, within *timeout_s* or the client's own timeout.

        Raises:
            ApiError: The API rejects the call, cannot be reached, or something else responds.
            UsageError: The client was closed.
        """
        answer = self.exchange(call, timeout_s=timeout_s)
        result = self.target.read(call, answer, self._clock)
        number = answer.headers.get(HOLDS, "")
        if number.isdecimal() and number.isascii():
            self.hold_number = int(number)
        return result

    def exchange(self, call: Call[Any], *, timeout_s: float | None = None) -> RawResponse:
        """Return the response to *call* unread, even an error.

        The timeout bounds each wait for the network, and the time in which the body arrives. The
        look-up of a name, and a head that arrives in small parts, may take longer.

        Raises:
            UnavailableError: There was no response.
            ContractError: The response cannot be decompressed, or is too long.
            UsageError: The client was closed.
        """
        seconds = self._timeout_s if timeout_s is None else timeout_s
        transport = self._transport(httpx.HTTPTransport, call)
        deadline = Deadline.after(seconds, self._clock)
        request = self._request(call, seconds, call.on_sent)
        try:
            with no_tracing(), closing(transport.handle_request(request)) as response:
                body = ResponseBody(self.target.where(call), call, response)
                late = False
                for chunk in cast("Iterable[bytes]", response.stream):
                    if late:
                        raise TimeoutError
                    body.add(chunk)
                    late = deadline.passed
        except no_response() as error:
            failure = self._failure(error, call, seconds)
        else:
            answer = RawResponse(response.status_code, dict(response.headers), bytes(body.content))
            if self._rejects_compression(request, answer):
                return self.exchange(call, timeout_s=deadline.remaining_s())
            return answer
        raise failure

    def wait(self, seconds: float) -> None:
        threading.Event().wait(seconds)

    def close(self) -> None:
        transport = self._release()
        if transport is not None:
            transport.close()


class AsyncHttpClient(HttpBase[AsyncTransport]):
    """Sends calls over HTTP, awaitable, one try and one deadline each. For one event loop."""

    async def send(self, call: Call[T], *, timeout_s: float | None = None) -> T:
        answer = await self.exchange(call, timeout_s=timeout_s)
        return self.target.read(call, answer, self._clock)

    async def exchange(self, call: Call[Any], *, timeout_s: float | None = None) -> RawResponse:
        """Return the response to *call* unread; the timeout bounds the whole exchange."""
        seconds = self._timeout_s if timeout_s is None else timeout_s
        transport = self._transport(httpx.AsyncHTTPTransport, call)
        deadline = Deadline.after(seconds, self._clock)
        request = self._request(call, seconds)
        try:
            with no_tracing():
                async with (
                    asyncio.timeout(seconds + GRACE_S),
                    aclosing(await transport.handle_async_request(request)) as response,
                ):
                    body = ResponseBody(self.target.where(call), call, response)
                    async for chunk in cast("AsyncIterable[bytes]", response.stream):
                        body.add(chunk)
        except no_response() as error:
            failure = self._failure(error, call, seconds)
        else:
            answer = RawResponse(response.status_code, dict(response.headers), bytes(body.content))
            if self._rejects_compression(request, answer):
                return await self.exchange(call, timeout_s=deadline.remaining_s())
            return answer
        raise failure

    async def wait(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def aclose(self) -> None:
        transport = self._release()
        if transport is not None:
            await transport.aclose()


class Body:
    """The body of a request, with a function to call once it is sent."""

    def __init__(self, content: bytes, on_sent: Callable[[], None]) -> None:
        self._content = content
        self._on_sent = on_sent

    def __iter__(self) -> Iterator[bytes]:
        """Yield the body; httpx resumes once it is sent."""
        yield self._content
        self._on_sent()


class ResponseBody:
    """The body of a response, decompressed while it arrives, up to the limit of its call.

    httpx decompresses each part as a whole, which may become a thousand times as long.
    """

    def __init__(self, where: str, call: Call[Any], response: httpx.Response) -> None:
        """Start empty; *where* is the call in words."""
        self._where = where
        self._call = call
        self._limit = call.limit_bytes if response.is_success else MAX_RESPONSE_BYTES
        packed = response.headers.get("content-encoding", "").strip().lower() == "gzip"
        self._unpack = zlib.decompressobj(GZIP).decompress if packed else None
        self.content = bytearray()

    def add(self, chunk: bytes) -> None:
        """Add the next part, compressed as it arrived.

        Raises:
            ResponseTooLongError: The response is longer than the limit.
            zlib.error: It cannot be decompressed.
        """
        rest = self._limit + 1 - len(self.content)
        self.content += chunk if self._unpack is None else self._unpack(chunk, rest)
        if len(self.content) <= self._limit:
            return
        if self._limit == MAX_RESPONSE_BYTES:
            advice = (
                "The API's response to this call is short: check the api_url, because something "
                "else may respond"
            )
        elif self._call.method == "GET":
            advice = "Ask for less with page_size, or check the api_url"
        else:
            advice = "Put fewer items into one call (max_batch_items), or check the api_url"
        raise ResponseTooLongError(
            f"{self._where}: the response is longer than {self._limit} bytes. {advice}"
        )


def no_tracing() -> AbstractContextManager[object]:
    """Return a block in which OpenTelemetry, and Logfire with it, does not trace a request.

    They wrap httpx's transports too.
    """
    instrumentation: Any = sys.modules.get(OPENTELEMETRY)
    suppress = getattr(instrumentation, "suppress_instrumentation", nullcontext)
    block: AbstractContextManager[object] = suppress()
    return block
