"""An httpx transport that calls an ASGI app on the calling thread, without an event loop.

An app whose handlers never wait for anything runs from its first step to its end. So it can be
called from any thread, inside a running loop, and while the interpreter exits, when no thread can
be started any more. httpx's own `ASGITransport` needs an event loop.
"""

from __future__ import annotations

import contextvars
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final, TypeAlias

from remit._base.guard import guarded
from remit.client._library import httpx

Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
AsgiApp: TypeAlias = Callable[[Message, Receive, Send], Awaitable[None]]

# With 2.4 starlette expects that a send may fail, and streams without a second task.
ASGI: Final = {"version": "3.0", "spec_version": "2.4"}
FAILURE: Final = (
    b'{"status":"error","code":"internal_error",'
    b'"message":"the app inside this process failed; the log names the kind of error"}'
)
DEFAULT_PORTS: Final = {"http": 80, "https": 443}


class InProcessTransport(httpx.BaseTransport):
    """An httpx transport that calls an ASGI app on the calling thread: no port, no event loop.

    For apps whose handlers are `async def` and never wait, such as remit's collector. It works
    on every thread, several at once, and while the interpreter exits.
    """

    def __init__(self, app: AsgiApp) -> None:
        """Call *app* for each request."""
        self._app = app

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Return what the app answers; a 500 if it raises or waits, which is counted and logged."""
        exchange = Exchange(request.read())
        # A copy: what the app sets in its context does not reach the caller.
        contextvars.copy_context().run(_run, self._app, _scope(request), exchange)
        return exchange.response()


class Exchange:
    """One request and its answer, as the app sees and makes them."""

    def __init__(self, body: bytes) -> None:
        """Offer *body* as the request's."""
        self._requests = iter([body])
        self._parts: list[bytes] = []
        self._start: Message = {}
        self._complete = False

    async def receive(self) -> Message:
        """Return the request's body, then that the client has gone."""
        for body in self._requests:
            return {"type": "http.request", "body": body, "more_body": False}
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        """Collect a part of the answer."""
        if message["type"] == "http.response.start":
            self._start = message
        elif message["type"] == "http.response.body":
            self._parts.append(bytes(message.get("body", b"")))
            self._complete = not message.get("more_body", False)

    def response(self) -> httpx.Response:
        """Return the app's answer, or a 500 if it is not complete."""
        if not (self._start and self._complete):
            headers = {"content-type": "application/json"}
            return httpx.Response(500, headers=headers, stream=httpx.ByteStream(FAILURE))
        pairs = [(bytes(name), bytes(value)) for name, value in self._start.get("headers", ())]
        body = httpx.ByteStream(b"".join(self._parts))
        return httpx.Response(self._start["status"], headers=pairs, stream=body)


def _scope(request: httpx.Request) -> Message:
    url = request.url
    path, _, query = url.raw_path.partition(b"?")
    return {
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


@guarded("the app inside this process")
def _run(app: AsgiApp, scope: Message, exchange: Exchange) -> None:
    """Run *app* to its end."""

    async def call() -> None:
        await app(scope, exchange.receive, exchange.send)

    steps = call()
    try:
        steps.send(None)
    except StopIteration:
        return
    steps.close()
    raise RuntimeError("the app waited for something, and no event loop runs it")
