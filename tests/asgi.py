"""An httpx transport that drives an ASGI app on the calling thread, without an event loop.

It is for apps that wait for nothing, such as a collector over SQLite. httpx's own `ASGITransport`
needs an event loop.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias

from tests.inside import httpx

Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
AsgiApp: TypeAlias = Callable[[Message, Receive, Send], Awaitable[None]]


class AsgiTransport(httpx.BaseTransport):
    """Calls an ASGI app for each request; usable from several threads."""

    def __init__(self, app: AsgiApp) -> None:
        """Call *app* for each request."""
        self._app = app

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Return the answer of the app."""
        bodies = iter([request.read()])
        start: Message = {}
        parts: list[bytes] = []

        async def receive() -> Message:
            for body in bodies:
                return {"type": "http.request", "body": body, "more_body": False}
            return {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            if message["type"] == "http.response.start":
                start.update(message)
            else:
                parts.append(message["body"])

        async def call() -> None:
            await self._app(_scope(request), receive, send)

        steps = call()
        try:
            steps.send(None)
        except StopIteration:
            headers = [(bytes(name), bytes(value)) for name, value in start["headers"]]
            body = httpx.ByteStream(b"".join(parts))
            return httpx.Response(start["status"], headers=headers, stream=body)
        steps.close()
        raise RuntimeError("the app waited for something, and no event loop runs it")


def _scope(request: httpx.Request) -> Message:
    url = request.url
    path, _, query = url.raw_path.partition(b"?")
    return {
        "type": "http",
        # With 2.4 starlette expects that a send may fail, and streams without a second task.
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": request.method,
        "scheme": url.scheme,
        "path": url.path,
        "raw_path": path,
        "query_string": query,
        "root_path": "",
        "headers": [(name.lower(), value) for name, value in request.headers.raw],
        "client": None,
        "server": (url.host, url.port or 80),
    }
