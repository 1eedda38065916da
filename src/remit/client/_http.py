"""Sends one call over httpx: one try, within its timeouts.

Calls go to httpx's transport, beneath its client. Other tracers wrap the client, and httpx logs
there: they would trace and log remit's own requests. The price is that the proxies of the
environment, which the client reads, are read here (`Target.proxy`).
"""

from __future__ import annotations

import asyncio
import encodings.idna  # noqa: F401 # pyright: ignore[reportUnusedImport] - see httpcore
import os
import re
import sys
import threading
import zlib
from collections.abc import AsyncIterable, Callable, Iterable, Iterator
from contextlib import AbstractContextManager, aclosing, closing, nullcontext
from typing import Any, Final, Generic, TypeAlias, TypeVar, cast
from urllib.parse import urlsplit

# httpx imports httpcore at the first request, and a look-up of a host imports encodings.idna. Both
# would happen on the sender's thread, and a process may fork during an import.
import httpcore  # noqa: F401 # pyright: ignore[reportUnusedImport]
import httpx

from remit._base.clock import Clock, Deadline, SystemClock
from remit.client import _error_text
from remit.client._body_reader import BodyReader
from remit.client._inprocess import InProcessTransport
from remit.client._target import Answer, Target
from remit.client.endpoints import Call
from remit.config import is_loopback
from remit.errors import ApiError, ContractError, UnavailableError, UsageError

Transport: TypeAlias = httpx.BaseTransport
AsyncTransport: TypeAlias = httpx.AsyncBaseTransport

C = TypeVar("C")
T = TypeVar("T")

ENCODINGS: Final = {"Accept-Encoding": "gzip"}
UNSUPPORTED_MEDIA_TYPE: Final = 415
DEFAULT_TIMEOUT_S: Final = 10.0
# 0 means "do not wait" to a socket, and gives another error.
MIN_TIMEOUT_S: Final = 0.001
# httpx, which knows what it waited for, raises first; the rest is for an answer in small parts.
GRACE_S: Final = 0.05
OPENTELEMETRY: Final = "opentelemetry.instrumentation.utils"
"""Loaded wherever an instrumentation of OpenTelemetry is active; never loaded by remit."""


class Compression:
    """Compresses the bodies of requests to another machine whose answers name gzip.

    Source: RFC 9110 section 12.5.3, `Accept-Encoding` in an answer. The contract promises nothing
    of the kind, so a server that does not name gzip never gets a compressed request.
    """

    MIN_BYTES: Final = 4_096
    _GZIP: Final = re.compile(r"(^|,)\s*gzip\s*(;\s*q=(?!0(\.0*)?\s*(,|$))|,|$)")

    def __init__(self, url: str, *, in_process: bool) -> None:
        """Compress nothing before the first answer, and never to this machine."""
        self._possible = not (in_process or is_loopback(urlsplit(url).hostname or ""))
        self._accepted = False

    def encoded(self, body: bytes | None) -> tuple[bytes | None, dict[str, str]]:
        """Return *body* as it is sent, and the header that says so."""
        if not self._accepted or body is None or len(body) < self.MIN_BYTES:
            return body, {}
        return zlib.compress(body, 1, 16 + zlib.MAX_WBITS), {"Content-Encoding": "gzip"}

    def refused(self, answer: Answer, request: httpx.Request) -> bool:
        """Note what *answer* accepts; return whether *request* has to be sent uncompressed."""
        if answer.status == UNSUPPORTED_MEDIA_TYPE and "Content-Encoding" in request.headers:
            self._possible = self._accepted = False
            return True
        accepts = answer.headers.get("accept-encoding")
        if accepts is not None and self._possible:
            self._accepted = self._GZIP.search(accepts.lower()) is not None
        return False


class HttpBase(Generic[C]):
    """What both clients share: the target, the timeout, and the httpx transport of this process.

    A child process that inherits a client opens new connections.
    """

    def __init__(
        self,
        api_url: str,
        token: str | None,
        *,
        transport: object | None = None,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        clock: Clock | None = None,
    ) -> None:
        """Send to *api_url*; nothing is opened before the first call.

        Args:
            api_url: The API's URL, without `/api/v1`.
            token: Bearer token; without one no `Authorization` is sent.
            transport: An httpx transport in place of the network.
            timeout_s: Seconds for each wait of one call, and for the body of its answer.
            clock: Times the deadlines, and dates that the server names.

        Raises:
            SettingsError: The URL or the token is not valid.
        """
        self.target = Target.of(api_url, token)
        self._given: Any = transport
        in_process = isinstance(transport, InProcessTransport)
        self._compression = Compression(self.target.url, in_process=in_process)
        self._timeout_s = timeout_s
        self._clock = clock or SystemClock()
        # By process: a forked child must not write into its parent's connections, and to close
        # them there could wait for a lock that a thread of the parent held.
        self._transports: dict[int, C] = {}
        self._closed = False

    def _transport(self, network: Callable[..., C], call: Call[Any]) -> C:
        """Return this process's httpx transport; *network* makes one.

        Raises:
            UnavailableError: It cannot be made.
            UsageError: The client was closed.
        """
        if self._closed:
            raise UsageError("this client was closed; make a new one, or close it later")
        transport = self._transports.get(os.getpid())
        if transport is not None:
            return transport
        transport = self._connected(network, call) if self._given is None else self._given
        # Of two threads that make one at once, both get the same.
        return self._transports.setdefault(os.getpid(), transport)

    def _connected(self, network: Callable[..., C], call: Call[Any]) -> C:
        """Return a transport to the network, by the proxy that the environment names."""
        proxy = self.target.proxy()
        try:
            return network(proxy=proxy)
        except OSError as error:
            reason = self._sentence(_error_text.NOT_READY, error)
            raise UnavailableError(f"{self.target.url}: {reason}") from None
        except (ImportError, ValueError, httpx.InvalidURL) as error:
            # The proxy's URL is malformed, or its kind needs another package.
            if proxy is None:
                raise
            raise self._proxy_failure(error, call, proxy) from None

    def _release(self) -> C | None:
        """Refuse further calls; return the transport of this process to close, if there is one."""
        self._closed = True
        return self._transports.pop(os.getpid(), None)

    def _request(self, call: Call[Any], timeout_s: float) -> httpx.Request:
        timeout = httpx.Timeout(max(MIN_TIMEOUT_S, timeout_s))
        body, encoding = self._compression.encoded(call.body)
        return httpx.Request(
            call.method,
            f"{self.target.url}{call.path}",
            params=list(call.query) or None,
            content=body,
            headers=ENCODINGS | self.target.headers() | encoding,
            extensions={"timeout": timeout.as_dict()},
        )

    def _reader(self, call: Call[Any], response: httpx.Response) -> BodyReader:
        where, headers = self.target.where(call), dict(response.headers)
        return BodyReader(where, self.target.place, call, response.status_code, headers)

    def _failure(self, error: Exception, call: Call[Any], timeout_s: float) -> ApiError:
        """Return the error for a request that got no answer.

        It is raised unchained: httpx's errors hold the request, and so the token and payloads.
        """
        template, cause = _error_text.BROKEN, cast("BaseException", error)
        if isinstance(error, httpx.ConnectError):
            template, cause = _error_text.unconnected(error)
        elif isinstance(error, httpx.ConnectTimeout):
            template = _error_text.NO_CONNECTION
        elif isinstance(error, httpx.RemoteProtocolError):
            template = _error_text.NO_HTTP
        elif isinstance(error, httpx.ProxyError):
            template = _error_text.PROXY
        elif isinstance(error, httpx.TimeoutException | TimeoutError):
            template = _error_text.NO_ANSWER
        elif isinstance(error, httpx.DecodingError):
            # From a given transport that decompresses; the reader does it for the network.
            reason = self._sentence(_error_text.NOT_PACKED, error)
            return ContractError(f"{self.target.where(call)}: {reason}")
        proxy = None if self._given is not None else self.target.proxy()
        if proxy is not None and template in _error_text.OF_THE_WAY:
            return self._proxy_failure(cause, call, proxy)
        reason = self._sentence(template, cause, timeout_s)
        return UnavailableError(f"{self.target.where(call)}: {reason}")

    def _proxy_failure(self, error: BaseException, call: Call[Any], proxy: str) -> ApiError:
        """Return the error for a proxy that cannot be reached, or cannot be one."""
        place = proxy.rpartition("@")[2]
        reason = _error_text.sentence(_error_text.NO_PROXY, error, place=place, timeout_s=0)
        return UnavailableError(f"{self.target.where(call)}: {reason}")

    def _sentence(self, template: str, error: BaseException, timeout_s: float = 0) -> str:
        place = self.target.place
        return _error_text.sentence(template, error, place=place, timeout_s=timeout_s)


class HttpClient(HttpBase[Transport]):
    """Sends calls over httpx, one try each. Usable from several threads."""

    @property
    def holds_locks(self) -> bool:
        """Whether a call may hold locks that the child of a fork needs.

        The first one does, while OpenSSL sets up its trust; later ones only wait for the network.
        """
        return self._given is None and os.getpid() not in self._transports

    def send(self, call: Call[T], *, timeout_s: float | None = None) -> T:
        """Return what the API answers to *call*.

        Args:
            call: What to send.
            timeout_s: Seconds for this call; the client's own if None.

        Raises:
            ApiError: The API refuses, cannot be reached, or something else answers.
            UsageError: The client was closed.
        """
        return self.target.read(call, self.exchange(call, timeout_s=timeout_s), self._clock)

    def exchange(self, call: Call[Any], *, timeout_s: float | None = None) -> Answer:
        """Return the answer to *call* as it came, also a refusal.

        The timeout bounds each wait for the network, and the time in which the body arrives. The
        look-up of a name, and a head that arrives in small parts, may take longer.

        Args:
            call: What to send.
            timeout_s: Seconds for this call; the client's own if None.

        Raises:
            UnavailableError: No answer came.
            ContractError: The answer cannot be decompressed, or is too long.
            UsageError: The client was closed.
        """
        seconds = self._timeout_s if timeout_s is None else timeout_s
        transport = self._transport(httpx.HTTPTransport, call)
        deadline = Deadline.after(seconds, self._clock)
        request = self._request(call, seconds)
        try:
            with no_tracing(), closing(transport.handle_request(request)) as response:
                reader = self._reader(call, response)
                for chunk in _until(deadline, cast("Iterable[bytes]", response.stream)):
                    reader.add(chunk)
        except (httpx.HTTPError, TimeoutError) as error:
            failure = self._failure(error, call, seconds)
        else:
            answer = reader.answer()
            if self._compression.refused(answer, request):
                return self.exchange(call, timeout_s=deadline.remaining_s())
            return answer
        raise failure

    def wait(self, seconds: float) -> None:
        """Wait before a further try."""
        threading.Event().wait(seconds)

    def close(self) -> None:
        """Close the connections; a call after that is an error."""
        transport = self._release()
        if transport is not None:
            transport.close()


class AsyncHttpClient(HttpBase[AsyncTransport]):
    """Sends calls over httpx, awaitable, one try and one deadline each. For one event loop."""

    async def send(self, call: Call[T], *, timeout_s: float | None = None) -> T:
        """Return what the API answers to *call*, as `HttpClient.send` does."""
        answer = await self.exchange(call, timeout_s=timeout_s)
        return self.target.read(call, answer, self._clock)

    async def exchange(self, call: Call[Any], *, timeout_s: float | None = None) -> Answer:
        """Return the answer to *call* as it came; the timeout bounds the whole of it."""
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
                    reader = self._reader(call, response)
                    async for chunk in cast("AsyncIterable[bytes]", response.stream):
                        reader.add(chunk)
        except (httpx.HTTPError, TimeoutError) as error:
            failure = self._failure(error, call, seconds)
        else:
            answer = reader.answer()
            if self._compression.refused(answer, request):
                return await self.exchange(call, timeout_s=deadline.remaining_s())
            return answer
        raise failure

    async def wait(self, seconds: float) -> None:
        """Wait before a further try."""
        await asyncio.sleep(seconds)

    async def aclose(self) -> None:
        """Close the connections; a call after that is an error."""
        transport = self._release()
        if transport is not None:
            await transport.aclose()


def _until(deadline: Deadline, chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield *chunks* until *deadline*, which stops a server that never stops sending.

    Raises:
        TimeoutError: The deadline has passed, and there is more.
    """
    late = False
    for chunk in chunks:
        if late:
            raise TimeoutError
        yield chunk
        late = deadline.passed


def no_tracing() -> AbstractContextManager[object]:
    """Return a block in which OpenTelemetry, and Logfire with it, does not trace a request.

    They wrap httpx's transports too, beneath the client.
    """
    instrumentation: Any = sys.modules.get(OPENTELEMETRY)
    suppress = getattr(instrumentation, "suppress_instrumentation", nullcontext)
    block: AbstractContextManager[object] = suppress()
    return block
