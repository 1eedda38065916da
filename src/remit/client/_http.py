"""The one door to the network: one try of one call over httpx, and the in-process transports.

httpx is imported at the first request: it costs 57 ms, and most programs that import remit in a
test or a command never send anything.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import nullcontext
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, Generic, Self, TypeVar

from remit._clock import Clock, Deadline, SystemClock
from remit._endpoints import Call
from remit.client import _failures
from remit.client._asgi import ASGI, AsgiApp, respond
from remit.client._bounded import MIN_TIMEOUT_S, Bound, bind
from remit.client._silence import silence
from remit.client._target import Answer as Answer
from remit.client._target import Target
from remit.errors import ApiError, ContractError, UnavailableError, UsageError

if TYPE_CHECKING:
    import httpx

    Transport = httpx.BaseTransport
    AsyncTransport = httpx.AsyncBaseTransport
else:
    # What httpx asks of a transport is its methods: to derive from its class would import it.
    Transport = AsyncTransport = object

C = TypeVar("C")
T = TypeVar("T")

DEFAULT_TIMEOUT_S: Final = 10.0
# A page of 100 spans with payloads and results at their limit is 13 MB.
MAX_ANSWER_BYTES: Final = 64 * 1024 * 1024
# httpx, which knows what it waited for, speaks first; the rest is for an answer that trickles.
GRACE_S: Final = 0.05
DEFAULT_PORTS: Final = {"http": 80, "https": 443}


class Door(Generic[C]):
    """What both doors know: where to, how long, and the httpx client of this process.

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
        self._transport: Any = transport
        self._timeout_s = timeout_s
        self._clock = clock or SystemClock()
        self._clients: dict[int, C] = {}
        self._closed = False

    def _open(self, make: Callable[[], C]) -> C:
        """Return this process's httpx client, the same for every call."""
        if self._closed:
            raise UsageError("this client was closed; make a new one, or close it later")
        # By process: a forked child must not write into its parent's connections, and to close
        # them there could wait for a lock that a thread of the parent held.
        pid = os.getpid()
        client = self._clients.get(pid)
        # Of two threads that make one at once, both get the same.
        return client if client is not None else self._clients.setdefault(pid, make())

    def _shut(self) -> C | None:
        """Return the httpx client to close, if there is one of this process."""
        self._closed = True
        return self._clients.pop(os.getpid(), None)

    def _request(self, call: Call[T], timeout_s: float) -> dict[str, Any]:
        """Return the arguments of httpx for *call*."""
        return {
            "method": call.method,
            "url": f"{self.target.url}{call.path}",
            "params": list(call.query) or None,
            "content": call.body,
            "headers": self.target.headers(),
            "timeout": max(MIN_TIMEOUT_S, timeout_s),
        }

    def _failure(self, error: Exception, call: Call[T], timeout_s: float) -> ApiError:
        """Return the error for a request that got no answer.

        It is raised unchained: httpx's errors hold the request, and so the token and payloads.
        """
        import httpx  # noqa: PLC0415 - loaded already: it made the error

        template = _failures.BROKEN
        told: BaseException = error
        if isinstance(error, httpx.ConnectError):
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
        said = _failures.sentence(template, told, place=self.target.place, timeout_s=timeout_s)
        reaction = ContractError if template is _failures.NOT_PACKED else UnavailableError
        return reaction(f"{self.target.where(call)}: {said}")


class Http(Door["httpx.Client"]):
    """Sends calls over httpx: one try each, one deadline each. Usable from several threads."""

    _silent = False

    def silenced(self) -> Self:
        """Leave this door's requests out of httpx's log from now on; return it."""
        self._silent = True
        return self

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
        import httpx  # noqa: PLC0415 - 57 ms, see the module

        client = self._open(self._make)
        seconds = self._timeout_s if timeout_s is None else timeout_s
        deadline = Deadline.after(seconds, self._clock)
        gathered = Gathered(self.target.where(call))
        try:
            with (
                silence() if self._silent else nullcontext(),
                self._bound.until(deadline),
                client.stream(**self._request(call, seconds)) as response,
            ):
                for chunk in response.iter_bytes():
                    gathered.add(chunk)
        except httpx.HTTPError as error:
            failure = self._failure(error, call, seconds)
        else:
            return gathered.answer(response)
        raise failure

    def close(self) -> None:
        """Close the connections; a call after that is an error."""
        client = self._shut()
        if client is not None:
            client.close()

    def _make(self) -> httpx.Client:
        import httpx  # noqa: PLC0415 - 57 ms, see the module

        client = httpx.Client(transport=self._transport)
        if self._transport is None:
            bind(client, self._bound)
        return client

    @cached_property
    def _bound(self) -> Bound:
        return Bound()


class AsyncHttp(Door["httpx.AsyncClient"]):
    """Sends calls over httpx, awaitable: one try each, one deadline each. For one event loop."""

    async def send(self, call: Call[T], *, timeout_s: float | None = None) -> T:
        """Return what the API answers to *call*, as `Http.send` does."""
        answer = await self.exchange(call, timeout_s=timeout_s)
        return self.target.read(call, answer, self._clock)

    async def exchange(self, call: Call[T], *, timeout_s: float | None = None) -> Answer:
        """Return the answer to *call* as it came, as `Http.exchange` does."""
        import asyncio  # noqa: PLC0415 - 20 ms, and a loop that runs has loaded it

        import httpx  # noqa: PLC0415 - 57 ms, see the module

        client = self._open(self._make)
        seconds = self._timeout_s if timeout_s is None else timeout_s
        gathered = Gathered(self.target.where(call))
        try:
            async with (
                asyncio.timeout(seconds + GRACE_S),
                client.stream(**self._request(call, seconds)) as response,
            ):
                async for chunk in response.aiter_bytes():
                    gathered.add(chunk)
        except (httpx.HTTPError, TimeoutError) as error:
            failure = self._failure(error, call, seconds)
        else:
            return gathered.answer(response)
        raise failure

    async def aclose(self) -> None:
        """Close the connections; a call after that is an error."""
        client = self._shut()
        if client is not None:
            await client.aclose()

    def _make(self) -> httpx.AsyncClient:
        import httpx  # noqa: PLC0415 - 57 ms, see the module

        return httpx.AsyncClient(transport=self._transport)


class Gathered:
    """The body of an answer while it comes, up to a limit."""

    def __init__(self, where: str) -> None:
        """Start empty; *where* is the request in words."""
        self._where = where
        self._parts: list[bytes] = []
        self._size = 0

    def add(self, chunk: bytes) -> None:
        """Take the next part.

        Raises:
            ContractError: The answer is too large.
        """
        self._parts.append(chunk)
        self._size += len(chunk)
        if self._size > MAX_ANSWER_BYTES:
            raise ContractError(
                f"{self._where}: the answer is longer than {MAX_ANSWER_BYTES} bytes. Ask for less "
                "with page_size, or check the api_url"
            )

    def answer(self, response: httpx.Response) -> Answer:
        """Return the whole answer."""
        return Answer(response.status_code, dict(response.headers), b"".join(self._parts))


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
    import httpx  # noqa: PLC0415 - loaded already: it made the request

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
