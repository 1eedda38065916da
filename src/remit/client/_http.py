"""The one door to the network: one try of one call over httpx, and the in-process transports.

Calls go to httpx's transport, beneath its client: what other tracers wrap, and what httpx logs, is
the client.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterable, Callable, Iterable, Iterator
from contextlib import aclosing, closing
from functools import cached_property
from typing import Any, Final, Generic, Self, TypeAlias, TypeVar, cast

import httpcore  # noqa: F401 - httpx imports it at the first request, on whatever thread that is
import httpx

from remit._clock import Clock, Deadline, SystemClock
from remit._endpoints import Call
from remit.client import _failures
from remit.client._asgi import ASGI, AsgiApp, respond
from remit.client._bounded import MIN_TIMEOUT_S, Bound, bind
from remit.client._coding import Coding
from remit.client._gathered import Gathered
from remit.client._names import NameLookUpError
from remit.client._target import Answer as Answer
from remit.client._target import Target
from remit.client._unseen import unseen
from remit.errors import ApiError, ContractError, UnavailableError, UsageError

Transport: TypeAlias = httpx.BaseTransport
AsyncTransport: TypeAlias = httpx.AsyncBaseTransport

C = TypeVar("C")
T = TypeVar("T")

ENCODINGS: Final = {"Accept-Encoding": "gzip"}
DEFAULT_TIMEOUT_S: Final = 10.0
# httpx, which knows what it waited for, speaks first; the rest is for an answer that trickles.
GRACE_S: Final = 0.05
DEFAULT_PORTS: Final = {"http": 80, "https": 443}


class Door(Generic[C]):
    """What both doors know: where to, how long, and the httpx transport of this process.

    A child process that inherits one opens connections of its own.
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
        """Aim at *api_url*; nothing is opened before the first call.

        Args:
            api_url: The API's URL, without `/api/v1`.
            token: Bearer token; without one no `Authorization` is sent.
            transport: An httpx transport in place of the network.
            timeout_s: Seconds for one call, from connecting to the last byte.
            clock: Times the deadlines, and dates that the server names.

        Raises:
            SettingsError: The URL or the token cannot be right.
        """
        self.target = Target.of(api_url, token)
        self._given: Any = transport
        in_process = isinstance(transport, InProcessTransport | AsyncInProcessTransport)
        self._coding = Coding(self.target.url, in_process=in_process)
        self._timeout_s = timeout_s
        self._clock = clock or SystemClock()
        self._transports: dict[int, C] = {}
        self._closed = False

    def _open(self, make: Callable[[], C]) -> C:
        """Return this process's httpx transport, the same for every call."""
        if self._closed:
            raise UsageError("this client was closed; make a new one, or close it later")
        # By process: a forked child must not write into its parent's connections, and to close
        # them there could wait for a lock that a thread of the parent held.
        pid = os.getpid()
        transport = self._transports.get(pid)
        if transport is not None:
            return transport
        # Of two threads that make one at once, both get the same.
        try:
            return self._transports.setdefault(pid, make())
        except OSError as error:
            said = _failures.sentence(
                _failures.NOT_READY, error, place=self.target.place, timeout_s=0
            )
            raise UnavailableError(f"{self.target.url}: {said}") from None

    def _shut(self) -> C | None:
        """Return the httpx transport to close, if there is one of this process."""
        self._closed = True
        return self._transports.pop(os.getpid(), None)

    def _request(self, call: Call[T], timeout_s: float) -> httpx.Request:
        """Return *call* as httpx sends it."""
        timeout = httpx.Timeout(max(MIN_TIMEOUT_S, timeout_s))
        body, coded = self._coding.packed(call.body)
        return httpx.Request(
            call.method,
            f"{self.target.url}{call.path}",
            params=list(call.query) or None,
            content=body,
            headers=ENCODINGS | self.target.headers() | coded,
            extensions={"timeout": timeout.as_dict()},
        )

    def _failure(self, error: Exception, call: Call[T], timeout_s: float) -> ApiError:
        """Return the error for a request that got no answer.

        It is raised unchained: httpx's errors hold the request, and so the token and payloads.
        """
        template = _failures.BROKEN
        told: BaseException = error
        if isinstance(error, httpx.ConnectError | NameLookUpError):
            template, told = _failures.unconnected(error)
        for kind, words in (
            (httpx.ConnectTimeout, _failures.NO_CONNECTION),
            (httpx.RemoteProtocolError, _failures.NO_HTTP),
            (httpx.ProxyError, _failures.PROXY),
            (httpx.DecodingError, _failures.NOT_PACKED),
            (httpx.TimeoutException, _failures.NO_ANSWER),
            (TimeoutError, _failures.NO_ANSWER),
        ):
            if isinstance(error, kind):
                template = words
                break
        proxy = None if self._given is not None else self.target.proxy()
        if proxy is not None and template in _failures.OF_THE_WAY:
            return self._no_proxy(told, call, proxy)
        said = _failures.sentence(template, told, place=self.target.place, timeout_s=timeout_s)
        reaction = ContractError if template is _failures.NOT_PACKED else UnavailableError
        return reaction(f"{self.target.where(call)}: {said}")

    def _gathered(self, call: Call[T], response: httpx.Response) -> Gathered:
        """Return an empty answer for the body of *response*."""
        target, headers = self.target, dict(response.headers)
        return Gathered(target.where(call), target.place, call, response.status_code, headers)

    def _no_proxy(self, error: Exception | BaseException, call: Call[T], proxy: str) -> ApiError:
        """Return the error for a proxy that cannot be reached, or cannot be one."""
        place = proxy.rpartition("@")[2]
        said = _failures.sentence(_failures.NO_PROXY, error, place=place, timeout_s=0)
        return UnavailableError(f"{self.target.where(call)}: {said}")

    def _proxied(self, make: Callable[..., C], call: Call[T]) -> C:
        """Return what *make* makes for the proxy that the environment names, if it does.

        Raises:
            UnavailableError: The proxy cannot be one; or its kind needs another package.
        """
        proxy = self.target.proxy()
        try:
            return make(proxy=proxy)
        except (ImportError, ValueError, httpx.InvalidURL) as error:
            if proxy is None:
                raise
            raise self._no_proxy(error, call, proxy) from None


class Http(Door[Transport]):
    """Sends calls over httpx: one try each, one deadline each. Usable from several threads.

    Attributes:
        waiting: Whether a call is with httpx's own transport: it waits for the network, and a
            process that forks meanwhile need not wait for it.
    """

    waiting: bool = False

    def send(self, call: Call[T], *, timeout_s: float | None = None) -> T:
        """Return what the API answers to *call*.

        Args:
            call: What to send.
            timeout_s: Seconds for this call; the client's own if None.

        Raises:
            ApiError: It refuses, cannot be reached, or is not the API.
            UsageError: The client was closed.
        """
        return self.target.read(call, self.exchange(call, timeout_s=timeout_s), self._clock)

    def exchange(self, call: Call[T], *, timeout_s: float | None = None) -> Answer:
        """Return the answer to *call* as it came, whatever it says.

        Args:
            call: What to send.
            timeout_s: Seconds for this call; the client's own if None.

        Raises:
            UnavailableError: No answer came.
            ContractError: What came cannot be decompressed, or is too large.
            UsageError: The client was closed.
        """
        transport = self._open(lambda: self._make(call))
        seconds = self._timeout_s if timeout_s is None else timeout_s
        deadline = Deadline.after(seconds, self._clock)
        request = self._request(call, seconds)
        self.waiting = self._given is None
        try:
            with (
                unseen(),
                self._bound.until(deadline, call.meanwhile),
                closing(transport.handle_request(request)) as response,
            ):
                gathered = self._gathered(call, response)
                for chunk in _until(deadline, cast("Iterable[bytes]", response.stream)):
                    gathered.add(chunk)
        except (httpx.HTTPError, NameLookUpError, TimeoutError) as error:
            failure = self._failure(error, call, seconds)
        else:
            answer = gathered.answer()
            if self._coding.heeds(answer.status, answer.headers, request.headers):
                return self.exchange(call, timeout_s=deadline.remaining_s())
            return answer
        finally:
            self.waiting = False
        raise failure

    def close(self) -> None:
        """Close the connections; a call after that is an error."""
        transport = self._shut()
        if transport is not None:
            transport.close()

    def _make(self, call: Call[T]) -> Transport:
        if self._given is not None:
            return self._given  # type: ignore[no-any-return]  # what the user says is a transport
        transport = self._proxied(httpx.HTTPTransport, call)
        bind(transport, self._bound)
        return transport

    @cached_property
    def _bound(self) -> Bound:
        return Bound()


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


class AsyncHttp(Door[AsyncTransport]):
    """Sends calls over httpx, awaitable: one try each, one deadline each. For one event loop."""

    async def send(self, call: Call[T], *, timeout_s: float | None = None) -> T:
        """Return what the API answers to *call*, as `Http.send` does."""
        answer = await self.exchange(call, timeout_s=timeout_s)
        return self.target.read(call, answer, self._clock)

    async def exchange(self, call: Call[T], *, timeout_s: float | None = None) -> Answer:
        """Return the answer to *call* as it came, as `Http.exchange` does."""
        transport = self._open(lambda: self._make(call))
        seconds = self._timeout_s if timeout_s is None else timeout_s
        deadline = Deadline.after(seconds, self._clock)
        request = self._request(call, seconds)
        try:
            with unseen():
                async with (
                    asyncio.timeout(seconds + GRACE_S),
                    aclosing(await transport.handle_async_request(request)) as response,
                ):
                    gathered = self._gathered(call, response)
                    async for chunk in cast("AsyncIterable[bytes]", response.stream):
                        gathered.add(chunk)
        except (httpx.HTTPError, TimeoutError) as error:
            failure = self._failure(error, call, seconds)
        else:
            answer = gathered.answer()
            if self._coding.heeds(answer.status, answer.headers, request.headers):
                return await self.exchange(call, timeout_s=deadline.remaining_s())
            return answer
        raise failure

    async def aclose(self) -> None:
        """Close the connections; a call after that is an error."""
        transport = self._shut()
        if transport is not None:
            await transport.aclose()

    def _make(self, call: Call[T]) -> AsyncTransport:
        if self._given is not None:
            return self._given  # type: ignore[no-any-return]  # what the user says is a transport
        return self._proxied(httpx.AsyncHTTPTransport, call)


class InProcessTransport(Transport):
    """An httpx transport that calls an ASGI app on the calling thread: no port, no event loop.

    For apps whose handlers are `async def` and never wait, such as remit's collector. It works
    on every thread, several at once, and while the interpreter exits.
    """

    def __init__(self, app: AsgiApp) -> None:
        """Call *app* for each request."""
        self._app = app

    def __enter__(self) -> Self:
        """Return it; there is nothing to open."""
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Do nothing; there is nothing to close."""

    def close(self) -> None:
        """Do nothing; there is nothing to close."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Return what the app answers.

        Raises:
            UsageError: The app waited for something.
        """
        return _respond(self._app, request, request.read())


class AsyncInProcessTransport(AsyncTransport):
    """The same for an asynchronous client; the app runs within one step of the caller's loop."""

    def __init__(self, app: AsgiApp) -> None:
        """Call *app* for each request."""
        self._app = app

    async def __aenter__(self) -> Self:
        """Return it; there is nothing to open."""
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Do nothing; there is nothing to close."""

    async def aclose(self) -> None:
        """Do nothing; there is nothing to close."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Return what the app answers.

        Raises:
            UsageError: The app waited for something.
        """
        return _respond(self._app, request, await request.aread())


def _respond(app: AsgiApp, request: httpx.Request, body: bytes) -> httpx.Response:
    url = request.url
    path, _, query = url.raw_path.partition(b"?")
    scope = {
        "type": "http",
        "asgi": dict(ASGI),
        "http_version": "1.1",
        "method": request.method,
        "scheme": url.scheme,
        "path": url.path,
        "raw_path": path,
        "query_string": query,
        "root_path": "",
        "headers": [(name.lower(), value) for name, value in request.headers.raw],
        "client": None,
        "server": (url.host, url.port or DEFAULT_PORTS[url.scheme]),
    }
    answer = respond(app, scope, body)
    return httpx.Response(
        answer.status, headers=answer.headers, stream=httpx.ByteStream(answer.body)
    )
